//! A batch: what it was asked for, and how far it has come.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::super::rows::{Numbered, Undone};
use super::{required, unknown, unreadable};
use crate::core::rate::{Mark, Pace};
use crate::model::{
    Atomicity, BatchSpec, Counts, Echo, FailureKind, FailurePolicy, Ordering, Progress, SealedBy,
    StoppedBy, TargetName, Validation,
};

/// What changes of a batch, but for its state.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct BatchBody {
    pub sealed_by: Option<SealedBy>,
    pub stopped_by: Option<StoppedBy>,
    pub open_until_ms: Option<i64>,
    pub counts: Counts,
    pub pace: Option<Pace>,
    pub chunks: Numbered,
    pub last_sequence: u64,
    pub started_ms: Option<i64>,
    pub finished_ms: Option<i64>,
}

/// What changes of a batch, for its row.
pub(in crate::store) fn encode_body(body: &BatchBody) -> Bytes {
    let message = BodyMessage {
        sealed_by: body.sealed_by.map_or(0, |by| by as u32),
        counts: Some(CountsMessage::from(body.counts)),
        pace: body.pace.map(PaceMessage::from),
        last_sequence: body.last_sequence,
        started_ms: body.started_ms,
        finished_ms: body.finished_ms,
        chunks_came: body.chunks.came,
        chunks_again: body.chunks.again,
        stopped_by: body.stopped_by.map_or(0, |by| by as u32),
        open_until_ms: body.open_until_ms,
    };
    message.encode_to_vec().into()
}

/// What changes of a batch, from its row.
pub(in crate::store) fn decode_body(blob: Bytes) -> Result<BatchBody, Undone> {
    let message = BodyMessage::decode(blob).map_err(unreadable)?;
    let sealed_by = SealedBy::ALL.into_iter();
    let stopped_by = StoppedBy::ALL.into_iter();
    Ok(BatchBody {
        sealed_by: numbered(message.sealed_by, sealed_by, |by| by as u32, "way to seal")?,
        stopped_by: numbered(
            message.stopped_by,
            stopped_by,
            |by| by as u32,
            "way to stop",
        )?,
        open_until_ms: message.open_until_ms,
        counts: required(message.counts, "counts")?.try_into()?,
        pace: message.pace.map(Pace::try_from).transpose()?,
        chunks: Numbered {
            came: message.chunks_came,
            again: message.chunks_again,
        },
        last_sequence: message.last_sequence,
        started_ms: message.started_ms,
        finished_ms: message.finished_ms,
    })
}

/// The one of these that has this number; `None` for 0.
fn numbered<T: Copy>(
    number: u32,
    all: impl IntoIterator<Item = T>,
    number_of: impl Fn(T) -> u32,
    what: &str,
) -> Result<Option<T>, Undone> {
    if number == 0 {
        return Ok(None);
    }
    let found = all.into_iter().find(|one| number_of(*one) == number);
    found.map(Some).ok_or_else(|| unknown(what, number))
}

/// Progress, for an event. Times are kept in whole milliseconds.
pub(in crate::store) fn encode_progress(progress: &Progress) -> Bytes {
    let message = ProgressMessage {
        counts: Some(CountsMessage::from(progress.counts)),
        items_per_second: progress.items_per_second,
        time_left_ms: progress
            .time_left
            .map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
    };
    message.encode_to_vec().into()
}

/// The progress of an event.
pub(in crate::store) fn decode_progress(blob: Bytes) -> Result<Progress, Undone> {
    let message = ProgressMessage::decode(blob).map_err(unreadable)?;
    Ok(Progress {
        counts: required(message.counts, "counts")?.try_into()?,
        items_per_second: message.items_per_second,
        time_left: message.time_left_ms.map(Duration::from_millis),
    })
}

/// What a batch was asked for.
pub(in crate::store) fn encode_spec(spec: &BatchSpec) -> Bytes {
    let message = SpecMessage {
        target: spec.target.as_str().to_owned(),
        request_id: spec.request_id.clone(),
        labels: spec.labels.clone(),
        validation: match spec.validation {
            Validation::Item => 1,
            Validation::Batch => 2,
        },
        echo: match spec.echo {
            Echo::Failed => 1,
            Echo::None => 2,
            Echo::All => 3,
        },
        strict: spec.ordering == Ordering::Strict,
        deadline_ms: spec.deadline_ms,
        stop_after: spec.failure_policy.stop_after,
        stop_at_share: spec.failure_policy.stop_at_share,
        all_or_nothing: spec.atomicity == Atomicity::AllOrNothing,
    };
    message.encode_to_vec().into()
}

/// What a batch was asked for.
pub(in crate::store) fn decode_spec(blob: Bytes) -> Result<BatchSpec, Undone> {
    let message = SpecMessage::decode(blob).map_err(unreadable)?;
    Ok(BatchSpec {
        target: TargetName::new(&message.target),
        request_id: message.request_id,
        labels: message.labels,
        validation: match message.validation {
            1 => Validation::Item,
            2 => Validation::Batch,
            other => return Err(unknown("validation", other)),
        },
        echo: match message.echo {
            1 => Echo::Failed,
            2 => Echo::None,
            3 => Echo::All,
            other => return Err(unknown("echo", other)),
        },
        ordering: match message.strict {
            true => Ordering::Strict,
            false => Ordering::Parallel,
        },
        atomicity: match message.all_or_nothing {
            true => Atomicity::AllOrNothing,
            false => Atomicity::Each,
        },
        deadline_ms: message.deadline_ms,
        failure_policy: FailurePolicy {
            stop_after: message.stop_after,
            stop_at_share: message.stop_at_share,
        },
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProgressMessage {
    #[prost(message, optional, tag = "1")]
    counts: Option<CountsMessage>,
    #[prost(double, tag = "2")]
    items_per_second: f64,
    #[prost(uint64, optional, tag = "3")]
    time_left_ms: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CountsMessage {
    #[prost(uint32, tag = "1")]
    total: u32,
    #[prost(uint32, tag = "2")]
    succeeded: u32,
    /// By place of the kind.
    #[prost(uint32, repeated, tag = "3")]
    failed: Vec<u32>,
    #[prost(uint32, tag = "4")]
    in_flight: u32,
    #[prost(uint32, tag = "5")]
    chunks_finished: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SpecMessage {
    #[prost(string, tag = "1")]
    target: String,
    #[prost(string, optional, tag = "2")]
    request_id: Option<String>,
    #[prost(btree_map = "string, string", tag = "3")]
    labels: BTreeMap<String, String>,
    #[prost(uint32, tag = "4")]
    validation: u32,
    #[prost(uint32, tag = "5")]
    echo: u32,
    #[prost(bool, tag = "6")]
    strict: bool,
    #[prost(int64, optional, tag = "7")]
    deadline_ms: Option<i64>,
    #[prost(uint32, tag = "8")]
    stop_after: u32,
    #[prost(double, tag = "9")]
    stop_at_share: f64,
    #[prost(bool, tag = "10")]
    all_or_nothing: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BodyMessage {
    /// 0 while it is open.
    #[prost(uint32, tag = "1")]
    sealed_by: u32,
    #[prost(message, optional, tag = "2")]
    counts: Option<CountsMessage>,
    #[prost(message, optional, tag = "3")]
    pace: Option<PaceMessage>,
    #[prost(uint64, tag = "4")]
    last_sequence: u64,
    #[prost(int64, optional, tag = "5")]
    started_ms: Option<i64>,
    #[prost(int64, optional, tag = "6")]
    finished_ms: Option<i64>,
    #[prost(uint32, tag = "7")]
    chunks_came: u32,
    #[prost(uint32, tag = "8")]
    chunks_again: u32,
    /// 0 while it is not stopped.
    #[prost(uint32, tag = "9")]
    stopped_by: u32,
    #[prost(int64, optional, tag = "10")]
    open_until_ms: Option<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PaceMessage {
    #[prost(message, optional, tag = "1")]
    older: Option<MarkMessage>,
    #[prost(message, optional, tag = "2")]
    newer: Option<MarkMessage>,
    #[prost(message, optional, tag = "3")]
    latest: Option<MarkMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct MarkMessage {
    #[prost(int64, tag = "1")]
    at_ms: i64,
    #[prost(uint64, tag = "2")]
    outcomes: u64,
}

impl From<Counts> for CountsMessage {
    fn from(counts: Counts) -> Self {
        CountsMessage {
            total: counts.total,
            succeeded: counts.succeeded,
            failed: counts.failed.to_vec(),
            in_flight: counts.in_flight,
            chunks_finished: counts.chunks_finished,
        }
    }
}

impl TryFrom<CountsMessage> for Counts {
    type Error = Undone;

    fn try_from(message: CountsMessage) -> Result<Self, Undone> {
        // Fewer where a kind of failure was added since.
        let mut failed = [0; FailureKind::ALL.len()];
        failed
            .get_mut(..message.failed.len())
            .ok_or_else(|| Undone::Broken("counts of unknown kinds of failure".to_owned()))?
            .copy_from_slice(&message.failed);
        Ok(Counts {
            total: message.total,
            succeeded: message.succeeded,
            failed,
            in_flight: message.in_flight,
            chunks_finished: message.chunks_finished,
        })
    }
}

impl From<Pace> for PaceMessage {
    fn from(pace: Pace) -> Self {
        let mark = |mark: Mark| {
            Some(MarkMessage {
                at_ms: mark.at_ms,
                outcomes: mark.outcomes,
            })
        };
        PaceMessage {
            older: mark(pace.older),
            newer: mark(pace.newer),
            latest: mark(pace.latest),
        }
    }
}

impl TryFrom<PaceMessage> for Pace {
    type Error = Undone;

    fn try_from(message: PaceMessage) -> Result<Self, Undone> {
        let mark = |mark: Option<MarkMessage>| {
            required(mark, "mark").map(|mark| Mark {
                at_ms: mark.at_ms,
                outcomes: mark.outcomes,
            })
        };
        Ok(Pace {
            older: mark(message.older)?,
            newer: mark(message.newer)?,
            latest: mark(message.latest)?,
        })
    }
}
