//! What long limits are charged: leases, by their target and minute, until it
//! is known what was sent.

use std::sync::Arc;

use flowgate::model::{BatchNo, Cost, Ordering, Rate, TargetName};
use flowgate::store::{Change, Lease, Leased, Picks, Prune, Settle, Settled, Store};

use super::Any;
use super::build::*;

/// The start lies so long before the end of its minute.
const END: i64 = START + 40_000;
const NEXT: i64 = END + 60_000;

/// Leases the next chunk of a batch, charged.
async fn charged(store: &dyn Store, no: BatchNo, now_ms: i64) -> Leased {
    let picks = Picks {
        batches: vec![no],
        charged: vec![Rate {
            cost: Cost::ITEM,
            request_items: 1,
        }],
    };
    let mut leases = store.lease(picks, now_ms).await.unwrap();
    match leases.remove(0) {
        Lease::Chunk(chunk) => *chunk,
        other => panic!("not a chunk: {other:?}"),
    }
}

/// When each minute of a target ends, and what it was charged in it.
async fn spent(store: &dyn Store, target: &str, from_ms: i64) -> Vec<(i64, u64)> {
    let spent = store.spent(TargetName::new(target), from_ms).await.unwrap();
    spent.iter().map(|s| (s.until_ms, s.units)).collect()
}

async fn all(store: &dyn Store) -> Vec<(i64, u64)> {
    spent(store, target().as_str(), 0).await
}

/// A settle in which so many items of a leased chunk succeeded, from a position
/// on, of which so many were sent.
fn done(leased: &Leased, from: usize, items: usize, sent: i64, now_ms: i64) -> Settle {
    let results = leased.items[from..from + items].iter();
    Settle {
        results: results
            .map(|(at, item)| (*at, succeeded(item.index)))
            .collect(),
        sent,
        ..part(leased, now_ms)
    }
}

pub async fn a_lease_is_charged_to_its_target_and_minute(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3, 2, 4, 1])).await;
    let mut rooms = new(2);
    rooms.spec.target = TargetName::new("rooms");
    let rooms = submit(&*store, rooms, chunks(&[7])).await;
    assert_eq!(all(&*store).await, []);
    charged(&*store, batch.no, START).await;
    charged(&*store, batch.no, END - 1).await;
    charged(&*store, rooms.no, END - 1).await;
    charged(&*store, batch.no, END).await;
    // Of a lane whose limits are short.
    leased(&*store, batch.no, END).await;
    assert_eq!(all(&*store).await, [(END, 5), (NEXT, 4)]);
    assert_eq!(spent(&*store, "rooms", 0).await, [(END, 7)]);
    assert_eq!(spent(&*store, "others", 0).await, []);
}

pub async fn charges_are_read_from_the_minute_on_that_holds_a_time(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[1, 2, 3])).await;
    for later in [0, 2, 4] {
        charged(&*store, batch.no, START + later * 60_000).await;
    }
    let minutes = [(END, 1), (END + 120_000, 2), (END + 240_000, 3)];
    for (from, first) in [
        (START - 20_000, 0),
        (END - 1, 0),
        (END, 1),
        (END + 119_999, 1),
        (END + 120_000, 2),
        (END + 240_000, 3),
    ] {
        assert_eq!(spent(&*store, "guests", from).await, minutes[first..]);
    }
}

pub async fn a_settle_refunds_what_was_not_sent(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[6])).await;
    let held = charged(&*store, batch.no, START).await;
    // One of these two came too late to be sent.
    settle(&*store, done(&held, 0, 2, 1, START + 5)).await;
    settle(&*store, done(&held, 2, 1, 1, START + 6)).await;
    // Until the lease ends, more may be sent.
    assert_eq!(all(&*store).await, [(END, 6)]);
    settle(&*store, done(&held, 3, 3, 0, START + 7)).await;
    assert_eq!(all(&*store).await, [(END, 2)]);
}

pub async fn what_was_sent_counts_in_the_minute_of_its_settle(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[6])).await;
    let held = charged(&*store, batch.no, START).await;
    settle(&*store, done(&held, 0, 1, 1, END - 1)).await;
    settle(&*store, done(&held, 1, 2, 1, END)).await;
    // Four may be under way still.
    assert_eq!(all(&*store).await, [(END, 5), (NEXT, 1)]);
    settle(&*store, done(&held, 3, 3, 3, NEXT)).await;
    let minutes = [(END, 1), (NEXT, 1), (NEXT + 60_000, 3)];
    assert_eq!(all(&*store).await, minutes);
}

pub async fn a_release_refunds_what_was_not_sent_and_a_new_lease_is_charged(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[5])).await;
    let held = charged(&*store, batch.no, START).await;
    // One succeeded, and one was sent and refused for now.
    let released = Settle {
        release: Some(0),
        ..done(&held, 0, 1, 2, END + 1)
    };
    settle(&*store, released).await;
    assert_eq!(all(&*store).await, [(NEXT, 2)]);
    charged(&*store, batch.no, END + 2).await;
    assert_eq!(all(&*store).await, [(NEXT, 6)]);
}

pub async fn a_released_chunk_is_charged_no_more(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[2])).await;
    let held = charged(&*store, batch.no, START).await;
    let released = Settle {
        release: Some(0),
        ..part(&held, START)
    };
    settle(&*store, released).await;
    // By a lane whose limits are short now.
    let held = leased(&*store, batch.no, START).await;
    settle(&*store, done(&held, 0, 1, 1, START)).await;
    let rescued = store.rescue(Arc::new(|_, _, _| true), START).await;
    assert_eq!(rescued.unwrap(), 1);
    assert_eq!(all(&*store).await, []);
}

pub async fn every_try_is_charged(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3])).await;
    let held = charged(&*store, batch.no, START).await;
    let first = Settle {
        again: vec![again(&held, &[0, 1], true, END)],
        ..done(&held, 2, 1, 3, START)
    };
    settle(&*store, first).await;
    assert_eq!(all(&*store).await, [(END, 3)]);
    let held = charged(&*store, batch.no, END).await;
    assert_eq!(all(&*store).await, [(END, 3), (NEXT, 2)]);
    settle(&*store, done(&held, 0, 2, 2, END)).await;
    assert_eq!(all(&*store).await, [(END, 3), (NEXT, 2)]);
}

pub async fn a_settle_that_writes_nothing_is_charged_nothing(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3])).await;
    let held = charged(&*store, batch.no, START).await;
    let stale = Settle {
        epoch: held.epoch + 1,
        ..done(&held, 0, 3, 0, END)
    };
    assert_eq!(settle(&*store, stale).await, Settled::Stale);
    let mut twice = done(&held, 0, 3, 0, END);
    twice.results.push((0, succeeded(0)));
    store.settle(twice).await.unwrap_err();
    assert_eq!(all(&*store).await, [(END, 3)]);
}

pub async fn a_rescue_charges_what_may_have_been_sent_to_its_minute(store: Any) {
    for (number, safe) in [(1, false), (2, true)] {
        let batch = submit(&*store, new(number), chunks(&[5])).await;
        let held = charged(&*store, batch.no, START).await;
        settle(&*store, done(&held, 0, 2, 2, START)).await;
        let rescued = store.rescue(Arc::new(move |_, _, _| safe), END).await;
        assert_eq!(rescued.unwrap(), 1);
    }
    assert_eq!(all(&*store).await, [(END, 4), (NEXT, 6)]);
    // A second one finds nothing.
    let rescued = store.rescue(Arc::new(|_, _, _| true), NEXT).await;
    assert_eq!(rescued.unwrap(), 0);
    assert_eq!(all(&*store).await, [(END, 4), (NEXT, 6)]);
}

pub async fn a_rescue_in_strict_order_charges_the_one_that_may_have_been_sent(store: Any) {
    for (number, safe) in [(1, false), (2, true)] {
        let mut strict = new(number);
        strict.spec.ordering = Ordering::Strict;
        let batch = submit(&*store, strict, chunks(&[5])).await;
        let held = charged(&*store, batch.no, START).await;
        settle(&*store, done(&held, 0, 2, 2, START)).await;
        let rescued = store.rescue(Arc::new(move |_, _, _| safe), END).await;
        assert_eq!(rescued.unwrap(), 1);
    }
    assert_eq!(all(&*store).await, [(END, 4), (NEXT, 2)]);
}

pub async fn what_was_leased_of_a_stopped_batch_is_settled_as_ever(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[4, 4])).await;
    let held = charged(&*store, batch.no, START).await;
    let change = store.transition(batch.no, Change::Cancel, START).await;
    change.unwrap();
    store.sweep(batch.no, 10, START).await.unwrap();
    // What was never leased is charged nothing.
    assert_eq!(all(&*store).await, [(END, 4)]);
    let released = Settle {
        release: Some(0),
        ..done(&held, 0, 1, 1, START)
    };
    settle(&*store, released).await;
    store.sweep(batch.no, 10, START).await.unwrap();
    assert_eq!(all(&*store).await, [(END, 1)]);
}

pub async fn a_lease_is_charged_by_what_its_requests_take(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[7])).await;
    let cost = Cost {
        base: 10,
        per_item: 1,
    };
    let picks = Picks {
        batches: vec![batch.no],
        charged: vec![Rate {
            cost,
            request_items: 4,
        }],
    };
    let leases = store.lease(picks, START).await.unwrap();
    let [Lease::Chunk(held)] = &leases[..] else {
        panic!("not a chunk: {leases:?}");
    };
    // Two requests.
    assert_eq!(all(&*store).await, [(END, 27)]);
    // The first was refused as a whole, and went again in halves: four items for
    // 14, and two for 12 each; the second did not go.
    let released = Settle {
        release: Some(0),
        ..done(held, 0, 4, 38, END)
    };
    settle(&*store, released).await;
    assert_eq!(all(&*store).await, [(NEXT, 38)]);
}

pub async fn what_proved_to_be_unwritten_is_taken_back(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3])).await;
    let held = charged(&*store, batch.no, START).await;
    settle(&*store, done(&held, 0, 1, 3, START)).await;
    settle(&*store, done(&held, 1, 2, -1, START)).await;
    assert_eq!(all(&*store).await, [(END, 2)]);
}

pub async fn old_charges_are_pruned_and_no_others(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[1, 2, 3])).await;
    for later in [0, 1, 2] {
        charged(&*store, batch.no, START + later * 60_000).await;
    }
    let prune = |charges_before_ms, max| Prune {
        batches_before_ms: i64::MIN,
        keys_before_ms: i64::MIN,
        charges_before_ms,
        max,
    };
    // A minute counts until it has ended.
    assert!(!store.prune(prune(END - 1, 10)).await.unwrap());
    assert_eq!(all(&*store).await.len(), 3);
    // A part at a time.
    assert!(store.prune(prune(NEXT, 1)).await.unwrap());
    assert_eq!(all(&*store).await.len(), 2);
    assert!(store.prune(prune(NEXT, 1)).await.unwrap());
    assert!(!store.prune(prune(NEXT, 1)).await.unwrap());
    assert_eq!(all(&*store).await, [(NEXT + 60_000, 3)]);
}
