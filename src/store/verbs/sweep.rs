//! Puts the queued items of a stopped batch to rest.

use super::super::Swept;
use super::super::rows::{ChunkRow, Done, Rows};
use super::{Ledger, Why, remaining, stopped};
use crate::core::classify::undone;
use crate::model::{BatchNo, FailureKind, SealedBy, StoppedBy};

/// See [`Store::sweep`](super::super::Store::sweep).
pub(in crate::store) fn sweep(
    rows: &mut impl Rows,
    no: BatchNo,
    max_chunks: usize,
    now_ms: i64,
) -> Done<Swept> {
    let Some(row) = rows.batch(no)? else {
        return Ok(Swept::default());
    };
    let mut ledger = Ledger::with(rows, row, now_ms);
    let mut swept = Swept {
        chunks: 0,
        batch_finished: ledger.batch.state.is_final(),
    };
    let Some(by) = ledger.batch.stopped_by.filter(|_| !swept.batch_finished) else {
        return Ok(swept);
    };
    while swept.chunks < max_chunks && ledger.sweep_one(by)? {
        swept.chunks += 1;
    }
    swept.batch_finished = ledger.save()?.state.is_final();
    Ok(swept)
}

impl<R: Rows> Ledger<'_, R> {
    /// Settles a queued chunk; false if there is none.
    fn sweep_one(&mut self, by: StoppedBy) -> Done<bool> {
        let Some(mut chunk) = self.rows.queued(&self.batch, i64::MIN)? else {
            return Ok(false);
        };
        let items = self.rows.chunk_items(chunk.no)?;
        let items = remaining(&chunk, items)?;
        let is_abandoned = self.batch.sealed_by == Some(SealedBy::Timeout);
        let stop = stop(by, is_abandoned);
        let outcomes = stopped(&self.batch, items, chunk.attempt, |at| {
            why(&chunk, at, stop)
        });
        if let Some(outcomes) = outcomes {
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

/// What stopped a batch: the kind of failure that this makes of its items, a word
/// for programs and one for people.
fn stop(by: StoppedBy, is_abandoned: bool) -> (FailureKind, &'static str, &'static str) {
    match by {
        StoppedBy::Cancel => (
            FailureKind::Cancelled,
            "CANCELLED",
            "the batch was cancelled",
        ),
        StoppedBy::FailurePolicy => (
            FailureKind::Aborted,
            "FAILURE_POLICY",
            "the batch's failure policy stopped it",
        ),
        StoppedBy::Deadline if is_abandoned => (
            FailureKind::Expired,
            "OPEN_TIMEOUT",
            "the batch is all-or-nothing, and was left without a seal",
        ),
        StoppedBy::Deadline => (
            FailureKind::Expired,
            "DEADLINE_PASSED",
            "the batch's deadline passed",
        ),
    }
}

/// Why an item of a chunk is not sent any more. What may have been done is said
/// to be in doubt, or what the target said of it, whatever stopped the batch.
fn why(
    chunk: &ChunkRow,
    at: u32,
    (kind, reason, stop): (FailureKind, &'static str, &'static str),
) -> Why {
    match undone(chunk.unanswered.has(at), chunk.faulted.has(at)) {
        None => (kind, reason, format!("{stop} before this item was sent")),
        Some(FailureKind::InDoubt) => (
            FailureKind::InDoubt,
            "UNANSWERED",
            format!(
                "an earlier try had no answer, and {stop} before it could be repeated; look at \
                 the target before sending it again"
            ),
        ),
        Some(kind) => (
            kind,
            "FAULTED",
            format!("the target answered with a fault, and {stop} before a repeat"),
        ),
    }
}
