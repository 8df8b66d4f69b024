//! Every verb of the store, once, over whatever keeps the rows. A verb checks
//! all that it was told before it writes anything, so that one that is refused
//! leaves nothing behind; pure decisions are core's.

mod append;
mod keys;
mod lease;
mod read;
mod rescue;
mod settle;
mod sweep;
mod transition;
mod upkeep;

use bytes::Bytes;

pub(super) use append::append;
pub(super) use lease::{Pick, lease};
pub(super) use read::{backlog, batch, events, items, list};
pub(super) use rescue::{Rescued, pass_leased, rescue};
pub(super) use settle::settle;
pub(super) use sweep::sweep;
pub(super) use transition::transition;
pub(super) use upkeep::{due, prune, spent};

use super::codec;
use super::ready::Outcomes;
use super::rows::{BatchRow, ChunkRow, Done, EventRow, Numbered, RowKind, Rows, Undone};
use crate::core::classify::is_retryable;
use crate::core::lifecycle::{self, BatchEvent, ChunkEvent, Standing};
use crate::core::rate::{self, Pace};
use crate::model::{Batch, BatchNo, Counts, Failure, FailureKind, Item, ItemResult, Outcome};

/// A batch under a verb's hands. What happens to it is logged and counted as
/// it comes, and written back by [`save`](Self::save).
struct Ledger<'a, R> {
    rows: &'a mut R,
    batch: Batch,
    pace: Option<Pace>,
    chunks: Numbered,
    open_until_ms: Option<i64>,
    now_ms: i64,
}

impl<'a, R: Rows> Ledger<'a, R> {
    /// Opens a batch that must be there.
    fn open(rows: &'a mut R, no: BatchNo, now_ms: i64) -> Done<Ledger<'a, R>> {
        let row = opened(rows, no)?;
        Ok(Ledger::with(rows, row, now_ms))
    }

    fn with(rows: &'a mut R, row: BatchRow, now_ms: i64) -> Ledger<'a, R> {
        Ledger {
            rows,
            batch: row.batch,
            pace: row.pace,
            chunks: row.chunks,
            open_until_ms: row.open_until_ms,
            now_ms,
        }
    }

    fn counts(&mut self) -> &mut Counts {
        &mut self.batch.progress.counts
    }

    /// Applies an event to the batch's state.
    fn advance(&mut self, event: BatchEvent) {
        let next = lifecycle::advance(
            Standing {
                state: self.batch.state,
                sealed_by: self.batch.sealed_by,
                stopped_by: self.batch.stopped_by,
            },
            event,
        );
        self.batch.state = next.state;
        self.batch.sealed_by = next.sealed_by;
        self.batch.stopped_by = next.stopped_by;
    }

    /// Records outcomes of items that are no longer counted as in flight.
    fn outcomes(&mut self, outcomes: &Outcomes) -> Done<()> {
        let counts = self.counts();
        counts.succeeded += outcomes.succeeded;
        for (count, more) in counts.failed.iter_mut().zip(outcomes.failed) {
            *count += more;
        }
        for body in &outcomes.bodies {
            self.log(RowKind::Results, body.clone())?;
        }
        self.keep_keys(&outcomes.keys)
    }

    /// Marks a chunk as finished and says so.
    fn finish_chunk(&mut self, chunk: &mut ChunkRow) -> Done<()> {
        advance_chunk(chunk, ChunkEvent::Emptied)?;
        self.counts().chunks_finished += 1;
        self.refresh()?;
        let body = codec::encode_progress(&self.batch.progress);
        self.log(RowKind::Progress, body)
    }

    fn log(&mut self, kind: RowKind, body: Bytes) -> Done<()> {
        self.batch.last_sequence += 1;
        let row = EventRow {
            sequence: self.batch.last_sequence,
            at_ms: self.now_ms,
            kind,
            body,
        };
        self.rows.insert_event(&self.batch, row)
    }

    /// Brings what follows from the counts up to date. Here, once, is where
    /// they are known to add up: queued, in flight and completed make the
    /// total.
    fn refresh(&mut self) -> Done<()> {
        let counts = self.batch.progress.counts;
        let placed = counts.completed().checked_add(counts.in_flight);
        if placed.is_none_or(|placed| placed > counts.total) {
            let message = format!("the counts of a batch do not add up: {counts:?}");
            debug_assert!(false, "{message}");
            return Err(Undone::Broken(message));
        }
        let sealed = self.batch.sealed_by.is_some();
        self.batch.progress = rate::progress(counts, sealed, self.pace.as_ref());
        Ok(())
    }

    /// Stops the batch if it has to be, finishes it if nothing is left of it,
    /// and writes it back.
    fn save(mut self) -> Done<Batch> {
        let counts = *self.counts();
        let was_final = self.batch.state.is_final();
        if !(counts.all_done() && self.batch.sealed_by.is_some()) {
            self.stop_if_due(&counts);
        }
        self.refresh()?;
        if counts.all_done() {
            self.advance(BatchEvent::AllDone(counts));
        }
        if self.batch.state.is_final() && !was_final {
            self.batch.finished_ms = Some(self.now_ms);
            self.log(RowKind::Finished, Bytes::new())?;
        }
        self.rows.update_batch(BatchRow {
            batch: self.batch.clone(),
            pace: self.pace,
            chunks: self.chunks,
            open_until_ms: self.open_until_ms,
        })?;
        Ok(self.batch)
    }

    /// Stops the batch where its deadline has passed, or where its policy takes
    /// no more failures.
    fn stop_if_due(&mut self, counts: &Counts) {
        let spec = &self.batch.spec;
        let is_expired = spec.deadline_ms.is_some_and(|at| at <= self.now_ms);
        let sealed = self.batch.sealed_by.is_some();
        if lifecycle::trips(spec.failure_policy, counts, sealed) {
            self.advance(BatchEvent::Trip);
        } else if is_expired {
            self.advance(BatchEvent::Expire);
        }
    }
}

/// A batch that must be there.
fn opened(rows: &mut impl Rows, no: BatchNo) -> Done<BatchRow> {
    let row = rows.batch(no)?;
    row.ok_or_else(|| Undone::Mistake(format!("there is no batch {}", no.0)))
}

/// Applies an event to a chunk's state.
fn advance_chunk(chunk: &mut ChunkRow, event: ChunkEvent) -> Done<()> {
    chunk.state = chunk.state.advance(event).ok_or_else(|| {
        Undone::Broken(format!(
            "chunk {} is {:?}: {event:?} cannot happen to it",
            chunk.no.0, chunk.state
        ))
    })?;
    Ok(())
}

/// The items of a chunk that have neither an outcome nor moved, with their
/// positions.
fn remaining(chunk: &ChunkRow, items: Bytes) -> Done<Vec<(u32, Item)>> {
    let items = codec::decode_items(items)?;
    let left: Vec<_> = (0..)
        .zip(items)
        .filter(|(position, _)| !chunk.done.has(*position))
        .collect();
    if left.len() != chunk.left() as usize {
        return Err(Undone::Broken(format!(
            "chunk {} holds other items than its row says",
            chunk.no.0
        )));
    }
    Ok(left)
}

/// Why an item is not sent, or not again: the kind of failure, a word for
/// programs and one for people.
type Why = (FailureKind, &'static str, String);

/// Results of a chunk's items that are not sent, or not again, each for its
/// reason.
fn stopped(
    batch: &Batch,
    items: Vec<(u32, Item)>,
    attempts: u32,
    why: impl Fn(u32) -> Why,
) -> Option<Outcomes> {
    let mut results = Vec::with_capacity(items.len());
    let mut keys = Vec::new();
    for (position, item) in items {
        keys.extend(item.key.clone().map(|key| (position, key)));
        let (kind, reason, message) = why(position);
        let id = item.shown_id();
        results.push((
            position,
            ItemResult {
                index: item.index,
                id,
                outcome: Outcome::Failed(Box::new(failure(kind, reason, message))),
                attempts,
                replayed: false,
                item: batch.spec.echo.of_failed().then(|| Box::new(item)),
            },
        ));
    }
    Outcomes::encode(results, keys)
}

/// A failure that is not an answer of the target's.
fn failure(kind: FailureKind, reason: &str, message: String) -> Failure {
    Failure {
        kind,
        reason: reason.to_owned(),
        message,
        violations: Vec::new(),
        status: None,
        reply: None,
        truncated: false,
        retryable: is_retryable(kind),
    }
}
