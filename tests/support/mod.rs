//! What several of the tests need.

#![allow(dead_code, reason = "each test uses some of it")]

pub mod http_target;
pub mod patience;
pub mod postgres;
pub mod program;
pub mod strace;
