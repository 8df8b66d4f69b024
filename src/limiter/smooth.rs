//! Even spacing within one limit, by governor's GCRA on tokio's clock. It
//! paces; that no window holds too many is [`window`](super::window)'s affair.

use std::num::NonZeroU32;
use std::ops::Add;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::window::FOREVER;
use crate::model::Limit;

/// Tokio's timers tick so often; a wake-up is late by up to one.
const TICK: Duration = Duration::from_millis(1);

/// Spaces the requests of one limit.
#[derive(Debug)]
pub(super) struct Smooth {
    governor: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<TokioInstant>>,
    burst: u32,
    /// Between two units.
    interval: Duration,
    /// Units that governor gave and that were not used: gathered for a request
    /// that costs more than a burst, or refunded.
    saved: u32,
    /// When what governor has given will all have grown back, if it gives
    /// nothing more: its theoretical arrival time, which it does not show. Never
    /// later than its own.
    tat: Instant,
}

impl Smooth {
    /// A burst that makes up for late wake-ups is taken off the rate, so that
    /// rate and burst together stay within the limit in any window.
    pub(super) fn new(limit: &Limit) -> Smooth {
        let per = limit.per.clamp(Duration::from_nanos(1), FOREVER);
        let burst = burst(limit.count.max(1), per);
        // Evenly spaced, a half-open window as long as n intervals holds n;
        // the first of a burst is one of them.
        let rate = u128::from(limit.count.max(1) - burst + 1);
        let nanos = per.as_nanos().div_ceil(rate);
        let interval = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let units = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(interval)
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(units);
        Smooth {
            governor: RateLimiter::direct_with_clock(quota, TokioClock),
            burst,
            interval,
            saved: 0,
            tat: Instant::now(),
        }
    }

    /// Something was sent before there was this, and the last of it so long
    /// ago: it may have used up the burst, and only what has grown back since
    /// is there.
    pub(super) fn recall(&mut self, age: Duration) {
        let grown = age.as_nanos() / self.interval.as_nanos().max(1);
        let grown = u32::try_from(grown).unwrap_or(u32::MAX);
        if let Some(units) = NonZeroU32::new(self.burst.saturating_sub(grown)) {
            // Of a whole burst: it cannot say no.
            let _ = self.ask(units);
        }
    }

    /// Whether so many units can be [taken](Self::take) now; else, not before
    /// when. What is gathered for them stays until they are taken.
    pub(super) fn admits(&mut self, cost: u32) -> Result<(), Instant> {
        while self.saved < cost {
            let wanted = (cost - self.saved).min(self.burst);
            let units = NonZeroU32::new(wanted).unwrap_or(NonZeroU32::MIN);
            self.ask(units)?;
            self.saved += wanted;
        }
        Ok(())
    }

    /// Asks governor for units, a burst at most; else, when it has them.
    fn ask(&mut self, units: NonZeroU32) -> Result<(), Instant> {
        let now = Instant::now();
        // Only more than a burst is refused for good.
        if let Ok(Err(not_until)) = self.governor.check_n(units) {
            let TokioInstant(at) = not_until.earliest_possible();
            return Err(at);
        }
        let from = self.tat.max(now);
        let tat = from.checked_add(times(self.interval, u64::from(units.get())));
        self.tat = tat.unwrap_or(from);
        Ok(())
    }

    /// Takes units that [`admits`](Self::admits) has just allowed.
    pub(super) fn take(&mut self, cost: u32) {
        self.saved = self.saved.saturating_sub(cost);
    }

    /// Units that were taken and not used. No more than a burst, or the
    /// request, are kept, so that many at once do not come out as a crowd.
    pub(super) fn refund(&mut self, cost: u32) {
        let most = self.saved.max(self.burst).max(cost);
        self.saved = self.saved.saturating_add(cost).min(most);
    }

    /// A lower bound of when the last of the next `units` could be taken, from
    /// `start` on.
    pub(super) fn due(&self, units: u64, start: Instant) -> Instant {
        let wanted = units.saturating_sub(u64::from(self.saved));
        if wanted == 0 {
            return start;
        }
        // Then a whole burst is there.
        let (whole, burst) = (self.tat.max(start), u64::from(self.burst));
        let at = if wanted >= burst {
            whole.checked_add(times(self.interval, wanted - burst))
        } else {
            whole.checked_sub(times(self.interval, burst - wanted))
        };
        at.map_or(start, |at| at.max(start))
    }
}

fn times(interval: Duration, count: u64) -> Duration {
    u32::try_from(count)
        .ok()
        .and_then(|count| interval.checked_mul(count))
        .map_or(FOREVER, |wait| wait.min(FOREVER))
}

/// About 0.5% of the limit: 1% would leave 99.02% of the rate, and nothing for
/// a wake-up that is later still. At least two units where a tick that comes late
/// would cost more than the one unit that it takes off the rate.
fn burst(count: u32, per: Duration) -> u32 {
    let lost_to_ticks = u128::from(count) * u128::from(count) * TICK.as_nanos() / per.as_nanos();
    match lost_to_ticks {
        0 => 1,
        _ => count.div_ceil(200).max(2).min(count),
    }
}

/// Tokio's clock, so that paused time paces too.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct TokioInstant(Instant);

impl Clock for TokioClock {
    type Instant = TokioInstant;

    fn now(&self) -> TokioInstant {
        TokioInstant(Instant::now())
    }
}

impl Reference for TokioInstant {
    fn duration_since(&self, earlier: TokioInstant) -> Nanos {
        self.0.duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> TokioInstant {
        TokioInstant(self.0.checked_sub(duration.into()).unwrap_or(self.0))
    }
}

impl Add<Nanos> for TokioInstant {
    type Output = TokioInstant;

    fn add(self, other: Nanos) -> TokioInstant {
        TokioInstant(self.0 + Duration::from(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_is_what_costs_the_least_of_the_rate() {
        for (text, expected) in [
            ("1/s", 1),
            ("10/s", 1),
            ("100/s", 2),
            ("1000/s", 5),
            ("5000/s", 25),
            ("1/ms", 1),
            ("100/h", 1),
            ("100000/d", 500),
        ] {
            let limit: Limit = text.parse().unwrap();
            assert_eq!(burst(limit.count, limit.per), expected, "{text}");
        }
    }

    #[test]
    fn a_limit_of_any_size_overflows_nothing() {
        for (count, per) in [(u32::MAX, 1), (u32::MAX, u64::MAX), (1, u64::MAX), (1, 1)] {
            let per = Duration::from_nanos(per).saturating_mul(1_000);
            let mut smooth = Smooth::new(&Limit { count, per });
            assert!(smooth.admits(1).is_ok());
            smooth.take(1);
            let start = Instant::now();
            assert!(smooth.due(u64::MAX, start) > start);
        }
    }
}
