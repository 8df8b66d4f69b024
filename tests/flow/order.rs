//! Strict order: an item is sent only after the outcome of the one before it.

use std::sync::Arc;
use std::time::Duration;

use flowgate::model::{BatchSpec, FailureKind, FailurePolicy, Ordering, Reply};
use flowgate::store::{Change, MemoryStore, Store};

use super::kinds;
use super::world::{Act, TargetSpec, World, cause, done, draft, now, results, spec};

fn in_order() -> BatchSpec {
    BatchSpec {
        ordering: Ordering::Strict,
        ..spec("guests")
    }
}

/// The indexes of what the targets saw, in their order.
fn seen(world: &World) -> Vec<u32> {
    world.sent().iter().map(|sent| sent.index).collect()
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_and_what_is_tried_again_first() {
    // Later ones answer sooner, so that anything else would show.
    let target = TargetSpec::named("guests").doing(|item, before| {
        let slow = u64::from(200 - item.index);
        match (item.index, before) {
            (3 | 70, 0..=1) => {
                Act::Reply(Duration::from_millis(slow), Reply::Unsent(cause("REFUSED")))
            }
            (5, 0) => Act::Reply(Duration::ZERO, Reply::Busy(cause("HTTP_429"))),
            (9, _) => Act::Reply(Duration::ZERO, Reply::Refused(cause("HTTP_422"))),
            _ => done(slow),
        }
    });
    let world = World::start(&[], vec![target]);
    let batch = world
        .submit_as(in_order(), (0..120).map(draft).collect())
        .await;
    let other = world.submit("guests", 50).await;
    let events = world.events(&batch).await;
    let indexes: Vec<u32> = results(&events).iter().map(|result| result.index).collect();
    assert_eq!(indexes, (0..120).collect::<Vec<_>>(), "told in order");
    world.events(&other).await;
    let key_of = format!("flowgate-{}", batch.id);
    let of_batch = world.sent();
    let of_batch: Vec<_> = of_batch
        .iter()
        .filter(|s| s.key.starts_with(&key_of))
        .collect();
    let mut expected: Vec<u32> = (0..120).collect();
    expected.extend([3, 3, 5, 70, 70]);
    expected.sort_unstable();
    let seen: Vec<u32> = of_batch.iter().map(|sent| sent.index).collect();
    assert_eq!(seen, expected);
    let attempts: Vec<u32> = results(&events)
        .iter()
        .map(|result| result.attempts)
        .collect();
    assert_eq!(
        (attempts[3], attempts[4], attempts[70], attempts[71]),
        (3, 1, 3, 1)
    );
    assert_eq!(kinds(&events)[9], Some(FailureKind::Rejected));
}

#[tokio::test(start_paused = true)]
async fn a_failure_stops_the_rest_where_the_policy_says_so() {
    let target = TargetSpec::named("guests").doing(|item, _| match item.index {
        4 => Act::Reply(Duration::ZERO, Reply::Refused(cause("HTTP_422"))),
        _ => done(5),
    });
    let world = World::start(&[], vec![target]);
    let spec = BatchSpec {
        failure_policy: FailurePolicy {
            stop_after: 1,
            ..FailurePolicy::default()
        },
        ..in_order()
    };
    let batch = world.submit_as(spec, (0..120).map(draft).collect()).await;
    let ended = kinds(&world.events(&batch).await);
    assert_eq!(seen(&world), [0, 1, 2, 3, 4]);
    let aborted = ended.iter().filter(|k| **k == Some(FailureKind::Aborted));
    assert_eq!(aborted.count(), 115);
}

#[tokio::test(start_paused = true)]
async fn a_pause_and_a_restart_keep_the_order() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let target = || TargetSpec {
        safe: true,
        keys: true,
        ..TargetSpec::named("guests")
    };
    let world = World::on(store.clone(), &[], vec![target()]);
    let batch = world
        .submit_as(in_order(), (0..200).map(draft).collect())
        .await;
    world.has_sent(20).await;
    world.change(&batch, Change::Pause).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = seen(&world).len();
    world.change(&batch, Change::Resume).await;
    world.has_sent(before + 30).await;
    let first = seen(&world);
    assert_eq!(first, (0..).take(first.len()).collect::<Vec<_>>());
    // As after a crash: nobody settles what was sent last.
    world.crash();
    let safe = Arc::new(|_: &_, _: &_, _| true);
    assert_eq!(store.rescue(safe, now()).await.expect("the store"), 1);
    let world = World::on(store, &[], vec![target()]);
    let events = world.events(&batch).await;
    let then = seen(&world);
    assert!(then.is_sorted(), "{then:?}");
    let last = *first.last().expect("some were sent");
    assert!(
        then[0] == last || then[0] == last + 1,
        "{last} then {}",
        then[0]
    );
    let done = results(&events);
    assert_eq!(done.len(), 200);
    // Only what may have been sent counts a try more.
    let again: Vec<_> = done.iter().filter(|result| result.attempts > 1).collect();
    assert!(
        again.len() <= 1 && again.iter().all(|r| r.index == then[0]),
        "{again:?}"
    );
}
