//! Targets: what is common to all kinds of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Check;
use super::pacing::{Quotas, Requests};
use crate::config::key::KeyPath;
use crate::config::reference::KINDS;
use crate::config::{SchemaConfig, SchemaFor, TargetConfig, TargetKind, file, schema};
use crate::core::breaker::BreakerPolicy;
use crate::core::classify::RetryPolicy;
use crate::model::TargetName;

/// With the delays below, a target may be gone for about half a minute.
const ATTEMPTS: u32 = 10;
const ATTEMPTS_MAX: u32 = 100;
const BASE: Duration = Duration::from_millis(200);
const MAX: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_hours(1);
const FAILURES_MAX: u32 = 10_000;

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
        let kind = file.kind.take();
        if kind.is_none() {
            self.missing(at, "`kind` is missing; write e.g. `kind = \"http\"`");
        }
        let own = file::Quota {
            limits: file.limits.take(),
            pace: file.pace.take(),
            transit: file.transit.take(),
        };
        let quota = self.quota_of(at, name, file.quota.take(), own, named);
        let retry = self.retry(&at.key("retry"), std::mem::take(&mut file.retry));
        let breaker = self.breaker(&at.key("breaker"), &std::mem::take(&mut file.breaker));
        let pacing = (
            file.cost.take(),
            file.chunk_items.take(),
            file.concurrency.take(),
        );
        let schema = self.schema(at, file.schema.take(), file.schema_for.as_deref());
        let place = kind.map_or(0, |kind| self.word(&at.key("kind"), &kind, KINDS));
        let (kind, requests) = self.made(at, name, &mut file, place)?;
        let (cost, chunk_items, concurrency) = pacing;
        let cost = self.cost(at, cost, requests);
        Some(TargetConfig {
            name: TargetName::new(name),
            chunk_items: self.chunk_items(at, chunk_items, &quota.limits, cost, requests),
            concurrency: self.concurrency(at, concurrency, &quota.limits, requests),
            quota: quota.name,
            cost,
            retry,
            breaker,
            schema,
            kind,
        })
    }

    /// A target of the kind at that place among [`KINDS`], and what its requests
    /// are like.
    fn made(
        &mut self,
        at: &KeyPath,
        name: &str,
        file: &mut file::Target,
        place: usize,
    ) -> Option<(TargetKind, Requests)> {
        Some(match place {
            0 => {
                let http = self.http(at, name, file)?;
                (TargetKind::Http(Box::new(http)), Requests::EACH)
            }
            1 => {
                let batch = self.http_batch(at, name, file)?;
                let requests = batch.requests();
                (TargetKind::HttpBatch(Box::new(batch)), requests)
            }
            2 => {
                let grpc = self.grpc(at, name, file)?;
                (TargetKind::Grpc(Box::new(grpc)), Requests::EACH)
            }
            _ => {
                let postgres = self.postgres(at, name, file)?;
                (TargetKind::Postgres(Box::new(postgres)), Requests::ROWS)
            }
        })
    }

    /// What items have to look like.
    fn schema(
        &mut self,
        at: &KeyPath,
        path: Option<String>,
        words: Option<&[String]>,
    ) -> Option<SchemaConfig> {
        let at_words = at.key("schema_for");
        let applies_to = match words {
            None => SchemaFor::USUAL.to_vec(),
            Some(words) => {
                let mut applies_to = Vec::new();
                for (index, word) in words.iter().enumerate() {
                    let place = self.word(&at_words.index(index), word, &SchemaFor::WORDS);
                    if !applies_to.contains(&SchemaFor::ALL[place]) {
                        applies_to.push(SchemaFor::ALL[place]);
                    }
                }
                applies_to
            }
        };
        let Some(path) = path else {
            if words.is_some() {
                self.fault(
                    &at_words,
                    "there is no `schema`; give one, or take this out",
                );
            }
            return None;
        };
        if applies_to.is_empty() {
            self.fault(
                &at_words,
                "no item would be checked; take `schema` out instead",
            );
        }
        let path = self.base_dir.join(path);
        match schema::read(&path) {
            Ok(schema) => Some(SchemaConfig {
                path,
                schema: Arc::new(schema),
                applies_to,
            }),
            Err(faults) => {
                for fault in faults {
                    self.fault(&at.key("schema"), fault);
                }
                None
            }
        }
    }

    fn breaker(&mut self, at: &KeyPath, file: &file::Breaker) -> BreakerPolicy {
        let usual = BreakerPolicy::default();
        let (pause, longest) = (file.pause.clone(), file.max_pause.clone());
        let least = Duration::from_millis(1);
        let failures = at.key("failures");
        let policy = BreakerPolicy {
            failures: self.number(&failures, file.failures, usual.failures, 0..=FAILURES_MAX),
            pause: self.duration(&at.key("pause"), pause, usual.pause, least),
            max_pause: self.duration(&at.key("max_pause"), longest, usual.max_pause, least),
        };
        if policy.pause > policy.max_pause {
            self.fault(
                at,
                "`pause` is longer than `max_pause`; write a shorter `pause` or a longer `max_pause`",
            );
        }
        policy
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
