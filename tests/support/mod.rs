//! What several of the tests need.

#![allow(dead_code, reason = "each test uses some of it")]

pub mod fault_proxy;
pub mod http_target;
pub mod nginx;
pub mod patience;
pub mod postgres;
pub mod program;
pub mod strace;
