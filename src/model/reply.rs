//! What a target said about one item, sorted by what it proves.

use std::time::Duration;

use super::{Payload, Violation};

/// What a target said about one item.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It did it.
    Ok(Answer),
    /// It refused the item: the item's data is at fault.
    Refused(Box<Cause>),
    /// It refused another item of the same all-or-nothing chunk, and so did
    /// nothing of this one, or has undone it.
    RolledBack(Box<Cause>),
    /// It did nothing, because it is asked too much: 429, or 503 with
    /// `Retry-After`.
    Busy(Box<Cause>),
    /// It answered with a fault of its own, and may have acted.
    Fault(Box<Cause>),
    /// It is proven that the request was not delivered.
    Unsent(Box<Cause>),
    /// The request was written, at least in part, and no whole answer came.
    Unknown(Box<Cause>),
}

/// The answer to an item that was done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The target's status.
    pub status: u16,
    /// Its body; absent when empty.
    pub body: Option<Payload>,
    /// The body was cut to the target's limit.
    pub truncated: bool,
}

/// Why an item was not done, or may not have been.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cause {
    /// In upper snake case, for programs: e.g. `HTTP_422`, `TIMEOUT`.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The fields that the target named.
    pub violations: Vec<Violation>,
    /// What the target answered, where it answered.
    pub answer: Option<Answer>,
    /// How long the target asked to be left alone.
    pub retry_after: Option<Duration>,
}
