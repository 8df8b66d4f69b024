//! One task for each quota: it picks whose chunk is next, leases it, and lets
//! it run: paced, sent, classified, settled. Knows nothing of who submitted a
//! batch or who follows it; it meets them through the store.

mod brake;
mod failing;
mod held;
mod leasing;
mod part;
mod run;
mod seat;
mod spec;
mod turns;
mod way;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limiter::Gate;
use crate::model::{BatchNo, Held, LaneStatus, TargetName};
use crate::observe::Gauge;
use crate::store::{Lease, Leased, Store, StoreError, TargetPause};
use crate::sweep::sweep;
use crate::time::instant_at;
use crate::wake::{Nudge, Wake};

use brake::Brake;
use failing::Failing;
use leasing::Leasing;
use run::Run;
use seat::Seat;
pub use spec::LaneSpec;
use turns::Turns;
use way::Way;

/// How long before its first permit is due a chunk is leased: what the commit
/// of a lease takes on a slow disk. Later, and the rate would not be used;
/// earlier, and more would be leased and unwritten when the process dies.
const LEASE_LEAD: Duration = Duration::from_millis(20);

/// How long the lane sleeps when it waits for nothing in particular.
const IDLE: Duration = Duration::from_hours(1);

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
        let seat = |entry| Seat::new(entry, low.clone());
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
            seed: fastrand::Rng::with_seed(spec.seed),
        }
    }

    /// What tells how each of its targets is doing.
    pub fn gauges(&self) -> Vec<(TargetName, Gauge)> {
        let seats = self.seats.iter().enumerate();
        seats
            .map(|(slot, seat)| {
                let (gate, brake) = (self.gate.clone(), self.brake.clone());
                let hold = seat.hold.clone();
                let gauge: Gauge = Arc::new(move || {
                    let status = gate.status();
                    let pauses = brake.pause().into_iter().chain(spec::used_up(&gate));
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
        loop {
            self.hear();
            self.begin();
            let next = self.take_up();
            let leasing = self.leasing.as_mut().map(|leasing| &mut leasing.answer);
            tokio::select! {
                biased;
                () = drain.cancelled() => break,
                () = brake.pulled() => self.let_go_all(),
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
            while let Some(leased) = self.seats[slot].next() {
                self.start(slot, leased);
            }
        }
    }

    /// Picks what is wanted now, and has it leased. Returns when to look again.
    fn take_up(&mut self) -> Instant {
        let mut permit_due = self.failing.again_at();
        if self.leasing.is_none() && permit_due.is_none() {
            let (picks, due) = self.pick();
            permit_due = due;
            if !picks.is_empty() {
                self.seats.iter_mut().for_each(Seat::lease_begins);
                self.leasing = Some(Leasing::begin(&self.store, picks, self.charged));
            }
        }
        let next = permit_due.into_iter().chain(self.turns.next_due()).min();
        next.unwrap_or_else(|| Instant::now() + IDLE)
    }

    /// Whose chunks are next: once little is leased and unwritten, as many as
    /// have permits due before a lease of more could be on disk. Also, when the
    /// next permit is due, if that is what it waits for.
    fn pick(&mut self) -> (Vec<(BatchNo, usize)>, Option<Instant>) {
        let mut picks = Vec::new();
        let mut planned: Vec<u32> = self.seats.iter().map(Seat::unwritten).collect();
        let mut seats = self.seats.iter().zip(&planned);
        if !seats.any(|(seat, unwritten)| seat.wants_more(*unwritten)) {
            return (picks, None);
        }
        while !self.turns.is_empty() {
            let due = self.gate.due(planned.iter().sum());
            let wanted_at = self.brake.until().map_or(due, |end| end.max(due));
            if wanted_at > Instant::now() + LEASE_LEAD {
                return (picks, Some(wanted_at - LEASE_LEAD));
            }
            let seats = &self.seats;
            let chunk_items = |slot: usize| seats[slot].entry.config.chunk_items;
            let may_have =
                |slot: usize| !seats[slot].hold.is_on() && planned[slot] <= seats[slot].enough();
            let Some((no, slot)) = self.turns.next(may_have, chunk_items) else {
                break;
            };
            planned[slot] += chunk_items(slot);
            picks.push((no, slot));
            if self.failing.is_one_by_one() {
                break;
            }
        }
        (picks, None)
    }

    fn leased_all(&mut self, leases: Vec<Lease>) {
        let Some(leasing) = self.leasing.take() else {
            return;
        };
        self.seats.iter_mut().for_each(Seat::lease_ends);
        for ((no, slot), lease) in leasing.picks.into_iter().zip(leases) {
            self.leased(no, slot, lease);
        }
        for (no, (tenant, slot)) in leasing.heard {
            self.turns.know(tenant, no, slot);
        }
        if leasing.let_go_all || !leasing.let_go.is_empty() {
            self.let_go(|no, _| leasing.let_go_all || leasing.let_go.contains(&no));
        }
        // One that was held meanwhile.
        let held: Vec<bool> = self.seats.iter().map(|seat| seat.hold.is_on()).collect();
        if held.contains(&true) {
            self.let_go(|_, slot| held[slot]);
        }
    }

    fn leased(&mut self, no: BatchNo, slot: usize, lease: Lease) {
        match lease {
            Lease::Chunk(leased) => {
                let seat = &mut self.seats[slot];
                let missing = seat.entry.config.chunk_items;
                let missing = missing.saturating_sub(seat::items(&leased));
                self.turns.give_back(no, missing);
                seat.keep(*leased);
            }
            Lease::Nothing => self.turns.forget(no),
            Lease::Later { due_ms } => self.turns.put_off(no, instant_at(due_ms)),
            Lease::Stopped => self.sweep(no),
        }
    }

    fn sweep(&mut self, no: BatchNo) {
        self.turns.forget(no);
        let (store, wake) = (self.store.clone(), self.wake.clone());
        self.runs
            .spawn(async move { sweep(&*store, &wake, no).await });
    }

    fn start(&mut self, slot: usize, leased: Leased) {
        let seat = &self.seats[slot];
        let stop = CancellationToken::new();
        self.stops.push((leased.no, slot, stop.clone()));
        let run = Run::new(run::Parts {
            store: self.store.clone(),
            wake: self.wake.clone(),
            brake: self.brake.clone(),
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
        for slot in 0..self.seats.len() {
            // A run knows how to give up its lease.
            for leased in self.seats[slot].take(|no| which(no, slot)) {
                self.start(slot, leased);
            }
        }
        for (no, slot, stop) in &self.stops {
            if which(*no, *slot) {
                stop.cancel();
            }
        }
    }
}
