//! What every kind of target owes its lane, whatever its downstream does.
//!
//! Sockets are real, so time is too: where a time-out has to pass, it is short,
//! and the server would be silent for ever. No outcome depends on how fast the
//! machine is.

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod bounds;
mod faults;
mod grpc;
mod hints;
mod http2;
mod http_batch;
mod items;
mod kept;
mod kinds;
mod order;
mod paths;
mod postgres;
mod tls;
mod unsent;
mod world;
