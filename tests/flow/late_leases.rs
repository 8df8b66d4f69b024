//! A store whose leases take a while to come back.

use std::sync::Arc;
use std::time::Duration;

use flowgate::model::{Batch, BatchId, BatchNo, Item, TargetName, TenantId};
use flowgate::store::{
    Answer, Append, Appended, Backlog, Change, Due, Events, Lease, ListQuery, Picks, Prune,
    SafeToRepeat, Settle, Settled, Spent, Store, Swept, TargetPause,
};

/// What there is to lease is looked at at once, and told after a while.
pub struct LateLeases(pub Arc<dyn Store>, pub Duration);

impl Store for LateLeases {
    fn lease(&self, picks: Picks, now_ms: i64) -> Answer<'_, Vec<Lease>> {
        let leasing = self.0.lease(picks, now_ms);
        Box::pin(async move {
            let leases = leasing.await;
            tokio::time::sleep(self.1).await;
            leases
        })
    }

    fn append(&self, part: Append) -> Answer<'static, Appended> {
        self.0.append(part)
    }

    fn settle(&self, part: Settle) -> Answer<'_, Settled> {
        self.0.settle(part)
    }

    fn transition(&self, no: BatchNo, change: Change, now_ms: i64) -> Answer<'_, Option<Batch>> {
        self.0.transition(no, change, now_ms)
    }

    fn sweep(&self, no: BatchNo, max_chunks: usize, now_ms: i64) -> Answer<'_, Swept> {
        self.0.sweep(no, max_chunks, now_ms)
    }

    fn backlog(&self, target: TargetName) -> Answer<'_, Backlog> {
        self.0.backlog(target)
    }

    fn rescue(&self, safe: SafeToRepeat, now_ms: i64) -> Answer<'_, usize> {
        self.0.rescue(safe, now_ms)
    }

    fn batch(&self, tenant: TenantId, id: BatchId) -> Answer<'_, Option<Batch>> {
        self.0.batch(tenant, id)
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Batch>> {
        self.0.list(query)
    }

    fn events(&self, no: BatchNo, after: u64, max_bytes: usize) -> Answer<'_, Events> {
        self.0.events(no, after, max_bytes)
    }

    fn items(&self, no: BatchNo, first: u32, count: u32) -> Answer<'_, Vec<Item>> {
        self.0.items(no, first, count)
    }

    fn due(&self, now_ms: i64, max: usize) -> Answer<'_, Vec<Due>> {
        self.0.due(now_ms, max)
    }

    fn prune(&self, prune: Prune) -> Answer<'_, bool> {
        self.0.prune(prune)
    }

    fn spent(&self, target: TargetName, from_ms: i64) -> Answer<'_, Vec<Spent>> {
        self.0.spent(target, from_ms)
    }

    fn pause(&self, pause: TargetPause) -> Answer<'_, bool> {
        self.0.pause(pause)
    }

    fn unpause(&self, target: TargetName) -> Answer<'_, bool> {
        self.0.unpause(target)
    }

    fn pauses(&self) -> Answer<'_, Vec<TargetPause>> {
        self.0.pauses()
    }
}
