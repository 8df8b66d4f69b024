//! What was accepted, and what became of it: invariants 1, 2 and 5.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::facts::{Ended, Fact};
use super::known::Known;

/// Kinds of failure that are only said of an item that has not taken effect.
const WITHOUT_EFFECT: [&str; 7] = [
    "INVALID",
    "REJECTED",
    "THROTTLED",
    "UNREACHABLE",
    "CANCELLED",
    "EXPIRED",
    "ABORTED",
];

/// 1: what was accepted can be read back.
pub(super) fn accepted_is_kept(known: &Known<'_>, found: &mut Vec<Violation>) {
    let ends: BTreeMap<&str, _> = known
        .at_the_end()
        .filter(|read| read.found)
        .map(|read| (read.batch.as_str(), read))
        .collect();
    let looked = known.at_the_end().next().is_some();
    let mut accepted: BTreeMap<&str, u32> = BTreeMap::new();
    for seen in &known.run.facts {
        match &seen.what {
            Fact::Accepted(a) => {
                let held = accepted.entry(&a.batch).or_default();
                *held = a.held.max(*held);
            }
            Fact::Read(read) if accepted.contains_key(read.batch.as_str()) => {
                let owner = known.plan(&read.batch).map(|plan| &plan.of.tenant);
                if !read.found && owner == Some(&read.tenant) {
                    let what = format!("{} was accepted, and is gone", known.call(&read.batch));
                    found.push(Violation::of(1, what));
                }
            }
            _ => {}
        }
    }
    for (batch, held) in accepted {
        let name = known.call(batch);
        let Some(end) = ends.get(batch) else {
            if looked {
                let what = format!("{name} was accepted, and nobody found it at the end");
                found.push(Violation::of(1, what));
            }
            continue;
        };
        if end.counts.total < held {
            let total = end.counts.total;
            let what = format!("{held} items of {name} were accepted, and it holds {total}");
            found.push(Violation::of(1, what));
        }
        if end.finished {
            has_outcomes(known, batch, held, found);
        }
    }
}

/// Each item that was accepted has an outcome in a log that was told to its end.
fn has_outcomes<'a>(known: &Known<'a>, batch: &'a str, held: u32, found: &mut Vec<Violation>) {
    let Some(log) = known.logs.get(batch) else {
        return;
    };
    let whole = log
        .values()
        .next_back()
        .is_some_and(|(_, told)| told.finished)
        && log.keys().copied().eq(1..=log.len() as u64);
    if !whole {
        return;
    }
    let told = log.values().flat_map(|(_, told)| &told.outcomes);
    let ended: BTreeSet<u32> = told.map(|outcome| outcome.index).collect();
    for index in (0..held).filter(|index| !ended.contains(index)) {
        let name = known.call(batch);
        let what = format!("item {index} of {name} was accepted, and has no outcome");
        found.push(Violation::of(1, what));
    }
}

/// 2: an item has one outcome, and what was told of it stays.
pub(super) fn one_outcome(known: &Known<'_>, found: &mut Vec<Violation>) {
    for seen in &known.run.facts {
        let Fact::Told(told) = &seen.what else {
            continue;
        };
        let (_, first) = known.logs[told.batch.as_str()][&told.sequence];
        if first.bytes != told.bytes {
            let (name, sequence) = (known.call(&told.batch), told.sequence);
            let what = format!("event {sequence} of {name} was told in two ways");
            found.push(Violation::of(2, what));
        }
    }
    let mut ended = HashMap::new();
    for outcome in known.outcomes() {
        let place = (outcome.batch, outcome.index);
        if let Some(before) = ended.insert(place, outcome.ended) {
            let (name, index) = (known.call(outcome.batch), outcome.index);
            let now = outcome.ended;
            let what = format!("item {index} of {name} has two outcomes: {before:?}, {now:?}");
            found.push(Violation::of(2, what));
        }
    }
    for read in known.at_the_end() {
        let last = known.logs.get(read.batch.as_str());
        let last = last.and_then(|log| log.keys().next_back().copied());
        if let Some(last) = last.filter(|last| read.found && *last > read.last_sequence) {
            let (name, end) = (known.call(&read.batch), read.last_sequence);
            let what = format!("event {last} of {name} was told, and its log ends at {end}");
            found.push(Violation::of(2, what));
        }
    }
}

/// 5: what an outcome says of the target, the target's own ledger bears out.
pub(super) fn outcomes_are_true(known: &Known<'_>, found: &mut Vec<Violation>) {
    for outcome in known.outcomes() {
        let Some(item) = known.item(outcome.batch, outcome.index) else {
            continue;
        };
        let acted = known.arrived(&item.tag).iter().find(|(_, a)| a.acted);
        let here = known.arrived_of(&item.tag, outcome.batch);
        let says = outcome.ended;
        // Answered from the record or not: the work is the same, and was done.
        let lie = match says {
            Ended::Succeeded => acted.is_none_or(|(at, _)| *at > outcome.at),
            Ended::Failed(kind) if kind == "INVALID" => !here.is_empty(),
            Ended::Failed(kind) => {
                WITHOUT_EFFECT.contains(&kind.as_str()) && here.iter().any(|(_, a)| a.acted)
            }
        };
        if lie {
            let (name, tag) = (known.call(outcome.batch), &item.tag);
            let did = match acted {
                Some((at, _)) => format!("the target did it at {at}"),
                None => "the target has not done it".to_owned(),
            };
            let what = format!("{tag} of {name} is told as {says:?}, and {did}");
            found.push(Violation::of(5, what));
        }
    }
}
