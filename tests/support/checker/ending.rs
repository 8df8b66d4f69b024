//! That it stays within its means, and comes to an end: invariants 11, 12, 13.

use std::collections::BTreeMap;

use super::Violation;
use super::facts::{Ended, Fact, Run};
use super::known::Known;

/// 11: memory stays within the budget.
pub(super) fn within_memory(known: &Known<'_>, found: &mut Vec<Violation>) {
    for seen in &known.run.facts {
        if let Fact::Memory(memory) = &seen.what
            && memory.used > memory.budget
        {
            let what = format!(
                "{} is {}, and {} is the most",
                memory.what, memory.used, memory.budget
            );
            found.push(Violation::of(11, what));
        }
    }
}

/// 12: once faults stop, everything comes to an end.
pub(super) fn everything_ends(known: &Known<'_>, found: &mut Vec<Violation>) {
    for read in known.at_the_end().filter(|read| read.found) {
        let counts = &read.counts;
        let waiting = counts.queued + counts.in_flight;
        // One that nobody sealed may get more; what it has is done.
        if read.sealed && !read.finished || waiting > 0 {
            let name = known.call(&read.batch);
            let what = format!("{name} never ended: {counts:?}");
            found.push(Violation::of(12, what));
        }
    }
    for seen in &known.run.facts {
        if let Fact::Stuck(who) = &seen.what {
            let what = format!("{who} waited for ever");
            found.push(Violation::of(12, what));
        }
    }
}

/// 13: how the items of both runs ended, where that differs.
pub(super) fn bad_items_apart(with: &Run, without: &Run, found: &mut Vec<Violation>) {
    let with = ended(with);
    let without = ended(without);
    for (place, alone) in without {
        let together = with.get(&place);
        if together != Some(&alone) {
            let (name, tag) = &place;
            let what = format!(
                "{tag} of {name} ended as {alone:?} without the bad items of its batch, and as {together:?} \
                 with them"
            );
            found.push(Violation::of(13, what));
        }
    }
}

/// By the batch's name and the tag: how it ended.
fn ended(run: &Run) -> BTreeMap<(String, String), Ended> {
    let known = Known::of(run, &mut Vec::new());
    let outcomes = known.outcomes().into_iter();
    outcomes
        .filter_map(|outcome| {
            let item = known.item(outcome.batch, outcome.index)?;
            let name = known.call(outcome.batch).to_owned();
            Some(((name, item.tag.clone()), outcome.ended.clone()))
        })
        .collect()
}
