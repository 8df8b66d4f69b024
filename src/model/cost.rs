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

    /// What so many items take in requests of up to `together` items each.
    pub fn of_all(self, items: u32, together: u32) -> u64 {
        let requests = items.div_ceil(together.max(1));
        u64::from(self.base) * u64::from(requests) + u64::from(self.per_item) * u64::from(items)
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
            assert_eq!(cost.of_all(items, together), all, "{cost:?}");
        }
    }
}
