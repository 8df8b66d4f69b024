//! A real client over a real socket, with the real store and a target that
//! keeps a ledger.

#![allow(clippy::too_many_lines, reason = "tables of cases are long")]

#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod batches;
mod keys;
mod leaving;
mod ordering;
mod pausing;
mod restart;
mod retrying;
mod stopping;
mod streams;
mod validation;
mod world;
