//! A store that takes its time: what is asked of it is pending until a commit
//! comes by, which may fail, and is answered only after that. What is pending
//! dies with the process; what is committed stays.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowgate::model::{Batch, BatchId, BatchNo, Item, TargetName, TenantId};
use flowgate::store::{
    Answer, Append, Appended, Backlog, Change, Due, Events, Lease, ListQuery, MemoryStore, Picks,
    Prune, SafeToRepeat, Settle, Settled, Spent, Store, StoreError, Swept, TargetPause,
};
use futures_util::FutureExt;
use tokio::sync::{Notify, oneshot};

use crate::bugs::{self, Bug};
use crate::checker::{self, Fact, Memory};
use crate::facts;
use crate::plan::Point;
use crate::recorded;
use crate::sim::{LeasedChunk, Process};

pub struct Disk {
    process: Arc<Process>,
    pending: Mutex<VecDeque<Box<dyn Pending>>>,
    bell: Notify,
    is_closed: Mutex<bool>,
}

/// A verb that waits for its commit, then for its answer to go out.
trait Pending: Send {
    fn apply(&mut self, process: &Process);
    fn answer(self: Box<Self>, failed: Option<StoreError>);
    /// The bytes that it brings.
    fn bytes(&self) -> usize;
    /// A settle that may still be written when its process is gone.
    fn late(&self) -> Option<Settle>;
}

type Run<T> = Box<dyn FnOnce(&Process) -> Result<T, StoreError> + Send>;

struct Verb<T> {
    /// Until it is applied.
    run: Option<Run<T>>,
    /// From then on.
    result: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    bytes: usize,
    late: Option<Settle>,
}

impl<T: Send> Pending for Verb<T> {
    fn apply(&mut self, process: &Process) {
        let run = self.run.take().expect("it is applied once");
        let result = run(process);
        if let Err(error) = &result {
            // The store in memory has no trouble of its own: it was misused.
            process.saw(Fact::Trouble(format!("the store says: {error}")));
        }
        self.result = Some(result);
    }

    fn answer(self: Box<Self>, failed: Option<StoreError>) {
        let result = match failed {
            Some(error) => Err(error),
            None => self.result.expect("it was applied"),
        };
        // Whoever asked may have gone.
        let _ = self.answer.send(result);
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn late(&self) -> Option<Settle> {
        self.late.clone()
    }
}

impl Disk {
    /// The disk of a process.
    pub fn of(process: &Arc<Process>) -> Arc<Disk> {
        let disk = Arc::new(Disk {
            process: process.clone(),
            pending: Mutex::default(),
            bell: Notify::new(),
            is_closed: Mutex::new(false),
        });
        tokio::spawn(disk.clone().commit());
        disk
    }

    /// Commits what is pending, over and over.
    async fn commit(self: Arc<Disk>) {
        let process = &self.process;
        let plan = &process.sim.plan.disk;
        loop {
            if self.pending().is_empty() {
                self.bell.notified().await;
                continue;
            }
            let (low, high) = plan.commit;
            process.sleep(process.dice.ms(low..=high)).await;
            process.at(Point::BeforeCommit).await;
            let mut verbs = std::mem::take(&mut *self.pending());
            let fails = |times| !process.is_last && process.dice.chance(times);
            if fails(plan.fails_before) {
                let failed = StoreError::Failed("the disk is full".to_owned());
                for verb in verbs {
                    verb.answer(Some(failed.clone()));
                }
                continue;
            }
            for verb in &mut verbs {
                verb.apply(process);
                recorded::note(process);
            }
            process.at(Point::Committed).await;
            if process.dice.chance(plan.late_answers) {
                process.sleep(process.dice.ms(1..=20)).await;
            }
            let failed = fails(plan.fails_after).then_some(StoreError::Closed);
            *self.is_closed.lock().expect("the disk") = failed.is_some();
            for verb in verbs {
                verb.answer(failed.clone());
            }
            process.at(Point::Answered).await;
            if failed.is_some() {
                process.sleep(process.dice.ms(0..=50)).await;
                process.kill("its store was closed");
                return;
            }
        }
    }

    /// Has a verb done by the next commit.
    fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        late: Option<Settle>,
        run: impl FnOnce(&Process) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'static, T> {
        if *self.is_closed.lock().expect("the disk") {
            return std::future::ready(Err(StoreError::Closed)).boxed();
        }
        let (answer, answered) = oneshot::channel();
        self.pending().push_back(Box::new(Verb {
            run: Some(Box::new(run)),
            result: None,
            answer,
            bytes,
            late,
        }));
        self.bell.notify_one();
        async move { answered.await.unwrap_or(Err(StoreError::Closed)) }.boxed()
    }

    /// Reads what is committed.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Process) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'static, T> {
        let process = self.process.clone();
        async move {
            let slow =
                |process: &Process| match process.dice.chance(process.sim.plan.disk.slow_reads) {
                    true => process.dice.ms(0..=5),
                    false => Duration::ZERO,
                };
            process.sleep(slow(&process)).await;
            let found = read(&process);
            process.sleep(slow(&process)).await;
            found
        }
        .boxed()
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, VecDeque<Box<dyn Pending>>> {
        self.pending.lock().expect("the disk")
    }

    /// What was pending when its process died is gone; but that process may not
    /// be as dead as it seems, and still write some of it, later.
    pub fn bury(&self) {
        let pending = std::mem::take(&mut *self.pending());
        let late = pending.iter().filter_map(|verb| verb.late());
        let sim = &self.process.sim;
        let kept: Vec<_> = late.filter(|_| sim.dice.chance(800)).collect();
        sim.state().late.extend(kept);
    }

    /// Writes what an earlier process settles too late.
    pub fn settle_late(&self, part: Settle) {
        drop(self.settle_part(part, true));
    }

    fn settle_part(&self, mut part: Settle, is_late: bool) -> Answer<'static, Settled> {
        let asked = part.clone();
        self.write(0, Some(part.clone()), move |process| {
            if process.sim.has(Bug::IgnoresEpochs) && is_late {
                let state = process.sim.state();
                part.epoch = state.chunks[&part.chunk.0].epoch;
            }
            if process.sim.has(Bug::LosesReleases) {
                part.release = None;
            }
            let settled = store(process).settle(part).now();
            if let Ok(settled) = &settled {
                saw_settled(process, &asked, *settled);
            }
            settled
        })
    }

    /// As [`Bug::EarlyLeases`] has it.
    fn lease_early(&self, picks: Picks, now_ms: i64) -> Answer<'static, Vec<Lease>> {
        let leases = store(&self.process).lease(picks, now_ms).now();
        let committed = leases.clone();
        drop(self.write(0, None, move |process| {
            committed?
                .iter()
                .for_each(|lease| saw_lease(process, lease));
            Ok(())
        }));
        std::future::ready(leases).boxed()
    }

    /// Notes how much is pending, when it is more than ever.
    fn note_pending(&self, more: usize) {
        let pending: usize = self.pending().iter().map(|verb| verb.bytes()).sum();
        let used = pending + more;
        let sim = &self.process.sim;
        let mut state = sim.state();
        if used > state.most_pending {
            state.most_pending = used;
            let budget = sim.plan.intake_memory.max(state.largest_message);
            drop(state);
            self.process.saw(Fact::Memory(Memory {
                what: "what is on its way to the disk, in bytes,".to_owned(),
                used: used as u64,
                budget: budget as u64,
            }));
        }
    }
}

fn store(process: &Process) -> &MemoryStore {
    &process.sim.store
}

/// The store in memory answers at once.
pub trait Now<T> {
    fn now(self) -> Result<T, StoreError>;
}

impl<T> Now<T> for Answer<'_, T> {
    fn now(self) -> Result<T, StoreError> {
        self.now_or_never().expect("an answer at once")
    }
}

impl Store for Disk {
    fn append(&self, part: Append) -> Answer<'static, Appended> {
        let part = bugs::careless(&self.process, part);
        let items = part.chunks.iter().flat_map(|chunk| &chunk.items);
        let payloads = items.filter_map(|item| item.payload.as_ref());
        let bytes = payloads.map(|payload| payload.body.len()).sum();
        self.note_pending(bytes);
        let process = &self.process;
        if !process.sim.is_calm() && process.dice.chance(process.sim.plan.disk.full) {
            return std::future::ready(Err(StoreError::Full)).boxed();
        }
        self.write(bytes, None, move |process| {
            match bugs::lost(process, &part) {
                Some(lost) => Ok(lost),
                None => store(process).append(part).now(),
            }
        })
    }

    fn lease(&self, picks: Picks, now_ms: i64) -> Answer<'_, Vec<Lease>> {
        if self.process.sim.has(Bug::EarlyLeases) {
            return self.lease_early(picks, now_ms);
        }
        self.write(0, None, move |process| {
            let leases = store(process).lease(picks, now_ms).now()?;
            for lease in &leases {
                saw_lease(process, lease);
            }
            Ok(bugs::forgetful(process, leases))
        })
    }

    fn settle(&self, part: Settle) -> Answer<'_, Settled> {
        self.settle_part(part, false)
    }

    fn transition(&self, no: BatchNo, change: Change, now_ms: i64) -> Answer<'_, Option<Batch>> {
        self.write(0, None, move |process| {
            store(process).transition(no, change, now_ms).now()
        })
    }

    fn sweep(&self, no: BatchNo, max_chunks: usize, now_ms: i64) -> Answer<'_, Swept> {
        self.write(0, None, move |process| {
            store(process).sweep(no, max_chunks, now_ms).now()
        })
    }

    fn prune(&self, prune: Prune) -> Answer<'_, bool> {
        self.write(0, None, move |process| store(process).prune(prune).now())
    }

    fn pause(&self, pause: TargetPause) -> Answer<'_, bool> {
        self.write(0, None, move |process| store(process).pause(pause).now())
    }

    fn unpause(&self, target: TargetName) -> Answer<'_, bool> {
        self.write(0, None, move |process| store(process).unpause(target).now())
    }

    fn backlog(&self, target: TargetName) -> Answer<'_, Backlog> {
        self.read(move |process| store(process).backlog(target).now())
    }

    fn rescue(&self, safe: SafeToRepeat, now_ms: i64) -> Answer<'_, usize> {
        self.write(0, None, move |process| {
            let rescued = store(process).rescue(safe, now_ms).now();
            process.saw(Fact::Rescued);
            rescued
        })
    }

    fn batch(&self, tenant: TenantId, id: BatchId) -> Answer<'_, Option<Batch>> {
        self.read(move |process| {
            let found = store(process).batch(tenant, id).now()?;
            match found {
                None if process.sim.has(Bug::IgnoresTenants) => bugs::of_anybody(process, id),
                found => Ok(found),
            }
        })
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Batch>> {
        self.read(move |process| store(process).list(query).now())
    }

    fn events(&self, no: BatchNo, after: u64, max_bytes: usize) -> Answer<'_, Events> {
        self.read(move |process| {
            let events = store(process).events(no, after, max_bytes).now()?;
            Ok(bugs::spoiled(process, events))
        })
    }

    fn due(&self, now_ms: i64, max: usize) -> Answer<'_, Vec<Due>> {
        self.read(move |process| store(process).due(now_ms, max).now())
    }

    fn spent(&self, target: TargetName, from_ms: i64) -> Answer<'_, Vec<Spent>> {
        self.read(move |process| store(process).spent(target, from_ms).now())
    }

    fn pauses(&self) -> Answer<'_, Vec<TargetPause>> {
        self.read(move |process| match process.sim.has(Bug::ForgetsHolds) {
            true => Ok(Vec::new()),
            false => store(process).pauses().now(),
        })
    }

    fn items(&self, no: BatchNo, first: u32, count: u32) -> Answer<'_, Vec<Item>> {
        self.read(move |process| store(process).items(no, first, count).now())
    }
}

fn saw_lease(process: &Process, lease: &Lease) {
    let Lease::Chunk(leased) = lease else {
        return;
    };
    let items = leased.items.iter();
    let tags = items.map(|(position, item)| (*position, facts::tag(item)));
    let tags: BTreeMap<u32, String> = tags.collect();
    process.saw(Fact::Leased(checker::Leased {
        chunk: leased.chunk.0,
        epoch: leased.epoch,
        batch: leased.id.to_string(),
        tags: tags.values().cloned().collect(),
    }));
    let mut state = process.sim.state();
    let chunk = LeasedChunk {
        epoch: leased.epoch,
        tags,
    };
    state.chunks.insert(leased.chunk.0, chunk);
}

fn saw_settled(process: &Process, part: &Settle, settled: Settled) {
    let tag = |position: &u32| {
        let state = process.sim.state();
        let chunk = state.chunks.get(&part.chunk.0);
        let tag = chunk.and_then(|chunk| chunk.tags.get(position));
        tag.cloned().unwrap_or_default()
    };
    let again = part.again.iter().flat_map(|again| &again.items);
    let settled = checker::Settled {
        chunk: part.chunk.0,
        epoch: part.epoch,
        recorded: matches!(settled, Settled::Recorded { .. }),
        ended: part.results.iter().map(|(at, _)| tag(at)).collect(),
        again: again.map(|(at, _)| tag(at)).collect(),
        released: part.release.is_some(),
    };
    process.saw(Fact::Settled(settled));
}
