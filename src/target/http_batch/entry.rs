//! What one result of an answer says of its item. Pure.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::value::RawValue;

use super::read::Came;
use crate::config::Results;
use crate::core::pointer::Pointer;
use crate::model::{Answer, Cause, Form, Payload, Reply, Violation};
use crate::target::http::answer::{Body, Reading, json};
use crate::target::http::complaint::{Complaint, clean};

/// Characters of a code, of a field and of a message that are told.
const CODE: usize = 60;
const FIELD: usize = 200;
const MESSAGE: usize = 500;

/// How the results of one target are read.
pub(super) struct Reads {
    status: Option<Pointer>,
    error: Option<Pointer>,
    code: Option<Pointer>,
    message: Option<Pointer>,
    field: Option<Pointer>,
    body: Pointer,
    headers: Option<Pointer>,
    sender_fault: Option<Pointer>,
    busy_codes: Vec<String>,
    fault_codes: Vec<String>,
    /// Bytes of a result that are kept.
    limit: usize,
    reading: Reading,
}

/// What a code means, other than that the item is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Busy,
    Fault,
}

impl Reads {
    pub(super) fn new(results: &Results, limit: usize, reading: Reading) -> Reads {
        Reads {
            status: results.status.clone(),
            error: results.error.clone(),
            code: results.code.clone(),
            message: results.message.clone(),
            field: results.field.clone(),
            body: results.body.clone(),
            headers: results.headers.clone(),
            sender_fault: results.sender_fault.clone(),
            busy_codes: results.busy_codes.clone(),
            fault_codes: results.fault_codes.clone(),
            limit,
            reading,
        }
    }

    /// What a code means, where it is known.
    pub(super) fn verdict(&self, code: &str) -> Option<Verdict> {
        let has = |codes: &[String]| codes.iter().any(|known| known == code);
        if has(&self.busy_codes) {
            Some(Verdict::Busy)
        } else if has(&self.fault_codes) {
            Some(Verdict::Fault)
        } else {
            None
        }
    }

    /// What a result says; `None` where it says nothing that can be read.
    pub(super) fn reply(
        &self,
        came: &Came<'_>,
        entry: &RawValue,
        is_failure: bool,
        form: Option<Form>,
    ) -> Option<Reply> {
        if is_empty(entry) {
            return None;
        }
        let body = self.part(
            came,
            self.body.find(entry).filter(|body| body.get() != "null"),
        );
        if let Some(at) = &self.status {
            let status: u16 = number(at.find(entry)?)?;
            let status = StatusCode::from_u16(status).ok();
            // What is about to come has not been said, and more there is not.
            let status = status.filter(|status| (200..600).contains(&status.as_u16()))?;
            // In a list of failures, nothing is a success.
            if is_failure && status.is_success() {
                return None;
            }
            let headers = self.headers.as_ref().and_then(|at| at.find(entry));
            let headers = headers.map(headers_of).unwrap_or_default();
            let reply = self
                .reading
                .reply(status, &headers, body, form, came.now_ms);
            return Some(self.named(reply, entry));
        }
        let error = self.error.as_ref().and_then(|at| at.find(entry));
        let answer = Answer {
            status: came.status.as_u16(),
            truncated: body.truncated,
            body: payload(&body, form),
        };
        if !is_failure && error.is_none_or(is_nothing) {
            // In an answer that refuses the request, nothing is a success for
            // want of an error.
            return came.status.is_success().then_some(Reply::Ok(answer));
        }
        let complaint = Complaint::read(None, entry.get().as_bytes());
        let plain = || "the target refused the item, and said no more".to_owned();
        let cause = Box::new(Cause {
            reason: "REFUSED".to_owned(),
            message: complaint.message.unwrap_or_else(plain),
            violations: complaint.violations,
            answer: Some(answer),
            retry_after: None,
        });
        Some(self.named(Reply::Refused(cause), entry))
    }

    /// A part of the answer, as it is kept.
    fn part(&self, came: &Came<'_>, part: Option<&RawValue>) -> Body {
        let Some(part) = part else {
            return Body::default();
        };
        let bytes = came.body.bytes.slice_ref(part.get().as_bytes());
        let truncated = bytes.len() > self.limit;
        Body {
            bytes: bytes.slice(..bytes.len().min(self.limit)),
            truncated,
        }
    }

    /// A failure with its code, message and field, and as what its code says it
    /// is.
    fn named(&self, reply: Reply, entry: &RawValue) -> Reply {
        let (mut cause, is_refused) = match reply {
            Reply::Refused(cause) => (cause, true),
            Reply::Fault(cause) => (cause, false),
            other => return other,
        };
        let at = |pointer: &Option<Pointer>| text(pointer.as_ref()?.find(entry)?);
        let code = at(&self.code);
        if let Some(message) = at(&self.message).map(|message| clean(&message, MESSAGE))
            && !message.is_empty()
        {
            cause.message = message;
        }
        if let Some(field) = at(&self.field).map(|field| clean(&field, FIELD))
            && !field.is_empty()
        {
            cause.violations.insert(
                0,
                Violation {
                    field: format!("payload.{field}"),
                    description: cause.message.clone(),
                },
            );
        }
        let verdict = code.as_deref().and_then(|code| self.verdict(code));
        if let Some(reason) = code.as_deref().and_then(reason) {
            cause.reason = reason;
        }
        let sender = self.sender_fault.as_ref().and_then(|at| at.find(entry));
        let is_theirs = sender.is_some_and(|sender| sender.get() == "false");
        match verdict {
            Some(Verdict::Busy) => Reply::Busy(cause),
            None if is_refused && !is_theirs => Reply::Refused(cause),
            _ => Reply::Fault(cause),
        }
    }
}

/// A result's part in the form that its item used.
fn payload(body: &Body, form: Option<Form>) -> Option<Payload> {
    if body.bytes.is_empty() {
        return None;
    }
    let form = match body.truncated {
        true => Form::Raw,
        false => json(&body.bytes, form),
    };
    Some(Payload {
        form,
        content_type: (form == Form::Raw).then(|| "application/json".to_owned()),
        body: body.bytes.clone(),
    })
}

/// A result that is there and says nothing.
fn is_empty(entry: &RawValue) -> bool {
    entry.get() == "null"
}

/// What is where an error would be says that there is none.
fn is_nothing(json: &RawValue) -> bool {
    match json.get() {
        "null" | "false" | "0" | "\"\"" => true,
        text => {
            let inner = text
                .strip_prefix('{')
                .and_then(|text| text.strip_suffix('}'))
                .or_else(|| text.strip_prefix('[')?.strip_suffix(']'));
            inner.is_some_and(|inner| inner.trim().is_empty())
        }
    }
}

/// A text, or a number as a text.
pub(super) fn text(json: &RawValue) -> Option<String> {
    match serde_json::from_str(json.get()).ok()? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A whole number, also as a text.
pub(super) fn number<N: std::str::FromStr>(json: &RawValue) -> Option<N> {
    text(json)?.parse().ok()
}

/// From an object of texts, and lists of them.
fn headers_of(json: &RawValue) -> HeaderMap {
    let members: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json.get()).unwrap_or_default();
    let header = |(name, value): (String, serde_json::Value)| {
        let name = HeaderName::try_from(name).ok()?;
        let value = match value {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Array(all) => all.first()?.as_str()?.to_owned(),
            _ => return None,
        };
        Some((name, HeaderValue::try_from(value).ok()?))
    };
    members.into_iter().filter_map(header).collect()
}

/// A code as a reason: `InvalidMessageContents` is `INVALID_MESSAGE_CONTENTS`.
fn reason(code: &str) -> Option<String> {
    let mut reason = String::new();
    let mut before_is_small = false;
    for c in code.chars().take(CODE) {
        if !c.is_ascii_alphanumeric() {
            if !reason.ends_with('_') && !reason.is_empty() {
                reason.push('_');
            }
            before_is_small = false;
            continue;
        }
        if c.is_ascii_uppercase() && before_is_small {
            reason.push('_');
        }
        before_is_small = !c.is_ascii_uppercase();
        reason.push(c.to_ascii_uppercase());
    }
    let reason = reason.trim_end_matches('_');
    match reason.bytes().next()? {
        b'0'..=b'9' => Some(format!("CODE_{reason}")),
        _ => Some(reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_becomes_a_reason() {
        for (code, expected) in [
            ("InvalidMessageContents", Some("INVALID_MESSAGE_CONTENTS")),
            (
                "AWS.SimpleQueueService.X",
                Some("AWS_SIMPLE_QUEUE_SERVICE_X"),
            ),
            ("406", Some("CODE_406")),
            ("not_found", Some("NOT_FOUND")),
            ("too  many!", Some("TOO_MANY")),
            (
                "Request_ResourceNotFound",
                Some("REQUEST_RESOURCE_NOT_FOUND"),
            ),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(reason(code).as_deref(), expected, "{code}");
        }
    }

    #[test]
    fn what_is_empty_is_no_error() {
        for (json, expected) in [
            ("null", true),
            ("false", true),
            ("0", true),
            ("\"\"", true),
            ("[ ]", true),
            ("{}", true),
            ("1", false),
            ("\"0\"", false),
            ("true", false),
            ("[0]", false),
            ("{\"a\":1}", false),
        ] {
            let raw: &RawValue = serde_json::from_str(json).unwrap();
            assert_eq!(is_nothing(raw), expected, "{json}");
        }
    }
}
