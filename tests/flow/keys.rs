//! The keys of items across batches, and the items of a batch submitted again.

use std::time::Duration;

use flowgate::intake::Draft;
use flowgate::model::{
    Batch, BatchSpec, BatchState, FailureKind, ItemResult, Outcome, Reply, Validation,
};
use flowgate::store::Change;

use super::world::{Act, KEPT, TargetSpec, World, cause, done, draft, results, spec};

/// An item with a key, and with a payload of that number.
fn keyed(key: &str, number: u32) -> Draft {
    let mut keyed = draft(number);
    keyed.item.key = Some(key.to_owned());
    keyed
}

async fn submit(world: &World, drafts: Vec<Draft>) -> (Batch, Vec<ItemResult>) {
    let batch = world.submit_as(spec("guests"), drafts).await;
    let mut results = results(&world.events(&batch).await);
    results.sort_by_key(|result| result.index);
    (batch, results)
}

fn reason(result: &ItemResult) -> &str {
    match &result.outcome {
        Outcome::Succeeded(_) => "OK",
        Outcome::Failed(failure) => &failure.reason,
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_answered_from_the_record_and_what_failed_is_done_anew() {
    let target =
        TargetSpec::named("guests").doing(|item, before| match (item.key.as_deref(), before) {
            (Some("bad"), 0) => Act::Reply(Duration::ZERO, Reply::Refused(cause("HTTP_422"))),
            (Some("torn"), _) => Act::Reply(Duration::ZERO, Reply::Unknown(cause("RESET"))),
            _ => done(5),
        });
    let world = World::start(&[], vec![target]);
    let all = || {
        vec![
            keyed("good", 1),
            keyed("bad", 2),
            keyed("torn", 3),
            draft(4),
        ]
    };
    let (_, first) = submit(&world, all()).await;
    assert_eq!(
        first.iter().map(reason).collect::<Vec<_>>(),
        ["OK", "HTTP_422", "RESET", "OK"]
    );
    assert!(first.iter().all(|result| !result.replayed));
    let (batch, second) = submit(&world, all()).await;
    // A definite failure freed its key; a success and a doubt stay what they are.
    assert_eq!(
        second.iter().map(reason).collect::<Vec<_>>(),
        ["OK", "OK", "RESET", "OK"]
    );
    let replayed: Vec<bool> = second.iter().map(|result| result.replayed).collect();
    assert_eq!(replayed, [true, false, true, false]);
    assert_eq!(second[0].outcome, first[0].outcome);
    assert_eq!((second[0].attempts, second[1].attempts), (0, 1));
    let counts = world.read(&batch).await.progress.counts;
    assert_eq!((counts.succeeded, counts.failed_total()), (3, 1));
    let of = |key: &str| world.sent().iter().filter(|sent| sent.key == key).count();
    assert_eq!((of("good"), of("bad"), of("torn")), (1, 2, 1));
    // A key is one for one piece of work.
    let (_, other) = submit(&world, vec![keyed("good", 7)]).await;
    assert_eq!(reason(&other[0]), "KEY_REUSED");
    assert_eq!(of("good"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_under_way_is_in_use() {
    let slow = TargetSpec::named("guests").doing(|_, _| done(10_000));
    let world = World::start(&[], vec![slow]);
    let first = world.submit_as(spec("guests"), vec![keyed("k", 1)]).await;
    let (_, second) = submit(&world, vec![keyed("k", 1), draft(2)]).await;
    match &second[0].outcome {
        Outcome::Failed(failure) => {
            assert_eq!(failure.kind, FailureKind::Invalid);
            assert_eq!(failure.reason, "KEY_IN_USE");
            assert!(failure.retryable);
        }
        Outcome::Succeeded(_) => panic!("it was done twice"),
    }
    assert_eq!(reason(&second[1]), "OK");
    // A batch that has to be all valid is refused for it, whole.
    let all_valid = BatchSpec {
        validation: Validation::Batch,
        ..spec("guests")
    };
    let tenant = flowgate::model::TenantId::default();
    let third = world.submit_as(spec("guests"), vec![keyed("l", 1)]).await;
    let drafts = vec![draft(0), keyed("l", 1)];
    let refused = world.intake.submit(tenant, all_valid, drafts, 0).await;
    let refused = refused.expect_err("a key is in use");
    assert_eq!(refused.reason, "INVALID_ITEMS");
    assert_eq!(refused.violations[0].field, "items[1].idempotency_key");
    for batch in [first, third] {
        world.events(&batch).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_free_after_a_while_and_after_a_cancel() {
    let world = World::start(&["1/m"], vec![TargetSpec::named("guests")]);
    let (_, first) = submit(&world, vec![keyed("k", 1)]).await;
    assert_eq!(reason(&first[0]), "OK");
    let waiting = world.submit_as(spec("guests"), vec![keyed("w", 1)]).await;
    world.change(&waiting, Change::Cancel).await;
    world.events(&waiting).await;
    let (_, again) = submit(&world, vec![keyed("w", 2)]).await;
    assert_eq!(reason(&again[0]), "OK");
    tokio::time::sleep(KEPT.keys + Duration::from_secs(10)).await;
    let (_, later) = submit(&world, vec![keyed("k", 2)]).await;
    assert_eq!((reason(&later[0]), later[0].replayed), ("OK", false));
}

#[tokio::test(start_paused = true)]
async fn the_failures_of_a_batch_can_be_submitted_again() {
    let target = TargetSpec {
        retry: flowgate::core::classify::RetryPolicy {
            attempts: 1,
            ..TargetSpec::named("guests").retry
        },
        ..TargetSpec::named("guests")
    };
    let target = target.doing(|item, _| {
        let number = item.payload.as_ref().map(|payload| payload.body.clone());
        let number = number.unwrap_or_default();
        let is = |n: u32| number == format!("{{\"n\":{n}}}");
        // What is down is down only in the first batch, where indexes and
        // numbers are the same.
        let in_first = is(item.index);
        match item.index {
            3 if in_first => Act::Reply(Duration::ZERO, Reply::Refused(cause("HTTP_422"))),
            5 if in_first => Act::Reply(Duration::ZERO, Reply::Unsent(cause("REFUSED"))),
            600 if in_first => Act::Reply(Duration::ZERO, Reply::Fault(cause("HTTP_500"))),
            7 if in_first => Act::Reply(Duration::ZERO, Reply::Unknown(cause("RESET"))),
            _ => done(5),
        }
    });
    let world = World::start(&[], vec![target]);
    let drafts = (0..700).map(|n| match n {
        5 => keyed("five", 5),
        _ => draft(n),
    });
    let batch = world.submit_as(spec("guests"), drafts.collect()).await;
    let early = world.intake.retry(&batch, Vec::new(), None).await;
    assert_eq!(early.expect_err("it runs").reason, "NOT_FINISHED");
    world.events(&batch).await;
    let batch = world.read(&batch).await;
    assert_eq!(batch.progress.counts.failed_total(), 4);

    let retried = world
        .intake
        .retry(&batch, Vec::new(), None)
        .await
        .expect("a batch");
    let again = world
        .intake
        .retry(&batch, Vec::new(), None)
        .await
        .expect("a batch");
    assert_eq!(
        again.id, retried.id,
        "for the same batch and kinds it is the same"
    );
    let results_of = results(&world.events(&retried).await);
    assert_eq!(results_of.len(), 2);
    assert_eq!(world.read(&retried).await.state, BatchState::Succeeded);
    let keys: Vec<String> = world.sent().iter().map(|sent| sent.key.clone()).collect();
    // With keys of their own: the target takes them for new pieces of work.
    let made = |batch: &Batch, index: u32| format!("flowgate-{}-{index}", batch.id);
    assert!(keys.contains(&made(&retried, 0)) && keys.contains(&made(&retried, 1)));

    let doubtful = vec![FailureKind::InDoubt];
    let doubt = world
        .intake
        .retry(&batch, doubtful.clone(), None)
        .await
        .expect("a batch");
    let results_of = results(&world.events(&doubt).await);
    assert_eq!((results_of.len(), results_of[0].replayed), (1, false));
    // With the key that it was sent with, so that a target that knows it does it
    // once.
    let sends = world.sent();
    let sends = sends
        .iter()
        .filter(|sent| sent.key == made(&batch, 7))
        .count();
    assert_eq!(sends, 2);
    let doubt = world.read(&doubt).await;
    let none = world.intake.retry(&doubt, Vec::new(), None).await;
    assert_eq!(none.expect_err("nothing failed").reason, "NOTHING_TO_RETRY");
    let another = Some("another".to_owned());
    let another = world
        .intake
        .retry(&batch, doubtful, another)
        .await
        .expect("a batch");
    assert_ne!(another.id, doubt.id);
}
