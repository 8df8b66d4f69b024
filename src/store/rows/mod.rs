//! Rows, and access to them: all that the verbs need of an embedded database.
//! Synchronous: whoever calls a verb has the rows to itself until it returns,
//! and commits what it wrote, or none of it.

mod keys;
mod upkeep;

use bytes::Bytes;

use super::bits::Bits;
use super::codec;
use super::{ListQuery, StoreError};
use crate::core::lifecycle::ChunkState;
use crate::core::rate::Pace;
pub(super) use keys::{Digest, Kept, KeyOf, KeyRow, KeyRows};
pub(super) use upkeep::UpkeepRows;

use crate::model::{Batch, BatchId, BatchNo, ChunkNo, Event, EventKind, TargetName, TenantId};

/// What a verb comes to.
pub(super) type Done<T> = Result<T, Undone>;

/// Why a verb was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// The caller's mistake, found before anything was written.
    Mistake(String),
    /// There is no room for new work; nothing was written.
    NoRoom,
    /// Rows are not what they should be; what was written must not stay.
    Broken(String),
    /// There is no room at all; what was written must not stay.
    DiskFull,
    /// The database cannot be used just now; what was written must not stay.
    Failed(String),
    /// The disk failed, or what is on it is damaged: nothing more may be done.
    Lost(String),
}

impl Undone {
    /// Whether others may go on with what they wrote together with it.
    pub fn is_its_own(&self) -> bool {
        matches!(self, Undone::Mistake(_) | Undone::NoRoom)
    }

    /// In words.
    pub fn why(&self) -> &str {
        match self {
            Undone::NoRoom => "there is no room for new work",
            Undone::DiskFull => "there is no room",
            Undone::Mistake(why)
            | Undone::Broken(why)
            | Undone::Failed(why)
            | Undone::Lost(why) => why,
        }
    }
}

impl From<Undone> for StoreError {
    fn from(undone: Undone) -> Self {
        match undone {
            Undone::Mistake(message) => StoreError::Mistake(message),
            Undone::Broken(message) => StoreError::Broken(message),
            Undone::NoRoom | Undone::DiskFull => StoreError::Full,
            Undone::Failed(message) => StoreError::Failed(message),
            Undone::Lost(_) => StoreError::Closed,
        }
    }
}

/// A batch, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BatchRow {
    /// As its readers see it; the progress follows from the rest.
    pub batch: Batch,
    /// How fast it goes; `None` until its first chunk is leased.
    pub pace: Option<Pace>,
    /// How many chunks it had so far.
    pub chunks: Numbered,
    /// While it is open: when somebody has to see whether it still should be.
    pub open_until_ms: Option<i64>,
}

impl BatchRow {
    /// When something is to be done about it although nobody asks.
    pub fn due_ms(&self) -> Option<i64> {
        let batch = &self.batch;
        if batch.state.is_final() {
            return None;
        }
        if batch.stopped_by.is_some() {
            // Until what is queued of it is put to rest, whoever was to do that.
            return (batch.progress.counts.queued() > 0).then_some(0);
        }
        let deadline = batch.spec.deadline_ms;
        let open = self.open_until_ms.filter(|_| batch.sealed_by.is_none());
        deadline.into_iter().chain(open).min()
    }
}

/// How many of a batch's chunks have a number. A number is the batch's in the
/// upper half, so that what belongs together lies together and no index has to
/// say where; and in the lower one a place. Places are never given twice: a
/// late settle must not meet another chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbered {
    /// As they came: from 0 on, in order, without a gap.
    pub came: u32,
    /// Of items that are sent again: from [`AGAIN`] on.
    pub again: u32,
}

/// The first place of a chunk of items that are sent again.
const AGAIN: u32 = 1 << 31;

impl Numbered {
    /// The number for a chunk, the next that came or another.
    pub fn next(&mut self, batch: BatchNo, came: bool) -> Done<ChunkNo> {
        let (count, first) = if came {
            (&mut self.came, 0)
        } else {
            (&mut self.again, AGAIN)
        };
        if *count == AGAIN {
            return Err(Undone::Mistake(
                "more chunks than a batch can have".to_owned(),
            ));
        }
        let no = chunk_no(batch, first + *count);
        *count += 1;
        Ok(no)
    }
}

/// The number of a batch's chunk at a place.
pub(super) fn chunk_no(batch: BatchNo, place: u32) -> ChunkNo {
    ChunkNo(batch.0 << 32 | i64::from(place))
}

/// A chunk, as it is kept: what changes of it. Its items are kept apart,
/// because they never do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ChunkRow {
    /// Its number.
    pub no: ChunkNo,
    /// Whose.
    pub tenant: TenantId,
    /// The batch.
    pub batch: BatchNo,
    /// The index of its first item; `None` for a chunk of items that are sent
    /// again, which need not be consecutive.
    pub first: Option<u32>,
    /// Its items.
    pub count: u32,
    /// Where it is in its life.
    pub state: ChunkState,
    /// How often it was leased.
    pub epoch: u32,
    /// How often its items have been sent.
    pub attempt: u32,
    /// When the first of them was first leased; `None` before.
    pub since_ms: Option<i64>,
    /// When it is due; 0 for at once.
    pub due_ms: i64,
    /// The items that have an outcome, or have moved to another chunk.
    pub done: Bits,
    /// The items that were sent once without an answer.
    pub unanswered: Bits,
    /// The items that the target answered with a fault of its own.
    pub faulted: Bits,
    /// What its lease was charged, where it was.
    pub charged: Option<Charged>,
}

/// What a lease was charged, and is not known to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charged {
    /// The minute that it was charged to.
    pub minute: i64,
    /// In units of the target's limits.
    pub units: i64,
}

impl ChunkRow {
    /// A chunk of a batch that was never leased; its number and its items are the
    /// caller's to say.
    pub fn queued(tenant: &TenantId, batch: BatchNo, first: Option<u32>) -> ChunkRow {
        ChunkRow {
            no: ChunkNo(0),
            tenant: tenant.clone(),
            batch,
            first,
            count: 0,
            state: ChunkState::Queued,
            epoch: 0,
            attempt: 0,
            since_ms: None,
            due_ms: 0,
            done: Bits::default(),
            unanswered: Bits::default(),
            faulted: Bits::default(),
            charged: None,
        }
    }

    /// How many of its items have neither an outcome nor moved.
    pub fn left(&self) -> u32 {
        self.count - self.done.count()
    }

    /// A chunk of items that were sent again, and are not once more.
    pub fn is_done_trying(&self) -> bool {
        self.first.is_none() && self.state == ChunkState::Finished
    }
}

/// An event, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct EventRow {
    /// Its place in the batch's log.
    pub sequence: u64,
    /// When it was recorded.
    pub at_ms: i64,
    /// What sort of thing happened.
    pub kind: RowKind,
    /// Results or progress, encoded; nothing where it is finished.
    pub body: Bytes,
}

/// The sorts of events. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum RowKind {
    /// Items got their outcomes.
    Results = 1,
    /// A chunk was finished.
    Progress = 2,
    /// The batch is finished.
    Finished = 3,
}

impl EventRow {
    /// What its readers see.
    pub fn decode(self) -> Done<Event> {
        let kind = match self.kind {
            RowKind::Results => EventKind::Results(codec::decode_results(self.body)?),
            RowKind::Progress => EventKind::Progress(codec::decode_progress(self.body)?),
            RowKind::Finished => EventKind::Finished,
        };
        Ok(Event {
            sequence: self.sequence,
            at_ms: self.at_ms,
            kind,
        })
    }
}

/// Access to the rows: the log's here, others beside.
pub(super) trait Rows: KeyRows + UpkeepRows {
    /// Whether there is room for so many bytes of new work.
    fn has_room(&mut self, bytes: usize) -> Done<bool>;

    /// A batch.
    fn batch(&mut self, no: BatchNo) -> Done<Option<BatchRow>>;

    /// The tenant's batch with this id.
    fn batch_by_id(&mut self, tenant: &TenantId, id: BatchId) -> Done<Option<BatchNo>>;

    /// The tenant's batch with this `request_id`.
    fn batch_by_request(&mut self, tenant: &TenantId, request_id: &str) -> Done<Option<BatchNo>>;

    /// Adds a batch; its number on the way in is ignored.
    fn insert_batch(&mut self, row: &BatchRow) -> Done<BatchNo>;

    /// Changes a batch: its state, progress and times, not what was asked for.
    fn update_batch(&mut self, row: BatchRow) -> Done<()>;

    /// Up to `max` of the batches that a query asks for, the newest first,
    /// older than `before`. Labels are left to the caller.
    fn page(
        &mut self,
        query: &ListQuery,
        before: Option<BatchNo>,
        max: usize,
    ) -> Done<Vec<BatchRow>>;

    /// The batches that have queued items for a target, in order of arrival,
    /// each with their number.
    fn waiting(&mut self, target: &TargetName) -> Done<Vec<(TenantId, BatchNo, u32)>>;

    /// A chunk.
    fn chunk(&mut self, no: ChunkNo) -> Done<Option<ChunkRow>>;

    /// A chunk's items, encoded.
    fn chunk_items(&mut self, no: ChunkNo) -> Done<Bytes>;

    /// Adds a chunk with its items, encoded.
    fn insert_chunk(&mut self, row: ChunkRow, items: &Bytes) -> Done<()>;

    /// Changes a chunk: all but its number, its batch and its items. Those of a
    /// chunk of tries are let go when it is finished: they are held where they
    /// came.
    fn update_chunk(&mut self, row: ChunkRow) -> Done<()>;

    /// Of the batch's queued chunks that are due no earlier than `due_ms`, the
    /// first that is due, and of several the one with the lowest number.
    fn queued(&mut self, batch: &Batch, due_ms: i64) -> Done<Option<ChunkRow>>;

    /// Up to `max` leased chunks after this one, in the order of their numbers.
    fn leased(&mut self, after: ChunkNo, max: usize) -> Done<Vec<ChunkRow>>;

    /// Adds an event to a batch's log.
    fn insert_event(&mut self, batch: &Batch, row: EventRow) -> Done<()>;

    /// Events of a batch after a sequence, in order: the first, then as many as
    /// fit `max_bytes` with it; and whether there are more.
    fn events(
        &mut self,
        batch: BatchNo,
        after: u64,
        max_bytes: usize,
    ) -> Done<(Vec<EventRow>, bool)>;
}
