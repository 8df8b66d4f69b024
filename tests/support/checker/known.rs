//! What the facts of a run say about which batch and which item is which.

use std::collections::{BTreeMap, HashMap};

use super::Violation;
use super::facts::{Accepted, Arrived, Ended, Fact, ItemSent, Read, Run, Submitted, Told};

/// A run, and the ways through its facts that several checks take.
pub(super) struct Known<'a> {
    pub run: &'a Run,
    /// By name: what was submitted.
    pub plans: BTreeMap<&'a str, Plan<'a>>,
    /// By tag: the names of the batches that it was submitted in, and its index.
    pub places: HashMap<&'a str, Vec<(&'a str, u32)>>,
    /// By public id: the name.
    names: BTreeMap<&'a str, &'a str>,
    /// By tag: what arrived of it, in the order of time.
    pub arrivals: HashMap<&'a str, Vec<(u64, &'a Arrived)>>,
    /// By public id, then by sequence: the events as they were first told.
    pub logs: BTreeMap<&'a str, BTreeMap<u64, (u64, &'a Told)>>,
}

/// What was submitted under one name.
pub(super) struct Plan<'a> {
    pub of: &'a Submitted,
    pub items: BTreeMap<u32, &'a ItemSent>,
}

/// An outcome and where it stands.
pub(super) struct Concluded<'a> {
    pub batch: &'a str,
    pub index: u32,
    pub ended: &'a Ended,
    pub replayed: bool,
    /// When it was first told.
    pub at: u64,
}

impl<'a> Known<'a> {
    pub fn of(run: &'a Run, found: &mut Vec<Violation>) -> Known<'a> {
        let mut known = Known {
            run,
            plans: BTreeMap::new(),
            places: HashMap::new(),
            names: BTreeMap::new(),
            arrivals: HashMap::new(),
            logs: BTreeMap::new(),
        };
        for seen in &run.facts {
            match &seen.what {
                Fact::Submitted(part) => known.submitted(part),
                Fact::Accepted(Accepted { batch, name, .. }) => known.named(batch, name, found),
                Fact::Read(read) if read.found && !read.name.is_empty() => {
                    known.named(&read.batch, &read.name, found);
                }
                Fact::Arrived(arrived) => {
                    let arrivals = known.arrivals.entry(&arrived.tag).or_default();
                    arrivals.push((seen.at, arrived));
                }
                Fact::Told(told) => {
                    let log = known.logs.entry(&told.batch).or_default();
                    log.entry(told.sequence).or_insert((seen.at, told));
                }
                _ => {}
            }
        }
        for (name, plan) in &known.plans {
            for (index, item) in &plan.items {
                let places = known.places.entry(&item.tag).or_default();
                places.push((name, *index));
            }
        }
        for arrivals in known.arrivals.values_mut() {
            arrivals.sort_by_key(|(at, _)| *at);
        }
        known
    }

    fn submitted(&mut self, part: &'a Submitted) {
        let plan = self.plans.entry(&part.name).or_insert_with(|| Plan {
            of: part,
            items: BTreeMap::new(),
        });
        plan.items.extend((part.first..).zip(&part.items));
    }

    /// One submission is one batch, however often it is repeated.
    fn named(&mut self, batch: &'a str, name: &'a str, found: &mut Vec<Violation>) {
        let before = self.names.get(batch).copied();
        if before.is_some_and(|before| before != name) {
            let before = before.unwrap_or_default();
            let what = format!("the batch {batch} of {before} was also given to {name}");
            found.push(Violation::of(1, what));
        }
        let other = self.names.iter().find(|(_, n)| **n == name);
        if let Some((other, _)) = other.filter(|(other, _)| **other != batch) {
            let what = format!("{name} was submitted once, and is two batches: {other}, {batch}");
            found.push(Violation::of(1, what));
        }
        self.names.insert(batch, name);
    }

    /// What was submitted as the batch with this id.
    pub fn plan(&self, batch: &str) -> Option<&Plan<'a>> {
        self.plans.get(self.names.get(batch)?)
    }

    /// A batch as people call it.
    pub fn call(&self, batch: &'a str) -> &'a str {
        self.names.get(batch).copied().unwrap_or(batch)
    }

    /// The item with this index of a batch.
    pub fn item(&self, batch: &str, index: u32) -> Option<&'a ItemSent> {
        self.plan(batch)?.items.get(&index).copied()
    }

    /// All outcomes that were told, each as often as the log has it.
    pub fn outcomes(&self) -> Vec<Concluded<'a>> {
        let mut outcomes = Vec::new();
        for (batch, log) in &self.logs {
            for (at, told) in log.values() {
                outcomes.extend(told.outcomes.iter().map(|outcome| Concluded {
                    batch,
                    index: outcome.index,
                    ended: &outcome.ended,
                    replayed: outcome.replayed,
                    at: *at,
                }));
            }
        }
        outcomes
    }

    /// The reads of all batches at the end.
    pub fn at_the_end(&self) -> impl Iterator<Item = &'a Read> {
        self.run.facts.iter().filter_map(|seen| match &seen.what {
            Fact::Read(read) if read.at_the_end => Some(read),
            _ => None,
        })
    }

    /// What arrived of an item.
    pub fn arrived(&self, tag: &str) -> &[(u64, &'a Arrived)] {
        self.arrivals.get(tag).map_or(&[], Vec::as_slice)
    }

    /// What arrived of an item as an item of this batch, as far as that can be
    /// told: where it was submitted in several, by the key that was made up from
    /// the batch's id.
    pub fn arrived_of(&self, tag: &str, batch: &str) -> Vec<(u64, &'a Arrived)> {
        let is_alone = self.places.get(tag).is_none_or(|places| places.len() == 1);
        let is_of = |arrived: &Arrived| {
            let key = arrived.key.as_deref();
            is_alone || key.is_some_and(|key| key.contains(batch))
        };
        let arrived = self.arrived(tag).iter().copied();
        arrived.filter(|(_, arrived)| is_of(arrived)).collect()
    }
}

impl Violation {
    pub(super) fn of(invariant: u8, what: String) -> Violation {
        Violation { invariant, what }
    }
}
