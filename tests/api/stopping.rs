//! Deadlines and failure policies.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::SystemTime;

use flowgate::proto::{
    Batch, BatchSpec, BatchState, BatchSubmitRequest, FailureKind, FailurePolicy, Ordering,
    PauseBatchRequest, Progress, SealedBy, StoppedBy,
};
use prost_types::Timestamp;
use tonic::Code;

use crate::batches::failure;
use crate::pausing::hold;
use crate::support::http_target::{Act, Latch, Request};
use crate::world::{World, append, assert_refused, item, json_text, open, spec, submit};

/// So long from now, or ago.
fn ahead(seconds: i64) -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_secs()).expect("before the end");
    Timestamp {
        seconds: now + seconds,
        nanos: 0,
    }
}

fn stop_after(stop_after: u32) -> FailurePolicy {
    FailurePolicy {
        stop_after,
        stop_at_share: 0.0,
    }
}

fn stop_at(stop_at_share: f64) -> FailurePolicy {
    FailurePolicy {
        stop_after: 0,
        stop_at_share,
    }
}

/// One item at a time, which makes counts exact.
pub fn strict() -> BatchSpec {
    BatchSpec {
        ordering: Ordering::Strict.into(),
        ..spec("guests")
    }
}

/// Submits so many items without waiting.
pub async fn detach(world: &mut World, spec: BatchSpec, count: u32) -> String {
    let request = BatchSubmitRequest {
        spec: Some(spec),
        wait: Some(false),
        ..submit((0..count).map(item).collect())
    };
    let response = world.batches.batch_submit(request).await.expect("at once");
    response.into_inner().batch.expect("a batch").id
}

pub fn progress(batch: &Batch) -> Progress {
    batch.progress.clone().expect("progress")
}

fn count(batch: &Batch, kind: FailureKind) -> u32 {
    let counts = progress(batch).failed_by_kind;
    let found = counts.iter().find(|count| count.kind() == kind);
    found.map_or(0, |count| count.count)
}

pub fn number(request: &Request) -> u32 {
    let body = std::str::from_utf8(&request.body).expect("text");
    body[5..body.len() - 1].parse().expect("a number")
}

#[tokio::test]
async fn what_is_not_sent_by_the_deadline_expires_and_what_is_written_runs_out() {
    let latch = Latch::default();
    let held = latch.clone();
    let script = move |_: &_| Act::answer(200, "").after(&held);
    let mut world = World::with("concurrency = 5", script).await;
    let spec = BatchSpec {
        deadline: Some(ahead(3)),
        ..spec("guests")
    };
    let id = detach(&mut world, spec, 120).await;
    let expired = world
        .until(&id, |batch| count(batch, FailureKind::Expired) > 0)
        .await;
    assert_eq!(expired.stopped_by(), StoppedBy::Deadline);
    latch.open();
    let batch = world.finished(&id).await;
    // However slow the machine was: none was written after that.
    let sent = u32::try_from(world.target.requests().len()).expect("few");
    assert!(sent <= 5, "{sent}");
    assert_eq!(progress(&batch).succeeded, sent);
    assert_eq!(count(&batch, FailureKind::Expired), 120 - sent);
    assert_eq!(batch.stopped_by(), StoppedBy::Deadline);
    assert_eq!(batch.sealed_by(), SealedBy::Client, "it was sealed before");
    let results = world.results(&id).await;
    let last = results.last().expect("results");
    let failed = failure(last);
    assert_eq!(failed.kind(), FailureKind::Expired);
    assert!(failed.retryable);
    assert_eq!((last.attempts, failed.target_status), (0, 0));
    let error = failed.error.as_ref().expect("an error");
    assert_eq!(error.code, Code::DeadlineExceeded as i32);
    assert!(last.item.is_some(), "to submit it again");
}

#[tokio::test]
async fn a_deadline_does_not_wait_for_a_pause() {
    let mut world = World::start().await;
    hold(&mut world, "guests", "").await.expect("it is held");
    // Of a slow machine the deadline may come before the pause.
    for seconds in [2, 8, 32, 128] {
        let spec = BatchSpec {
            deadline: Some(ahead(seconds)),
            ..spec("guests")
        };
        let id = detach(&mut world, spec, 60).await;
        let request = PauseBatchRequest {
            batch_id: id.clone(),
        };
        let paused = world.batches.pause_batch(request).await.expect("no error");
        let paused = paused.into_inner().batch.expect("a batch");
        if paused.state() != BatchState::Paused {
            continue;
        }
        let batch = world.finished(&id).await;
        assert_eq!(batch.state(), BatchState::Failed);
        assert_eq!(count(&batch, FailureKind::Expired), 60);
        assert!(world.target.requests().is_empty());
        return;
    }
    panic!("no pause came before its deadline");
}

#[tokio::test]
async fn a_deadline_seals_what_is_open() {
    let mut world = World::start().await;
    hold(&mut world, "guests", "").await.expect("it is held");
    for seconds in [2, 8, 32, 128] {
        let spec = BatchSpec {
            deadline: Some(ahead(seconds)),
            ..spec("guests")
        };
        let first = vec![open(spec), append((0..3).map(item).collect(), None)];
        let mut session = world.stream(first).await;
        let mut accepted = session.accepted().await;
        while accepted.items_held < 3 && !accepted.sealed {
            accepted = session.accepted().await;
        }
        if accepted.sealed {
            continue;
        }
        let batch = world.until(&accepted.batch_id, |batch| batch.sealed).await;
        assert_eq!(batch.sealed_by(), SealedBy::Deadline);
        // The stream is told all, and that all failed.
        let refused = session.end().await.expect_err("all failed");
        let (code, reason) = (Code::FailedPrecondition, "ALL_ITEMS_FAILED");
        assert_refused(&refused, code, reason, "all 3 items");
        let batch = world.finished(&accepted.batch_id).await;
        assert_eq!(count(&batch, FailureKind::Expired), 3);
        takes_no_more(&mut world, &batch.id, 3).await;
        return;
    }
    panic!("no items came before their deadline");
}

/// An append to a batch that was sealed is refused.
async fn takes_no_more(world: &mut World, batch_id: &str, held: u32) {
    let first = vec![
        crate::world::resume(batch_id, 0),
        append(vec![item(99)], Some(held)),
    ];
    let refused = world.stream(first).await.end().await;
    let refused = refused.expect_err("it is sealed");
    // What it was told of the end may have been first.
    if refused.message().contains("all ") {
        return;
    }
    let code = Code::FailedPrecondition;
    assert_refused(&refused, code, "BATCH_SEALED", "open another one");
}

#[tokio::test]
async fn a_deadline_that_has_passed_lets_nothing_through() {
    let mut world = World::start().await;
    let spec = BatchSpec {
        deadline: Some(ahead(-60)),
        ..spec("guests")
    };
    let id = detach(&mut world, spec.clone(), 60).await;
    let batch = world.finished(&id).await;
    assert_eq!(batch.state(), BatchState::Failed);
    assert_eq!(count(&batch, FailureKind::Expired), 60);
    let mut session = world.stream(vec![open(spec.clone())]).await;
    let accepted = session.accepted().await;
    assert!(accepted.sealed);
    let batch = world.get(&accepted.batch_id).await;
    assert_eq!(batch.sealed_by(), SealedBy::Deadline);
    assert!(world.target.requests().is_empty());
    // And what is no time is refused.
    let never = BatchSpec {
        deadline: Some(Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        }),
        ..spec
    };
    let request = BatchSubmitRequest {
        spec: Some(never),
        ..submit(vec![item(1)])
    };
    let refused = world.batches.batch_submit(request).await;
    let refused = refused.expect_err("it is no time");
    let (code, reason) = (Code::InvalidArgument, "INVALID_SPEC");
    assert_refused(&refused, code, reason, "spec.deadline is not a time");
}

#[tokio::test]
async fn a_policy_stops_a_batch_at_so_many_failures() {
    let mut world = World::with("", |_| Act::answer(422, "")).await;
    let one_by_one = BatchSpec {
        failure_policy: Some(stop_after(3)),
        ..strict()
    };
    let id = detach(&mut world, one_by_one, 120).await;
    let batch = world.finished(&id).await;
    assert_eq!(world.target.requests().len(), 3);
    assert_eq!(
        (batch.state(), batch.stopped_by()),
        (BatchState::Failed, StoppedBy::FailurePolicy)
    );
    assert_eq!(count(&batch, FailureKind::Rejected), 3);
    assert_eq!(count(&batch, FailureKind::Aborted), 117);
    let results = world.results(&id).await;
    let failed = failure(&results[100]);
    assert_eq!((results[100].attempts, failed.retryable), (0, false));
    let error = failed.error.as_ref().expect("an error");
    assert_eq!(error.code, Code::Aborted as i32);
}

#[tokio::test]
async fn what_is_on_the_wire_when_a_policy_stops_it_runs_out() {
    let (latch, sent) = (Latch::default(), AtomicUsize::new(0));
    let held = latch.clone();
    let script = move |_: &Request| match sent.fetch_add(1, SeqCst) {
        0..4 => Act::answer(422, ""),
        _ => Act::answer(422, "").after(&held),
    };
    let mut world = World::with("concurrency = 4", script).await;
    let picky = BatchSpec {
        failure_policy: Some(stop_after(3)),
        ..spec("guests")
    };
    let id = detach(&mut world, picky, 300).await;
    world
        .until(&id, |b| b.stopped_by() == StoppedBy::FailurePolicy)
        .await;
    latch.open();
    let batch = world.finished(&id).await;
    let sent = u32::try_from(world.target.requests().len()).expect("few");
    assert!((4..=8).contains(&sent), "{sent}");
    assert_eq!(count(&batch, FailureKind::Rejected), sent);
    assert_eq!(count(&batch, FailureKind::Aborted), 300 - sent);
}

#[tokio::test]
async fn a_policy_stops_a_batch_at_a_share_of_failures() {
    let script = |request: &Request| match number(request) {
        90.. => Act::answer(422, ""),
        _ => Act::answer(200, ""),
    };
    let mut world = World::with("", script).await;
    let tenth = BatchSpec {
        failure_policy: Some(stop_at(0.1)),
        ..strict()
    };
    // Of what is completed, once that is a hundred: ten of them.
    let id = detach(&mut world, tenth.clone(), 300).await;
    let batch = world.finished(&id).await;
    assert_eq!(batch.state(), BatchState::PartiallySucceeded);
    assert_eq!(world.target.requests().len(), 100);
    assert_eq!(count(&batch, FailureKind::Aborted), 200);
    // Of all, where those are fewer.
    let request = BatchSubmitRequest {
        spec: Some(tenth),
        all_failed_is_ok: true,
        ..submit((100..150).map(item).collect())
    };
    let response = world.batches.batch_submit(request).await.expect("it is ok");
    let batch = response.into_inner().batch.expect("a batch");
    assert_eq!(count(&batch, FailureKind::Rejected), 5);
    assert_eq!(count(&batch, FailureKind::Aborted), 45);
}

#[tokio::test]
async fn an_open_batch_is_judged_by_a_hundred_outcomes_and_sealed_when_it_is_stopped() {
    let mut world = World::with("concurrency = 4", |_| Act::answer(422, "")).await;
    let half = BatchSpec {
        failure_policy: Some(stop_at(0.5)),
        ..spec("guests")
    };
    let few = vec![
        open(half.clone()),
        append((0..99).map(item).collect(), None),
    ];
    let mut session = world.stream(few).await;
    let id = session.accepted().await.batch_id;
    let batch = world.until(&id, |batch| progress(batch).failed == 99).await;
    assert_eq!(
        (batch.stopped_by(), batch.sealed),
        (StoppedBy::Unspecified, false)
    );
    session.send(append(vec![item(99)], Some(99))).await;
    let batch = world.until(&id, |batch| batch.sealed).await;
    assert_eq!(
        (batch.sealed_by(), batch.stopped_by()),
        (SealedBy::FailurePolicy, StoppedBy::FailurePolicy)
    );
    let refused = session.end().await.expect_err("all failed");
    let (code, reason) = (Code::FailedPrecondition, "ALL_ITEMS_FAILED");
    assert_refused(&refused, code, reason, "all 100 items");
    takes_no_more(&mut world, &id, 100).await;
}

#[tokio::test]
async fn what_fails_admission_counts_too() {
    let mut world = World::start().await;
    hold(&mut world, "guests", "").await.expect("it is held");
    let picky = BatchSpec {
        failure_policy: Some(stop_after(2)),
        ..spec("guests")
    };
    let items = vec![item(1), json_text("{"), item(3), json_text("{")];
    let request = BatchSubmitRequest {
        spec: Some(picky),
        items,
        all_failed_is_ok: true,
        ..BatchSubmitRequest::default()
    };
    let response = world.batches.batch_submit(request).await.expect("no error");
    let batch = response.into_inner().batch.expect("a batch");
    assert_eq!(batch.stopped_by(), StoppedBy::FailurePolicy);
    assert_eq!(count(&batch, FailureKind::Invalid), 2);
    assert_eq!(count(&batch, FailureKind::Aborted), 2);
    assert!(world.target.requests().is_empty());
}

#[tokio::test]
async fn a_share_is_from_0_to_1() {
    let mut world = World::start().await;
    for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let request = BatchSubmitRequest {
            spec: Some(BatchSpec {
                failure_policy: Some(stop_at(share)),
                ..spec("guests")
            }),
            ..submit(vec![item(1)])
        };
        let refused = world.batches.batch_submit(request).await;
        let refused = refused.expect_err("it is no share");
        let (code, reason) = (Code::InvalidArgument, "INVALID_SPEC");
        assert_refused(&refused, code, reason, "spec.failure_policy.stop_at_share");
    }
    let request = BatchSubmitRequest {
        spec: Some(BatchSpec {
            ordering: 7,
            ..spec("guests")
        }),
        ..submit(vec![item(1)])
    };
    let refused = world.batches.batch_submit(request).await;
    let refused = refused.expect_err("there is no such order");
    let (code, reason) = (Code::InvalidArgument, "INVALID_SPEC");
    assert_refused(&refused, code, reason, "spec.ordering");
}
