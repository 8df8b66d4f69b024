//! A gate that begins where another was: what was sent before it counts.

use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A gate before which this was sent: seconds ago, and units.
fn gate_after(limits: &[&str], pace: Pace, spent: &[(u64, u64)]) -> Gate {
    let spent = spent.iter().map(|&(age, units)| Spent {
        age: secs(age),
        units,
    });
    Gate::new(GateSpec {
        limits: limits.iter().map(|text| limit(text)).collect(),
        pace,
        transit: ms(50),
        concurrency: vec![1_000],
        spent: spent.collect(),
    })
}

/// When requests could be sent, from now on, if each is answered at once.
async fn sends(gate: &Gate, requests: usize) -> Vec<Duration> {
    let start = Instant::now();
    let mut sends = Vec::new();
    for _ in 0..requests {
        let mut permit = gate.permit(0, 1).await;
        permit.written();
        permit.answered();
        sends.push(start.elapsed());
    }
    sends
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_is_free_a_window_and_transit_after_it_was_sent() {
    // In no order; some of it long ago, and one minute in which nothing was.
    let spent = [(10, 1), (100, 3), (40, 2), (59, 1), (20, 0)];
    let gate = gate_after(&["4/m"], Pace::Window, &spent);
    assert_eq!(gate.due(0), Instant::now() + ms(1_050));
    let used_up = Some((limit("4/m"), Instant::now() + ms(1_050)));
    assert_eq!(gate.used_up(), used_up);
    let expected = [1_050, 20_050, 20_050, 50_050, 61_050, 80_050].map(ms);
    assert_eq!(sends(&gate, 6).await, expected);
}

#[tokio::test(start_paused = true)]
async fn more_than_a_limit_that_was_sent_before_it_holds_it_up_until_there_is_room() {
    // As where the limit was made smaller.
    let spent = [(0, 2), (30, 1_000), (50, 7)];
    let gate = gate_after(&["4/m"], Pace::Window, &spent);
    assert_eq!(gate.due(0), Instant::now() + ms(30_050));
    assert_eq!(sends(&gate, 3).await, [30_050, 30_050, 60_050].map(ms));
}

#[tokio::test(start_paused = true)]
async fn each_limit_counts_what_its_window_holds() {
    let gate = gate_after(&["2/m", "4/h"], Pace::Window, &[(1_800, 3), (30, 1)]);
    assert_eq!(gate.used_up().unwrap().0, limit("4/h"));
    let expected = [1_800_050, 1_800_050, 1_860_050].map(ms);
    assert_eq!(sends(&gate, 3).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_limit_with_room_is_not_used_up() {
    let gate = gate_after(&["4/m"], Pace::Window, &[(0, 3)]);
    assert_eq!(gate.used_up(), None);
    let permit = gate.permit(0, 1).await;
    // It may be given back at any moment.
    assert_eq!(gate.used_up(), None);
    drop(permit);
    gate.permit(0, 1).await.written();
    assert_eq!(gate.used_up().unwrap().0, limit("4/m"));
}

#[tokio::test(start_paused = true)]
async fn smooth_goes_on_evenly_after_what_was_sent_before() {
    // One in six minutes; the last of before may have been sent just now.
    let gate = gate_after(&["10/h"], Pace::Smooth, &[(0, 1), (400, 1)]);
    assert_eq!(gate.due(0), Instant::now() + secs(360));
    assert_eq!(gate.due(2), Instant::now() + secs(3 * 360));
    assert_eq!(sends(&gate, 3).await, [360, 720, 1_080].map(secs));
    // Long ago, it holds up nothing.
    let gate = gate_after(&["10/h"], Pace::Smooth, &[(360, 1), (0, 0)]);
    assert_eq!(sends(&gate, 2).await, [0, 360].map(secs));
}

#[tokio::test(start_paused = true)]
async fn smooth_exceeds_no_window_over_both_lives() {
    let gate = gate_after(&["10/h"], Pace::Smooth, &[(0, 7), (1_000, 2)]);
    // Nine are held for so long that only one goes out before them.
    let expected = [360, 2_600, 2_960, 3_600, 3_960].map(secs);
    let sends = sends(&gate, 5).await;
    for (send, expected) in sends.into_iter().zip(expected) {
        assert!(send >= expected && send <= expected + secs(1), "{send:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn smooth_knows_when_the_next_is_due_without_being_asked_for_it() {
    let gate = gate_after(&["10/h"], Pace::Smooth, &[]);
    assert_eq!(gate.due(0), Instant::now());
    gate.permit(0, 1).await.written();
    assert_eq!(gate.due(0), Instant::now() + secs(360));
    sleep(secs(100)).await;
    assert_eq!(gate.due(1), Instant::now() + secs(260 + 360));
}
