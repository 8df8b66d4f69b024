//! Whether a target counts as down, and when it is tried next.

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
