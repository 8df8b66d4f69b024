//! What a run is to record next.

use crate::model::{Item, ItemResult, Outcome};
use crate::store::{Again, Leased, Settle};
use crate::time::wall_ms;

/// What has gathered since the last record.
#[derive(Default)]
pub(super) struct Part {
    results: Vec<(u32, ItemResult)>,
    keys: Vec<(u32, String)>,
    again: Vec<Again>,
    sent: i64,
}

impl Part {
    /// So much more was written, in units of the target's limits.
    pub fn sent(&mut self, units: i64) {
        self.sent += units;
    }

    /// An item of the leased chunk has its outcome, after so many tries.
    pub fn done(
        &mut self,
        leased: &Leased,
        position: u32,
        item: Item,
        outcome: Outcome,
        attempts: u32,
    ) {
        let echo = leased.spec.echo;
        let echoed = match outcome {
            Outcome::Succeeded(_) => echo.of_succeeded(),
            Outcome::Failed(_) => echo.of_failed(),
        };
        let key = item.key.clone();
        self.keys.extend(key.map(|key| (position, key)));
        let result = ItemResult {
            index: item.index,
            id: item.shown_id(),
            outcome,
            attempts,
            replayed: false,
            item: echoed.then(|| Box::new(item)),
        };
        self.results.push((position, result));
    }

    /// An item has another try.
    pub fn again(&mut self, again: Again) {
        self.again.push(again);
    }

    /// Whether an item has another try.
    pub fn has_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// The record, and nothing has gathered any more; `None` where there is
    /// nothing to say. With `release`, it gives up the lease.
    pub fn take(&mut self, leased: &Leased, release: Option<i64>) -> Option<Settle> {
        if self.results.is_empty() && self.again.is_empty() && release.is_none() {
            return None;
        }
        let Part {
            results,
            keys,
            again,
            sent,
        } = std::mem::take(self);
        Some(Settle {
            chunk: leased.chunk,
            epoch: leased.epoch,
            results,
            keys,
            again: join_same(again),
            sent,
            release,
            now_ms: wall_ms(),
        })
    }
}

/// Tries that were put off together go again as one chunk, when the last of
/// them is due: a chunk costs more than the milliseconds.
fn join_same(again: Vec<Again>) -> Vec<Again> {
    let mut joined: Vec<Again> = Vec::new();
    for next in again {
        let how = |a: &Again| (a.unanswered, a.faulted, a.tried);
        let is_same = |a: &&mut Again| how(a) == how(&next);
        match joined.iter_mut().find(is_same) {
            Some(same) => {
                same.due_ms = same.due_ms.max(next.due_ms);
                same.items.extend(next.items);
            }
            None => joined.push(next),
        }
    }
    joined
}
