//! Items that may have been done already: for how long they may be sent again,
//! and what is said of them after that.

use std::time::Duration;

use super::Run;
use crate::core::classify::{is_retryable, undone};
use crate::model::{Failure, FailureKind, Item, Outcome};
use crate::time::millis;

impl Run {
    /// When the first of the items that may have been done is not safe to
    /// repeat any more; `None` where there are none, or they always are.
    pub(super) fn lapses_ms(&self) -> Option<i64> {
        let leased = &self.parts.leased;
        let doubtful = self
            .items
            .iter()
            .zip(&self.positions)
            .filter(|(_, at)| leased.unanswered.contains(at) || leased.faulted.contains(at));
        let windows = doubtful.map(|(item, _)| self.repeatable_for(item));
        let shortest = windows.min().filter(|window| *window < Duration::MAX)?;
        Some(leased.since_ms + millis(shortest))
    }

    /// An item that may have been done already, and that is not safe to send
    /// again any more: it waited for so long that its target has forgotten its
    /// key.
    pub(super) fn is_too_late(&self, position: u32, item: &Item) -> bool {
        let known = self.known(position, item);
        (known.unanswered || known.faulted) && known.tried_for >= known.repeatable_for
    }

    /// Records what is known of items that come too late.
    pub(super) fn conclude(&mut self, late: Vec<(u32, Item)>) {
        for (position, item) in late {
            let known = self.known(position, &item);
            let kind = undone(known.unanswered, known.faulted).unwrap_or(FailureKind::InDoubt);
            let failure = Failure {
                kind,
                reason: "TOO_LATE_TO_REPEAT".to_owned(),
                message: "an earlier try may have been done, and the target knows its key no \
                          more; look at the target before sending it again"
                    .to_owned(),
                violations: Vec::new(),
                status: None,
                reply: None,
                truncated: false,
                retryable: is_retryable(kind),
            };
            let outcome = Outcome::Failed(Box::new(failure));
            let leased = &self.parts.leased;
            self.part
                .done(leased, position, item, outcome, known.attempts - 1);
        }
    }
}
