use proptest::prelude::*;

use super::*;

fn limits(texts: &[&str]) -> Vec<Limit> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

const TRANSIT: Duration = Duration::from_millis(50);

#[test]
fn little_is_remembered_of_a_million_sends_under_large_limits() {
    let start = Instant::now();
    let limits = limits(&["20000/s", "1500/s", "100000000/d"]);
    let mut windows = Windows::new(&limits, TRANSIT, start);
    let (mut now, mut most) = (start, 0);
    for no in 0..1_000_000_u32 {
        if !windows.admits(1, now) {
            now = windows.due(1, now, Reserved::AreSent, now);
            assert!(windows.admits(1, now));
        }
        windows.reserve(1);
        let send = windows.sent(1, now);
        if no % 3 != 0 {
            windows.answered(send, now + Duration::from_micros(u64::from(no % 7)));
        }
        now += Duration::from_micros(7);
        most = most.max(windows.entries());
    }
    // Two large limits, a small one, and what is unanswered within transit.
    assert!(most <= 2 * (2_048 + 2) + 1_500 + 1_500, "{most}");
}

#[test]
fn little_is_remembered_of_a_month_of_minutes() {
    let start = Instant::now();
    let limits = limits(&["100000000/31d", "20/31d"]);
    let mut windows = Windows::new(&limits, TRANSIT, start);
    let minutes: Vec<Spent> = (0..44_640)
        .map(|minute| Spent {
            age: Duration::from_mins(minute),
            units: 3,
        })
        .collect();
    windows.recall(&minutes, start);
    assert!(windows.entries() <= 2_048 + 1 + 7, "{}", windows.entries());
    assert!(!windows.admits(1, start));
}

#[test]
fn what_was_sent_before_the_machine_was_started_is_held_no_longer_than_its_window() {
    let start = Instant::now();
    let mut windows = Windows::new(&limits(&["1/31d"]), TRANSIT, start);
    let age = Duration::from_hours(31 * 24 - 1);
    windows.recall(&[Spent { age, units: 1 }], start);
    let due = windows.due(1, start, Reserved::AreSent, start);
    assert_eq!(due, start + Duration::from_hours(1) + TRANSIT);
}

#[test]
fn entries_answered_out_of_order_do_not_pile_up() {
    let start = Instant::now();
    let mut windows = Windows::new(&limits(&["10/s"]), TRANSIT, start);
    let mut now = start;
    for _ in 0..1_000 {
        windows.reserve(1);
        let unanswered = windows.sent(1, now);
        for _ in 0..5 {
            assert!(windows.admits(1, now));
            windows.reserve(1);
            let send = windows.sent(1, now);
            now += Duration::from_millis(1);
            assert!(windows.unsent(send, 1, now));
            windows.refund(1);
        }
        assert!(windows.entries() <= 6);
        now += Duration::from_millis(1_100);
        windows.answered(unanswered, now);
        assert!(windows.admits(10, now));
    }
    assert_eq!((windows.reserved, windows.on_the_way), (0, 0));
}

#[test]
fn a_limit_of_any_size_overflows_nothing() {
    let start = Instant::now();
    let huge = Limit {
        count: u32::MAX,
        per: Duration::MAX,
    };
    let tiny = Limit {
        count: 1,
        per: Duration::from_nanos(1),
    };
    let mut windows = Windows::new(&[huge, tiny], Duration::MAX, start);
    for age in [Duration::ZERO, Duration::MAX] {
        let units = u64::MAX;
        windows.recall(&[Spent { age, units }, Spent { age, units }], start);
    }
    assert!(!windows.admits(1, start));
    let mut windows = Windows::new(&[huge, tiny], Duration::MAX, start);
    windows.reserve(1);
    let send = windows.sent(1, start);
    windows.answered(send, start);
    let due = windows.due(u64::MAX, start, Reserved::MayBeRefunded, start);
    assert!(due > start);
}

/// Requests of large limits: microseconds since the one before, cost, and
/// microseconds until the answer.
fn sends() -> impl Strategy<Value = Vec<(u64, u32, u64)>> {
    prop::collection::vec((0..100_000_u64, 1..900_u32, 0..120_000_u64), 1..120)
}

proptest! {
    #[test]
    fn a_large_limit_holds_and_frees_late_by_a_grain_at_most(
        count in 2_049..4_000_u32,
        per_ms in 1..1_500_u64,
        spent in prop::collection::vec((0..1_700_000_u64, 1..900_u32), 0..9),
        sends in sends(),
    ) {
        let start = Instant::now() + Duration::from_secs(10);
        let per = Duration::from_millis(per_ms);
        let mut windows = Windows::new(&[Limit { count, per }], TRANSIT, start);
        let grain = per / EXACT;
        // When it was seen at the latest, and the cost.
        let mut seen: Vec<(Instant, u32)> = Vec::new();
        let mut before = Vec::new();
        for (age, cost) in spent {
            let age = Duration::from_micros(age);
            before.push(Spent { age, units: cost.into() });
            seen.push((start.checked_sub(age).unwrap() + TRANSIT, cost));
        }
        windows.recall(&before, start);
        let held = |seen: &[(Instant, u32)], at: Instant| -> u32 {
            let inside = seen.iter().filter(|(seen, _)| at < *seen + per);
            inside.map(|(_, cost)| cost).sum()
        };
        let mut answers: Vec<(Instant, SendNo)> = Vec::new();
        let mut now = start;
        for (pause, cost, answer) in sends {
            now += Duration::from_micros(pause);
            answers.sort_by_key(|(at, _)| *at);
            loop {
                while let Some(&(at, send)) = answers.first().filter(|(at, _)| *at <= now) {
                    windows.answered(send, at);
                    answers.remove(0);
                }
                if windows.admits(cost, now) {
                    break;
                }
                // Refused, though with exact times too, or by a grain only.
                let before = now.checked_sub(grain).unwrap();
                prop_assert!(held(&seen, before) + cost > count);
                let due = windows.due(u64::from(cost), now, Reserved::AreSent, now);
                prop_assert!(due > now);
                // Time passes to the next answer, or until it is due.
                now = answers.first().map_or(due, |(at, _)| due.min(*at));
            }
            prop_assert!(held(&seen, now) + cost <= count);
            windows.reserve(cost);
            answers.push((now + Duration::from_micros(answer), windows.sent(cost, now)));
            seen.push((now + Duration::from_micros(answer).min(TRANSIT), cost));
        }
    }
}
