//! What clients ask for.

use bytes::Bytes;
use prost::Message;
use prost_types::{Struct, Value, value};

use crate::intake::Draft;
use crate::model::{
    Action, Atomicity, BatchSpec, Code, Echo, FailurePolicy, Form, GrpcCall, HttpCall, Item,
    Operation, Ordering, Payload, Refusal, TargetName, Validation, Verb,
};
use crate::proto;

/// What was asked for.
///
/// # Errors
///
/// An enum value that this server does not know is refused, never ignored.
pub fn spec(spec: Option<proto::BatchSpec>) -> Result<BatchSpec, Refusal> {
    let spec = spec.unwrap_or_default();
    let validation = match proto::ValidationMode::try_from(spec.validation) {
        Ok(proto::ValidationMode::Unspecified | proto::ValidationMode::Item) => Validation::Item,
        Ok(proto::ValidationMode::Batch) => Validation::Batch,
        Err(_) => return Err(unknown_value("spec.validation", spec.validation)),
    };
    let echo = match proto::Echo::try_from(spec.echo) {
        Ok(proto::Echo::Unspecified | proto::Echo::Failed) => Echo::Failed,
        Ok(proto::Echo::None) => Echo::None,
        Ok(proto::Echo::All) => Echo::All,
        Err(_) => return Err(unknown_value("spec.echo", spec.echo)),
    };
    let ordering = match proto::Ordering::try_from(spec.ordering) {
        Ok(proto::Ordering::Unspecified | proto::Ordering::Parallel) => Ordering::Parallel,
        Ok(proto::Ordering::Strict) => Ordering::Strict,
        Err(_) => return Err(unknown_value("spec.ordering", spec.ordering)),
    };
    let atomicity = match proto::Atomicity::try_from(spec.atomicity) {
        Ok(proto::Atomicity::Unspecified | proto::Atomicity::Each) => Atomicity::Each,
        Ok(proto::Atomicity::AllOrNothing) => Atomicity::AllOrNothing,
        Err(_) => return Err(unknown_value("spec.atomicity", spec.atomicity)),
    };
    let deadline_ms = spec.deadline.map(time).transpose()?;
    let policy = spec.failure_policy.unwrap_or_default();
    let failure_policy = FailurePolicy {
        stop_after: policy.stop_after,
        stop_at_share: policy.stop_at_share,
    };
    Ok(BatchSpec {
        target: TargetName::new(&spec.target),
        request_id: (!spec.request_id.is_empty()).then_some(spec.request_id),
        labels: spec.labels,
        validation,
        echo,
        ordering,
        atomicity,
        deadline_ms,
        failure_policy,
    })
}

/// A time in milliseconds since 1970.
fn time(time: prost_types::Timestamp) -> Result<i64, Refusal> {
    /// The years that a timestamp can say.
    const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    let is_one = RANGE.contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos);
    if is_one {
        return Ok(time.seconds * 1_000 + i64::from(time.nanos / 1_000_000));
    }
    let wrong = "is not a time; write e.g. 2030-01-31T12:00:00Z";
    Err(Refusal::new(
        Code::InvalidArgument,
        "INVALID_SPEC",
        format!("spec.deadline {wrong}"),
    )
    .field("spec.deadline", wrong))
}

/// An enum value that this server does not know.
pub fn unknown_value(field: &str, value: i32) -> Refusal {
    let description = format!("{value} is not a value that this server knows");
    Refusal::new(
        Code::InvalidArgument,
        "INVALID_SPEC",
        format!("{field}: {description}"),
    )
    .field(field, description)
}

/// Items as they came.
pub fn drafts(items: Vec<proto::Item>) -> Vec<Draft> {
    items.into_iter().map(draft).collect()
}

fn draft(item: proto::Item) -> Draft {
    let bytes = item.encoded_len();
    let mut fault = None;
    let payload = item.payload.map(payload_in).transpose();
    let operation = operation_in(item.operation);
    let item = Item {
        index: 0,
        id: (!item.id.is_empty()).then_some(item.id),
        key: (!item.idempotency_key.is_empty()).then_some(item.idempotency_key),
        payload: payload.unwrap_or_else(|wrong| {
            fault = Some(Box::new(wrong));
            None
        }),
        operation: operation.unwrap_or_else(|wrong| {
            fault = Some(Box::new(wrong));
            Operation::Target
        }),
    };
    Draft { item, bytes, fault }
}

fn payload_in(payload: proto::Payload) -> Result<Payload, Refusal> {
    use proto::payload::Content;
    let (form, body) = match payload.content {
        None => {
            return Err(fault(
                "EMPTY_PAYLOAD",
                "payload",
                "says none of json, json_text and raw; leave the payload out for an empty body",
            ));
        }
        Some(Content::Json(json)) => {
            let text = serde_json::to_vec(&object(json)?);
            (Form::Json, Bytes::from(text.unwrap_or_default()))
        }
        Some(Content::JsonText(text)) => (Form::JsonText, Bytes::from(text)),
        Some(Content::Raw(raw)) => (Form::Raw, raw),
    };
    Ok(Payload {
        form,
        content_type: (!payload.content_type.is_empty()).then_some(payload.content_type),
        body,
    })
}

fn operation_in(operation: Option<proto::item::Operation>) -> Result<Operation, Refusal> {
    match operation {
        None => Ok(Operation::Target),
        Some(proto::item::Operation::Http(call)) => Ok(Operation::Http(HttpCall {
            method: call.method,
            path: call.path,
            headers: call.headers,
        })),
        Some(proto::item::Operation::Grpc(call)) => Ok(Operation::Grpc(GrpcCall {
            method: call.method,
            metadata: call.metadata,
        })),
        Some(proto::item::Operation::Action(action)) => {
            let verb = match proto::ActionVerb::try_from(action.verb) {
                Ok(proto::ActionVerb::Create) => Verb::Create,
                Ok(proto::ActionVerb::Update) => Verb::Update,
                Ok(proto::ActionVerb::Delete) => Verb::Delete,
                Ok(proto::ActionVerb::Unspecified) | Err(_) => {
                    return Err(fault(
                        "INVALID_ACTION",
                        "action.verb",
                        "must be create, update or delete",
                    ));
                }
            };
            if verb != Verb::Create && action.resource_id.is_empty() {
                return Err(fault(
                    "INVALID_ACTION",
                    "action.resource_id",
                    "is needed to update or delete",
                ));
            }
            Ok(Operation::Action(Action {
                verb,
                resource_id: action.resource_id,
            }))
        }
    }
}

fn fault(reason: &'static str, field: &str, wrong: &str) -> Refusal {
    Refusal::new(Code::InvalidArgument, reason, format!("{field} {wrong}")).field(field, wrong)
}

fn object(json: Struct) -> Result<serde_json::Value, Refusal> {
    let fields = json.fields.into_iter();
    let object = fields.map(|(key, value)| Ok((key, json_value(value)?)));
    object
        .collect::<Result<_, _>>()
        .map(serde_json::Value::Object)
}

fn json_value(value: Value) -> Result<serde_json::Value, Refusal> {
    use serde_json::Value as Json;
    Ok(match value.kind {
        None | Some(value::Kind::NullValue(_)) => Json::Null,
        Some(value::Kind::BoolValue(truth)) => Json::Bool(truth),
        Some(value::Kind::StringValue(text)) => Json::String(text),
        Some(value::Kind::NumberValue(number)) => number_in(number)?,
        Some(value::Kind::StructValue(json)) => object(json)?,
        Some(value::Kind::ListValue(list)) => {
            let values = list.values.into_iter().map(json_value);
            Json::Array(values.collect::<Result<_, _>>()?)
        }
    })
}

/// A double as JSON writes it: whole numbers without a fraction.
fn number_in(number: f64) -> Result<serde_json::Value, Refusal> {
    /// Up to here, every whole number is a double of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
    let value = if number.fract() == 0.0 && number.abs() <= EXACT {
        Some((number as i64).into())
    } else {
        serde_json::Number::from_f64(number)
    };
    value.map(serde_json::Value::Number).ok_or_else(|| {
        fault(
            "INVALID_JSON",
            "payload.json",
            "has a number that JSON cannot say (NaN or infinite)",
        )
    })
}
