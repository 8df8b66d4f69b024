//! The targets that there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Target;
use crate::config::{QuotaConfig, TargetConfig};
use crate::model::{Cost, TargetName};

/// A target, and what the operator said of it.
pub struct Entry {
    /// What the operator said of it.
    pub config: TargetConfig,
    /// The limits that it draws on.
    pub quota: QuotaConfig,
    /// The downstream.
    pub target: Arc<dyn Target>,
}

impl Entry {
    /// The most items that it does all or none of, within what its limits admit at
    /// once; `None` where it cannot.
    pub fn atomic_items(&self) -> Option<u32> {
        let most = self.target.atomic_items()?;
        let Cost { base, per_item } = self.config.cost;
        let limits = self.quota.limits.iter();
        let admitted = limits.map(|limit| limit.count.saturating_sub(base)).min();
        let admitted = admitted.unwrap_or(u32::MAX).checked_div(per_item);
        Some(most.min(admitted.unwrap_or(u32::MAX)))
    }
}

/// The targets that there are, by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct Catalog {
    entries: Arc<BTreeMap<TargetName, Arc<Entry>>>,
}

impl Catalog {
    /// A catalog of these.
    pub fn new(entries: impl IntoIterator<Item = Entry>) -> Catalog {
        let entries = entries
            .into_iter()
            .map(|entry| (entry.config.name.clone(), Arc::new(entry)))
            .collect();
        Catalog {
            entries: Arc::new(entries),
        }
    }

    /// The target of that name.
    pub fn get(&self, name: &TargetName) -> Option<&Arc<Entry>> {
        self.entries.get(name)
    }

    /// All of them, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }
}
