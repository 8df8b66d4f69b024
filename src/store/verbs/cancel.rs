//! Cancels a batch, and puts its queued items to rest.

use super::super::Swept;
use super::super::ready::Outcomes;
use super::super::rows::{Done, Rows};
use super::{Ledger, remaining, stopped};
use crate::core::lifecycle::BatchEvent;
use crate::model::{BatchNo, BatchState, FailureKind};

/// An item that was never sent, or only with proof that nothing was done.
const CANCELLED: (FailureKind, &str, &str) = (
    FailureKind::Cancelled,
    "CANCELLED",
    "the batch was cancelled before this item was sent",
);

/// An item that waited to be sent again after a try without an answer.
const UNANSWERED: (FailureKind, &str, &str) = (
    FailureKind::InDoubt,
    "UNANSWERED",
    "an earlier try had no answer, and the batch was cancelled before it could be repeated; \
     look at the target before sending it again",
);

/// See [`Store::cancel`](super::super::Store::cancel).
pub(in crate::store) fn cancel(rows: &mut impl Rows, no: BatchNo, now_ms: i64) -> Done<()> {
    let mut ledger = Ledger::open(rows, no, now_ms)?;
    if ledger.batch.state == BatchState::Running {
        ledger.advance(BatchEvent::Cancel);
        ledger.save()?;
    }
    Ok(())
}

/// See [`Store::sweep`](super::super::Store::sweep).
pub(in crate::store) fn sweep(
    rows: &mut impl Rows,
    no: BatchNo,
    max_chunks: usize,
    now_ms: i64,
) -> Done<Swept> {
    let mut ledger = Ledger::open(rows, no, now_ms)?;
    let mut swept = Swept {
        chunks: 0,
        batch_finished: ledger.batch.state.is_final(),
    };
    if ledger.batch.state != BatchState::Cancelling {
        return Ok(swept);
    }
    while swept.chunks < max_chunks && ledger.sweep_one()? {
        swept.chunks += 1;
    }
    swept.batch_finished = ledger.save()?.state.is_final();
    Ok(swept)
}

impl<R: Rows> Ledger<'_, R> {
    /// Settles a queued chunk; false if there is none.
    fn sweep_one(&mut self) -> Done<bool> {
        let Some(mut chunk) = self.rows.queued(&self.batch, i64::MIN)? else {
            return Ok(false);
        };
        let items = self.rows.chunk_items(chunk.no)?;
        let results = remaining(&chunk, items)?.into_iter().map(|(at, item)| {
            let why = if chunk.unanswered.has(at) {
                UNANSWERED
            } else {
                CANCELLED
            };
            (at, stopped(&self.batch, item, chunk.attempt, why))
        });
        if let Some(outcomes) = Outcomes::encode(results.collect()) {
            for (position, _) in &outcomes.places {
                chunk.done.add(*position);
            }
            self.outcomes(&outcomes)?;
        }
        self.finish_chunk(&mut chunk)?;
        self.rows.update_chunk(chunk)?;
        Ok(true)
    }
}
