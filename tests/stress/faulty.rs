//! A store that cannot do some things, as scripted, over the one in memory.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use flowgate::model::{Batch, BatchId, BatchNo, Item, TargetName, TenantId};
use flowgate::store::{
    Answer, Append, Appended, Backlog, Change, Due, Events, Lease, ListQuery, MemoryStore, Picks,
    Prune, SafeToRepeat, Settle, Settled, Spent, Store, StoreError, Swept, TargetPause,
};
use futures_util::FutureExt;
use futures_util::future::ready;

/// What goes wrong.
#[derive(Default)]
pub struct Faults {
    /// So many leases find no room.
    pub leases: usize,
    /// So many sweeps find no room.
    pub sweeps: usize,
    /// Nothing of this batch can be read.
    pub broken: Option<BatchNo>,
    /// So many settles are refused for good.
    pub settles: usize,
}

#[derive(Default)]
pub struct FaultyStore {
    inner: MemoryStore,
    pub faults: Mutex<Faults>,
    /// Leases that were asked for.
    pub leases: AtomicUsize,
}

impl FaultyStore {
    fn faults(&self) -> std::sync::MutexGuard<'_, Faults> {
        self.faults.lock().expect("the faults")
    }
}

/// Counts one down.
fn take(left: &mut usize) -> bool {
    let is_left = *left > 0;
    *left = left.saturating_sub(1);
    is_left
}

fn broken() -> StoreError {
    StoreError::Broken("as scripted".to_owned())
}

impl Store for FaultyStore {
    fn append(&self, part: Append) -> Answer<'static, Appended> {
        self.inner.append(part)
    }

    fn lease(&self, picks: Picks, now_ms: i64) -> Answer<'_, Vec<Lease>> {
        self.leases.fetch_add(1, Ordering::Relaxed);
        let mut faults = self.faults();
        if take(&mut faults.leases) {
            return ready(Err(StoreError::Full)).boxed();
        }
        if picks.batches.iter().any(|no| Some(*no) == faults.broken) {
            return ready(Err(broken())).boxed();
        }
        self.inner.lease(picks, now_ms)
    }

    fn settle(&self, part: Settle) -> Answer<'_, Settled> {
        if take(&mut self.faults().settles) {
            return ready(Err(broken())).boxed();
        }
        self.inner.settle(part)
    }

    fn transition(&self, no: BatchNo, change: Change, now_ms: i64) -> Answer<'_, Option<Batch>> {
        self.inner.transition(no, change, now_ms)
    }

    fn sweep(&self, no: BatchNo, max_chunks: usize, now_ms: i64) -> Answer<'_, Swept> {
        if take(&mut self.faults().sweeps) {
            return ready(Err(StoreError::Full)).boxed();
        }
        self.inner.sweep(no, max_chunks, now_ms)
    }

    fn backlog(&self, target: TargetName) -> Answer<'_, Backlog> {
        self.inner.backlog(target)
    }

    fn rescue(&self, safe: SafeToRepeat, now_ms: i64) -> Answer<'_, usize> {
        self.inner.rescue(safe, now_ms)
    }

    fn batch(&self, tenant: TenantId, id: BatchId) -> Answer<'_, Option<Batch>> {
        self.inner.batch(tenant, id)
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Batch>> {
        self.inner.list(query)
    }

    fn events(&self, no: BatchNo, after: u64, max_bytes: usize) -> Answer<'_, Events> {
        self.inner.events(no, after, max_bytes)
    }

    fn items(&self, no: BatchNo, first: u32, count: u32) -> Answer<'_, Vec<Item>> {
        self.inner.items(no, first, count)
    }

    fn due(&self, now_ms: i64, max: usize) -> Answer<'_, Vec<Due>> {
        self.inner.due(now_ms, max)
    }

    fn prune(&self, prune: Prune) -> Answer<'_, bool> {
        self.inner.prune(prune)
    }

    fn spent(&self, target: TargetName, from_ms: i64) -> Answer<'_, Vec<Spent>> {
        self.inner.spent(target, from_ms)
    }

    fn pause(&self, pause: TargetPause) -> Answer<'_, bool> {
        self.inner.pause(pause)
    }

    fn unpause(&self, target: TargetName) -> Answer<'_, bool> {
        self.inner.unpause(target)
    }

    fn pauses(&self) -> Answer<'_, Vec<TargetPause>> {
        self.inner.pauses()
    }
}
