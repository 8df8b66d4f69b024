//! What requests take of their target's limits.

/// What a request takes of the limits of its target. At least one of the two
/// numbers is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Whatever it carries.
    pub base: u32,
    /// For each item that it carries.
    pub per_item: u32,
}

impl Cost {
    /// One for each item.
    pub const ITEM: Cost = Cost {
        base: 0,
        per_item: 1,
    };
    /// One for each request.
    pub const REQUEST: Cost = Cost {
        base: 1,
        per_item: 0,
    };

    /// What a request with so many items takes.
    pub fn of(self, items: u32) -> u32 {
        self.base
            .saturating_add(self.per_item.saturating_mul(items))
    }
}

/// What the items of a target take of its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What a request takes.
    pub cost: Cost,
    /// The most items in a request; at least 1.
    pub request_items: u32,
}

impl Rate {
    /// What so many items take, in as few requests as may be.
    pub fn units(self, items: u32) -> u64 {
        let requests = items.div_ceil(self.request_items.max(1));
        u64::from(self.cost.base) * u64::from(requests)
            + u64::from(self.cost.per_item) * u64::from(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_by_item_by_request_or_both() {
        let both = Cost {
            base: 2,
            per_item: 3,
        };
        for (cost, items, together, one, all) in [
            (Cost::ITEM, 50, 1, 50, 50),
            (Cost::ITEM, 50, 20, 50, 50),
            (Cost::REQUEST, 50, 1, 1, 50),
            (Cost::REQUEST, 50, 20, 1, 3),
            (both, 50, 20, 152, 156),
            (both, 0, 20, 2, 0),
        ] {
            assert_eq!(cost.of(items), one, "{cost:?}");
            let rate = Rate {
                cost,
                request_items: together,
            };
            assert_eq!(rate.units(items), all, "{rate:?}");
        }
    }
}
