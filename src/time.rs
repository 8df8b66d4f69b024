//! Wall time that follows tokio's clock: paused with it in tests, and unmoved
//! by a system clock that jumps.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The wall time now, in milliseconds since 1970.
pub fn wall_ms() -> i64 {
    wall_ms_at(Instant::now())
}

/// The wall time at an instant, in milliseconds since 1970.
pub fn wall_ms_at(instant: Instant) -> i64 {
    static START: OnceLock<(Instant, i64)> = OnceLock::new();
    let (start, start_ms) = *START.get_or_init(|| {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        (Instant::now(), millis(wall))
    });
    if instant >= start {
        start_ms + millis(instant - start)
    } else {
        start_ms - millis(start - instant)
    }
}

/// The instant at a wall time; now, where that has passed.
pub fn instant_at(wall: i64) -> Instant {
    let now = Instant::now();
    let ahead = wall.saturating_sub(wall_ms_at(now)).max(0);
    now + Duration::from_millis(ahead.unsigned_abs())
}

/// A duration in whole milliseconds.
pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
