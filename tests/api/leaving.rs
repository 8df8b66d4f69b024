//! What is left: streams that nobody comes back to, and batches that are old.

use std::time::Duration;

use flowgate::proto::{
    BatchSpec, BatchState, BatchSubmitRequest, CancelBatchRequest, Echo, GetBatchRequest,
    ListBatchResultsRequest, ListBatchesRequest, PauseBatchRequest, RetryBatchRequest, SealedBy,
    StoppedBy, WatchBatchRequest, watch_batch_response,
};
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::pausing::hold;
use crate::support::http_target::{Act, Latch};
use crate::world::{
    Settings, World, append, assert_refused, item, json_text, open, resume, seal, spec, submit,
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(2);

async fn abandoned(world: &mut World, items: u32) -> String {
    let first = vec![
        open(spec("guests")),
        append((0..items).map(item).collect(), None),
    ];
    let mut session = world.stream(first).await;
    let mut accepted = session.accepted().await;
    while accepted.items_held < items {
        accepted = session.accepted().await;
    }
    accepted.batch_id
}

fn seals_soon() -> Settings<'static> {
    Settings {
        server: "open_timeout = \"1s\"",
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_batch_that_nobody_fills_is_sealed_as_it_stands_and_not_one_that_somebody_has_open() {
    let mut world = World::configured(seals_soon(), |_| Act::answer(201, "")).await;
    let mut kept = world.stream(vec![open(spec("guests"))]).await;
    let kept_id = kept.accepted().await.batch_id;
    // Three times in a row, while the first stays open all along.
    for _ in 0..3 {
        let id = abandoned(&mut world, 3).await;
        let batch = world.finished(&id).await;
        assert_eq!(batch.sealed_by(), SealedBy::Timeout);
        assert_eq!(batch.stopped_by(), StoppedBy::Unspecified);
        assert_eq!(batch.state(), BatchState::Succeeded, "what it had was sent");
        let late = vec![resume(&id, 0), append(vec![item(3)], Some(3))];
        let (_, end) = world.stream(late).await.rest().await;
        // Told its end first, or refused first.
        if let Err(refused) = end {
            let code = Code::FailedPrecondition;
            assert_refused(&refused, code, "BATCH_SEALED", "with 3 items");
        }
        assert_eq!(world.get(&id).await, batch, "it is as it was");
    }
    assert!(!world.get(&kept_id).await.sealed);
    kept.send(append(vec![item(0)], Some(0))).await;
    kept.send(seal(Some(1))).await;
    kept.end().await.expect("it ends well");
    let batch = world.get(&kept_id).await;
    assert_eq!(batch.sealed_by(), SealedBy::Client);
}

#[tokio::test]
async fn a_batch_left_open_by_an_earlier_process_is_sealed_too() {
    let mut world = World::configured(seals_soon(), |_| Act::answer(201, "")).await;
    let id = abandoned(&mut world, 3).await;
    world.restart().await;
    let batch = world.finished(&id).await;
    assert_eq!(batch.sealed_by(), SealedBy::Timeout);
}

#[tokio::test]
async fn one_that_came_back_in_time_goes_on() {
    let settings = Settings {
        server: "open_timeout = \"1h\"",
        ..Settings::default()
    };
    let mut world = World::configured(settings, |_| Act::answer(201, "")).await;
    let id = abandoned(&mut world, 3).await;
    let rest = vec![
        resume(&id, 0),
        append(vec![item(3)], Some(3)),
        seal(Some(4)),
    ];
    world.stream(rest).await.end().await.expect("it ends well");
    assert_eq!(world.get(&id).await.sealed_by(), SealedBy::Client);
}

fn forgets_soon() -> Settings<'static> {
    Settings {
        store: "keep_batches = \"2s\"",
        target: "concurrency = 40\nreply_limit = \"1MiB\"",
        ..Settings::default()
    }
}

/// Waits until a batch is gone, and says how it is told.
async fn until_gone(world: &mut World, batch_id: &str) -> Status {
    let asked = async {
        loop {
            let request = GetBatchRequest {
                batch_id: batch_id.to_owned(),
            };
            if let Err(refused) = world.batches.get_batch(request).await {
                return refused;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asked).await.expect("it is thrown away")
}

#[tokio::test]
async fn a_finished_batch_is_thrown_away_whole_and_only_that() {
    let mut world = World::configured(forgets_soon(), |_| Act::answer(201, "")).await;
    let monday = BatchSubmitRequest {
        spec: Some(BatchSpec {
            request_id: "monday".to_owned(),
            ..spec("guests")
        }),
        ..submit((0..60).map(item).collect())
    };
    let served = world.batches.batch_submit(monday.clone()).await;
    let old = served.expect("it is served").into_inner().batch;
    let old = old.expect("a batch").id;
    hold(&mut world, "guests", "").await.expect("it is held");
    let queued = world.detach(3).await;
    let gone = until_gone(&mut world, &old).await;
    assert_refused(&gone, Code::NotFound, "BATCH_NOT_FOUND", &old);
    for refused in every_call(&mut world, &old).await {
        assert_refused(&refused, Code::NotFound, "BATCH_NOT_FOUND", &old);
    }
    let all = world.batches.list_batches(ListBatchesRequest::default());
    let all = all.await.expect("a list").into_inner().batches;
    let ids: Vec<&str> = all.iter().map(|batch| &batch.id[..]).collect();
    assert_eq!(ids, [&queued], "what is not finished stays");
    // Its request_id is free.
    let again = BatchSubmitRequest {
        wait: Some(false),
        ..monday
    };
    let again = world.batches.batch_submit(again).await.expect("at once");
    assert_ne!(again.into_inner().batch.expect("a batch").id, old);
    // Nor is anything left of it for another process.
    world.restart().await;
    until_gone(&mut world, &old).await;
    assert_eq!(world.get(&queued).await.state(), BatchState::Running);
}

/// What every call on a batch says that is refused.
async fn every_call(world: &mut World, batch_id: &str) -> Vec<Status> {
    let batch_id = || batch_id.to_owned();
    let batches = &mut world.batches;
    let watch = WatchBatchRequest {
        batch_id: batch_id(),
        ..WatchBatchRequest::default()
    };
    let list = ListBatchResultsRequest {
        batch_id: batch_id(),
        ..ListBatchResultsRequest::default()
    };
    let cancel = CancelBatchRequest {
        batch_id: batch_id(),
    };
    let pause = PauseBatchRequest {
        batch_id: batch_id(),
    };
    let retry = RetryBatchRequest {
        batch_id: batch_id(),
        ..RetryBatchRequest::default()
    };
    let refused = [
        batches.watch_batch(watch).await.err(),
        batches.list_batch_results(list).await.err(),
        batches.cancel_batch(cancel).await.err(),
        batches.pause_batch(pause).await.err(),
        batches.retry_batch(retry).await.err(),
    ];
    let resumed = world.stream(vec![resume(&batch_id(), 0)]).await.end().await;
    let refused = refused.into_iter().chain([resumed.err()]);
    refused
        .map(|refused| refused.expect("it is gone"))
        .collect()
}

#[tokio::test]
async fn a_watcher_of_what_is_thrown_away_is_told_and_its_call_ends() {
    let latch = Latch::default();
    let held = latch.clone();
    let reply = format!("\"{}\"", "x".repeat(900_000));
    let script = move |_: &_| Act::answer(200, reply.clone()).after(&held);
    let mut world = World::configured(forgets_soon(), script).await;
    // More than lies between a server and a client that does not read.
    let all = BatchSpec {
        echo: Echo::All.into(),
        ..spec("guests")
    };
    let large = || json_text(&format!("\"{}\"", "y".repeat(900_000)));
    let mut session = world.stream(vec![open(all)]).await;
    let id = session.accepted().await.batch_id;
    for at in [0, 10, 20] {
        let items = (0..10).map(|_| large()).collect();
        session.send(append(items, Some(at))).await;
    }
    session.send(seal(Some(30))).await;
    while !session.accepted().await.sealed {}
    world.target.arrived(30).await;
    let request = WatchBatchRequest {
        batch_id: id.clone(),
        ..WatchBatchRequest::default()
    };
    let watcher = world.batches.watch_batch(request).await;
    let mut watcher = watcher.expect("a stream").into_inner();
    drop(session);
    latch.open();
    until_gone(&mut world, &id).await;
    // What it had not read yet is gone; it is told so, and does not wait.
    let rest = async {
        let mut results = 0;
        loop {
            match watcher.message().await {
                Ok(Some(response)) => {
                    let Some(watch_batch_response::Message::Event(event)) = response.message else {
                        continue;
                    };
                    if let Some(flowgate::proto::batch_event::Kind::Results(some)) = event.kind {
                        results += some.results.len();
                    }
                }
                Ok(None) => panic!("it ended as if it had told all, after {results}"),
                Err(refused) => return (results, refused),
            }
        }
    };
    let (results, refused) = timeout(PATIENCE, rest).await.expect("it ends");
    assert!(results < 30, "all was told");
    assert_refused(&refused, Code::NotFound, "BATCH_NOT_FOUND", &id);
}
