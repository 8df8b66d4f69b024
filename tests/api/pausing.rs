//! Pausing batches and targets, and letting them go on.

use flowgate::proto::{
    Batch, BatchState, CancelBatchRequest, GetTargetRequest, ListBatchesRequest, PauseBatchRequest,
    PauseTargetRequest, Progress, ResumeBatchRequest, ResumeTargetRequest, RetryBatchRequest,
    Target, TargetStatus, WatchBatchRequest, watch_batch_response,
};
use tonic::{Code, Status};

use crate::support::http_target::{Act, Latch};
use crate::world::{World, append, assert_refused, item, open, resume, seal, spec};

async fn pause(world: &mut World, batch_id: &str) -> Batch {
    let request = PauseBatchRequest {
        batch_id: batch_id.to_owned(),
    };
    let response = world.batches.pause_batch(request).await;
    let response = response.expect("it is paused").into_inner();
    response.batch.expect("a batch")
}

async fn let_go_on(world: &mut World, batch_id: &str) -> Batch {
    let request = ResumeBatchRequest {
        batch_id: batch_id.to_owned(),
    };
    let response = world.batches.resume_batch(request).await;
    let response = response.expect("it goes on").into_inner();
    response.batch.expect("a batch")
}

pub async fn hold(world: &mut World, name: &str, reason: &str) -> Result<Target, Status> {
    let request = PauseTargetRequest {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    let response = world.targets.pause_target(request).await?.into_inner();
    Ok(response.target.expect("a target"))
}

pub async fn let_go(world: &mut World, name: &str) -> Result<Target, Status> {
    let request = ResumeTargetRequest {
        name: name.to_owned(),
    };
    let response = world.targets.resume_target(request).await?.into_inner();
    Ok(response.target.expect("a target"))
}

async fn status(world: &mut World, name: &str) -> TargetStatus {
    let request = GetTargetRequest {
        name: name.to_owned(),
    };
    let response = world.targets.get_target(request).await;
    let target = response.expect("it is there").into_inner().target;
    target.expect("a target").status.expect("a status")
}

fn progress(batch: &Batch) -> Progress {
    batch.progress.clone().expect("progress")
}

/// What the first heartbeat says, after what is recorded.
async fn heartbeat(world: &mut World, batch_id: &str) -> Progress {
    let request = WatchBatchRequest {
        batch_id: batch_id.to_owned(),
        ..WatchBatchRequest::default()
    };
    let stream = world.batches.watch_batch(request).await.expect("a stream");
    let mut stream = stream.into_inner();
    loop {
        let told = stream.message().await.expect("no error");
        let message = told.expect("it is not finished").message;
        if let Some(watch_batch_response::Message::Heartbeat(beat)) = message {
            return beat.progress.expect("progress");
        }
    }
}

#[tokio::test]
async fn a_pause_lets_what_is_written_run_and_holds_the_rest() {
    let latch = Latch::default();
    let held = latch.clone();
    let script = move |_: &_| Act::answer(200, "").after(&held);
    let mut world = World::with("concurrency = 10", script).await;
    let id = world.detach(50).await;
    world.target.arrived(10).await;
    assert_eq!(pause(&mut world, &id).await.state(), BatchState::Paused);
    latch.open();
    let rest = |batch: &Batch| progress(batch).succeeded == 10 && progress(batch).in_flight == 0;
    let paused = world.until(&id, rest).await;
    assert_eq!(progress(&paused).queued, 40);
    assert_eq!(
        (paused.state(), paused.sealed),
        (BatchState::Paused, true),
        "pausing changes nothing else"
    );
    // Others go on, and overtake it.
    world.is_unhurt().await;
    assert_eq!(world.target.requests().len(), 12);
    let again = pause(&mut world, &id).await;
    assert_eq!(again, paused, "a second pause changes nothing");
    let beat = heartbeat(&mut world, &id).await;
    for told in [beat, progress(&paused)] {
        let waiting = told.waiting.expect("it waits");
        assert_eq!(waiting.reason, "the batch is paused");
        assert_eq!((waiting.until, told.time_left), (None, None));
    }
    let listed = ListBatchesRequest {
        states: vec![BatchState::Paused.into()],
        ..ListBatchesRequest::default()
    };
    let listed = world.batches.list_batches(listed).await.expect("a list");
    assert_eq!(listed.into_inner().batches, [paused]);

    let running = let_go_on(&mut world, &id).await;
    assert_eq!(running.state(), BatchState::Running);
    let finished = world.finished(&id).await;
    assert_eq!(finished.state(), BatchState::Succeeded);
    assert_eq!(world.target.requests().len(), 52, "nothing is sent twice");
    // What is over is left as it is.
    assert_eq!(pause(&mut world, &id).await, finished);
    assert_eq!(let_go_on(&mut world, &id).await, finished);
}

#[tokio::test]
async fn a_paused_batch_takes_items_outlives_the_server_and_can_be_sealed() {
    let mut world = World::start().await;
    let mut session = world.stream(vec![open(spec("guests"))]).await;
    let id = session.accepted().await.batch_id;
    pause(&mut world, &id).await;
    session
        .send(append((0..70).map(item).collect(), Some(0)))
        .await;
    while session.accepted().await.items_held < 70 {}
    world.restart().await;
    let paused = world.get(&id).await;
    assert_eq!(paused.state(), BatchState::Paused);
    let mut session = world.stream(vec![resume(&id, 0), seal(Some(70))]).await;
    while !session.accepted().await.sealed {}
    world.is_unhurt().await;
    assert_eq!(world.target.requests().len(), 2, "nothing of it was sent");
    let_go_on(&mut world, &id).await;
    session.end().await.expect("it ends well");
    assert_eq!(world.get(&id).await.state(), BatchState::Succeeded);
}

#[tokio::test]
async fn a_paused_batch_can_be_cancelled() {
    let mut world = World::start().await;
    hold(&mut world, "guests", "").await.expect("it is held");
    let id = world.detach(120).await;
    pause(&mut world, &id).await;
    let request = CancelBatchRequest {
        batch_id: id.clone(),
    };
    world
        .batches
        .cancel_batch(request)
        .await
        .expect("it is cancelled");
    let batch = world.finished(&id).await;
    assert_eq!(batch.state(), BatchState::Cancelled);
    assert_eq!(progress(&batch).failed, 120);
    // Neither brings it back.
    assert_eq!(pause(&mut world, &id).await, batch);
    assert_eq!(let_go_on(&mut world, &id).await, batch);
    assert!(world.target.requests().is_empty());
}

#[tokio::test]
async fn a_call_on_a_batch_that_is_not_there_says_so() {
    let mut world = World::start().await;
    let absent = "01997c1e-0000-7000-8000-000000000000";
    for (batch_id, code, reason) in [
        (absent, Code::NotFound, "BATCH_NOT_FOUND"),
        ("mine", Code::InvalidArgument, "INVALID_BATCH_ID"),
        ("", Code::InvalidArgument, "INVALID_BATCH_ID"),
    ] {
        let batch_id = batch_id.to_owned();
        let request = PauseBatchRequest {
            batch_id: batch_id.clone(),
        };
        let paused = world.batches.pause_batch(request).await.err();
        let request = ResumeBatchRequest {
            batch_id: batch_id.clone(),
        };
        let resumed = world.batches.resume_batch(request).await.err();
        let request = RetryBatchRequest {
            batch_id,
            ..RetryBatchRequest::default()
        };
        let retried = world.batches.retry_batch(request).await.err();
        for refused in [paused, resumed, retried] {
            assert_refused(&refused.expect("it is refused"), code, reason, "batch");
        }
    }
}

#[tokio::test]
async fn a_held_target_is_sent_nothing_by_anybody_also_after_a_restart() {
    let latch = Latch::default();
    let held = latch.clone();
    let other = "concurrency = 10\n[targets.rooms]\nkind = \"http\"\nurl = \"BASE\"\npath = \"/\"";
    let script = move |_: &_| Act::answer(200, "").after(&held);
    let mut world = World::with(other, script).await;
    let first = world.detach(30).await;
    world.target.arrived(10).await;
    let target = hold(&mut world, "guests", "upgrade").await;
    let status_then = target.expect("it is held").status.expect("a status");
    let since = status_then.held_since.expect("since when");
    assert_eq!(
        status_then.pause_reason,
        "an operator holds the target: upgrade"
    );
    assert_eq!(status_then.paused_until, None);
    latch.open();
    // What was written runs to its outcome.
    let rest = |batch: &Batch| progress(batch).succeeded == 10 && progress(batch).in_flight == 0;
    let batch = world.until(&first, rest).await;
    let waiting = progress(&batch).waiting.expect("it waits");
    assert_eq!(waiting.reason, "an operator holds the target: upgrade");
    assert_eq!((waiting.until, batch.state()), (None, BatchState::Running));
    let second = world.detach(5).await;
    // Of several who hold it, the first is who says why.
    let target = hold(&mut world, "guests", "mine").await.expect("no error");
    let again = target.status.expect("a status");
    assert_eq!(
        (again.held_since, &again.pause_reason),
        (Some(since), &status_then.pause_reason)
    );
    world.restart().await;
    let after = status(&mut world, "guests").await;
    assert_eq!(
        (after.held_since, after.queued_items, after.in_flight),
        (Some(since), 25, 0)
    );
    assert_eq!(after.pause_reason, status_then.pause_reason);
    let beat = heartbeat(&mut world, &first).await;
    assert_eq!(beat.waiting.expect("it waits").reason, waiting.reason);
    // Nobody else's target is held.
    assert_eq!(status(&mut world, "rooms").await.held_since, None);
    let mut rooms = crate::world::submit(vec![item(1)]);
    rooms.spec = Some(spec("rooms"));
    let served = world.batches.batch_submit(rooms).await.expect("it is sent");
    assert_eq!(
        served.into_inner().batch.expect("a batch").state(),
        BatchState::Succeeded
    );
    assert_eq!(world.target.requests().len(), 11);

    let target = let_go(&mut world, "guests").await.expect("it goes on");
    let status_now = target.status.expect("a status");
    assert_eq!(
        (status_now.held_since, &status_now.pause_reason[..]),
        (None, "")
    );
    for id in [first, second] {
        let batch = world.finished(&id).await;
        assert_eq!(batch.state(), BatchState::Succeeded);
    }
    let_go(&mut world, "guests").await.expect("no error");
    assert_eq!(world.target.requests().len(), 36, "nothing is sent twice");
    // It is not held again by a restart.
    world.restart().await;
    world.is_unhurt().await;
}

#[tokio::test]
async fn holding_a_target_is_refused_with_what_would_be_right() {
    let mut world = World::start().await;
    let refused = hold(&mut world, "gusts", "").await.expect_err("no target");
    assert_refused(&refused, Code::NotFound, "TARGET_NOT_FOUND", "ListTargets");
    let refused = let_go(&mut world, "gusts").await.expect_err("no target");
    assert_refused(&refused, Code::NotFound, "TARGET_NOT_FOUND", "ListTargets");
    for (reason, says) in [
        ("x".repeat(257), "256 are the most"),
        ("a\nb".to_owned(), "control character"),
    ] {
        let refused = hold(&mut world, "guests", &reason).await;
        let refused = refused.expect_err("no such reason");
        assert_refused(&refused, Code::InvalidArgument, "INVALID_REASON", says);
    }
    world.is_unhurt().await;
    hold(&mut world, "guests", &"é".repeat(256))
        .await
        .expect("as long as may be");
}
