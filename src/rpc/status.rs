//! Errors on the wire. The only place that makes a `tonic::Status`.

use std::time::Duration;

use prost::Message;
use prost_types::Any;
use tonic::Status;

use crate::model::{Batch, Code, Failure, FailureKind, Refusal, Violation};
use crate::proto;
use crate::proto::error_details::bad_request::FieldViolation;
use crate::proto::error_details::{BadRequest, ErrorInfo, QuotaFailure, RetryInfo, quota_failure};

/// The domain of every [`ErrorInfo`].
const DOMAIN: &str = "flowgate";

/// The most that an error takes in trailers, message and details together:
/// larger ones break real clients (grpcio fails at random from about 6.5 KB).
const MAX_BYTES: usize = 4096;

/// The most characters of a message.
const MAX_MESSAGE: usize = 512;

/// The most characters of a value in the metadata: some are the caller's own.
const MAX_VALUE: usize = 128;

/// The most characters of a field's description.
const MAX_DESCRIPTION: usize = 160;

/// A refusal as gRPC says it.
pub fn status(refusal: &Refusal) -> Status {
    let code = code(refusal.code);
    let mut length = MAX_MESSAGE;
    let info = any(
        "ErrorInfo",
        &ErrorInfo {
            reason: refusal.reason.to_owned(),
            domain: DOMAIN.to_owned(),
            metadata: refusal
                .metadata
                .iter()
                .map(|(name, value)| (name.clone(), cut(value, MAX_VALUE)))
                .collect(),
        },
    );
    let retry = refusal.retry_after.map(retry_info);
    let quota = (refusal.code == Code::ResourceExhausted).then(|| quota_failure(refusal));
    let mut named = refusal.violations.len();
    loop {
        let message = cut(&refusal.message, length);
        let bad = (named > 0).then(|| bad_request(&refusal.violations[..named]));
        let details = [Some(info.clone()), bad, retry.clone(), quota.clone()];
        let whole = tonic_types::Status {
            code: code as i32,
            message: message.clone(),
            details: details.into_iter().flatten().collect(),
        };
        // Details travel in base64, the message percent-encoded.
        let bytes = whole.encoded_len().div_ceil(3) * 4 + percent_len(&message);
        if bytes <= MAX_BYTES || length == 0 {
            return Status::with_details(code, message, whole.encode_to_vec().into());
        }
        // A message of a caller's own words may take nine times its length.
        if named > 0 {
            named -= 1;
        } else {
            length /= 2;
        }
    }
}

/// What tonic and tower refuse by themselves, said as the contract says it: a
/// message that cannot be read is the caller's fault, not the server's. `None`
/// for anything else, this service's own refusals among it.
pub fn mend(refused: &Status) -> Option<Refusal> {
    if !refused.details().is_empty() {
        return None;
    }
    let said = refused.message();
    match refused.code() {
        tonic::Code::Internal => Some(Refusal::new(
            Code::InvalidArgument,
            "INVALID_MESSAGE",
            format!(
                "the message cannot be read; if it has a `json` payload nested deeper than about \
                 30 levels, use `json_text`: {said}"
            ),
        )),
        tonic::Code::OutOfRange => Some(Refusal::new(
            Code::InvalidArgument,
            "BATCH_TOO_LARGE",
            format!("{said}; split the batch or use BatchSubmitStream"),
        )),
        tonic::Code::ResourceExhausted => Some(overloaded(
            "the server is at the most calls that it takes at once; try again later",
        )),
        _ => None,
    }
}

/// There is no room just now.
pub fn overloaded(message: &str) -> Refusal {
    let mut refusal = Refusal::new(Code::ResourceExhausted, "OVERLOADED", message);
    refusal.retry_after = Some(Duration::from_secs(1));
    refusal
}

/// The end of a call on a batch of which every item failed.
pub fn all_items_failed(batch: &Batch, failures: &[proto::ItemResult]) -> Refusal {
    let failed = batch.progress.counts.failed_total();
    let mut refusal = Refusal::new(
        Code::FailedPrecondition,
        "ALL_ITEMS_FAILED",
        format!(
            "all {failed} items of batch {} failed; ListBatchResults has every failure",
            batch.id
        ),
    )
    .with("batch_id", batch.id)
    .with("failed", failed);
    for result in failures {
        if let Some(proto::item_result::Outcome::Failure(failure)) = &result.outcome {
            let message = failure.error.as_ref().map_or("", |error| &error.message);
            refusal = refusal.field(format!("items[{}]", result.index), message);
        }
    }
    refusal
}

/// The server is going away.
pub fn shutting_down() -> Refusal {
    let mut refusal = Refusal::new(
        Code::Unavailable,
        "SHUTTING_DOWN",
        "the server is shutting down; what was accepted is kept: connect again and resume",
    );
    refusal.retry_after = Some(Duration::from_secs(1));
    refusal
}

/// An item's failure as a `google.rpc.Status`.
pub fn failure(failure: &Failure) -> tonic_types::Status {
    let mut details = vec![any(
        "ErrorInfo",
        &ErrorInfo {
            reason: failure.reason.clone(),
            domain: DOMAIN.to_owned(),
            ..ErrorInfo::default()
        },
    )];
    if !failure.violations.is_empty() {
        details.push(bad_request(&failure.violations));
    }
    tonic_types::Status {
        code: failure_code(failure) as i32,
        message: failure.message.clone(),
        details,
    }
}

fn failure_code(failure: &Failure) -> tonic::Code {
    use tonic::Code;
    match (failure.kind, failure.status) {
        (FailureKind::Rejected, Some(401)) => Code::Unauthenticated,
        (FailureKind::Rejected, Some(403)) => Code::PermissionDenied,
        (FailureKind::Rejected, Some(404 | 410)) => Code::NotFound,
        (FailureKind::Rejected, Some(409)) => Code::AlreadyExists,
        (FailureKind::Rejected, Some(412)) => Code::FailedPrecondition,
        (FailureKind::Invalid | FailureKind::Rejected, _) => Code::InvalidArgument,
        (FailureKind::Throttled, _) => Code::ResourceExhausted,
        (FailureKind::Unreachable | FailureKind::Unavailable, _) => Code::Unavailable,
        (FailureKind::InDoubt, _) => Code::Unknown,
        (FailureKind::Cancelled, _) => Code::Cancelled,
        (FailureKind::Expired, _) => Code::DeadlineExceeded,
        (FailureKind::Aborted, _) => Code::Aborted,
    }
}

fn code(code: Code) -> tonic::Code {
    match code {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::AlreadyExists => tonic::Code::AlreadyExists,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::OutOfRange => tonic::Code::OutOfRange,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::Internal => tonic::Code::Internal,
    }
}

fn bad_request(violations: &[Violation]) -> Any {
    let field_violations = violations
        .iter()
        .map(|violation| FieldViolation {
            field: violation.field.clone(),
            description: cut(&violation.description, MAX_DESCRIPTION),
            ..FieldViolation::default()
        })
        .collect();
    any("BadRequest", &BadRequest { field_violations })
}

fn retry_info(after: Duration) -> Any {
    let retry_delay = prost_types::Duration::try_from(after).ok();
    any("RetryInfo", &RetryInfo { retry_delay })
}

/// Which budget is used up; they are all the server's own.
fn quota_failure(refusal: &Refusal) -> Any {
    let subject = match refusal.reason {
        "STORE_FULL" => "server:store",
        _ => "server:load",
    };
    let violation = quota_failure::Violation {
        subject: subject.to_owned(),
        description: cut(&refusal.message, MAX_DESCRIPTION),
        ..quota_failure::Violation::default()
    };
    let violations = vec![violation];
    any("QuotaFailure", &QuotaFailure { violations })
}

fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/google.rpc.{name}"),
        value: message.encode_to_vec(),
    }
}

/// The first `most` characters, with a sign that there were more.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// What a text takes as a `grpc-message`.
fn percent_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_graphic() || byte == b' ' {
                1
            } else {
                3
            }
        })
        .sum()
}
