//! A store in memory: gone with the process. For trying things out, and the
//! oracle of the tests.

mod keys;
mod upkeep;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future;

use super::ready::{ReadyAppend, ReadySettle};
use super::rows::{BatchRow, ChunkRow, Done, EventRow, KeyOf, KeyRow, Rows, Undone, UpkeepRows};
use super::verbs::{self, Rescued};
use super::{
    Answer, Append, Appended, Backlog, Change, Due, Events, Lease, ListQuery, Picks, Prune,
    SafeToRepeat, Settle, Settled, Spent, Store, StoreError, Swept, TargetPause,
};
use crate::core::lifecycle::ChunkState;
use crate::model::{Batch, BatchId, BatchNo, ChunkNo, Item, TargetName, TenantId};

/// A store in memory. Every answer is there at once.
#[derive(Default)]
pub struct MemoryStore {
    // A std mutex: held for one verb, never across an await.
    tables: Mutex<Tables>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Does a verb, now.
    fn run<T: Send + 'static>(
        &self,
        verb: impl FnOnce(&mut Tables) -> Done<T>,
    ) -> Answer<'static, T> {
        // A verb that panicked may have left half of its rows.
        let answer = match self.tables.lock() {
            Ok(mut tables) => verb(&mut tables).map_err(StoreError::from),
            Err(PoisonError { .. }) => Err(StoreError::Closed),
        };
        future::ready(answer).boxed()
    }
}

impl Store for MemoryStore {
    fn append(&self, part: Append) -> Answer<'static, Appended> {
        self.run(|rows| verbs::append(rows, &ReadyAppend::encode(part)?))
    }

    fn lease(&self, picks: Picks, now_ms: i64) -> Answer<'_, Vec<Lease>> {
        self.run(|rows| {
            let picked = verbs::lease(rows, &picks, now_ms)?;
            picked.into_iter().map(verbs::Pick::decode).collect()
        })
    }

    fn settle(&self, part: Settle) -> Answer<'_, Settled> {
        self.run(|rows| verbs::settle(rows, &ReadySettle::encode(part)?))
    }

    fn transition(&self, no: BatchNo, change: Change, now_ms: i64) -> Answer<'_, Option<Batch>> {
        self.run(|rows| verbs::transition(rows, no, change, now_ms))
    }

    fn sweep(&self, no: BatchNo, max_chunks: usize, now_ms: i64) -> Answer<'_, Swept> {
        self.run(|rows| verbs::sweep(rows, no, max_chunks, now_ms))
    }

    fn backlog(&self, target: TargetName) -> Answer<'_, Backlog> {
        self.run(|rows| verbs::backlog(rows, &target))
    }

    fn rescue(&self, safe: SafeToRepeat, now_ms: i64) -> Answer<'_, usize> {
        self.run(|rows| {
            let rescued = verbs::rescue(rows, &safe, Rescued::NONE, usize::MAX, now_ms)?;
            Ok(rescued.chunks)
        })
    }

    fn batch(&self, tenant: TenantId, id: BatchId) -> Answer<'_, Option<Batch>> {
        self.run(|rows| verbs::batch(rows, &tenant, id))
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Batch>> {
        self.run(|rows| verbs::list(rows, &query))
    }

    fn events(&self, no: BatchNo, after: u64, max_bytes: usize) -> Answer<'_, Events> {
        self.run(|rows| verbs::events(rows, no, after, max_bytes))
    }

    fn due(&self, now_ms: i64, max: usize) -> Answer<'_, Vec<Due>> {
        self.run(|rows| verbs::due(rows, now_ms, max))
    }

    fn prune(&self, prune: Prune) -> Answer<'_, bool> {
        self.run(|rows| verbs::prune(rows, &prune))
    }

    fn spent(&self, target: TargetName, from_ms: i64) -> Answer<'_, Vec<Spent>> {
        self.run(|rows| verbs::spent(rows, &target, from_ms))
    }

    fn pause(&self, pause: TargetPause) -> Answer<'_, bool> {
        self.run(|rows| rows.pause(&pause))
    }

    fn unpause(&self, target: TargetName) -> Answer<'_, bool> {
        self.run(|rows| rows.unpause(&target))
    }

    fn pauses(&self) -> Answer<'_, Vec<TargetPause>> {
        self.run(UpkeepRows::pauses)
    }

    fn items(&self, no: BatchNo, first: u32, count: u32) -> Answer<'_, Vec<Item>> {
        self.run(|rows| verbs::items(rows, no, first, count))
    }
}

#[derive(Default)]
struct Tables {
    batches: BTreeMap<BatchNo, BatchRow>,
    ids: HashMap<(TenantId, BatchId), BatchNo>,
    requests: HashMap<(TenantId, String), BatchNo>,
    /// Those with queued items.
    waiting: BTreeSet<(TargetName, BatchNo)>,
    chunks: BTreeMap<ChunkNo, (ChunkRow, Bytes)>,
    /// Those that are queued, by when they are due.
    queued: BTreeSet<(BatchNo, i64, ChunkNo)>,
    /// Those that are leased.
    leased: BTreeSet<ChunkNo>,
    events: BTreeMap<(BatchNo, u64), EventRow>,
    keys: BTreeMap<KeyOf, KeyRow>,
    /// By target and minute.
    charges: BTreeMap<(TargetName, i64), i64>,
    pauses: BTreeMap<TargetName, TargetPause>,
    /// Batches whose chunks and events are to be taken away.
    removed: Vec<BatchNo>,
    /// The number of the last batch: none has a number again.
    last: i64,
}

impl Tables {
    fn index_chunk(&mut self, row: &ChunkRow) {
        match row.state {
            ChunkState::Queued => {
                self.queued.insert((row.batch, row.due_ms, row.no));
            }
            ChunkState::Leased => {
                self.leased.insert(row.no);
            }
            ChunkState::Finished => {}
        }
    }
}

impl Rows for Tables {
    fn has_room(&mut self, _bytes: usize) -> Done<bool> {
        Ok(true)
    }

    fn batch(&mut self, no: BatchNo) -> Done<Option<BatchRow>> {
        Ok(self.batches.get(&no).cloned())
    }

    fn batch_by_id(&mut self, tenant: &TenantId, id: BatchId) -> Done<Option<BatchNo>> {
        Ok(self.ids.get(&(tenant.clone(), id)).copied())
    }

    fn batch_by_request(&mut self, tenant: &TenantId, request_id: &str) -> Done<Option<BatchNo>> {
        let key = (tenant.clone(), request_id.to_owned());
        Ok(self.requests.get(&key).copied())
    }

    fn insert_batch(&mut self, row: &BatchRow) -> Done<BatchNo> {
        let mut row = row.clone();
        let batch = &mut row.batch;
        self.last += 1;
        batch.no = BatchNo(self.last);
        let no = batch.no;
        self.ids.insert((batch.tenant.clone(), batch.id), no);
        if let Some(request_id) = &batch.spec.request_id {
            self.requests
                .insert((batch.tenant.clone(), request_id.clone()), no);
        }
        self.batches.insert(no, row);
        Ok(no)
    }

    fn update_batch(&mut self, row: BatchRow) -> Done<()> {
        let batch = &row.batch;
        let place = (batch.spec.target.clone(), batch.no);
        if batch.progress.counts.queued() > 0 {
            self.waiting.insert(place);
        } else {
            self.waiting.remove(&place);
        }
        self.batches.insert(batch.no, row);
        Ok(())
    }

    fn page(
        &mut self,
        query: &ListQuery,
        before: Option<BatchNo>,
        max: usize,
    ) -> Done<Vec<BatchRow>> {
        let asked_for = |batch: &Batch| {
            let target = query.target.as_ref();
            batch.tenant == query.tenant
                && target.is_none_or(|target| *target == batch.spec.target)
                && (query.states.is_empty() || query.states.contains(&batch.state))
        };
        let older = self.batches.range(..before.unwrap_or(BatchNo(i64::MAX)));
        let found = older.rev().map(|(_, row)| row);
        let found = found.filter(|row| asked_for(&row.batch));
        Ok(found.take(max).cloned().collect())
    }

    fn waiting(&mut self, target: &TargetName) -> Done<Vec<(TenantId, BatchNo, u32)>> {
        let from = (target.clone(), BatchNo(i64::MIN));
        let waiting = self.waiting.range(from..);
        let waiting = waiting.take_while(|(of, _)| of == target);
        let rows = waiting.filter_map(|(_, no)| self.batches.get(no));
        Ok(rows
            .map(|BatchRow { batch, .. }| {
                let queued = batch.progress.counts.queued();
                (batch.tenant.clone(), batch.no, queued)
            })
            .collect())
    }

    fn chunk(&mut self, no: ChunkNo) -> Done<Option<ChunkRow>> {
        Ok(self.chunks.get(&no).map(|(row, _)| row.clone()))
    }

    fn chunk_items(&mut self, no: ChunkNo) -> Done<Bytes> {
        match self.chunks.get(&no) {
            Some((_, items)) => Ok(items.clone()),
            None => Err(Undone::Broken(format!("chunk {} is not there", no.0))),
        }
    }

    fn insert_chunk(&mut self, row: ChunkRow, items: &Bytes) -> Done<()> {
        self.index_chunk(&row);
        self.chunks.insert(row.no, (row, items.clone()));
        Ok(())
    }

    fn update_chunk(&mut self, row: ChunkRow) -> Done<()> {
        let Some((old, items)) = self.chunks.get_mut(&row.no) else {
            return Err(Undone::Broken(format!("chunk {} is not there", row.no.0)));
        };
        self.queued.remove(&(old.batch, old.due_ms, old.no));
        self.leased.remove(&old.no);
        old.clone_from(&row);
        if row.is_done_trying() {
            *items = Bytes::new();
        }
        self.index_chunk(&row);
        Ok(())
    }

    fn queued(&mut self, batch: &Batch, due_ms: i64) -> Done<Option<ChunkRow>> {
        let from = (batch.no, due_ms, ChunkNo(i64::MIN));
        let to = (batch.no, i64::MAX, ChunkNo(i64::MAX));
        match self.queued.range(from..=to).next() {
            Some((_, _, no)) => self.chunk(*no),
            None => Ok(None),
        }
    }

    fn leased(&mut self, after: ChunkNo, max: usize) -> Done<Vec<ChunkRow>> {
        let after = (Bound::Excluded(after), Bound::Unbounded);
        let leased = self.leased.range(after).take(max);
        let rows = leased.filter_map(|no| self.chunks.get(no));
        Ok(rows.map(|(row, _)| row.clone()).collect())
    }

    fn insert_event(&mut self, batch: &Batch, row: EventRow) -> Done<()> {
        self.events.insert((batch.no, row.sequence), row);
        Ok(())
    }

    fn events(
        &mut self,
        batch: BatchNo,
        after: u64,
        max_bytes: usize,
    ) -> Done<(Vec<EventRow>, bool)> {
        let Some(first) = after.checked_add(1) else {
            return Ok((Vec::new(), false));
        };
        let mut bytes = 0;
        let mut found = Vec::new();
        for (_, row) in self.events.range((batch, first)..=(batch, u64::MAX)) {
            bytes += row.body.len();
            if bytes > max_bytes && !found.is_empty() {
                return Ok((found, true));
            }
            found.push(row.clone());
        }
        Ok((found, false))
    }
}
