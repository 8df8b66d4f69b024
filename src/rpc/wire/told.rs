//! What clients are told.

use prost_types::{Duration, Struct, Timestamp, Value, value};

use crate::model::{
    Atomicity, Batch, BatchSpec, BatchState, Echo, Event, EventKind, FailureKind, FailurePolicy,
    Form, Item, ItemResult, LaneStatus, Operation, Ordering, Outcome, Pace, Payload, Progress,
    SealedBy, StoppedBy, Validation, Verb,
};
use crate::proto;
use crate::rpc::status;
use crate::target::Entry;

/// A payload as it is told.
pub fn payload(payload: Payload) -> proto::Payload {
    use proto::payload::Content;
    let content = match payload.form {
        Form::Json => match serde_json::from_slice(&payload.body) {
            Ok(serde_json::Value::Object(fields)) => Content::Json(struct_out(fields)),
            _ => Content::Raw(payload.body),
        },
        Form::JsonText => match String::from_utf8(payload.body.into()) {
            Ok(text) => Content::JsonText(text),
            Err(error) => Content::Raw(error.into_bytes().into()),
        },
        Form::Raw => Content::Raw(payload.body),
    };
    proto::Payload {
        content: Some(content),
        content_type: payload.content_type.unwrap_or_default(),
    }
}

fn struct_out(fields: serde_json::Map<String, serde_json::Value>) -> Struct {
    let fields = fields
        .into_iter()
        .map(|(key, value)| (key, value_out(value)));
    Struct {
        fields: fields.collect(),
    }
}

fn value_out(value: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => value::Kind::NullValue(0),
        Json::Bool(truth) => value::Kind::BoolValue(truth),
        Json::Number(number) => value::Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => value::Kind::StringValue(text),
        Json::Array(values) => value::Kind::ListValue(prost_types::ListValue {
            values: values.into_iter().map(value_out).collect(),
        }),
        Json::Object(fields) => value::Kind::StructValue(struct_out(fields)),
    };
    Value { kind: Some(kind) }
}

fn item(item: Item) -> proto::Item {
    let operation = match item.operation {
        Operation::Target => None,
        Operation::Http(call) => Some(proto::item::Operation::Http(proto::HttpCall {
            method: call.method,
            path: call.path,
            headers: call.headers,
        })),
        Operation::Grpc(call) => Some(proto::item::Operation::Grpc(proto::GrpcCall {
            method: call.method,
            metadata: call.metadata,
        })),
        Operation::Action(action) => {
            let verb = match action.verb {
                Verb::Create => proto::ActionVerb::Create,
                Verb::Update => proto::ActionVerb::Update,
                Verb::Delete => proto::ActionVerb::Delete,
            };
            Some(proto::item::Operation::Action(proto::Action {
                verb: verb.into(),
                resource_id: action.resource_id,
            }))
        }
    };
    proto::Item {
        id: item.id.unwrap_or_default(),
        idempotency_key: item.key.unwrap_or_default(),
        payload: item.payload.map(payload),
        operation,
    }
}

/// An outcome as it is told.
pub fn result(result: ItemResult) -> proto::ItemResult {
    let outcome = match result.outcome {
        Outcome::Succeeded(success) => proto::item_result::Outcome::Success(proto::Success {
            target_status: success.status.into(),
            reply: success.reply.map(payload),
            reply_truncated: success.truncated,
        }),
        Outcome::Failed(failure) => proto::item_result::Outcome::Failure(proto::Failure {
            kind: failure.kind as i32,
            error: Some(status::failure(&failure)),
            target_status: failure.status.map_or(0, u32::from),
            reply: failure.reply.map(payload),
            reply_truncated: failure.truncated,
            retryable: failure.retryable,
        }),
    };
    proto::ItemResult {
        index: result.index,
        id: result.id,
        outcome: Some(outcome),
        attempts: result.attempts,
        replayed: result.replayed,
        item: result.item.map(|echoed| item(*echoed)),
    }
}

/// An event as it is told. `batch` is what the batch came to, for the last.
pub fn event(event: Event, batch: impl FnOnce() -> proto::Batch) -> proto::BatchEvent {
    use proto::batch_event::Kind;
    let kind = match event.kind {
        EventKind::Results(results) => Kind::Results(proto::BatchResults {
            results: results.into_iter().map(result).collect(),
        }),
        EventKind::Progress(done) => Kind::Progress(progress(&done)),
        EventKind::Finished => Kind::Finished(batch()),
    };
    proto::BatchEvent {
        sequence: event.sequence,
        time: Some(time(event.at_ms)),
        kind: Some(kind),
    }
}

/// A batch as it stands; `lane` is how its target is doing.
pub fn batch(batch: &Batch, lane: Option<&LaneStatus>) -> proto::Batch {
    let lane = lane.filter(|_| !batch.state.is_final());
    let sealed_by = match batch.sealed_by {
        None => proto::SealedBy::Unspecified,
        Some(SealedBy::Client) => proto::SealedBy::Client,
        Some(SealedBy::Cancel) => proto::SealedBy::Cancel,
        Some(SealedBy::Timeout) => proto::SealedBy::Timeout,
        Some(SealedBy::FailurePolicy) => proto::SealedBy::FailurePolicy,
        Some(SealedBy::Deadline) => proto::SealedBy::Deadline,
    };
    let stopped_by = match batch.stopped_by {
        None => proto::StoppedBy::Unspecified,
        Some(StoppedBy::Cancel) => proto::StoppedBy::Cancel,
        Some(StoppedBy::FailurePolicy) => proto::StoppedBy::FailurePolicy,
        Some(StoppedBy::Deadline) => proto::StoppedBy::Deadline,
    };
    proto::Batch {
        id: batch.id.to_string(),
        spec: Some(spec_out(&batch.spec)),
        state: batch.state as i32,
        sealed: batch.sealed_by.is_some(),
        sealed_by: sealed_by.into(),
        progress: Some(standing(batch, lane)),
        create_time: Some(time(batch.created_ms)),
        start_time: batch.started_ms.map(time),
        finish_time: batch.finished_ms.map(time),
        stopped_by: stopped_by.into(),
    }
}

fn spec_out(spec: &BatchSpec) -> proto::BatchSpec {
    let validation = match spec.validation {
        Validation::Item => proto::ValidationMode::Item,
        Validation::Batch => proto::ValidationMode::Batch,
    };
    let echo = match spec.echo {
        Echo::Failed => proto::Echo::Failed,
        Echo::None => proto::Echo::None,
        Echo::All => proto::Echo::All,
    };
    proto::BatchSpec {
        target: spec.target.to_string(),
        request_id: spec.request_id.clone().unwrap_or_default(),
        labels: spec.labels.clone(),
        validation: validation.into(),
        echo: echo.into(),
        ordering: match spec.ordering {
            Ordering::Parallel => proto::Ordering::Parallel,
            Ordering::Strict => proto::Ordering::Strict,
        }
        .into(),
        atomicity: match spec.atomicity {
            Atomicity::Each => proto::Atomicity::Each,
            Atomicity::AllOrNothing => proto::Atomicity::AllOrNothing,
        }
        .into(),
        deadline: spec.deadline_ms.map(time),
        failure_policy: (spec.failure_policy != FailurePolicy::default()).then_some(
            proto::FailurePolicy {
                stop_after: spec.failure_policy.stop_after,
                stop_at_share: spec.failure_policy.stop_at_share,
            },
        ),
    }
}

/// How far a batch has come as it stands, and what it waits for.
pub fn standing(batch: &Batch, lane: Option<&LaneStatus>) -> proto::Progress {
    let mut told = progress(&batch.progress);
    told.waiting = match batch.state {
        BatchState::Paused => Some(proto::Waiting {
            reason: "the batch is paused".to_owned(),
            until: None,
        }),
        _ if told.completed == told.total => None,
        _ => lane.and_then(waiting),
    };
    if told.waiting.is_some() {
        // The rate is that of before, and says nothing of when it goes on.
        told.time_left = None;
    }
    told
}

/// Progress, as it is logged.
fn progress(progress: &Progress) -> proto::Progress {
    let counts = &progress.counts;
    let failed_by_kind = FailureKind::ALL
        .into_iter()
        .filter(|kind| counts.failed[kind.place()] > 0)
        .map(|kind| proto::FailureCount {
            kind: kind as i32,
            count: counts.failed[kind.place()],
        })
        .collect();
    proto::Progress {
        total: counts.total,
        completed: counts.completed(),
        succeeded: counts.succeeded,
        failed: counts.failed_total(),
        failed_by_kind,
        in_flight: counts.in_flight,
        queued: counts.queued(),
        fraction: match counts.total {
            0 => 0.0,
            total => f64::from(counts.completed()) / f64::from(total),
        },
        items_per_second: progress.items_per_second,
        time_left: progress
            .time_left
            .and_then(|left| Duration::try_from(left).ok()),
        chunks_finished: counts.chunks_finished,
        waiting: None,
    }
}

/// What a target keeps its batches waiting for.
fn waiting(lane: &LaneStatus) -> Option<proto::Waiting> {
    if let Some(held) = &lane.held {
        return Some(proto::Waiting {
            reason: held_words(&held.reason),
            until: None,
        });
    }
    let pause = lane.pause.as_ref()?;
    Some(proto::Waiting {
        reason: pause.reason.clone(),
        until: Some(time(pause.until_ms)),
    })
}

fn held_words(reason: &str) -> String {
    match reason {
        "" => "an operator holds the target".to_owned(),
        reason => format!("an operator holds the target: {reason}"),
    }
}

/// A target as it is told.
pub fn target(entry: &Entry, lane: LaneStatus, queued: u64) -> proto::Target {
    let pace = match entry.quota.pace {
        Pace::Window => proto::Pace::Window,
        Pace::Smooth => proto::Pace::Smooth,
    };
    let held = lane.held;
    let pause = lane.pause.filter(|_| held.is_none());
    let schema = entry.config.schema.as_ref();
    let schema_for = schema.map_or(&[][..], |schema| &schema.applies_to);
    proto::Target {
        name: entry.config.name.to_string(),
        kind: entry.config.kind.name().to_owned(),
        operation: entry.target.operation(),
        quota: Some(proto::Quota {
            name: entry.quota.name.clone(),
            limits: entry.quota.limits.iter().map(ToString::to_string).collect(),
            pace: pace.into(),
        }),
        chunk_items: entry.config.chunk_items,
        concurrency: entry.config.concurrency,
        all_or_nothing_items: entry.atomic_items().unwrap_or(0),
        cost: Some(proto::Cost {
            base: entry.config.cost.base,
            per_item: entry.config.cost.per_item,
        }),
        request_items: entry.target.request_items(),
        status: Some(proto::TargetStatus {
            queued_items: u32::try_from(queued).unwrap_or(u32::MAX),
            in_flight: lane.in_flight,
            requests_last_second: lane.requests_last_second,
            paused_until: pause.as_ref().map(|pause| time(pause.until_ms)),
            pause_reason: match &held {
                Some(held) => held_words(&held.reason),
                None => pause.map(|pause| pause.reason).unwrap_or_default(),
            },
            held_since: held.map(|held| time(held.since_ms)),
        }),
        // It may be large: only for who asks for this target.
        item_schema: String::new(),
        item_schema_for: schema_for
            .iter()
            .map(|kind| kind.name().to_owned())
            .collect(),
    }
}

fn time(ms: i64) -> Timestamp {
    Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos: i32::try_from(ms.rem_euclid(1_000) * 1_000_000).unwrap_or(0),
    }
}
