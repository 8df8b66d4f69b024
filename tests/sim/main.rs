//! Whole runs of the service in one process under paused time, one seed each:
//! the real intake, lanes, feed and memory store; random batches, targets that
//! fail in every way, crashes between any two steps. What clients were told and
//! what targets saw goes to the checker.
//!
//! ```text
//! FLOWGATE_SIM_SEEDS=4000 cargo test --test sim           more seeds than usual
//! FLOWGATE_SIM_SEED=7 cargo test --test sim replay        one of them again
//! ```

mod bugs;
mod by_hand;
#[path = "../support/checker/mod.rs"]
mod checker;
mod client;
mod clock;
mod dice;
mod disk;
mod end;
mod facts;
mod front;
mod panics;
mod plan;
mod process;
mod recorded;
mod runs;
mod sim;
mod target;
