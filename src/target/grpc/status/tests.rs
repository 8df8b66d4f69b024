use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use prost_types::Any;

use super::*;
use crate::proto::error_details::bad_request::FieldViolation;

const READING: Reading = Reading {
    busy_503: false,
    max_retry_after: Duration::from_mins(10),
};

fn map(entries: &[(&'static str, &str)]) -> HeaderMap {
    let entry = |(name, value): &(&'static str, &str)| {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
        (HeaderName::from_static(name), value)
    };
    entries.iter().map(entry).collect()
}

/// What trailers say.
fn reply(reading: Reading, trailers: &[(&'static str, &str)]) -> Option<Reply> {
    let (headers, trailers) = (HeaderMap::new(), map(trailers));
    let status = Statuses(reading).read(StatusCode::OK, &headers, &trailers, false, 0)?;
    Some(status.reply(|answer| answer))
}

/// In short: the kind, the code, the reason.
fn short(reply: &Reply) -> String {
    let (kind, cause) = match reply {
        Reply::Ok(answer) => return format!("ok {}", answer.status),
        Reply::Refused(cause) => ("refused", cause),
        Reply::Busy(cause) => ("busy", cause),
        Reply::Fault(cause) => ("fault", cause),
        Reply::Unknown(cause) => ("unknown", cause),
        Reply::Unsent(cause) => ("unsent", cause),
        Reply::RolledBack(cause) => ("rolled back", cause),
    };
    let status = cause.answer.as_ref().expect("an answer").status;
    format!("{kind} {status} {}", cause.reason)
}

fn cause(reply: &Reply) -> &Cause {
    match reply {
        Reply::Refused(cause) | Reply::Busy(cause) | Reply::Fault(cause) => cause,
        other => panic!("{other:?}"),
    }
}

/// `grpc-status-details-bin` with some details.
fn details(details: Vec<(&str, Vec<u8>)>) -> String {
    let details = details.into_iter().map(|(name, value)| Any {
        type_url: format!("type.googleapis.com/google.rpc.{name}"),
        value,
    });
    let rich = Rich {
        code: 3,
        message: "another".to_owned(),
        details: details.collect(),
    };
    STANDARD.encode(rich.encode_to_vec())
}

#[test]
fn each_code_proves_what_it_proves() {
    for (code, expected) in [
        ("0", "ok 0"),
        ("1", "unknown 1 GRPC_CANCELLED"),
        ("2", "fault 2 GRPC_UNKNOWN"),
        ("3", "refused 3 GRPC_INVALID_ARGUMENT"),
        ("4", "unknown 4 GRPC_DEADLINE_EXCEEDED"),
        ("5", "refused 5 GRPC_NOT_FOUND"),
        ("6", "refused 6 GRPC_ALREADY_EXISTS"),
        ("7", "refused 7 GRPC_PERMISSION_DENIED"),
        ("8", "busy 8 GRPC_RESOURCE_EXHAUSTED"),
        ("9", "refused 9 GRPC_FAILED_PRECONDITION"),
        ("10", "fault 10 GRPC_ABORTED"),
        ("11", "refused 11 GRPC_OUT_OF_RANGE"),
        ("12", "refused 12 GRPC_UNIMPLEMENTED"),
        ("13", "fault 13 GRPC_INTERNAL"),
        ("14", "fault 14 GRPC_UNAVAILABLE"),
        ("15", "fault 15 GRPC_DATA_LOSS"),
        ("16", "refused 16 GRPC_UNAUTHENTICATED"),
        ("17", "fault 2 GRPC_UNKNOWN"),
        ("65535", "fault 2 GRPC_UNKNOWN"),
    ] {
        let reply = reply(READING, &[("grpc-status", code)]).expect("a status");
        assert_eq!(short(&reply), expected);
    }
    for garbage in ["", "x", "-1", "0x0", "65536", "0 ", "é"] {
        assert_eq!(
            reply(READING, &[("grpc-status", garbage)]),
            None,
            "{garbage}"
        );
    }
    assert_eq!(reply(READING, &[("grpc-message", "no status")]), None);
}

#[test]
fn http_is_told_from_grpc() {
    let busy = Reading {
        busy_503: true,
        ..READING
    };
    let in_5_s = [("retry-after", "5")];
    for (reading, http, headers, expected) in [
        (READING, 400, &[][..], "refused 13 HTTP_400"),
        (READING, 401, &[], "refused 16 HTTP_401"),
        (READING, 403, &[], "refused 7 HTTP_403"),
        (READING, 404, &[], "refused 12 HTTP_404"),
        (READING, 413, &[], "refused 2 HTTP_413"),
        (READING, 408, &[], "fault 2 HTTP_408"),
        (READING, 429, &[], "busy 14 HTTP_429"),
        (READING, 429, &in_5_s, "busy 14 HTTP_429"),
        (READING, 302, &[], "fault 2 HTTP_302"),
        (READING, 204, &[], "fault 2 HTTP_204"),
        (READING, 500, &[], "fault 2 HTTP_500"),
        (READING, 502, &[], "fault 14 HTTP_502"),
        (READING, 503, &[], "fault 14 HTTP_503"),
        (READING, 503, &in_5_s, "fault 14 HTTP_503"),
        (READING, 504, &[], "fault 14 HTTP_504"),
        (busy, 503, &[], "fault 14 HTTP_503"),
        (busy, 503, &in_5_s, "busy 14 HTTP_503"),
        (busy, 504, &in_5_s, "fault 14 HTTP_504"),
        // A status is a status, whatever HTTP says.
        (
            READING,
            503,
            &[("grpc-status", "5")],
            "refused 5 GRPC_NOT_FOUND",
        ),
    ] {
        let http = StatusCode::from_u16(http).expect("a status");
        let (headers, none) = (map(headers), HeaderMap::new());
        let status = Statuses(reading).read(http, &headers, &none, true, 0);
        let reply = status.expect("a status").reply(|answer| answer);
        assert_eq!(short(&reply), expected);
        let asked = headers.contains_key("retry-after") && matches!(reply, Reply::Busy(_));
        let retry_after = asked.then_some(Duration::from_secs(5));
        if !matches!(reply, Reply::Ok(_)) {
            assert_eq!(cause(&reply).retry_after, retry_after, "{expected}");
        }
    }
    let none = HeaderMap::new();
    assert_eq!(
        Statuses(READING).read(StatusCode::OK, &none, &none, true, 0),
        None
    );
}

#[test]
fn a_status_in_the_headers_counts_only_where_nothing_follows() {
    let ok = map(&[("grpc-status", "0")]);
    let refused = map(&[("grpc-status", "5")]);
    let none = HeaderMap::new();
    let read = |headers, trailers, is_bare| {
        let status = Statuses(READING).read(StatusCode::OK, headers, trailers, is_bare, 0);
        status.map(|status| status.code)
    };
    assert_eq!(read(&refused, &none, true), Some(5));
    assert_eq!(read(&ok, &none, false), None);
    assert_eq!(read(&ok, &refused, false), Some(5));
    assert_eq!(read(&ok, &refused, true), Some(5));
}

#[test]
fn a_message_is_decoded_and_made_fit_to_be_shown() {
    for (sent, told) in [
        ("no%20such guest", "no such guest"),
        ("Zo%C3%AB", "Zoë"),
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("%0D%0Aevil%00", "evil"),
        ("%FF", "\u{fffd}"),
        ("", "the target answered NOT_FOUND"),
    ] {
        let trailers = [("grpc-status", "5"), ("grpc-message", sent)];
        let reply = reply(READING, &trailers).expect("a status");
        assert_eq!(cause(&reply).message, told, "{sent}");
    }
    let long = "a".repeat(5_000);
    let trailers = [("grpc-status", "5"), ("grpc-message", &long)];
    let reply = reply(READING, &trailers).expect("a status");
    assert!(cause(&reply).message.chars().count() <= MESSAGE_LIMIT);
}

#[test]
fn details_name_the_reason_and_the_fields() {
    let info = ErrorInfo {
        reason: "EMAIL_TAKEN".to_owned(),
        ..ErrorInfo::default()
    };
    let violation = |field: &str, description: &str| FieldViolation {
        field: field.to_owned(),
        description: description.to_owned(),
        ..FieldViolation::default()
    };
    let bad = BadRequest {
        field_violations: vec![
            violation("email", "is registered already"),
            violation("others[1].city", "is\r\nmissing"),
        ],
    };
    let encoded = details(vec![
        ("ErrorInfo", info.encode_to_vec()),
        ("BadRequest", bad.encode_to_vec()),
        ("Help", vec![1, 2, 3]),
    ]);
    for sent in [encoded.as_str(), encoded.trim_end_matches('=')] {
        let trailers = [
            ("grpc-status", "3"),
            ("grpc-message", "no"),
            ("grpc-status-details-bin", sent),
        ];
        let reply = reply(READING, &trailers).expect("a status");
        assert_eq!(short(&reply), "refused 3 EMAIL_TAKEN");
        let cause = cause(&reply);
        assert_eq!(cause.message, "no");
        let named = cause.violations.iter();
        let named: Vec<(&str, &str)> = named
            .map(|violation| (&violation.field[..], &violation.description[..]))
            .collect();
        let expected = [
            ("payload.email", "is registered already"),
            ("payload.others[1].city", "is missing"),
        ];
        assert_eq!(named, expected);
    }
}

#[test]
fn details_that_are_garbage_change_nothing() {
    let reason = |reason: &str| {
        let info = ErrorInfo {
            reason: reason.to_owned(),
            ..ErrorInfo::default()
        };
        details(vec![("ErrorInfo", info.encode_to_vec())])
    };
    for sent in [
        "!".to_owned(),
        STANDARD.encode([0xff; 20]),
        details(vec![("ErrorInfo", vec![0xff]), ("BadRequest", vec![0xff])]),
        details(vec![("RetryInfo", vec![0xff])]),
        reason(""),
        reason("no reason"),
        reason(&"A".repeat(1_000)),
    ] {
        let trailers = [("grpc-status", "3"), ("grpc-status-details-bin", &sent)];
        let reply = reply(READING, &trailers).expect("a status");
        assert_eq!(short(&reply), "refused 3 GRPC_INVALID_ARGUMENT");
        assert!(cause(&reply).violations.is_empty());
    }
    let violations = vec![FieldViolation::default(); 1_000];
    let bad = BadRequest {
        field_violations: violations,
    };
    let sent = details(vec![("BadRequest", bad.encode_to_vec())]);
    let trailers = [("grpc-status", "3"), ("grpc-status-details-bin", &sent)];
    let reply = reply(READING, &trailers).expect("a status");
    assert_eq!(cause(&reply).violations.len(), VIOLATIONS);
}

#[test]
fn a_pause_is_taken_from_whoever_may_ask_for_one() {
    let retry = |seconds| {
        let delay = prost_types::Duration { seconds, nanos: 0 };
        let info = RetryInfo {
            retry_delay: Some(delay),
        };
        details(vec![("RetryInfo", info.encode_to_vec())])
    };
    let busy = Reading {
        busy_503: true,
        ..READING
    };
    let (in_3_s, in_a_day, never) = (retry(3), retry(86_400), retry(-3));
    let details = |text| ("grpc-status-details-bin", text);
    let (pushback, garbage) = (
        ("grpc-retry-pushback-ms", "250"),
        ("grpc-retry-pushback-ms", "-1"),
    );
    for (reading, code, entry, expected, pause) in [
        (
            READING,
            "8",
            Some(details(&in_3_s[..])),
            "busy",
            Some(3_000),
        ),
        (
            READING,
            "8",
            Some(details(&in_a_day)),
            "busy",
            Some(600_000),
        ),
        (READING, "8", Some(details(&never)), "busy", None),
        (READING, "8", Some(pushback), "busy", Some(250)),
        (READING, "8", Some(garbage), "busy", None),
        (READING, "8", None, "busy", None),
        // Only where it is configured to prove anything.
        (READING, "14", Some(details(&in_3_s)), "fault", None),
        (busy, "14", Some(details(&in_3_s)), "busy", Some(3_000)),
        (busy, "14", Some(pushback), "busy", Some(250)),
        (busy, "14", None, "fault", None),
        (busy, "13", Some(details(&in_3_s)), "fault", None),
        (busy, "3", Some(details(&in_3_s)), "refused", None),
    ] {
        let trailers: Vec<_> = [("grpc-status", code)].into_iter().chain(entry).collect();
        let reply = reply(reading, &trailers).expect("a status");
        let kind = short(&reply);
        assert!(kind.starts_with(expected), "{code}: {kind}");
        let pause = pause.map(Duration::from_millis);
        assert_eq!(cause(&reply).retry_after, pause, "{code} {entry:?}");
    }
}

#[test]
fn a_message_that_is_too_large_is_not_a_target_that_is_busy() {
    for (message, expected) in [
        (
            "grpc: received message larger than max (5 vs. 4)",
            "refused",
        ),
        (
            "SERVER: Received message larger than max (5 vs. 4)",
            "refused",
        ),
        ("gRPC message exceeds maximum size 4: 5", "refused"),
        // The reply is what is too large: the method has run.
        ("trying to send message larger than max (5 vs. 4)", "fault"),
        ("SERVER: Sent message larger than max (5 vs. 4)", "fault"),
        ("quota exceeded: 100 requests a second", "busy"),
    ] {
        let trailers = [("grpc-status", "8"), ("grpc-message", message)];
        let reply = reply(READING, &trailers).expect("a status");
        let expected = format!("{expected} 8 GRPC_RESOURCE_EXHAUSTED");
        assert_eq!(short(&reply), expected, "{message}");
    }
}
