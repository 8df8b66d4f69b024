//! Limits that are longer than a restart can wait out: no window over all lives
//! of a server holds too many, and little of the rate is lost.

use std::sync::Arc;
use std::time::Duration;

use flowgate::model::{Batch, BatchId, BatchState, Cost, Item, Rate, Reply, TargetName, TenantId};
use flowgate::store::{
    Append, Appended, Into, Lease, MemoryStore, NewBatch, NewChunk, Picks, Seal, Settle, Store,
};
use flowgate::time::wall_ms_at;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::world::{Act, Sent, TargetSpec, World, cause, done, draft, most_in_any, now, spec};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const TRANSIT: Duration = Duration::from_millis(50);

/// Chunks of one, as such limits make them, and up to so many at once.
const CONCURRENCY: u32 = 10;

/// What may be leased and unwritten, or written and unanswered, when a lane is
/// killed: it counts as sent, and goes again.
const LEASED: usize = 3 * CONCURRENCY as usize;

fn named(name: &'static str) -> TargetSpec {
    TargetSpec {
        concurrency: CONCURRENCY,
        chunk_items: 1,
        safe: true,
        ..TargetSpec::named(name)
    }
}

fn guests() -> Vec<TargetSpec> {
    vec![named("guests")]
}

fn empty() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

/// Waits until so many have been sent.
async fn sent(world: &World, count: usize) {
    let all = async {
        // Often at first, to end in the middle of things; later it may be hours.
        let mut pause = Duration::from_millis(1);
        while world.ledger.lock().expect("the ledger").len() < count {
            sleep(pause).await;
            pause = (pause * 2).min(SECOND / 5);
        }
    };
    timeout(24 * HOUR, all).await.expect("they are sent");
}

/// Follows a batch to its end, which is a good one.
async fn succeeds(world: &World, batch: &Batch) {
    let events = timeout(24 * HOUR, world.events(batch));
    events.await.expect("it ends");
    assert_eq!(world.read(batch).await.state, BatchState::Succeeded);
}

/// Lets the clock go on to so long after the next full minute.
async fn go_to(after_the_minute: Duration) {
    let left = 60_000 - now().rem_euclid(60_000);
    sleep(Duration::from_millis(left.unsigned_abs()) + after_the_minute).await;
}

/// What the store was charged for a target.
async fn charged(store: &dyn Store, target: &str) -> u64 {
    let spent = store.spent(TargetName::new(target), 0).await;
    spent.expect("the store").iter().map(|s| s.units).sum()
}

#[tokio::test(start_paused = true)]
async fn a_restart_refills_no_long_limit_and_loses_little_of_it() {
    for (second, before, limit, count, window) in [
        (0, 60, "100/m", 100, MINUTE),
        (30, 100, "100/m", 100, MINUTE),
        (59, 100, "100/m", 100, MINUTE),
        (10, 250, "100/m", 100, MINUTE),
        (45, 10, "10/30s", 10, MINUTE / 2),
        (50, 35, "10/30s", 10, MINUTE / 2),
        (20, 200, "200/h", 200, HOUR),
    ] {
        go_to(Duration::from_secs(second)).await;
        let store = empty();
        let world = World::after(store.clone(), &[limit], guests()).await;
        let batch = world.submit("guests", 400).await;
        sent(&world, before).await;
        let mut all = world.kill().await;

        let world = World::after(store, &[limit], guests()).await;
        let more = world.submit("guests", 50).await;
        succeeds(&world, &batch).await;
        succeeds(&world, &more).await;
        all.extend(world.sent());
        assert!(most_in_any(window, &all) <= count, "{limit}");

        // A slot that was used before is held until its minute has ended, too;
        // and what was leased took one.
        let windows = (all.len() + LEASED - 1) / count;
        let most = (window + TRANSIT) * u32::try_from(windows).expect("few") + MINUTE;
        let took = all[all.len() - 1].at - all[0].at;
        assert!(took <= most, "{limit}: {took:?} of {most:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_window_over_many_lives_holds_more_than_its_limit() {
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..10 {
        let limits = ["8/s", "30/20s", "70/m", "400/10m"];
        let store = empty();
        let (mut all, mut batches) = (Vec::<Sent>::new(), Vec::new());
        let started = Instant::now();
        for _ in 0..12 {
            let world = World::after(store.clone(), &limits, guests()).await;
            let end = Instant::now() + Duration::from_millis(random.u64(0..100_000));
            batches.push(world.submit("guests", random.u32(1..100)).await);
            if random.bool() {
                sleep_until(end).await;
                all.extend(world.kill().await);
            } else {
                sleep_until(end).await;
                let ledger = world.ledger.clone();
                world.stop().await;
                all.extend(ledger.lock().expect("the ledger").drain(..));
            }
            // It is charged at least for all that it sent.
            assert!(charged(&*store, "guests").await >= all.len() as u64);
            sleep(Duration::from_millis(random.u64(0..30_000))).await;
        }
        let world = World::after(store, &limits, guests()).await;
        for batch in &batches {
            succeeds(&world, batch).await;
        }
        all.extend(world.sent());
        for (window, count) in [
            (SECOND, 8),
            (20 * SECOND, 30),
            (MINUTE, 70),
            (10 * MINUTE, 400),
        ] {
            let most = most_in_any(window, &all);
            assert!(most <= count, "round {round}: {most} in {window:?}");
        }
        assert!(started.elapsed() < HOUR / 2, "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_back_what_was_not_sent() {
    let store = empty();
    let slow = named("guests").doing(|_, _| done(1_000));
    let world = World::after(store.clone(), &["60/m"], vec![slow]).await;
    world.submit("guests", 50).await;
    // Ten are under way all the time, and more are leased.
    sent(&world, 25).await;
    let ledger = world.ledger.clone();
    world.stop().await;
    let before = ledger.lock().expect("the ledger").len();
    assert!(before < 50, "{before}");
    assert_eq!(charged(&*store, "guests").await, before as u64);
    // So the rest of the limit is there at once.
    let world = World::after(store, &["60/m"], guests()).await;
    world.submit("guests", 100).await;
    let start = Instant::now();
    sent(&world, 60 - before).await;
    assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
    sleep(MINUTE / 2).await;
    assert_eq!(world.sent().len(), 60 - before);
}

#[tokio::test(start_paused = true)]
async fn what_two_targets_sent_on_one_quota_counts_together() {
    let both = || vec![named("guests"), named("rooms")];
    let store = empty();
    let world = World::after(store.clone(), &["100/h"], both()).await;
    let guests = world.submit("guests", 60).await;
    let rooms = world.submit("rooms", 30).await;
    succeeds(&world, &guests).await;
    succeeds(&world, &rooms).await;
    world.kill().await;
    let world = World::after(store, &["100/h"], both()).await;
    world.submit("guests", 60).await;
    world.submit("rooms", 60).await;
    sleep(58 * MINUTE).await;
    assert_eq!(world.sent().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn refusals_and_tries_that_failed_count_as_often_as_they_were_sent() {
    let target = || {
        named("guests").doing(|item, before| match (item.index, before) {
            (0..5, 0) => Act::Reply(SECOND, Reply::Fault(cause("HTTP_500"))),
            (5, 0) => Act::Reply(SECOND, Reply::Busy(cause("HTTP_429"))),
            (6, _) => Act::Reply(SECOND, Reply::Refused(cause("HTTP_422"))),
            _ => done(5),
        })
    };
    let store = empty();
    let world = World::after(store.clone(), &["40/h"], vec![target()]).await;
    let batch = world.submit("guests", 20).await;
    timeout(HOUR, world.events(&batch)).await.expect("it ends");
    assert_eq!(world.sent().len(), 26);
    assert_eq!(charged(&*store, "guests").await, 26);
    world.kill().await;
    let world = World::after(store, &["40/h"], vec![target()]).await;
    world.submit("guests", 100).await;
    sleep(58 * MINUTE).await;
    assert_eq!(world.sent().len(), 40 - 26);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_free_a_window_after_its_minute() {
    go_to(40 * SECOND).await;
    let (start, store) = (Instant::now(), empty());
    let world = World::after(store.clone(), &["30/h"], guests()).await;
    let batch = world.submit("guests", 30).await;
    succeeds(&world, &batch).await;
    world.kill().await;
    // Restarted a while later, or a second time: it makes no difference.
    for _ in 0..2 {
        sleep(20 * MINUTE).await;
        let world = World::after(store.clone(), &["30/h"], guests()).await;
        sleep(SECOND).await;
        world.kill().await;
    }
    let world = World::after(store, &["30/h"], guests()).await;
    world.submit("guests", 1).await;
    let due = start + 20 * SECOND + HOUR + TRANSIT;
    let told = world.status("guests").pause.expect("it waits");
    assert_eq!(told.reason, "the limit 30/h is used up");
    assert!((told.until_ms - wall_ms_at(due)).abs() <= 1);
    sent(&world, 1).await;
    let at = world.sent()[0].at;
    assert!(at >= due && at <= due + SECOND, "{:?}", at - start);
    assert_eq!(world.status("guests").pause, None);
}

#[tokio::test(start_paused = true)]
async fn short_limits_are_waited_out_beside_long_ones() {
    let store = empty();
    let limits = ["10/2s", "100/h"];
    let world = World::after(store.clone(), &limits, guests()).await;
    world.submit("guests", 100).await;
    sent(&world, 10).await;
    // Nobody wonders about two seconds.
    assert_eq!(world.status("guests").pause, None);
    world.kill().await;
    let start = Instant::now();
    let world = World::after(store, &limits, guests()).await;
    sent(&world, 1).await;
    assert!(start.elapsed() >= 2 * SECOND + TRANSIT);
    assert!(start.elapsed() <= 3 * SECOND);
}

/// Notes that so many items of a batch were sent at a time, and refused for now.
async fn send_at(store: &dyn Store, count: u32, at_ms: i64) {
    let new = NewBatch {
        tenant: TenantId::default(),
        id: BatchId::at(at_ms),
        spec: spec("guests"),
    };
    let items = (0..count).map(|index| Item {
        index,
        ..draft(index).item
    });
    let chunk = NewChunk {
        items: items.collect(),
        failed: Vec::new(),
    };
    let part = Append {
        chunks: vec![chunk],
        seal: Some(Seal::Unchecked),
        ..Append::new(Into::New(new), at_ms)
    };
    let Appended::Held(batch) = store.append(part).await.expect("the store") else {
        panic!("it is not held");
    };
    let picks = Picks {
        batches: vec![batch.no],
        charged: vec![Rate {
            cost: Cost::ITEM,
            request_items: 1,
        }],
    };
    let leases = store.lease(picks, at_ms).await.expect("the store");
    let [Lease::Chunk(held)] = &leases[..] else {
        panic!("not a chunk: {leases:?}");
    };
    let part = Settle {
        chunk: held.chunk,
        epoch: held.epoch,
        results: Vec::new(),
        keys: Vec::new(),
        again: Vec::new(),
        sent: i64::from(count),
        release: Some(0),
        now_ms: at_ms,
    };
    store.settle(part).await.expect("the store");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_by_a_clock_that_was_ahead_counts_as_sent_now() {
    let store = empty();
    let tomorrow = now() + 86_400_000;
    send_at(&*store, 15, tomorrow).await;
    let world = World::after(store.clone(), &["20/h"], guests()).await;
    sent(&world, 5).await;
    let start = Instant::now();
    sent(&world, 6).await;
    let waited = start.elapsed();
    assert!(waited <= HOUR + SECOND, "{waited:?}");
    assert!(waited + SECOND >= HOUR, "{waited:?}");
}
