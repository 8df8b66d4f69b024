//! Faults that are built in on purpose, one at a time, to see that the checker
//! finds each: all of them at the seams that this test has in its hands.

use std::time::Duration;

use flowgate::model::{
    Batch, BatchId, BatchNo, BatchState, Event, EventKind, FailurePolicy, Ordering, Progress,
    SealedBy, TenantId,
};
use flowgate::store::{Append, Appended, Events, Into, Lease, Store, StoreError};

use crate::disk::Now;
use crate::plan::{End, Plan, Point, Safety};
use crate::sim::Process;
use crate::{checker, process};

/// A fault that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Some submissions are acknowledged and lost.
    LosesAppends,
    /// An event is not the same when it is read again.
    AltersEvents,
    /// An item gets a second outcome.
    TwoOutcomes,
    /// After a restart everything is sent again, whether that is safe or not.
    RepeatsAll,
    /// An item has another key on each try.
    FreshKeys,
    /// What was not done is called done.
    BelievesAnything,
    /// Leases are told before they are durable.
    EarlyLeases,
    /// A quota lets twice as much through.
    TwiceTheLimit,
    /// Limits begin anew with each process.
    ForgetsLimits,
    /// Events are left out.
    DropsEvents,
    /// Whoever settles a chunk is taken for who holds it.
    IgnoresEpochs,
    /// A batch is found by its id, whoever asks.
    IgnoresTenants,
    /// What is on its way to the disk has no bound.
    IgnoresMemory,
    /// A chunk that is given back stays leased.
    LosesReleases,
    /// What follows on a refused item is refused too.
    PunishesSiblings,
    /// Keys are forgotten at once.
    ForgetsKeys,
    /// A new process does not know which targets are held.
    ForgetsHolds,
    /// What is leased is sent, whatever the time.
    IgnoresDeadlines,
    /// What is leased together is sent together.
    IgnoresOrder,
    /// Nothing stops for failures.
    IgnoresPolicies,
}

/// The answer to an append that was never done, to some.
pub fn lost(process: &Process, part: &Append) -> Option<Appended> {
    let Into::New(new) = &part.into else {
        return None;
    };
    if part.seal.is_none() || !process.sim.has(Bug::LosesAppends) || process.dice.chance(800) {
        return None;
    }
    let mut progress = Progress::default();
    let items = part.chunks.iter().map(|chunk| chunk.items.len());
    progress.counts.total = u32::try_from(items.sum::<usize>()).expect("a small batch");
    Some(Appended::Held(Box::new(Batch {
        no: BatchNo(i64::MAX),
        tenant: new.tenant.clone(),
        id: new.id,
        spec: new.spec.clone(),
        state: BatchState::Running,
        sealed_by: Some(SealedBy::Client),
        stopped_by: None,
        progress,
        last_sequence: 0,
        created_ms: part.now_ms,
        started_ms: None,
        finished_ms: None,
    })))
}

/// An append, as some bugs have it.
pub fn careless(process: &Process, mut part: Append) -> Append {
    match (process.sim.bug, &mut part.into) {
        (Some(Bug::ForgetsKeys), _) => part.keys_since_ms = i64::MAX,
        (Some(Bug::IgnoresPolicies), Into::New(new)) => {
            new.spec.failure_policy = FailurePolicy::default();
        }
        _ => {}
    }
    part
}

/// Leases, as some bugs have them.
pub fn forgetful(process: &Process, mut leases: Vec<Lease>) -> Vec<Lease> {
    for lease in &mut leases {
        match (process.sim.bug, lease) {
            (Some(Bug::IgnoresDeadlines), Lease::Chunk(chunk)) => chunk.spec.deadline_ms = None,
            (Some(Bug::IgnoresOrder), Lease::Chunk(chunk)) => {
                chunk.spec.ordering = Ordering::Parallel;
            }
            _ => {}
        }
    }
    leases
}

/// A batch by its id alone.
pub fn of_anybody(process: &Process, id: BatchId) -> Result<Option<Batch>, StoreError> {
    for tenant in ["ada", "bob"] {
        let found = process.sim.store.batch(TenantId::new(tenant), id).now()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Events, as some bugs have them.
pub fn spoiled(process: &Process, mut events: Events) -> Events {
    match process.sim.bug {
        Some(Bug::AltersEvents) if process.dice.chance(100) => {
            for results in events.events.iter_mut().filter_map(results) {
                results[0].attempts += 1;
            }
        }
        Some(Bug::TwoOutcomes) => {
            for results in events.events.iter_mut().filter_map(results) {
                results.push(results[0].clone());
            }
        }
        Some(Bug::DropsEvents) if events.events.len() > 2 && process.dice.chance(200) => {
            events.events.remove(1);
        }
        _ => {}
    }
    events
}

fn results(event: &mut Event) -> Option<&mut Vec<flowgate::model::ItemResult>> {
    match &mut event.kind {
        EventKind::Results(results) => Some(results),
        EventKind::Progress(_) | EventKind::Finished => None,
    }
}

/// Runs seeds with a bug until the checker finds just these invariants broken
/// by one of them.
fn finds(bug: Bug, invariants: &[u8]) {
    finds_where(bug, invariants, |_| ());
}

/// The same in worlds that are more likely to show it.
fn finds_where(bug: Bug, invariants: &[u8], like: impl Fn(&mut Plan)) {
    const SEEDS: u64 = 400;
    let mut other = Vec::new();
    for seed in 0..SEEDS {
        let mut plan = Plan::random(seed);
        like(&mut plan);
        let run = process::run(seed, plan, Some(bug));
        let mut found: Vec<u8> = checker::check(&run).iter().map(|v| v.invariant).collect();
        found.dedup();
        if found == invariants {
            println!("{bug:?}: seed {seed}; before: {other:?}");
            return;
        }
        if !found.is_empty() {
            other.push((seed, found));
        }
    }
    panic!("{bug:?} broke {invariants:?} for none of {SEEDS} seeds, but {other:?}");
}

#[test]
fn a_lost_submission_is_found() {
    finds(Bug::LosesAppends, &[1]);
}

#[test]
fn an_altered_event_is_found() {
    finds(Bug::AltersEvents, &[2]);
}

#[test]
fn a_second_outcome_is_found() {
    // It counts once too often, too.
    finds(Bug::TwoOutcomes, &[2, 8]);
}

#[test]
fn an_unsafe_repeat_is_found() {
    finds(Bug::RepeatsAll, &[3]);
}

#[test]
fn a_changed_key_is_found() {
    finds(Bug::FreshKeys, &[4]);
}

#[test]
fn a_success_of_nothing_is_found() {
    finds(Bug::BelievesAnything, &[5]);
}

#[test]
fn an_early_lease_is_found() {
    finds(Bug::EarlyLeases, &[6]);
}

#[test]
fn a_broken_limit_is_found() {
    finds(Bug::TwiceTheLimit, &[7]);
}

#[test]
fn a_limit_that_is_forgotten_is_found() {
    finds(Bug::ForgetsLimits, &[7]);
}

#[test]
fn a_gap_is_found() {
    finds(Bug::DropsEvents, &[8]);
}

#[test]
fn a_stale_settle_is_found() {
    // Much of what is pending when a process dies, and goes again in the next.
    finds_where(Bug::IgnoresEpochs, &[9], |plan| {
        for target in &mut plan.targets {
            target.safety = Safety::Repeatable;
            target.chunk_items = 1;
        }
        for (end, down) in &mut plan.ends {
            *end = End::KilledAt(Point::BeforeCommit, 8);
            *down = Duration::ZERO;
        }
    });
}

#[test]
fn a_strangers_batch_is_found() {
    finds(Bug::IgnoresTenants, &[10]);
}

#[test]
fn too_much_memory_is_found() {
    finds(Bug::IgnoresMemory, &[11]);
}

#[test]
fn a_lost_release_is_found() {
    finds(Bug::LosesReleases, &[12]);
}

#[test]
fn a_punished_sibling_is_found() {
    let broken = (0..100).any(|seed| {
        let found = crate::runs::broken_apart(seed, Some(Bug::PunishesSiblings));
        !found.is_empty() && found.iter().all(|v| v.invariant == 13)
    });
    assert!(broken);
}

#[test]
fn a_key_that_is_used_twice_is_found() {
    finds(Bug::ForgetsKeys, &[3]);
}

#[test]
fn a_hold_that_is_forgotten_is_found() {
    finds(Bug::ForgetsHolds, &[14]);
}

#[test]
fn a_deadline_that_is_missed_is_found() {
    finds(Bug::IgnoresDeadlines, &[15]);
}

#[test]
fn a_lost_order_is_found() {
    finds(Bug::IgnoresOrder, &[16]);
}

#[test]
fn a_policy_that_is_ignored_is_found() {
    finds(Bug::IgnoresPolicies, &[17]);
}
