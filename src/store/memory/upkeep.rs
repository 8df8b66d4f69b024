//! What is kept beside the logs, in memory, and what is thrown away.

use super::super::TargetPause;
use super::super::rows::{Done, UpkeepRows};
use super::Tables;
use crate::model::{Batch, BatchNo, ChunkNo, TargetName};

impl UpkeepRows for Tables {
    fn due(&mut self, now_ms: i64, max: usize) -> Done<Vec<BatchNo>> {
        let due = self.batches.iter().filter_map(|(no, row)| {
            let due_ms = row.due_ms()?;
            (due_ms <= now_ms).then_some((due_ms, *no))
        });
        Ok(first(due, max))
    }

    fn finished(&mut self, before_ms: i64, max: usize) -> Done<Vec<BatchNo>> {
        let finished = self.batches.iter().filter_map(|(no, row)| {
            let finished_ms = row.batch.finished_ms?;
            (finished_ms < before_ms).then_some((finished_ms, *no))
        });
        Ok(first(finished, max))
    }

    fn remove_batch(&mut self, batch: &Batch) -> Done<()> {
        self.batches.remove(&batch.no);
        self.ids.remove(&(batch.tenant.clone(), batch.id));
        if let Some(request_id) = &batch.spec.request_id {
            let key = (batch.tenant.clone(), request_id.clone());
            self.requests.remove(&key);
        }
        self.removed.push(batch.no);
        Ok(())
    }

    fn clear_out(&mut self, _max: usize) -> Done<usize> {
        // All at once: memory has no writer to hold up.
        let removed = std::mem::take(&mut self.removed);
        for no in &removed {
            let all = ChunkNo(no.0 << 32)..ChunkNo((no.0 + 1) << 32);
            let chunks = self.chunks.range(all).map(|(no, _)| *no);
            for chunk in chunks.collect::<Vec<_>>() {
                self.chunks.remove(&chunk);
            }
            let mut events = self.events.split_off(&(*no, 0));
            let mut later = events.split_off(&(BatchNo(no.0 + 1), 0));
            self.events.append(&mut later);
        }
        Ok(removed.len())
    }

    fn charge(&mut self, target: &TargetName, minute: i64, units: i64) -> Done<()> {
        *self.charges.entry((target.clone(), minute)).or_default() += units;
        Ok(())
    }

    fn charges(&mut self, target: &TargetName, from_minute: i64) -> Done<Vec<(i64, u64)>> {
        let all = (target.clone(), from_minute)..=(target.clone(), i64::MAX);
        let charges = self.charges.range(all).filter(|(_, units)| **units > 0);
        Ok(charges
            .map(|((_, minute), units)| (*minute, units.unsigned_abs()))
            .collect())
    }

    fn remove_charges(&mut self, before_minute: i64, max: usize) -> Done<usize> {
        let old = self.charges.keys().filter(|(_, at)| *at < before_minute);
        let old: Vec<_> = old.take(max).cloned().collect();
        for charge in &old {
            self.charges.remove(charge);
        }
        Ok(old.len())
    }

    fn pauses(&mut self) -> Done<Vec<TargetPause>> {
        Ok(self.pauses.values().cloned().collect())
    }

    fn pause(&mut self, pause: &TargetPause) -> Done<bool> {
        if self.pauses.contains_key(&pause.target) {
            return Ok(false);
        }
        self.pauses.insert(pause.target.clone(), pause.clone());
        Ok(true)
    }

    fn unpause(&mut self, target: &TargetName) -> Done<bool> {
        Ok(self.pauses.remove(target).is_some())
    }
}

/// The batches of the first times.
fn first(times: impl Iterator<Item = (i64, BatchNo)>, max: usize) -> Vec<BatchNo> {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times.into_iter().take(max).map(|(_, no)| no).collect()
}
