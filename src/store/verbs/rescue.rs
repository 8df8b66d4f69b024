//! Takes leased chunks back from a process that is gone.

use super::super::SafeToRepeat;
use super::super::ready::Outcomes;
use super::super::rows::{ChunkRow, Done, Rows};
use super::{Ledger, advance_chunk, remaining, stopped};
use crate::core::lifecycle::ChunkEvent;
use crate::model::{ChunkNo, FailureKind};

const RESTARTED: (FailureKind, &str, &str) = (
    FailureKind::InDoubt,
    "RESTARTED",
    "it may have been sent when the server stopped; look at the target before sending it again",
);

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

impl<R: Rows> Ledger<'_, R> {
    fn rescue_one(&mut self, mut chunk: ChunkRow, safe: &SafeToRepeat) -> Done<()> {
        let items = self.rows.chunk_items(chunk.no)?;
        self.land(chunk.left())?;
        // Each may have been sent once more than is recorded.
        chunk.attempt += 1;
        let mut in_doubt = Vec::new();
        for (position, item) in remaining(&chunk, items)? {
            chunk.unanswered.add(position);
            if !safe(&self.batch.spec.target, &item) {
                chunk.done.add(position);
                let result = stopped(&self.batch, item, chunk.attempt, RESTARTED);
                in_doubt.push((position, result));
            }
        }
        if let Some(outcomes) = Outcomes::encode(in_doubt) {
            self.outcomes(&outcomes)?;
        }
        if chunk.left() == 0 {
            self.finish_chunk(&mut chunk)?;
        } else {
            advance_chunk(&mut chunk, ChunkEvent::Release)?;
            chunk.due_ms = 0;
        }
        self.rows.update_chunk(chunk)
    }
}
