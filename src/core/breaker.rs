//! Whether a target counts as down, and when it is tried next.
//!
//! ```text
//!            ──enough failures in a row──▶       ──its time──▶
//!   Closed                                 Open                Probing
//!     ▲  ▲                                  │ ▲                 │ │
//!     │  └────────────an answer─────────────┘ └────a failure────┘ │
//!     └───────────────────────────an answer───────────────────────┘
//! ```

use std::time::Duration;

/// When a target counts as down, and how often it is tried then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// After so many requests in a row that it did not answer, or answered with
    /// a fault; 0 for never.
    pub failures: u32,
    /// It is tried again after so long; after up to twice as long each time that
    /// this fails.
    pub pause: Duration,
    /// No pause is longer.
    pub max_pause: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> BreakerPolicy {
        BreakerPolicy {
            failures: 10,
            pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(30),
        }
    }
}

/// Whether a target counts as down. Times are since any one moment, and do not
/// go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// It does not.
    Closed {
        /// So many requests in a row have failed.
        failures: u32,
    },
    /// It does: nothing is sent.
    Open {
        /// Then it is tried again.
        until: Duration,
        /// How often in a row it has been found down.
        times: u32,
    },
    /// It does, and one item is on its way to see whether it still is.
    Probing {
        /// As in `Open`.
        times: u32,
    },
}

impl Breaker {
    /// Nothing is known of it yet.
    pub const NEW: Breaker = Breaker::Closed { failures: 0 };

    /// It has answered a request, in whatever way that is not a fault of its own.
    #[must_use]
    pub fn answered(self) -> Breaker {
        Breaker::NEW
    }

    /// A request has failed: not delivered, not answered, or answered with a
    /// fault. `jitter` is a random number from 0 to 1: a pause is at least half
    /// of its upper bound, so that it is one.
    #[must_use]
    pub fn failed(self, policy: &BreakerPolicy, now: Duration, jitter: f64) -> Breaker {
        let open = |times: u32| {
            let doublings = (times - 1).min(31);
            let longest = policy.pause.saturating_mul(1 << doublings);
            let pause = longest.min(policy.max_pause).mul_f64(0.5 + jitter / 2.0);
            Breaker::Open {
                until: now + pause,
                times,
            }
        };
        match self {
            Breaker::Closed { failures } if policy.failures > 0 => match failures + 1 {
                failures if failures < policy.failures => Breaker::Closed { failures },
                _ => open(1),
            },
            Breaker::Probing { times } => open(times.saturating_add(1)),
            // Of those that were under way before.
            Breaker::Closed { .. } | Breaker::Open { .. } => self,
        }
    }

    /// Whether one item is sent now, to see; it is on its way then.
    #[must_use]
    pub fn probe(self, now: Duration) -> Option<Breaker> {
        match self {
            Breaker::Open { until, times } if until <= now => Some(Breaker::Probing { times }),
            _ => None,
        }
    }

    /// The item on its way was not sent, for some other reason.
    #[must_use]
    pub fn given_up(self, now: Duration) -> Breaker {
        match self {
            Breaker::Probing { times } => Breaker::Open { until: now, times },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failures: 3,
        pause: Duration::from_secs(1),
        max_pause: Duration::from_secs(5),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn failed(breaker: Breaker, seconds: u64) -> Breaker {
        breaker.failed(&POLICY, at(seconds), 1.0)
    }

    fn open(until: u64, times: u32) -> Breaker {
        Breaker::Open {
            until: at(until),
            times,
        }
    }

    #[test]
    fn enough_failures_in_a_row_open_it_and_an_answer_closes_it() {
        let two = failed(failed(Breaker::NEW, 9), 9);
        assert_eq!(two, Breaker::Closed { failures: 2 });
        assert_eq!(failed(failed(two.answered(), 9), 9), two);
        let opened = failed(two, 9);
        assert_eq!(opened, open(10, 1));
        // What was under way changes nothing, unless it has an answer.
        assert_eq!(failed(opened, 9), opened);
        assert_eq!(opened.answered(), Breaker::NEW);
    }

    #[test]
    fn one_item_is_tried_after_pauses_that_double_up_to_the_longest() {
        let mut breaker = open(10, 1);
        assert_eq!(breaker.probe(at(9)), None);
        for (now, until) in [(10, 12), (12, 16), (16, 21), (21, 26)] {
            let probing = breaker.probe(at(now)).expect("it is time");
            assert_eq!(probing.probe(at(now)), None, "one at a time");
            breaker = failed(probing, now);
            assert!(matches!(breaker, Breaker::Open { until: u, .. } if u == at(until)));
        }
        let probing = breaker.probe(at(26)).expect("it is time");
        assert_eq!(probing.answered(), Breaker::NEW);
        let given_up = probing.given_up(at(27));
        assert!(given_up.probe(at(27)).is_some(), "at once");
        assert_eq!(Breaker::NEW.given_up(at(27)), Breaker::NEW);
    }

    #[test]
    fn a_pause_is_at_least_half_of_its_bound() {
        let last = Breaker::Closed { failures: 2 };
        let opened = last.failed(&POLICY, at(9), 0.0);
        let until = Duration::from_millis(9_500);
        assert_eq!(opened, Breaker::Open { until, times: 1 });
    }

    #[test]
    fn it_never_opens_where_it_is_off() {
        let off = BreakerPolicy {
            failures: 0,
            ..POLICY
        };
        let mut breaker = Breaker::NEW;
        for _ in 0..100 {
            breaker = breaker.failed(&off, at(1), 1.0);
        }
        assert_eq!(breaker, Breaker::NEW);
    }
}
