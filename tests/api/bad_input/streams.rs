//! Streams that break the order.

use super::*;

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
