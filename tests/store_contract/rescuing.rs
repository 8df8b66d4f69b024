//! What a process that starts does with what the one before it held.

use std::sync::Arc;

use flowgate::model::{BatchState, FailureKind, Item, TargetName};
use flowgate::store::{SafeToRepeat, Settle, Settled};

use super::Any;
use super::build::*;

fn if_index(safe: fn(u32) -> bool) -> SafeToRepeat {
    Arc::new(move |name: &TargetName, item: &Item, _| {
        assert_eq!(*name, target());
        safe(item.index)
    })
}

const RESTARTED: (FailureKind, &str, u32) = (FailureKind::InDoubt, "RESTARTED", 1);

pub async fn a_rescue_puts_unsafe_items_in_doubt(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3, 2])).await;
    let held = leased(&*store, batch.no, START).await;
    let part_of_it = Settle {
        results: vec![(1, succeeded(1))],
        ..part(&held, START)
    };
    settle(&*store, part_of_it).await;
    let rescued = store.rescue(if_index(|_| false), START + 9).await.unwrap();
    assert_eq!(rescued, 1);

    let told = ["results 1", "results 0 2", "progress 3/5"];
    assert_eq!(story(&*store, batch.no).await, told);
    let results = results(&*store, batch.no).await;
    assert_eq!(failure(&results[&0]), RESTARTED);
    assert_eq!(failure(&results[&2]), RESTARTED);
    assert_eq!(results[&2].item.as_deref(), Some(&item(2)));
    let counts = read(&*store, 1).await.progress.counts;
    assert_eq!((counts.in_flight, counts.queued()), (0, 2));
    // Who held it comes too late.
    let late = Settle {
        results: vec![(0, succeeded(0))],
        ..part(&held, START)
    };
    assert_eq!(settle(&*store, late).await, Settled::Stale);
}

pub async fn a_rescue_queues_safe_items_as_unanswered(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3, 1])).await;
    let held = leased(&*store, batch.no, START).await;
    let part_of_it = Settle {
        results: vec![(1, succeeded(1))],
        ..part(&held, START)
    };
    settle(&*store, part_of_it).await;
    store.rescue(if_index(|_| true), START + 9).await.unwrap();
    assert_eq!(story(&*store, batch.no).await, ["results 1"]);

    let again = leased(&*store, batch.no, START + 10).await;
    assert_eq!(again.items, [(0, item(0)), (2, item(2))]);
    assert_eq!(again.unanswered, [0, 2]);
    assert_eq!((again.attempt, again.since_ms), (1, START));
    assert_eq!(
        settle(&*store, all_succeeded(&held, START)).await,
        Settled::Stale
    );
    let answer = settle(&*store, all_succeeded(&again, START + 11)).await;
    assert_eq!(answer, recorded(true, false));
}

pub async fn a_rescue_tells_safe_items_from_unsafe_ones(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[4])).await;
    leased(&*store, batch.no, START).await;
    let even = if_index(|index| index % 2 == 0);
    store.rescue(even, START).await.unwrap();
    assert_eq!(story(&*store, batch.no).await, ["results 1 3"]);
    let again = leased(&*store, batch.no, START).await;
    assert_eq!(indexes(&again), [0, 2]);
    // And once more: now they have been sent twice.
    store.rescue(if_index(|_| false), START).await.unwrap();
    let results = results(&*store, batch.no).await;
    assert_eq!(failure(&results[&0]).2, 2);
    assert_eq!(failure(&results[&1]).2, 1);
}

pub async fn a_rescue_finishes_what_was_sealed(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[1])).await;
    leased(&*store, batch.no, START).await;
    store.rescue(if_index(|_| false), START).await.unwrap();
    let told = ["results 0", "progress 1/1", "finished"];
    assert_eq!(story(&*store, batch.no).await, told);
    let state = read(&*store, 1).await.state;
    assert_eq!(state, BatchState::PartiallySucceeded);
}

pub async fn a_rescue_takes_every_leased_chunk(store: Any) {
    // More than one commit's worth, in two batches.
    let mut batches = Vec::new();
    for id in [1, 2] {
        let batch = submit(&*store, new(id), chunks(&[1; 100])).await;
        store.lease(vec![batch.no; 90].into(), START).await.unwrap();
        batches.push(batch.no);
    }
    let rescued = store.rescue(if_index(|_| true), START).await.unwrap();
    assert_eq!(rescued, 180);
    for (id, no) in [1, 2].into_iter().zip(batches) {
        let counts = read(&*store, id).await.progress.counts;
        assert_eq!((counts.in_flight, counts.queued()), (0, 100));
        assert_eq!(leased(&*store, no, START).await.unanswered, [0]);
    }
    let rescued = store.rescue(if_index(|_| true), START).await.unwrap();
    assert_eq!(rescued, 2);
}
