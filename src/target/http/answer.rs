//! Sorts answers by what they prove. Pure: a head and a body in, a reply out.
//!
//! The status line is the answer. A 2xx whose body was cut off is a success,
//! and a 4xx a refusal, with `truncated` set: the target had decided before it
//! began to write. Nothing else of what is not an answer gets here.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use jiff::fmt::rfc2822;
use serde::de::IgnoredAny;

use super::complaint::{Complaint, clean};
use crate::core::json::nesting;
use crate::model::{Answer, Cause, Form, Payload, Reply, Violation};

/// How one target's answers are to be read.
#[derive(Clone, Copy, Debug)]
pub(in crate::target) struct Reading {
    /// 503 with `Retry-After` proves that nothing was done.
    pub busy_503: bool,
    /// The longest pause that a `Retry-After` can ask for.
    pub max_retry_after: Duration,
}

/// As much of a body as was kept.
#[derive(Clone, Debug, Default)]
pub(in crate::target) struct Body {
    pub bytes: Bytes,
    /// There was more, or might have been.
    pub truncated: bool,
}

/// Nesting up to which a reply is given back as a `Struct`: every level takes
/// up to three of the hundred that protobuf's decoders allow.
const STRUCT_NESTING: usize = 30;
/// Characters of a media type, and of an address, that are told.
const TEXT_LIMIT: usize = 255;

impl Reading {
    /// What an answer proves. `form` is how the item's payload was written;
    /// `now_ms` is the wall time.
    pub(in crate::target) fn reply(
        self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Body,
        form: Option<Form>,
        now_ms: i64,
    ) -> Reply {
        let retry_after = self.retry_after(headers, now_ms);
        let content_type = text(headers, &CONTENT_TYPE);
        let complaint = if status.is_success() {
            Complaint::default()
        } else {
            Complaint::read(content_type.as_deref(), &body.bytes)
        };
        let answer = Answer {
            status: status.as_u16(),
            truncated: body.truncated,
            body: payload(content_type, body.bytes, form),
        };
        if status.is_success() {
            return Reply::Ok(answer);
        }
        let plain = || format!("the target answered {}", named(status));
        let message = match complaint.message {
            _ if status.is_redirection() => redirect(status, headers),
            Some(message) => message,
            None if complaint.violations.is_empty() => plain(),
            None => named_fields(&complaint.violations),
        };
        let mut cause = Box::new(Cause {
            reason: format!("HTTP_{}", status.as_u16()),
            message,
            violations: complaint.violations,
            answer: Some(answer),
            retry_after: None,
        });
        match status.as_u16() {
            429 => {
                cause.retry_after = retry_after;
                Reply::Busy(cause)
            }
            503 if self.busy_503 && retry_after.is_some() => {
                cause.retry_after = retry_after;
                Reply::Busy(cause)
            }
            // Too slow and too early are said of the transport, not of the
            // item's data: another try may do better, where one is safe.
            408 | 425 | 500.. => Reply::Fault(cause),
            _ => Reply::Refused(cause),
        }
    }

    /// The pause that the head of an answer asks for, where it does.
    pub(in crate::target) fn pause(
        self,
        status: StatusCode,
        headers: &HeaderMap,
        now_ms: i64,
    ) -> Option<Duration> {
        let is_busy = match status.as_u16() {
            429 => true,
            503 => self.busy_503,
            _ => false,
        };
        let asked = is_busy.then(|| self.retry_after(headers, now_ms));
        asked.flatten()
    }

    /// How long the target asks to be left alone, in seconds or until a date;
    /// what is neither is ignored.
    fn retry_after(self, headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
        let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let asked = if digits {
            // More digits than fit are more than is given.
            Duration::from_secs(text.parse().unwrap_or(u64::MAX))
        } else {
            // A wrong day of the week does not make the time unclear.
            let parser = rfc2822::DateTimeParser::new().relaxed_weekday(true);
            let date = parser.parse_timestamp(text).ok()?;
            let ahead = date.as_millisecond().saturating_sub(now_ms).max(0);
            Duration::from_millis(ahead.unsigned_abs())
        };
        Some(asked.min(self.max_retry_after))
    }
}

/// A status with its name, e.g. `422 Unprocessable Entity`.
fn named(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(name) => format!("{} {name}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

/// What a target said that named fields and no more, e.g. `email: is missing`.
fn named_fields(violations: &[Violation]) -> String {
    /// Fields that are named; the violations have the others.
    const NAMED: usize = 3;
    let named = violations.iter().take(NAMED).map(|violation| {
        let field = violation.field.strip_prefix("payload.");
        format!(
            "{}: {}",
            field.unwrap_or(&violation.field),
            violation.description
        )
    });
    let named: Vec<String> = named.collect();
    named.join("; ")
}

fn redirect(status: StatusCode, headers: &HeaderMap) -> String {
    let to = match text(headers, &LOCATION) {
        Some(place) => format!(", to {place}"),
        None => String::new(),
    };
    format!(
        "the target answered {}{to}; Flowgate does not follow redirects: configure the final address",
        named(status)
    )
}

fn text(headers: &HeaderMap, name: &http::HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(clean(text, TEXT_LIMIT)).filter(|text| !text.is_empty())
}

/// A body in the form that the item used, if it can have that; else as bytes.
pub(in crate::target) fn payload(
    content_type: Option<String>,
    body: Bytes,
    form: Option<Form>,
) -> Option<Payload> {
    if body.is_empty() {
        return None;
    }
    let form = match form {
        Some(Form::Json | Form::JsonText) if is_json(&body) => json(&body, form),
        None if content_type.as_deref().is_some_and(says_json) && is_json(&body) => Form::JsonText,
        _ => Form::Raw,
    };
    Some(Payload {
        form,
        content_type: content_type.filter(|_| form == Form::Raw),
        body,
    })
}

/// The form of what is JSON.
pub(in crate::target) fn json(body: &[u8], form: Option<Form>) -> Form {
    let is_struct = || {
        let is_object = body.trim_ascii_start().first() == Some(&b'{');
        is_object && nesting(body) <= STRUCT_NESTING
    };
    match form {
        Some(Form::Json) if is_struct() => Form::Json,
        Some(Form::Json | Form::Raw) => Form::Raw,
        Some(Form::JsonText) | None => Form::JsonText,
    }
}

/// Whether a media type is JSON or something made of it.
pub(in crate::target) fn says_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

fn is_json(body: &[u8]) -> bool {
    // JSON text is UTF-8, which skipping a string does not check.
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

#[cfg(test)]
mod tests;
