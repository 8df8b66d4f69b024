//! What callers, time and operators do to a batch.

use super::super::Change;
use super::super::rows::{Done, Rows};
use super::Ledger;
use crate::core::lifecycle::BatchEvent;
use crate::model::{Atomicity, Batch, BatchNo};

/// See [`Store::transition`](super::super::Store::transition).
pub(in crate::store) fn transition(
    rows: &mut impl Rows,
    no: BatchNo,
    change: Change,
    now_ms: i64,
) -> Done<Option<Batch>> {
    let Some(row) = rows.batch(no)? else {
        return Ok(None);
    };
    if row.batch.state.is_final() {
        return Ok(Some(row.batch));
    }
    let mut ledger = Ledger::with(rows, row, now_ms);
    match change {
        Change::Cancel => ledger.advance(BatchEvent::Cancel),
        Change::Pause => ledger.advance(BatchEvent::Pause),
        Change::Resume => ledger.advance(BatchEvent::Resume),
        Change::Abandon => {
            ledger.advance(BatchEvent::Abandon);
            if ledger.batch.spec.atomicity == Atomicity::AllOrNothing {
                // Nobody said that this is all of it.
                ledger.advance(BatchEvent::Expire);
            }
        }
        // What is due is done whenever a batch is written back.
        Change::Expire => {}
        Change::KeepOpen { until_ms } => ledger.open_until_ms = Some(until_ms),
    }
    ledger.save().map(Some)
}
