//! Where batches live. A batch is a log: items are appended, chunks are leased
//! and settled, and everything that becomes known is an event with a sequence.
//!
//! The verbs are those of the domain, each one commit. None of them assumes
//! that the process is alone, or that whoever settles a chunk is who leased
//! it: what changes a chunk names its epoch, what appends names its offset, and
//! loses against whoever was first.

mod asked;
mod bits;
mod codec;
mod memory;
mod ready;
mod rows;
mod sqlite;
mod told;
mod verbs;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::model::{Batch, BatchId, BatchNo, Item, TargetName, TenantId};

pub use asked::{
    Again, Append, Bounds, Change, Into, ListQuery, NewBatch, NewChunk, Picks, Prune, Seal, Settle,
    TargetPause,
};
pub use memory::MemoryStore;
pub use sqlite::SqliteStore;
pub use told::{Appended, Backlog, Due, Events, Lease, Leased, Settled, Spent, Swept};

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
    fn lease(&self, picks: Picks, now_ms: i64) -> Answer<'_, Vec<Lease>>;

    /// Records what became of items of a leased chunk. What is told to nobody yet
    /// is nowhere else, so while the store cannot write, this is tried again until
    /// it is recorded or the store is closed.
    fn settle(&self, part: Settle) -> Answer<'_, Settled>;

    /// Has something happen to a batch, and says how it stands then; `None` where
    /// there is none. The queued chunks of one that is stopped are then for
    /// [`sweep`](Self::sweep). Idempotent.
    fn transition(&self, no: BatchNo, change: Change, now_ms: i64) -> Answer<'_, Option<Batch>>;

    /// Settles up to `max_chunks` queued chunks of a stopped batch.
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

    /// Up to `max` batches whose deadline has come, or that are open and to be
    /// looked at.
    fn due(&self, now_ms: i64, max: usize) -> Answer<'_, Vec<Due>>;

    /// Throws away a part of what may be; whether there may be more. A batch
    /// goes whole: from the first step on it is not there.
    fn prune(&self, prune: Prune) -> Answer<'_, bool>;

    /// What was sent to a target from then on, by minutes, the first first: of
    /// leases that were charged.
    fn spent(&self, target: TargetName, from_ms: i64) -> Answer<'_, Vec<Spent>>;

    /// Pauses a target, unless it is paused; whether that changed anything.
    fn pause(&self, pause: TargetPause) -> Answer<'_, bool>;

    /// Ends the pause of a target; whether there was one.
    fn unpause(&self, target: TargetName) -> Answer<'_, bool>;

    /// The targets that are paused, by name.
    fn pauses(&self) -> Answer<'_, Vec<TargetPause>>;
}

/// Whether an item of a target may be sent again although it may have been
/// sent, so long after it was first.
pub type SafeToRepeat = std::sync::Arc<dyn Fn(&TargetName, &Item, Duration) -> bool + Send + Sync>;

/// The store's own trouble.
#[derive(Debug, thiserror::Error, Clone)]
pub enum StoreError {
    /// It is closed, or its writer has stopped.
    #[error("the store is closed")]
    Closed,
    /// There is no room: for new work, while what was taken on goes on; or on the
    /// disk at all. Nothing was done.
    #[error("the store has no room")]
    Full,
    /// It cannot be read or written just now. Nothing was done.
    #[error("the store cannot be used just now: {0}")]
    Failed(String),
    /// What is kept of a batch is not what it should be; others are unhurt.
    /// Nothing was done, nor would it be if it were tried again.
    #[error("what the store holds of a batch is broken: {0}")]
    Broken(String),
    /// The caller's own mistake: a bug. Nothing was done.
    #[error("the store was asked for what makes no sense: {0}")]
    Mistake(String),
    /// It cannot be opened, and what to do.
    #[error("{0}")]
    Unusable(String),
}

impl StoreError {
    /// Whether the same may well be done later.
    pub fn is_passing(&self) -> bool {
        matches!(self, StoreError::Full | StoreError::Failed(_))
    }
}

/// How long to wait before something is tried again that failed so often: from
/// 50 ms to about 2 s.
pub fn pause(failures: u32) -> Duration {
    Duration::from_millis(50) * (1 << failures.clamp(1, 6).saturating_sub(1))
}
