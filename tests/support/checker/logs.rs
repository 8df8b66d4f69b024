//! What readers were told: invariants 8 and 10.

use std::collections::{BTreeMap, HashMap};

use super::Violation;
use super::facts::{Counts, Ended, Fact, Told};
use super::known::Known;

/// 8: sequences have no gaps.
pub(super) fn no_gaps(known: &Known<'_>, found: &mut Vec<Violation>) {
    let mut next: HashMap<u32, (u64, bool)> = HashMap::new();
    for seen in &known.run.facts {
        match &seen.what {
            Fact::Followed(reading) => {
                next.insert(reading.reader, (reading.after + 1, false));
            }
            Fact::Told(told) => {
                let expected = next.entry(told.reader).or_insert((told.sequence, false));
                let (sequence, ended) = *expected;
                if told.sequence != sequence || ended {
                    let (name, came) = (known.call(&told.batch), told.sequence);
                    let what = format!(
                        "reader {} of {name} was told event {came} in place of {sequence}{}",
                        told.reader,
                        if ended { ", after the last" } else { "" }
                    );
                    found.push(Violation::of(8, what));
                }
                *expected = (told.sequence + 1, told.finished);
            }
            _ => {}
        }
    }
}

/// 8: counts add up to the batch, and are those of the outcomes.
pub(super) fn counts_add_up(known: &Known<'_>, found: &mut Vec<Violation>) {
    let mut tallies = BTreeMap::new();
    for (batch, log) in &known.logs {
        tallies.insert(*batch, tally(known, batch, log, found));
    }
    for seen in &known.run.facts {
        let Fact::Read(read) = &seen.what else {
            continue;
        };
        if !read.found {
            continue;
        }
        let name = known.call(&read.batch);
        adds_up(name, &read.counts, found);
        let submitted = known.plan(&read.batch).map(|plan| plan.items.len());
        if submitted.is_some_and(|items| read.counts.total as usize > items) {
            let total = read.counts.total;
            let what = format!("{name} holds {total} items, more than were ever submitted");
            found.push(Violation::of(8, what));
        }
        let then = tallies.get(read.batch.as_str());
        let then = then.and_then(|tally| tally.get(&read.last_sequence));
        if let Some(then) = then {
            same_outcomes(name, read.last_sequence, &read.counts, then, found);
        }
    }
}

/// The outcomes in a log as of each event, as far as it was told without a gap;
/// checks what the log itself says of them.
fn tally<'a>(
    known: &Known<'a>,
    batch: &'a str,
    log: &BTreeMap<u64, (u64, &Told)>,
    found: &mut Vec<Violation>,
) -> BTreeMap<u64, Counts> {
    let name = known.call(batch);
    let mut now = Counts::default();
    let mut tally = BTreeMap::new();
    for (expected, (sequence, (_, told))) in (1..).zip(log) {
        if *sequence != expected {
            break;
        }
        for outcome in &told.outcomes {
            match &outcome.ended {
                Ended::Succeeded => now.succeeded += 1,
                Ended::Failed(kind) => *now.failed.entry(kind.clone()).or_default() += 1,
            }
        }
        if let Some(counts) = &told.counts {
            adds_up(name, counts, found);
            same_outcomes(name, *sequence, counts, &now, found);
        }
        tally.insert(*sequence, now.clone());
    }
    tally
}

fn adds_up(name: &str, counts: &Counts, found: &mut Vec<Violation>) {
    let placed = completed(counts) + counts.in_flight + counts.queued;
    if placed != counts.total {
        let what = format!("the counts of {name} do not add up: {counts:?}");
        found.push(Violation::of(8, what));
    }
}

fn same_outcomes(name: &str, at: u64, said: &Counts, then: &Counts, found: &mut Vec<Violation>) {
    let some = |counts: &Counts| {
        let mut failed = counts.failed.clone();
        failed.retain(|_, count| *count > 0);
        failed
    };
    if said.succeeded != then.succeeded || some(said) != some(then) {
        let what = format!(
            "{name} counts {} succeeded and {:?} as of event {at}, and its log has {} and {:?}",
            said.succeeded,
            some(said),
            then.succeeded,
            some(then),
        );
        found.push(Violation::of(8, what));
    }
}

pub(super) fn completed(counts: &Counts) -> u32 {
    counts.succeeded + counts.failed.values().sum::<u32>()
}

/// 10: nothing of one tenant reaches another.
pub(super) fn tenants_apart(known: &Known<'_>, found: &mut Vec<Violation>) {
    for seen in &known.run.facts {
        let (batch, tenant) = match &seen.what {
            Fact::Told(told) => {
                if let Some(other) = told.owners.iter().find(|owner| **owner != told.tenant) {
                    let (tenant, name) = (&told.tenant, known.call(&told.batch));
                    let what = format!("{tenant} was told what is {other}'s, in {name}");
                    found.push(Violation::of(10, what));
                }
                (&told.batch, &told.tenant)
            }
            Fact::Read(read) if read.found => (&read.batch, &read.tenant),
            Fact::Accepted(accepted) => (&accepted.batch, &accepted.tenant),
            _ => continue,
        };
        let owner = known.plan(batch).map(|plan| &plan.of.tenant);
        if let Some(owner) = owner.filter(|owner| *owner != tenant) {
            let what = format!(
                "{tenant} was given {}, which is {owner}'s",
                known.call(batch)
            );
            found.push(Violation::of(10, what));
        }
    }
}
