//! What a store keeps beside the batches' logs, and what it throws away.

use super::super::TargetPause;
use super::Done;
use crate::model::{Batch, BatchNo, TargetName};

/// Access to what is kept beside the logs.
pub(in crate::store) trait UpkeepRows {
    /// Up to `max` batches about which something is to be done by now, the
    /// first that is due first.
    fn due(&mut self, now_ms: i64, max: usize) -> Done<Vec<BatchNo>>;

    /// Up to `max` batches that were finished before, the first first.
    fn finished(&mut self, before_ms: i64, max: usize) -> Done<Vec<BatchNo>>;

    /// Takes a batch away for every reader; what belongs to it is then for
    /// [`clear_out`](Self::clear_out).
    fn remove_batch(&mut self, batch: &Batch) -> Done<()>;

    /// Takes away up to about `max` rows of batches that were removed; how
    /// many it were, 0 only when none is left.
    fn clear_out(&mut self, max: usize) -> Done<usize>;

    /// Adds units to what was sent to a target in a minute, or takes some off.
    fn charge(&mut self, target: &TargetName, minute: i64, units: i64) -> Done<()>;

    /// What was sent to a target from a minute on: minutes, ascending, and
    /// units.
    fn charges(&mut self, target: &TargetName, from_minute: i64) -> Done<Vec<(i64, u64)>>;

    /// Forgets up to `max` charges of before a minute; how many it were.
    fn remove_charges(&mut self, before_minute: i64, max: usize) -> Done<usize>;

    /// The targets that are paused, by name.
    fn pauses(&mut self) -> Done<Vec<TargetPause>>;

    /// Pauses a target, unless it is; `false` if it is.
    fn pause(&mut self, pause: &TargetPause) -> Done<bool>;

    /// Ends the pause of a target; `false` if there is none.
    fn unpause(&mut self, target: &TargetName) -> Done<bool>;
}
