//! Records what became of items of a leased chunk.

use super::super::Settled;
use super::super::bits::Bits;
use super::super::ready::{ReadyAgain, ReadySettle, count, mistake};
use super::super::rows::{ChunkRow, Done, Rows};
use super::{Ledger, advance_chunk};
use crate::core::lifecycle::{ChunkEvent, ChunkState};

/// See [`Store::settle`](super::super::Store::settle).
pub(in crate::store) fn settle(rows: &mut impl Rows, part: &ReadySettle) -> Done<Settled> {
    let Some(mut chunk) = rows.chunk(part.chunk)? else {
        return Ok(Settled::Stale);
    };
    if chunk.state != ChunkState::Leased || chunk.epoch != part.epoch {
        return Ok(Settled::Stale);
    }
    let was_left = chunk.left();
    // Before the bits of what moves are set among those of what is done.
    let moved = moved(&chunk, &part.again)?;
    take_out(&mut chunk, part)?;

    let mut ledger = Ledger::open(rows, chunk.batch, part.now_ms)?;
    let left = chunk.left();
    let landed = was_left - if part.release.is_some() { 0 } else { left };
    ledger.land(landed)?;
    ledger.spend(&mut chunk, part.sent, left == 0 || part.release.is_some())?;
    if let Some(outcomes) = &part.outcomes {
        if let Some(pace) = &mut ledger.pace {
            pace.record(outcomes.places.len() as u64, part.now_ms);
        }
        ledger.outcomes(outcomes)?;
    }
    for (mut row, again) in moved.into_iter().zip(&part.again) {
        row.no = ledger.chunks.next(row.batch, false)?;
        ledger.rows.insert_chunk(row, &again.items)?;
    }
    if left == 0 {
        ledger.finish_chunk(&mut chunk)?;
    } else if let Some(due_ms) = part.release {
        advance_chunk(&mut chunk, ChunkEvent::Release)?;
        chunk.due_ms = back_at(&chunk, due_ms);
    }
    ledger.rows.update_chunk(chunk)?;
    let was_stopped = ledger.batch.stopped_by.is_some();
    let batch = ledger.save()?;
    let stopped = batch.stopped_by.is_some() && !batch.state.is_final();
    Ok(Settled::Recorded {
        chunk_finished: left == 0,
        batch_finished: batch.state.is_final(),
        stopped,
        tripped: stopped && !was_stopped,
    })
}

impl<R: Rows> Ledger<'_, R> {
    /// So many items are in flight no more.
    pub(super) fn land(&mut self, items: u32) -> Done<()> {
        let counts = self.counts();
        counts.in_flight = counts.in_flight.checked_sub(items).ok_or_else(|| {
            super::Undone::Broken("fewer items in flight than a leased chunk holds".to_owned())
        })?;
        Ok(())
    }
}

/// When a chunk that goes back to the queue is due. What is sent again stays
/// known as that: in strict order nothing passes it.
pub(super) fn back_at(chunk: &ChunkRow, due_ms: i64) -> i64 {
    match chunk.first {
        Some(_) => due_ms,
        None => due_ms.max(1),
    }
}

/// The chunks of what is to be sent again; they have no number yet.
fn moved(chunk: &ChunkRow, again: &[ReadyAgain]) -> Done<Vec<ChunkRow>> {
    let row = |again: &ReadyAgain| {
        let mut unanswered = Bits::default();
        let mut faulted = Bits::default();
        for (position, old) in (0..).zip(&again.positions) {
            if again.unanswered || chunk.unanswered.has(*old) {
                unanswered.add(position);
            }
            if again.faulted || chunk.faulted.has(*old) {
                faulted.add(position);
            }
        }
        Ok(ChunkRow {
            count: count(again.positions.len())?,
            attempt: chunk.attempt + u32::from(again.tried),
            since_ms: chunk.since_ms,
            // Never 0, which is for what was not put off.
            due_ms: again.due_ms.max(1),
            unanswered,
            faulted,
            ..ChunkRow::queued(&chunk.tenant, chunk.batch, None)
        })
    };
    again.iter().map(row).collect()
}

/// Marks the items that a settle names as done; fails if one of them is done
/// already, is named twice, or is not the chunk's.
fn take_out(chunk: &mut ChunkRow, part: &ReadySettle) -> Done<()> {
    let places = part.outcomes.iter().flat_map(|outcomes| &outcomes.places);
    for (position, index) in places {
        if chunk.first.is_some_and(|first| first + position != *index) {
            return Err(mistake("a result whose index is not that of its item"));
        }
        take_out_one(chunk, *position)?;
    }
    for again in &part.again {
        for position in &again.positions {
            take_out_one(chunk, *position)?;
        }
    }
    Ok(())
}

fn take_out_one(chunk: &mut ChunkRow, position: u32) -> Done<()> {
    if position >= chunk.count {
        return Err(mistake("a position past the end of the chunk"));
    }
    if !chunk.done.add(position) {
        return Err(mistake("an item of the chunk that is done already"));
    }
    Ok(())
}
