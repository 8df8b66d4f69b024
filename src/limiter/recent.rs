//! How many requests were written in the last second. Time is an argument.

use std::time::Duration;

use tokio::time::Instant;

const BUCKETS: usize = 10;
const BUCKET: Duration = Duration::from_millis(100);

/// Counts of the last second, by tenths: of the oldest, nothing or all is
/// counted, so that the sum is never more than a second's.
#[derive(Debug)]
pub(super) struct Recent {
    start: Instant,
    /// The number of the newest bucket since `start`.
    newest: u128,
    counts: [u32; BUCKETS],
}

impl Recent {
    pub(super) fn new(start: Instant) -> Recent {
        Recent {
            start,
            newest: 0,
            counts: [0; BUCKETS],
        }
    }

    /// One more.
    pub(super) fn add(&mut self, now: Instant) {
        self.advance(now);
        self.counts[index(self.newest)] += 1;
    }

    /// One that was added then was none.
    pub(super) fn take_back(&mut self, at: Instant) {
        let bucket = self.bucket(at);
        if bucket + BUCKETS as u128 > self.newest {
            let count = &mut self.counts[index(bucket)];
            *count = count.saturating_sub(1);
        }
    }

    /// How many in the last second, to within the last tenth of it.
    pub(super) fn count(&mut self, now: Instant) -> u32 {
        self.advance(now);
        self.counts.iter().sum()
    }

    fn advance(&mut self, now: Instant) {
        let bucket = self.bucket(now);
        let passed = bucket.saturating_sub(self.newest).min(BUCKETS as u128);
        for step in 1..=passed {
            self.counts[index(self.newest + step)] = 0;
        }
        self.newest = self.newest.max(bucket);
    }

    fn bucket(&self, at: Instant) -> u128 {
        at.duration_since(self.start).as_nanos() / BUCKET.as_nanos()
    }
}

fn index(bucket: u128) -> usize {
    usize::try_from(bucket % BUCKETS as u128).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_last_second_and_forgets_what_is_older() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut recent = Recent::new(start);
        recent.add(at(0));
        recent.add(at(950));
        assert_eq!(recent.count(at(999)), 2);
        assert_eq!(recent.count(at(1_000)), 1);
        recent.add(at(1_000));
        recent.take_back(at(1_000));
        recent.take_back(at(10));
        assert_eq!(recent.count(at(1_899)), 1);
        assert_eq!(recent.count(at(86_400_000)), 0);
    }
}
