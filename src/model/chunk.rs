//! What is dispatched together.

use std::sync::Arc;

use super::{BatchId, Item};

/// Items of one batch on their way out together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Whose items they are; a made-up idempotency key is built from it.
    pub batch: BatchId,
    /// The items that are to be sent now. Positions in this list are what
    /// [`Wire`](crate::target::Wire) counts in.
    pub items: Arc<[Item]>,
    /// All of them are done, or none is. Only given to a target that can.
    pub is_atomic: bool,
}
