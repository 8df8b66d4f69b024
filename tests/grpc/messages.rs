//! What goes over the wire, what comes back, and what is refused before that.

use std::time::Duration;

use flowgate::config::{GrpcConfig, GrpcMethods};
use flowgate::model::{Form, Item, Reply};
use http::HeaderName;
use prost::Message;

use crate::backend::{Backend, Step, done, failed, head, status};
use crate::guests::{self, CreateGuest, Guest, Guests, guest, serve};
use crate::sending::{
    batch, body, calling, cause, config, item, items, payload, reflecting, said, send, send_one,
    target,
};

/// A target that lets items name every method, and some metadata.
pub fn open(base: &str) -> GrpcConfig {
    GrpcConfig {
        allow_methods: vec![GrpcMethods::parse("guests.v1.GuestService/*").unwrap()],
        allow_headers: ["x-tenant", "x-trace-bin"]
            .map(HeaderName::from_static)
            .into(),
        idempotency_header: Some(HeaderName::from_static("idempotency-key")),
        headers: vec![(
            HeaderName::from_static("authorization"),
            "Bearer s3cret".into(),
        )],
        ..config(base)
    }
}

#[tokio::test]
async fn json_goes_out_as_a_message_and_a_message_comes_back_as_json() {
    let guests = Guests::default();
    let server = serve(guests.router(), 0).await;
    let target = target(&config(&server.base));
    let json = r#"{"name": "Zoë", "email": "zoe@example.com", "visits": "2"}"#;
    let expected = r#"{"id":"g-Zoë","name":"Zoë"}"#;
    for form in [Form::JsonText, Form::Json] {
        let fate = send_one(&target, payload(0, form, None, json.into())).await;
        assert_eq!(body(&fate.reply), Some((form, expected.to_owned())));
    }
    let taken = guests.taken.lock().unwrap().clone();
    let zoe = CreateGuest {
        name: "Zoë".to_owned(),
        email: "zoe@example.com".to_owned(),
        visits: 2,
    };
    assert_eq!(taken, [zoe.clone(), zoe]);
}

#[tokio::test]
async fn an_item_without_a_payload_is_an_empty_message() {
    let backend = Backend::start(|_| done(&guest("a"))).await;
    let empty = Item {
        payload: None,
        ..item(0, "{}")
    };
    let fate = send_one(&target(&config(&backend.base())), empty.clone()).await;
    let json = r#"{"id":"g-a","name":"a"}"#.to_owned();
    assert_eq!(body(&fate.reply), Some((Form::JsonText, json)));
    assert_eq!(&backend.calls()[0].body[..], [0; 5]);
}

#[tokio::test]
async fn the_services_own_words_name_the_fields() {
    let server = serve(Guests::default().router(), 0).await;
    let fate = send_one(
        &target(&config(&server.base)),
        item(0, r#"{"name": "Ann"}"#),
    )
    .await;
    assert_eq!(said(&fate.reply), "refused EMAIL_MISSING");
    let cause = cause(&fate.reply);
    assert_eq!(cause.message, "a guest has an e-mail address");
    assert_eq!(cause.violations[0].field, "payload.email");
    assert_eq!(cause.violations[0].description, "is missing");
    assert_eq!(cause.answer.as_ref().map(|answer| answer.status), Some(3));
}

#[tokio::test]
async fn raw_payloads_pass_untouched_both_ways_and_need_no_descriptors() {
    // Not even protobuf, and no reflection.
    let bytes = b"\xff\x00 anything".to_vec();
    let reply = bytes.clone();
    let backend = Backend::start(move |_| {
        let framed = [&[0, 0, 0, 0, 11][..], &reply].concat();
        let content_type = ("content-type", "application/grpc+x".to_owned());
        vec![
            Step::Head(200, vec![content_type]),
            Step::Data(framed.into()),
            status(0),
        ]
    })
    .await;
    for (config, given, sent) in [
        (reflecting(&backend.base()), None, "application/grpc"),
        (
            reflecting(&backend.base()),
            Some("application/grpc+x"),
            "application/grpc+x",
        ),
        (
            config(&backend.base()),
            Some("application/protobuf"),
            "application/grpc",
        ),
    ] {
        let before = backend.calls().len();
        let item = payload(0, Form::Raw, given, bytes.clone());
        let target = target(&config);
        assert_eq!(target.admit(&item), Ok(()));
        let fate = send_one(&target, item).await;
        let Reply::Ok(answer) = &fate.reply else {
            panic!("{fate:?}");
        };
        let back = answer.body.as_ref().expect("a body");
        assert_eq!((back.form, &back.body[..]), (Form::Raw, &bytes[..]));
        assert_eq!(back.content_type.as_deref(), Some("application/grpc+x"));
        let calls = backend.calls();
        assert_eq!(calls.len(), before + 1, "nothing else was asked");
        assert_eq!(calls[before].message(), bytes);
        assert_eq!(calls[before].header("content-type"), Some(sent));
    }
}

#[tokio::test]
async fn a_reply_that_is_no_such_message_comes_back_as_it_is() {
    // The first field is a number, and not a text: somebody else's descriptors.
    let other = bytes::Bytes::from_static(b"\0\0\0\0\x02\x08\x07");
    let steps = vec![head(), Step::Data(other), status(0)];
    let backend = Backend::start(move |_| steps.clone()).await;
    let fate = send_one(&target(&config(&backend.base())), items(1).remove(0)).await;
    assert_eq!(said(&fate.reply), "ok 0");
    let (form, _) = body(&fate.reply).expect("a body");
    assert_eq!(form, Form::Raw);
}

#[tokio::test]
async fn a_call_carries_its_metadata_its_key_and_its_deadline() {
    let backend = Backend::start(|_| done(&guest("a"))).await;
    let target = target(&open(&backend.base()));
    let get = "guests.v1.GuestService/GetGuest";
    let metadata = [("X-Tenant", "acme"), ("x-trace-bin", "AAEC")];
    let mut keyed = calling(item(0, r#"{"id": "g-1"}"#), get, &metadata);
    keyed.key = Some("my-key".to_owned());
    let mut own = items(1).remove(0);
    own.index = 1;
    for fate in send(&target, vec![keyed, own]).await {
        assert_eq!(said(&fate.reply), "ok 0");
    }
    let mut calls = backend.calls();
    calls.sort_by(|a, b| a.path.cmp(&b.path));
    let [create, get] = &calls[..] else {
        panic!("{calls:?}");
    };
    assert_eq!(create.path, "/guests.v1.GuestService/CreateGuest");
    assert_eq!(
        create.header("idempotency-key"),
        Some(&format!("flowgate-{}-1", batch())[..])
    );
    assert_eq!(create.header("x-tenant"), None);
    assert_eq!(get.path, "/guests.v1.GuestService/GetGuest");
    assert_eq!(get.header("idempotency-key"), Some("my-key"));
    assert_eq!(get.header("x-tenant"), Some("acme"));
    assert_eq!(get.header("x-trace-bin"), Some("AAEC"));
    for call in [create, get] {
        assert_eq!(call.header("authorization"), Some("Bearer s3cret"));
        assert_eq!(call.header("te"), Some("trailers"));
        assert_eq!(call.header("content-type"), Some("application/grpc"));
        assert_eq!(call.header("grpc-timeout"), Some("60000000u"));
        assert_eq!(call.header("grpc-encoding"), None);
        let agent = call.header("user-agent").expect("an agent");
        assert!(agent.starts_with("flowgate/"), "{agent}");
    }
}

#[test]
fn what_is_safe_to_repeat_follows_the_configuration_and_the_descriptors() {
    let get = |method: &str| {
        let method = format!("guests.v1.GuestService/{method}");
        calling(item(0, "{}"), &method, &[])
    };
    let plain = GrpcConfig {
        idempotency_header: None,
        ..open("http://127.0.0.1")
    };
    let named = GrpcConfig {
        idempotent_methods: vec![GrpcMethods::parse(guests::CREATE).unwrap()],
        ..open("http://127.0.0.1")
    };
    let named = GrpcConfig {
        idempotency_header: None,
        ..named
    };
    let repeatable = GrpcConfig {
        repeatable: true,
        ..open("http://127.0.0.1")
    };
    let (day, ever, never) = (Duration::from_hours(24), Duration::MAX, Duration::ZERO);
    for (config, create, get_guest, put_guest) in [
        (&plain, never, ever, ever),
        (&named, ever, ever, ever),
        (&open("http://127.0.0.1"), day, ever, ever),
        (&repeatable, ever, ever, ever),
        // Before it was asked, the target has said nothing.
        (
            &GrpcConfig {
                descriptors: None,
                ..open("http://127.0.0.1")
            },
            day,
            day,
            day,
        ),
    ] {
        let target = target(config);
        assert_eq!(target.repeatable_for(&items(1)[0]), create);
        assert_eq!(target.repeatable_for(&get("CreateGuest")), create);
        assert_eq!(target.repeatable_for(&get("GetGuest")), get_guest);
        assert_eq!(target.repeatable_for(&get("PutGuest")), put_guest);
    }
    assert!(target(&open("http://127.0.0.1")).honours_keys());
    assert!(!target(&plain).honours_keys());
    assert_eq!(target(&plain).operation(), guests::CREATE);
}

#[tokio::test]
async fn no_secret_shows() {
    let backend = Backend::start(|_| failed(16)).await;
    let config = open(&backend.base());
    assert!(!format!("{config:?}").contains("s3cret"));
    let fate = send_one(&target(&config), items(1).remove(0)).await;
    assert_eq!(said(&fate.reply), "refused GRPC_UNAUTHENTICATED");
    assert!(!format!("{fate:?}").contains("s3cret"));
}

#[test]
fn a_guest_is_what_the_descriptors_say() {
    // The messages here are written by hand.
    let pool = guests::pool();
    let message = pool.get_message_by_name("guests.v1.Guest").unwrap();
    let json = serde_json::to_string(
        &prost_reflect::DynamicMessage::decode(message, &guest("a").encode_to_vec()[..]).unwrap(),
    );
    assert_eq!(json.unwrap(), r#"{"id":"g-a","name":"a"}"#);
    assert_eq!(Guest::default().encoded_len(), 0);
}
