//! What is refused, how it is said, and that nobody else is hurt by it.

use std::collections::BTreeMap;

use bytes::Bytes;
use flowgate::proto::batch_submit_stream_request::Message;
use flowgate::proto::{
    Action, ActionVerb, BatchOpen, BatchSpec, BatchSubmitRequest, CancelBatchRequest, FailureKind,
    GetBatchRequest, GetTargetRequest, HttpCall, Item, ListBatchResultsRequest, ListBatchesRequest,
    Payload, ValidationMode, WatchBatchRequest, item, item_result, payload,
};
use http_body_util::{BodyExt, Full};
use prost_types::{ListValue, Struct, Value, value};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::world::{
    World, append, assert_refused, item, json_text, open, resume, seal, spec, submit,
};

fn raw(body: &'static [u8], content_type: &str) -> Item {
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::Raw(Bytes::from_static(body))),
            content_type: content_type.to_owned(),
        }),
        ..Item::default()
    }
}

fn with_id(id: &str) -> Item {
    Item {
        id: id.to_owned(),
        ..item(1)
    }
}

fn with_key(key: &str) -> Item {
    Item {
        idempotency_key: key.to_owned(),
        ..item(1)
    }
}

fn action(verb: ActionVerb, resource_id: &str) -> Item {
    Item {
        operation: Some(item::Operation::Action(Action {
            verb: verb.into(),
            resource_id: resource_id.to_owned(),
        })),
        ..item(1)
    }
}

fn call(method: &str, path: &str, header: Option<(&str, &str)>) -> Item {
    let headers = header
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Item {
        operation: Some(item::Operation::Http(HttpCall {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: headers.collect(),
        })),
        ..item(1)
    }
}

/// A payload whose value is nested so deep in itself.
fn nested(depth: usize) -> Item {
    let mut value = Value {
        kind: Some(value::Kind::BoolValue(true)),
    };
    for _ in 0..depth {
        value = Value {
            kind: Some(value::Kind::ListValue(ListValue {
                values: vec![value],
            })),
        };
    }
    struct_of(value)
}

fn struct_of(value: Value) -> Item {
    let fields = BTreeMap::from([("v".to_owned(), value)]);
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::Json(Struct { fields })),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

#[tokio::test]
async fn a_batch_that_cannot_be_is_refused() {
    let mut world = World::start().await;
    let of = |spec: BatchSpec| BatchSubmitRequest {
        spec: Some(spec),
        ..submit(vec![item(1)])
    };
    let labels = |count: usize, text: &str| BatchSpec {
        labels: (0..count)
            .map(|n| (format!("{text}{n}"), String::new()))
            .collect(),
        ..spec("guests")
    };
    let many = "x".repeat(700_000);
    let table: Vec<(&str, BatchSubmitRequest, Code, &str, &str)> = vec![
        (
            "empty",
            submit(Vec::new()),
            Code::InvalidArgument,
            "EMPTY_BATCH",
            "at least one",
        ),
        (
            "no target",
            BatchSubmitRequest {
                spec: None,
                ..submit(vec![item(1)])
            },
            Code::InvalidArgument,
            "INVALID_SPEC",
            "name the target",
        ),
        (
            "unknown target",
            of(spec("guest")),
            Code::NotFound,
            "TARGET_NOT_FOUND",
            "ListTargets",
        ),
        (
            "too many items",
            submit((0..1_001).map(item).collect()),
            Code::InvalidArgument,
            "BATCH_TOO_LARGE",
            "1001 items, and BatchSubmit takes 1000",
        ),
        (
            "too large an item",
            submit(vec![
                item(1),
                json_text(&format!("\"{}\"", "x".repeat(1024 * 1024))),
            ]),
            Code::InvalidArgument,
            "BATCH_TOO_LARGE",
            "items[1] has 10485",
        ),
        (
            "too large a message",
            submit((0..16).map(|_| json_text(&format!("\"{many}\""))).collect()),
            Code::InvalidArgument,
            "BATCH_TOO_LARGE",
            "use BatchSubmitStream",
        ),
        (
            "a message that is not even read",
            submit((0..26).map(|_| json_text(&format!("\"{many}\""))).collect()),
            Code::InvalidArgument,
            "BATCH_TOO_LARGE",
            "use BatchSubmitStream",
        ),
        (
            "the same id twice",
            submit(vec![with_id("a"), with_id("b"), with_id("a")]),
            Code::InvalidArgument,
            "DUPLICATE_ITEM_ID",
            "items[0] and items[2] have the same id, `a`",
        ),
        (
            "the same key twice",
            submit(vec![item(0), with_key("k"), with_key("k")]),
            Code::InvalidArgument,
            "DUPLICATE_IDEMPOTENCY_KEY",
            "items[1] and items[2]",
        ),
        (
            "a long request id",
            of(BatchSpec {
                request_id: "x".repeat(129),
                ..spec("guests")
            }),
            Code::InvalidArgument,
            "INVALID_SPEC",
            "129 characters, and 128 are the most",
        ),
        (
            "a request id with a NUL",
            of(BatchSpec {
                request_id: "a\0b".to_owned(),
                ..spec("guests")
            }),
            Code::InvalidArgument,
            "INVALID_SPEC",
            "control character",
        ),
        (
            "many labels",
            of(labels(17, "l")),
            Code::InvalidArgument,
            "INVALID_SPEC",
            "16 are the most",
        ),
        (
            "a long label",
            of(labels(1, &"l".repeat(63))),
            Code::InvalidArgument,
            "INVALID_SPEC",
            "63 are the most",
        ),
        (
            "an enum value from the future",
            of(BatchSpec {
                echo: 99,
                ..spec("guests")
            }),
            Code::InvalidArgument,
            "INVALID_SPEC",
            "spec.echo: 99",
        ),
        (
            "a Struct that is nested too deep to be read",
            submit(vec![nested(60)]),
            Code::InvalidArgument,
            "INVALID_MESSAGE",
            "use `json_text`",
        ),
    ];
    for (what, request, code, reason, says) in table {
        let status = world.batches.batch_submit(request).await.expect_err(what);
        assert_refused(&status, code, reason, says);
        assert!(
            world.target.requests().is_empty(),
            "{what}: nothing is sent"
        );
    }
    let listed = world
        .batches
        .list_batches(ListBatchesRequest::default())
        .await;
    assert!(
        listed.expect("a list").into_inner().batches.is_empty(),
        "nothing is kept"
    );
    world.is_unhurt().await;
}

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
async fn an_error_fits_its_trailers_whatever_the_caller_wrote() {
    let mut world = World::start().await;
    for name in ["x".repeat(100_000), "\u{20ac}".repeat(5_000)] {
        let request = BatchSubmitRequest {
            spec: Some(spec(&name)),
            ..submit(vec![item(1)])
        };
        let status = world.batches.batch_submit(request).await;
        let status = status.expect_err("there is no such target");
        let says = "there is no target named";
        assert_refused(&status, Code::NotFound, "TARGET_NOT_FOUND", says);
        let trailers = status.into_http::<()>().headers().clone();
        let bytes: usize = trailers.values().map(http::HeaderValue::len).sum();
        assert!(bytes <= 4_200, "{bytes} bytes");
    }
    world.is_unhurt().await;
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

#[tokio::test]
async fn a_batch_can_ask_to_be_refused_for_its_bad_items() {
    let mut world = World::start().await;
    let mut items: Vec<Item> = (0..300).map(item).collect();
    for bad in items.iter_mut().skip(100) {
        *bad = json_text("{");
    }
    let request = BatchSubmitRequest {
        spec: Some(BatchSpec {
            validation: ValidationMode::Batch.into(),
            ..spec("guests")
        }),
        ..submit(items)
    };
    let status = world
        .batches
        .batch_submit(request)
        .await
        .expect_err("it is refused");
    assert_refused(
        &status,
        Code::InvalidArgument,
        "INVALID_ITEMS",
        "200 items are invalid",
    );
    let details = status.get_error_details();
    let named = &details
        .bad_request()
        .expect("a BadRequest")
        .field_violations;
    assert_eq!(named[0].field, "items[100].payload.json_text");
    assert!(named.len() >= 5, "those that fit");
    // Larger trailers break real clients.
    let trailers = status.details().len().div_ceil(3) * 4 + status.message().len();
    assert!(trailers <= 4_096, "{trailers} bytes");
    assert!(world.target.requests().is_empty());
    world.is_unhurt().await;
}

#[tokio::test]
async fn a_stream_that_breaks_the_order_is_told_and_its_batch_is_kept() {
    let mut world = World::start().await;
    let items = |from: u32, to: u32| (from..to).map(item).collect::<Vec<_>>();
    let opened = || open(spec("guests"));
    let table: Vec<(&str, Vec<Message>, Code, &str, &str)> = vec![
        (
            "append first",
            vec![append(items(0, 1), None)],
            Code::FailedPrecondition,
            "NOT_OPEN",
            "has to be `open`",
        ),
        (
            "seal first",
            vec![seal(None)],
            Code::FailedPrecondition,
            "NOT_OPEN",
            "has to be `open`",
        ),
        (
            "open with nothing",
            vec![Message::Open(BatchOpen::default())],
            Code::InvalidArgument,
            "INVALID_SPEC",
            "neither `spec` nor `resume`",
        ),
        (
            "open for nobody",
            vec![open(spec("guest"))],
            Code::NotFound,
            "TARGET_NOT_FOUND",
            "`guest`",
        ),
        (
            "open twice",
            vec![opened(), opened()],
            Code::FailedPrecondition,
            "ALREADY_OPEN",
            "another stream",
        ),
        (
            "a gap",
            vec![
                opened(),
                append(items(0, 5), Some(0)),
                append(items(7, 9), Some(7)),
            ],
            Code::OutOfRange,
            "OFFSET_GAP",
            "begins at 7, and the next item is 5",
        ),
        (
            "other items at an offset",
            vec![
                opened(),
                append(items(0, 5), Some(0)),
                append(items(90, 99), Some(3)),
            ],
            Code::AlreadyExists,
            "OFFSET_CONFLICT",
            "item 3 is held already",
        ),
        (
            "append after seal",
            vec![
                opened(),
                append(items(0, 5), None),
                seal(None),
                append(items(5, 6), None),
            ],
            Code::FailedPrecondition,
            "BATCH_SEALED",
            "sealed with 5 items",
        ),
        (
            "a seal with another count",
            vec![opened(), append(items(0, 5), None), seal(Some(6))],
            Code::InvalidArgument,
            "SEAL_COUNT_MISMATCH",
            "says 6 items, and the batch holds 5",
        ),
        (
            "a seal of nothing",
            vec![opened(), seal(None)],
            Code::InvalidArgument,
            "EMPTY_BATCH",
            "no items",
        ),
        (
            "duplicates in an append",
            vec![opened(), append(vec![with_id("a"), with_id("a")], None)],
            Code::InvalidArgument,
            "DUPLICATE_ITEM_ID",
            "append.items[0] and append.items[1]",
        ),
        (
            "no such batch",
            vec![resume("not-a-uuid", 0)],
            Code::InvalidArgument,
            "INVALID_BATCH_ID",
            "UUID",
        ),
        (
            "an unknown batch",
            vec![resume("01998a3c-0000-7000-8000-000000000000", 0)],
            Code::NotFound,
            "BATCH_NOT_FOUND",
            "ListBatches",
        ),
    ];
    for (what, messages, code, reason, says) in table {
        let mut session = world.stream(messages).await;
        let (_, end) = session.rest().await;
        let status = end.expect_err(what);
        assert_refused(&status, code, reason, says);
    }
    world.is_unhurt().await;
    // What came before a refusal is kept, and the batch can be gone on with.
    let messages = vec![opened(), append(items(0, 5), None), seal(Some(6))];
    let mut session = world.stream(messages).await;
    let batch_id = session.accepted().await.batch_id;
    let (_, end) = session.rest().await;
    end.expect_err("a wrong count");
    let mut session = world
        .stream(vec![resume(&batch_id, 0), seal(Some(5))])
        .await;
    let (_, end) = session.rest().await;
    end.expect("it ends well");
    // A cursor that no event has yet.
    let mut session = world.stream(vec![resume(&batch_id, 1_000)]).await;
    let (_, end) = session.rest().await;
    let status = end.expect_err("from the future");
    assert_refused(
        &status,
        Code::OutOfRange,
        "CURSOR_IN_FUTURE",
        "the cursor is 1000",
    );
}

#[tokio::test]
async fn what_is_asked_about_what_is_not_there_is_refused() {
    let mut world = World::start().await;
    let unknown = "01998a3c-0000-7000-8000-000000000000".to_owned();
    for (batch_id, code, reason, says) in [
        (
            unknown.clone(),
            Code::NotFound,
            "BATCH_NOT_FOUND",
            unknown.as_str(),
        ),
        (
            "7".to_owned(),
            Code::InvalidArgument,
            "INVALID_BATCH_ID",
            "UUID",
        ),
        (
            String::new(),
            Code::InvalidArgument,
            "INVALID_BATCH_ID",
            "UUID",
        ),
    ] {
        let id = || batch_id.clone();
        let batches = &mut world.batches;
        let refused: Vec<Status> = vec![
            batches
                .get_batch(GetBatchRequest { batch_id: id() })
                .await
                .expect_err("get"),
            batches
                .cancel_batch(CancelBatchRequest { batch_id: id() })
                .await
                .expect_err("cancel"),
            batches
                .watch_batch(WatchBatchRequest {
                    batch_id: id(),
                    ..Default::default()
                })
                .await
                .expect_err("watch"),
            batches
                .list_batch_results(ListBatchResultsRequest {
                    batch_id: id(),
                    ..Default::default()
                })
                .await
                .expect_err("results"),
        ];
        for status in refused {
            assert_refused(&status, code, reason, says);
        }
    }
    let request = GetTargetRequest {
        name: "rooms".to_owned(),
    };
    let status = world
        .targets
        .get_target(request)
        .await
        .expect_err("no such target");
    assert_refused(&status, Code::NotFound, "TARGET_NOT_FOUND", "`rooms`");
    let response = world
        .batches
        .batch_submit(submit(vec![item(1)]))
        .await
        .expect("a batch");
    let batch_id = response.into_inner().batch.expect("a batch").id;
    for page_token in ["x", "r1.0.0", "r2.1.0", "r1.1", "r1.1.1.1"] {
        let request = ListBatchResultsRequest {
            batch_id: batch_id.clone(),
            page_token: page_token.to_owned(),
            ..Default::default()
        };
        let status = world
            .batches
            .list_batch_results(request)
            .await
            .expect_err(page_token);
        assert_refused(
            &status,
            Code::InvalidArgument,
            "INVALID_PAGE_TOKEN",
            "next_page_token",
        );
    }
    let request = ListBatchesRequest {
        page_token: "7".to_owned(),
        ..Default::default()
    };
    let status = world
        .batches
        .list_batches(request)
        .await
        .expect_err("a made-up token");
    assert_refused(
        &status,
        Code::InvalidArgument,
        "INVALID_PAGE_TOKEN",
        "next_page_token",
    );
    let request = WatchBatchRequest {
        batch_id,
        cursor: 99,
        summary_only: false,
    };
    let status = world
        .batches
        .watch_batch(request)
        .await
        .expect_err("from the future");
    assert_refused(
        &status,
        Code::OutOfRange,
        "CURSOR_IN_FUTURE",
        "the last event",
    );
}

/// Posts bytes as a gRPC request's body, and reads the status from what comes
/// back.
async fn post(world: &World, method: &str, body: &[u8], encoding: Option<&str>) -> Status {
    let address = world.server.as_ref().expect("a server").address();
    let socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let io = hyper_util::rt::TokioIo::new(socket);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    let mut request = http::Request::post(format!(
        "http://{address}/flowgate.v1.BatchService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body)))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let body = response
        .into_body()
        .collect()
        .await
        .expect("the whole answer");
    let trailers = body.trailers().expect("trailers");
    Status::from_header_map(trailers).expect("a status")
}

/// A gRPC frame: flag, length, message.
fn frame(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let mut world = World::start().await;
    let garbage = b"\xff\xff\xff\xff garbage";
    let length = u32::try_from(garbage.len()).expect("small");
    for method in ["BatchSubmit", "BatchSubmitStream"] {
        let status = post(&world, method, &frame(0, length, garbage), None).await;
        assert_refused(
            &status,
            Code::InvalidArgument,
            "INVALID_MESSAGE",
            "cannot be read",
        );
        let status = post(&world, method, &frame(0, 500, b"cut in half"), None).await;
        assert_refused(
            &status,
            Code::InvalidArgument,
            "INVALID_MESSAGE",
            "cannot be read",
        );
        let status = post(&world, method, &frame(0, u32::MAX, b""), None).await;
        assert_refused(
            &status,
            Code::InvalidArgument,
            "BATCH_TOO_LARGE",
            "split the batch",
        );
        // Compression is not offered: a small message cannot become a large one.
        let status = post(&world, method, &frame(1, 2, b"\x1f\x8b"), Some("gzip")).await;
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
        assert!(status.message().contains("gzip"), "{status:?}");
        let status = post(&world, method, &frame(1, 2, b"\x1f\x8b"), None).await;
        assert_refused(
            &status,
            Code::InvalidArgument,
            "INVALID_MESSAGE",
            "compressed",
        );
    }
    world.is_unhurt().await;
}
