//! The targets that there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Target;
use crate::config::{QuotaConfig, TargetConfig};
use crate::model::TargetName;

/// A target, and what the operator said of it.
pub struct Entry {
    /// What the operator said of it.
    pub config: TargetConfig,
    /// The limits that it draws on.
    pub quota: QuotaConfig,
    /// The downstream.
    pub target: Arc<dyn Target>,
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
