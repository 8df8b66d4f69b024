//! One task for each quota: it picks whose chunk is next, leases it, and lets
//! it run: paced, sent, classified, settled. Knows nothing of who submitted a
//! batch or who follows it; it meets them through the store.

mod brake;
mod run;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::core::fair::Fair;
use crate::limiter::{Gate, GateSpec};
use crate::model::{BatchNo, LaneStatus, TargetName, TenantId};
use crate::observe::Gauge;
use crate::store::{Lease, Leased, Store, StoreError};
use crate::sweep::sweep;
use crate::target::{Ahead, Entry, wire};
use crate::time::{instant_at, wall_ms};
use crate::wake::{Nudge, Wake};

use brake::Brake;
use run::Run;

/// How long before its first permit is due a chunk is leased: what the commit
/// of a lease takes on a slow disk. Later, and the rate would not be used;
/// earlier, and more would be leased and unwritten when the process dies.
const LEASE_LEAD: Duration = Duration::from_millis(20);

/// How long the lane sleeps when it waits for nothing in particular.
const IDLE: Duration = Duration::from_hours(1);

/// Where a lane starts from.
pub struct LaneSpec {
    /// The targets that draw on the quota; at least one.
    pub targets: Vec<Arc<Entry>>,
    /// Nothing is sent before: after a restart, what was sent before it still
    /// counts.
    pub hold_until: Option<Instant>,
    /// For the delays of retries; the same seed gives the same delays.
    pub seed: u64,
}

/// Drives the targets of one quota.
pub struct Lane {
    store: Arc<dyn Store>,
    wake: Wake,
    gate: Gate,
    brake: Arc<Brake>,
    seats: Vec<Seat>,
    fair: Fair,
    /// Batches whose queued chunks are due later.
    later: BinaryHeap<Reverse<(Instant, BatchNo)>>,
    /// The batches that are queued here or due later: whose, for which seat.
    known: HashMap<BatchNo, Known>,
    nudges: mpsc::UnboundedReceiver<Nudge>,
    /// Notified when a target's leased items run low.
    low: Arc<Notify>,
    runs: JoinSet<Result<(), StoreError>>,
    /// The runs under way: a batch's can be stopped.
    stops: Vec<(BatchNo, CancellationToken)>,
    seed: fastrand::Rng,
}

/// One of the lane's targets. Its place in the list is its slot at the gate.
struct Seat {
    entry: Arc<Entry>,
    ahead: Arc<Ahead>,
    chunk_items: u32,
}

/// A batch that has chunks here.
struct Known {
    tenant: TenantId,
    slot: usize,
    /// Items that it was charged for and that its chunks turned out not to have.
    credit: u32,
}

impl Lane {
    /// A lane that has not started.
    pub fn new(store: Arc<dyn Store>, wake: Wake, spec: LaneSpec) -> Lane {
        let low = Arc::new(Notify::new());
        let quota = &spec.targets[0].quota;
        let gate = Gate::new(GateSpec {
            limits: quota.limits.clone(),
            pace: quota.pace,
            transit: quota.transit,
            concurrency: spec.targets.iter().map(|t| t.config.concurrency).collect(),
        });
        if let Some(until) = spec.hold_until {
            gate.hold_until(until);
        }
        let names: Vec<TargetName> = spec.targets.iter().map(|t| t.config.name.clone()).collect();
        let seats: Vec<Seat> = spec
            .targets
            .into_iter()
            .map(|entry| Seat {
                // A concurrency's worth waits while as much is on its way.
                ahead: Ahead::new(entry.config.concurrency, low.clone()),
                chunk_items: entry.config.chunk_items,
                entry,
            })
            .collect();
        let quantum = seats.iter().map(|seat| seat.chunk_items).max().unwrap_or(1);
        Lane {
            nudges: wake.drive(names),
            brake: Arc::new(Brake::new(gate.clone())),
            store,
            wake,
            gate,
            seats,
            fair: Fair::new(quantum),
            later: BinaryHeap::new(),
            known: HashMap::new(),
            low,
            runs: JoinSet::new(),
            stops: Vec::new(),
            seed: fastrand::Rng::with_seed(spec.seed),
        }
    }

    /// What tells how each of its targets is doing.
    pub fn gauges(&self) -> Vec<(TargetName, Gauge)> {
        let seats = self.seats.iter().enumerate();
        seats
            .map(|(slot, seat)| {
                let (gate, brake) = (self.gate.clone(), self.brake.clone());
                let gauge: Gauge = Arc::new(move || {
                    let status = gate.status();
                    LaneStatus {
                        in_flight: status.in_flight.get(slot).copied().unwrap_or(0),
                        requests_last_second: status.requests_last_second,
                        pause: brake.pause(),
                    }
                });
                (seat.entry.config.name.clone(), gauge)
            })
            .collect()
    }

    /// Drives until `drain` is cancelled; then returns to the queue what is
    /// not written, waits for what is, and ends.
    ///
    /// # Errors
    ///
    /// When the store fails: what was under way is then as after a crash.
    pub async fn drive(mut self, drain: CancellationToken) -> Result<(), StoreError> {
        self.catch_up().await?;
        let brake = self.brake.clone();
        let low = self.low.clone();
        loop {
            self.hear();
            let next = self.take_up().await?;
            tokio::select! {
                biased;
                () = drain.cancelled() => break,
                () = brake.pulled() => self.stop_runs(|_| true),
                Some(nudge) = self.nudges.recv() => self.heed(nudge),
                Some(ended) = self.runs.join_next() => self.ended(ended)?,
                () = low.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        self.stop_runs(|_| true);
        while let Some(ended) = self.runs.join_next().await {
            self.ended(ended)?;
        }
        Ok(())
    }

    /// What was queued before this lane began.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        for slot in 0..self.seats.len() {
            let target = self.seats[slot].entry.config.name.clone();
            for (tenant, no) in self.store.backlog(target).await?.batches {
                self.know(tenant, no, slot);
            }
        }
        Ok(())
    }

    /// Takes all nudges that are there, and what has become due.
    fn hear(&mut self) {
        while let Ok(nudge) = self.nudges.try_recv() {
            self.heed(nudge);
        }
        let now = Instant::now();
        while let Some(&Reverse((due, no))) = self.later.peek()
            && due <= now
        {
            self.later.pop();
            self.queue(no);
        }
    }

    fn heed(&mut self, nudge: Nudge) {
        match nudge {
            Nudge::Work(target, tenant, no) => {
                let mut seats = self.seats.iter();
                if let Some(slot) = seats.position(|seat| seat.entry.config.name == target) {
                    self.know(tenant, no, slot);
                }
            }
            Nudge::Stop(stopped) => {
                self.stop_runs(|no| no == stopped);
                // At once: what will not be sent need not wait for its turn.
                self.sweep(stopped);
            }
        }
    }

    fn know(&mut self, tenant: TenantId, no: BatchNo, slot: usize) {
        self.known.entry(no).or_insert(Known {
            tenant,
            slot,
            credit: 0,
        });
        self.queue(no);
    }

    fn queue(&mut self, no: BatchNo) {
        if let Some(known) = self.known.get(&no) {
            self.fair.add(&known.tenant, no, known.slot);
        }
    }

    /// Picks and leases what is wanted now, and lets it run. Returns when to
    /// look again.
    async fn take_up(&mut self) -> Result<Instant, StoreError> {
        loop {
            let (picks, permit_due) = self.pick();
            if picks.is_empty() {
                let retry_due = self.later.peek().map(|Reverse((due, _))| *due);
                let next = permit_due.into_iter().chain(retry_due).min();
                return Ok(next.unwrap_or_else(|| Instant::now() + IDLE));
            }
            let batches = picks.iter().map(|&(no, _)| no).collect();
            let leases = self.store.lease(batches, wall_ms()).await?;
            for ((no, slot), lease) in picks.into_iter().zip(leases) {
                self.leased(no, slot, lease);
            }
        }
    }

    /// Whose chunks are next: as many as have permits due before a lease of
    /// more could be on disk, and while some target has few left. Also, when
    /// the next permit is due, if that is what it waits for.
    fn pick(&mut self) -> (Vec<(BatchNo, usize)>, Option<Instant>) {
        let mut picks = Vec::new();
        let mut planned: Vec<u32> = self.seats.iter().map(|s| s.ahead.items()).collect();
        while !self.fair.is_empty() {
            let due = self.gate.due(planned.iter().sum());
            let wanted_at = self.brake.until().map_or(due, |end| end.max(due));
            if wanted_at > Instant::now() + LEASE_LEAD {
                return (picks, Some(wanted_at - LEASE_LEAD));
            }
            let seats = &self.seats;
            let few = |slot: usize| planned[slot] <= seats[slot].entry.config.concurrency;
            let Some(no) = self.fair.pick(few) else { break };
            let Some(known) = self.known.get_mut(&no) else {
                self.fair.remove(no);
                continue;
            };
            let slot = known.slot;
            let chunk_items = self.seats[slot].chunk_items;
            // What the chunk holds shows only once it is leased.
            self.fair
                .charge(no, chunk_items.saturating_sub(known.credit));
            known.credit = known.credit.saturating_sub(chunk_items);
            planned[slot] += chunk_items;
            picks.push((no, slot));
        }
        (picks, None)
    }

    fn leased(&mut self, no: BatchNo, slot: usize, lease: Lease) {
        match lease {
            Lease::Chunk(leased) => {
                let items = u32::try_from(leased.items.len()).unwrap_or(u32::MAX);
                if let Some(known) = self.known.get_mut(&no) {
                    known.credit += self.seats[slot].chunk_items.saturating_sub(items);
                }
                self.start(slot, *leased);
            }
            Lease::Nothing => {
                self.fair.remove(no);
                self.known.remove(&no);
            }
            Lease::Later { due_ms } => {
                self.fair.remove(no);
                self.later.push(Reverse((instant_at(due_ms), no)));
            }
            Lease::Cancelling => self.sweep(no),
        }
    }

    fn sweep(&mut self, no: BatchNo) {
        self.fair.remove(no);
        self.known.remove(&no);
        let (store, wake) = (self.store.clone(), self.wake.clone());
        self.runs
            .spawn(async move { sweep(&*store, &wake, no).await });
    }

    fn start(&mut self, slot: usize, leased: Leased) {
        let seat = &self.seats[slot];
        let stop = CancellationToken::new();
        self.stops.push((leased.no, stop.clone()));
        let items = u32::try_from(leased.items.len()).unwrap_or(u32::MAX);
        // Here, not in the run's task: from now on these items are ahead.
        let (wire, incoming) = wire(
            self.gate.clone(),
            slot,
            items,
            seat.ahead.clone(),
            stop.clone(),
        );
        let run = Run::new(run::Parts {
            store: self.store.clone(),
            wake: self.wake.clone(),
            brake: self.brake.clone(),
            entry: seat.entry.clone(),
            jitter: self.seed.fork(),
            leased,
            incoming,
            stop,
        });
        self.runs.spawn(run.go(wire));
    }

    fn stop_runs(&mut self, which: impl Fn(BatchNo) -> bool) {
        for (no, stop) in &self.stops {
            if which(*no) {
                stop.cancel();
            }
        }
    }

    fn ended(
        &mut self,
        ended: Result<Result<(), StoreError>, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        // A run cancels its own token when it ends.
        self.stops.retain(|(_, stop)| !stop.is_cancelled());
        match ended {
            Ok(result) => result,
            Err(panic) => {
                tracing::error!(%panic, "a chunk's run failed; its items stay leased");
                Ok(())
            }
        }
    }
}
