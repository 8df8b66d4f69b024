//! The guest API's own count of what reaches it. It owes nothing to Flowgate's
//! limiter, so that the two can disagree.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The most requests that the API serves in any sliding second.
pub const LIMIT: usize = 100;
/// That second.
pub const WINDOW: Duration = Duration::from_secs(1);

/// Remembers the last window of arrivals, and sums up the rest.
#[derive(Debug, Default)]
pub struct Arrivals {
    served: VecDeque<Instant>,
    seen: VecDeque<Instant>,
    tally: Tally,
}

/// What arrived so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests, those turned away among them.
    pub requests: usize,
    /// The most of them in any sliding second.
    pub busiest: usize,
    /// Those that came beyond the limit and were answered with 429.
    pub turned_away: usize,
    /// When the first and the last came.
    pub span: Option<(Instant, Instant)>,
}

impl Tally {
    /// How long from the first request to the last.
    pub fn duration(&self) -> Duration {
        self.span
            .map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

impl Arrivals {
    /// Counts a request that arrives now, and says whether it is within the
    /// limit. Times must not go back.
    ///
    /// A window is half open: two requests exactly a second apart do not share
    /// one. The busiest window can be moved until it ends at an arrival, so it
    /// is enough to look at those.
    pub fn arrive(&mut self, now: Instant) -> bool {
        for log in [&mut self.seen, &mut self.served] {
            while log.front().is_some_and(|first| now - *first >= WINDOW) {
                log.pop_front();
            }
        }
        self.seen.push_back(now);
        let within = self.served.len() < LIMIT;
        if within {
            self.served.push_back(now);
        }
        let first = self.tally.span.map_or(now, |(first, _)| first);
        self.tally = Tally {
            requests: self.tally.requests + 1,
            busiest: self.tally.busiest.max(self.seen.len()),
            turned_away: self.tally.turned_away + usize::from(!within),
            span: Some((first, now)),
        };
        within
    }

    /// What arrived so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_in_a_second_are_served_and_one_more_is_not() {
        let start = Instant::now();
        let mut arrivals = Arrivals::default();
        for ms in 0..100 {
            assert!(arrivals.arrive(start + Duration::from_millis(ms)));
        }
        assert!(!arrivals.arrive(start + Duration::from_millis(999)));
        // The first has left the window, the second has not.
        assert!(arrivals.arrive(start + WINDOW));
        assert!(!arrivals.arrive(start + WINDOW));
        let tally = arrivals.tally();
        assert_eq!((tally.requests, tally.turned_away), (103, 2));
        assert_eq!(tally.duration(), Duration::from_secs(1));
    }

    #[test]
    fn the_busiest_second_is_found_across_the_edge_of_a_clock_second() {
        let start = Instant::now();
        let mut arrivals = Arrivals::default();
        // 60 late in one second, 70 early in the next: neither is over.
        for ms in (900..960).chain(1_000..1_070) {
            arrivals.arrive(start + Duration::from_millis(ms));
        }
        let tally = arrivals.tally();
        assert_eq!((tally.busiest, tally.turned_away), (130, 30));
    }

    #[test]
    fn what_was_turned_away_does_not_count_against_what_comes_next() {
        let start = Instant::now();
        let mut arrivals = Arrivals::default();
        for _ in 0..1_000 {
            arrivals.arrive(start);
        }
        let later = start + WINDOW;
        let served = (0..1_000).filter(|_| arrivals.arrive(later)).count();
        assert_eq!(served, LIMIT);
        assert_eq!(arrivals.tally().busiest, 1_000);
    }
}
