//! The life of a batch and of a chunk: which states there are is the model's
//! affair, what leads from one to the next is decided here.

use crate::model::{BatchState, Counts, FailureKind, SealedBy};

/// Where a batch is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: BatchState,
    /// Who sealed it; `None` while items may still come.
    pub sealed_by: Option<SealedBy>,
}

/// What happens to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEvent {
    /// The client says that no more items will come.
    Seal,
    /// The caller cancels it.
    Cancel,
    /// No item that it holds is without an outcome.
    AllDone(Counts),
}

/// Where an event leads. What does not apply changes nothing.
///
/// ```text
///   Running, open ──Seal──▶ Running, sealed ──AllDone──▶ Succeeded
///         │                        │                     PartiallySucceeded
///         └────────Cancel──────────┤                     Failed
///                                  ▼
///                             Cancelling ─────AllDone──▶ Cancelled
///                           (always sealed)
/// ```
///
/// An open batch is never done, because more may come. A final state is left
/// for no other.
pub fn advance(from: Standing, event: BatchEvent) -> Standing {
    use BatchState::{Cancelling, Running};
    let Standing { state, sealed_by } = from;
    match (state, sealed_by, event) {
        (Running, None, BatchEvent::Seal) => Standing {
            state: Running,
            sealed_by: Some(SealedBy::Client),
        },
        (Running, _, BatchEvent::Cancel) => Standing {
            state: Cancelling,
            sealed_by: sealed_by.or(Some(SealedBy::Cancel)),
        },
        (Running | Cancelling, Some(_), BatchEvent::AllDone(counts)) => Standing {
            state: ending(state == Cancelling, &counts),
            sealed_by,
        },
        _ => from,
    }
}

/// The final state of a batch whose items have these outcomes.
fn ending(cancelled: bool, counts: &Counts) -> BatchState {
    let in_doubt = counts.failed[FailureKind::InDoubt.place()];
    if cancelled {
        BatchState::Cancelled
    } else if counts.total > 0 && counts.succeeded == counts.total {
        BatchState::Succeeded
    } else if counts.succeeded == 0 && in_doubt == 0 {
        BatchState::Failed
    } else {
        BatchState::PartiallySucceeded
    }
}

/// Where a chunk is in its life. The numbers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ChunkState {
    /// It waits to be leased.
    Queued = 0,
    /// Somebody holds it and may be sending it.
    Leased = 1,
    /// Each of its items has an outcome or has moved to another chunk.
    Finished = 2,
}

/// What happens to a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkEvent {
    /// Somebody takes it up.
    Lease,
    /// Who holds it gives it up.
    Release,
    /// No item is left in it.
    Emptied,
}

impl ChunkState {
    /// All of them, in the order of their numbers.
    pub const ALL: [ChunkState; 3] = [ChunkState::Queued, ChunkState::Leased, ChunkState::Finished];

    /// Where an event leads; `None` where it cannot happen.
    ///
    /// ```text
    ///           ──Lease──▶
    ///   Queued            Leased ──Emptied──▶ Finished
    ///     │     ◀─Release─                       ▲
    ///     └────────────────Emptied───────────────┘
    /// ```
    ///
    /// A queued chunk is emptied when its items failed admission, or when its
    /// batch was cancelled.
    pub fn advance(self, event: ChunkEvent) -> Option<ChunkState> {
        match (self, event) {
            (ChunkState::Queued, ChunkEvent::Lease) => Some(ChunkState::Leased),
            (ChunkState::Leased, ChunkEvent::Release) => Some(ChunkState::Queued),
            (ChunkState::Queued | ChunkState::Leased, ChunkEvent::Emptied) => {
                Some(ChunkState::Finished)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn counts(succeeded: u32, rejected: u32, in_doubt: u32) -> Counts {
        let mut counts = Counts {
            total: succeeded + rejected + in_doubt,
            succeeded,
            ..Counts::default()
        };
        counts.failed[FailureKind::Rejected.place()] = rejected;
        counts.failed[FailureKind::InDoubt.place()] = in_doubt;
        counts
    }

    #[test]
    fn every_event_in_every_state_of_a_batch() {
        let standings = [(BatchState::Running, None)]
            .into_iter()
            .chain(BatchState::ALL.map(|state| (state, Some(SealedBy::Client))));
        let events = [
            ("Seal", BatchEvent::Seal),
            ("Cancel", BatchEvent::Cancel),
            ("AllDone(nothing)", BatchEvent::AllDone(counts(0, 0, 0))),
            ("AllDone(2 ok)", BatchEvent::AllDone(counts(2, 0, 0))),
            ("AllDone(1 ok, 1 bad)", BatchEvent::AllDone(counts(1, 1, 0))),
            ("AllDone(2 bad)", BatchEvent::AllDone(counts(0, 2, 0))),
            (
                "AllDone(1 bad, 1 in doubt)",
                BatchEvent::AllDone(counts(0, 1, 1)),
            ),
        ];
        let mut table = String::new();
        for (state, sealed_by) in standings {
            let from = Standing { state, sealed_by };
            for (name, event) in events {
                let to = advance(from, event);
                let what = if to == from { "-".to_owned() } else { show(to) };
                writeln!(table, "{} + {name}: {what}", show(from)).unwrap();
            }
        }
        insta::assert_snapshot!(table, @r"
        Running/open + Seal: Running/Client
        Running/open + Cancel: Cancelling/Cancel
        Running/open + AllDone(nothing): -
        Running/open + AllDone(2 ok): -
        Running/open + AllDone(1 ok, 1 bad): -
        Running/open + AllDone(2 bad): -
        Running/open + AllDone(1 bad, 1 in doubt): -
        Running/Client + Seal: -
        Running/Client + Cancel: Cancelling/Client
        Running/Client + AllDone(nothing): Failed/Client
        Running/Client + AllDone(2 ok): Succeeded/Client
        Running/Client + AllDone(1 ok, 1 bad): PartiallySucceeded/Client
        Running/Client + AllDone(2 bad): Failed/Client
        Running/Client + AllDone(1 bad, 1 in doubt): PartiallySucceeded/Client
        Cancelling/Client + Seal: -
        Cancelling/Client + Cancel: -
        Cancelling/Client + AllDone(nothing): Cancelled/Client
        Cancelling/Client + AllDone(2 ok): Cancelled/Client
        Cancelling/Client + AllDone(1 ok, 1 bad): Cancelled/Client
        Cancelling/Client + AllDone(2 bad): Cancelled/Client
        Cancelling/Client + AllDone(1 bad, 1 in doubt): Cancelled/Client
        Succeeded/Client + Seal: -
        Succeeded/Client + Cancel: -
        Succeeded/Client + AllDone(nothing): -
        Succeeded/Client + AllDone(2 ok): -
        Succeeded/Client + AllDone(1 ok, 1 bad): -
        Succeeded/Client + AllDone(2 bad): -
        Succeeded/Client + AllDone(1 bad, 1 in doubt): -
        PartiallySucceeded/Client + Seal: -
        PartiallySucceeded/Client + Cancel: -
        PartiallySucceeded/Client + AllDone(nothing): -
        PartiallySucceeded/Client + AllDone(2 ok): -
        PartiallySucceeded/Client + AllDone(1 ok, 1 bad): -
        PartiallySucceeded/Client + AllDone(2 bad): -
        PartiallySucceeded/Client + AllDone(1 bad, 1 in doubt): -
        Failed/Client + Seal: -
        Failed/Client + Cancel: -
        Failed/Client + AllDone(nothing): -
        Failed/Client + AllDone(2 ok): -
        Failed/Client + AllDone(1 ok, 1 bad): -
        Failed/Client + AllDone(2 bad): -
        Failed/Client + AllDone(1 bad, 1 in doubt): -
        Cancelled/Client + Seal: -
        Cancelled/Client + Cancel: -
        Cancelled/Client + AllDone(nothing): -
        Cancelled/Client + AllDone(2 ok): -
        Cancelled/Client + AllDone(1 ok, 1 bad): -
        Cancelled/Client + AllDone(2 bad): -
        Cancelled/Client + AllDone(1 bad, 1 in doubt): -
        ");
    }

    fn show(standing: Standing) -> String {
        match standing.sealed_by {
            None => format!("{:?}/open", standing.state),
            Some(by) => format!("{:?}/{by:?}", standing.state),
        }
    }

    #[test]
    fn every_event_in_every_state_of_a_chunk() {
        let mut table = String::new();
        for state in ChunkState::ALL {
            for event in [ChunkEvent::Lease, ChunkEvent::Release, ChunkEvent::Emptied] {
                writeln!(table, "{state:?} + {event:?}: {:?}", state.advance(event)).unwrap();
            }
        }
        insta::assert_snapshot!(table, @r"
        Queued + Lease: Some(Leased)
        Queued + Release: None
        Queued + Emptied: Some(Finished)
        Leased + Lease: None
        Leased + Release: Some(Queued)
        Leased + Emptied: Some(Finished)
        Finished + Lease: None
        Finished + Release: None
        Finished + Emptied: None
        ");
    }
}
