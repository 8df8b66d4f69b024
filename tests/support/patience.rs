//! Waiting for what has to come, and how much of a sweep is done.

use std::future::Future;
use std::time::Duration;

/// Longer than anything takes on a busy machine: it only ends what hangs.
const DEADLINE: Duration = Duration::from_secs(90);

/// Waits for what has to come.
pub async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let come = tokio::time::timeout(DEADLINE, wait).await;
    come.unwrap_or_else(|_| panic!("it did not come within {DEADLINE:?}: {what}"))
}

/// Whether this is one of the long runs, as CI asks for: more seeds, more
/// points, and nothing that is missing is passed over.
pub fn is_long() -> bool {
    std::env::var_os("FLOWGATE_SWEEP").is_some_and(|value| !value.is_empty())
}

/// The seeds of a sweep: `everyday` of them, `long` in a long run; or the one
/// that `FLOWGATE_SEED` names, to see a failure again.
pub fn seeds(everyday: u64, long: u64) -> Vec<u64> {
    if let Ok(one) = std::env::var("FLOWGATE_SEED") {
        return vec![one.parse().expect("FLOWGATE_SEED is a number")];
    }
    (1..=if is_long() { long } else { everyday }).collect()
}
