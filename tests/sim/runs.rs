//! The runs themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::bugs::Bug;
use crate::checker::{Ended, Fact, Run, Violation, check, check_apart};
use crate::plan::Plan;
use crate::process::run;

/// Seeds of each kind when nobody asks for more: what fits into the everyday
/// tests.
const EVERYDAY: u64 = 240;

/// How many seeds are run.
fn seeds() -> u64 {
    let asked = std::env::var("FLOWGATE_SIM_SEEDS");
    asked.map_or(EVERYDAY, |asked| asked.parse().expect("a number of seeds"))
}

/// What the run of a seed breaks.
fn broken(seed: u64, bug: Option<Bug>) -> Vec<Violation> {
    check(&run(seed, Plan::random(seed), bug))
}

/// What taking the bad items out of the batches of a seed changes, where
/// nothing else goes wrong.
pub fn broken_apart(seed: u64, bug: Option<Bug>) -> Vec<Violation> {
    let with = run(seed, Plan::random(seed).in_peace(), bug);
    let without = Plan::random(seed).in_peace().without_bad_items();
    let without = run(seed, without, bug);
    let mut found = check(&with);
    found.extend(check(&without));
    found.extend(check_apart(&with, &without));
    found
}

/// Runs seeds, and names those that break something.
fn hold(seeds: impl Iterator<Item = u64>, broken: impl Fn(u64) -> Vec<Violation>) {
    let mut said = String::new();
    for seed in seeds {
        let found = broken(seed);
        if found.is_empty() {
            continue;
        }
        let again = "cargo test --test sim replay -- --nocapture";
        let _ = writeln!(said, "seed {seed}: FLOWGATE_SIM_SEED={seed} {again}");
        for violation in found.iter().take(5) {
            let _ = writeln!(said, "  {violation}");
        }
    }
    assert!(said.is_empty(), "\n{said}");
}

// In parts, so that several can run at once.

#[test]
fn seeds_of_the_first_part() {
    hold((0..seeds()).step_by(4), |seed| broken(seed, None));
}

#[test]
fn seeds_of_the_second_part() {
    hold((1..seeds()).step_by(4), |seed| broken(seed, None));
}

#[test]
fn seeds_of_the_third_part() {
    hold((2..seeds()).step_by(4), |seed| broken(seed, None));
}

#[test]
fn seeds_of_the_fourth_part() {
    hold((3..seeds()).step_by(4), |seed| broken(seed, None));
}

#[test]
fn a_bad_item_changes_nothing_for_the_others() {
    hold(0..seeds() / 4, |seed| broken_apart(seed, None));
}

/// Runs one seed again, and prints all that was seen.
#[test]
fn replay() {
    let Ok(seed) = std::env::var("FLOWGATE_SIM_SEED") else {
        return;
    };
    let seed = seed.parse().expect("a seed is a number");
    let run = run(seed, Plan::random(seed), None);
    println!("{}", story(&run).join("\n"));
    hold([seed].into_iter(), |_| check(&run));
    hold([seed].into_iter(), |_| broken_apart(seed, None));
}

/// The facts of a run, one a line, with the names of batches for their ids.
fn story(run: &Run) -> Vec<String> {
    let mut names = BTreeMap::new();
    for seen in &run.facts {
        if let Fact::Read(read) = &seen.what
            && read.found
        {
            names.insert(read.batch.as_str(), read.name.as_str());
        }
    }
    let line = |at: u64, what: &Fact| {
        let ms = at / crate::clock::MS;
        let mut what = what.clone();
        if let Fact::Told(told) = &mut what
            && names
                .get(&*told.batch)
                .is_some_and(|name| name.starts_with("again"))
        {
            // It may echo a key that was made of an id, which no seed decides.
            told.bytes = 0;
        }
        let line = format!("{ms:>9} ms  {what:?}");
        names
            .iter()
            .fold(line, |line, (id, name)| line.replace(id, name))
    };
    let facts = run.facts.iter();
    facts.map(|seen| line(seen.at, &seen.what)).collect()
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..20 {
        let [first, second] = [(); 2].map(|()| story(&run(seed, Plan::random(seed), None)));
        let differ = first.iter().zip(&second).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}

/// Runs that are all alike would show nothing.
#[test]
fn the_seeds_bring_about_whatever_can_happen() {
    let mut missing: BTreeSet<&str> = HAPPENS.into_iter().collect();
    for seed in 0..600 {
        for seen in &run(seed, Plan::random(seed), None).facts {
            for what in happened(&seen.what) {
                missing.remove(what.as_str());
            }
        }
        if missing.is_empty() {
            return;
        }
    }
    panic!("none of the seeds brings about {missing:?}");
}

const HAPPENS: [&str; 26] = [
    "ended SUCCEEDED",
    "ended INVALID",
    "ended REJECTED",
    "ended THROTTLED",
    "ended UNREACHABLE",
    "ended UNAVAILABLE",
    "ended IN_DOUBT",
    "ended CANCELLED",
    "said Done",
    "said Replayed",
    "said Refused",
    "said Busy",
    "said Fault",
    "said Nothing",
    "settled too late",
    "goes again",
    "given back",
    "stopped at BeforeCommit",
    "stopped at Committed",
    "stopped at Answered",
    "stopped at BeforeWrite",
    "stopped at Written",
    "stopped at Arrived",
    "stopped at Replied",
    "stopped its store was closed",
    "another tenant asks",
];

fn happened(fact: &Fact) -> Vec<String> {
    match fact {
        Fact::Told(told) => {
            let outcomes = told.outcomes.iter().map(|outcome| match &outcome.ended {
                Ended::Succeeded => "ended SUCCEEDED".to_owned(),
                Ended::Failed(kind) => format!("ended {kind}"),
            });
            outcomes.collect()
        }
        Fact::Arrived(arrived) => {
            let said = arrived.answer.split('(').next().unwrap_or_default();
            vec![format!("said {said}")]
        }
        Fact::Settled(settled) if !settled.recorded => vec!["settled too late".to_owned()],
        Fact::Settled(settled) => {
            let mut did = Vec::new();
            if !settled.again.is_empty() {
                did.push("goes again".to_owned());
            }
            if settled.released {
                did.push("given back".to_owned());
            }
            did
        }
        Fact::Stopped(why) => vec![format!("stopped {why}")],
        Fact::Read(read) if !read.found => vec!["another tenant asks".to_owned()],
        _ => Vec::new(),
    }
}
