//! What a store is asked for.

use std::collections::BTreeMap;

use crate::model::{
    BatchId, BatchNo, BatchSpec, BatchState, ChunkNo, Held, Item, ItemResult, Rate, TargetName,
    TenantId,
};

/// How much room a store in a file may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of the file with the log beside it; what the disk has, where there
    /// is none.
    pub max_bytes: Option<u64>,
    /// Bytes that new work leaves free, for what becomes of the work that was
    /// taken on.
    pub reserve_bytes: u64,
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
    /// Keys of items that had their outcome before are forgotten; this and the
    /// others in milliseconds since 1970.
    pub keys_since_ms: i64,
    /// When a batch that is left open is looked at.
    pub open_until_ms: i64,
    /// Items that fail for their keys refuse the whole append.
    pub all_valid: bool,
    /// The items were tried before: a key whose item is in doubt is taken over
    /// rather than answered from the record.
    pub takes_over: bool,
    /// The time.
    pub now_ms: i64,
}

impl Append {
    /// Brings nothing yet; keys are never forgotten, and what is open stays so.
    pub fn new(into: Into, now_ms: i64) -> Append {
        Append {
            into,
            chunks: Vec::new(),
            seal: None,
            keys_since_ms: i64::MIN,
            open_until_ms: i64::MAX,
            all_valid: false,
            takes_over: false,
            now_ms,
        }
    }
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

/// What became of items of a leased chunk.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The chunk.
    pub chunk: ChunkNo,
    /// Of the lease.
    pub epoch: u32,
    /// The outcomes, and for each the item's position in the chunk.
    pub results: Vec<(u32, ItemResult)>,
    /// The keys of those of these items that have one, by position.
    pub keys: Vec<(u32, String)>,
    /// Items to be sent again.
    pub again: Vec<Again>,
    /// What was written for the chunk since the last settle, in units of its
    /// target's limits; less than nothing, where some of what was told then
    /// proved to be unwritten.
    pub sent: i64,
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
    /// Whether it was answered with a fault; likewise.
    pub faulted: bool,
    /// Whether there was a last try: else they were not sent, and none counts.
    pub tried: bool,
    /// When they are due, in milliseconds since 1970.
    pub due_ms: i64,
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

/// What happens to a batch. What does not apply to it changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing more of it is sent.
    Cancel,
    /// Nothing more of it is sent for now.
    Pause,
    /// It goes on.
    Resume,
    /// Its deadline has come; one that has not changes nothing.
    Expire,
    /// It has been open for too long without anybody who fills it.
    Abandon,
    /// Somebody fills it, so it stays open until then; in milliseconds since
    /// 1970.
    KeepOpen {
        /// When to look again.
        until_ms: i64,
    },
}

/// Whose chunks to lease.
#[derive(Clone, Debug, Default)]
pub struct Picks {
    /// A chunk of each, in their order.
    pub batches: Vec<BatchNo>,
    /// What each is charged by, for [`spent`](super::Store::spent), in the same
    /// order; empty where nothing is charged.
    pub charged: Vec<Rate>,
}

impl From<Vec<BatchNo>> for Picks {
    fn from(batches: Vec<BatchNo>) -> Self {
        Picks {
            batches,
            charged: Vec::new(),
        }
    }
}

/// What may be thrown away, a bounded part of it at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Prune {
    /// Batches that were finished before; all times in milliseconds since
    /// 1970.
    pub batches_before_ms: i64,
    /// Keys of items that had their outcome before.
    pub keys_before_ms: i64,
    /// Charges of before.
    pub charges_before_ms: i64,
    /// At most about so many rows.
    pub max: usize,
}

/// An operator's word that nothing is to be sent to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetPause {
    /// The target.
    pub target: TargetName,
    /// Since when, and why.
    pub held: Held,
}
