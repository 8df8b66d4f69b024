//! A call that cannot be served, and what would be right instead.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Violation;

/// Why a call was refused. It names what would be right, and answers the
/// caller's next question: which, how much, when.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What sort of refusal it is.
    pub code: Code,
    /// In upper snake case, for programs.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// What a program may want to know: ids, counts, limits.
    pub metadata: BTreeMap<String, String>,
    /// The fields at fault.
    pub violations: Vec<Violation>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
}

/// The sorts of refusal: the gRPC codes that this service uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request can never be right.
    InvalidArgument,
    /// There is no such thing, or it is another tenant's.
    NotFound,
    /// It exists with other content.
    AlreadyExists,
    /// A budget is used up.
    ResourceExhausted,
    /// The thing is not in a state for it.
    FailedPrecondition,
    /// Past the end.
    OutOfRange,
    /// Not now.
    Unavailable,
    /// A fault of the server's.
    Internal,
}

impl Refusal {
    /// A refusal with no details yet.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            code,
            reason,
            message: message.into(),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// Adds a piece of metadata.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Refusal {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Names a field at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>, description: impl Into<String>) -> Refusal {
        self.violations.push(Violation {
            field: field.into(),
            description: description.into(),
        });
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Refusal {}
