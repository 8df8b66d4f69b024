//! Takes up queued chunks for sending.

use bytes::Bytes;

use super::super::bits::Bits;
use super::super::rows::{ChunkRow, Done, Rows};
use super::super::{Lease, Leased, Picks};
use super::upkeep::minute;
use super::{Ledger, advance_chunk, remaining};
use crate::core::lifecycle::ChunkEvent;
use crate::core::rate::Pace;
use crate::model::{Batch, BatchNo, BatchState, Ordering};

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
    let batches = picks.batches.iter();
    batches
        .map(|no| lease_one(rows, *no, picks.charged, now_ms))
        .collect()
}

fn lease_one(rows: &mut impl Rows, no: BatchNo, charged: bool, now_ms: i64) -> Done<Pick> {
    let Some(row) = rows.batch(no)? else {
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
    let is_strict = row.batch.spec.ordering == Ordering::Strict;
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
    chunk.charged_minute = charged.then(|| minute(now_ms));
    let items = rows.chunk_items(chunk.no)?;
    rows.update_chunk(chunk.clone())?;

    let mut ledger = Ledger::with(rows, row, now_ms);
    if ledger.batch.started_ms.is_none() {
        ledger.batch.started_ms = Some(now_ms);
        ledger.pace = Some(Pace::start(now_ms));
    }
    ledger.counts().in_flight += chunk.left();
    if let Some(minute) = chunk.charged_minute {
        ledger.charge(minute, i64::from(chunk.left()))?;
    }
    let batch = ledger.save()?;
    Ok(Pick::Chunk(Box::new((chunk, batch, items))))
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
