//! What was sent, how often and how fast: invariants 3, 4 and 7.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::facts::{Ended, ItemSent, Limit, Nanos, Submitted};
use super::known::Known;

/// By tag: how often it was told that the target failed, and may have done it
/// all the same. A caller that submits it again takes that upon itself.
fn faulted<'a>(known: &Known<'a>) -> HashMap<&'a str, usize> {
    let mut faulted = HashMap::new();
    for outcome in known.outcomes() {
        let failed = Ended::Failed("UNAVAILABLE".to_owned());
        if *outcome.ended == failed
            && let Some(item) = known.item(outcome.batch, outcome.index)
        {
            *faulted.entry(item.tag.as_str()).or_default() += 1;
        }
    }
    faulted
}

/// 3: a key that is in use, or was used for what was done, is not used for
/// something else.
pub(super) fn keys_hold(known: &Known<'_>, found: &mut Vec<Violation>) {
    let faulted = faulted(known);
    let mut keys: BTreeMap<(&str, &str, &str), BTreeSet<&str>> = BTreeMap::new();
    for plan in known.plans.values() {
        let (tenant, target) = (&plan.of.tenant, &plan.of.target);
        for item in plan.items.values() {
            let arrived = known.arrived(&item.tag).iter();
            let mut under_it = arrived.filter(|(_, a)| a.key.is_none() || a.key == item.key);
            let acted = under_it.any(|(_, a)| a.acted);
            if let Some(key) = item.key.as_ref().filter(|_| acted) {
                keys.entry((tenant, target, key))
                    .or_default()
                    .insert(&item.tag);
            }
        }
    }
    for ((_, _, key), tags) in keys {
        let again = tags.iter().filter(|tag| faulted.contains_key(*tag)).count();
        if tags.len() > 1 + again {
            found.push(Violation::of(
                3,
                format!("{key} was used for each of {tags:?}"),
            ));
        }
    }
}

/// 3: an item that is not safe to repeat is done at most once under one key.
pub(super) fn done_once(known: &Known<'_>, found: &mut Vec<Violation>) {
    let faulted = faulted(known);
    for (tag, arrivals) in &known.arrivals {
        let mut acted: BTreeMap<Option<&str>, Vec<Nanos>> = BTreeMap::new();
        for (at, arrived) in arrivals.iter().filter(|(_, a)| a.acted) {
            let key = arrived.key.as_deref();
            acted.entry(key).or_default().push(*at);
        }
        let is_alone = known.places.get(tag).is_none_or(|places| places.len() == 1);
        let again = faulted.get(tag).filter(|_| !is_alone).unwrap_or(&0);
        for times in acted.values().filter(|times| times.len() > 1 + again) {
            if arrivals.iter().any(|(_, a)| a.acted && !a.safe) {
                let what = format!("{tag} is not safe to repeat, and was done at {times:?}");
                found.push(Violation::of(3, what));
            }
        }
    }
}

/// 4: every send of an item is the same request. Only an item that was submitted
/// in several batches may have a key in each.
pub(super) fn repeats_are_the_same(known: &Known<'_>, found: &mut Vec<Violation>) {
    for (tag, arrivals) in &known.arrivals {
        let Some(places) = known.places.get(tag) else {
            let what = format!("{tag} arrived, and nobody submitted it");
            found.push(Violation::of(4, what));
            continue;
        };
        let submitted = places.iter().map(|(name, index)| {
            let plan = &known.plans[name];
            (plan.items[index], plan.of)
        });
        let submitted: Vec<(&ItemSent, &Submitted)> = submitted.collect();
        let keys: BTreeSet<_> = arrivals.iter().map(|(_, a)| a.key.as_deref()).collect();
        if keys.len() > places.len() {
            let what = format!("{tag} was sent under several keys: {keys:?}");
            found.push(Violation::of(4, what));
        }
        for (at, arrived) in arrivals {
            let is_same = submitted.iter().any(|(item, of)| {
                let own = item.key.is_none() || arrived.key.is_none() || item.key == arrived.key;
                own && arrived.body == item.body && arrived.target == of.target
            });
            if !is_same {
                let what = format!(
                    "{tag} was submitted as {submitted:?}, and arrived at {at} as \
                                    {arrived:?}"
                );
                found.push(Violation::of(4, what));
            }
        }
    }
}

/// 7: no window at the target holds more than the limit.
pub(super) fn within_limits(known: &Known<'_>, found: &mut Vec<Violation>) {
    for quota in &known.run.quotas {
        let targets = known.run.targets.iter().filter(|t| t.quota == quota.name);
        let names: Vec<&str> = targets.map(|target| target.name.as_str()).collect();
        let mut times: Vec<Nanos> = known
            .arrivals
            .values()
            .flatten()
            .filter(|(_, arrived)| names.contains(&arrived.target.as_str()))
            .map(|(at, _)| *at)
            .collect();
        times.sort_unstable();
        for limit in &quota.limits {
            if let Some(from) = overfull(&times, *limit) {
                let Limit { count, per } = *limit;
                let held = times.iter().filter(|at| (from..from + per).contains(at));
                let what = format!(
                    "{} had {} requests in the {per} ns from {from}, and {count} are the most",
                    quota.name,
                    held.count(),
                );
                found.push(Violation::of(7, what));
            }
        }
    }
}

/// Where a window begins that holds too many.
fn overfull(times: &[Nanos], limit: Limit) -> Option<Nanos> {
    let one_more = limit.count as usize + 1;
    let windows = times.windows(one_more);
    let full = windows.map(|w| (w[0], w[one_more - 1] - w[0]));
    full.filter(|(_, took)| *took < limit.per)
        .map(|(from, _)| from)
        .next()
}
