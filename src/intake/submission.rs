//! A batch that is being filled piece by piece.

mod refused;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use tokio::time::Instant;

use self::refused::{conflict, gap, sealed, wrong_count};
use super::atomic::Together;
use super::attached::Guard;
use super::memory::Taken;
use super::{
    Admitted, Draft, Intake, check, empty_batch, new_chunk, request_id_reused, slicer,
    store_trouble, unexpected,
};
use crate::core::slice::Slicer;
use crate::model::{Batch, Refusal};
use crate::store::{Append, Appended, Into, NewChunk, Seal, StoreError};
use crate::target::Entry;

/// How long items wait for others to fill up their chunk: frames of one item
/// must not become chunks of one, and nobody notices so short a wait.
const TAIL_WAIT: Duration = Duration::from_millis(50);

/// Bytes of items on their way to the disk, for one stream, beyond which it
/// reads no further: enough that many frames share a sync, little enough that
/// many streams fit in memory.
const COMMITTING_BYTES: usize = 1024 * 1024;

/// The same for appends of few bytes, which cost the store as much.
const COMMITTING: usize = 64;

/// A batch that is being filled piece by piece. What it was given is on disk
/// once [`committed`](Self::committed) has said so; dropping it forgets the
/// rest.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Submission {
    intake: Intake,
    entry: Arc<Entry>,
    batch: Batch,
    /// It was opened by a `request_id` that was known already.
    is_repeat: bool,
    /// The index of the next item of this stream that says none.
    next: u32,
    /// How far this stream came: repeats do not take it back.
    reached: u32,
    /// Items on disk or on the way there.
    held: u32,
    tail: Slicer<Admitted>,
    tail_since: Option<Instant>,
    commits: FuturesOrdered<BoxFuture<'static, Commit>>,
    /// Bytes of the messages in `commits`.
    committing_bytes: usize,
    /// Bytes of the messages since the last commit, and the memory for them.
    taken_bytes: usize,
    memory: Taken,
    /// A seal is on disk or on the way there.
    sealed: bool,
    /// The seal went without items.
    seals_only: bool,
    /// The items were tried before, in another batch.
    takes_over: bool,
    /// Its items stand or fall together.
    together: Option<Together>,
    /// Then, bytes of those that are held; `None` until they are counted.
    held_bytes: Option<usize>,
    /// Says that the batch is being filled.
    _attached: Guard,
}

/// An append that came back from the disk.
struct Commit {
    appended: Result<Appended, StoreError>,
    /// Of the messages that it holds.
    bytes: usize,
    /// It may have brought events.
    logs: bool,
    /// Given back when the next one is looked at.
    _memory: Taken,
}

impl Submission {
    /// Fills a batch from the index `next` on.
    pub(super) fn new(
        intake: Intake,
        entry: Arc<Entry>,
        batch: Batch,
        next: u32,
        together: Option<Together>,
    ) -> Submission {
        Submission {
            is_repeat: false,
            together,
            held_bytes: None,
            tail: slicer(&entry, together),
            tail_since: None,
            entry,
            next,
            reached: next,
            held: batch.progress.counts.total,
            sealed: batch.sealed_by.is_some(),
            seals_only: false,
            takes_over: false,
            _attached: intake.attached.attach(batch.no),
            intake,
            batch,
            commits: FuturesOrdered::new(),
            committing_bytes: 0,
            taken_bytes: 0,
            memory: Taken::default(),
        }
    }

    /// The same for a batch that another submission had opened under the same
    /// `request_id`.
    pub(super) fn repeat(
        intake: Intake,
        entry: Arc<Entry>,
        batch: Batch,
        together: Option<Together>,
    ) -> Submission {
        Submission {
            is_repeat: true,
            ..Submission::new(intake, entry, batch, 0, together)
        }
    }

    /// Whether an earlier submission opened the batch under the same
    /// `request_id`: what this one says is compared with what that one said.
    pub fn is_repeat(&self) -> bool {
        self.is_repeat
    }

    /// Its items were tried before, in another batch: keys that are in doubt
    /// there go with them.
    pub(super) fn takes_over(&mut self) {
        self.takes_over = true;
    }

    /// The batch, as of the last commit.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Whether another append may be taken in now; else wait for
    /// [`committed`](Self::committed).
    pub fn has_room(&self) -> bool {
        self.commits.len() < COMMITTING && self.committing_bytes < COMMITTING_BYTES
    }

    /// Whether something is on its way to the disk.
    pub fn is_committing(&self) -> bool {
        !self.commits.is_empty()
    }

    /// Whether the stream has sealed the batch, or found it sealed.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// When [`flush`](Self::flush) is due, if anything waits for it.
    pub fn flush_due(&self) -> Option<Instant> {
        self.tail_since.map(|since| since + TAIL_WAIT)
    }

    /// Takes in the items of one message.
    ///
    /// # Errors
    ///
    /// Those of `BatchSubmitStream` that concern an append; nothing of the
    /// message is taken then.
    pub async fn append(
        &mut self,
        drafts: Vec<Draft>,
        offset: Option<u32>,
        message_bytes: usize,
    ) -> Result<(), Refusal> {
        self.intake.limits.message(message_bytes)?;
        let memory = self.memory_for(message_bytes).await?;
        let first = offset.unwrap_or(self.next);
        let taken = self.taken();
        if first > taken {
            return Err(gap(&self.batch, first, taken));
        }
        let spec = self.batch.spec.clone();
        let end = self.intake.limits.total(first, drafts.len())?;
        let (at, entry) = ("append.items", &self.entry);
        let admitting = (self.intake).admit_aside(entry, &spec, drafts, first, at, message_bytes);
        let mut admitted = admitting.await?;
        let repeated = usize::min(admitted.len(), (taken - first) as usize);
        let fresh = admitted.split_off(repeated);
        if !admitted.is_empty() {
            let repeats = admitted.into_iter().map(|((item, _), _)| item).collect();
            self.same_as_held(first, repeats).await?;
        }
        if !fresh.is_empty() && self.sealed {
            return Err(sealed(&self.batch, self.held));
        }
        self.stand_together(end, &fresh).await?;
        if !fresh.is_empty() {
            // What is held already needs none, and no commit would give it back.
            self.taken_bytes += message_bytes;
            self.memory.add(memory);
        }
        let mut chunks = Vec::new();
        for (item, bytes) in fresh {
            chunks.extend(self.tail.push(item, bytes).map(new_chunk));
        }
        if !chunks.is_empty() {
            self.tail_since = None;
            self.commit(chunks, None);
        }
        if self.tail.tail_len() > 0 {
            self.tail_since.get_or_insert_with(Instant::now);
        }
        self.next = end;
        self.reached = self.reached.max(end);
        Ok(())
    }

    /// Sends to the disk what waits for its chunk to fill up.
    pub fn flush(&mut self) {
        self.tail_since = None;
        if let Some(tail) = self.tail.take() {
            self.commit(vec![new_chunk(tail)], None);
        }
    }

    /// Says that no more items will come. Harmless when repeated.
    ///
    /// # Errors
    ///
    /// Those of `BatchSubmitStream` that concern a seal; the batch stays open
    /// then.
    pub fn seal(&mut self, count: Option<u32>) -> Result<(), Refusal> {
        let taken = self.taken();
        if let Some(count) = count
            && count != taken
        {
            return Err(wrong_count(count, taken));
        }
        if taken == 0 {
            return Err(empty_batch());
        }
        if self.reached < taken {
            // It was attached to by its `request_id`, and this stream ends
            // before what is held does.
            let theirs = format!("it holds {taken} items, this stream had {}", self.reached);
            return Err(request_id_reused(&self.batch, &theirs));
        }
        if !self.sealed {
            self.sealed = true;
            self.tail_since = None;
            let tail = self.tail.take().map(new_chunk);
            self.seals_only = tail.is_none();
            self.commit(tail.into_iter().collect(), Some(Seal::At(taken)));
        }
        Ok(())
    }

    /// Waits until the oldest append on its way is on disk, and returns the
    /// batch as of then; `None` when nothing is on its way. Safe to cancel.
    ///
    /// # Errors
    ///
    /// When somebody else has changed the batch meanwhile, or the store failed.
    pub async fn committed(&mut self) -> Result<Option<&Batch>, Refusal> {
        let Some(commit) = self.commits.next().await else {
            return Ok(None);
        };
        self.committing_bytes -= commit.bytes;
        match commit.appended.map_err(store_trouble)? {
            Appended::Held(batch) => {
                self.intake.announce(&batch, commit.logs);
                self.batch = *batch;
                Ok(Some(&self.batch))
            }
            // Somebody else has said the same first: repeating it is harmless.
            Appended::Sealed(batch) if self.is_repeated_seal(&batch) => {
                self.batch = *batch;
                Ok(Some(&self.batch))
            }
            Appended::Sealed(batch) => Err(sealed(&batch, batch.progress.counts.total)),
            // By their indexes: they may be of several messages.
            Appended::Invalid(results) => Err(check::invalid_keys(&results, "items")),
            Appended::Moved(batch) => Err(conflict(
                &batch,
                "another stream appends to this batch; use one at a time",
            )),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether what could not be done for a seal was to seal a batch that is
    /// sealed just so.
    fn is_repeated_seal(&self, batch: &Batch) -> bool {
        let is_last = self.commits.is_empty();
        self.seals_only && is_last && batch.progress.counts.total == self.held
    }

    /// Items that this batch holds or is about to.
    fn taken(&self) -> u32 {
        self.held + u32::try_from(self.tail.tail_len()).unwrap_or(u32::MAX)
    }

    fn commit(&mut self, chunks: Vec<NewChunk>, seal: Option<Seal>) {
        let items: usize = chunks.iter().map(|chunk| chunk.items.len()).sum();
        let logs = seal.is_some() || chunks.iter().any(|chunk| !chunk.failed.is_empty());
        let into = Into::Open {
            no: self.batch.no,
            held: self.held,
        };
        let part = Append {
            chunks,
            seal,
            takes_over: self.takes_over,
            ..self.intake.part(into, &self.batch.spec)
        };
        // Within the limits, which are u32.
        self.held += u32::try_from(items).unwrap_or(u32::MAX);
        // What waits for its chunk to fill up keeps its memory.
        let waiting = self.tail.tail_bytes().min(self.taken_bytes);
        let bytes = self.taken_bytes - waiting;
        self.taken_bytes = waiting;
        let mut memory = std::mem::take(&mut self.memory);
        self.memory = memory.split_off(waiting);
        self.committing_bytes += bytes;
        // Asked for here and now: appends are done in the order of the calls.
        let appending = self.intake.store.append(part);
        self.commits.push_back(Box::pin(async move {
            Commit {
                appended: appending.await,
                bytes,
                logs,
                _memory: memory,
            }
        }));
    }

    /// Memory for a message, when there is some.
    async fn memory_for(&mut self, bytes: usize) -> Result<Taken, Refusal> {
        let memory = self.intake.memory.clone();
        if let Some(taken) = memory.try_take(bytes) {
            return Ok(taken);
        }
        // What this stream holds has to get on meanwhile, or all might wait for
        // each other.
        self.flush();
        let mut taking = pin!(memory.take(bytes));
        loop {
            tokio::select! {
                taken = &mut taking => return Ok(taken),
                committed = self.committed(), if self.is_committing() => {
                    committed?;
                }
            }
        }
    }
}
