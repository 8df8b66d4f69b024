//! Items that fail by themselves.

use super::*;

/// Items that fail by themselves, and what is said of them: reason and field.
fn bad_items() -> Vec<(Item, &'static str, &'static str)> {
    let deep = "[".repeat(101) + &"]".repeat(101);
    let nan = Value {
        kind: Some(value::Kind::NumberValue(f64::NAN)),
    };
    vec![
        (json_text("{\"n\":"), "INVALID_JSON", "payload.json_text"),
        (json_text("{} {}"), "INVALID_JSON", "payload.json_text"),
        (json_text(""), "INVALID_JSON", "payload.json_text"),
        (json_text(&deep), "TOO_DEEP", "payload"),
        (struct_of(nan), "INVALID_JSON", "payload.json"),
        (
            Item {
                payload: Some(Payload::default()),
                ..Item::default()
            },
            "EMPTY_PAYLOAD",
            "payload",
        ),
        (
            raw(b"x", "text"),
            "INVALID_CONTENT_TYPE",
            "payload.content_type",
        ),
        (
            raw(b"x", "text/plain\r\nx: y"),
            "INVALID_CONTENT_TYPE",
            "payload.content_type",
        ),
        (with_id("a\0b"), "INVALID_ITEM_ID", "id"),
        (with_id("a\r\nb"), "INVALID_ITEM_ID", "id"),
        (with_id(&"x".repeat(257)), "INVALID_ITEM_ID", "id"),
        (
            with_key("a b"),
            "INVALID_IDEMPOTENCY_KEY",
            "idempotency_key",
        ),
        (
            with_key("a\r\nb"),
            "INVALID_IDEMPOTENCY_KEY",
            "idempotency_key",
        ),
        (
            with_key(&"k".repeat(256)),
            "INVALID_IDEMPOTENCY_KEY",
            "idempotency_key",
        ),
        (
            action(ActionVerb::Unspecified, "1"),
            "INVALID_ACTION",
            "action.verb",
        ),
        (
            action(ActionVerb::Update, ""),
            "INVALID_ACTION",
            "action.resource_id",
        ),
        (action(ActionVerb::Delete, ".."), "", "action.resource_id"),
        (call("BREW", "/pot", None), "", "http.method"),
        (call("POST", "pot", None), "", "http.path"),
        (call("POST", "/../admin", None), "", "http.path"),
        (call("POST", "/a/%2e%2E/b", None), "", "http.path"),
        (call("POST", "//elsewhere.example/", None), "", "http.path"),
        (call("POST", "/a\0b", None), "", "http.path"),
        (call("POST", "/a\r\nb", None), "", "http.path"),
        (
            call("POST", "http://elsewhere.example/", None),
            "",
            "http.path",
        ),
        (
            call("POST", "/", Some(("host", "elsewhere.example"))),
            "",
            "http.headers",
        ),
        (
            call("POST", "/", Some(("authorization", "x"))),
            "",
            "http.headers",
        ),
        (
            call("POST", "/", Some(("Content-Length", "0"))),
            "",
            "http.headers",
        ),
        (call("POST", "/", Some(("te", "x"))), "", "http.headers"),
        (
            call("POST", "/", Some(("connection", "x"))),
            "",
            "http.headers",
        ),
        (
            call("POST", "/", Some(("proxy-authorization", "x"))),
            "",
            "http.headers",
        ),
        (
            call("POST", "/", Some(("grpc-timeout", "x"))),
            "",
            "http.headers",
        ),
        (
            call("POST", "/", Some(("Idempotency-Key", "x"))),
            "",
            "http.headers",
        ),
        (
            call("POST", "/", Some(("x-other", "x"))),
            "",
            "http.headers",
        ),
        (
            call("POST", "/", Some(("x-source", "a\r\nb: c"))),
            "",
            "http.headers",
        ),
        (
            call("POST", "/", Some(("x-source", "a\0b"))),
            "",
            "http.headers",
        ),
    ]
}

#[tokio::test]
async fn a_bad_item_fails_alone_and_is_never_sent() {
    let mut world = World::start().await;
    for (bad, reason, field) in bad_items() {
        let sent = world.target.requests().len();
        let request = submit(vec![item(1), bad.clone(), item(2)]);
        let response = world.batches.batch_submit(request).await;
        let response = response
            .unwrap_or_else(|status| panic!("{bad:?}: {status:?}"))
            .into_inner();
        let Some(item_result::Outcome::Failure(failure)) = &response.results[1].outcome else {
            panic!("{bad:?} succeeded");
        };
        assert_eq!(failure.kind(), FailureKind::Invalid, "{bad:?}");
        assert_eq!(
            (response.results[1].attempts, failure.retryable),
            (0, false)
        );
        let error = failure.error.as_ref().expect("an error");
        assert!(
            !error.message.is_empty() && error.message.len() < 1_000,
            "{}",
            error.message
        );
        let details: Vec<&str> = error
            .details
            .iter()
            .map(|any| any.type_url.as_str())
            .collect();
        assert_eq!(
            details,
            [
                "type.googleapis.com/google.rpc.ErrorInfo",
                "type.googleapis.com/google.rpc.BadRequest"
            ],
            "{bad:?}"
        );
        let info = flowgate::proto::error_details::ErrorInfo::decode_from(&error.details[0].value);
        if reason.is_empty() {
            assert!(!info.reason.is_empty(), "{bad:?}");
        } else {
            assert_eq!(info.reason, reason, "{bad:?}");
        }
        let named =
            flowgate::proto::error_details::BadRequest::decode_from(&error.details[1].value);
        let first = &named.field_violations[0].field;
        assert!(
            first.starts_with(field),
            "{bad:?}: `{first}` is not `{field}`"
        );
        let progress = response.batch.expect("a batch").progress.expect("progress");
        assert_eq!(
            (progress.succeeded, progress.failed),
            (2, 1),
            "its siblings are unhurt"
        );
        assert_eq!(world.target.requests().len(), sent + 2, "{bad:?} was sent");
    }
}

/// Reads a message that a test knows to be one.
trait DecodeFrom: prost::Message + Default {
    fn decode_from(bytes: &[u8]) -> Self {
        Self::decode(bytes).expect("a message")
    }
}

impl<M: prost::Message + Default> DecodeFrom for M {}
