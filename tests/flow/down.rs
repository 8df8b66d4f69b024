//! A target that is down: it is left alone, tried with single items, and goes on
//! once one of them is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use flowgate::core::breaker::BreakerPolicy;
use flowgate::model::{BatchState, Reply};
use tokio::time::{Instant, sleep, timeout};

use super::many::Together;
use super::world::{Act, TargetSpec, World, cause, done, results};
use super::{SECOND, kinds};
use flowgate::target::Said;

/// Whether a target is up.
type Up = Arc<AtomicBool>;

/// A target that fails so while it is down, with little patience for each item.
fn target(name: &'static str, up: &Up, reply: fn() -> Reply) -> TargetSpec {
    let up = up.clone();
    TargetSpec {
        concurrency: 10,
        chunk_items: 10,
        safe: true,
        ..TargetSpec::named(name)
    }
    .doing(move |_, _| match up.load(Relaxed) {
        true => done(5),
        false => Act::Reply(Duration::from_millis(5), reply()),
    })
}

fn unsent() -> Reply {
    Reply::Unsent(cause("CONNECT_FAILED"))
}

#[tokio::test(start_paused = true)]
async fn it_is_tried_with_single_items_and_uses_up_no_tries_of_the_others() {
    let replies: [fn() -> Reply; 3] = [
        unsent,
        || Reply::Fault(cause("HTTP_500")),
        || Reply::Unknown(cause("TIMEOUT")),
    ];
    for reply in replies {
        let up = Up::default();
        let world = World::start(&[], vec![target("guests", &up, reply)]);
        let batch = world.submit("guests", 500).await;
        sleep(100 * SECOND).await;
        let tried = world.sent().len();
        // Ten that showed it and those beside them; then one now and then: after
        // up to 1, 2, 4, 8, 16, 30, 30 s, and never sooner than half of that.
        assert!((10 + 4..=20 + 10).contains(&tried), "{tried}");
        let late = &world.sent()[20..];
        let gaps = late.windows(2).map(|pair| pair[1].at - pair[0].at);
        assert!(gaps.min().expect("some") >= SECOND / 2, "{late:?}");

        let pause = world.status("guests").pause.expect("it is told");
        assert!(pause.reason.starts_with("the target is down"), "{pause:?}");
        assert!(pause.reason.contains("as scripted"), "{pause:?}");

        up.store(true, Relaxed);
        let events = timeout(40 * SECOND, world.events(&batch)).await;
        let results = results(&events.expect("it ends"));
        let failed = kinds_of(&results);
        // Each item that was tried has tries left, but for those that were tried
        // again and again.
        assert!(failed <= 3, "{failed} failed");
        let untouched = results.iter().filter(|result| result.attempts == 1);
        assert!(untouched.count() >= 470, "{results:?}");
        assert_eq!(world.status("guests").pause, None);
    }
}

fn kinds_of(results: &[flowgate::model::ItemResult]) -> usize {
    let failed = results
        .iter()
        .filter(|result| matches!(result.outcome, flowgate::model::Outcome::Failed(_)));
    failed.count()
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_at_full_speed_once_an_item_is_answered() {
    let up = Up::default();
    let world = World::start(&["100/s"], vec![target("guests", &up, unsent)]);
    let batch = world.submit("guests", 300).await;
    sleep(10 * SECOND).await;
    let before = world.sent().len();
    up.store(true, Relaxed);
    world.has_sent(before + 1).await;
    let start = Instant::now();
    world.events(&batch).await;
    let took = start.elapsed();
    assert!(took < 4 * SECOND, "{took:?} for 300 at 100/s");
    assert_eq!(world.read(&batch).await.state, BatchState::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn refusals_and_throttles_are_answers() {
    // Nine failures, then a refusal, over and over.
    let moody = TargetSpec {
        concurrency: 1,
        ..TargetSpec::named("guests")
    }
    .doing(|item, _| {
        let reply = match item.index % 10 {
            9 => Reply::Refused(cause("HTTP_422")),
            _ => Reply::Fault(cause("HTTP_500")),
        };
        Act::Reply(Duration::from_millis(5), reply)
    });
    let world = World::start(&[], vec![moody]);
    let batch = world.submit("guests", 200).await;
    let start = Instant::now();
    assert_eq!(kinds(&world.events(&batch).await).len(), 200);
    let took = start.elapsed();
    assert!(took < 3 * SECOND, "{took:?}: it was left alone");
}

#[tokio::test(start_paused = true)]
async fn where_it_is_off_every_item_uses_up_its_tries() {
    let up = Up::default();
    let off = TargetSpec {
        breaker: BreakerPolicy {
            failures: 0,
            ..BreakerPolicy::default()
        },
        ..target("guests", &up, unsent)
    };
    let world = World::start(&[], vec![off]);
    let batch = world.submit("guests", 100).await;
    let events = timeout(10 * SECOND, world.events(&batch)).await;
    let results = results(&events.expect("it ends"));
    assert!(results.iter().all(|result| result.attempts == 3));
}

#[tokio::test(start_paused = true)]
async fn others_on_the_same_quota_go_on() {
    let (up, down) = (Up::new(true.into()), Up::default());
    let targets = vec![
        target("guests", &down, unsent),
        target("rooms", &up, unsent),
    ];
    let world = World::start(&["100/s"], targets);
    let guests = world.submit("guests", 100).await;
    sleep(SECOND).await;
    let rooms = world.submit("rooms", 200).await;
    let start = Instant::now();
    timeout(4 * SECOND, world.events(&rooms))
        .await
        .expect("it ends");
    assert!(start.elapsed() < 3 * SECOND, "{:?}", start.elapsed());
    assert_eq!(world.status("rooms").pause, None);
    assert!(world.status("guests").pause.is_some());
    assert!(!world.read(&guests).await.state.is_final());
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_can_be_cancelled_and_a_drain_does_not_wait() {
    let up = Up::default();
    let world = World::start(&[], vec![target("guests", &up, unsent)]);
    let batch = world.submit("guests", 100).await;
    sleep(5 * SECOND).await;
    world.change(&batch, flowgate::store::Change::Cancel).await;
    timeout(SECOND, world.events(&batch))
        .await
        .expect("it ends");
    world.submit("guests", 100).await;
    sleep(5 * SECOND).await;
    timeout(SECOND, world.stop()).await.expect("it drains");
}

#[tokio::test(start_paused = true)]
async fn a_request_with_many_items_is_one_failure() {
    let up = Up::default();
    let is_up = up.clone();
    let together = Together::of(50).answering(move |items, _| match is_up.load(Relaxed) {
        true => super::many::all_done(items),
        false => Said::All(unsent()),
    });
    let spec = TargetSpec {
        concurrency: 1,
        ..together.target("guests")
    };
    let world = World::start(&[], vec![spec]);
    let batch = world.submit("guests", 50 * 20).await;
    sleep(20 * SECOND).await;
    let seen = together.seen();
    let whole = seen.iter().filter(|request| request.items.len() > 1);
    // One more may have had its permit.
    assert!((10..=11).contains(&whole.count()));
    let probes = seen.iter().filter(|request| request.items.len() == 1);
    assert!((3..=6).contains(&probes.count()), "{seen:?}");
    up.store(true, Relaxed);
    timeout(40 * SECOND, world.events(&batch))
        .await
        .expect("it ends");
    assert_eq!(world.read(&batch).await.state, BatchState::Succeeded);
}
