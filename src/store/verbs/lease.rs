//! Takes up queued chunks for sending.

use bytes::Bytes;

use super::super::rows::{ChunkRow, Done, Rows};
use super::super::{Lease, Leased};
use super::{Ledger, advance_chunk, remaining};
use crate::core::lifecycle::ChunkEvent;
use crate::core::rate::Pace;
use crate::model::{Batch, BatchNo, BatchState};

/// What a pick came to; the items of a chunk are still encoded, so that they
/// are read on the caller's task.
pub(in crate::store) enum Pick {
    /// A chunk, its batch and its items.
    Chunk(Box<(ChunkRow, Batch, Bytes)>),
    /// See [`Lease::Nothing`].
    Nothing,
    /// See [`Lease::Later`].
    Later { due_ms: i64 },
    /// See [`Lease::Cancelling`].
    Cancelling,
}

/// See [`Store::lease`](super::super::Store::lease).
pub(in crate::store) fn lease(
    rows: &mut impl Rows,
    picks: &[BatchNo],
    now_ms: i64,
) -> Done<Vec<Pick>> {
    picks
        .iter()
        .map(|no| lease_one(rows, *no, now_ms))
        .collect()
}

fn lease_one(rows: &mut impl Rows, no: BatchNo, now_ms: i64) -> Done<Pick> {
    let Some(row) = rows.batch(no)? else {
        return Ok(Pick::Nothing);
    };
    if row.batch.progress.counts.queued() == 0 {
        return Ok(Pick::Nothing);
    }
    if row.batch.state == BatchState::Cancelling {
        return Ok(Pick::Cancelling);
    }
    let mut chunk = match next(rows, &row.batch, now_ms)? {
        Ok(chunk) => chunk,
        Err(due_ms) => return Ok(Pick::Later { due_ms }),
    };
    advance_chunk(&mut chunk, ChunkEvent::Lease)?;
    chunk.epoch += 1;
    chunk.since_ms = chunk.since_ms.or(Some(now_ms));
    let items = rows.chunk_items(chunk.no)?;
    rows.update_chunk(chunk.clone())?;

    let mut ledger = Ledger::with(rows, row, now_ms);
    if ledger.batch.started_ms.is_none() {
        ledger.batch.started_ms = Some(now_ms);
        ledger.pace = Some(Pace::start(now_ms));
    }
    ledger.counts().in_flight += chunk.left();
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
    let Some(first) = rows.queued(batch, i64::MIN)? else {
        return Err(super::Undone::Broken(format!(
            "batch {} counts queued items, and has no queued chunk",
            batch.no.0
        )));
    };
    Ok(if first.due_ms <= now_ms.max(0) {
        Ok(first)
    } else {
        Err(first.due_ms)
    })
}

impl Pick {
    /// What the caller of the store gets.
    pub fn decode(self) -> Done<Lease> {
        let (chunk, batch, items) = match self {
            Pick::Chunk(parts) => *parts,
            Pick::Nothing => return Ok(Lease::Nothing),
            Pick::Later { due_ms } => return Ok(Lease::Later { due_ms }),
            Pick::Cancelling => return Ok(Lease::Cancelling),
        };
        let items = remaining(&chunk, items)?;
        let unanswered = items
            .iter()
            .map(|(position, _)| *position)
            .filter(|position| chunk.unanswered.has(*position))
            .collect();
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
        })))
    }
}
