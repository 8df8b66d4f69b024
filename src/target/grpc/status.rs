//! Sorts answers of calls by what they prove. Pure: headers, a body and
//! trailers in, a reply out.
//!
//! The status in the trailers is the answer: what it says holds, whatever
//! became of the message before it. No status is no answer.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use prost::Message as _;

use crate::core::headers::binary;
use crate::model::{Answer, Cause, Reply, Violation};
use crate::proto::error_details::{BadRequest, ErrorInfo, RetryInfo};
use crate::target::http::answer::Reading;
use crate::target::http::complaint::{clean, dotted};

/// Characters of a message that are told.
const MESSAGE_LIMIT: usize = 500;
/// The most violations that are told.
const VIOLATIONS: usize = 20;
/// Characters of what is said of a field, and of its path.
const TEXT_LIMIT: usize = 300;
/// Characters of a reason.
const REASON_LIMIT: usize = 63;

/// The codes by their numbers, and what each proves of an item.
///
/// - `CANCELLED`, `DEADLINE_EXCEEDED`: whoever gave up says nothing of how far
///   the work had got; gRPC itself says that it may have been done.
/// - `UNKNOWN`, `INTERNAL`, `DATA_LOSS`: a fault of the target's own, as an
///   HTTP 500: it answered, and may have acted.
/// - `UNAVAILABLE`: as an HTTP 503. It reads like "nothing was done", but comes
///   from proxies too, whose backend had the call already.
/// - `ABORTED`: lost a race. As a rule nothing was done, but no code says so;
///   untouched, the item may do better, so that it is not the item's fault.
/// - `RESOURCE_EXHAUSTED`: as an HTTP 429.
/// - the others: the target looked at the item and will not have it.
const CODES: [(&str, Proves); 17] = [
    ("OK", Proves::Done),
    ("CANCELLED", Proves::Nothing),
    ("UNKNOWN", Proves::Fault),
    ("INVALID_ARGUMENT", Proves::Refused),
    ("DEADLINE_EXCEEDED", Proves::Nothing),
    ("NOT_FOUND", Proves::Refused),
    ("ALREADY_EXISTS", Proves::Refused),
    ("PERMISSION_DENIED", Proves::Refused),
    ("RESOURCE_EXHAUSTED", Proves::Busy),
    ("FAILED_PRECONDITION", Proves::Refused),
    ("ABORTED", Proves::Fault),
    ("OUT_OF_RANGE", Proves::Refused),
    ("UNIMPLEMENTED", Proves::Refused),
    ("INTERNAL", Proves::Fault),
    ("UNAVAILABLE", Proves::Fault),
    ("DATA_LOSS", Proves::Fault),
    ("UNAUTHENTICATED", Proves::Refused),
];

const UNKNOWN: u16 = 2;
const PERMISSION_DENIED: u16 = 7;
const RESOURCE_EXHAUSTED: u16 = 8;
pub(super) const UNIMPLEMENTED: u16 = 12;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

/// What a code proves of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proves {
    Done,
    Refused,
    /// It did nothing, because it is asked too much.
    Busy,
    /// It answered, and may have acted.
    Fault,
    /// It may have acted, and may still.
    Nothing,
}

/// How one target's statuses are to be read: `UNAVAILABLE` as HTTP's 503.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statuses(pub Reading);

/// What a call came to.
#[derive(Debug, PartialEq)]
pub(super) struct Status {
    /// gRPC's number.
    pub code: u16,
    proves: Proves,
    cause: Cause,
}

/// A status with details, as it travels: `google.rpc.Status`.
#[derive(Clone, PartialEq, prost::Message)]
struct Rich {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

impl Statuses {
    /// What an answer says, if it says it: in its trailers; in its headers,
    /// where there is nothing else; or by its HTTP status, where whoever
    /// answered was no gRPC service. `is_bare` is an answer without a body;
    /// `now_ms` is the wall time.
    pub(super) fn read(
        self,
        http: StatusCode,
        headers: &HeaderMap,
        trailers: &HeaderMap,
        is_bare: bool,
        now_ms: i64,
    ) -> Option<Status> {
        let whole = [trailers, headers];
        let holds = |map: &&HeaderMap| map.contains_key("grpc-status");
        let places = if is_bare { &whole[..] } else { &whole[..1] };
        match places.iter().copied().find(|map| holds(map)) {
            Some(map) => self.said(map),
            None if http == StatusCode::OK => None,
            None => Some(self.by_http(http, headers, now_ms)),
        }
    }

    fn said(self, map: &HeaderMap) -> Option<Status> {
        let text = map.get("grpc-status")?.to_str().ok()?;
        let code: u16 = text.parse().ok()?;
        // What there is no name for is no success, and says no more.
        let (code, (name, proves)) = match CODES.get(usize::from(code)) {
            Some(known) => (code, *known),
            None => (UNKNOWN, CODES[usize::from(UNKNOWN)]),
        };
        let text = map.get("grpc-message").map(|text| decoded(text.as_bytes()));
        let mut cause = Cause {
            reason: format!("GRPC_{name}"),
            message: clean(&text.unwrap_or_default(), MESSAGE_LIMIT),
            ..Cause::default()
        };
        let proves = sized(code, &cause.message).unwrap_or(proves);
        detail(map, &mut cause);
        if cause.message.is_empty() {
            cause.message = format!("the target answered {name}");
        }
        let Reading {
            busy_503,
            max_retry_after,
        } = self.0;
        let pause = cause.retry_after.take();
        let proves = match pause {
            Some(_) if code == UNAVAILABLE && busy_503 => Proves::Busy,
            _ => proves,
        };
        if proves == Proves::Busy {
            cause.retry_after = pause.map(|pause| pause.min(max_retry_after));
        }
        Some(Status {
            code,
            proves,
            cause,
        })
    }

    /// Where no gRPC service answered, but a proxy before it or something else.
    /// The code is the one that gRPC assigns; what is proven, HTTP says.
    fn by_http(self, http: StatusCode, headers: &HeaderMap, now_ms: i64) -> Status {
        let number = http.as_u16();
        let code = match number {
            400 | 431 => INTERNAL,
            401 => UNAUTHENTICATED,
            403 => PERMISSION_DENIED,
            404 => UNIMPLEMENTED,
            429 | 502 | 503 | 504 => UNAVAILABLE,
            _ => UNKNOWN,
        };
        let pause = self.0.pause(http, headers, now_ms);
        let proves = match number {
            429 => Proves::Busy,
            503 if pause.is_some() => Proves::Busy,
            408 | 425 => Proves::Fault,
            400..500 => Proves::Refused,
            _ => Proves::Fault,
        };
        let name = http.canonical_reason().unwrap_or("without a name");
        let cause = Cause {
            reason: format!("HTTP_{number}"),
            message: format!("no gRPC service answered, but HTTP did: {number} {name}"),
            retry_after: pause,
            ..Cause::default()
        };
        Status {
            code,
            proves,
            cause,
        }
    }
}

impl Status {
    /// The pause that it asks for, where it does.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.cause.retry_after
    }

    /// What it says, for people.
    pub(super) fn message(&self) -> &str {
        &self.cause.message
    }

    /// Whether the call was done.
    pub(super) fn is_ok(&self) -> bool {
        self.proves == Proves::Done
    }

    /// What it comes to; `answer` is for the call that was done.
    pub(super) fn reply(self, answer: impl FnOnce(Answer) -> Answer) -> Reply {
        let plain = Answer {
            status: self.code,
            ..Answer::default()
        };
        if self.proves == Proves::Done {
            return Reply::Ok(answer(plain));
        }
        let cause = Box::new(Cause {
            answer: Some(plain),
            ..self.cause
        });
        match self.proves {
            Proves::Done | Proves::Nothing => Reply::Unknown(cause),
            Proves::Refused => Reply::Refused(cause),
            Proves::Busy => Reply::Busy(cause),
            Proves::Fault => Reply::Fault(cause),
        }
    }
}

/// What libraries say where a message is too large for them: of the call,
/// which they then have not passed on; or of its reply.
fn sized(code: u16, message: &str) -> Option<Proves> {
    let says = |words: &str| message.contains(words);
    if code != RESOURCE_EXHAUSTED {
        return None;
    }
    // grpc-go and grpc-core of a reply, which the method had made by then.
    if says("trying to send message larger than max") || says("Sent message larger than max") {
        return Some(Proves::Fault);
    }
    // grpc-go, grpc-core, grpc-js; grpc-java.
    let too_large = says("eceived message larger than max") || says("message exceeds maximum size");
    too_large.then_some(Proves::Refused)
}

/// What the details say: the reason, the fields, when to come again.
fn detail(map: &HeaderMap, cause: &mut Cause) {
    let pushback = map.get("grpc-retry-pushback-ms");
    let pushback = pushback.and_then(|text| text.to_str().ok()?.parse().ok());
    cause.retry_after = pushback.map(Duration::from_millis);
    let bytes = map.get("grpc-status-details-bin");
    let bytes = bytes.and_then(binary);
    let rich = bytes.and_then(|bytes| Rich::decode(&bytes[..]).ok());
    for detail in rich.map(|rich| rich.details).unwrap_or_default() {
        let name = detail.type_url.rsplit('/').next().unwrap_or_default();
        let value = &detail.value[..];
        match name {
            "google.rpc.ErrorInfo" => {
                let info = ErrorInfo::decode(value).ok();
                if let Some(info) = info.filter(|info| is_reason(&info.reason)) {
                    cause.reason = info.reason;
                }
            }
            "google.rpc.BadRequest" => {
                let bad = BadRequest::decode(value).unwrap_or_default();
                let room = VIOLATIONS - cause.violations.len();
                let named = bad.field_violations.into_iter().take(room);
                cause.violations.extend(named.map(|named| Violation {
                    field: clean(&dotted(&named.field), TEXT_LIMIT),
                    description: clean(&named.description, TEXT_LIMIT),
                }));
            }
            "google.rpc.RetryInfo" => {
                let delay = RetryInfo::decode(value).unwrap_or_default().retry_delay;
                let delay = delay.and_then(|delay| Duration::try_from(delay).ok());
                cause.retry_after = delay.or(cause.retry_after);
            }
            _ => {}
        }
    }
}

/// Whether it is a reason as programs expect one.
fn is_reason(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !text.is_empty() && text.len() <= REASON_LIMIT && text.chars().all(plain)
}

/// A message as it was before it was percent-encoded; what is not encoded
/// right is left as it is.
fn decoded(text: &[u8]) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        let byte = match (first, after) {
            (b'%', [high, low, ..]) => digit(high).zip(digit(low)),
            _ => None,
        };
        let byte = byte.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests;
