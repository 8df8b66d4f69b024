//! Batches whose items stand or fall together: one chunk, once they are sealed.

use std::sync::Arc;

use flowgate::model::{Atomicity, BatchState, FailureKind, SealedBy, StoppedBy};
use flowgate::store::{Append, Change, Into, Lease, NewBatch, Seal};

use super::Any;
use super::build::*;

fn atomic(number: u128) -> NewBatch {
    let mut new = new(number);
    new.spec.atomicity = Atomicity::AllOrNothing;
    new
}

pub async fn nothing_is_leased_before_the_seal_and_all_of_it_together_then(store: Any) {
    let batch = open(&*store, atomic(1), chunks(&[2, 3])).await;
    held(append(&*store, batch.no, 5, vec![chunk(5, 1)], None).await);
    let none = lease(&*store, batch.no, START).await;
    assert!(matches!(none, Lease::Nothing), "{none:?}");

    let seal = Append {
        seal: Some(Seal::At(6)),
        ..Append::new(
            Into::Open {
                no: batch.no,
                held: 6,
            },
            START,
        )
    };
    held(store.append(seal).await.unwrap());
    let whole = leased(&*store, batch.no, START).await;
    assert_eq!(indexes(&whole), [0, 1, 2, 3, 4, 5]);
    assert_eq!(read(&*store, 1).await.progress.counts.in_flight, 6);
    let none = lease(&*store, batch.no, START).await;
    assert!(matches!(none, Lease::Nothing), "{none:?}");
    // They are read as they came.
    let items: Vec<_> = (0..6).map(item).collect();
    assert_eq!(store.items(batch.no, 0, 9).await.unwrap(), items);

    let recorded_all = settle(&*store, all_succeeded(&whole, START + 5)).await;
    assert_eq!(recorded_all, recorded(true, true));
    let told = ["results 0 1 2 3 4 5", "progress 6/6", "finished"];
    assert_eq!(story(&*store, batch.no).await, told);
    assert_eq!(read(&*store, 1).await.progress.counts.chunks_finished, 1);
}

pub async fn what_goes_again_goes_as_a_whole(store: Any) {
    let batch = submit(&*store, atomic(1), chunks(&[2, 2])).await;
    let whole = leased(&*store, batch.no, START).await;
    let again = again(&whole, &[0, 1, 2, 3], true, START + 50);
    let tried = flowgate::store::Settle {
        again: vec![again],
        ..part(&whole, START + 1)
    };
    settle(&*store, tried).await;
    let later = lease(&*store, batch.no, START + 49).await;
    assert!(matches!(later, Lease::Later { .. }), "{later:?}");
    let whole = leased(&*store, batch.no, START + 50).await;
    assert_eq!(indexes(&whole), [0, 1, 2, 3]);
    assert_eq!(whole.attempt, 1);
}

pub async fn a_rescue_puts_all_in_doubt_where_one_is_unsafe(store: Any) {
    let batch = submit(&*store, atomic(1), chunks(&[2, 2])).await;
    leased(&*store, batch.no, START).await;
    let safe = Arc::new(|_: &_, item: &flowgate::model::Item, _| item.index != 2);
    assert_eq!(store.rescue(safe, START).await.unwrap(), 1);
    let results = results(&*store, batch.no).await;
    assert_eq!(results.len(), 4);
    for index in 0..4 {
        assert_eq!(failure(&results[&index]).0, FailureKind::InDoubt);
    }
}

pub async fn one_that_is_left_without_a_seal_expires(store: Any) {
    let batch = open(&*store, atomic(1), chunks(&[3])).await;
    let left = store.transition(batch.no, Change::Abandon, START).await;
    let left = left.unwrap().unwrap();
    assert_eq!(left.sealed_by, Some(SealedBy::Timeout));
    assert_eq!(left.stopped_by, Some(StoppedBy::Deadline));
    let stopped = lease(&*store, batch.no, START).await;
    assert!(matches!(stopped, Lease::Stopped), "{stopped:?}");
    assert!(
        store
            .sweep(batch.no, 9, START)
            .await
            .unwrap()
            .batch_finished
    );
    let results = results(&*store, batch.no).await;
    let (kind, reason, _) = failure(&results[&0]);
    assert_eq!((kind, reason), (FailureKind::Expired, "OPEN_TIMEOUT"));
    assert_eq!(read(&*store, 1).await.state, BatchState::Failed);
}
