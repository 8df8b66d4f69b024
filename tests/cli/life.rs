//! What holds the batches and targets of the fake server, and what submits
//! failed items again.

use flowgate::proto::*;
use tonic::{Code, Status};

use super::held::Held;
use super::outcome::kind;
use super::service::refusal;
use super::{Shared, State};

/// What `RetryBatch` takes by default.
const BY_DEFAULT: [FailureKind; 4] = [
    FailureKind::Throttled,
    FailureKind::Unreachable,
    FailureKind::Unavailable,
    FailureKind::Expired,
];

impl Shared {
    /// Pauses a batch, or lets it go on.
    pub fn pause(&self, id: &str, pause: bool) -> Result<Batch, Status> {
        let mut state = self.state();
        let batch = state.find(id)?;
        let batch = &mut state.batches[batch];
        if !batch.is_over() {
            batch.paused = pause;
            self.go_on(batch);
        }
        let batch = batch.batch();
        drop(state);
        self.changed.send_replace(());
        Ok(batch)
    }

    /// Submits the failed items of a batch again.
    pub fn retry(&self, request: &RetryBatchRequest) -> Result<Batch, Status> {
        let mut state = self.state();
        let source = state.find(&request.batch_id)?;
        let source = &state.batches[source];
        let code = Code::FailedPrecondition;
        if !source.is_over() {
            return Err(refusal(code, "NOT_FINISHED", "it is not finished"));
        }
        let mut kinds: Vec<FailureKind> = request.kinds().collect();
        if kinds.is_empty() {
            kinds = BY_DEFAULT.to_vec();
        }
        let failed = source.results.iter();
        let failed = failed.filter(|result| kind(result).is_some_and(|k| kinds.contains(&k)));
        let items: Vec<Item> = failed.filter_map(|result| result.item.clone()).collect();
        if items.is_empty() {
            return Err(refusal(code, "NOTHING_TO_RETRY", "nothing failed so"));
        }
        let mut spec = source.spec.clone();
        spec.request_id = match request.request_id.as_str() {
            "" => format!("retry-{}-{kinds:?}", source.id),
            id => id.to_owned(),
        };
        let known = state
            .batches
            .iter()
            .position(|batch| batch.spec.request_id == spec.request_id);
        let batch = known.unwrap_or_else(|| {
            let mut batch = Held::new(spec);
            batch.items = items;
            batch.is_retry = true;
            batch.sealed_by = SealedBy::Client;
            state.batches.push(batch);
            state.batches.len() - 1
        });
        state.retries += 1;
        if self.script.lose_retry && state.retries == 1 {
            return Err(Status::unavailable("the fake is gone"));
        }
        let told = state.batches[batch].batch();
        self.go_on(&mut state.batches[batch]);
        Ok(told)
    }

    /// Holds a target, or lets it go on.
    pub fn hold(&self, name: &str, reason: Option<String>) -> Result<Target, Status> {
        let mut state = self.state();
        check_target(name)?;
        match reason {
            Some(reason) => {
                state.holds.entry(name.to_owned()).or_insert(reason);
            }
            None => {
                state.holds.remove(name);
            }
        }
        let words = state.held_words(name);
        for batch in &mut state.batches {
            if batch.spec.target == name {
                batch.waits_for.clone_from(&words);
            }
        }
        drop(state);
        self.target(name)
    }

    /// A target as it is told.
    pub fn target(&self, name: &str) -> Result<Target, Status> {
        let state = self.state();
        check_target(name)?;
        let held = state.held_words(name);
        Ok(Target {
            name: name.to_owned(),
            kind: "http".to_owned(),
            operation: "POST /guests".to_owned(),
            quota: Some(Quota {
                name: name.to_owned(),
                limits: vec!["100/s".to_owned(), "100000/d".to_owned()],
                pace: Pace::Window.into(),
            }),
            chunk_items: 50,
            concurrency: 50,
            status: Some(TargetStatus {
                queued_items: 7,
                held_since: held.as_ref().map(|_| prost_types::Timestamp {
                    seconds: 1_795_248_000,
                    nanos: 0,
                }),
                pause_reason: held.unwrap_or_default(),
                ..TargetStatus::default()
            }),
            ..Target::default()
        })
    }

    fn go_on(&self, batch: &mut Held) {
        if !self.script.hold_results {
            batch.process(usize::MAX);
        }
    }
}

impl State {
    fn held_words(&self, name: &str) -> Option<String> {
        let reason = self.holds.get(name)?;
        Some(match reason.as_str() {
            "" => "an operator holds the target".to_owned(),
            reason => format!("an operator holds the target: {reason}"),
        })
    }
}

fn check_target(name: &str) -> Result<(), Status> {
    match name {
        "crm" | "erp" => Ok(()),
        _ => Err(refusal(
            Code::NotFound,
            "TARGET_NOT_FOUND",
            format!("no target is called `{name}`"),
        )),
    }
}
