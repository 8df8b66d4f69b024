use proptest::prelude::*;

use super::*;

const ANY: fn(usize) -> bool = |_| true;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name)
}

/// A ring of batches given as (tenant, batch), all for slot 0.
fn fair(quantum: u32, batches: &[(&str, i64)]) -> Fair {
    let mut fair = Fair::new(quantum);
    for &(name, batch) in batches {
        fair.add(&tenant(name), BatchNo(batch), 0);
    }
    fair
}

/// Picks and charges so often; the batches picked.
fn run(fair: &mut Fair, times: usize, items: u32) -> Vec<i64> {
    (0..times)
        .filter_map(|_| {
            let batch = fair.pick(ANY)?;
            fair.charge(batch, items);
            Some(batch.0)
        })
        .collect()
}

#[test]
fn tenants_share_equally_whatever_the_number_of_their_batches() {
    let mut fair = fair(10, &[("a", 1), ("a", 2), ("a", 3), ("b", 4)]);
    assert_eq!(run(&mut fair, 8, 10), [1, 4, 2, 4, 3, 4, 1, 4]);
}

#[test]
fn batches_of_a_tenant_take_turns() {
    let mut fair = fair(10, &[("a", 1), ("a", 2)]);
    assert_eq!(run(&mut fair, 4, 10), [1, 2, 1, 2]);
}

#[test]
fn a_turn_lasts_until_the_quantum_is_used() {
    let mut fair = fair(10, &[("a", 1), ("b", 2)]);
    assert_eq!(run(&mut fair, 6, 4), [1, 1, 1, 2, 2, 2]);
}

#[test]
fn what_a_turn_overran_is_taken_off_the_next() {
    let mut fair = fair(10, &[("a", 1), ("b", 2)]);
    fair.charge(BatchNo(1), 35);
    assert_eq!(run(&mut fair, 6, 10), [2, 2, 2, 1, 2, 1]);
}

#[test]
fn one_that_joins_late_has_its_turn_within_a_round() {
    let mut fair = fair(10, &[("a", 1), ("b", 2), ("c", 3)]);
    run(&mut fair, 100, 10);
    fair.add(&tenant("d"), BatchNo(4), 0);
    assert!(run(&mut fair, 4, 10).contains(&4));
    fair.add(&tenant("a"), BatchNo(5), 0);
    assert!(run(&mut fair, 8, 10).contains(&5));
}

#[test]
fn those_that_are_not_eligible_are_passed_over_and_keep_their_place() {
    let mut fair = Fair::new(10);
    fair.add(&tenant("a"), BatchNo(1), 0);
    fair.add(&tenant("a"), BatchNo(2), 1);
    fair.add(&tenant("b"), BatchNo(3), 0);
    for _ in 0..100 {
        let batch = fair.pick(|slot| slot == 1);
        assert_eq!(batch, Some(BatchNo(2)));
        fair.charge(BatchNo(2), 10);
    }
    // Tenant b and batch 1 have waited; neither gets more than a turn for it.
    assert_eq!(run(&mut fair, 7, 10), [3, 1, 3, 2, 3, 1, 3]);
    assert_eq!(fair.pick(|_| false), None);
}

#[test]
fn the_same_batch_is_next_until_it_is_charged() {
    let mut fair = fair(10, &[("a", 1), ("b", 2)]);
    assert_eq!(fair.pick(ANY), Some(BatchNo(1)));
    assert_eq!(fair.pick(ANY), Some(BatchNo(1)));
    fair.charge(BatchNo(1), 10);
    assert_eq!(fair.pick(ANY), Some(BatchNo(2)));
}

#[test]
fn leaving_and_coming_back_gains_nothing() {
    let mut fair = fair(10, &[("a", 1), ("a", 2), ("b", 3)]);
    let mut items = HashMap::new();
    for _ in 0..1_000 {
        let batch = fair.pick(ANY).unwrap();
        *items.entry(batch.0).or_insert(0) += 25;
        if batch == BatchNo(3) {
            // The whole tenant goes, before and after it is charged.
            fair.remove(batch);
            fair.charge(batch, 25);
            fair.add(&tenant("b"), batch, 0);
        } else if batch == BatchNo(2) {
            fair.charge(batch, 25);
            fair.remove(batch);
            fair.add(&tenant("a"), batch, 0);
        } else {
            fair.charge(batch, 25);
        }
    }
    assert!(items[&3] <= items[&1] + items[&2] + 50, "{items:?}");
    assert!(items[&2] <= items[&1] + 50, "{items:?}");
}

#[test]
fn adding_and_removing_twice_is_the_same_as_once() {
    let mut fair = fair(10, &[("a", 1), ("a", 1), ("b", 2)]);
    assert_eq!(fair.len(), 2);
    fair.remove(BatchNo(1));
    fair.remove(BatchNo(1));
    assert!(!fair.contains(BatchNo(1)) && fair.contains(BatchNo(2)));
    assert_eq!(run(&mut fair, 2, 10), [2, 2]);
    fair.remove(BatchNo(2));
    assert!(fair.is_empty());
    assert_eq!(fair.pick(ANY), None);
    fair.charge(BatchNo(2), 10);
}

#[test]
fn those_that_come_and_go_leave_nothing_behind() {
    let mut fair = fair(10, &[("a", 0)]);
    for no in 1..1_000 {
        let name = format!("t{}", no % 7);
        fair.add(
            &tenant(&name),
            BatchNo(no),
            usize::try_from(no % 3).unwrap(),
        );
        // One in two leaves without having had a turn.
        if no % 2 == 0 {
            assert!(run(&mut fair, 8, 10).contains(&no));
        }
        fair.remove(BatchNo(no));
    }
    assert_eq!(run(&mut fair, 20, 10), [0; 20]);
    assert_eq!((fair.homes.len(), fair.batches.len()), (1, 1));
    assert_eq!(fair.tenants.lists[0].len(), 1);
}

const QUANTUM: u32 = 20;
const LARGEST: u32 = 50;

#[derive(Clone, Debug)]
enum Step {
    Take(u32),
    Come(u8, i64),
    Go(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1..=LARGEST).prop_map(Step::Take),
        1 => (0..4_u8, 10..20_i64).prop_map(|(name, batch)| Step::Come(name, batch)),
        1 => (10..20_i64).prop_map(Step::Go),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn those_that_always_have_work_get_the_same(steps in steps()) {
        // Tenant 0 has batches 0 and 1 all the time, tenant 1 has batch 2;
        // others of theirs and of other tenants come and go.
        let names = ["0", "1", "2", "3"].map(tenant);
        let mut fair = fair(QUANTUM, &[("0", 0), ("0", 1), ("1", 2)]);
        let mut home = HashMap::from([(0, 0), (1, 0), (2, 1)]);
        let mut of_tenant = [0_i64; 4];
        let mut of_batch = HashMap::<i64, i64>::new();
        for step in steps {
            match step {
                Step::Take(items) => {
                    let batch = fair.pick(ANY).unwrap();
                    fair.charge(batch, items);
                    of_tenant[home[&batch.0]] += i64::from(items);
                    *of_batch.entry(batch.0).or_default() += i64::from(items);
                }
                Step::Come(name, batch) => {
                    // A batch stays with its tenant.
                    let name = *home.entry(batch).or_insert(usize::from(name));
                    fair.add(&names[name], BatchNo(batch), 0);
                }
                Step::Go(batch) => fair.remove(BatchNo(batch)),
            }
            let apart = i64::from(QUANTUM + 2 * LARGEST);
            prop_assert!((of_tenant[0] - of_tenant[1]).abs() <= apart);
            let got = |batch| of_batch.get(&batch).copied().unwrap_or(0);
            prop_assert!((got(0) - got(1)).abs() <= apart);
            // Whoever comes and goes never gets more than they who stay.
            prop_assert!(of_tenant[2].max(of_tenant[3]) <= of_tenant[0] + apart);
        }
    }
}
