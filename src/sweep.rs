//! Settles what is queued of a cancelled batch. The lane does it for the batches
//! of its targets, the intake for those whose target is configured no more.

use tokio::time::sleep;

use crate::model::BatchNo;
use crate::store::{Store, StoreError, pause};
use crate::time::wall_ms;
use crate::wake::Wake;

/// Chunks that are settled in one commit, so that a large batch does not hold
/// up everybody else's.
const CHUNKS: usize = 64;

/// Settles what is queued of a cancelled batch. While the store cannot write, it
/// waits and goes on.
///
/// # Errors
///
/// When the store fails for good; what is left is for the next start.
pub async fn sweep(store: &dyn Store, wake: &Wake, no: BatchNo) -> Result<(), StoreError> {
    let mut failures = 0;
    loop {
        let swept = match store.sweep(no, CHUNKS, wall_ms()).await {
            Err(error) if error.is_passing() => {
                failures += 1;
                sleep(pause(failures)).await;
                continue;
            }
            swept => swept?,
        };
        failures = 0;
        if swept.chunks > 0 {
            wake.recorded(no);
        }
        if swept.chunks < CHUNKS {
            return Ok(());
        }
    }
}
