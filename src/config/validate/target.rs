//! Targets: what is common to all kinds of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Check;
use super::pacing::Quotas;
use crate::config::key::KeyPath;
use crate::config::reference::KINDS;
use crate::config::{TargetConfig, TargetKind, file};
use crate::core::classify::RetryPolicy;
use crate::model::TargetName;

/// With the delays below, a target may be gone for about half a minute.
const ATTEMPTS: u32 = 10;
const ATTEMPTS_MAX: u32 = 100;
const BASE: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_hours(1);

impl Check<'_> {
    /// The targets, by name.
    pub(super) fn targets(
        &mut self,
        files: BTreeMap<String, file::Target>,
        named: &Quotas,
    ) -> Vec<TargetConfig> {
        if files.is_empty() {
            let at = KeyPath::top("targets");
            self.missing(
                &at,
                "there are no targets; add at least one `[targets.NAME]`",
            );
        }
        let mut targets = Vec::new();
        for (name, file) in files {
            let at = KeyPath::top("targets").key(&name);
            self.name(&at, &name);
            targets.extend(self.target(&at, &name, file, named));
        }
        targets
    }

    fn target(
        &mut self,
        at: &KeyPath,
        name: &str,
        mut file: file::Target,
        named: &Quotas,
    ) -> Option<TargetConfig> {
        match file.kind.take() {
            Some(kind) => {
                self.word(&at.key("kind"), &kind, KINDS);
            }
            None => self.missing(at, "`kind` is missing; write `kind = \"http\"`"),
        }
        let own = file::Quota {
            limits: file.limits.take(),
            pace: file.pace.take(),
            transit: file.transit.take(),
        };
        let quota = self.quota_of(at, name, file.quota.take(), own, named);
        let chunk_items = self.chunk_items(at, file.chunk_items, &quota.limits);
        let concurrency = self.concurrency(at, file.concurrency, &quota.limits);
        let retry = self.retry(&at.key("retry"), std::mem::take(&mut file.retry));
        let http = self.http(at, name, file);
        Some(TargetConfig {
            name: TargetName::new(name),
            quota: quota.name,
            chunk_items,
            concurrency,
            retry,
            kind: TargetKind::Http(Box::new(http?)),
        })
    }

    fn retry(&mut self, at: &KeyPath, file: file::Retry) -> RetryPolicy {
        let attempts_at = at.key("attempts");
        let least = Duration::from_millis(1);
        let policy = RetryPolicy {
            attempts: self.number(&attempts_at, file.attempts, ATTEMPTS, 1..=ATTEMPTS_MAX),
            base: self.duration(&at.key("base"), file.base, BASE, least),
            max: self.duration(&at.key("max"), file.max, MAX, least),
            patience: self.duration(&at.key("patience"), file.patience, PATIENCE, least),
        };
        if policy.base > policy.max {
            self.fault(
                at,
                "`base` is longer than `max`; write a shorter `base` or a longer `max`",
            );
        }
        policy
    }
}
