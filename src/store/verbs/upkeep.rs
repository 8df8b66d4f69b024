//! What is done because time passes, and what is kept beside the logs.

use super::super::rows::{ChunkRow, Done, Rows};
use super::super::{Due, Prune, Spent};
use super::Ledger;
use crate::model::TargetName;

const MINUTE_MS: i64 = 60_000;

/// Batches that are taken away in one step; what belongs to them follows.
const BATCHES: usize = 16;

/// The minute since 1970 that a time falls in.
pub(super) fn minute(now_ms: i64) -> i64 {
    now_ms.div_euclid(MINUTE_MS)
}

/// See [`Store::due`](super::super::Store::due).
pub(in crate::store) fn due(rows: &mut impl Rows, now_ms: i64, max: usize) -> Done<Vec<Due>> {
    let mut found = Vec::new();
    for no in rows.due(now_ms, max)? {
        let Some(row) = rows.batch(no)? else {
            continue;
        };
        let batch = row.batch;
        let deadline = batch
            .spec
            .deadline_ms
            .filter(|_| batch.stopped_by.is_none());
        found.push(Due {
            no,
            is_expired: deadline.is_some_and(|at| at <= now_ms),
            is_open: batch.sealed_by.is_none(),
            target: batch.spec.target,
        });
    }
    Ok(found)
}

/// See [`Store::prune`](super::super::Store::prune).
pub(in crate::store) fn prune(rows: &mut impl Rows, prune: &Prune) -> Done<bool> {
    let cleared = rows.clear_out(prune.max)?;
    if cleared > 0 {
        return Ok(true);
    }
    let old = rows.finished(prune.batches_before_ms, BATCHES.min(prune.max))?;
    for no in &old {
        if let Some(row) = rows.batch(*no)? {
            rows.remove_batch(&row.batch)?;
        }
    }
    let keys = rows.remove_keys(prune.keys_before_ms, prune.max)?;
    let charges = rows.remove_charges(minute(prune.charges_before_ms), prune.max)?;
    Ok(!old.is_empty() || keys == prune.max || charges == prune.max)
}

/// See [`Store::spent`](super::super::Store::spent).
pub(in crate::store) fn spent(
    rows: &mut impl Rows,
    target: &TargetName,
    from_ms: i64,
) -> Done<Vec<Spent>> {
    let charges = rows.charges(target, minute(from_ms))?;
    let spent = charges.into_iter().map(|(minute, units)| Spent {
        until_ms: (minute + 1) * MINUTE_MS,
        units,
    });
    Ok(spent.collect())
}

impl<R: Rows> Ledger<'_, R> {
    /// Adds to what the batch's target was sent in a minute.
    pub(super) fn charge(&mut self, minute: i64, units: i64) -> Done<()> {
        if units == 0 {
            return Ok(());
        }
        self.rows.charge(&self.batch.spec.target, minute, units)
    }

    /// So many units more of what a chunk's lease was charged were sent, no later
    /// than now; where the lease `ends`, the rest of them was not.
    pub(super) fn spend(&mut self, chunk: &mut ChunkRow, sent: i64, ends: bool) -> Done<()> {
        let Some(mut charged) = chunk.charged.take() else {
            return Ok(());
        };
        // A request that was refused goes again in parts: more than was thought.
        let covered = sent.min(charged.units);
        charged.units -= covered;
        let freed = covered + if ends { charged.units } else { 0 };
        let now = minute(self.now_ms);
        if charged.minute == now {
            self.charge(now, sent - freed)?;
        } else {
            self.charge(charged.minute, -freed)?;
            self.charge(now, sent)?;
        }
        chunk.charged = (!ends).then_some(charged);
        Ok(())
    }
}
