//! One clock for all processes of a run. Each process has a runtime of its own
//! with paused time, and tokio's paused clocks begin at the machine's time: so
//! each is put forward to where the run has come to.
//!
//! So that the same seed gives the same run, everything is a whole number of
//! milliseconds, as tokio's timers count them, and a run begins at midnight,
//! as the service's wall time has it.

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use flowgate::time::{wall_ms, wall_ms_at};
use tokio::time::Instant;

use crate::checker::Nanos;

pub const MS: Nanos = 1_000_000;

const DAY_MS: i64 = 86_400_000;

pub struct Clock {
    /// An instant of the process that runs, and the time of the run then.
    fixed: Mutex<(Instant, Nanos)>,
}

impl Clock {
    pub fn new() -> Clock {
        Clock {
            fixed: Mutex::new((origin(), 0)),
        }
    }

    /// Puts the clock of a runtime that has just begun to a time of the run, in
    /// whole milliseconds.
    pub async fn begin(&self, at: Nanos) {
        let wanted = origin() + Duration::from_nanos(at);
        let ahead = wanted - Instant::now();
        // Timers count from where the runtime began: a part of a millisecond
        // would make all of them late. Both are the same millisecond of the
        // wall clock, because the origin is where one begins.
        let ms = ahead.as_nanos().div_ceil(u128::from(MS));
        let ms = u64::try_from(ms).expect("no run is that long");
        tokio::time::advance(Duration::from_millis(ms)).await;
        *self.fixed.lock().expect("the clock") = (Instant::now(), at);
    }

    /// The time of the run. Only within the runtime of a process.
    pub fn now(&self) -> Nanos {
        let (fixed, then) = *self.fixed.lock().expect("the clock");
        let since = Instant::now() - fixed;
        then + u64::try_from(since.as_nanos()).expect("no run is that long")
    }

    /// The instant of a time of the run; now, where that has passed.
    pub fn instant(&self, at: Nanos) -> Instant {
        Instant::now() + Duration::from_nanos(at.saturating_sub(self.now()))
    }

    /// A time of the run as the service's wall time.
    pub fn wall_ms(at: Nanos) -> i64 {
        wall_ms_at(origin() + Duration::from_nanos(at))
    }
}

/// Where runs begin: a midnight far enough ahead of every runtime's beginning.
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(|| {
        // The wall clock counts from when it is first asked.
        wall_ms();
        let now = Instant::now();
        let wall = wall_ms_at(now);
        // Where the next millisecond of the wall clock begins.
        let (mut low, mut high) = (0, MS);
        while low + 1 < high {
            let middle = low.midpoint(high);
            match wall_ms_at(now + Duration::from_nanos(middle)) > wall {
                true => high = middle,
                false => low = middle,
            }
        }
        let ahead = 2 * DAY_MS - (wall + 1) % DAY_MS;
        now + Duration::from_nanos(high) + Duration::from_millis(ahead.unsigned_abs())
    })
}
