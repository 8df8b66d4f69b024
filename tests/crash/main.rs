//! The real program with its real file, killed and started again until it is
//! done, in front of a target and among clients that outlive it. What they saw is
//! checked against the invariants, and against what would have come of it
//! without a crash.
//!
//! Everyday runs take a few points of each sweep. `FLOWGATE_SWEEP=1` takes many,
//! and `FLOWGATE_SEED=7` one seed alone.

#![allow(clippy::large_futures, reason = "a run holds all of its clients")]

#[path = "../support/checker/mod.rs"]
mod checker;
#[path = "../support/mod.rs"]
mod support;

mod client;
mod ledger;
mod lives;
mod meddling;
mod notes;
mod oracle;
mod site;
mod stream;
mod told;
mod work;

mod disk;
mod duplicates;
mod files;
mod held;
mod killed;
mod limits;
mod replay;
mod syscalls;
mod torn;
