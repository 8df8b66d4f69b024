//! What a drain does for those who are served, and for what is under way.

use std::time::Duration;

use flowgate::proto::{
    BatchOpen, BatchState, BatchSubmitStreamRequest, FailureKind, ItemResult, WatchBatchRequest,
    batch_open, batch_submit_stream_request, item_result,
};
use rustix::process::Signal;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::http_target::{Act, Latch};
use crate::support::patience::within;
use crate::world::{
    Took, World, assert_shutting_down, batch, client, items, number, results, spec, submission,
    submit,
};

/// All that health can be asked about.
const NAMES: [&str; 3] = ["", "flowgate.v1.BatchService", "flowgate.v1.TargetService"];

fn health_of(name: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: name.to_owned(),
    }
}

fn succeeded(result: &ItemResult) -> bool {
    matches!(result.outcome, Some(item_result::Outcome::Success(_)))
}

fn in_doubt(result: &ItemResult) -> bool {
    match &result.outcome {
        Some(item_result::Outcome::Failure(failure)) => failure.kind() == FailureKind::InDoubt,
        _ => false,
    }
}

/// A target that answers nothing before the latch is open.
async fn held_world() -> (World, Latch) {
    let latch = Latch::default();
    let held = latch.clone();
    let world = World::new("1h", move |_| Act::answer(201, "").after(&held)).await;
    (world, latch)
}

#[tokio::test]
async fn health_says_at_once_that_it_is_not_serving() {
    let (world, latch) = held_world().await;
    let mut program = world.start().await;
    submit(&mut client(&program).await, items(1, 0)).await;
    within("a request", world.target.arrived(1)).await;
    let mut health = HealthClient::new(program.connect().await.expect("a connection"));
    let mut watches = Vec::new();
    for name in NAMES {
        let watch = health.watch(health_of(name)).await;
        let mut watch = watch.expect("it is watched").into_inner();
        let first = watch.message().await.expect("no error").expect("a status");
        assert_eq!(first.status(), ServingStatus::Serving, "{name}");
        watches.push((name, watch));
    }
    program.process().signal(Signal::TERM);
    for (name, watch) in &mut watches {
        let next = within("a change", watch.message()).await;
        let next = next.expect("no error").expect("a status");
        assert_eq!(next.status(), ServingStatus::NotServing, "{name}");
    }
    program.says("draining").await;
    for name in NAMES {
        let now = health.check(health_of(name)).await.expect("it is served");
        assert_eq!(now.into_inner().status(), ServingStatus::NotServing);
    }
    // Once nothing is left to wait for, the watches end too, which would
    // otherwise go on for ever.
    latch.open();
    for (name, mut watch) in watches {
        let end = within("the watch's end", watch.message()).await;
        assert!(end.expect("it ends well").is_none(), "{name}");
    }
    assert!(program.ended().await.status.success());
}

#[tokio::test]
async fn nothing_more_is_taken_in_and_the_rest_is_still_served() {
    let (world, latch) = held_world().await;
    let mut program = world.start().await;
    let mut first = client(&program).await;
    let id = submit(&mut first, items(1, 0)).await;
    let mut waits = first.clone();
    let waiting =
        tokio::spawn(async move { waits.batch_submit(submission(items(1, 0), true)).await });
    within("both requests", world.target.arrived(2)).await;
    program.process().signal(Signal::TERM);
    program.says("draining").await;
    // Whoever waits for results is told how far they are, with the id.
    let told = within("an answer", waiting).await.expect("no panic");
    let told = told.expect("no error").into_inner().batch.expect("a batch");
    assert_eq!(told.state(), BatchState::Running);
    assert!(!told.id.is_empty());
    // On a connection that was open, and on a new one.
    for mut client in [first, client(&program).await] {
        let refused = client.batch_submit(submission(items(1, 0), false)).await;
        assert_shutting_down(&refused.expect_err("it is refused"));
        let open = batch_submit_stream_request::Message::Open(BatchOpen {
            how: Some(batch_open::How::Spec(spec())),
            all_failed_is_ok: false,
        });
        let open = BatchSubmitStreamRequest {
            message: Some(open),
        };
        let refused = client.batch_submit_stream(tokio_stream::once(open)).await;
        assert_shutting_down(&refused.expect_err("it is refused"));
        let found = batch(&mut client, &id).await;
        assert_eq!(found.state(), BatchState::Running);
    }
    latch.open();
    assert!(program.ended().await.status.success());
}

#[tokio::test]
async fn what_is_written_finishes_and_the_rest_is_sent_once_after_a_restart() {
    let (world, latch) = held_world().await;
    let mut program = world.start().await;
    let mut first = client(&program).await;
    let id = submit(&mut first, items(100, 0)).await;
    let watch = WatchBatchRequest {
        batch_id: id.clone(),
        ..WatchBatchRequest::default()
    };
    let watch = first.watch_batch(watch).await.expect("a stream");
    let mut watch = watch.into_inner();
    within("as many as may be under way", world.target.arrived(10)).await;
    program.process().signal(Signal::TERM);
    program.says("draining").await;
    let end = within("the stream's end", watch.message()).await;
    assert_shutting_down(&end.expect_err("it is told to come back"));
    latch.open();
    let ended = program.ended().await;
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.log.contains("drained"), "{ended:?}");
    assert_eq!(world.target.requests().len(), 10);

    let program = world.start().await;
    let results = results(&mut client(&program).await, &id).await;
    assert_eq!(results.len(), 100);
    assert!(results.iter().all(succeeded), "{results:?}");
    let mut sent: Vec<u64> = world.target.requests().iter().map(number).collect();
    sent.sort_unstable();
    assert_eq!(sent, (0..100).collect::<Vec<_>>());
    program.stopped().await;
}

#[tokio::test]
async fn a_target_that_never_answers_cuts_the_drain_short() {
    const DRAIN: Duration = Duration::from_secs(4);
    let world = World::new("4s", |request| match number(request) {
        0..3 => Act::Silence,
        _ => Act::answer(201, ""),
    })
    .await;
    let program = world.start().await;
    let mut first = client(&program).await;
    let id = submit(&mut first, items(5, 0)).await;
    within("all requests", world.target.arrived(5)).await;
    let took = Took::begins();
    program.process().signal(Signal::TERM);
    let ended = program.ended().await;
    took.assert_under(DRAIN);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let why = "error: the drain was cut short: requests to targets were still under way";
    assert!(ended.log.contains(why), "{ended:?}");

    let program = world.start().await;
    let results = results(&mut client(&program).await, &id).await;
    assert!(results[..3].iter().all(in_doubt), "{results:?}");
    assert!(results[3..].iter().all(succeeded), "{results:?}");
    assert_eq!(world.target.requests().len(), 5, "nothing is sent again");
    program.stopped().await;
}

#[tokio::test]
async fn a_drain_that_is_cut_short_has_given_back_what_was_not_written() {
    let world = World::new("4s", |request| match number(request) {
        0..10 => Act::Silence,
        _ => Act::answer(201, ""),
    })
    .await;
    let program = world.start().await;
    let id = submit(&mut client(&program).await, items(40, 0)).await;
    within("as many as may be under way", world.target.arrived(10)).await;
    program.process().signal(Signal::TERM);
    assert_eq!(program.ended().await.status.code(), Some(1));

    let program = world.start().await;
    let results = results(&mut client(&program).await, &id).await;
    assert!(results[..10].iter().all(in_doubt), "{results:?}");
    assert!(results[10..].iter().all(succeeded), "{results:?}");
    assert_eq!(world.target.requests().len(), 40);
    program.stopped().await;
}
