//! All or nothing: one outcome for all items of a batch.

use std::sync::Arc;
use std::time::Duration;

use flowgate::intake::Submission;
use flowgate::model::{
    Atomicity, Batch, BatchSpec, BatchState, Code, FailureKind, Outcome, Refusal, Reply, SealedBy,
    TenantId,
};
use flowgate::store::{Change, MemoryStore, Store};
use flowgate::target::Said;
use tokio::time::{Instant, sleep, timeout};

use super::many::{Together, all_done};
use super::world::{TargetSpec, World, cause, draft, results, spec};
use super::{SECOND, kinds};

fn atomic(target: &str) -> BatchSpec {
    BatchSpec {
        atomicity: Atomicity::AllOrNothing,
        ..spec(target)
    }
}

async fn submit(world: &World, count: u32) -> Result<Batch, Refusal> {
    let drafts = (0..count).map(draft).collect();
    let (tenant, spec) = (TenantId::default(), atomic("guests"));
    world.intake.submit(tenant, spec, drafts, 0).await
}

#[tokio::test(start_paused = true)]
async fn all_of_it_goes_out_in_one_request_and_is_told_at_once() {
    let together = Together::of(1_000);
    let target = TargetSpec {
        chunk_items: 50,
        ..together.target("guests")
    };
    let world = World::start(&[], vec![target]);
    let batch = submit(&world, 400).await.expect("a batch");
    let events = world.events(&batch).await;
    assert_eq!(kinds(&events), vec![None; 400]);
    let seen = together.seen();
    assert_eq!((seen.len(), seen[0].items.len()), (1, 400));
    assert!(seen[0].is_atomic);
    let at: Vec<i64> = events.iter().map(|event| event.at_ms).collect();
    assert_eq!(at.iter().min(), at.iter().max(), "at one moment");
}

#[tokio::test(start_paused = true)]
async fn a_culprit_is_named_and_the_others_are_aborted() {
    let together = Together::of(100).answering(|items, _| {
        let reply = |item: &flowgate::model::Item| match item.index {
            7 => Some(Reply::Refused(cause("HTTP_422"))),
            _ => Some(Reply::RolledBack(cause("ROLLED_BACK"))),
        };
        Said::Each(items.iter().map(reply).collect())
    });
    let world = World::start(&[], vec![together.target("guests")]);
    let batch = submit(&world, 20).await.expect("a batch");
    for result in results(&world.events(&batch).await) {
        let Outcome::Failed(failure) = result.outcome else {
            panic!("item {} was done", result.index);
        };
        let kind = match result.index {
            7 => FailureKind::Rejected,
            _ => FailureKind::Aborted,
        };
        assert_eq!(failure.kind, kind, "item {}", result.index);
    }
    assert_eq!(world.read(&batch).await.state, BatchState::Failed);
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_again_as_a_whole() {
    let together = Together::of(100).answering(|items, before| match before {
        // Some of it, by a target that is at odds with itself.
        0 => Said::All(Reply::Unsent(cause("CONNECT_FAILED"))),
        1 => Said::All(Reply::Busy(cause("HTTP_429"))),
        2 => Said::All(Reply::Fault(cause("HTTP_500"))),
        _ => all_done(items),
    });
    let target = TargetSpec {
        safe: true,
        ..together.target("guests")
    };
    let world = World::start(&[], vec![target]);
    let batch = submit(&world, 60).await.expect("a batch");
    assert_eq!(kinds(&world.events(&batch).await), vec![None; 60]);
    let seen = together.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|request| request.items.len() == 60));
}

#[tokio::test(start_paused = true)]
async fn without_an_answer_all_are_in_doubt_even_where_some_had_one() {
    let together = Together::of(100).answering(|items, _| {
        let mut replies: Vec<_> = items.iter().map(|_| Some(super::many::done())).collect();
        replies[3] = None;
        Said::Each(replies)
    });
    let world = World::start(&[], vec![together.target("guests")]);
    let batch = submit(&world, 10).await.expect("a batch");
    let kinds = kinds(&world.events(&batch).await);
    assert_eq!(kinds, vec![Some(FailureKind::InDoubt); 10]);
}

async fn open(world: &World) -> Submission {
    let opened = world.intake.open(TenantId::default(), atomic("guests"));
    opened.await.expect("a batch")
}

async fn append(submission: &mut Submission, from: u32, count: u32) {
    let drafts = (from..from + count).map(draft).collect();
    submission
        .append(drafts, None, 0)
        .await
        .expect("it is taken");
    submission.flush();
    while submission.committed().await.expect("it is held").is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_out_once_it_is_sealed_and_as_one() {
    let together = Together::of(100);
    let world = World::start(&[], vec![together.target("guests")]);
    let mut submission = open(&world).await;
    for from in [0, 30, 60] {
        append(&mut submission, from, 30).await;
        sleep(5 * SECOND).await;
    }
    assert_eq!(together.seen().len(), 0, "it is not sealed yet");
    submission.seal(Some(90)).expect("a seal");
    while submission.committed().await.expect("held").is_some() {}
    let batch = submission.batch().clone();
    assert_eq!(kinds(&world.events(&batch).await), vec![None; 90]);
    let seen = together.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].items, (0..90).collect::<Vec<_>>());
    // They can be read as they came.
    let items = world.store.items(batch.no, 0, 99).await.expect("items");
    assert_eq!(items.len(), 90);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_left_without_a_seal_is_not_sent() {
    let together = Together::of(100);
    let world = World::start(&[], vec![together.target("guests")]);
    let mut submission = open(&world).await;
    append(&mut submission, 0, 5).await;
    let batch = submission.batch().clone();
    drop(submission);
    let events = timeout(3_600 * SECOND, world.events(&batch)).await;
    let kinds = kinds(&events.expect("it ends"));
    assert_eq!(kinds, vec![Some(FailureKind::Expired); 5]);
    let batch = world.read(&batch).await;
    assert_eq!(batch.sealed_by, Some(SealedBy::Timeout));
    assert_eq!(together.seen().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_target_or_a_limit_takes_is_refused() {
    for (items, limits, count, reason) in [
        (50, vec![], 51, "ALL_OR_NOTHING_TOO_LARGE"),
        (50, vec!["20/s", "1000/h"], 21, "ALL_OR_NOTHING_TOO_LARGE"),
    ] {
        let together = Together::of(items);
        let world = World::start(&limits, vec![together.target("guests")]);
        let refusal = submit(&world, count).await.expect_err("too large");
        assert_eq!(
            (refusal.code, refusal.reason),
            (Code::FailedPrecondition, reason)
        );
        let most = submit(&world, count - 1)
            .await
            .expect("as many as it takes");
        assert_eq!(kinds(&world.events(&most).await).len(), count as usize - 1);
        // A stream finds out with the piece that is too much, and stays open.
        let mut submission = open(&world).await;
        append(&mut submission, 0, count - 1).await;
        let over = submission.append(vec![draft(0)], None, 0).await;
        assert_eq!(over.expect_err("too large").reason, reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_do_it_refuses_it() {
    let world = World::start(&[], vec![TargetSpec::named("guests")]);
    let refusal = submit(&world, 2).await.expect_err("it cannot");
    assert_eq!(refusal.reason, "ALL_OR_NOTHING_NOT_SUPPORTED");
    assert!(
        refusal.message.contains("`postgres`"),
        "{}",
        refusal.message
    );
}

#[tokio::test(start_paused = true)]
async fn cancelled_or_held_before_it_is_sent_none_of_it_is() {
    let together = Together::of(100);
    let world = World::start(&["100/h"], vec![together.target("guests")]);
    let first = submit(&world, 100).await.expect("a batch");
    world.events(&first).await;
    let second = submit(&world, 50).await.expect("a batch");
    sleep(10 * SECOND).await;
    world.change(&second, Change::Cancel).await;
    let kinds = kinds(&world.events(&second).await);
    assert_eq!(kinds, vec![Some(FailureKind::Cancelled); 50]);
    assert_eq!(together.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn over_a_crash_all_are_in_doubt_or_all_go_again() {
    for safe in [false, true] {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let target = |together: &Together| TargetSpec {
            safe,
            ..together.target("guests")
        };
        let together = Together::of(100);
        let world = World::on(store.clone(), &[], vec![target(&together)]);
        let batch = submit(&world, 40).await.expect("a batch");
        while together.seen().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        world.crash();
        let world = World::after(store, &[], vec![target(&together)]).await;
        let start = Instant::now();
        let kinds = kinds(&world.events(&batch).await);
        let expected = match safe {
            true => None,
            false => Some(FailureKind::InDoubt),
        };
        assert_eq!(kinds, vec![expected; 40], "{:?}", start.elapsed());
        assert_eq!(together.seen().len(), if safe { 2 } else { 1 });
    }
}
