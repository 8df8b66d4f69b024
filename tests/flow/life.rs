//! What callers, operators and time do to a batch: pause, hold, deadline, failure
//! policy, a stream that was left, and what is thrown away in the end.

use std::sync::Arc;
use std::time::Duration;

use flowgate::model::{
    BatchSpec, BatchState, FailureKind, FailurePolicy, Reply, SealedBy, StoppedBy, TargetName,
    TenantId,
};
use flowgate::store::{Change, MemoryStore, Store};
use flowgate::time::wall_ms;
use tokio::time::{Instant, sleep, timeout};

use super::kinds;
use super::world::{Act, KEPT, TargetSpec, World, cause, done, draft, results, spec};

const SECOND: Duration = Duration::from_secs(1);

fn count(kinds: &[Option<FailureKind>], kind: Option<FailureKind>) -> usize {
    kinds.iter().filter(|k| **k == kind).count()
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_what_waits_lets_run_out_what_is_written_and_can_be_ended() {
    let slow = TargetSpec::named("guests").doing(|_, _| done(300));
    let world = World::start(&["10/s"], vec![slow]);
    let batch = world.submit("guests", 40).await;
    world.has_sent(10).await;
    let paused = world.change(&batch, Change::Pause).await;
    assert_eq!(paused.state, BatchState::Paused);
    sleep(60 * SECOND).await;
    assert_eq!(world.sent().len(), 10, "nothing was sent meanwhile");
    let now = world.read(&batch).await;
    let counts = now.progress.counts;
    assert_eq!(
        (counts.succeeded, counts.in_flight, counts.queued()),
        (10, 0, 30)
    );
    // Again changes nothing.
    assert_eq!(
        world.change(&batch, Change::Pause).await.state,
        BatchState::Paused
    );
    world.change(&batch, Change::Resume).await;
    assert_eq!(results(&world.events(&batch).await).len(), 40);
    let now = world.read(&batch).await;
    assert_eq!((now.state, now.stopped_by), (BatchState::Succeeded, None));
    // Neither does anything that comes too late.
    for change in [Change::Pause, Change::Resume, Change::Cancel] {
        assert_eq!(world.change(&batch, change).await, now);
    }
}

#[tokio::test(start_paused = true)]
async fn a_paused_batch_can_be_cancelled_and_keeps_its_deadline() {
    let world = World::start(&["10/s"], vec![TargetSpec::named("guests")]);
    let batch = world.submit("guests", 30).await;
    let late = BatchSpec {
        deadline_ms: Some(wall_ms() + 5_000),
        ..spec("guests")
    };
    let expiring = world.submit_as(late, (0..30).map(draft).collect()).await;
    world.change(&batch, Change::Pause).await;
    world.change(&expiring, Change::Pause).await;
    let began = Instant::now();
    let ended = kinds(&world.events(&expiring).await);
    assert!(count(&ended, Some(FailureKind::Expired)) > 0);
    assert!(began.elapsed() <= 7 * SECOND, "{:?}", began.elapsed());
    world.change(&batch, Change::Cancel).await;
    let ended = kinds(&world.events(&batch).await);
    assert!(count(&ended, Some(FailureKind::Cancelled)) > 0);
    assert_eq!(world.read(&batch).await.state, BatchState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_a_deadline() {
    let slow = TargetSpec::named("guests").doing(|_, _| done(900));
    let world = World::start(&["10/s"], vec![slow]);
    let deadline = Instant::now() + Duration::from_millis(2_500);
    let late = BatchSpec {
        deadline_ms: Some(wall_ms() + 2_500),
        ..spec("guests")
    };
    let batch = world.submit_as(late, (0..100).map(draft).collect()).await;
    let ended = kinds(&world.events(&batch).await);
    let sent = world.sent();
    assert!(
        sent.iter()
            .all(|sent| sent.at <= deadline + Duration::from_millis(1))
    );
    // What was written by then runs out; the rest was never sent.
    assert_eq!(count(&ended, None), sent.len());
    assert_eq!(count(&ended, Some(FailureKind::Expired)), 100 - sent.len());
    assert!((20..=30).contains(&sent.len()), "{}", sent.len());
    let batch = world.read(&batch).await;
    assert_eq!(batch.state, BatchState::PartiallySucceeded);
    assert_eq!(batch.stopped_by, Some(StoppedBy::Deadline));
    assert_eq!(batch.sealed_by, Some(SealedBy::Client));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_seals_a_batch_that_is_open() {
    let world = World::start(&[], vec![TargetSpec::named("guests")]);
    let late = BatchSpec {
        deadline_ms: Some(wall_ms() + 5_000),
        ..spec("guests")
    };
    let opened = world.intake.open(TenantId::default(), late).await;
    let mut submission = opened.expect("a submission");
    let appended = submission.append(vec![draft(0)], None, 16).await;
    appended.expect("it is taken");
    submission.flush();
    let batch = submission.committed().await.expect("it is held").cloned();
    let events = world.events(&batch.expect("a batch")).await;
    assert_eq!(kinds(&events), [None]);
    let batch = world.read(submission.batch()).await;
    assert_eq!(batch.sealed_by, Some(SealedBy::Deadline));
    let late = submission.append(vec![draft(1)], None, 16).await;
    late.expect("it waits for its chunk");
    submission.flush();
    let refused = submission.committed().await.expect_err("it is sealed");
    assert_eq!(refused.reason, "BATCH_SEALED");
}

#[tokio::test(start_paused = true)]
async fn as_many_failures_as_the_policy_takes_stop_the_rest() {
    let bad = TargetSpec::named("guests").doing(|item, _| match item.index % 4 {
        0 => Act::Reply(5 * SECOND / 1_000, Reply::Refused(cause("HTTP_422"))),
        _ => done(5),
    });
    let world = World::start(&["100/s"], vec![bad]);
    let strict = BatchSpec {
        failure_policy: FailurePolicy {
            stop_after: 10,
            ..FailurePolicy::default()
        },
        ..spec("guests")
    };
    let batch = world
        .submit_as(strict, (0..1_000).map(draft).collect())
        .await;
    let other = world.submit("guests", 100).await;
    let ended = kinds(&world.events(&batch).await);
    let sent = ended.len() - count(&ended, Some(FailureKind::Aborted));
    // What was on the wire when the tenth failed runs out.
    let refused = count(&ended, Some(FailureKind::Rejected));
    assert!((10..=40).contains(&refused), "{refused} refused");
    assert!(sent <= 200, "{sent} sent");
    let batch = world.read(&batch).await;
    assert_eq!(batch.state, BatchState::PartiallySucceeded);
    assert_eq!(batch.stopped_by, Some(StoppedBy::FailurePolicy));
    // Nobody else is stopped.
    assert_eq!(results(&world.events(&other).await).len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_policy_counts_what_fails_here_too_and_takes_no_more_items() {
    let world = World::start(&["1/s"], vec![TargetSpec::named("guests")]);
    let strict = BatchSpec {
        failure_policy: FailurePolicy {
            stop_at_share: 0.5,
            ..FailurePolicy::default()
        },
        ..spec("guests")
    };
    // Five of ten: only the seal says that this is half of all.
    let drafts = (0..10).map(|number| {
        let mut draft = draft(number);
        draft.item.id = (number >= 5).then(|| format!("{number}\n"));
        draft
    });
    let drafts = drafts.collect();
    let opened = world.intake.open(TenantId::default(), strict).await;
    let mut submission = opened.expect("a submission");
    submission.append(drafts, None, 16).await.expect("taken");
    submission.flush();
    submission.committed().await.expect("held");
    assert_eq!(world.read(submission.batch()).await.stopped_by, None);
    submission.seal(None).expect("sealed");
    submission.committed().await.expect("held");
    let batch = submission.batch().clone();
    let ended = kinds(&world.events(&batch).await);
    assert_eq!(count(&ended, Some(FailureKind::Invalid)), 5);
    assert!(count(&ended, Some(FailureKind::Aborted)) >= 3, "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn an_operator_holds_a_target_also_over_a_restart() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let targets = || vec![TargetSpec::named("guests"), TargetSpec::named("rooms")];
    let world = World::on(store.clone(), &["100/s"], targets());
    let name = TargetName::new("guests");
    let held = |reason: &str| Some(reason.to_owned());
    let batch = world.submit("guests", 300).await;
    world.has_sent(50).await;
    world
        .intake
        .hold(&name, held("stock-taking"))
        .await
        .expect("held");
    world
        .intake
        .hold(&name, held("another"))
        .await
        .expect("held");
    let rooms = world.submit("rooms", 10).await;
    assert_eq!(results(&world.events(&rooms).await).len(), 10);
    sleep(60 * SECOND).await;
    let sent = world.sent().len();
    assert!(sent < 200, "{sent}");
    let shown = world.status("guests").held.expect("it is held");
    assert_eq!(shown.reason, "stock-taking");
    assert_eq!(world.status("rooms").held, None);
    world.stop().await;

    let world = World::on(store, &["100/s"], targets());
    sleep(60 * SECOND).await;
    assert_eq!(world.sent().len(), 0);
    assert!(world.status("guests").held.is_some());
    // A held target's batch can still be stopped.
    let doomed = world.submit("guests", 10).await;
    world.change(&doomed, Change::Cancel).await;
    let ended = timeout(SECOND, world.events(&doomed))
        .await
        .expect("it ends");
    assert_eq!(kinds(&ended), vec![Some(FailureKind::Cancelled); 10]);
    world.intake.hold(&name, None).await.expect("let go");
    assert_eq!(results(&world.events(&batch).await).len(), 300);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_never_said_to_be_cancelled() {
    let faulty = TargetSpec {
        safe: true,
        ..TargetSpec::named("guests")
    };
    let faulty = faulty.doing(|item, _| match item.index {
        0 => Act::Reply(Duration::ZERO, Reply::Fault(cause("HTTP_500"))),
        1 => Act::Reply(Duration::ZERO, Reply::Unknown(cause("TIMEOUT"))),
        2 => Act::Reply(Duration::ZERO, Reply::Unsent(cause("REFUSED"))),
        _ => done(1),
    });
    let world = World::start(&[], vec![faulty]);
    let batch = world.submit("guests", 4).await;
    world.has_sent(4).await;
    // Each of the first three waits for another try.
    world.change(&batch, Change::Cancel).await;
    let events = world.events(&batch).await;
    let mut results = results(&events);
    results.sort_by_key(|result| result.index);
    let sends = |index: u32| world.sent().iter().filter(|s| s.index == index).count();
    let ended = kinds(&events);
    assert_eq!(ended.len(), 4);
    assert_eq!(count(&ended, Some(FailureKind::Unavailable)), 1);
    assert_eq!(count(&ended, Some(FailureKind::InDoubt)), 1);
    assert_eq!(count(&ended, Some(FailureKind::Cancelled)), 1);
    assert!((0..3).all(|index| sends(index) == 1));
}

#[tokio::test(start_paused = true)]
async fn what_the_target_has_forgotten_is_not_sent_again() {
    let forgetful = TargetSpec {
        safe: true,
        keys: true,
        key_window: Duration::from_mins(1),
        ..TargetSpec::named("guests")
    };
    // The first has no answer; the second then keeps the target busy for longer
    // than it knows a key.
    let forgetful = forgetful.doing(|item, before| match (item.index, before) {
        (0, 0) => Act::Reply(Duration::ZERO, Reply::Unknown(cause("TIMEOUT"))),
        (1, 0) => {
            let mut busy = cause("HTTP_429");
            busy.retry_after = Some(Duration::from_mins(5));
            Act::Reply(Duration::ZERO, Reply::Busy(busy))
        }
        _ => done(1),
    });
    let world = World::start(&[], vec![forgetful]);
    let batch = world.submit("guests", 2).await;
    let events = world.events(&batch).await;
    let mut results = results(&events);
    results.sort_by_key(|result| result.index);
    let mut ended = kinds(&events);
    ended.sort_unstable();
    assert_eq!(ended, [None, Some(FailureKind::InDoubt)]);
    assert_eq!(world.sent().iter().filter(|s| s.index == 0).count(), 1);
    assert_eq!(results[0].attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_nobody_fills_is_sealed_as_it_stands() {
    let world = World::start(&[], vec![TargetSpec::named("guests")]);
    let opened = world.intake.open(TenantId::default(), spec("guests")).await;
    let mut submission = opened.expect("a submission");
    submission
        .append(vec![draft(0)], None, 16)
        .await
        .expect("taken");
    submission.flush();
    submission.committed().await.expect("held");
    let batch = submission.batch().clone();
    // As long as somebody has it open, it stays open.
    sleep(Duration::from_hours(2)).await;
    assert_eq!(world.read(&batch).await.sealed_by, None);
    drop(submission);
    let left = Instant::now();
    world.events(&batch).await;
    let open_timeout = world.intake.limits().open_timeout;
    assert!(left.elapsed() >= open_timeout, "{:?}", left.elapsed());
    assert!(
        left.elapsed() <= open_timeout + 5 * SECOND,
        "{:?}",
        left.elapsed()
    );
    let batch = world.read(&batch).await;
    assert_eq!(batch.sealed_by, Some(SealedBy::Timeout));
    assert_eq!(batch.state, BatchState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_finished_batch_is_thrown_away_whole_when_it_is_old() {
    let world = World::start(&[], vec![TargetSpec::named("guests")]);
    let named = BatchSpec {
        request_id: Some("once".to_owned()),
        ..spec("guests")
    };
    let drafts = || (0..600).map(draft).collect();
    let old = world.submit_as(named.clone(), drafts()).await;
    world.events(&old).await;
    sleep(KEPT.batches / 2).await;
    let young = world.submit("guests", 3).await;
    world.events(&young).await;
    assert_eq!(world.submit_as(named.clone(), drafts()).await.id, old.id);
    sleep(KEPT.batches / 2 + 10 * SECOND).await;
    let store = &world.store;
    let found = store
        .batch(old.tenant.clone(), old.id)
        .await
        .expect("the store");
    assert_eq!(found, None);
    assert_eq!(
        store
            .events(old.no, 0, usize::MAX)
            .await
            .expect("the store")
            .events,
        []
    );
    assert_eq!(store.items(old.no, 0, 600).await.expect("the store"), []);
    assert_eq!(world.read(&young).await.state, BatchState::Succeeded);
    // Its request_id is free again.
    let again = world.submit_as(named, drafts()).await;
    assert_ne!(again.id, old.id);
    assert!(again.no > young.no, "a number is given once");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_written_does_not_wait_for_what_is() {
    let hangs = TargetSpec {
        concurrency: 10,
        ..TargetSpec::named("guests").doing(|_, _| done(3_600_000))
    };
    let world = World::start(&[], vec![hangs]);
    let batch = world.submit("guests", 50).await;
    world.has_sent(10).await;
    world.change(&batch, Change::Cancel).await;
    sleep(SECOND).await;
    let counts = world.read(&batch).await.progress.counts;
    assert_eq!(counts.failed[FailureKind::Cancelled.place()], 40);
    assert_eq!((counts.in_flight, counts.queued()), (10, 0));
    let ended = world.events(&batch).await;
    let never_sent = results(&ended)
        .into_iter()
        .filter(|result| result.attempts == 0);
    assert_eq!(never_sent.count(), 40);
    assert_eq!(world.sent().len(), 10);
}
