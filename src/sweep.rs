//! Settles what is queued of a cancelled batch. The lane does it for the batches
//! of its targets, the intake for those whose target is configured no more.

use crate::model::BatchNo;
use crate::store::{Store, StoreError};
use crate::time::wall_ms;
use crate::wake::Wake;

/// Chunks that are settled in one commit, so that a large batch does not hold
/// up everybody else's.
const CHUNKS: usize = 64;

/// Settles what is queued of a cancelled batch.
///
/// # Errors
///
/// When the store fails; what is left is for the next start.
pub async fn sweep(store: &dyn Store, wake: &Wake, no: BatchNo) -> Result<(), StoreError> {
    loop {
        let swept = store.sweep(no, CHUNKS, wall_ms()).await?;
        if swept.chunks > 0 {
            wake.recorded(no);
        }
        if swept.chunks < CHUNKS {
            return Ok(());
        }
    }
}
