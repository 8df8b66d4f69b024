//! An entry in a batch's log.

use super::{ItemResult, Progress};

/// An entry in a batch's log; once recorded, it never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place, from 1, without gaps.
    pub sequence: u64,
    /// When it was recorded, in milliseconds since 1970.
    pub at_ms: i64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// Items got their outcomes.
    Results(Vec<ItemResult>),
    /// A chunk was finished.
    Progress(Progress),
    /// The batch reached a final state and will not change any more.
    Finished,
}
