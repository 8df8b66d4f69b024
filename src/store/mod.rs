//! Where batches live. A batch is a log: items are appended, chunks are leased
//! and settled, and everything that becomes known is an event with a sequence.
//!
//! The verbs are those of the domain, each one commit. None of them assumes
//! that the process is alone, or that whoever settles a chunk is who leased
//! it: what changes a chunk names its epoch, what appends names its offset, and
//! loses against whoever was first.

mod bits;
mod codec;
mod memory;
mod ready;
mod rows;
mod sqlite;
mod verbs;

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;

use crate::model::{
    Batch, BatchId, BatchNo, BatchSpec, BatchState, ChunkNo, Event, Item, ItemResult, TargetName,
    TenantId,
};

pub use memory::MemoryStore;
pub use sqlite::SqliteStore;

/// What a store answers; the error is the store's own trouble, never the
/// caller's.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Where batches live.
pub trait Store: Send + Sync + 'static {
    /// Adds items to a batch, new or open, and says what it holds then. Items
    /// are durable when the answer is there. Several appends may be under way:
    /// they are done in the order of the calls, whichever answer is waited for
    /// first.
    fn append(&self, part: Append) -> Answer<'static, Appended>;

    /// Takes up queued chunks for sending: one for each pick, in their order.
    /// The leases are durable when this returns.
    fn lease(&self, picks: Vec<BatchNo>, now_ms: i64) -> Answer<'_, Vec<Lease>>;

    /// Records what became of items of a leased chunk.
    fn settle(&self, part: Settle) -> Answer<'_, Settled>;

    /// Cancels a batch; its queued chunks are then for [`sweep`](Self::sweep).
    /// Idempotent.
    fn cancel(&self, no: BatchNo, now_ms: i64) -> Answer<'_, ()>;

    /// Settles up to `max_chunks` queued chunks of a cancelled batch.
    fn sweep(&self, no: BatchNo, max_chunks: usize, now_ms: i64) -> Answer<'_, Swept>;

    /// The batches that have queued chunks for a target, in order of arrival,
    /// and how many items those hold.
    fn backlog(&self, target: TargetName) -> Answer<'_, Backlog>;

    /// Puts every leased chunk back in the queue, or to rest: an item that was
    /// leased may have been sent, so it ends in doubt unless `safe` says of
    /// its target and itself that sending it again does no harm. For the start
    /// of a process, before any lane runs.
    fn rescue(&self, safe: SafeToRepeat, now_ms: i64) -> Answer<'_, usize>;

    /// A batch of the tenant's, as it stands.
    fn batch(&self, tenant: TenantId, id: BatchId) -> Answer<'_, Option<Batch>>;

    /// Batches of a tenant, the newest first.
    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Batch>>;

    /// Events of a batch after a sequence, the oldest first: at least one if
    /// there are any, then as many as fit `max_bytes` as they are stored.
    fn events(&self, no: BatchNo, after: u64, max_bytes: usize) -> Answer<'_, Events>;

    /// The items of a batch as they were appended, from `first`, up to
    /// `count`.
    fn items(&self, no: BatchNo, first: u32, count: u32) -> Answer<'_, Vec<Item>>;
}

/// Whether an item of a target may be sent again although it may have been
/// sent.
pub type SafeToRepeat = std::sync::Arc<dyn Fn(&TargetName, &Item) -> bool + Send + Sync>;

/// The store's own trouble.
#[derive(Debug, thiserror::Error, Clone)]
pub enum StoreError {
    /// It is closed, or its writer has stopped.
    #[error("the store is closed")]
    Closed,
    /// Reading or writing failed; nothing of the commit was done.
    #[error("the store failed: {0}")]
    Failed(String),
    /// It cannot be opened, and what to do.
    #[error("{0}")]
    Unusable(String),
}

/// Items for a batch.
#[derive(Clone, Debug)]
pub struct Append {
    /// Which batch.
    pub into: Into,
    /// The items, sliced, in order: the first has the batch's next index.
    pub chunks: Vec<NewChunk>,
    /// No more will come.
    pub seal: Option<Seal>,
    /// The time.
    pub now_ms: i64,
}

/// Says that no more items will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// However many there are.
    Unchecked,
    /// There must be exactly so many then.
    At(u32),
}

/// Which batch items go into.
#[derive(Clone, Debug)]
pub enum Into {
    /// A new one; or the tenant's with the same `request_id`, in which case
    /// nothing of the append is done.
    New(NewBatch),
    /// An open one, if it holds exactly so many items.
    Open {
        /// Which.
        no: BatchNo,
        /// What it must hold.
        held: u32,
    },
}

/// A batch to open.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// Whose.
    pub tenant: TenantId,
    /// Its public id.
    pub id: BatchId,
    /// What is asked for.
    pub spec: BatchSpec,
}

/// A chunk to queue.
#[derive(Clone, Debug)]
pub struct NewChunk {
    /// Consecutive items; at least one.
    pub items: Vec<Item>,
    /// Outcomes of those that failed admission, with attempts 0: they are
    /// recorded in the same commit and never sent.
    pub failed: Vec<ItemResult>,
}

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
}

/// What a pick came to.
#[derive(Clone, Debug)]
pub enum Lease {
    /// A chunk to send.
    Chunk(Box<Leased>),
    /// Nothing is queued; for a batch that does not exist too.
    Nothing,
    /// What is queued is due later.
    Later {
        /// In milliseconds since 1970.
        due_ms: i64,
    },
    /// The batch is being cancelled and has chunks for
    /// [`sweep`](Store::sweep).
    Cancelling,
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
}

/// What became of items of a leased chunk.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The chunk.
    pub chunk: ChunkNo,
    /// Of the lease.
    pub epoch: u32,
    /// The outcomes, and for each the item's position in the chunk.
    pub results: Vec<(u32, ItemResult)>,
    /// Items to be sent again.
    pub again: Vec<Again>,
    /// The lease is given up: what is left of the chunk goes back to the
    /// queue, due then, in milliseconds since 1970 (0: at once).
    pub release: Option<i64>,
    /// The time.
    pub now_ms: i64,
}

/// Items that move to a chunk of their own, to be sent again.
#[derive(Clone, Debug)]
pub struct Again {
    /// The items, with their positions in the chunk that they leave.
    pub items: Vec<(u32, Item)>,
    /// Whether the last try was sent without an answer; once so, always so.
    pub unanswered: bool,
    /// When they are due, in milliseconds since 1970.
    pub due_ms: i64,
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
        /// The batch is being cancelled: what was released is for
        /// [`sweep`](Store::sweep).
        cancelling: bool,
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

/// Which batches to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Whose.
    pub tenant: TenantId,
    /// For this target only.
    pub target: Option<TargetName>,
    /// In these states only; empty for any.
    pub states: Vec<BatchState>,
    /// With all these labels.
    pub labels: BTreeMap<String, String>,
    /// Older than this one.
    pub before: Option<BatchNo>,
    /// At most so many.
    pub max: usize,
}
