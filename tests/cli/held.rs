//! A batch of the fake server, and what happens to it.
#![allow(
    clippy::cast_possible_truncation,
    reason = "the batches of tests are small"
)]

use flowgate::proto::*;

use super::outcome::{aborted, kind, outcome};

/// A batch.
pub struct Held {
    pub id: String,
    pub spec: BatchSpec,
    pub items: Vec<Item>,
    pub sealed_by: SealedBy,
    pub stopped_by: StoppedBy,
    pub paused: bool,
    /// Its items failed in another one.
    pub is_retry: bool,
    /// What holds its target.
    pub waits_for: Option<String>,
    pub log: Vec<BatchEvent>,
    pub results: Vec<ItemResult>,
}

impl Held {
    pub fn new(spec: BatchSpec) -> Held {
        Held {
            id: uuid::Uuid::now_v7().to_string(),
            spec,
            items: Vec::new(),
            sealed_by: SealedBy::Unspecified,
            stopped_by: StoppedBy::Unspecified,
            paused: false,
            is_retry: false,
            waits_for: None,
            log: Vec::new(),
            results: Vec::new(),
        }
    }

    pub fn is_sealed(&self) -> bool {
        self.sealed_by != SealedBy::Unspecified
    }

    pub fn is_over(&self) -> bool {
        self.is_sealed() && self.results.len() == self.items.len()
    }

    /// Gives up to so many results, and ends the log after the last.
    pub fn process(&mut self, most: usize) {
        let done = self.results.len();
        let most = if self.paused { 0 } else { most };
        let policy = self.spec.failure_policy.unwrap_or_default();
        let mut failed = self.results.iter().filter_map(kind).count();
        let mut new = Vec::new();
        for (index, item) in self.items.iter().enumerate().skip(done).take(most) {
            if policy.stop_after > 0 && failed >= policy.stop_after as usize {
                self.stopped_by = StoppedBy::FailurePolicy;
                new.push(aborted(index as u32, item));
                continue;
            }
            let result = outcome(index as u32, item, !self.is_retry);
            failed += usize::from(kind(&result).is_some());
            new.push(result);
        }
        if self.stopped_by != StoppedBy::Unspecified && !self.is_sealed() {
            self.sealed_by = SealedBy::FailurePolicy;
        }
        if !new.is_empty() {
            self.results.extend(new.iter().cloned());
            self.push(batch_event::Kind::Results(BatchResults { results: new }));
            let progress = Progress {
                waiting: None,
                ..self.progress()
            };
            self.push(batch_event::Kind::Progress(progress));
        }
        let told = self
            .log
            .iter()
            .any(|event| matches!(event.kind, Some(batch_event::Kind::Finished(_))));
        if self.is_over() && !told {
            self.push(batch_event::Kind::Finished(self.batch()));
        }
    }

    fn push(&mut self, kind: batch_event::Kind) {
        self.log.push(BatchEvent {
            sequence: self.log.len() as u64 + 1,
            time: None,
            kind: Some(kind),
        });
    }

    fn progress(&self) -> Progress {
        let kinds: Vec<FailureKind> = self.results.iter().filter_map(kind).collect();
        let counts = (1..10).filter_map(|number| {
            let count = kinds.iter().filter(|kind| **kind as i32 == number).count();
            (count > 0).then_some(FailureCount {
                kind: number,
                count: count as u32,
            })
        });
        let completed = self.results.len() as u32;
        let failed = kinds.len() as u32;
        let paused = self.paused.then(|| "the batch is paused".to_owned());
        let waiting = paused.or(self.waits_for.clone()).map(|reason| Waiting {
            reason,
            until: None,
        });
        Progress {
            total: self.items.len() as u32,
            completed,
            succeeded: completed - failed,
            failed,
            failed_by_kind: counts.collect(),
            queued: self.items.len() as u32 - completed,
            items_per_second: 100.0,
            waiting: waiting.filter(|_| !self.is_over()),
            ..Progress::default()
        }
    }

    pub fn batch(&self) -> Batch {
        let progress = self.progress();
        let state = match (self.is_over(), progress.succeeded, progress.failed) {
            (false, ..) if self.paused => BatchState::Paused,
            (false, _, _) => BatchState::Running,
            (true, _, 0) => BatchState::Succeeded,
            (true, 0, _) => BatchState::Failed,
            (true, _, _) => BatchState::PartiallySucceeded,
        };
        let at = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
        Batch {
            id: self.id.clone(),
            spec: Some(self.spec.clone()),
            state: state.into(),
            sealed: self.is_sealed(),
            sealed_by: self.sealed_by.into(),
            stopped_by: self.stopped_by.into(),
            progress: Some(progress),
            create_time: at(1_795_248_000, 0),
            start_time: at(1_795_248_000, 0),
            finish_time: at(1_795_248_004, 900_000_000).filter(|_| self.is_over()),
        }
    }
}
