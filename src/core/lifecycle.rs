//! The life of a batch and of a chunk: which states there are is the model's
//! affair, what leads from one to the next is decided here.

use crate::model::{BatchState, Counts, FailureKind, FailurePolicy, SealedBy, StoppedBy};

/// Where a batch is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: BatchState,
    /// Who sealed it; `None` while items may still come.
    pub sealed_by: Option<SealedBy>,
    /// What stopped it; `None` while its items are sent, or would be.
    pub stopped_by: Option<StoppedBy>,
}

/// What happens to a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchEvent {
    /// The client says that no more items will come.
    Seal,
    /// Nobody had a stream open on it for too long.
    Abandon,
    /// The caller wants nothing more of it sent for now.
    Pause,
    /// The caller wants it to go on.
    Resume,
    /// The caller cancels it.
    Cancel,
    /// As many items failed as its failure policy takes.
    Trip,
    /// Its deadline has passed.
    Expire,
    /// No item that it holds is without an outcome.
    AllDone(Counts),
}

/// Where an event leads. What does not apply changes nothing.
///
/// ```text
///            ┌──Pause──▶ Paused ─┐
///   Running ─┤                   │          (open or sealed, each)
///    │   │   └◀─Resume───────────┤
///    │   │                       │
///    │   ├──Cancel───────────────┴─▶ Cancelling ──AllDone──▶ Cancelled
///    │   │
///    │   └──Trip, Expire──▶ Running, stopped ──┐
///    │      (from Paused too)                  │           Succeeded
///    └──Seal, Abandon──▶ Running, sealed ──────┴─AllDone─▶ PartiallySucceeded
///                        (from Paused too)                 Failed
/// ```
///
/// What stops a batch seals it too, and the first to stop it is the last: a
/// batch that its policy stopped cannot be cancelled any more. An open batch is
/// never done, because more may come. A final state is left for no other.
pub fn advance(from: Standing, event: BatchEvent) -> Standing {
    use BatchState::{Cancelling, Paused, Running};
    let seal = |by| Standing {
        sealed_by: Some(by),
        ..from
    };
    let stop = |state, by, sealed_by| Standing {
        state,
        sealed_by: from.sealed_by.or(Some(sealed_by)),
        stopped_by: Some(by),
    };
    let is_open = from.sealed_by.is_none();
    let is_stopped = from.stopped_by.is_some();
    match (from.state, event) {
        (Running | Paused, BatchEvent::Seal) if is_open => seal(SealedBy::Client),
        (Running | Paused, BatchEvent::Abandon) if is_open => seal(SealedBy::Timeout),
        (Running, BatchEvent::Pause) if !is_stopped => Standing {
            state: Paused,
            ..from
        },
        (Paused, BatchEvent::Resume) => Standing {
            state: Running,
            ..from
        },
        (Running | Paused, BatchEvent::Cancel) if !is_stopped => {
            stop(Cancelling, StoppedBy::Cancel, SealedBy::Cancel)
        }
        (Running | Paused, BatchEvent::Trip) if !is_stopped => {
            stop(Running, StoppedBy::FailurePolicy, SealedBy::FailurePolicy)
        }
        (Running | Paused, BatchEvent::Expire) if !is_stopped => {
            stop(Running, StoppedBy::Deadline, SealedBy::Deadline)
        }
        (Running | Paused | Cancelling, BatchEvent::AllDone(counts)) if !is_open => Standing {
            state: ending(from.state == Cancelling, &counts),
            ..from
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

/// Items that have to have an outcome before a share of them says anything of
/// the rest.
const ENOUGH: u32 = 100;

/// Whether so many failures are as many as a policy takes. A share counts among
/// what has an outcome, once that is enough to judge by; and among all, once it
/// is known how many those are.
pub fn trips(policy: FailurePolicy, counts: &Counts, sealed: bool) -> bool {
    let failed = counts.failed_total();
    if failed == 0 {
        return false;
    }
    if policy.stop_after > 0 && failed >= policy.stop_after {
        return true;
    }
    let reaches = |of: u32| f64::from(failed) >= policy.stop_at_share * f64::from(of);
    policy.stop_at_share > 0.0
        && ((counts.completed() >= ENOUGH && reaches(counts.completed()))
            || (sealed && reaches(counts.total)))
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

    /// Everything that can happen to a batch, by name.
    fn events() -> [(&'static str, BatchEvent); 12] {
        [
            ("Seal", BatchEvent::Seal),
            ("Abandon", BatchEvent::Abandon),
            ("Pause", BatchEvent::Pause),
            ("Resume", BatchEvent::Resume),
            ("Cancel", BatchEvent::Cancel),
            ("Trip", BatchEvent::Trip),
            ("Expire", BatchEvent::Expire),
            ("AllDone(nothing)", BatchEvent::AllDone(counts(0, 0, 0))),
            ("AllDone(2 ok)", BatchEvent::AllDone(counts(2, 0, 0))),
            ("AllDone(1 ok, 1 bad)", BatchEvent::AllDone(counts(1, 1, 0))),
            ("AllDone(2 bad)", BatchEvent::AllDone(counts(0, 2, 0))),
            (
                "AllDone(1 bad, 1 in doubt)",
                BatchEvent::AllDone(counts(0, 1, 1)),
            ),
        ]
    }

    #[test]
    fn every_event_in_every_state_of_a_batch() {
        let unfinished = [BatchState::Running, BatchState::Paused];
        let standings = unfinished.map(|state| (state, None, None)).into_iter();
        let sealed = BatchState::ALL.map(|state| (state, Some(SealedBy::Client), None));
        let stopped = [
            (BatchState::Running, StoppedBy::FailurePolicy),
            (BatchState::Running, StoppedBy::Deadline),
            (BatchState::Cancelling, StoppedBy::Cancel),
        ]
        .map(|(state, by)| (state, Some(SealedBy::Client), Some(by)));
        let events = events();
        let mut table = String::new();
        for (state, sealed_by, stopped_by) in standings.chain(sealed).chain(stopped) {
            let from = Standing {
                state,
                sealed_by,
                stopped_by,
            };
            let changes: Vec<String> = events
                .iter()
                .map(|(name, event)| (name, advance(from, *event)))
                .filter(|(_, to)| *to != from)
                .map(|(name, to)| format!("\n  {name}: {}", show(to)))
                .collect();
            writeln!(table, "{}{}", show(from), changes.concat()).unwrap();
        }
        insta::assert_snapshot!(table, @r"
        Running/open
          Seal: Running/Client
          Abandon: Running/Timeout
          Pause: Paused/open
          Cancel: Cancelling/Cancel/stopped by Cancel
          Trip: Running/FailurePolicy/stopped by FailurePolicy
          Expire: Running/Deadline/stopped by Deadline
        Paused/open
          Seal: Paused/Client
          Abandon: Paused/Timeout
          Resume: Running/open
          Cancel: Cancelling/Cancel/stopped by Cancel
          Trip: Running/FailurePolicy/stopped by FailurePolicy
          Expire: Running/Deadline/stopped by Deadline
        Running/Client
          Pause: Paused/Client
          Cancel: Cancelling/Client/stopped by Cancel
          Trip: Running/Client/stopped by FailurePolicy
          Expire: Running/Client/stopped by Deadline
          AllDone(nothing): Failed/Client
          AllDone(2 ok): Succeeded/Client
          AllDone(1 ok, 1 bad): PartiallySucceeded/Client
          AllDone(2 bad): Failed/Client
          AllDone(1 bad, 1 in doubt): PartiallySucceeded/Client
        Cancelling/Client
          AllDone(nothing): Cancelled/Client
          AllDone(2 ok): Cancelled/Client
          AllDone(1 ok, 1 bad): Cancelled/Client
          AllDone(2 bad): Cancelled/Client
          AllDone(1 bad, 1 in doubt): Cancelled/Client
        Succeeded/Client
        PartiallySucceeded/Client
        Failed/Client
        Cancelled/Client
        Paused/Client
          Resume: Running/Client
          Cancel: Cancelling/Client/stopped by Cancel
          Trip: Running/Client/stopped by FailurePolicy
          Expire: Running/Client/stopped by Deadline
          AllDone(nothing): Failed/Client
          AllDone(2 ok): Succeeded/Client
          AllDone(1 ok, 1 bad): PartiallySucceeded/Client
          AllDone(2 bad): Failed/Client
          AllDone(1 bad, 1 in doubt): PartiallySucceeded/Client
        Running/Client/stopped by FailurePolicy
          AllDone(nothing): Failed/Client/stopped by FailurePolicy
          AllDone(2 ok): Succeeded/Client/stopped by FailurePolicy
          AllDone(1 ok, 1 bad): PartiallySucceeded/Client/stopped by FailurePolicy
          AllDone(2 bad): Failed/Client/stopped by FailurePolicy
          AllDone(1 bad, 1 in doubt): PartiallySucceeded/Client/stopped by FailurePolicy
        Running/Client/stopped by Deadline
          AllDone(nothing): Failed/Client/stopped by Deadline
          AllDone(2 ok): Succeeded/Client/stopped by Deadline
          AllDone(1 ok, 1 bad): PartiallySucceeded/Client/stopped by Deadline
          AllDone(2 bad): Failed/Client/stopped by Deadline
          AllDone(1 bad, 1 in doubt): PartiallySucceeded/Client/stopped by Deadline
        Cancelling/Client/stopped by Cancel
          AllDone(nothing): Cancelled/Client/stopped by Cancel
          AllDone(2 ok): Cancelled/Client/stopped by Cancel
          AllDone(1 ok, 1 bad): Cancelled/Client/stopped by Cancel
          AllDone(2 bad): Cancelled/Client/stopped by Cancel
          AllDone(1 bad, 1 in doubt): Cancelled/Client/stopped by Cancel
        ");
    }

    fn show(standing: Standing) -> String {
        let sealed = match standing.sealed_by {
            None => "open".to_owned(),
            Some(by) => format!("{by:?}"),
        };
        match standing.stopped_by {
            None => format!("{:?}/{sealed}", standing.state),
            Some(by) => format!("{:?}/{sealed}/stopped by {by:?}", standing.state),
        }
    }

    #[test]
    fn a_policy_takes_so_many_failures() {
        let after = |stop_after| FailurePolicy {
            stop_after,
            ..FailurePolicy::default()
        };
        let share = |stop_at_share| FailurePolicy {
            stop_at_share,
            ..FailurePolicy::default()
        };
        let of = |total, succeeded, rejected| Counts {
            total,
            ..counts(succeeded, rejected, 0)
        };
        for (policy, counts, sealed, expected) in [
            (FailurePolicy::default(), of(500, 0, 400), true, false),
            (after(3), of(500, 0, 2), true, false),
            (after(3), of(500, 0, 3), false, true),
            // Among what is completed, once that is a hundred.
            (share(0.1), of(500, 0, 40), false, false),
            (share(0.1), of(500, 90, 10), false, true),
            (share(0.1), of(500, 91, 9), false, false),
            // Among all, once that is known.
            (share(0.1), of(50, 0, 4), true, false),
            (share(0.1), of(50, 0, 5), true, true),
            (share(0.1), of(50, 0, 5), false, false),
            (share(1.0), of(50, 0, 50), true, true),
            (share(0.001), of(500, 500, 0), true, false),
        ] {
            let tripped = trips(policy, &counts, sealed);
            assert_eq!(tripped, expected, "{policy:?} {counts:?} {sealed}");
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
