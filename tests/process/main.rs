//! The server as a process: how it ends when it is told to, whatever holds on
//! to it.

#[path = "../support/mod.rs"]
mod support;

mod draining;
mod held;
mod readers;
mod terminal;
mod world;
