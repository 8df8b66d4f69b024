//! Under which lease something was sent: invariants 6 and 9; and what was not to
//! be sent any more, or not yet.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::facts::{Ended, Fact, Leased, Nanos, Settled};
use super::known::Known;

/// What is leased, fact by fact.
#[derive(Default)]
struct Leases<'a> {
    /// By tag: the leases that it is under; one for each batch that has it.
    items: HashMap<&'a str, Vec<&'a Leased>>,
    /// By chunk: the epoch of who holds it.
    chunks: BTreeMap<i64, u32>,
}

impl<'a> Leases<'a> {
    fn next(&mut self, fact: &'a Fact) {
        match fact {
            Fact::Leased(lease) => {
                self.chunks.insert(lease.chunk, lease.epoch);
                for tag in &lease.tags {
                    self.items.entry(tag).or_default().push(lease);
                }
            }
            Fact::Settled(settled) if settled.recorded => {
                let gone = settled.ended.iter().chain(&settled.again);
                for tag in gone {
                    let leases = self.items.entry(tag).or_default();
                    leases.retain(|lease| lease.chunk != settled.chunk);
                }
                if settled.released {
                    self.chunks.remove(&settled.chunk);
                    for leases in self.items.values_mut() {
                        leases.retain(|lease| lease.chunk != settled.chunk);
                    }
                }
            }
            Fact::Rescued => *self = Leases::default(),
            _ => {}
        }
    }

    /// The last lease that an item is under.
    fn of(&self, tag: &str) -> Option<&'a Leased> {
        self.items.get(tag)?.last().copied()
    }
}

/// 6: no send without an earlier durable lease, that was not given up since.
pub(super) fn leased_before(known: &Known<'_>, found: &mut Vec<Violation>) {
    if !sees_leases(known) {
        return;
    }
    let mut leases = Leases::default();
    for seen in &known.run.facts {
        if let Fact::Wrote { tag } = &seen.what
            && leases.of(tag).is_none()
        {
            let what = format!("{tag} was written, and no lease on it was durable");
            found.push(Violation::of(6, what));
        }
        leases.next(&seen.what);
    }
}

fn sees_leases(known: &Known<'_>) -> bool {
    let mut facts = known.run.facts.iter();
    facts.any(|seen| matches!(seen.what, Fact::Leased(_)))
}

/// 9: whoever holds a chunk no more writes nothing.
pub(super) fn epochs_hold(known: &Known<'_>, found: &mut Vec<Violation>) {
    let mut leases = Leases::default();
    for seen in &known.run.facts {
        if let Fact::Settled(settled) = &seen.what
            && settled.recorded
        {
            let Settled { chunk, epoch, .. } = settled;
            let holder = leases.chunks.get(chunk).copied();
            if holder != Some(*epoch) {
                let what = format!(
                    "chunk {chunk} was settled under the epoch {epoch}, and it was held under \
                     {holder:?}"
                );
                found.push(Violation::of(9, what));
            }
        }
        leases.next(&seen.what);
    }
}

/// 14: what is held, a batch or a target, is not sent. 15: nothing is sent after
/// the deadline of its batch.
pub(super) fn nothing_out_of_time(known: &Known<'_>, found: &mut Vec<Violation>) {
    let mut leases = Leases::default();
    let mut held: BTreeMap<&str, Nanos> = BTreeMap::new();
    for seen in &known.run.facts {
        match &seen.what {
            Fact::Held { what, on: true } => {
                held.entry(what).or_insert(seen.at);
            }
            Fact::Held { what, on: false } => {
                held.remove(what.as_str());
            }
            Fact::Wrote { tag } => {
                let Some(plan) = leases.of(tag).map(|lease| &lease.batch) else {
                    continue;
                };
                let (batch, at) = (plan.as_str(), seen.at);
                let of = known.plan(batch).map(|plan| plan.of);
                let target = of.map_or("", |of| of.target.as_str());
                // What is acknowledged at this moment is heard of in the next.
                let since = [batch, target]
                    .into_iter()
                    .filter_map(|what| held.get(what));
                if let Some(since) = since.copied().find(|since| *since < at) {
                    let name = known.call(batch);
                    let what = format!("{tag} of {name} was written at {at}, and held at {since}");
                    found.push(Violation::of(14, what));
                }
                if let Some(by) = of.and_then(|of| of.deadline).filter(|by| *by < at) {
                    let name = known.call(batch);
                    let what = format!("{tag} of {name} was written at {at}, and due by {by}");
                    found.push(Violation::of(15, what));
                }
            }
            _ => {}
        }
        leases.next(&seen.what);
    }
    for outcome in known.outcomes() {
        let due = known.plan(outcome.batch).and_then(|plan| plan.of.deadline);
        let expired = *outcome.ended == Ended::Failed("EXPIRED".to_owned());
        if expired && due.is_none_or(|due| outcome.at < due) {
            let (name, index) = (known.call(outcome.batch), outcome.index);
            let what = format!("item {index} of {name} expired before its time: {due:?}");
            found.push(Violation::of(15, what));
        }
    }
}

/// 16: in strict order, an item is sent only after the outcome of the one before
/// it is recorded. 17: nothing more is leased of a batch with as many failures as
/// it takes.
pub(super) fn in_order(known: &Known<'_>, found: &mut Vec<Violation>) {
    let sees_records = |seen: &super::Seen| matches!(seen.what, Fact::Recorded(_));
    if !known.run.facts.iter().any(sees_records) {
        return in_order_at_the_target(known, found);
    }
    let mut leases = Leases::default();
    let mut recorded: BTreeSet<(&str, u32)> = BTreeSet::new();
    let mut failed: BTreeMap<&str, u32> = BTreeMap::new();
    let mut stops: BTreeMap<&str, u32> = BTreeMap::new();
    for seen in &known.run.facts {
        match &seen.what {
            Fact::Recorded(record) => {
                for outcome in &record.outcomes {
                    recorded.insert((&record.batch, outcome.index));
                    let has_failed = outcome.ended != Ended::Succeeded;
                    *failed.entry(&record.batch).or_default() += u32::from(has_failed);
                }
            }
            Fact::StopsAfter { name, failures } => {
                stops.insert(name, *failures);
            }
            Fact::Leased(lease) => {
                let name = known.call(&lease.batch);
                let failures = failed.get(lease.batch.as_str()).unwrap_or(&0);
                if stops.get(name).is_some_and(|most| failures >= most) {
                    let (tags, at) = (&lease.tags, seen.at);
                    let what = format!("{name} had {failures} failures, and {tags:?} went at {at}");
                    found.push(Violation::of(17, what));
                }
            }
            Fact::Wrote { tag } => {
                let batch = leases.of(tag).map(|lease| lease.batch.as_str());
                let Some((batch, plan)) = batch.and_then(|b| Some((b, known.plan(b)?))) else {
                    continue;
                };
                let index = plan.items.iter().find(|(_, item)| item.tag == *tag);
                let before = index.and_then(|(index, _)| index.checked_sub(1));
                let waits = |before: &u32| plan.of.strict && !recorded.contains(&(batch, *before));
                if let Some(before) = before.filter(waits) {
                    let (name, at) = (known.call(batch), seen.at);
                    let what =
                        format!("{tag} of {name} was written at {at}, before {before} ended");
                    found.push(Violation::of(16, what));
                }
            }
            _ => {}
        }
        leases.next(&seen.what);
    }
}

/// 16, as the target sees it: nothing of an item arrives after something of the
/// next.
fn in_order_at_the_target(known: &Known<'_>, found: &mut Vec<Violation>) {
    for (name, plan) in &known.plans {
        if !plan.of.strict {
            continue;
        }
        let mut last: Option<(&str, Nanos)> = None;
        for item in plan.items.values() {
            let arrived = known.arrived(&item.tag);
            let (Some((first, _)), Some((end, _))) = (arrived.first(), arrived.last()) else {
                continue;
            };
            if let Some((before, until)) = last.filter(|(_, until)| until > first) {
                let tag = &item.tag;
                let what = format!("{tag} of {name} came at {first}, and {before} at {until}");
                found.push(Violation::of(16, what));
            }
            last = Some((&item.tag, *end));
        }
    }
}
