//! What Flowgate concluded about an item. Terminal: it never changes.

use super::{Item, Payload};

/// An item's outcome, as it is recorded and told.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemResult {
    /// The item's place in its batch.
    pub index: u32,
    /// The item's id, or its index in decimal.
    pub id: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was sent.
    pub attempts: u32,
    /// It was answered from the record of an earlier item with the same key.
    pub replayed: bool,
    /// The item itself, where the batch asks for it. Boxed, because most results
    /// are without one and are moved often.
    pub item: Option<Box<Item>>,
}

/// How an item ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The target did it.
    Succeeded(Success),
    /// It did not, or that is unknown.
    Failed(Box<Failure>),
}

/// What the target said of an item that it did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Success {
    /// Its status, e.g. 201.
    pub status: u16,
    /// What it answered; absent when that was empty.
    pub reply: Option<Payload>,
    /// The reply was cut to the target's limit.
    pub truncated: bool,
}

/// Why an item did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// Whose fault it was.
    pub kind: FailureKind,
    /// In upper snake case, for programs: e.g. `HTTP_422`, `INVALID_JSON`.
    pub reason: String,
    /// For people; says what would be right where that is known.
    pub message: String,
    /// The fields at fault, where they are known.
    pub violations: Vec<Violation>,
    /// The target's status; absent when none came.
    pub status: Option<u16>,
    /// What the target answered.
    pub reply: Option<Payload>,
    /// The reply was cut to the target's limit.
    pub truncated: bool,
    /// The same item, untouched, may do better later.
    pub retryable: bool,
}

/// A field at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where, e.g. `payload.email`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

/// Whose fault a failure was. The numbers are those of the contract, and are
/// stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum FailureKind {
    /// It failed validation or admission here; never sent.
    Invalid = 1,
    /// The target refused this item.
    Rejected = 2,
    /// The target's request rate was the problem, until patience ran out.
    Throttled = 3,
    /// Proven not delivered, until attempts ran out.
    Unreachable = 4,
    /// The target answered with a fault of its own.
    Unavailable = 5,
    /// Sent, no answer, not safe to repeat.
    InDoubt = 6,
    /// The caller cancelled the batch first.
    Cancelled = 7,
    /// The batch's deadline passed first.
    Expired = 8,
    /// The batch's failure policy stopped it first.
    Aborted = 9,
}

impl FailureKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [FailureKind; 9] = [
        FailureKind::Invalid,
        FailureKind::Rejected,
        FailureKind::Throttled,
        FailureKind::Unreachable,
        FailureKind::Unavailable,
        FailureKind::InDoubt,
        FailureKind::Cancelled,
        FailureKind::Expired,
        FailureKind::Aborted,
    ];

    /// Its place in [`ALL`](Self::ALL).
    pub fn place(self) -> usize {
        self as usize - 1
    }

    /// The name in the contract, without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Invalid => "INVALID",
            FailureKind::Rejected => "REJECTED",
            FailureKind::Throttled => "THROTTLED",
            FailureKind::Unreachable => "UNREACHABLE",
            FailureKind::Unavailable => "UNAVAILABLE",
            FailureKind::InDoubt => "IN_DOUBT",
            FailureKind::Cancelled => "CANCELLED",
            FailureKind::Expired => "EXPIRED",
            FailureKind::Aborted => "ABORTED",
        }
    }
}
