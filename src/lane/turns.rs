//! Whose chunk is next: fair among tenants and batches, for what is queued and
//! due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use tokio::time::Instant;

use crate::core::fair::Fair;
use crate::model::{BatchNo, TenantId};

/// The batches that have chunks for a lane, and whose turn it is.
pub(super) struct Turns {
    fair: Fair,
    /// Batches whose queued chunks are due later.
    later: BinaryHeap<Reverse<(Instant, BatchNo)>>,
    /// The batches that are queued here or due later.
    known: HashMap<BatchNo, Known>,
}

/// A batch that has chunks here: whose, for which seat.
struct Known {
    tenant: TenantId,
    slot: usize,
    /// Items that it was charged for and that its chunks turned out not to have.
    credit: u32,
}

impl Turns {
    /// Nobody's yet. A turn is worth `quantum` items.
    pub fn new(quantum: u32) -> Turns {
        Turns {
            fair: Fair::new(quantum),
            later: BinaryHeap::new(),
            known: HashMap::new(),
        }
    }

    /// A batch has chunks for a slot; harmless when that is known.
    pub fn know(&mut self, tenant: TenantId, no: BatchNo, slot: usize) {
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

    /// A batch has nothing more.
    pub fn forget(&mut self, no: BatchNo) {
        self.fair.remove(no);
        self.known.remove(&no);
    }

    /// What a batch has is due then, and nothing before.
    pub fn put_off(&mut self, no: BatchNo, due: Instant) {
        self.fair.remove(no);
        self.later.push(Reverse((due, no)));
    }

    /// Takes up what has become due.
    pub fn take_up(&mut self, now: Instant) {
        while let Some(&Reverse((due, no))) = self.later.peek()
            && due <= now
        {
            self.later.pop();
            self.queue(no);
        }
    }

    /// When something more becomes due.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.peek().map(|Reverse((due, _))| *due)
    }

    /// Whether no batch has a chunk that is due.
    pub fn is_empty(&self) -> bool {
        self.fair.is_empty()
    }

    /// The batch whose turn it is among those whose slot may have more, and its
    /// slot. It is charged for a whole chunk: what one holds shows only once it
    /// is leased.
    pub fn next(
        &mut self,
        may_have: impl Fn(usize) -> bool,
        chunk_items: impl Fn(usize) -> u32,
    ) -> Option<(BatchNo, usize)> {
        loop {
            let no = self.fair.pick(&may_have)?;
            let Some(known) = self.known.get_mut(&no) else {
                self.fair.remove(no);
                continue;
            };
            let slot = known.slot;
            let cost = chunk_items(slot);
            self.fair.charge(no, cost.saturating_sub(known.credit));
            known.credit = known.credit.saturating_sub(cost);
            return Some((no, slot));
        }
    }

    /// The chunk that a batch was charged for had so many items more.
    pub fn charge(&mut self, no: BatchNo, items: u32) {
        if items > 0 {
            self.fair.charge(no, items);
        }
    }

    /// The chunk that a batch was charged for had so many items less.
    pub fn give_back(&mut self, no: BatchNo, items: u32) {
        if let Some(known) = self.known.get_mut(&no) {
            known.credit += items;
        }
    }
}
