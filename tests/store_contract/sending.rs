//! Leases and settles: how items get their outcomes.

use std::time::Duration;

use flowgate::model::{BatchNo, BatchState, EventKind, FailureKind, TargetName, TenantId};
use flowgate::store::{Again, Backlog, Change, Events, Lease, Seal, Settle, Settled, StoreError};

use super::Any;
use super::build::*;

pub async fn chunks_are_leased_in_order_until_there_are_none(store: Any) {
    let one = submit(&*store, new(1), chunks(&[2, 1, 2])).await;
    let two = submit(&*store, new(2), chunks(&[1])).await;
    let picks = vec![one.no, two.no, one.no, BatchNo(99), one.no, two.no, one.no];
    let answers = store.lease(picks.into(), START).await.unwrap();
    let taken: Vec<_> = answers
        .iter()
        .map(|lease| match lease {
            Lease::Chunk(leased) => (leased.no, indexes(leased)),
            Lease::Nothing => (BatchNo(0), Vec::new()),
            other => panic!("{other:?}"),
        })
        .collect();
    let none = (BatchNo(0), Vec::new());
    let expected = [
        (one.no, vec![0, 1]),
        (two.no, vec![0]),
        (one.no, vec![2]),
        none.clone(),
        (one.no, vec![3, 4]),
        none.clone(),
        none,
    ];
    assert_eq!(taken, expected);
}

pub async fn a_lease_shows_in_the_batch(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[2, 1])).await;
    let leased = leased(&*store, batch.no, START + 5).await;
    assert_eq!((leased.no, leased.id), (batch.no, batch.id));
    assert_eq!((&leased.tenant, &leased.spec), (&batch.tenant, &batch.spec));
    assert_eq!((leased.epoch, leased.attempt), (1, 0));
    assert_eq!(leased.since_ms, START + 5);
    assert_eq!(leased.unanswered, [0; 0]);

    let batch = read(&*store, 1).await;
    let counts = batch.progress.counts;
    assert_eq!((counts.in_flight, counts.queued()), (2, 1));
    assert_eq!(batch.started_ms, Some(START + 5));
    lease(&*store, batch.no, START + 9).await;
    assert_eq!(read(&*store, 1).await.started_ms, Some(START + 5));
}

pub async fn a_settle_records_results_then_progress_then_the_end(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[2, 1])).await;
    let first = leased(&*store, batch.no, START).await;
    let second = leased(&*store, batch.no, START).await;
    let answer = settle(&*store, all_succeeded(&second, START + 1)).await;
    assert_eq!(answer, recorded(true, false));
    let answer = settle(&*store, all_succeeded(&first, START + 2)).await;
    assert_eq!(answer, recorded(true, true));

    let told = [
        "results 2",
        "progress 1/3",
        "results 0 1",
        "progress 3/3",
        "finished",
    ];
    assert_eq!(story(&*store, batch.no).await, told);
    let times = log(&*store, batch.no).await;
    let times: Vec<_> = times.iter().map(|event| event.at_ms - START).collect();
    assert_eq!(times, [1, 1, 2, 2, 2]);
    assert_eq!(results(&*store, batch.no).await[&1], succeeded(1));

    let batch = read(&*store, 1).await;
    assert_eq!(batch.state, BatchState::Succeeded);
    assert_eq!(batch.finished_ms, Some(START + 2));
    assert_eq!(batch.last_sequence, 5);
    let counts = batch.progress.counts;
    assert_eq!((counts.in_flight, counts.chunks_finished), (0, 2));
    assert!(matches!(
        lease(&*store, batch.no, START).await,
        Lease::Nothing
    ));
}

pub async fn results_are_recorded_before_the_chunk_is_finished(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3])).await;
    let leased = leased(&*store, batch.no, START).await;
    for (position, is_last) in [(2, false), (0, false), (1, true)] {
        let part = Settle {
            results: vec![(position, succeeded(position))],
            ..part(&leased, START)
        };
        assert_eq!(settle(&*store, part).await, recorded(is_last, is_last));
    }
    let told = [
        "results 2",
        "results 0",
        "results 1",
        "progress 3/3",
        "finished",
    ];
    assert_eq!(story(&*store, batch.no).await, told);
}

pub async fn a_settle_under_another_epoch_writes_nothing(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[2])).await;
    let old = leased(&*store, batch.no, START).await;
    let release = Settle {
        release: Some(0),
        ..part(&old, START)
    };
    settle(&*store, release).await;
    // It is queued: nobody holds it.
    let answer = settle(&*store, all_succeeded(&old, START)).await;
    assert_eq!(answer, Settled::Stale);
    let new = leased(&*store, batch.no, START).await;
    assert_eq!((new.chunk, new.epoch), (old.chunk, old.epoch + 1));

    let before = read(&*store, 1).await;
    let mut gone = all_succeeded(&new, START);
    gone.chunk = NO_CHUNK;
    for part in [all_succeeded(&old, START), gone] {
        assert_eq!(settle(&*store, part).await, Settled::Stale);
    }
    assert_eq!(read(&*store, 1).await, before);
    assert_eq!(log(&*store, batch.no).await, []);

    settle(&*store, all_succeeded(&new, START)).await;
    let answer = settle(&*store, all_succeeded(&new, START)).await;
    assert_eq!(answer, Settled::Stale);
}

pub async fn a_settle_of_an_item_that_is_done_writes_nothing(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[4])).await;
    let leased = leased(&*store, batch.no, START).await;
    let first = Settle {
        results: vec![(0, succeeded(0))],
        again: vec![again(&leased, &[1], false, 0)],
        ..part(&leased, START)
    };
    settle(&*store, first).await;
    let before = (read(&*store, 1).await, log(&*store, batch.no).await);

    let results = |positions: &[u32]| Settle {
        results: positions.iter().map(|at| (*at, succeeded(*at))).collect(),
        ..part(&leased, START)
    };
    let retry = |positions: &[u32]| Settle {
        again: vec![again(&leased, positions, false, 0)],
        ..part(&leased, START)
    };
    let no_items = Settle {
        again: vec![Again {
            items: Vec::new(),
            faulted: false,
            tried: true,
            unanswered: false,
            due_ms: 0,
        }],
        ..part(&leased, START)
    };
    let both = Settle {
        again: vec![again(&leased, &[2], false, 0)],
        ..results(&[2])
    };
    let wrong = [
        results(&[2, 0]),
        results(&[2, 1]),
        results(&[2, 2]),
        results(&[3, 4]),
        retry(&[2, 0]),
        retry(&[1]),
        no_items,
        both,
    ];
    for part in wrong {
        let answer = store.settle(part).await;
        assert!(matches!(answer, Err(StoreError::Mistake(_))), "{answer:?}");
    }
    assert_eq!(
        (read(&*store, 1).await, log(&*store, batch.no).await),
        before
    );
}

pub async fn a_settle_of_another_item_writes_nothing(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[2, 2])).await;
    leased(&*store, batch.no, START).await;
    let second = leased(&*store, batch.no, START).await;
    let wrong = Settle {
        results: vec![(0, succeeded(3))],
        ..part(&second, START)
    };
    assert!(store.settle(wrong).await.is_err());
    assert_eq!(log(&*store, batch.no).await, []);
}

pub async fn the_pace_and_the_time_left_are_those_of_the_last_settle(store: Any) {
    let batch = open(&*store, new(1), chunks(&[20, 20])).await;
    let first = leased(&*store, batch.no, START).await;
    let half = Settle {
        results: (0..10).map(|at| (at, succeeded(at))).collect(),
        ..part(&first, START + 1_000)
    };
    settle(&*store, half).await;
    let progress = read(&*store, 1).await.progress;
    assert_eq!((progress.items_per_second, progress.time_left), (5.0, None));

    append(&*store, batch.no, 40, Vec::new(), Some(Seal::Unchecked)).await;
    let sealed = read(&*store, 1).await.progress;
    assert_eq!(sealed.time_left, Some(Duration::from_secs(6)));
    let rest = Settle {
        results: (10..20).map(|at| (at, succeeded(at))).collect(),
        ..part(&first, START + 1_000)
    };
    settle(&*store, rest).await;
    let progress = read(&*store, 1).await.progress;
    assert_eq!(progress.items_per_second, 10.0);
    assert_eq!(progress.time_left, Some(Duration::from_secs(2)));
    let logged = log(&*store, batch.no).await.pop().unwrap();
    assert_eq!(logged.kind, EventKind::Progress(progress));
    // A lease moves neither.
    lease(&*store, batch.no, START + 60_000).await;
    let later = read(&*store, 1).await.progress;
    assert_eq!(later.items_per_second, progress.items_per_second);
    assert_eq!(later.time_left, progress.time_left);
}

pub async fn a_batch_ends_as_its_outcomes_say(store: Any) {
    use FailureKind::{InDoubt, Rejected, Throttled};
    let table: [(u128, [Option<FailureKind>; 2], BatchState); 5] = [
        (1, [None, None], BatchState::Succeeded),
        (2, [None, Some(Rejected)], BatchState::PartiallySucceeded),
        (3, [Some(Throttled), Some(Rejected)], BatchState::Failed),
        (
            4,
            [Some(InDoubt), Some(Rejected)],
            BatchState::PartiallySucceeded,
        ),
        (5, [Some(InDoubt), None], BatchState::PartiallySucceeded),
    ];
    for (id, outcomes, state) in table {
        let batch = submit(&*store, new(id), chunks(&[2])).await;
        let leased = leased(&*store, batch.no, START).await;
        let results = (0..).zip(outcomes).map(|(at, kind)| match kind {
            Some(kind) => (at, failed(at, kind)),
            None => (at, succeeded(at)),
        });
        let part = Settle {
            results: results.collect(),
            ..part(&leased, START)
        };
        assert_eq!(settle(&*store, part).await, recorded(true, true));
        let batch = read(&*store, id).await;
        assert_eq!(batch.state, state, "{outcomes:?}");
        for kind in FailureKind::ALL {
            let count = outcomes.iter().filter(|outcome| **outcome == Some(kind));
            let counted = batch.progress.counts.failed[kind.place()];
            assert_eq!(counted as usize, count.count());
        }
    }
}

pub async fn events_are_read_from_any_cursor_in_pieces(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[1; 20])).await;
    let other = submit(&*store, new(2), chunks(&[1])).await;
    for no in [other.no].into_iter().chain([batch.no; 20]) {
        let leased = leased(&*store, no, START).await;
        settle(&*store, all_succeeded(&leased, START)).await;
    }
    let all = log(&*store, batch.no).await;
    assert_eq!(all.len(), 41);
    for max_bytes in [0, 1, 100, 10_000] {
        let mut read = Vec::new();
        loop {
            let after = read.len() as u64;
            let piece = store.events(batch.no, after, max_bytes).await.unwrap();
            let count = piece.events.len();
            // At least one, and where there are more, it says so.
            assert_ne!(count, 0);
            read.extend(piece.events);
            assert_eq!(piece.more, read.len() < all.len());
            if !piece.more {
                break;
            }
            assert!(max_bytes > 1 || count == 1);
        }
        assert_eq!(read, all);
    }
    for after in [41, 42, u64::MAX] {
        let beyond = store.events(batch.no, after, 1).await.unwrap();
        assert_eq!(beyond, Events::default());
    }
    let nowhere = store.events(BatchNo(99), 0, 1).await.unwrap();
    assert_eq!(nowhere, Events::default());
}

pub async fn a_backlog_holds_the_batches_with_queued_items(store: Any) {
    let mut elsewhere = new(1);
    elsewhere.spec.target = TargetName::new("elsewhere");
    submit(&*store, elsewhere, chunks(&[5])).await;
    let mut batches = Vec::new();
    for (id, name) in [(2, "z"), (3, "a"), (4, "z"), (5, "m")] {
        let mut new = new(id);
        new.tenant = TenantId::new(name);
        let batch = submit(&*store, new, chunks(&[2, 1])).await;
        batches.push((batch.tenant, batch.no));
    }
    let backlog = |skipped: usize, items| Backlog {
        batches: batches[skipped..].to_vec(),
        items,
    };
    assert_eq!(store.backlog(target()).await.unwrap(), backlog(0, 12));
    let no = batches[0].1;
    let first = leased(&*store, no, START).await;
    assert_eq!(store.backlog(target()).await.unwrap(), backlog(0, 10));
    let second = leased(&*store, no, START).await;
    assert_eq!(store.backlog(target()).await.unwrap(), backlog(1, 9));
    settle(&*store, all_succeeded(&first, START)).await;
    let release = Settle {
        release: Some(START + 5),
        ..part(&second, START)
    };
    settle(&*store, release).await;
    assert_eq!(store.backlog(target()).await.unwrap(), backlog(0, 10));
    store.transition(no, Change::Cancel, START).await.unwrap();
    assert_eq!(store.backlog(target()).await.unwrap(), backlog(0, 10));
    store.sweep(no, 9, START).await.unwrap();
    assert_eq!(store.backlog(target()).await.unwrap(), backlog(1, 9));
}
