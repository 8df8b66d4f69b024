//! What a store answers.

use crate::model::{
    Batch, BatchId, BatchNo, BatchSpec, ChunkNo, Event, Item, ItemResult, TargetName, TenantId,
};

/// What an append came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Appended {
    /// The items are held.
    Held(Box<Batch>),
    /// There is a batch with this `request_id` already; nothing was done.
    Exists(Box<Batch>),
    /// The batch does not hold what the append said; nothing was done.
    Moved(Box<Batch>),
    /// The batch is sealed, cancelled or finished; nothing was done.
    Sealed(Box<Batch>),
    /// The seal's count is not what the batch would hold, or that is nothing
    /// at all; nothing was done.
    WrongCount(Box<Batch>),
    /// Of these items the keys are in use or were used for something else, and
    /// the append was to be all valid; nothing was done.
    Invalid(Vec<ItemResult>),
}

/// What a pick came to.
#[derive(Clone, Debug)]
pub enum Lease {
    /// A chunk to send.
    Chunk(Box<Leased>),
    /// Nothing is to be sent for now: nothing is queued, the batch is paused, or
    /// it is in strict order and an item is on its way. For a batch that does
    /// not exist too. Whatever changes that makes itself heard.
    Nothing,
    /// What is queued is due later.
    Later {
        /// In milliseconds since 1970.
        due_ms: i64,
    },
    /// The batch is stopped and has chunks for [`sweep`](super::Store::sweep).
    Stopped,
}

/// A chunk that is being sent by whoever holds its epoch.
#[derive(Clone, Debug)]
pub struct Leased {
    /// The chunk.
    pub chunk: ChunkNo,
    /// Of this lease; a settle under another one writes nothing.
    pub epoch: u32,
    /// The batch.
    pub no: BatchNo,
    /// Its public id.
    pub id: BatchId,
    /// Whose it is.
    pub tenant: TenantId,
    /// What was asked for.
    pub spec: BatchSpec,
    /// How often these items have been sent before.
    pub attempt: u32,
    /// When the first of them was first leased, in milliseconds since 1970:
    /// what patience is counted from.
    pub since_ms: i64,
    /// The items without an outcome, and for each its position in the chunk.
    pub items: Vec<(u32, Item)>,
    /// Positions of items that were sent once without an answer.
    pub unanswered: Vec<u32>,
    /// Positions of items that were answered with a fault once.
    pub faulted: Vec<u32>,
}

/// What a settle came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is recorded.
    Recorded {
        /// No item of the chunk is left.
        chunk_finished: bool,
        /// No item of the batch is left.
        batch_finished: bool,
        /// The batch is stopped: what is left of it is for
        /// [`sweep`](super::Store::sweep).
        stopped: bool,
        /// It is since this.
        tripped: bool,
    },
    /// Somebody else holds the chunk; nothing was done.
    Stale,
}

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Chunks that it settled.
    pub chunks: usize,
    /// No item of the batch is left.
    pub batch_finished: bool,
}

/// What waits for a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// The batches, in order of arrival.
    pub batches: Vec<(TenantId, BatchNo)>,
    /// Items in their queued chunks.
    pub items: u64,
}

/// A part of a batch's log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// The oldest first.
    pub events: Vec<Event>,
    /// There are more after these already.
    pub more: bool,
}

/// A batch about which something is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Which.
    pub no: BatchNo,
    /// Its target.
    pub target: TargetName,
    /// Its deadline has come, and it is not stopped.
    pub is_expired: bool,
    /// It is open, and somebody has to see whether it still should be.
    pub is_open: bool,
}

/// What was sent to a target within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// When the minute ends, in milliseconds since 1970: no request of it was
    /// written later.
    pub until_ms: i64,
    /// Requests.
    pub units: u64,
}
