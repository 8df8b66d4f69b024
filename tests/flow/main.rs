//! The whole way of an item under paused time: what a follower is told and
//! what a target sees.

mod costs;
mod down;
mod filling;
mod keys;
mod late_leases;
mod life;
mod long_limits;
mod many;
mod order;
mod together;
mod world;

use std::sync::Arc;
use std::time::Duration;

use flowgate::model::{BatchState, Event, EventKind, FailureKind, Outcome, Reply, TenantId};
use flowgate::store::{Change, MemoryStore, Store};
use tokio::sync::Notify;
use tokio::time::Instant;

use late_leases::LateLeases;
use world::{Act, TargetSpec, World, cause, done, draft, most_in_any, now, results, spec};

const SECOND: Duration = Duration::from_secs(1);

fn kinds(events: &[Event]) -> Vec<Option<FailureKind>> {
    let kinds = results(events)
        .into_iter()
        .map(|result| match result.outcome {
            Outcome::Succeeded(_) => None,
            Outcome::Failed(failure) => Some(failure.kind),
        });
    kinds.collect()
}

#[tokio::test(start_paused = true)]
async fn five_hundred_at_a_hundred_a_second_start_within_4_2_seconds() {
    let world = World::start(&["100/s"], vec![TargetSpec::named("guests")]);
    let batch = world.submit("guests", 500).await;
    let events = world.events(&batch).await;
    assert_eq!(results(&events).len(), 500);
    let sent = world.sent();
    assert_eq!(sent.len(), 500);
    let took = sent[499].at - sent[0].at;
    assert!(took <= Duration::from_millis(4200), "{took:?}");
    assert_eq!(most_in_any(SECOND, &sent), 100);
    let batch = world.read(&batch).await;
    assert_eq!(batch.state, BatchState::Succeeded);
    assert_eq!(batch.progress.counts.succeeded, 500);
}

#[tokio::test(start_paused = true)]
async fn two_targets_on_one_quota_stay_within_it_together() {
    let targets = vec![TargetSpec::named("guests"), TargetSpec::named("rooms")];
    let world = World::start(&["100/s", "150/2s"], targets);
    let guests = world.submit("guests", 300).await;
    let rooms = world.submit("rooms", 300).await;
    world.events(&guests).await;
    world.events(&rooms).await;
    let sent = world.sent();
    assert_eq!(sent.len(), 600);
    assert!(most_in_any(SECOND, &sent) <= 100);
    assert!(most_in_any(2 * SECOND, &sent) <= 150);
    // And they share it: neither waits for the other to end.
    let first_half = &sent[..300];
    let of_rooms = first_half.iter().filter(|s| s.target == "rooms").count();
    assert!((100..=200).contains(&of_rooms), "{of_rooms} of 300");
}

#[tokio::test(start_paused = true)]
async fn results_are_told_before_the_slowest_item_of_their_chunk() {
    let slow = TargetSpec::named("guests").doing(|item, _| match item.index {
        7 => done(5_000),
        _ => done(5),
    });
    let world = World::start(&[], vec![slow]);
    let start = Instant::now();
    let batch = world.submit("guests", 50).await;
    let mut follower = world.feed.follow(&batch, 0);
    let mut told = 0;
    while told < 49 {
        let event = follower.next().await.expect("the store").expect("an event");
        assert_ne!(event.kind, EventKind::Finished);
        told += results(&[event]).len();
    }
    assert_eq!(told, 49);
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn progress_follows_the_last_result_of_its_chunk_and_counts_what_is_recorded() {
    let target = TargetSpec::named("guests").doing(|item, _| match item.index % 10 {
        0 => Act::Reply(Duration::from_millis(9), Reply::Refused(cause("HTTP_422"))),
        n => done(u64::from(n)),
    });
    let world = World::start(&[], vec![target]);
    let batch = world.submit("guests", 120).await;
    let events = world.events(&batch).await;
    let sequences: Vec<u64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=events.len() as u64).collect::<Vec<_>>());
    let (mut succeeded, mut failed, mut chunks, mut done_in_chunk) = (0, 0, 0, [0; 3]);
    for event in &events {
        match &event.kind {
            EventKind::Results(results) => {
                for result in results {
                    done_in_chunk[result.index as usize / 50] += 1;
                    match result.outcome {
                        Outcome::Succeeded(_) => succeeded += 1,
                        Outcome::Failed(_) => failed += 1,
                    }
                }
            }
            EventKind::Progress(progress) => {
                chunks += 1;
                let counts = progress.counts;
                assert_eq!(
                    (counts.succeeded, counts.failed_total()),
                    (succeeded, failed)
                );
                assert_eq!(counts.chunks_finished, chunks);
                let finished = [50, 50, 20]
                    .iter()
                    .zip(done_in_chunk)
                    .filter(|(a, b)| **a == *b);
                assert!(finished.count() >= chunks as usize, "after the last result");
            }
            EventKind::Finished => assert_eq!(event.sequence, events.len() as u64),
        }
    }
    assert_eq!((succeeded, failed, chunks), (108, 12, 3));
    assert_eq!(
        world.read(&batch).await.state,
        BatchState::PartiallySucceeded
    );
}

#[tokio::test(start_paused = true)]
async fn a_small_batch_behind_a_large_one_starts_within_a_window_and_a_chunk() {
    let world = World::start(&["100/s"], vec![TargetSpec::named("guests")]);
    world.submit("guests", 5_000).await;
    // Somewhere in the middle of a window.
    tokio::time::sleep(Duration::from_millis(3_470)).await;
    let asked = Instant::now();
    let small = world.submit("guests", 10).await;
    world.events(&small).await;
    let key = format!("flowgate-{}-0", small.id);
    let first = world.sent().into_iter().find(|sent| sent.key == key);
    let waited = first.expect("it was sent").at - asked;
    // A window, and half a second's worth of somebody else's chunk.
    assert!(waited <= Duration::from_millis(1_600), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asks_to_wait_is_left_alone_and_no_attempt_is_used_up() {
    let target = TargetSpec::named("guests").doing(|item, before| {
        if item.index >= 20 && before == 0 {
            let mut busy = cause("HTTP_429");
            busy.retry_after = Some(Duration::from_secs(7));
            return Act::Reply(Duration::from_millis(5), Reply::Busy(busy));
        }
        done(5)
    });
    let mut target = target;
    target.concurrency = 10;
    target.retry.attempts = 1;
    let world = World::start(&[], vec![target]);
    let batch = world.submit("guests", 100).await;
    let start = Instant::now();
    let events = world.events(&batch).await;
    assert_eq!(kinds(&events), vec![None; 100]);
    assert!(results(&events).iter().all(|result| result.attempts == 1));
    let sent = world.sent();
    let refused: Vec<Instant> = sent
        .iter()
        .filter(|s| s.index >= 20)
        .map(|s| s.at)
        .collect();
    let first_refusal = refused[0] + Duration::from_millis(5);
    let in_the_pause = sent.iter().filter(|s| {
        s.at > first_refusal + Duration::from_millis(5) && s.at < first_refusal + 7 * SECOND
    });
    assert_eq!(in_the_pause.count(), 0, "nothing is sent while it pauses");
    assert!(start.elapsed() >= 7 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_pause_shows_while_it_lasts() {
    let target = TargetSpec::named("guests").doing(|_, before| match before {
        0 => {
            let mut busy = cause("HTTP_429");
            busy.retry_after = Some(Duration::from_secs(30));
            Act::Reply(Duration::ZERO, Reply::Busy(busy))
        }
        _ => done(0),
    });
    let world = World::start(&[], vec![target]);
    let batch = world.submit("guests", 1).await;
    tokio::time::sleep(SECOND).await;
    let pause = world.status("guests").pause.expect("it pauses");
    assert!(pause.reason.contains("HTTP_429"), "{}", pause.reason);
    let left = pause.until_ms - now();
    assert!((28_000..=29_000).contains(&left), "{left} ms");
    world.events(&batch).await;
    assert_eq!(world.status("guests").pause, None);
}

#[tokio::test(start_paused = true)]
async fn cancelling_ends_what_waits_and_lets_what_is_written_run_out() {
    let world = World::start(
        &["10/s"],
        vec![TargetSpec::named("guests").doing(|_, _| done(300))],
    );
    let batch = world.submit("guests", 1_000).await;
    tokio::time::sleep(Duration::from_millis(1_150)).await;
    let written = world.sent().len();
    world
        .intake
        .change(&batch, Change::Cancel)
        .await
        .expect("it is cancelled");
    let events = world.events(&batch).await;
    let kinds = kinds(&events);
    assert_eq!(kinds.len(), 1_000);
    assert_eq!(kinds.iter().filter(|kind| kind.is_none()).count(), written);
    let cancelled = kinds
        .iter()
        .filter(|kind| **kind == Some(FailureKind::Cancelled));
    assert_eq!(cancelled.count(), 1_000 - written);
    assert_eq!(world.sent().len(), written, "nothing was sent after it");
    assert_eq!(world.read(&batch).await.state, BatchState::Cancelled);
    // Again is no error and changes nothing.
    world
        .intake
        .change(&batch, Change::Cancel)
        .await
        .expect("it stays cancelled");
    assert_eq!(world.events(&batch).await, events);
}

#[tokio::test(start_paused = true)]
async fn cancelling_does_not_wait_for_the_limit() {
    let world = World::start(&["1/d"], vec![TargetSpec::named("guests")]);
    let batch = world.submit("guests", 5_000).await;
    tokio::time::sleep(SECOND).await;
    let asked = Instant::now();
    world
        .intake
        .change(&batch, Change::Cancel)
        .await
        .expect("it is cancelled");
    let kinds = kinds(&world.events(&batch).await);
    assert!(asked.elapsed() < SECOND, "{:?}", asked.elapsed());
    assert_eq!(kinds.iter().filter(|kind| kind.is_none()).count(), 1);
    assert_eq!(kinds.len(), 5_000);
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_target_is_configured_no_more_can_be_cancelled() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let guests = vec![TargetSpec::named("guests")];
    let world = World::on(store.clone(), &["10/s"], guests);
    let batch = world.submit("guests", 500).await;
    tokio::time::sleep(SECOND / 2).await;
    let sent = world.sent().len();
    world.stop().await;
    let world = World::on(store, &[], vec![TargetSpec::named("rooms")]);
    world
        .intake
        .change(&batch, Change::Cancel)
        .await
        .expect("it is cancelled");
    let events = tokio::time::timeout(SECOND, world.events(&batch)).await;
    let kinds = kinds(&events.expect("it ends"));
    assert_eq!(kinds.iter().filter(|kind| kind.is_none()).count(), sent);
    assert_eq!(kinds.len(), 500);
    assert_eq!(world.read(&batch).await.state, BatchState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asks_for_no_pause_at_all_is_not_hammered() {
    let target = TargetSpec::named("guests").doing(|_, _| {
        let mut busy = cause("HTTP_429");
        busy.retry_after = Some(Duration::ZERO);
        Act::Reply(Duration::from_millis(5), Reply::Busy(busy))
    });
    let world = World::start(&[], vec![target]);
    world.submit("guests", 1).await;
    tokio::time::sleep(20 * SECOND).await;
    // At once, then after 1, 2, 4, 8 s.
    assert_eq!(world.sent().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn one_item_that_makes_the_target_panic_hurts_no_other_batch() {
    let target = TargetSpec::named("guests").doing(|item, _| match &item.id {
        Some(_) => Act::Panic,
        None => done(5),
    });
    let world = World::start(&[], vec![target]);
    let mut bad = draft(0);
    bad.item.id = Some("bad".to_owned());
    let hurt = world
        .intake
        .submit(TenantId::default(), spec("guests"), vec![bad], 0);
    let hurt = hurt.await.expect("a batch");
    let fine = world.submit("guests", 200).await;
    assert_eq!(kinds(&world.events(&fine).await), vec![None; 200]);
    assert_eq!(
        kinds(&world.events(&hurt).await),
        vec![Some(FailureKind::InDoubt)]
    );
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_goes_again_only_where_that_is_safe() {
    for safe in [true, false] {
        let mut target = TargetSpec::named("guests").doing(|_, before| match before {
            0 => Act::Reply(SECOND, Reply::Unknown(cause("CONNECTION_LOST"))),
            _ => done(5),
        });
        target.safe = safe;
        let world = World::start(&[], vec![target]);
        let batch = world.submit("guests", 20).await;
        let events = world.events(&batch).await;
        let want = if safe {
            None
        } else {
            Some(FailureKind::InDoubt)
        };
        assert_eq!(kinds(&events), vec![want; 20]);
        let sent = world.sent();
        assert_eq!(sent.len(), if safe { 40 } else { 20 });
        for result in results(&events) {
            let key = format!("flowgate-{}-{}", batch.id, result.index);
            let times = sent.iter().filter(|s| s.key == key).count();
            assert_eq!(
                times, result.attempts as usize,
                "each try under the same key"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_repeat_settles_what_the_first_try_did_only_under_a_key() {
    for kind in [FailureKind::Rejected, FailureKind::Unavailable] {
        for keys in [true, false] {
            // As of a DELETE: done, its answer lost, and then not found.
            let mut target = TargetSpec::named("guests").doing(move |_, before| match before {
                0 => Act::Reply(SECOND, Reply::Unknown(cause("TIMEOUT"))),
                _ if kind == FailureKind::Rejected => {
                    Act::Reply(SECOND, Reply::Refused(cause("HTTP_404")))
                }
                _ => Act::Reply(SECOND, Reply::Fault(cause("HTTP_500"))),
            });
            (target.safe, target.keys) = (true, keys);
            let world = World::start(&[], vec![target]);
            let batch = world.submit("guests", 1).await;
            let want = if keys { kind } else { FailureKind::InDoubt };
            assert_eq!(kinds(&world.events(&batch).await), [Some(want)]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_arrived_goes_again_until_the_attempts_run_out() {
    let target = TargetSpec::named("guests").doing(|item, before| match item.index {
        0 if before < 2 => Act::Reply(Duration::ZERO, Reply::Unsent(cause("REFUSED"))),
        1 => Act::Reply(Duration::ZERO, Reply::Unsent(cause("REFUSED"))),
        _ => done(5),
    });
    let world = World::start(&[], vec![target]);
    let batch = world.submit("guests", 3).await;
    let events = world.events(&batch).await;
    let mut results = results(&events);
    results.sort_by_key(|result| result.index);
    let attempts: Vec<u32> = results.iter().map(|result| result.attempts).collect();
    assert_eq!(attempts, [3, 3, 1]);
    assert!(matches!(&results[0].outcome, Outcome::Succeeded(_)));
    match &results[1].outcome {
        Outcome::Failed(failure) => {
            assert_eq!(failure.kind, FailureKind::Unreachable);
            assert!(failure.retryable);
        }
        Outcome::Succeeded(_) => panic!("it never arrived"),
    }
    // A failure carries its item, so that it can be submitted again.
    assert!(results[1].item.is_some() && results[0].item.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_lease_is_under_way_is_not_overlooked() {
    let late = Duration::from_millis(10);
    let store = Arc::new(LateLeases(Arc::new(MemoryStore::new()), late));
    let world = World::on(store, &[], vec![TargetSpec::named("guests")]);
    // The second item comes at every place in a lease, and nothing after it.
    for apart in 0..40 {
        let opened = world.intake.open(TenantId::default(), spec("guests")).await;
        let mut submission = opened.expect("a submission");
        let batch = submission.batch().clone();
        for number in 0..2 {
            let appended = submission.append(vec![draft(number)], None, 16).await;
            appended.expect("it is taken");
            if number == 0 {
                submission.flush();
                submission.committed().await.expect("it is held");
                tokio::time::sleep(Duration::from_millis(apart)).await;
            }
        }
        submission.seal(None).expect("it is sealed");
        submission.committed().await.expect("it is held");
        let events = tokio::time::timeout(Duration::from_mins(1), world.events(&batch)).await;
        assert_eq!(results(&events.expect("both are sent")).len(), 2, "{apart}");
    }
}

#[tokio::test(start_paused = true)]
async fn cancelling_also_stops_what_a_lease_is_about_to_bring() {
    let late = Duration::from_millis(10);
    let store = Arc::new(LateLeases(Arc::new(MemoryStore::new()), late));
    let world = World::on(store, &[], vec![TargetSpec::named("guests")]);
    let batch = world.submit("guests", 50).await;
    tokio::time::sleep(late / 2).await;
    world
        .intake
        .change(&batch, Change::Cancel)
        .await
        .expect("it is cancelled");
    let events = tokio::time::timeout(Duration::from_mins(1), world.events(&batch)).await;
    let kinds = kinds(&events.expect("it ends"));
    assert_eq!(kinds, vec![Some(FailureKind::Cancelled); 50]);
    assert!(world.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lane_takes_up_what_an_earlier_one_left() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let reached = Arc::new(Notify::new());
    let target = {
        let reached = reached.clone();
        TargetSpec::named("guests").doing(move |item, _| {
            if item.index == 60 {
                reached.notify_one();
            }
            done(5)
        })
    };
    let world = World::on(store.clone(), &["100/s"], vec![target]);
    let batch = world.submit("guests", 250).await;
    reached.notified().await;
    let first = world.ledger.clone();
    world.stop().await;
    let before = first.lock().expect("the ledger").len();
    assert!((61..250).contains(&before), "{before}");
    let world = World::on(store, &["100/s"], vec![TargetSpec::named("guests")]);
    let events = world.events(&batch).await;
    assert_eq!(kinds(&events), vec![None; 250]);
    assert_eq!(before + world.sent().len(), 250, "nothing is sent twice");
}
