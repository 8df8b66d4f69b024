//! Whose chunk is next: deficit round robin over tenants, and within a tenant
//! over its batches. Knows nothing of chunks but how many items they held.
//!
//! Each has a place in its ring, and a quantum of items for its turn. As the
//! size of a chunk is known only once it is taken, a turn may overrun; what it
//! overran is taken off the next turns. So a place is settled when a turn ends,
//! and picking is a look at the first places.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::ops::Bound;

use crate::model::{BatchNo, TenantId};

/// Decides whose chunk is next. A pick costs `O(log batches)`, and a look at
/// each tenant and slot that is not eligible.
#[derive(Debug)]
pub struct Fair {
    quantum: u32,
    tenants: Ring<TenantId>,
    batches: HashMap<TenantId, Ring<BatchNo>>,
    homes: HashMap<BatchNo, TenantId>,
    len: usize,
}

impl Fair {
    /// Nobody yet. The quantum is the items in a turn, at least 1: about those
    /// of a usual chunk. A larger one means fewer changes of hands and longer
    /// waits for a turn.
    pub fn new(quantum: u32) -> Fair {
        let quantum = quantum.max(1);
        Fair {
            quantum,
            tenants: Ring::new(quantum),
            batches: HashMap::new(),
            homes: HashMap::new(),
            len: 0,
        }
    }

    /// A batch has chunks, for the target in a slot; nothing changes where that
    /// was known. It takes its turn after all others had theirs once. It keeps
    /// its tenant and its slot as long as it is here.
    pub fn add(&mut self, tenant: &TenantId, batch: BatchNo, slot: usize) {
        if self.contains(batch) {
            return;
        }
        // A batch lives with one tenant; should it move, the old place goes.
        if let Some(home) = self.homes.insert(batch, tenant.clone())
            && home != *tenant
            && let Some(ring) = self.batches.get_mut(&home)
        {
            ring.forget(&batch);
        }
        self.batches
            .entry(tenant.clone())
            .or_insert_with(|| Ring::new(self.quantum))
            .join(batch, slot);
        self.tenants.join(tenant.clone(), 0);
        self.len += 1;
    }

    /// A batch has no more chunks, for now. Nothing if it is not here.
    pub fn remove(&mut self, batch: BatchNo) {
        if !self.contains(batch) {
            return;
        }
        self.len -= 1;
        if self.len == 0 {
            // Nobody is left to whom anybody could owe a turn.
            *self = Fair::new(self.quantum);
            return;
        }
        let tenant = self.homes[&batch].clone();
        if let Some(ring) = self.batches.get_mut(&tenant) {
            ring.leave(&batch);
            if !ring.members.contains_key(&batch) {
                self.homes.remove(&batch);
            }
            if ring.present == 0 {
                self.tenants.leave(&tenant);
                self.clear_out(&tenant);
            }
        }
    }

    /// Whether a batch is here.
    pub fn contains(&self, batch: BatchNo) -> bool {
        self.homes
            .get(&batch)
            .and_then(|tenant| self.batches.get(tenant))
            .is_some_and(|ring| ring.is_present(&batch))
    }

    /// Whether no batch is here.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of batches here.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The batch whose chunk is next, among those whose slot is eligible.
    /// Those that are passed over keep their place, and no more than that:
    /// turns that they could not take do not add up. [`charge`](Self::charge)
    /// what is then taken; without that, the same batch is next again.
    pub fn pick(&mut self, eligible: impl Fn(usize) -> bool) -> Option<BatchNo> {
        let mut passed = None;
        while let Some((turn, tenant)) = self.tenants.first(0, passed) {
            passed = Some(turn);
            if !self.tenants.is_present(&tenant) {
                self.tenants.forget(&tenant);
                self.clear_out(&tenant);
            } else if let Some(batch) = self.pick_of(&tenant, &eligible) {
                self.tenants.take(&tenant);
                return Some(batch);
            }
        }
        None
    }

    /// What the chunk of a picked batch turned out to hold. It counts for a
    /// batch that has been removed since, too.
    pub fn charge(&mut self, batch: BatchNo, items: u32) {
        let Some(tenant) = self.homes.get(&batch) else {
            return;
        };
        if let Some(ring) = self.batches.get_mut(tenant) {
            ring.charge(&batch, items);
        }
        self.tenants.charge(tenant, items);
    }

    fn pick_of(&mut self, tenant: &TenantId, eligible: &impl Fn(usize) -> bool) -> Option<BatchNo> {
        let ring = self.batches.get_mut(tenant)?;
        loop {
            let (_, batch) = (0..ring.lists.len())
                .filter(|&slot| eligible(slot))
                .filter_map(|slot| ring.first(slot, None))
                .min()?;
            if ring.is_present(&batch) {
                ring.take(&batch);
                return Some(batch);
            }
            ring.forget(&batch);
            self.homes.remove(&batch);
        }
    }

    /// Drops the batches of a tenant that has left and owes nothing.
    fn clear_out(&mut self, tenant: &TenantId) {
        if !self.tenants.members.contains_key(tenant)
            && let Some(ring) = self.batches.remove(tenant)
        {
            for batch in ring.members.keys() {
                self.homes.remove(batch);
            }
        }
    }
}

/// A place in a ring: by round, and within a round by who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    round: u64,
    seq: u64,
}

#[derive(Debug)]
struct Member {
    turn: Turn,
    list: usize,
    /// Items left of its turn: from 1 to the quantum.
    left: u32,
    /// Had a turn, or a part of one, so that it may owe something.
    picked: bool,
    /// Wants more turns. One that left after it was picked keeps its place
    /// until that comes up, so that coming back is no way out of a debt.
    present: bool,
}

/// Members that take turns, in lists that can be looked at one by one.
#[derive(Debug)]
struct Ring<K> {
    quantum: u32,
    /// The round of the last turn taken.
    round: u64,
    seq: u64,
    members: HashMap<K, Member>,
    lists: Vec<BTreeMap<Turn, K>>,
    present: usize,
}

impl<K: Clone + Eq + Hash> Ring<K> {
    fn new(quantum: u32) -> Ring<K> {
        Ring {
            quantum,
            round: 0,
            seq: 0,
            members: HashMap::new(),
            lists: Vec::new(),
            present: 0,
        }
    }

    fn is_present(&self, key: &K) -> bool {
        self.members.get(key).is_some_and(|member| member.present)
    }

    /// Takes a place at the end, unless it still has one.
    fn join(&mut self, key: K, list: usize) {
        if let Some(member) = self.members.get_mut(&key) {
            if !member.present {
                member.present = true;
                self.present += 1;
            }
            return;
        }
        let turn = Turn {
            round: self.round + 1,
            seq: self.next_seq(),
        };
        if self.lists.len() <= list {
            self.lists.resize_with(list + 1, BTreeMap::new);
        }
        self.lists[list].insert(turn, key.clone());
        self.present += 1;
        self.members.insert(
            key,
            Member {
                turn,
                list,
                left: self.quantum,
                picked: false,
                present: true,
            },
        );
    }

    fn leave(&mut self, key: &K) {
        match self.members.get_mut(key) {
            Some(member) if member.present && member.picked => {
                member.present = false;
                self.present -= 1;
            }
            Some(member) if member.present => self.forget(key),
            _ => {}
        }
    }

    fn forget(&mut self, key: &K) {
        if let Some(member) = self.members.remove(key) {
            self.lists[member.list].remove(&member.turn);
            self.present -= usize::from(member.present);
        }
    }

    /// The first place in a list, or the first after another.
    fn first(&self, list: usize, after: Option<Turn>) -> Option<(Turn, K)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.lists
            .get(list)?
            .range((from, Bound::Unbounded))
            .next()
            .map(|(turn, key)| (*turn, key.clone()))
    }

    fn take(&mut self, key: &K) {
        if let Some(member) = self.members.get_mut(key) {
            member.picked = true;
            self.round = self.round.max(member.turn.round);
        }
    }

    /// Ends the turn once it is used up, and skips as many as were overrun.
    fn charge(&mut self, key: &K, items: u32) {
        let seq = self.next_seq();
        let Some(member) = self.members.get_mut(key) else {
            return;
        };
        if items < member.left {
            member.left -= items;
            return;
        }
        let over = items - member.left;
        // Counted from the round now: one that was passed over for long has
        // no more than the turn that it just took to catch up.
        let turn = Turn {
            round: self.round.max(member.turn.round) + 1 + u64::from(over / self.quantum),
            seq,
        };
        self.lists[member.list].remove(&member.turn);
        self.lists[member.list].insert(turn, key.clone());
        member.turn = turn;
        member.left = self.quantum - over % self.quantum;
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }
}

#[cfg(test)]
mod tests;
