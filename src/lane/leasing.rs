//! What is leased next, the lease on its way to the disk, and what is heard
//! meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::health::Admits;
use super::{Lane, Seat, seat};

use crate::model::{BatchNo, Rate, TenantId};
use crate::store::{Lease, Picks, Store, StoreError};
use crate::time::{instant_at, wall_ms};

/// How long before its first permit is due a chunk is leased: what the commit
/// of a lease takes on a slow disk. Later, and the rate would not be used;
/// earlier, and more would be leased and unwritten when the process dies.
const LEASE_LEAD: Duration = Duration::from_millis(20);

/// How long the lane sleeps when it waits for nothing in particular.
const IDLE: Duration = Duration::from_hours(1);

/// A lease on its way to the disk.
pub(super) struct Leasing {
    pub picks: Vec<(BatchNo, usize)>,
    pub answer: BoxFuture<'static, Result<Vec<Lease>, StoreError>>,
    /// Let go of these when they are there: all, or of some batches.
    pub let_go_all: bool,
    pub let_go: Vec<BatchNo>,
    /// Batches that got more meanwhile, and for which slot: whatever the lease
    /// says of them, it may have looked before.
    pub heard: HashMap<BatchNo, (TenantId, usize)>,
}

impl Leasing {
    /// Has a chunk leased for each pick: its batch, and the slot of its target.
    pub fn begin(
        store: &Arc<dyn Store>,
        picks: Vec<(BatchNo, usize)>,
        charged: Vec<Rate>,
    ) -> Leasing {
        let store = store.clone();
        let leased = Picks {
            batches: picks.iter().map(|&(no, _)| no).collect(),
            charged,
        };
        Leasing {
            picks,
            answer: Box::pin(async move { store.lease(leased, wall_ms()).await }),
            let_go_all: false,
            let_go: Vec::new(),
            heard: HashMap::new(),
        }
    }
}

impl Lane {
    /// Picks what is wanted now, and has it leased. Returns when to look again.
    pub(super) fn take_up(&mut self) -> Instant {
        let mut permit_due = self.failing.again_at();
        if self.leasing.is_none() && permit_due.is_none() {
            let (picks, due) = self.pick();
            permit_due = due;
            if !picks.is_empty() {
                self.seats.iter_mut().for_each(Seat::lease_begins);
                let rates = picks.iter().map(|&(_, slot)| self.seats[slot].rate());
                let charged = rates.filter(|_| self.charged).collect();
                self.leasing = Some(Leasing::begin(&self.store, picks, charged));
            }
        }
        let probes = self
            .seats
            .iter()
            .filter_map(|seat| match seat.health.admits() {
                Admits::Nothing(until) if !self.turns.is_empty() => until,
                _ => None,
            });
        let next = permit_due.into_iter().chain(self.turns.next_due());
        let next = next.chain(probes).min();
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
            let due = self.gate.due(self.units(&planned));
            let wanted_at = self.brake.until().map_or(due, |end| end.max(due));
            if wanted_at > Instant::now() + LEASE_LEAD {
                return (picks, Some(wanted_at - LEASE_LEAD));
            }
            let seats = &self.seats;
            let chunk_items = |slot: usize| seats[slot].entry.config.chunk_items;
            let may_have = |slot: usize| seats[slot].may_have(planned[slot]);
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

    /// What so many items for each target take of the limits.
    fn units(&self, planned: &[u32]) -> u32 {
        let rates = self.seats.iter().map(Seat::rate).zip(planned);
        let units: u64 = rates.map(|(rate, items)| rate.units(*items)).sum();
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    pub(super) fn leased_all(&mut self, leases: Vec<Lease>) {
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
        // One that was held meanwhile, or found down.
        let is_stopped =
            |seat: &Seat| seat.hold.is_on() || matches!(seat.health.admits(), Admits::Nothing(_));
        let stopped: Vec<bool> = self.seats.iter().map(is_stopped).collect();
        if stopped.contains(&true) {
            self.let_go_ready(|_, slot| stopped[slot]);
        }
    }

    fn leased(&mut self, no: BatchNo, slot: usize, lease: Lease) {
        match lease {
            Lease::Chunk(leased) => {
                let seat = &mut self.seats[slot];
                let (paid, items) = (seat.entry.config.chunk_items, seat::items(&leased));
                self.turns.give_back(no, paid.saturating_sub(items));
                self.turns.charge(no, items.saturating_sub(paid));
                seat.keep(*leased);
            }
            Lease::Nothing => self.turns.forget(no),
            Lease::Later { due_ms } => self.turns.put_off(no, instant_at(due_ms)),
            Lease::Stopped => self.sweep(no),
        }
    }
}
