//! Items that are sent again: moved to a chunk of their own, or released.

use flowgate::model::BatchState;
use flowgate::store::{Lease, Settle};

use super::Any;
use super::build::*;

pub async fn items_to_be_sent_again_move_to_a_chunk_of_their_own(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[4])).await;
    let first = leased(&*store, batch.no, START).await;
    let answer = settle(
        &*store,
        Settle {
            results: vec![(1, succeeded(1))],
            again: vec![
                again(&first, &[0, 3], false, START + 100),
                again(&first, &[2], true, START + 200),
            ],
            ..part(&first, START)
        },
    );
    assert_eq!(answer.await, recorded(true, false));
    assert_eq!(
        story(&*store, batch.no).await,
        ["results 1", "progress 1/4"]
    );
    let counts = read(&*store, 1).await.progress.counts;
    assert_eq!((counts.in_flight, counts.queued()), (0, 3));

    for (now, due) in [(0, 100), (99, 100)] {
        let answer = lease(&*store, batch.no, START + now).await;
        assert!(matches!(answer, Lease::Later { due_ms } if due_ms == START + due));
    }
    let second = leased(&*store, batch.no, START + 100).await;
    assert_eq!(second.items, [(0, item(0)), (1, item(3))]);
    assert_eq!((second.attempt, second.since_ms), (1, START));
    assert_eq!((second.epoch, second.unanswered.len()), (1, 0));
    let answer = lease(&*store, batch.no, START + 199).await;
    assert!(matches!(answer, Lease::Later { due_ms } if due_ms == START + 200));
    let third = leased(&*store, batch.no, START + 200).await;
    assert_eq!(
        (indexes(&third), &third.unanswered[..]),
        (vec![2], &[0][..])
    );

    settle(&*store, all_succeeded(&third, START + 300)).await;
    let answer = settle(&*store, all_succeeded(&second, START + 300)).await;
    assert_eq!(answer, recorded(true, true));
    let batch = read(&*store, 1).await;
    assert_eq!(batch.state, BatchState::Succeeded);
    assert_eq!(batch.progress.counts.chunks_finished, 3);
}

pub async fn once_unanswered_is_always_unanswered(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3])).await;
    let first = leased(&*store, batch.no, START).await;
    let part_of = |leased, again| Settle {
        again,
        ..part(leased, START)
    };
    settle(&*store, part_of(&first, vec![again(&first, &[2], true, 0)])).await;
    settle(
        &*store,
        part_of(&first, vec![again(&first, &[0, 1], false, 9)]),
    )
    .await;
    // The one that is due first goes first.
    let third = leased(&*store, batch.no, START).await;
    assert_eq!(
        (indexes(&third), &third.unanswered[..]),
        (vec![2], &[0][..])
    );
    let second = leased(&*store, batch.no, START).await;
    assert_eq!(
        (indexes(&second), &second.unanswered[..]),
        (vec![0, 1], &[][..])
    );
    // A try that was answered does not unsay it, nor does a release.
    settle(
        &*store,
        part_of(&third, vec![again(&third, &[0], false, 0)]),
    )
    .await;
    let fourth = leased(&*store, batch.no, START).await;
    assert_eq!((fourth.attempt, &fourth.unanswered[..]), (2, &[0][..]));
    let release = Settle {
        release: Some(0),
        ..part(&fourth, START)
    };
    settle(&*store, release).await;
    let fifth = leased(&*store, batch.no, START).await;
    assert_eq!((fifth.attempt, &fifth.unanswered[..]), (2, &[0][..]));
}

pub async fn a_released_chunk_is_leased_again_with_what_is_left(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3])).await;
    let first = leased(&*store, batch.no, START).await;
    let release = Settle {
        results: vec![(1, succeeded(1))],
        release: Some(START + 50),
        ..part(&first, START + 10)
    };
    assert_eq!(settle(&*store, release).await, recorded(false, false));
    assert_eq!(story(&*store, batch.no).await, ["results 1"]);
    let counts = read(&*store, 1).await.progress.counts;
    assert_eq!((counts.in_flight, counts.queued()), (0, 2));

    let answer = lease(&*store, batch.no, START + 49).await;
    assert!(matches!(answer, Lease::Later { due_ms } if due_ms == START + 50));
    let second = leased(&*store, batch.no, START + 50).await;
    assert_eq!(second.items, [(0, item(0)), (2, item(2))]);
    assert_eq!((second.epoch, second.attempt), (2, 0));
    assert_eq!(second.since_ms, START);
    // A release of nothing is the end of the chunk.
    let end = Settle {
        release: Some(0),
        ..all_succeeded(&second, START + 60)
    };
    assert_eq!(settle(&*store, end).await, recorded(true, true));
}

pub async fn what_was_put_off_goes_before_what_was_never_sent(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[1, 1, 1, 1])).await;
    let first = leased(&*store, batch.no, START).await;
    let second = leased(&*store, batch.no, START).await;
    let put_off = |leased, due_ms| Settle {
        again: vec![again(leased, &[0], false, due_ms)],
        ..part(leased, START)
    };
    settle(&*store, put_off(&first, START + 20)).await;
    settle(&*store, put_off(&second, START + 10)).await;
    // Not due yet: on with the batch.
    assert_eq!(indexes(&leased(&*store, batch.no, START).await), [2]);
    let mut order = Vec::new();
    for _ in 0..3 {
        order.extend(indexes(&leased(&*store, batch.no, START + 20).await));
    }
    assert_eq!(order, [1, 0, 3]);
}
