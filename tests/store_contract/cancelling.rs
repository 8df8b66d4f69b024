//! Cancels and sweeps.

use flowgate::model::{BatchState, Echo, FailureKind, SealedBy};
use flowgate::store::{Change, Lease, Settle, Settled, Swept};

use super::Any;
use super::build::*;

pub async fn an_empty_batch_is_cancelled_at_once(store: Any) {
    let batch = open(&*store, new(1), Vec::new()).await;
    store
        .transition(batch.no, Change::Cancel, START + 1)
        .await
        .unwrap();
    let batch = read(&*store, 1).await;
    assert_eq!(batch.state, BatchState::Cancelled);
    assert_eq!(batch.sealed_by, Some(SealedBy::Cancel));
    assert_eq!(batch.finished_ms, Some(START + 1));
    assert_eq!(story(&*store, batch.no).await, ["finished"]);
}

pub async fn an_open_batch_whose_items_are_done_is_finished_by_a_cancel(store: Any) {
    for (id, kind) in [(1, None), (2, Some(FailureKind::Rejected))] {
        let batch = open(&*store, new(id), chunks(&[2])).await;
        let leased = leased(&*store, batch.no, START).await;
        let part = match kind {
            None => all_succeeded(&leased, START),
            Some(kind) => all_failed(&leased, kind, START),
        };
        assert_eq!(settle(&*store, part).await, recorded(true, false));
        store
            .transition(batch.no, Change::Cancel, START)
            .await
            .unwrap();
        assert_eq!(read(&*store, id).await.state, BatchState::Cancelled);
        assert_eq!(story(&*store, batch.no).await.last().unwrap(), "finished");
    }
}

pub async fn cancelling_again_changes_nothing(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[2])).await;
    let leased = leased(&*store, batch.no, START).await;
    store
        .transition(batch.no, Change::Cancel, START)
        .await
        .unwrap();
    let cancelling = read(&*store, 1).await;
    assert_eq!(cancelling.state, BatchState::Cancelling);
    assert_eq!(cancelling.sealed_by, Some(SealedBy::Client));
    store
        .transition(batch.no, Change::Cancel, START + 5)
        .await
        .unwrap();
    assert_eq!(read(&*store, 1).await, cancelling);

    settle(&*store, all_succeeded(&leased, START)).await;
    let done = (read(&*store, 1).await, log(&*store, batch.no).await);
    assert_eq!(done.0.state, BatchState::Cancelled);
    store
        .transition(batch.no, Change::Cancel, START + 9)
        .await
        .unwrap();
    assert_eq!((read(&*store, 1).await, log(&*store, batch.no).await), done);
}

pub async fn a_sweep_settles_what_is_queued(store: Any) {
    let batch = open(&*store, new(1), chunks(&[2, 1, 2])).await;
    store
        .transition(batch.no, Change::Cancel, START)
        .await
        .unwrap();
    assert!(matches!(
        lease(&*store, batch.no, START).await,
        Lease::Stopped
    ));
    let swept = store.sweep(batch.no, 2, START + 1).await.unwrap();
    let expected = Swept {
        chunks: 2,
        batch_finished: false,
    };
    assert_eq!(swept, expected);
    let swept = store.sweep(batch.no, 2, START + 2).await.unwrap();
    let expected = Swept {
        chunks: 1,
        batch_finished: true,
    };
    assert_eq!(swept, expected);

    let told = [
        "results 0 1",
        "progress 2/5",
        "results 2",
        "progress 3/5",
        "results 3 4",
        "progress 5/5",
        "finished",
    ];
    assert_eq!(story(&*store, batch.no).await, told);
    let cancelled = (FailureKind::Cancelled, "CANCELLED", 0);
    let results = results(&*store, batch.no).await;
    assert!(results.values().all(|result| failure(result) == cancelled));
    assert_eq!(results[&4].id, "guest-4");
    let batch = read(&*store, 1).await;
    assert_eq!(batch.state, BatchState::Cancelled);
    assert_eq!(batch.progress.counts.chunks_finished, 3);
    assert!(matches!(
        lease(&*store, batch.no, START).await,
        Lease::Nothing
    ));
}

pub async fn a_sweep_leaves_unanswered_items_in_doubt(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3])).await;
    let leased = leased(&*store, batch.no, START).await;
    let part = Settle {
        again: vec![
            again(&leased, &[0, 2], true, START + 1_000),
            again(&leased, &[1], false, START + 1_000),
        ],
        ..part(&leased, START)
    };
    settle(&*store, part).await;
    store
        .transition(batch.no, Change::Cancel, START)
        .await
        .unwrap();
    let swept = store.sweep(batch.no, 9, START).await.unwrap();
    assert_eq!((swept.chunks, swept.batch_finished), (2, true));
    let results = results(&*store, batch.no).await;
    let in_doubt = (FailureKind::InDoubt, "UNANSWERED", 1);
    assert_eq!(failure(&results[&0]), in_doubt);
    assert_eq!(failure(&results[&2]), in_doubt);
    let cancelled = (FailureKind::Cancelled, "CANCELLED", 1);
    assert_eq!(failure(&results[&1]), cancelled);
    assert_eq!(read(&*store, 1).await.state, BatchState::Cancelled);
}

pub async fn a_sweep_of_a_running_batch_does_nothing(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3])).await;
    let swept = store.sweep(batch.no, 9, START).await.unwrap();
    assert_eq!(swept, Swept::default());
    assert_eq!(read(&*store, 1).await, batch);
}

pub async fn items_on_the_wire_run_to_their_outcome(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3, 1])).await;
    let leased = leased(&*store, batch.no, START).await;
    store
        .transition(batch.no, Change::Cancel, START)
        .await
        .unwrap();
    let swept = store.sweep(batch.no, 9, START).await.unwrap();
    assert_eq!((swept.chunks, swept.batch_finished), (1, false));
    // Of what is leased one is answered, one is to be sent again, and one was
    // not written.
    let part = Settle {
        results: vec![(0, succeeded(0))],
        again: vec![again(&leased, &[1], true, START + 5)],
        release: Some(0),
        ..part(&leased, START)
    };
    let released = Settled::Recorded {
        chunk_finished: false,
        batch_finished: false,
        stopped: true,
        tripped: false,
    };
    assert_eq!(settle(&*store, part).await, released);
    let swept = store.sweep(batch.no, 9, START).await.unwrap();
    assert_eq!((swept.chunks, swept.batch_finished), (2, true));
    let results = results(&*store, batch.no).await;
    assert_eq!(results[&0], succeeded(0));
    assert_eq!(failure(&results[&1]).0, FailureKind::InDoubt);
    assert_eq!(failure(&results[&2]).0, FailureKind::Cancelled);
}

pub async fn swept_items_are_echoed_as_the_batch_asks(store: Any) {
    for (id, echo, echoed) in [
        (1, Echo::Failed, Some(item(0))),
        (2, Echo::None, None),
        (3, Echo::All, Some(item(0))),
    ] {
        let mut new = new(id);
        new.spec.echo = echo;
        let batch = submit(&*store, new, chunks(&[1])).await;
        store
            .transition(batch.no, Change::Cancel, START)
            .await
            .unwrap();
        store.sweep(batch.no, 1, START).await.unwrap();
        assert_eq!(
            results(&*store, batch.no).await[&0].item.as_deref(),
            echoed.as_ref()
        );
    }
}
