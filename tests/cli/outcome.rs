//! What becomes of an item at the fake server: it succeeds if its field `email`
//! has an `@`. One that begins with `busy` fails in its first batch, and one with
//! the key `known` is answered from the record.

use flowgate::proto::*;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt, pb};

/// The item's JSON.
pub fn text(item: &Item) -> String {
    match item.payload.as_ref().and_then(|p| p.content.as_ref()) {
        Some(payload::Content::JsonText(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// The kind of an item's failure; none of a success.
pub fn kind(result: &ItemResult) -> Option<FailureKind> {
    match &result.outcome {
        Some(item_result::Outcome::Failure(failure)) => Some(failure.kind()),
        _ => None,
    }
}

/// What becomes of an item, in its first batch or a later one.
pub fn outcome(index: u32, item: &Item, first: bool) -> ItemResult {
    let object: serde_json::Value = serde_json::from_str(&text(item)).unwrap();
    let email = object["email"].as_str().unwrap_or_default();
    if first && email.starts_with("busy") {
        let error = error("HTTP_500", "out of order", "");
        return failed(index, item, FailureKind::Unavailable, error, 500);
    }
    if !email.contains('@') {
        let field = "payload.email";
        let error = error("HTTP_422", "validation failed", field);
        return failed(index, item, FailureKind::Rejected, error, 422);
    }
    let reply = Payload {
        content: Some(payload::Content::JsonText(r#"{"ok":true}"#.to_owned())),
        content_type: String::new(),
    };
    let replayed = item.idempotency_key == "known";
    ItemResult {
        index,
        id: id(index, item),
        outcome: Some(item_result::Outcome::Success(Success {
            target_status: 201,
            reply: Some(reply),
            reply_truncated: false,
        })),
        attempts: u32::from(!replayed),
        replayed,
        item: None,
    }
}

/// The failure of an item whose batch its policy stopped.
pub fn aborted(index: u32, item: &Item) -> ItemResult {
    let error = error("FAILURE_POLICY", "stopped before this item was sent", "");
    failed(index, item, FailureKind::Aborted, error, 0)
}

fn failed(
    index: u32,
    item: &Item,
    kind: FailureKind,
    error: pb::Status,
    target_status: u32,
) -> ItemResult {
    ItemResult {
        index,
        id: id(index, item),
        outcome: Some(item_result::Outcome::Failure(Failure {
            kind: kind.into(),
            error: Some(error),
            target_status,
            ..Failure::default()
        })),
        attempts: u32::from(target_status > 0),
        replayed: false,
        item: Some(item.clone()),
    }
}

fn id(index: u32, item: &Item) -> String {
    match item.id.as_str() {
        "" => index.to_string(),
        id => id.to_owned(),
    }
}

fn error(reason: &str, message: &str, field: &str) -> pb::Status {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "flowgate", []);
    if !field.is_empty() {
        details.add_bad_request_violation(field, "must be an e-mail address");
    }
    let status = Status::with_error_details(Code::InvalidArgument, message, details);
    pb::Status::decode(status.details()).unwrap()
}
