//! One task for each quota: it picks whose chunk is next, leases it, and lets
//! it run: paced, sent, classified, settled. Knows nothing of who submitted a
//! batch or who follows it; it meets them through the store.

mod brake;
mod failing;
mod health;
mod held;
mod leasing;
mod part;
mod run;
mod seat;
mod spec;
mod turns;
mod way;

use std::sync::Arc;

use futures_util::future::OptionFuture;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limiter::Gate;
use crate::model::{BatchNo, Held, LaneStatus, TargetName};
use crate::observe::Gauge;
use crate::store::{Leased, Store, StoreError, TargetPause};
use crate::sweep::sweep;
use crate::target::Entry;
use crate::wake::{Nudge, Wake};

use brake::Brake;
use failing::Failing;
use health::{Health, Probe};
use leasing::Leasing;
use run::Run;
use seat::Seat;
pub use spec::LaneSpec;
use turns::Turns;
use way::Way;

/// Drives the targets of one quota.
pub struct Lane {
    store: Arc<dyn Store>,
    wake: Wake,
    gate: Gate,
    brake: Arc<Brake>,
    seats: Vec<Seat>,
    turns: Turns,
    nudges: mpsc::UnboundedReceiver<Nudge>,
    /// Notified when a target's begun items run low.
    low: Arc<Notify>,
    /// Notified when a target is found down, or up again.
    health_changed: Arc<Notify>,
    /// The lease that is on its way to the disk, if one is.
    leasing: Option<Leasing>,
    failing: Failing,
    runs: JoinSet<Result<(), StoreError>>,
    /// The runs under way: a batch's can be stopped, and those of a slot.
    stops: Vec<(BatchNo, usize, CancellationToken)>,
    charged: bool,
    seed: fastrand::Rng,
}

impl Lane {
    /// A lane that has not started.
    pub fn new(store: Arc<dyn Store>, wake: Wake, spec: LaneSpec) -> Lane {
        let low = Arc::new(Notify::new());
        let gate = spec.gate();
        let names: Vec<TargetName> = spec.targets.iter().map(|t| t.config.name.clone()).collect();
        let mut seed = fastrand::Rng::with_seed(spec.seed);
        let health_changed = Arc::new(Notify::new());
        let seat = |entry: Arc<Entry>| {
            let (policy, changed) = (entry.config.breaker, health_changed.clone());
            let health = Health::new(policy, changed, seed.u64(..));
            Seat::new(entry, low.clone(), health)
        };
        let seats: Vec<Seat> = spec.targets.into_iter().map(seat).collect();
        let chunks = seats.iter().map(|seat| seat.entry.config.chunk_items);
        let quantum = chunks.max().unwrap_or(1);
        Lane {
            nudges: wake.drive(names),
            brake: Arc::new(Brake::new(gate.clone())),
            store,
            wake,
            gate,
            seats,
            turns: Turns::new(quantum),
            low,
            leasing: None,
            failing: Failing::default(),
            runs: JoinSet::new(),
            stops: Vec::new(),
            charged: spec.charged,
            seed,
            health_changed,
        }
    }

    /// What tells how each of its targets is doing.
    pub fn gauges(&self) -> Vec<(TargetName, Gauge)> {
        let seats = self.seats.iter().enumerate();
        seats
            .map(|(slot, seat)| {
                let (gate, brake) = (self.gate.clone(), self.brake.clone());
                let (hold, health) = (seat.hold.clone(), seat.health.clone());
                let gauge: Gauge = Arc::new(move || {
                    let status = gate.status();
                    let pauses = brake.pause().into_iter().chain(health.pause());
                    let pauses = pauses.chain(spec::used_up(&gate));
                    LaneStatus {
                        in_flight: status.in_flight.get(slot).copied().unwrap_or(0),
                        requests_last_second: status.requests_last_second,
                        pause: pauses.max_by_key(|pause| pause.until_ms),
                        held: hold.read(),
                    }
                });
                (seat.entry.config.name.clone(), gauge)
            })
            .collect()
    }

    /// Drives until `drain` is cancelled; then returns to the queue what is
    /// not written, waits for what is, and ends. While the store cannot write,
    /// it waits and goes on.
    ///
    /// # Errors
    ///
    /// When the store is closed: what was under way is then as after a crash.
    pub async fn drive(mut self, drain: CancellationToken) -> Result<(), StoreError> {
        self.catch_up().await?;
        let brake = self.brake.clone();
        let low = self.low.clone();
        let health_changed = self.health_changed.clone();
        loop {
            self.hear();
            self.begin();
            let next = self.take_up();
            let leasing = self.leasing.as_mut().map(|leasing| &mut leasing.answer);
            tokio::select! {
                biased;
                () = drain.cancelled() => break,
                () = brake.pulled() => self.let_go_all(),
                () = health_changed.notified() => self.let_go_of_those_down(),
                Some(nudge) = self.nudges.recv() => self.heed(nudge),
                Some(leases) = OptionFuture::from(leasing) => self.answered(leases)?,
                Some(ended) = self.runs.join_next() => self.ended(ended)?,
                () = low.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        self.let_go_all();
        if let Some(leasing) = &mut self.leasing {
            let leases = (&mut leasing.answer).await;
            self.answered(leases)?;
        }
        while let Some(ended) = self.runs.join_next().await {
            self.ended(ended)?;
        }
        Ok(())
    }

    /// What was queued before this lane began.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        for TargetPause { target, held } in self.store.pauses().await? {
            self.hold(&target, Some(held));
        }
        for slot in 0..self.seats.len() {
            let target = self.seats[slot].entry.config.name.clone();
            for (tenant, no) in self.store.backlog(target).await?.batches {
                self.turns.know(tenant, no, slot);
            }
        }
        Ok(())
    }

    /// Takes all nudges that are there, and what has become due.
    fn hear(&mut self) {
        while let Ok(nudge) = self.nudges.try_recv() {
            self.heed(nudge);
        }
        self.turns.take_up(Instant::now());
    }

    fn heed(&mut self, nudge: Nudge) {
        match nudge {
            Nudge::Work(target, tenant, no) => {
                let mut seats = self.seats.iter();
                if let Some(slot) = seats.position(|seat| seat.entry.config.name == target) {
                    if let Some(leasing) = &mut self.leasing {
                        leasing.heard.insert(no, (tenant.clone(), slot));
                    }
                    self.turns.know(tenant, no, slot);
                }
            }
            Nudge::Stop(stopped) => {
                if let Some(leasing) = &mut self.leasing {
                    leasing.let_go.push(stopped);
                }
                self.let_go(|no, _| no == stopped);
                // At once: what will not be sent need not wait for its turn.
                self.sweep(stopped);
            }
            Nudge::Hold(target, held) => self.hold(&target, held),
        }
    }

    /// An operator holds a target, or lets it go on.
    fn hold(&mut self, target: &TargetName, held: Option<Held>) {
        let mut seats = self.seats.iter();
        let Some(slot) = seats.position(|seat| seat.entry.config.name == *target) else {
            return;
        };
        let holds = held.is_some();
        self.seats[slot].hold.set(held);
        if holds {
            self.let_go(|_, of| of == slot);
        }
    }

    /// Begins the chunks whose turn it is.
    fn begin(&mut self) {
        for slot in 0..self.seats.len() {
            while let Some((leased, probe)) = self.seats[slot].next() {
                self.start(slot, leased, probe);
            }
        }
    }

    fn sweep(&mut self, no: BatchNo) {
        self.turns.forget(no);
        let (store, wake) = (self.store.clone(), self.wake.clone());
        self.runs
            .spawn(async move { sweep(&*store, &wake, no).await });
    }

    fn start(&mut self, slot: usize, leased: Leased, probe: Option<Probe>) {
        let seat = &self.seats[slot];
        let stop = CancellationToken::new();
        self.stops.push((leased.no, slot, stop.clone()));
        let run = Run::new(run::Parts {
            store: self.store.clone(),
            wake: self.wake.clone(),
            brake: self.brake.clone(),
            health: seat.health.clone(),
            probe,
            entry: seat.entry.clone(),
            jitter: self.seed.fork(),
            leased,
            way: Way {
                gate: self.gate.clone(),
                slot,
                cost: seat.entry.config.cost,
                ahead: seat.ahead.clone(),
                stop,
            },
        });
        // Here, not in the run's task: from now on these items are ahead.
        let first = run.first_wire();
        self.runs.spawn(run.go(first));
    }

    /// Returns to the queue what is not written, also of a lease that is on its
    /// way.
    fn let_go_all(&mut self) {
        if let Some(leasing) = &mut self.leasing {
            leasing.let_go_all = true;
        }
        self.let_go(|_, _| true);
    }

    /// Returns to the queue what is not written of some batches, or slots.
    fn let_go(&mut self, which: impl Fn(BatchNo, usize) -> bool) {
        self.let_go_ready(&which);
        for (no, slot, stop) in &self.stops {
            if which(*no, *slot) {
                stop.cancel();
            }
        }
    }

    /// The same of what has not begun.
    fn let_go_ready(&mut self, which: impl Fn(BatchNo, usize) -> bool) {
        for slot in 0..self.seats.len() {
            for leased in self.seats[slot].take(|no| which(no, slot)) {
                // A run knows how to give up its lease.
                self.start(slot, leased, None);
                if let Some((_, _, stop)) = self.stops.last() {
                    stop.cancel();
                }
            }
        }
    }

    /// Of the targets that were found down just now.
    fn let_go_of_those_down(&mut self) {
        let down = |seat: &Seat| seat.health.take_opened();
        let down: Vec<bool> = self.seats.iter().map(down).collect();
        if down.contains(&true) {
            self.let_go(|_, slot| down[slot]);
        }
    }
}
