//! Limits, quotas, and what follows from them: how many items make a chunk and
//! how many requests may be under way.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Check, listed};
use crate::config::QuotaConfig;
use crate::config::file;
use crate::config::key::KeyPath;
use crate::config::reference::PACES;
use crate::config::text::{nearest, show_duration};
use crate::model::{Cost, Limit, Pace};

const TRANSIT: Duration = Duration::from_millis(50);
/// Every slot is held this much longer than its window: more is a mistake.
const TRANSIT_MAX: Duration = Duration::from_mins(1);
const WINDOW_MAX: Duration = Duration::from_hours(31 * 24);

/// More is a mistake, and its sums would not fit.
const COST_MAX: u32 = 1_000_000;

const CHUNK_ITEMS: u32 = 50;
const CHUNK_ITEMS_MAX: u32 = 1_000;
/// Without limits there is no rate to reckon with.
const CONCURRENCY_UNLIMITED: u32 = 64;
const CONCURRENCY_MAX: u32 = 10_000;

/// Quotas by name.
pub(super) type Quotas = BTreeMap<String, QuotaConfig>;

impl Check<'_> {
    /// The quotas that have a name of their own.
    pub(super) fn quotas(&mut self, files: BTreeMap<String, file::Quota>) -> Quotas {
        let mut quotas = Quotas::new();
        for (name, file) in files {
            let at = KeyPath::top("quotas").key(&name);
            self.name(&at, &name);
            if file.limits.as_ref().is_none_or(Vec::is_empty) {
                self.missing(
                    &at,
                    "`limits` is missing; write e.g. `limits = [\"100/s\"]`",
                );
            }
            let quota = self.quota(&at, &name, file);
            quotas.insert(name, quota);
        }
        quotas
    }

    /// A quota, from the table that has its keys: one of its own, or that of
    /// its only target.
    fn quota(&mut self, at: &KeyPath, name: &str, file: file::Quota) -> QuotaConfig {
        let limits_at = at.key("limits");
        let mut limits = Vec::new();
        for (place, text) in file.limits.unwrap_or_default().iter().enumerate() {
            let at = limits_at.index(place);
            match text.parse::<Limit>() {
                Ok(limit) if limit.per > WINDOW_MAX => self.fault(
                    &at,
                    format!(
                        "the window of `{text}` is too long; write at most `{}`",
                        show_duration(WINDOW_MAX)
                    ),
                ),
                Ok(limit) => limits.push(limit),
                Err(message) => self.fault(&at, message),
            }
        }
        let pace = match file.pace {
            None => Pace::default(),
            Some(given) => [Pace::Window, Pace::Smooth][self.word(&at.key("pace"), &given, PACES)],
        };
        let transit_at = at.key("transit");
        let transit = self.duration(&transit_at, file.transit, TRANSIT, Duration::ZERO);
        if transit > TRANSIT_MAX {
            let most = show_duration(TRANSIT_MAX);
            self.fault(
                &transit_at,
                format!("this is too long; write at most `{most}`"),
            );
        }
        QuotaConfig {
            name: name.to_owned(),
            limits,
            pace,
            transit,
        }
    }

    /// The quota that a target draws on: the one that its `quota` names, or
    /// one of its own.
    pub(super) fn quota_of(
        &mut self,
        at: &KeyPath,
        target: &str,
        shared: Option<String>,
        own: file::Quota,
        named: &Quotas,
    ) -> QuotaConfig {
        let Some(shared) = shared else {
            if named.contains_key(target) {
                self.fault(
                    at,
                    format!(
                        "there is a quota of this name too; write `quota = {target:?}` to draw on \
                         it, or give one of the two another name"
                    ),
                );
            }
            let quota = self.quota(at, target, own);
            self.own_quotas.push(quota.clone());
            return quota;
        };
        let both = [
            ("limits", own.limits.is_some()),
            ("pace", own.pace.is_some()),
            ("transit", own.transit.is_some()),
        ];
        for (key, _) in both.into_iter().filter(|(_, given)| *given) {
            self.fault(
                &at.key(key),
                format!("this belongs to the quota `{shared}`; keep one of `{key}` and `quota`"),
            );
        }
        if let Some(quota) = named.get(&shared) {
            return quota.clone();
        }
        let message = if named.is_empty() {
            format!("there are no quotas; add `[quotas.{shared}]` with its limits")
        } else if let Some(near) = nearest(&shared, named.keys().map(String::as_str)) {
            format!("there is no quota `{shared}`; did you mean `{near}`?")
        } else {
            format!("there is no quota `{shared}`; there are {}", listed(named))
        };
        self.fault(&at.key("quota"), message);
        self.quota(at, &shared, file::Quota::default())
    }

    /// What a request costs.
    pub(super) fn cost(
        &mut self,
        at: &KeyPath,
        given: Option<file::Cost>,
        requests: Requests,
    ) -> Cost {
        let at = at.key("cost");
        match given {
            None if requests.most.is_some() => Cost::REQUEST,
            None => Cost::ITEM,
            Some(file::Cost::Word(word)) => {
                [Cost::ITEM, Cost::REQUEST][self.word(&at, &word, &["item", "request"])]
            }
            Some(file::Cost::Weights(weights)) => {
                let cost = Cost {
                    base: self.number(&at.key("base"), weights.base, 0, 0..=COST_MAX),
                    per_item: self.number(&at.key("per_item"), weights.per_item, 0, 0..=COST_MAX),
                };
                if cost.of(1) == 0 {
                    self.fault(&at, "a request costs something; write e.g. `base = 1`");
                    return Cost::ITEM;
                }
                cost
            }
        }
    }

    /// The most items in a chunk.
    pub(super) fn chunk_items(
        &mut self,
        at: &KeyPath,
        given: Option<u64>,
        limits: &[Limit],
        cost: Cost,
        requests: Requests,
    ) -> u32 {
        let least = limits.iter().map(|limit| limit.count).min();
        if let Some(least) = least
            && cost.of(1) > least
        {
            self.fault(
                &at.key("cost"),
                format!(
                    "a request with one item costs {}, and no limit may be less; write a larger \
                     limit, or a lower cost",
                    cost.of(1)
                ),
            );
        }
        let (most, why) = match requests.most {
            None => (
                most_chunk_items(limits, cost),
                "half a second's worth of the limit with the shortest window, and no more than \
                 any limit admits",
            ),
            Some(most) => (
                most.min(admitted(limits, cost)),
                "no more than any limit admits at once, and than the target takes in a request",
            ),
        };
        let default = requests.usual.min(most);
        let at = at.key("chunk_items");
        if given.is_some_and(|given| given > u64::from(most)) && most < CHUNK_ITEMS_MAX {
            self.fault(
                &at,
                format!(
                    "with these limits a chunk has at most {most} items: {why}; write less, or \
                     leave it out"
                ),
            );
            return default;
        }
        let most = requests.most.unwrap_or(CHUNK_ITEMS_MAX);
        self.number(&at, given, default, 1..=most)
    }

    /// The most requests under way at once.
    pub(super) fn concurrency(
        &mut self,
        at: &KeyPath,
        given: Option<u64>,
        limits: &[Limit],
        requests: Requests,
    ) -> u32 {
        let by_rate = half_a_second(limits).map(|n| n.clamp(10, 256));
        let default = match requests.most {
            None => by_rate.unwrap_or(requests.concurrency),
            Some(_) => requests.concurrency,
        };
        self.number(&at.key("concurrency"), given, default, 1..=CONCURRENCY_MAX)
    }
}

/// What the requests of a target are like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    /// The most items in one; `None` where each item is a request of its own.
    pub(super) most: Option<u32>,
    /// The items of a chunk, unless the operator says otherwise.
    pub(super) usual: u32,
    /// How many are under way at once, unless the operator or the limits say
    /// otherwise.
    pub(super) concurrency: u32,
}

impl Requests {
    /// Each item is a request of its own.
    pub(super) const EACH: Requests = Requests {
        most: None,
        usual: CHUNK_ITEMS,
        concurrency: CONCURRENCY_UNLIMITED,
    };

    /// A statement has many rows, and needs a connection of its own.
    pub(super) const ROWS: Requests = Requests {
        most: Some(10_000),
        usual: 500,
        concurrency: 8,
    };
}

/// More would be slow to report progress, be unfair to whoever comes next, or
/// never be admitted.
fn most_chunk_items(limits: &[Limit], cost: Cost) -> u32 {
    let admitted = limits.iter().map(|limit| limit.count).min();
    half_a_second(limits)
        .unwrap_or(CHUNK_ITEMS_MAX)
        .min(admitted.unwrap_or(CHUNK_ITEMS_MAX))
        .saturating_div(cost.of(1))
        .clamp(1, CHUNK_ITEMS_MAX)
}

/// The most items whose request all limits admit.
fn admitted(limits: &[Limit], cost: Cost) -> u32 {
    let least = limits.iter().map(|limit| limit.count).min();
    let for_items = least.unwrap_or(u32::MAX).saturating_sub(cost.base);
    for_items
        .checked_div(cost.per_item)
        .unwrap_or(u32::MAX)
        .max(1)
}

/// What the limit with the shortest window admits in half a second; `None`
/// without limits.
fn half_a_second(limits: &[Limit]) -> Option<u32> {
    let shortest = limits.iter().min_by_key(|limit| (limit.per, limit.count))?;
    let worth = u128::from(shortest.count) * 500 / shortest.per.as_millis().max(1);
    Some(u32::try_from(worth).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(texts: &[&str]) -> Vec<Limit> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_chunk_is_half_a_second_of_the_shortest_limit_and_admitted_by_all() {
        for (texts, most) in [
            (&[][..], 1_000),
            (&["100/s"], 50),
            (&["100000/d", "100/s"], 50),
            (&["10/250ms"], 10),
            (&["30/m"], 1),
            (&["1/s"], 1),
            (&["100/s", "20/d"], 20),
            (&["1000000/s"], 1_000),
        ] {
            assert_eq!(
                most_chunk_items(&limits(texts), Cost::ITEM),
                most,
                "{texts:?}"
            );
        }
    }
}
