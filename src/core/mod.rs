//! Decisions: no async, no clock, no I/O, no tonic. Time is an argument.

pub mod address;
pub mod atomic;
pub mod breaker;
pub mod classify;
pub mod fair;
pub mod headers;
pub mod json;
pub mod lifecycle;
pub mod near;
pub mod pointer;
pub mod rate;
pub mod schema;
pub mod slice;
pub mod template;
