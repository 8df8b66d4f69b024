//! Targets of the kind `postgres`, against a real server: what is in the tables,
//! and what is said of each item, whatever happens in between.
//!
//! Sockets are real, so time is too; no outcome depends on how fast the machine
//! is.

#[path = "../support/mod.rs"]
mod support;

mod atomic;
mod dedupe;
mod faults;
mod process;
mod reached;
mod rows;
mod settings;
mod types;
mod world;
