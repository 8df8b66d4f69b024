//! Takes leased chunks back from a process that is gone.

use std::time::Duration;

use super::super::bits::Bits;
use super::super::ready::count;
use super::super::rows::{ChunkRow, Done, Rows};
use super::super::{SafeToRepeat, codec};
use super::settle::back_at;
use super::{Ledger, Why, advance_chunk, remaining, stopped};
use crate::core::lifecycle::ChunkEvent;
use crate::model::{Atomicity, ChunkNo, FailureKind, Item, Ordering};

/// An item that may have been sent when the process died.
fn restarted() -> Why {
    (
        FailureKind::InDoubt,
        "RESTARTED",
        "it may have been sent when the server stopped; look at the target before sending it again"
            .to_owned(),
    )
}

/// Where a [`rescue`] has come to.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Rescued {
    /// The last chunk that it has looked at.
    pub last: ChunkNo,
    /// How many it has rescued.
    pub chunks: usize,
}

impl Rescued {
    /// Before the first.
    pub const NONE: Rescued = Rescued {
        last: ChunkNo(i64::MIN),
        chunks: 0,
    };
}

/// Rescues up to `max_chunks` leased chunks more; none, when there are none
/// left. See [`Store::rescue`](super::super::Store::rescue).
pub(in crate::store) fn rescue(
    rows: &mut impl Rows,
    safe: &SafeToRepeat,
    mut rescued: Rescued,
    max_chunks: usize,
    now_ms: i64,
) -> Done<Rescued> {
    for chunk in rows.leased(rescued.last, max_chunks)? {
        rescued.last = chunk.no;
        rescued.chunks += 1;
        let mut ledger = Ledger::open(rows, chunk.batch, now_ms)?;
        ledger.rescue_one(chunk, safe)?;
        ledger.save()?;
    }
    Ok(rescued)
}

/// Passes over the next leased chunk, which cannot be rescued.
pub(in crate::store) fn pass_leased(rows: &mut impl Rows, mut rescued: Rescued) -> Done<Rescued> {
    if let Some(chunk) = rows.leased(rescued.last, 1)?.first() {
        rescued.last = chunk.no;
    }
    Ok(rescued)
}

impl<R: Rows> Ledger<'_, R> {
    fn rescue_one(&mut self, mut chunk: ChunkRow, safe: &SafeToRepeat) -> Done<()> {
        let items = self.rows.chunk_items(chunk.no)?;
        let left = chunk.left();
        self.land(left)?;
        let maybe_sent = self.maybe_sent(remaining(&chunk, items)?);
        if let Some(charged) = chunk.charged {
            // These may have been, until just now.
            let share = charged.units * i64::from(count(maybe_sent.len())?);
            let sent = share.unsigned_abs().div_ceil(u64::from(left.max(1)));
            self.spend(&mut chunk, sent.cast_signed(), true)?;
        }
        let tried_for = chunk.since_ms.map_or(0, |since_ms| self.now_ms - since_ms);
        let tried_for = Duration::from_millis(tried_for.max(0).unsigned_abs());
        let target = self.batch.spec.target.clone();
        let (mut again, mut in_doubt): (Vec<_>, Vec<_>) = maybe_sent
            .into_iter()
            .partition(|(_, item)| safe(&target, item, tried_for));
        if self.batch.spec.atomicity == Atomicity::AllOrNothing && !in_doubt.is_empty() {
            // They stand or fall together.
            in_doubt.append(&mut again);
        }
        let attempts = chunk.attempt + 1;
        if let Some(outcomes) = stopped(&self.batch, in_doubt, attempts, |_| restarted()) {
            for (position, _) in &outcomes.places {
                chunk.done.add(*position);
            }
            self.outcomes(&outcomes)?;
        }
        if self.is_strict() {
            // Alone, so that those after it count no try.
            if let Some((position, item)) = again.pop() {
                self.put_off(&mut chunk, position, item)?;
            }
        } else {
            // Each may have been sent once more than is recorded.
            chunk.attempt = attempts;
            for (position, _) in again {
                chunk.unanswered.add(position);
            }
        }
        if chunk.left() == 0 {
            self.finish_chunk(&mut chunk)?;
        } else {
            advance_chunk(&mut chunk, ChunkEvent::Release)?;
            chunk.due_ms = back_at(&chunk, 0);
        }
        self.rows.update_chunk(chunk)
    }

    /// One item at a time.
    fn is_strict(&self) -> bool {
        let spec = &self.batch.spec;
        spec.ordering == Ordering::Strict && spec.atomicity == Atomicity::Each
    }

    /// Of the items of a leased chunk, those that may have been sent: in strict
    /// order only the first without an outcome.
    fn maybe_sent(&self, mut items: Vec<(u32, Item)>) -> Vec<(u32, Item)> {
        if self.is_strict() {
            items.truncate(1);
        }
        items
    }

    /// Moves an item that may have been sent to a chunk of its own.
    fn put_off(&mut self, chunk: &mut ChunkRow, position: u32, item: Item) -> Done<()> {
        chunk.done.add(position);
        let mut unanswered = Bits::default();
        unanswered.add(0);
        let mut faulted = Bits::default();
        if chunk.faulted.has(position) {
            faulted.add(0);
        }
        let row = ChunkRow {
            no: self.chunks.next(chunk.batch, false)?,
            count: 1,
            attempt: chunk.attempt + 1,
            since_ms: chunk.since_ms,
            due_ms: self.now_ms.max(1),
            unanswered,
            faulted,
            ..ChunkRow::queued(&chunk.tenant, chunk.batch, None)
        };
        self.rows.insert_chunk(row, &codec::encode_items([item]))
    }
}
