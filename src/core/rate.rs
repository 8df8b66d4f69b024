//! How fast a batch goes, and how long the rest takes. It knows only the
//! outcomes that came of sending: what fails admission or is cancelled in the
//! queue says nothing about the target's pace.

use std::time::Duration;

use crate::model::{Counts, Progress};

/// How long a mark stands before the next one is set: the rate is that of the
/// last one to two spans.
const SPAN_MS: i64 = 10_000;

/// What a first burst counts for: a target with a limit of 100 a second takes
/// 100 at once, and 100 more one second later, which is not 200 a second.
const BURST_MS: i64 = 1_000;

/// How many outcomes there were at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// In milliseconds since 1970.
    pub at_ms: i64,
    /// Since the first chunk was leased.
    pub outcomes: u64,
}

/// The pace of a batch, from when its first chunk was leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// What the rate is counted from.
    pub older: Mark,
    /// What takes the older one's place once it is a span old.
    pub newer: Mark,
    /// The last outcomes.
    pub latest: Mark,
}

impl Pace {
    /// A batch's first chunk was leased now.
    pub fn start(now_ms: i64) -> Pace {
        let mark = Mark {
            at_ms: now_ms,
            outcomes: 0,
        };
        Pace {
            older: mark,
            newer: mark,
            latest: mark,
        }
    }

    /// Outcomes came. A clock that went back counts as one that stood still.
    pub fn record(&mut self, outcomes: u64, now_ms: i64) {
        self.latest = Mark {
            at_ms: now_ms.max(self.latest.at_ms),
            outcomes: self.latest.outcomes + outcomes,
        };
        if self.latest.at_ms - self.newer.at_ms >= SPAN_MS {
            self.older = self.newer;
            self.newer = self.latest;
        }
    }

    /// Outcomes a second of late, as of the last ones.
    pub fn per_second(&self) -> f64 {
        let outcomes = self.latest.outcomes - self.older.outcomes;
        let from_start = self.older.outcomes == 0;
        let ms = self.latest.at_ms - self.older.at_ms + if from_start { BURST_MS } else { 0 };
        outcomes as f64 * 1_000.0 / ms.max(BURST_MS) as f64
    }
}

/// How far a batch has come. `pace` is `None` until its first chunk is leased;
/// the time left is unknown until then, before the first outcome, and while
/// items may still come.
pub fn progress(counts: Counts, sealed: bool, pace: Option<&Pace>) -> Progress {
    let items_per_second = pace.map_or(0.0, Pace::per_second);
    let left = counts.total.saturating_sub(counts.completed());
    let time_left = match (sealed, left) {
        (false, _) => None,
        (true, 0) => Some(Duration::ZERO),
        (true, _) => time_for(left, items_per_second),
    };
    Progress {
        counts,
        items_per_second,
        time_left,
    }
}

/// In whole milliseconds, which is how it is stored.
fn time_for(items: u32, per_second: f64) -> Option<Duration> {
    let seconds = f64::from(items) / per_second;
    let exact = Duration::try_from_secs_f64(seconds).ok()?;
    let ms = u64::try_from(exact.as_micros().div_ceil(1_000)).ok()?;
    Some(Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paced(records: &[(i64, u64)]) -> Pace {
        let mut pace = Pace::start(0);
        for &(at_ms, outcomes) in records {
            pace.record(outcomes, at_ms);
        }
        pace
    }

    #[test]
    fn the_rate_is_that_of_the_last_ten_to_twenty_seconds() {
        let steady: Vec<_> = (1..=60).map(|s| (s * 1_000, 100)).collect();
        // 100/s for 20 s, then 10/s for 25 s: nothing of the first is left.
        let slower: Vec<_> = (1..=45)
            .map(|s| (s * 1_000, if s <= 20 { 100 } else { 10 }))
            .collect();
        let table = [
            ("nothing yet", vec![], 0.0),
            (
                "a first burst counts for a second",
                vec![(1, 1_001)],
                1_000.0,
            ),
            ("half a second", vec![(500, 75)], 50.0),
            ("two seconds", vec![(500, 50), (2_000, 100)], 50.0),
            ("steady", steady, 100.0),
            ("slower", slower, 10.0),
            ("a clock back", vec![(2_000, 75), (1_000, 75)], 50.0),
        ];
        for (name, records, expected) in table {
            let rate = paced(&records).per_second();
            assert!((rate - expected).abs() < 1e-9, "{name}: {rate}");
        }
    }

    #[test]
    fn the_time_left_is_known_once_the_end_and_the_pace_are() {
        let counts = |total, succeeded| Counts {
            total,
            succeeded,
            ..Counts::default()
        };
        let pace = paced(&[(1_000, 20)]); // 10/s
        let idle = Pace::start(0);
        let table = [
            ("open", counts(50, 20), false, Some(&pace), None),
            ("not started", counts(50, 0), true, None, None),
            ("no outcome yet", counts(50, 0), true, Some(&idle), None),
            ("on its way", counts(50, 20), true, Some(&pace), Some(3_000)),
            ("a fraction", counts(20, 0), true, Some(&pace), Some(2_000)),
            ("done", counts(20, 20), true, Some(&pace), Some(0)),
            ("never started", counts(20, 20), true, None, Some(0)),
        ];
        for (name, counts, sealed, pace, expected) in table {
            let left = progress(counts, sealed, pace).time_left;
            assert_eq!(left, expected.map(Duration::from_millis), "{name}");
        }
    }
}
