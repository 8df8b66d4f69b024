//! What a gate's users see, under paused time.

mod restart;
mod rule;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::*;
use crate::model::{Limit, Pace};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn limit(text: &str) -> Limit {
    text.parse().unwrap()
}

fn gate(limits: &[&str], pace: Pace, concurrency: &[u32]) -> Gate {
    Gate::new(GateSpec {
        limits: limits.iter().map(|text| limit(text)).collect(),
        pace,
        transit: ms(50),
        concurrency: concurrency.to_vec(),
        spent: Vec::new(),
    })
}

fn window(limits: &[&str]) -> Gate {
    gate(limits, Pace::Window, &[1_000])
}

/// Whether a future is done when it is polled once.
fn poll_once<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A permit that is there without waiting.
fn at_once(gate: &Gate, target: usize) -> Option<Permit> {
    poll_once(pin!(gate.permit(target, 1)))
}

/// Sends so many requests, each answered after that long; when they were sent.
async fn send_all(gate: &Gate, requests: usize, answer: Duration) -> Vec<Instant> {
    let mut tasks = JoinSet::new();
    for _ in 0..requests {
        let gate = gate.clone();
        tasks.spawn(async move {
            let mut permit = gate.permit(0, 1).await;
            permit.written();
            let sent = Instant::now();
            sleep(answer).await;
            permit.answered();
            sent
        });
    }
    let mut sends = tasks.join_all().await;
    sends.sort();
    sends
}

#[tokio::test(start_paused = true)]
async fn five_hundred_at_a_hundred_a_second_are_sent_within_four_seconds_and_a_fifth() {
    let sends = send_all(&window(&["100/s"]), 500, ms(5)).await;
    assert!(sends[499] - sends[0] <= ms(4_200));
    assert!(sends[499] - sends[0] >= ms(4_000));
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_one_window_after_the_answer() {
    let gate = window(&["1/s"]);
    let start = Instant::now();
    let mut permit = gate.permit(0, 1).await;
    permit.written();
    sleep(ms(20)).await;
    permit.answered();
    drop(permit);
    let _permit = gate.permit(0, 1).await;
    assert_eq!(start.elapsed(), ms(1_020));
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_free_one_window_and_transit_after_the_send_without_an_answer() {
    let gate = window(&["1/s"]);
    let start = Instant::now();
    for round in 1..=2 {
        let mut permit = gate.permit(0, 1).await;
        permit.written();
        if round == 2 {
            // It makes no difference whether it is still waited for.
            drop(permit);
        } else {
            tokio::spawn(async move {
                sleep(ms(5_000)).await;
                permit.answered();
            });
        }
    }
    let _permit = gate.permit(0, 1).await;
    assert_eq!(start.elapsed(), ms(2_100));
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_was_not_written_is_given_back_at_once() {
    for pace in [Pace::Window, Pace::Smooth] {
        let gate = gate(&["1/h"], pace, &[10]);
        drop(gate.permit(0, 1).await);
        let mut permit = gate.permit(0, 1).await;
        permit.written();
        sleep(ms(100)).await;
        permit.unwritten();
        assert_eq!(gate.status().requests_last_second, 0);
        drop(permit);
        assert!(at_once(&gate, 0).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gets_what_another_gives_back() {
    let gate = window(&["1/h"]);
    let permit = gate.permit(0, 1).await;
    let waiter = tokio::spawn({
        let gate = gate.clone();
        async move { drop(gate.permit(0, 1).await) }
    });
    sleep(ms(10)).await;
    let start = Instant::now();
    drop(permit);
    waiter.await.unwrap();
    assert_eq!(start.elapsed(), ms(0));
}

#[tokio::test(start_paused = true)]
async fn permits_are_given_in_the_order_asked_for() {
    let gate = window(&["10/s"]);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for number in 0..95_u64 {
        let (gate, order) = (gate.clone(), order.clone());
        tasks.spawn(async move {
            sleep(ms(number)).await;
            // A dear request is not overtaken by cheap ones.
            let cost = if number % 10 == 3 { 7 } else { 1 };
            let mut permit = gate.permit(0, cost).await;
            order.lock().unwrap().push(number);
            permit.written();
            sleep(ms(number * 31 % 90)).await;
            permit.answered();
        });
    }
    tasks.join_all().await;
    assert!(order.lock().unwrap().iter().copied().eq(0..95));
}

#[tokio::test(start_paused = true)]
async fn a_target_at_its_concurrency_lets_others_pass() {
    let gate = gate(&[], Pace::Window, &[2, 1]);
    let first = [gate.permit(0, 1).await, gate.permit(0, 1).await];
    let mut third = pin!(gate.permit(0, 1));
    assert!(poll_once(third.as_mut()).is_none());
    let other = at_once(&gate, 1);
    assert!(other.is_some());
    assert_eq!(gate.status().in_flight, [2, 1]);
    assert!(at_once(&gate, 1).is_none());
    drop(first);
    assert!(poll_once(third).is_some());
}

#[tokio::test(start_paused = true)]
async fn one_who_stops_waiting_holds_up_nobody() {
    let gate = window(&["1/s"]);
    let mut permit = gate.permit(0, 1).await;
    permit.written();
    permit.answered();
    let start = Instant::now();
    let mut first = Box::pin(gate.permit(0, 1));
    let mut second = Box::pin(gate.permit(0, 1));
    assert!(poll_once(first.as_mut()).is_none());
    assert!(poll_once(second.as_mut()).is_none());
    drop(first);
    second.await.written();
    assert_eq!(start.elapsed(), ms(1_000));
}

#[tokio::test(start_paused = true)]
async fn a_permit_handed_to_one_who_stops_waiting_goes_to_the_next() {
    let gate = gate(&["1/h"], Pace::Window, &[1]);
    let permit = gate.permit(0, 1).await;
    let mut first = Box::pin(gate.permit(0, 1));
    let mut second = Box::pin(gate.permit(0, 1));
    assert!(poll_once(first.as_mut()).is_none());
    assert!(poll_once(second.as_mut()).is_none());
    drop(permit);
    // It is the first one's now, who has not come for it.
    assert!(poll_once(second.as_mut()).is_none());
    drop(first);
    let permit = poll_once(second.as_mut()).unwrap();
    assert_eq!(gate.status().in_flight, [1]);
    drop(permit);
    assert_eq!(gate.status().in_flight, [0]);
}

#[tokio::test(start_paused = true)]
async fn the_longest_hold_holds() {
    let gate = window(&["100/s"]);
    let start = Instant::now();
    gate.hold_until(start + ms(500));
    gate.hold_until(start + ms(100));
    assert_eq!(gate.due(0), start + ms(500));
    let waiter = tokio::spawn({
        let gate = gate.clone();
        async move { drop(gate.permit(0, 1).await) }
    });
    sleep(ms(400)).await;
    gate.hold_until(start + ms(700));
    waiter.await.unwrap();
    assert_eq!(start.elapsed(), ms(700));
}

#[tokio::test(start_paused = true)]
async fn a_cost_above_the_smallest_limit_takes_all_of_it() {
    for pace in [Pace::Window, Pace::Smooth] {
        let gate = gate(&["5/s", "20/s"], pace, &[10]);
        let start = Instant::now();
        for _ in 0..2 {
            let mut permit = gate.permit(0, 1_000).await;
            permit.written();
            permit.answered();
        }
        assert!(start.elapsed() >= ms(1_000) && start.elapsed() <= ms(3_000));
    }
}

#[tokio::test(start_paused = true)]
async fn due_says_when_the_slots_are_free() {
    let gate = window(&["2/s", "3/m"]);
    let start = Instant::now();
    assert_eq!(gate.due(1), start);
    assert_eq!(gate.due(2), start + ms(1_000));
    assert_eq!(gate.due(3), start + ms(60_000));
    let mut permits = [gate.permit(0, 1).await, gate.permit(0, 1).await];
    // Both may be given back at any moment.
    assert_eq!(gate.due(0), start);
    permits[0].written();
    permits[1].written();
    // Both may be answered now.
    assert_eq!(gate.due(0), start + ms(1_000));
    sleep(ms(10)).await;
    permits[1].answered();
    sleep(ms(10)).await;
    permits[0].answered();
    assert_eq!(gate.due(0), start + ms(1_010));
    assert_eq!(gate.due(1), start + ms(60_010));
    assert_eq!(gate.due(2), start + ms(60_020));
    // Not so soon, as the limits delay each other; but it is a lower bound.
    assert_eq!(gate.due(3), start + ms(60_020));
    drop(permits);
    sleep_until(gate.due(0)).await;
    assert!(at_once(&gate, 0).is_some());
}

#[tokio::test(start_paused = true)]
async fn the_status_counts_permits_and_what_was_written_in_the_last_second() {
    let gate = gate(&["100/s"], Pace::Window, &[10, 10]);
    let mut permit = gate.permit(1, 1).await;
    assert_eq!(
        gate.status(),
        GateStatus {
            in_flight: vec![0, 1],
            requests_last_second: 0
        }
    );
    permit.written();
    assert_eq!(gate.status().requests_last_second, 1);
    drop(permit);
    sleep(ms(1_000)).await;
    assert_eq!(
        gate.status(),
        GateStatus {
            in_flight: vec![0, 0],
            requests_last_second: 0
        }
    );
}

#[tokio::test(start_paused = true)]
async fn smooth_uses_its_limit_and_never_exceeds_it() {
    for (text, requests, seconds) in [
        ("100/s", 500, 5),
        ("1000/s", 5_000, 5),
        ("5000/s", 15_000, 3),
    ] {
        let count = limit(text).count as usize;
        let sends = send_all(&gate(&[text], Pace::Smooth, &[256]), requests, ms(5)).await;
        for (first, last) in sends.iter().zip(&sends[count..]) {
            assert!(*last - *first >= ms(1_000), "{text}: {:?}", *last - *first);
        }
        let took = sends[requests - 1] - sends[0];
        let least = Duration::from_secs(seconds).mul_f64(1.0 / 0.99);
        assert!(took <= least, "{text}: {took:?}");
        // Evenly: no tenth of a second holds much more than a tenth.
        for (first, last) in sends.iter().zip(&sends[count * 13 / 100..]) {
            assert!(*last - *first >= ms(100), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn window_uses_five_thousand_a_second_and_never_exceeds_it() {
    let sends = send_all(&gate(&["5000/s"], Pace::Window, &[256]), 50_000, ms(5)).await;
    for (first, last) in sends.iter().zip(&sends[5_000..]) {
        assert!(*last - *first >= ms(1_000));
    }
    // Nine windows lie between the first send and the last five thousand.
    assert!(sends[49_999] - sends[0] <= ms(9_000).mul_f64(1.0 / 0.99) + ms(200));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_behind_when_the_gate_goes() {
    let gate = window(&["1/d"]);
    gate.permit(0, 1).await.written();
    assert!(at_once(&gate, 0).is_none());
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), 1);
    drop(gate);
    sleep(ms(1)).await;
    assert_eq!(metrics.num_alive_tasks(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrency_holds_over_several_threads() {
    let gate = gate(&[], Pace::Window, &[3]);
    let under_way = Arc::new(Mutex::new((0, 0)));
    let mut tasks = JoinSet::new();
    for _ in 0..200 {
        let (gate, under_way) = (gate.clone(), under_way.clone());
        tasks.spawn(async move {
            for _ in 0..50 {
                let permit = gate.permit(0, 1).await;
                {
                    let mut count = under_way.lock().unwrap();
                    count.0 += 1;
                    count.1 = count.1.max(count.0);
                }
                tokio::task::yield_now().await;
                under_way.lock().unwrap().0 -= 1;
                drop(permit);
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(*under_way.lock().unwrap(), (0, 3));
    assert_eq!(gate.status().in_flight, [0]);
}
