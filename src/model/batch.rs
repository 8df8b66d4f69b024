//! A batch as its readers see it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BatchId, BatchNo, FailureKind, TargetName, TenantId};

/// What a caller asks for, for a batch as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchSpec {
    /// Where the items go.
    pub target: TargetName,
    /// The batch's own idempotency key.
    pub request_id: Option<String>,
    /// Free text to find it by.
    pub labels: BTreeMap<String, String>,
    /// What a bad item does to its batch.
    pub validation: Validation,
    /// Which results carry their item.
    pub echo: Echo,
    /// Which items may be under way together.
    pub ordering: Ordering,
    /// Whether its items stand or fall together.
    pub atomicity: Atomicity,
    /// Items that are not sent by then expire; in milliseconds since 1970.
    pub deadline_ms: Option<i64>,
    /// When failures stop the rest.
    pub failure_policy: FailurePolicy,
}

impl BatchSpec {
    /// All by default, for a target.
    pub fn new(target: TargetName) -> BatchSpec {
        BatchSpec {
            target,
            request_id: None,
            labels: BTreeMap::new(),
            validation: Validation::default(),
            echo: Echo::default(),
            ordering: Ordering::default(),
            atomicity: Atomicity::default(),
            deadline_ms: None,
            failure_policy: FailurePolicy::default(),
        }
    }
}

/// Which items of a batch may be under way together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// Any.
    #[default]
    Parallel,
    /// One: an item is sent only after the outcome of the one before it.
    Strict,
}

/// Whether the items of a batch stand or fall together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Atomicity {
    /// Each for itself.
    #[default]
    Each,
    /// All are done, or none is.
    AllOrNothing,
}

/// When failures stop what is not sent yet. Whichever is reached first; by
/// default, none does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FailurePolicy {
    /// At so many failures; 0 for never.
    pub stop_after: u32,
    /// At this share of failures, from 0 to 1; 0 for never.
    pub stop_at_share: f64,
}

/// What an item that fails admission does to its batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Validation {
    /// It alone fails.
    #[default]
    Item,
    /// Its message is refused.
    Batch,
}

/// Which results carry the item that they are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Echo {
    /// Failures.
    #[default]
    Failed,
    /// None.
    None,
    /// All.
    All,
}

impl Echo {
    /// Whether a failure carries its item.
    pub fn of_failed(self) -> bool {
        matches!(self, Echo::Failed | Echo::All)
    }

    /// Whether a success carries its item.
    pub fn of_succeeded(self) -> bool {
        matches!(self, Echo::All)
    }
}

/// A batch as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Its number in the store.
    pub no: BatchNo,
    /// Who submitted it.
    pub tenant: TenantId,
    /// Its public id.
    pub id: BatchId,
    /// What was asked for.
    pub spec: BatchSpec,
    /// Where it stands.
    pub state: BatchState,
    /// Who sealed it; `None` while items may still come.
    pub sealed_by: Option<SealedBy>,
    /// What stopped it: nothing more of it is sent.
    pub stopped_by: Option<StoppedBy>,
    /// How far it has come.
    pub progress: Progress,
    /// The sequence of its last event; 0 before the first.
    pub last_sequence: u64,
    /// When it was opened, in milliseconds since 1970.
    pub created_ms: i64,
    /// When its first chunk was leased.
    pub started_ms: Option<i64>,
    /// When its last outcome was recorded.
    pub finished_ms: Option<i64>,
}

/// Where a batch stands. The numbers are those of the contract, and are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum BatchState {
    /// Items are being taken in, waiting or on their way.
    Running = 1,
    /// Cancelled; what was written runs out.
    Cancelling = 2,
    /// Every item succeeded.
    Succeeded = 3,
    /// Some items succeeded, or may have.
    PartiallySucceeded = 4,
    /// Every item failed, none is in doubt.
    Failed = 5,
    /// The caller cancelled it.
    Cancelled = 6,
    /// The caller holds it: nothing more of it is sent until it is resumed.
    Paused = 7,
}

impl BatchState {
    /// All of them, in the order of their numbers.
    pub const ALL: [BatchState; 7] = [
        BatchState::Running,
        BatchState::Cancelling,
        BatchState::Succeeded,
        BatchState::PartiallySucceeded,
        BatchState::Failed,
        BatchState::Cancelled,
        BatchState::Paused,
    ];

    /// Whether nothing can change any more.
    pub fn is_final(self) -> bool {
        !matches!(
            self,
            BatchState::Running | BatchState::Cancelling | BatchState::Paused
        )
    }
}

/// Who sealed a batch. The numbers are those of the contract, and are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SealedBy {
    /// The client.
    Client = 1,
    /// A cancellation.
    Cancel = 2,
    /// Nobody had a stream open on it for too long.
    Timeout = 3,
    /// Its failure policy.
    FailurePolicy = 4,
    /// Its deadline.
    Deadline = 5,
}

impl SealedBy {
    /// All of them, in the order of their numbers.
    pub const ALL: [SealedBy; 5] = [
        SealedBy::Client,
        SealedBy::Cancel,
        SealedBy::Timeout,
        SealedBy::FailurePolicy,
        SealedBy::Deadline,
    ];
}

/// What stopped a batch: what is not sent yet will not be. The numbers are those
/// of the contract, and are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StoppedBy {
    /// The caller cancelled it.
    Cancel = 1,
    /// As many items failed as its failure policy takes.
    FailurePolicy = 2,
    /// Its deadline has passed.
    Deadline = 3,
}

impl StoppedBy {
    /// All of them, in the order of their numbers.
    pub const ALL: [StoppedBy; 3] = [
        StoppedBy::Cancel,
        StoppedBy::FailurePolicy,
        StoppedBy::Deadline,
    ];
}

/// How many items of a batch are where; kept with the outcomes, in the same
/// commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Items held.
    pub total: u32,
    /// Items that succeeded.
    pub succeeded: u32,
    /// Items that failed, by [`FailureKind::place`].
    pub failed: [u32; FailureKind::ALL.len()],
    /// Items in leased chunks that have no outcome yet.
    pub in_flight: u32,
    /// Chunks that are finished.
    pub chunks_finished: u32,
}

impl Counts {
    /// Items that failed, of whatever kind.
    pub fn failed_total(&self) -> u32 {
        self.failed.iter().sum()
    }

    /// Items that have an outcome.
    pub fn completed(&self) -> u32 {
        self.succeeded + self.failed_total()
    }

    /// Items that wait.
    pub fn queued(&self) -> u32 {
        self.total - self.completed() - self.in_flight
    }

    /// Whether every item has an outcome.
    pub fn all_done(&self) -> bool {
        self.completed() == self.total
    }
}

/// How far a batch has come.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// How many items are where.
    pub counts: Counts,
    /// Outcomes a second of late.
    pub items_per_second: f64,
    /// How long the rest takes at that rate; `None` while unknown.
    pub time_left: Option<Duration>,
}
