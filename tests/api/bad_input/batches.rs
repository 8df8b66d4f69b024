//! Batches that are refused whole.

use super::*;

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
