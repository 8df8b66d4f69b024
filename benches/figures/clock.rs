//! One clock for all processes of the bench.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds on the machine's monotonic clock, which has the same zero in
/// every process.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is negative: it counts from the boot.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// Nanoseconds as seconds.
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}
