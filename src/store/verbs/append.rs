//! Adds items to a batch, new or open.

use super::super::bits::Bits;
use super::super::ready::{Outcomes, ReadyAppend, ReadyChunk, mistake};
use super::super::rows::{BatchRow, ChunkRow, Done, Numbered, Rows, Undone};
use super::super::{Appended, Into, NewBatch, Seal};
use super::keys::{Claims, claims};
use super::{Ledger, opened};
use crate::core::lifecycle::BatchEvent;
use crate::model::{Batch, BatchNo, BatchState, Progress};

/// See [`Store::append`](super::super::Store::append). Of a new batch that is
/// refused for its count, the answer holds what it would have been before its
/// items; it is not there.
pub(in crate::store) fn append<R: Rows>(rows: &mut R, part: &ReadyAppend) -> Done<Appended> {
    let (row, is_new) = match &part.into {
        Into::New(new) => match known(rows, new)? {
            Some(batch) => return Ok(Appended::Exists(Box::new(batch))),
            None => (empty(new.clone(), part), true),
        },
        Into::Open { no, held } => {
            let row = opened(rows, *no)?;
            if row.batch.sealed_by.is_some() {
                return Ok(Appended::Sealed(Box::new(row.batch)));
            }
            if row.batch.progress.counts.total != *held {
                return Ok(Appended::Moved(Box::new(row.batch)));
            }
            (row, false)
        }
    };
    let held = row.batch.progress.counts.total;
    let total = end_of(held, &part.chunks)?;
    let fits = match part.seal {
        None => true,
        Some(Seal::Unchecked) => total > 0,
        Some(Seal::At(count)) => total > 0 && total == count,
    };
    if !fits {
        return Ok(Appended::WrongCount(Box::new(row.batch)));
    }
    checked(&part.chunks)?;
    if (is_new || total > held) && !rows.has_room(part.bytes())? {
        return Err(Undone::NoRoom);
    }
    let claims = claims(rows, &row.batch, part)?;
    let refused: Vec<_> = claims.iter().flat_map(Claims::invalid).collect();
    if part.all_valid && !refused.is_empty() {
        return Ok(Appended::Invalid(refused.into_iter().cloned().collect()));
    }

    let mut ledger = Ledger::with(rows, row, part.now_ms);
    if is_new {
        ledger.batch.no = ledger.rows.insert_batch(&BatchRow {
            batch: ledger.batch.clone(),
            pace: None,
            chunks: Numbered::default(),
            open_until_ms: ledger.open_until_ms,
        })?;
    }
    ledger.counts().total = total;
    if part.seal.is_some() {
        ledger.advance(BatchEvent::Seal);
    }
    for (chunk, mut claims) in part.chunks.iter().zip(claims) {
        let answered = std::mem::take(&mut claims.answered);
        ledger.take_keys(claims)?;
        let answered = Outcomes::encode(answered, Vec::new());
        ledger.enqueue(chunk, answered.as_ref())?;
    }
    Ok(Appended::Held(Box::new(ledger.save()?)))
}

impl<R: Rows> Ledger<'_, R> {
    /// Queues a chunk, but for those of its items that failed already, or were
    /// answered by their keys.
    fn enqueue(&mut self, chunk: &ReadyChunk, answered: Option<&Outcomes>) -> Done<()> {
        let mut row = ChunkRow {
            no: self.chunks.next(self.batch.no, true)?,
            count: chunk.count,
            ..ChunkRow::queued(&self.batch.tenant, self.batch.no, Some(chunk.first))
        };
        for outcomes in chunk.failed.iter().chain(answered) {
            for (position, _) in &outcomes.places {
                row.done.add(*position);
            }
            self.outcomes(outcomes)?;
        }
        if row.left() == 0 {
            self.finish_chunk(&mut row)?;
        }
        self.rows.insert_chunk(row, &chunk.items)
    }
}

/// The tenant's batch with the same `request_id`; an id must be new.
fn known(rows: &mut impl Rows, new: &NewBatch) -> Done<Option<Batch>> {
    if let Some(request_id) = &new.spec.request_id
        && let Some(no) = rows.batch_by_request(&new.tenant, request_id)?
    {
        return Ok(rows.batch(no)?.map(|row| row.batch));
    }
    if rows.batch_by_id(&new.tenant, new.id)?.is_some() {
        return Err(mistake("a new batch with the id of another"));
    }
    Ok(None)
}

/// A batch without items.
fn empty(new: NewBatch, part: &ReadyAppend) -> BatchRow {
    BatchRow {
        batch: Batch {
            no: BatchNo(0),
            tenant: new.tenant,
            id: new.id,
            spec: new.spec,
            state: BatchState::Running,
            sealed_by: None,
            stopped_by: None,
            progress: Progress::default(),
            last_sequence: 0,
            created_ms: part.now_ms,
            started_ms: None,
            finished_ms: None,
        },
        pace: None,
        chunks: Numbered::default(),
        open_until_ms: Some(part.open_until_ms),
    }
}

/// How many items a batch that holds so many will hold with these, which must
/// follow on.
fn end_of(held: u32, chunks: &[ReadyChunk]) -> Done<u32> {
    chunks.iter().try_fold(held, |end, chunk| {
        if chunk.first != end {
            return Err(mistake("items that do not follow on those that are held"));
        }
        end.checked_add(chunk.count)
            .ok_or_else(|| mistake("more items than a batch can count"))
    })
}

/// Fails for an item that failed admission twice, or is not in its chunk.
fn checked(chunks: &[ReadyChunk]) -> Done<()> {
    for chunk in chunks {
        let mut seen = Bits::default();
        let places = chunk.failed.iter().flat_map(|failed| &failed.places);
        for (position, _) in places {
            if *position >= chunk.count || !seen.add(*position) {
                return Err(mistake(
                    "a failed item that is not in its chunk, or is twice",
                ));
            }
        }
    }
    Ok(())
}
