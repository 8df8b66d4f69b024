//! The one checker of the invariants of a run, whoever ran it: the simulation
//! or the real process. It knows nothing of stores, of runtimes and of the wire:
//! a run hands it the facts that it saw, and it says which invariant they break.
//!
//! Include it with `#[path = "../support/checker/mod.rs"] mod checker;`.
//!
//! ```text
//! let mut run = Run::default();            // quotas, targets, facts as they come
//! run.saw(at, Fact::Arrived(Arrived { .. }));
//! assert_eq!(checker::check(&run), []);
//! ```

#![allow(dead_code, unused_imports, reason = "each run sees some of the facts")]

mod ending;
mod facts;
mod items;
mod known;
mod leases;
mod logs;
mod sends;

use std::fmt;

use known::Known;

pub use facts::{
    Accepted, Arrived, Counts, Ended, Fact, Followed, ItemSent, Leased, Limit, Memory, Nanos,
    Outcome, Quota, Read, Recorded, Run, Seen, Settled, Submitted, Target, Told, digest,
};

/// An invariant of `GUARANTEES.md` that a run broke.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Its number there; 0 for what breaks all of them: the service panicked,
    /// or refused what was right. Beyond them, what `API.md` says of a batch's
    /// life: 14 what is held is not sent; 15 nor is anything after a deadline;
    /// 16 strict order; 17 a failure policy stops its batch.
    pub invariant: u8,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.what)
    }
}

/// What a run broke of the invariants but for 13, each thing once.
pub fn check(run: &Run) -> Vec<Violation> {
    let mut found = Vec::new();
    let known = Known::of(run, &mut found);
    let checks = [
        trouble,
        items::accepted_is_kept,
        items::one_outcome,
        sends::done_once,
        sends::keys_hold,
        sends::repeats_are_the_same,
        items::outcomes_are_true,
        leases::leased_before,
        sends::within_limits,
        logs::no_gaps,
        logs::counts_add_up,
        leases::epochs_hold,
        leases::nothing_out_of_time,
        leases::in_order,
        logs::tenants_apart,
        ending::within_memory,
        ending::everything_ends,
    ];
    for check in checks {
        check(&known, &mut found);
    }
    found.sort();
    found.dedup();
    found
}

/// What two runs of the same submissions, one of them without its bad items,
/// break of invariant 13: every item that is in both ends the same.
pub fn check_apart(with: &Run, without: &Run) -> Vec<Violation> {
    let mut found = Vec::new();
    ending::bad_items_apart(with, without, &mut found);
    found
}

/// What should not happen at all.
fn trouble(known: &Known<'_>, found: &mut Vec<Violation>) {
    for seen in &known.run.facts {
        if let Fact::Trouble(what) = &seen.what {
            found.push(Violation::of(0, what.clone()));
        }
    }
}
