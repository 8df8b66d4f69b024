//! Whole runs of the service in one process under paused time, one seed each.

#[path = "../support/checker/mod.rs"]
mod checker;
