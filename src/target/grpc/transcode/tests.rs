use bytes::Bytes;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use serde_json::{Value, json};

use super::super::frame::PREFIX;
use super::*;

fn message(name: &str) -> MessageDescriptor {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grpc");
    let files = protox::compile(["guests/v1/guests.proto"], [root]).expect("good descriptors");
    let pool = DescriptorPool::from_file_descriptor_set(files).expect("a pool");
    pool.get_message_by_name(name).expect("a message")
}

fn request() -> MessageDescriptor {
    message("guests.v1.CreateGuestRequest")
}

/// What is left of a JSON text that became a message.
fn round_trip(input: &MessageDescriptor, json: &Value) -> Value {
    let frame = to_frame(input, json.to_string().as_bytes()).expect("a message");
    let back = to_json(input, frame.slice(PREFIX..)).expect("JSON");
    serde_json::from_slice(&back).expect("JSON")
}

#[test]
fn json_becomes_a_message_and_comes_back_as_protobuf_writes_it() {
    let json = json!({
        "name": "Zoë", "visits": 3, "address": {"city": "Ulm"}, "others": [{}, {"street": "A 1"}],
        "places": {"home": {"city": "Bonn"}}, "ticket": "TICKET_WEEK",
        "visitTime": "2026-11-03T09:00:00Z", "loyaltyPoints": "9007199254740993",
        "badge": "AAEC", "phone": "1",
    });
    assert_eq!(round_trip(&request(), &json), json);
    for (given, back) in [
        (json!({}), json!({})),
        // Names as in the descriptor, numbers as texts and the other way.
        (json!({"loyalty_points": 7}), json!({"loyaltyPoints": "7"})),
        (json!({"visits": "3"}), json!({"visits": 3})),
        (json!({"visits": 3.0}), json!({"visits": 3})),
        (json!({"ticket": 1}), json!({"ticket": "TICKET_DAY"})),
        // What is not there, and what is as if it were not.
        (json!({"name": null, "address": null}), json!({})),
        (json!({"name": "", "visits": 0}), json!({})),
    ] {
        assert_eq!(round_trip(&request(), &given), back, "{given}");
    }
}

#[rustfmt::skip] // One mistake, one line; what is said of it, the next.
const UNKNOWN: &[(&str, &str, &str)] = &[
    (r#"{"emial": "a"}"#, "payload.emial",
        "`guests.v1.CreateGuestRequest` has no field `emial`; it has `name`, `email`"),
    (r#"{"address": {"town": "Ulm"}}"#, "payload.address.town",
        "`guests.v1.Address` has no field `town`; it has `street`, `city`"),
    (r#"{"address": {"address": 1}}"#, "payload.address.address",
        "`guests.v1.Address` has no field `address`"),
    (r#"{"others": [{}, {"town": "Ulm"}]}"#, "payload.others[1].town",
        "`guests.v1.Address` has no field `town`"),
    (r#"{"places": {"home": {"town": "Ulm"}}}"#, "payload.places.home.town",
        "`guests.v1.Address` has no field `town`"),
];

#[rustfmt::skip] // One mistake, one line.
const INVALID: &[(&str, &str, &str)] = &[
    (r#"{"visits": "three"}"#, "payload.visits", "invalid digit"),
    (r#"{"visits": 3.5}"#, "payload.visits", "integer"),
    (r#"{"visits": 3000000000}"#, "payload.visits", "out of range"),
    (r#"{"name": 1}"#, "payload.name", "expected a string"),
    (r#"{"ticket": "YEAR"}"#, "payload.ticket", "'YEAR'"),
    (r#"{"visitTime": "soon"}"#, "payload.visitTime", "imestamp"),
    (r#"{"badge": "%%"}"#, "payload.badge", "base64"),
    (r#"{"others": [{}, 1]}"#, "payload.others[1]", "expected a map"),
    (r#"{"phone": "1", "fax": "2"}"#, "payload", "oneof 'contact'"),
    ("[]", "payload", "expected a map"),
    ("null", "payload", "expected a map"),
    ("{} {}", "payload", "trailing"),
    ("{", "payload", "EOF"),
];

#[test]
fn a_refusal_names_the_field() {
    for (reason, mistakes) in [("UNKNOWN_FIELD", UNKNOWN), ("INVALID_MESSAGE", INVALID)] {
        for (json, field, says) in mistakes {
            let refusal = to_frame(&request(), json.as_bytes()).expect_err(json);
            assert_eq!(refusal.reason, reason, "{json}: {refusal:?}");
            assert_eq!(&refusal.violations[0].field, field, "{refusal:?}");
            assert!(refusal.message.contains(says), "{json}: {refusal:?}");
            assert!(!refusal.message.contains(" at line "), "{refusal:?}");
            assert_eq!(check(&request(), json.as_bytes()), Err(refusal), "{json}");
        }
    }
}

#[test]
fn what_a_caller_names_cannot_flood_the_message() {
    let json = json!({"a".repeat(10_000): 1}).to_string();
    let refusal = to_frame(&request(), json.as_bytes()).expect_err("no such field");
    assert!(refusal.message.len() < 600, "{refusal:?}");
    for json in [
        json!({"ticket": "a".repeat(10_000)}),
        json!({"visits": "a".repeat(10_000)}),
        json!({"visits": {"a": "a".repeat(10_000)}}),
        json!({"places": {"a".repeat(10_000): 1}}),
    ] {
        let refusal = to_frame(&request(), json.to_string().as_bytes()).expect_err("wrong");
        assert!(refusal.message.len() < 600, "{refusal:?}");
        assert!(refusal.violations[0].field.len() < 100, "{refusal:?}");
    }
    let json = json!({"a\r\nb\u{0}": 1}).to_string();
    let refusal = to_frame(&request(), json.as_bytes()).expect_err("no such field");
    assert_eq!(refusal.violations[0].field, "payload.ab");
}

#[test]
fn what_is_no_such_message_has_no_json() {
    let guest = message("guests.v1.Guest");
    assert_eq!(to_json(&guest, Bytes::new()).as_deref(), Some(&b"{}"[..]));
    // A field that is cut, one of another type, and one that is not UTF-8.
    for bytes in [&b"\x0a\x05ab"[..], b"\x08\x01", b"\x0a\x01\xff"] {
        assert_eq!(
            to_json(&guest, Bytes::from_static(bytes)),
            None,
            "{bytes:?}"
        );
    }
    // What a newer service says besides is left out.
    let newer = Bytes::from_static(b"\x0a\x01a\xf8\x06\x01");
    assert_eq!(
        to_json(&guest, newer).as_deref(),
        Some(&br#"{"id":"a"}"#[..])
    );
}
