use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::super::tests::{batch, configured, item, raw, with};
use super::*;
use crate::model::{Action, HttpCall, Verb};

const ENTRIES: &str = r#"
format = "entries"
items = "/Entries"
wrap = '{"QueueUrl": "q"}'
entry = '{"DelaySeconds": 3}'
entry_id = "/Id"
entry_key = "/Key"
"#;

fn renderer(config: &HttpBatchConfig) -> Renderer {
    Renderer::new(config).expect("a good configuration")
}

fn body(config: &HttpBatchConfig, items: &[Item]) -> String {
    let keys = items.iter().map(|item| Key::of(item, batch()));
    let body = renderer(config).body(items, keys).expect("a body");
    String::from_utf8(body.into()).expect("text")
}

fn entries(payload: &str) -> HttpBatchConfig {
    configured(&format!("{ENTRIES}\n{payload}"))
}

#[test]
fn a_request_is_what_is_constant_with_the_items_in_their_places() {
    let two = [item(7, r#"{"a": 1.50}"#), item(9, " [2] ")];
    let mut keyed = item(3, r#""a\"b""#);
    keyed.key = Some("k\"1".to_owned());
    for (config, items, expected) in [
        (configured(""), &two[..], r#"[{"a": 1.50}, [2] ]"#),
        (
            configured("items = \"/messages\"\nwrap = '{\"from\": \"a@b\"}'"),
            &two,
            r#"{"from":"a@b","messages":[{"a": 1.50}, [2] ]}"#,
        ),
        (
            configured("items = \"/d/m\"\nwrap = '{\"d\": {\"x\": 1}, \"e\": 2}'"),
            &two[..1],
            r#"{"d":{"x":1,"m":[{"a": 1.50}]},"e":2}"#,
        ),
        (
            entries("entry_payload = \"/Data\""),
            std::slice::from_ref(&keyed),
            r#"{"QueueUrl":"q","Entries":[{"DelaySeconds":3,"Id":"3","Key":"k\"1","Data":"a\"b"}]}"#,
        ),
        (
            entries("entry_payload = \"/Body\"\npayload = \"text\""),
            std::slice::from_ref(&keyed),
            r#"{"QueueUrl":"q","Entries":[{"DelaySeconds":3,"Id":"3","Key":"k\"1","Body":"\"a\\\"b\""}]}"#,
        ),
        (
            entries("entry_payload = \"/Data/b\"\npayload = \"base64\""),
            &[raw(0, b"\xff\0\"")],
            r#"{"QueueUrl":"q","Entries":[{"DelaySeconds":3,"Id":"0","Key":"flowgate-0191e0a0-0000-7000-8000-000000000001-0","Data":{"b":"/wAi"}}]}"#,
        ),
    ] {
        assert_eq!(body(&config, items), expected);
    }
}

#[test]
fn items_that_are_requests_are_written_as_such() {
    let own = "allow_calls = true\nallow_headers = [\"If-Match\"]\nidempotency_header = \"K\"";
    let graph = |own, lines| with(own, &format!("preset = \"graph\"\n{lines}"));
    let config = graph(own, "item_path = \"/users\"");
    let mut items = vec![item(0, r#"{"n":"a"}"#), item(1, "{}"), item(2, "")];
    items[1].operation = Operation::Action(Action {
        verb: Verb::Update,
        resource_id: "a/b".to_owned(),
    });
    items[2].operation = Operation::Http(HttpCall {
        method: "GET".to_owned(),
        path: "/me?x=\"1\"".replace('"', "%22"),
        headers: BTreeMap::from([("If-Match".to_owned(), "\"e\\1\"".to_owned())]),
    });
    items[2].payload = None;
    items[2].key = Some("mine".to_owned());
    let made_up = |n| format!("flowgate-0191e0a0-0000-7000-8000-000000000001-{n}");
    let expected = format!(
        concat!(
            r#"{{"requests":[{{"id":"0","method":"POST","url":"/users","headers":{{"content-type":"application/json","k":"{}"}},"body":{{"n":"a"}}}},"#,
            r#"{{"id":"1","method":"PATCH","url":"/users/a%2Fb","headers":{{"content-type":"application/json","k":"{}"}},"body":{{}}}},"#,
            r#"{{"id":"2","method":"GET","url":"/me?x=%221%22","headers":{{"if-match":"\"e\\1\"","k":"mine"}}}}]}}"#
        ),
        made_up(0),
        made_up(1)
    );
    assert_eq!(body(&config, &items), expected);
    let config = graph(
        "",
        "item_path = \"/users\"\nitem_method = \"DELETE\"\nurls = \"whole\"\nentry = '{\"atomicityGroup\": \"g\"}'",
    );
    let mut bare = item(4, "");
    bare.payload = None;
    assert_eq!(
        body(&config, &[bare]),
        r#"{"requests":[{"id":"4","method":"DELETE","url":"/v1/users","atomicityGroup":"g"}]}"#
    );
}

#[test]
fn what_has_no_place_in_a_request_is_refused_with_what_would_be_right() {
    let array = configured("max_bytes = \"20B\"");
    let text = entries("entry_payload = \"/Body\"\npayload = \"text\"");
    let graph = with("allow_calls = true", "preset = \"graph\"");
    let mut action = item(0, "{}");
    action.operation = Operation::Action(Action {
        verb: Verb::Create,
        resource_id: String::new(),
    });
    let mut call = item(0, "{}");
    call.operation = Operation::Http(HttpCall::default());
    let mut away = call.clone();
    away.operation = Operation::Http(HttpCall {
        path: "/../admin".to_owned(),
        ..HttpCall::default()
    });
    let mut header = call.clone();
    header.operation = Operation::Http(HttpCall {
        path: "/x".to_owned(),
        headers: BTreeMap::from([("Authorization".to_owned(), "x".to_owned())]),
        ..HttpCall::default()
    });
    let mut empty = item(0, "");
    empty.payload = None;
    for (config, item, reason, field) in [
        (&array, &action, "OPERATION_NOT_SUPPORTED", "action"),
        (&array, &call, "OPERATION_NOT_SUPPORTED", "http"),
        (&array, &empty, "PAYLOAD_REQUIRED", "payload"),
        (&array, &raw(0, b"{}"), "PAYLOAD_NOT_JSON", "payload.raw"),
        (
            &array,
            &item(0, "\"12345678901234567890\""),
            "PAYLOAD_TOO_LARGE",
            "payload",
        ),
        (&text, &raw(0, b"\xff"), "PAYLOAD_NOT_TEXT", "payload.raw"),
        (&graph, &item(0, "{}"), "OPERATION_REQUIRED", "http"),
        (&graph, &call, "OPERATION_REQUIRED", "http.path"),
        (&graph, &away, "INVALID_PATH", "http.path"),
        (&graph, &action, "OPERATION_NOT_SUPPORTED", "action.verb"),
        (
            &graph,
            &header,
            "HEADER_NOT_ALLOWED",
            "http.headers[Authorization]",
        ),
    ] {
        let refused = renderer(config).admit(item).expect_err(reason);
        assert_eq!(refused.reason, reason);
        assert_eq!(refused.violations[0].field, field);
    }
    for (config, item) in [(&array, item(0, "{}")), (&text, raw(0, b"any \" text"))] {
        assert!(renderer(config).admit(&item).is_ok());
    }
}

#[test]
fn those_that_cannot_be_sent_any_more_are_named() {
    let items = [item(0, "{}"), raw(1, b"x"), item(2, "{}")];
    let keys = items.iter().map(|item| Key::of(item, batch()));
    let refused = renderer(&configured("")).body(&items, keys).unwrap_err();
    let places: Vec<usize> = refused.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, [1]);
}

fn formats() -> Vec<HttpBatchConfig> {
    vec![
        configured(""),
        configured("items = \"/m\""),
        entries("entry_payload = \"/P\""),
        entries("entry_payload = \"/P\"\npayload = \"text\""),
        entries("entry_payload = \"/P\"\npayload = \"base64\""),
        with(
            "idempotency_header = \"K\"",
            "preset = \"graph\"\nitem_path = \"/u\"",
        ),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".*", inner), 0..4)
                .prop_map(|members| members.into_iter().collect::<Value>()),
        ]
    })
}

proptest! {
    /// Whatever the payloads and keys are, the request has exactly them, each
    /// in its place.
    #[test]
    fn no_payload_leaves_its_place(
        payloads in prop::collection::vec(json(), 1..5),
        key in "[ -~]{1,20}",
    ) {
        let items: Vec<Item> = (10..)
            .zip(&payloads)
            .map(|(index, payload)| Item {
                key: Some(format!("{key}{index}")),
                ..item(index, &payload.to_string())
            })
            .collect();
        for config in formats() {
            let text = body(&config, &items);
            let room = renderer(&config);
            let about: usize = items.iter().map(|item| room.bytes(item)).sum();
            prop_assert!(about + 64 >= text.len() - (config.max_bytes - room.room()));
            let sent: Value = serde_json::from_str(&text).expect("JSON");
            let list = [("/Entries"), ("/m"), ("/requests"), ("")]
                .into_iter()
                .find_map(|at| sent.pointer(at)?.as_array());
            let list = list.expect("a list");
            prop_assert_eq!(list.len(), items.len());
            for ((element, payload), item) in list.iter().zip(&payloads).zip(&items) {
                let own = match &config.element {
                    Element::Payload => element.clone(),
                    Element::Request(_) => element["body"].clone(),
                    Element::Entry { embed, .. } => match embed {
                        Embed::Json => element["P"].clone(),
                        Embed::Text => serde_json::from_str(element["P"].as_str().unwrap()).unwrap(),
                        Embed::Base64 => {
                            let bytes = STANDARD.decode(element["P"].as_str().unwrap()).unwrap();
                            serde_json::from_slice(&bytes).unwrap()
                        }
                    },
                };
                prop_assert_eq!(&own, payload);
                let key = match &config.element {
                    Element::Payload => continue,
                    Element::Entry { .. } => &element["Key"],
                    Element::Request(_) => &element["headers"]["k"],
                };
                prop_assert_eq!(key.as_str(), item.key.as_deref());
            }
        }
    }
}
