//! The idempotency keys of items, across batches.

use std::sync::Arc;
use std::time::Duration;

use flowgate::proto::{
    Action, ActionVerb, Batch, BatchSpec, BatchSubmitRequest, FailureKind, Item, ItemResult,
    ListBatchesRequest, ValidationMode, item as proto_item,
};
use prost::Message as _;
use tokio::time::timeout;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::batches::{failure, success};
use crate::pausing::{hold, let_go};
use crate::support::http_target::{Act, Latch, Request};
use crate::world::{
    Settings, World, append, assert_refused, item, json_text, open, seal, spec, submit,
};

/// An item with a key.
fn keyed(key: &str, number: u32) -> Item {
    Item {
        idempotency_key: key.to_owned(),
        ..item(number)
    }
}

async fn submitted(world: &World, items: Vec<Item>) -> Result<(Batch, Vec<ItemResult>), Status> {
    let request = BatchSubmitRequest {
        all_failed_is_ok: true,
        ..submit(items)
    };
    let response = world.batches.clone().batch_submit(request).await?;
    let response = response.into_inner();
    Ok((response.batch.expect("a batch"), response.results))
}

/// What becomes of one item, in a batch of its own.
async fn alone(world: &World, item: Item) -> ItemResult {
    let (_, mut results) = submitted(world, vec![item]).await.expect("it is served");
    results.pop().expect("a result")
}

fn reason(result: &ItemResult) -> String {
    let error = failure(result).error.as_ref().expect("an error");
    let info = tonic_types::RpcStatusExt::get_details_error_info(error);
    info.expect("an ErrorInfo").reason
}

fn is_in_use(result: &ItemResult) {
    let failed = failure(result);
    assert_eq!(
        (failed.kind(), failed.retryable, &reason(result)[..]),
        (FailureKind::Invalid, true, "KEY_IN_USE")
    );
    assert_eq!((result.attempts, result.replayed), (0, false));
}

#[tokio::test]
async fn what_was_done_is_answered_from_the_record_with_the_same_bytes() {
    let reply = r#"{"id" : "g-1", "exact": 1.00000000000000000001}"#;
    let mut world = World::with("", move |_| Act::answer(201, reply)).await;
    let first = alone(&world, keyed("k", 1)).await;
    assert!(!first.replayed);
    for restarts in 0..2 {
        let again = alone(&world, keyed("k", 1)).await;
        assert!(again.replayed);
        assert_eq!(again.attempts, 0);
        let bytes = |result: &ItemResult| success(result).encode_to_vec();
        assert_eq!(bytes(&again), bytes(&first), "after {restarts} restarts");
        world.restart().await;
    }
    // Beside others, which are sent.
    let (batch, results) = submitted(&world, vec![item(7), keyed("k", 1), item(8)])
        .await
        .expect("it is served");
    let replayed: Vec<bool> = results.iter().map(|result| result.replayed).collect();
    assert_eq!(replayed, [false, true, false]);
    assert_eq!(batch.progress.expect("progress").succeeded, 3);
    assert_eq!(world.target.requests().len(), 3);
    // And for one target.
    assert_eq!(
        world.target.requests()[0].header("idempotency-key"),
        Some("k")
    );
}

#[tokio::test]
async fn what_is_in_doubt_is_not_sent_again_but_said_again() {
    let settings = "[targets.guests.retry]\nattempts = 1";
    let world = World::with(settings, |_| Act::Close).await;
    let first = alone(&world, keyed("k", 1)).await;
    assert_eq!(failure(&first).kind(), FailureKind::InDoubt);
    let again = alone(&world, keyed("k", 1)).await;
    assert!(again.replayed);
    assert_eq!(failure(&again), failure(&first));
    assert_eq!(world.target.requests().len(), 1);
}

#[tokio::test]
async fn a_key_is_for_one_piece_of_work() {
    let world = World::start().await;
    alone(&world, keyed("k", 1)).await;
    let update = Item {
        operation: Some(proto_item::Operation::Action(Action {
            verb: ActionVerb::Update.into(),
            resource_id: "7".to_owned(),
        })),
        ..keyed("k", 1)
    };
    for other in [keyed("k", 2), update] {
        let refused = alone(&world, other).await;
        let failed = failure(&refused);
        assert_eq!(
            (failed.kind(), failed.retryable),
            (FailureKind::Invalid, false)
        );
        assert_eq!(reason(&refused), "KEY_REUSED");
        assert_eq!((refused.attempts, refused.replayed), (0, false));
    }
    // The id is no part of it.
    let named = Item {
        id: "row-9".to_owned(),
        ..keyed("k", 1)
    };
    let again = alone(&world, named).await;
    assert!(again.replayed);
    assert_eq!(again.id, "row-9");
    assert_eq!(world.target.requests().len(), 1);
}

#[tokio::test]
async fn a_key_is_in_use_while_its_item_is_under_way() {
    let latch = Latch::default();
    let held = latch.clone();
    let mut world = World::with("", move |_| Act::answer(201, "").after(&held)).await;
    let request = BatchSubmitRequest {
        wait: Some(false),
        ..submit(vec![keyed("k", 1)])
    };
    let response = world.batches.batch_submit(request).await.expect("at once");
    let first = response.into_inner().batch.expect("a batch").id;
    world.target.arrived(1).await;
    is_in_use(&alone(&world, keyed("k", 1)).await);
    is_in_use(&alone(&world, keyed("k", 2)).await);
    latch.open();
    world.finished(&first).await;
    assert!(alone(&world, keyed("k", 1)).await.replayed);
    assert_eq!(world.target.requests().len(), 1);
}

#[tokio::test]
async fn a_key_is_in_use_by_an_earlier_message_of_its_own_batch() {
    let mut world = World::start().await;
    hold(&mut world, "guests", "").await.expect("it is held");
    let mut session = world.stream(vec![open(spec("guests"))]).await;
    let id = session.accepted().await.batch_id;
    session.send(append(vec![keyed("k", 1)], None)).await;
    session.send(append(vec![keyed("k", 1)], None)).await;
    session.send(seal(Some(2))).await;
    world
        .until(&id, |batch| {
            batch.progress.as_ref().is_some_and(|p| p.failed == 1)
        })
        .await;
    let_go(&mut world, "guests").await.expect("it goes on");
    session.end().await.expect("one succeeded");
    let results = world.results(&id).await;
    success(&results[0]);
    is_in_use(&results[1]);
}

#[tokio::test]
async fn of_a_hundred_at_once_one_is_sent() {
    let world = World::start().await;
    let world = Arc::new(world);
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { alone(&world, keyed("k", 1)).await })
        })
        .collect();
    let mut sent = 0;
    for call in calls {
        let result = call.await.expect("no panic");
        match result.attempts {
            1 => sent += 1,
            _ if result.replayed => {
                success(&result);
            }
            _ => is_in_use(&result),
        }
    }
    assert_eq!((sent, world.target.requests().len()), (1, 1));
}

#[tokio::test]
async fn what_definitely_failed_frees_its_key_for_any_payload() {
    let script = |request: &Request| match request.body.as_ref() {
        br#"{"n":1}"# => Act::answer(422, ""),
        br#"{"n":2}"# => Act::answer(500, ""),
        _ => Act::answer(201, ""),
    };
    let settings = "[targets.guests.retry]\nattempts = 1";
    let mut world = World::with(settings, script).await;
    for (bad, kind) in [
        (1, FailureKind::Rejected),
        (1, FailureKind::Rejected),
        (2, FailureKind::Unavailable),
    ] {
        let failed = alone(&world, keyed("k", bad)).await;
        assert_eq!((failure(&failed).kind(), failed.replayed), (kind, false));
    }
    // Also what was never sent.
    let invalid = Item {
        idempotency_key: "k".to_owned(),
        ..json_text("{")
    };
    let failed = alone(&world, invalid).await;
    assert_eq!(failure(&failed).kind(), FailureKind::Invalid);
    hold(&mut world, "guests", "").await.expect("it is held");
    let request = BatchSubmitRequest {
        wait: Some(false),
        ..submit(vec![keyed("k", 3)])
    };
    let response = world.batches.batch_submit(request).await.expect("at once");
    let cancelled = response.into_inner().batch.expect("a batch").id;
    let request = flowgate::proto::CancelBatchRequest {
        batch_id: cancelled.clone(),
    };
    world
        .batches
        .cancel_batch(request)
        .await
        .expect("cancelled");
    world.finished(&cancelled).await;
    let_go(&mut world, "guests").await.expect("it goes on");
    // The row that was corrected goes in under the same key.
    let corrected = alone(&world, keyed("k", 4)).await;
    assert_eq!((corrected.attempts, corrected.replayed), (1, false));
    success(&corrected);
    assert_eq!(world.target.requests().len(), 4);
}

#[tokio::test]
async fn a_batch_that_is_to_be_all_valid_is_refused_for_its_keys() {
    let mut world = World::start().await;
    alone(&world, keyed("used", 1)).await;
    let all_valid = BatchSpec {
        validation: ValidationMode::Batch.into(),
        ..spec("guests")
    };
    let request = BatchSubmitRequest {
        spec: Some(all_valid.clone()),
        ..submit(vec![item(5), keyed("used", 2), keyed("free", 6)])
    };
    let refused = world.batches.batch_submit(request).await;
    let refused = refused.expect_err("a key was used");
    let code = Code::InvalidArgument;
    assert_refused(&refused, code, "INVALID_ITEMS", "nothing of the message");
    let details = refused.get_error_details();
    let fields = &details.bad_request().expect("fields").field_violations;
    assert_eq!(fields.len(), 1);
    assert_eq!(fields[0].field, "items[1].idempotency_key");
    // Nothing of it is there, and its other keys are free.
    let all = world.batches.list_batches(ListBatchesRequest::default());
    let all = all.await.expect("a list").into_inner().batches;
    assert_eq!(all.len(), 1);
    assert!(!alone(&world, keyed("free", 7)).await.replayed);
    // What is answered from the record is not invalid.
    let request = BatchSubmitRequest {
        spec: Some(all_valid.clone()),
        ..submit(vec![item(5), keyed("used", 1)])
    };
    let served = world.batches.batch_submit(request).await;
    assert!(served.expect("it is served").into_inner().results[1].replayed);
    // The same on a stream, which leaves the batch as it was.
    let first = vec![
        open(all_valid),
        append(vec![item(0), item(1)], None),
        append(vec![keyed("used", 3)], None),
        seal(None),
    ];
    let refused = world.stream(first).await.end().await;
    let refused = refused.expect_err("a key was used");
    assert_refused(&refused, code, "INVALID_ITEMS", "nothing of the message");
    let details = refused.get_error_details();
    let fields = &details.bad_request().expect("fields").field_violations;
    assert_eq!(fields[0].field, "items[2].idempotency_key");
}

#[tokio::test]
async fn keys_are_kept_for_so_long_and_for_one_target() {
    let settings = Settings {
        store: "keep_keys = \"1s\"",
        target: "[targets.rooms]\nkind = \"http\"\nurl = \"BASE\"\npath = \"/rooms\"",
        ..Settings::default()
    };
    let world = World::configured(settings, |_| Act::answer(201, "")).await;
    alone(&world, keyed("k", 1)).await;
    let elsewhere = BatchSubmitRequest {
        spec: Some(spec("rooms")),
        ..submit(vec![keyed("k", 1)])
    };
    let served = world.batches.clone().batch_submit(elsewhere).await;
    let served = served.expect("it is served").into_inner();
    assert!(!served.results[0].replayed, "another target, another key");
    // From its outcome on; then it is sent again.
    let sent_again = async { while alone(&world, keyed("k", 1)).await.replayed {} };
    let sent_again = timeout(Duration::from_mins(2), sent_again).await;
    sent_again.expect("it is not kept for ever");
    assert_eq!(world.target.requests().len(), 3);
}
