//! What was sent, how often and under which lease: invariants 3, 4, 6, 7 and 9.

use std::collections::{BTreeMap, HashMap};

use super::Violation;
use super::facts::{Fact, Limit, Nanos, Settled};
use super::known::Known;

/// 3: an item that is not safe to repeat is done at most once.
pub(super) fn done_once(known: &Known<'_>, found: &mut Vec<Violation>) {
    for (tag, arrivals) in &known.arrivals {
        let acted: Vec<_> = arrivals.iter().filter(|(_, a)| a.acted).collect();
        if acted.len() > 1 && acted.iter().any(|(_, a)| !a.safe) {
            let times: Vec<Nanos> = acted.iter().map(|(at, _)| *at).collect();
            let what = format!("{tag} is not safe to repeat, and was done at {times:?}");
            found.push(Violation::of(3, what));
        }
    }
}

/// 4: every send of an item is the same request.
pub(super) fn repeats_are_the_same(known: &Known<'_>, found: &mut Vec<Violation>) {
    let mut items = HashMap::new();
    for plan in known.plans.values() {
        for item in plan.items.values() {
            items.insert(item.tag.as_str(), (*item, plan.of));
        }
    }
    for (tag, arrivals) in &known.arrivals {
        let (_, first) = arrivals[0];
        for (at, next) in arrivals {
            if next.key != first.key || next.body != first.body || next.target != first.target {
                let (was, now) = (&first.key, &next.key);
                let what = format!(
                    "{tag} was sent again at {at}, and is another request: key {was:?}, then \
                     {now:?}; same body: {}; same target: {}",
                    next.body == first.body,
                    next.target == first.target,
                );
                found.push(Violation::of(4, what));
            }
        }
        let Some((item, of)) = items.get(tag) else {
            let what = format!("{tag} arrived, and nobody submitted it");
            found.push(Violation::of(4, what));
            continue;
        };
        let same_key = item.key.is_none() || first.key.is_none() || item.key == first.key;
        if first.body != item.body || first.target != of.target || !same_key {
            let what = format!("{tag} was submitted as {item:?}, and arrived as {first:?}");
            found.push(Violation::of(4, what));
        }
    }
}

/// 6: no send without an earlier durable lease, that was not given up since.
pub(super) fn leased_before(known: &Known<'_>, found: &mut Vec<Violation>) {
    let facts = || known.run.facts.iter().map(|seen| &seen.what);
    if !facts().any(|fact| matches!(fact, Fact::Leased(_))) {
        return;
    }
    // By tag: the chunk in which it is leased now.
    let mut leased: HashMap<&str, i64> = HashMap::new();
    for fact in facts() {
        match fact {
            Fact::Leased(lease) => {
                leased.extend(lease.tags.iter().map(|tag| (tag.as_str(), lease.chunk)));
            }
            Fact::Settled(settled) if settled.recorded => {
                for tag in settled.ended.iter().chain(&settled.again) {
                    leased.remove(tag.as_str());
                }
                if settled.released {
                    leased.retain(|_, chunk| *chunk != settled.chunk);
                }
            }
            Fact::Rescued => leased.clear(),
            Fact::Wrote { tag } if !leased.contains_key(tag.as_str()) => {
                let what = format!("{tag} was written, and no lease on it was durable");
                found.push(Violation::of(6, what));
            }
            _ => {}
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

/// 9: whoever holds a chunk no more writes nothing.
pub(super) fn epochs_hold(known: &Known<'_>, found: &mut Vec<Violation>) {
    // By chunk: the epoch of who holds it.
    let mut held: BTreeMap<i64, u32> = BTreeMap::new();
    for seen in &known.run.facts {
        match &seen.what {
            Fact::Leased(lease) => {
                held.insert(lease.chunk, lease.epoch);
            }
            Fact::Settled(settled) if settled.recorded => {
                let Settled { chunk, epoch, .. } = settled;
                let holder = held.get(chunk).copied();
                if holder != Some(*epoch) {
                    let what = format!(
                        "chunk {chunk} was settled under the epoch {epoch}, and it was held under \
                         {holder:?}"
                    );
                    found.push(Violation::of(9, what));
                }
                if settled.released {
                    held.remove(chunk);
                }
            }
            Fact::Rescued => held.clear(),
            _ => {}
        }
    }
}
