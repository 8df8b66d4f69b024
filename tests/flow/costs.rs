//! What requests take of the limits: by request, by item, or both.

use std::sync::Arc;
use std::time::Duration;

use flowgate::model::{Cost, TargetName};
use flowgate::store::{MemoryStore, Store};
use flowgate::target::Said;
use tokio::time::{Instant, timeout};

use super::SECOND;
use super::many::{Request, Together};
use super::world::{TargetSpec, World, cause};
use flowgate::model::Reply;

/// The most that requests took in any window of a second.
fn most_in_a_second(requests: &[Request], cost: Cost) -> u32 {
    let of = |request: &Request| cost.of(u32::try_from(request.items.len()).expect("few"));
    (0..requests.len())
        .map(|from| {
            let end = requests[from].at + SECOND;
            let within = requests[from..].iter().take_while(|other| other.at < end);
            within.map(of).sum()
        })
        .max()
        .unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_used_as_the_cost_says() {
    for (cost, limit, count, items, least, most) in [
        // Ten requests of 50 a second.
        (Cost::REQUEST, "10/s", 10, 1000, 1, 2),
        // Two requests of 50 a second.
        (Cost::ITEM, "100/s", 100, 500, 4, 5),
        // A request of 50 costs 60: five a second at 300.
        (
            Cost {
                base: 10,
                per_item: 1,
            },
            "300/s",
            300,
            1000,
            3,
            4,
        ),
        // Three for every request, however few items it has.
        (
            Cost {
                base: 3,
                per_item: 0,
            },
            "30/s",
            30,
            2000,
            3,
            4,
        ),
    ] {
        let together = Together::of(50);
        let target = TargetSpec {
            cost,
            ..together.target("guests")
        };
        let world = World::start(&[limit], vec![target]);
        let batch = world.submit("guests", items).await;
        let start = Instant::now();
        world.events(&batch).await;
        let seconds = start.elapsed().as_secs();
        assert!((least..=most).contains(&seconds), "{cost:?}: {seconds} s");
        let seen = together.seen();
        assert_eq!(seen.len(), items as usize / 50);
        let busiest = most_in_a_second(&seen, cost);
        assert!(busiest <= count, "{cost:?}: {busiest} of {count}");
        assert!(
            busiest + cost.of(50) > count,
            "{cost:?}: {busiest} of {count}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_costs_more_is_sent_less_often() {
    let cost = Cost {
        base: 4,
        per_item: 1,
    };
    let target = TargetSpec {
        cost,
        chunk_items: 10,
        ..TargetSpec::named("guests")
    };
    let world = World::start(&["100/s"], vec![target]);
    let batch = world.submit("guests", 80).await;
    world.events(&batch).await;
    let sent = world.sent();
    assert_eq!(super::most_in_any(SECOND, &sent), 20);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_as_a_whole_goes_in_halves_each_of_which_costs() {
    // One bad item of 64, which nobody names.
    let together =
        Together::of(64).answering(|items, _| match items.iter().any(|item| item.index == 37) {
            true => Said::Refused(cause("HTTP_422")),
            false => super::many::all_done(items),
        });
    let target = TargetSpec {
        cost: Cost::REQUEST,
        ..together.target("guests")
    };
    let world = World::start(&["100/s"], vec![target]);
    let batch = world.submit("guests", 64).await;
    let events = timeout(SECOND, world.events(&batch))
        .await
        .expect("it ends");
    let kinds = super::kinds(&events);
    assert_eq!(kinds.iter().flatten().count(), 1);
    let counts = world.read(&batch).await.progress.counts;
    assert_eq!((counts.succeeded, counts.failed_total()), (63, 1));
    // 64, 32, 16, 8, 4, 2, 1 with it, and as many without.
    let seen = together.seen();
    assert_eq!(seen.len(), 13);
    let mut done: Vec<u32> = seen
        .iter()
        .filter(|request| !request.items.contains(&37))
        .flat_map(|request| request.items.clone())
        .collect();
    done.sort_unstable();
    let others: Vec<u32> = (0..64).filter(|index| *index != 37).collect();
    assert_eq!(done, others, "each of the others once");
}

#[tokio::test(start_paused = true)]
async fn what_is_split_goes_back_to_the_queue_where_the_limit_is_used_up() {
    let together = Together::of(64).answering(|items, _| match items.len() > 1 {
        true => Said::TooLarge(cause("HTTP_413")),
        false => super::many::all_done(items),
    });
    let target = TargetSpec {
        cost: Cost::REQUEST,
        ..together.target("guests")
    };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let world = World::after(store.clone(), &["40/h"], vec![target]).await;
    let batch = world.submit("guests", 64).await;
    while together.seen().len() < 40 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // It waits for the next of the hour, and is drained meanwhile.
    tokio::time::sleep(SECOND).await;
    let (seen, ledger) = (together.seen().len(), together.clone());
    world.stop().await;
    assert_eq!(seen, 40);
    let spent = store.spent(TargetName::new("guests"), 0).await.expect("it");
    let units: u64 = spent.iter().map(|spent| spent.units).sum();
    assert_eq!(units, 40, "what was sent, in requests");

    // Nobody is in doubt: what was refused as a whole was not done.
    let target = TargetSpec {
        cost: Cost::REQUEST,
        ..ledger.target("guests")
    };
    let world = World::after(store, &["40/h"], vec![target]).await;
    let events = timeout(48 * 3600 * SECOND, world.events(&batch)).await;
    assert_eq!(
        super::kinds(&events.expect("it ends"))
            .iter()
            .flatten()
            .count(),
        0
    );
    let all = ledger.seen();
    let hour = 3600 * SECOND;
    for from in 0..all.len() {
        let end = all[from].at + hour;
        let within = all[from..].iter().take_while(|other| other.at < end);
        assert!(within.count() <= 40);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_said_is_in_doubt_and_more_than_asked_is_nobodys() {
    let together = Together::of(10).answering(|items, _| {
        let reply = |item: &flowgate::model::Item| match item.index % 3 {
            0 => Some(super::many::done()),
            1 => Some(Reply::Refused(cause("HTTP_422"))),
            _ => None,
        };
        let mut replies: Vec<_> = items.iter().map(reply).collect();
        replies.push(Some(super::many::done()));
        Said::Each(replies)
    });
    let world = World::start(&[], vec![together.target("guests")]);
    let batch = world.submit("guests", 30).await;
    let kinds = super::kinds(&world.events(&batch).await);
    assert_eq!(kinds.len(), 30);
    let in_doubt = kinds.iter().flatten();
    let in_doubt = in_doubt.filter(|kind| **kind == flowgate::model::FailureKind::InDoubt);
    assert_eq!(in_doubt.count(), 10);
}
