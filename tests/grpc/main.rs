//! The `grpc` target against services over real sockets: what it says of every
//! fault, what goes over the wire, and that whole batches arrive.
//!
//! Where a time-out has to pass, it is short, and the service would be silent
//! for ever. No outcome depends on how fast the machine is.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod backend;
mod configuring;
mod descriptors;
mod faults;
mod guests;
mod messages;
mod python;
mod refusals;
mod sending;
mod tls;
mod whole;
