//! What the service says, as facts.

use flowgate::proto::{
    Batch, BatchEvent, BatchState, FailureKind, ItemResult, Progress, batch_event, item_result,
};
use prost::Message as _;

use crate::checker::{Counts, Ended, Fact, Outcome, Read, Told, digest};

/// Everybody is this one.
pub const TENANT: &str = "default";

/// An event that a reader was given.
pub fn told(reader: u32, batch: &str, event: &BatchEvent) -> Fact {
    let mut told = Told {
        reader,
        tenant: TENANT.to_owned(),
        batch: batch.to_owned(),
        sequence: event.sequence,
        bytes: digest(&event.encode_to_vec()),
        ..Told::default()
    };
    match &event.kind {
        Some(batch_event::Kind::Results(results)) => {
            told.outcomes = results.results.iter().map(outcome).collect();
        }
        Some(batch_event::Kind::Progress(progress)) => told.counts = Some(counts(progress)),
        Some(batch_event::Kind::Finished(batch)) => {
            told.counts = batch.progress.as_ref().map(counts);
            told.finished = true;
        }
        None => panic!("an event without a kind"),
    }
    Fact::Told(told)
}

/// Whether it is the last of a log.
pub fn is_last(event: &BatchEvent) -> bool {
    matches!(event.kind, Some(batch_event::Kind::Finished(_)))
}

/// A batch of this name as it stands at the end.
pub fn read(batch: &Batch, name: &str, last_sequence: u64) -> Fact {
    let state = batch.state();
    let running = [
        BatchState::Running,
        BatchState::Paused,
        BatchState::Cancelling,
    ];
    Fact::Read(Read {
        tenant: TENANT.to_owned(),
        batch: batch.id.clone(),
        found: true,
        name: name.to_owned(),
        sealed: batch.sealed,
        finished: !running.contains(&state),
        last_sequence,
        counts: batch.progress.as_ref().map(counts).unwrap_or_default(),
        at_the_end: true,
    })
}

fn outcome(result: &ItemResult) -> Outcome {
    let ended = match &result.outcome {
        Some(item_result::Outcome::Success(_)) => Ended::Succeeded,
        Some(item_result::Outcome::Failure(failure)) => Ended::Failed(kind(failure.kind())),
        None => panic!("a result without an outcome"),
    };
    Outcome {
        index: result.index,
        ended,
        replayed: result.replayed,
    }
}

fn kind(kind: FailureKind) -> String {
    let name = kind.as_str_name();
    let short = name.strip_prefix("FAILURE_KIND_");
    short.unwrap_or(name).to_owned()
}

fn counts(progress: &Progress) -> Counts {
    let failed = progress.failed_by_kind.iter();
    Counts {
        total: progress.total,
        succeeded: progress.succeeded,
        failed: failed.map(|f| (kind(f.kind()), f.count)).collect(),
        in_flight: progress.in_flight,
        queued: progress.queued,
    }
}
