//! Takes up queued chunks for sending.

use std::iter;

use bytes::Bytes;

use super::super::bits::Bits;
use super::super::codec;
use super::super::ready::count;
use super::super::rows::{BatchRow, Charged, ChunkRow, Done, Rows};
use super::super::{Lease, Leased, Picks};
use super::upkeep::minute;
use super::{Ledger, advance_chunk, remaining};
use crate::core::lifecycle::ChunkEvent;
use crate::core::rate::Pace;
use crate::model::{Atomicity, Batch, BatchNo, BatchState, Ordering, Rate};

/// What a pick came to; the items of a chunk are still encoded, so that they
/// are read on the caller's task.
pub(in crate::store) enum Pick {
    /// A chunk, its batch and its items.
    Chunk(Box<(ChunkRow, Batch, Bytes)>),
    /// See [`Lease::Nothing`].
    Nothing,
    /// See [`Lease::Later`].
    Later { due_ms: i64 },
    /// See [`Lease::Stopped`].
    Stopped,
}

/// See [`Store::lease`](super::super::Store::lease).
pub(in crate::store) fn lease(rows: &mut impl Rows, picks: &Picks, now_ms: i64) -> Done<Vec<Pick>> {
    let rates = picks.charged.iter().copied().map(Some);
    let rates = rates.chain(iter::repeat(None));
    let batches = picks.batches.iter().zip(rates);
    batches
        .map(|(no, rate)| lease_one(rows, *no, rate, now_ms))
        .collect()
}

fn lease_one(rows: &mut impl Rows, no: BatchNo, rate: Option<Rate>, now_ms: i64) -> Done<Pick> {
    let Some(mut row) = rows.batch(no)? else {
        return Ok(Pick::Nothing);
    };
    let counts = row.batch.progress.counts;
    if counts.queued() == 0 {
        return Ok(Pick::Nothing);
    }
    if row.batch.stopped_by.is_some() {
        return Ok(Pick::Stopped);
    }
    if row.batch.spec.deadline_ms.is_some_and(|at| at <= now_ms) {
        // To write it back is to stop it.
        Ledger::with(rows, row, now_ms).save()?;
        return Ok(Pick::Stopped);
    }
    if row.batch.state == BatchState::Paused {
        return Ok(Pick::Nothing);
    }
    let is_atomic = row.batch.spec.atomicity == Atomicity::AllOrNothing;
    if is_atomic {
        if row.batch.sealed_by.is_none() {
            return Ok(Pick::Nothing);
        }
        join(rows, &mut row, now_ms)?;
    }
    let is_strict = row.batch.spec.ordering == Ordering::Strict && !is_atomic;
    if is_strict && counts.in_flight > 0 {
        return Ok(Pick::Nothing);
    }
    let next = match is_strict {
        true => next_in_order(rows, &row.batch, now_ms)?,
        false => next(rows, &row.batch, now_ms)?,
    };
    let mut chunk = match next {
        Ok(chunk) => chunk,
        Err(due_ms) => return Ok(Pick::Later { due_ms }),
    };
    advance_chunk(&mut chunk, ChunkEvent::Lease)?;
    chunk.epoch += 1;
    chunk.since_ms = chunk.since_ms.or(Some(now_ms));
    chunk.charged = rate.map(|rate| Charged {
        minute: minute(now_ms),
        units: rate.units(chunk.left()).cast_signed(),
    });
    let items = rows.chunk_items(chunk.no)?;
    rows.update_chunk(chunk.clone())?;

    let mut ledger = Ledger::with(rows, row, now_ms);
    if ledger.batch.started_ms.is_none() {
        ledger.batch.started_ms = Some(now_ms);
        ledger.pace = Some(Pace::start(now_ms));
    }
    ledger.counts().in_flight += chunk.left();
    if let Some(charged) = chunk.charged {
        ledger.charge(charged.minute, charged.units)?;
    }
    let batch = ledger.save()?;
    Ok(Pick::Chunk(Box::new((chunk, batch, items))))
}

/// Makes one chunk of all that is queued of a batch whose items stand or fall
/// together: they came in several, and go out in one.
fn join(rows: &mut impl Rows, row: &mut BatchRow, now_ms: i64) -> Done<()> {
    let first = first_queued(rows, &row.batch)?;
    if first.left() == row.batch.progress.counts.queued() {
        return Ok(());
    }
    let mut joined = Vec::new();
    while let Some(mut chunk) = rows.queued(&row.batch, i64::MIN)? {
        let items = rows.chunk_items(chunk.no)?;
        for (position, item) in remaining(&chunk, items)? {
            chunk.done.add(position);
            joined.push(item);
        }
        advance_chunk(&mut chunk, ChunkEvent::Emptied)?;
        rows.update_chunk(chunk)?;
    }
    let chunk = ChunkRow {
        no: row.chunks.next(row.batch.no, false)?,
        count: count(joined.len())?,
        // Never 0, which is for what came as it is.
        due_ms: 1,
        ..ChunkRow::queued(&row.batch.tenant, row.batch.no, None)
    };
    rows.insert_chunk(chunk, &codec::encode_items(joined))?;
    Ledger::with(rows, row.clone(), now_ms).save()?;
    Ok(())
}

/// The chunk to send next, or when there is one. What was put off and is due
/// goes before what was never sent: its patience runs already, and would run
/// out behind a long batch.
fn next(rows: &mut impl Rows, batch: &Batch, now_ms: i64) -> Done<Result<ChunkRow, i64>> {
    let put_off = rows.queued(batch, 1)?;
    if let Some(chunk) = put_off
        && chunk.due_ms <= now_ms
    {
        return Ok(Ok(chunk));
    }
    let first = first_queued(rows, batch)?;
    Ok(due(first, now_ms))
}

/// The same in strict order: nothing passes an item that was put off. While one
/// is, what is left of the chunk that it came in waits, due at once, behind it.
fn next_in_order(rows: &mut impl Rows, batch: &Batch, now_ms: i64) -> Done<Result<ChunkRow, i64>> {
    let next = match rows.queued(batch, 1)? {
        Some(put_off) => put_off,
        None => first_queued(rows, batch)?,
    };
    Ok(due(next, now_ms))
}

fn first_queued(rows: &mut impl Rows, batch: &Batch) -> Done<ChunkRow> {
    rows.queued(batch, i64::MIN)?.ok_or_else(|| {
        super::Undone::Broken(format!(
            "batch {} counts queued items, and has no queued chunk",
            batch.no.0
        ))
    })
}

fn due(chunk: ChunkRow, now_ms: i64) -> Result<ChunkRow, i64> {
    if chunk.due_ms <= now_ms.max(0) {
        Ok(chunk)
    } else {
        Err(chunk.due_ms)
    }
}

impl Pick {
    /// What the caller of the store gets.
    pub fn decode(self) -> Done<Lease> {
        let (chunk, batch, items) = match self {
            Pick::Chunk(parts) => *parts,
            Pick::Nothing => return Ok(Lease::Nothing),
            Pick::Later { due_ms } => return Ok(Lease::Later { due_ms }),
            Pick::Stopped => return Ok(Lease::Stopped),
        };
        let items = remaining(&chunk, items)?;
        let those_in = |bits: &Bits| {
            let positions = items.iter().map(|(position, _)| *position);
            positions.filter(|position| bits.has(*position)).collect()
        };
        let unanswered = those_in(&chunk.unanswered);
        let faulted = those_in(&chunk.faulted);
        Ok(Lease::Chunk(Box::new(Leased {
            chunk: chunk.no,
            epoch: chunk.epoch,
            no: batch.no,
            id: batch.id,
            tenant: batch.tenant,
            spec: batch.spec,
            attempt: chunk.attempt,
            since_ms: chunk.since_ms.unwrap_or_default(),
            items,
            unanswered,
            faulted,
        })))
    }
}
