//! What a quota's users hold: the gate, and the permits that it gives.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::line::{Line, State};
use super::window::{Reserved, SendNo};
use crate::model::{Limit, Pace};

/// What a gate is made of.
#[derive(Clone, Debug)]
pub struct GateSpec {
    /// All of them hold; empty for no limit.
    pub limits: Vec<Limit>,
    /// How requests are spaced.
    pub pace: Pace,
    /// The longest that a written request takes to reach the target.
    pub transit: Duration,
    /// The most requests under way at once, for each target; 0 counts as 1.
    pub concurrency: Vec<u32>,
    /// What was sent before there was this gate, in any order: it holds its
    /// slots as if it had been sent through it and had no answer.
    pub spent: Vec<Spent>,
}

/// What was sent at some time before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// They were sent so long ago, or longer.
    pub age: Duration,
    /// In units of the limits.
    pub units: u64,
}

/// Guards one quota. Cheap to clone. Whoever waits does so on the runtime where
/// somebody first waited: the task that wakes them lives there.
#[derive(Clone)]
pub struct Gate {
    line: Arc<Line>,
}

/// How a gate is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateStatus {
    /// Permits given and not yet dropped, written or not, for each target.
    pub in_flight: Vec<u32>,
    /// Requests written in the last second, to within the last tenth of it;
    /// never more than a second's.
    pub requests_last_second: u32,
}

impl Gate {
    /// A gate through which nothing has gone yet but what was spent before.
    pub fn new(spec: GateSpec) -> Gate {
        Gate {
            line: Line::new(State::new(spec)),
        }
    }

    /// Waits for leave to write one request, that costs `cost`, to a target:
    /// an index into [`GateSpec::concurrency`]. First come, first served, from
    /// the first poll on. Dropping the future gives up the place.
    ///
    /// A cost above the smallest limit could never be admitted: it counts as
    /// the whole of that limit; and one of 0 as 1. Call it within a tokio
    /// runtime.
    pub async fn permit(&self, target: usize, cost: u32) -> Permit {
        let cost = Line::wait(&self.line, target, cost).await;
        Permit {
            line: self.line.clone(),
            target,
            cost,
            stage: Stage::Unwritten,
        }
    }

    /// The earliest that a permit could be given to a target if `ahead` units
    /// of cost were admitted before it, of those who wait already or are still
    /// to come: a lower bound, to be asked again then. It takes it that
    /// permits which are given and not written may be refunded now, and
    /// requests without an answer answered now. Only a write that
    /// [did not happen](Permit::unwritten) after all can make it sooner.
    /// Concurrency is not looked at.
    pub fn due(&self, ahead: u32) -> Instant {
        let mut state = self.line.lock();
        let now = Instant::now();
        let units = u64::from(ahead) + 1;
        let start = state.hold.max(now);
        let due = state
            .windows
            .due(units, start, Reserved::MayBeRefunded, now);
        let wanted = units.saturating_sub(state.windows.reserved());
        let paced = state.smooth.iter().map(|smooth| smooth.due(wanted, start));
        paced.fold(due, Instant::max)
    }

    /// The limit that keeps the next permit back for longest, and until when
    /// at least; `None` while all have room. Holds, spacing and concurrency are
    /// not looked at.
    pub fn used_up(&self) -> Option<(Limit, Instant)> {
        self.line.lock().windows.used_up(Instant::now())
    }

    /// Holds every permit back until then; an earlier hold that ends later
    /// stays. Permits that are given already are not touched.
    pub fn hold_until(&self, until: Instant) {
        let mut state = self.line.lock();
        state.hold = state.hold.max(until);
    }

    /// How it is doing.
    pub fn status(&self) -> GateStatus {
        let mut state = self.line.lock();
        GateStatus {
            in_flight: state.in_flight(),
            requests_last_second: state.recent.count(Instant::now()),
        }
    }
}

/// Leave to write one request. Dropped unwritten, it is given back whole.
/// Dropped written but unanswered, its slot is held as long as the target may
/// still see the request. Until it is dropped, it counts towards its target's
/// concurrency.
#[must_use = "dropping it gives it back"]
pub struct Permit {
    line: Arc<Line>,
    target: usize,
    cost: u32,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    Unwritten,
    Written(SendNo, Instant),
    Answered,
    /// Its slot was freed before it proved to be unwritten.
    Spent,
}

impl Permit {
    /// The connection is ready and the first byte is next: the time that
    /// counts. Should it be called again, the last time counts.
    pub fn written(&mut self) {
        let stands = self.unwritten();
        if let Stage::Answered = self.stage {
            return;
        }
        let mut state = self.line.lock();
        let now = Instant::now();
        if !stands {
            // One too many, but others will wait for it.
            state.windows.reserve(self.cost);
        }
        state.recent.add(now);
        self.stage = Stage::Written(state.windows.sent(self.cost, now), now);
    }

    /// It is proven that nothing was written after all; back to before
    /// [`written`](Self::written). Nothing happens if it was not, or if it was
    /// answered.
    ///
    /// Whether it may still be written. It may not where so long has passed
    /// (the shortest window and `transit`) that its slot may be another's: then
    /// drop it and ask for a new one.
    pub fn unwritten(&mut self) -> bool {
        if let Stage::Written(send, at) = self.stage {
            let stage = &mut self.stage;
            self.line.change(|state| {
                state.recent.take_back(at);
                let stands = state.windows.unsent(send, self.cost, Instant::now());
                *stage = if stands {
                    Stage::Unwritten
                } else {
                    Stage::Spent
                };
            });
        }
        matches!(self.stage, Stage::Unwritten)
    }

    /// Holds back all that is not written for so long; an earlier hold that ends
    /// later stays.
    pub fn hold(&self, pause: Duration) {
        let mut state = self.line.lock();
        state.hold = state.hold.max(Instant::now() + pause);
    }

    /// The answer has begun to arrive: the target has seen the request. Only
    /// the first call counts; without [`written`](Self::written), it was
    /// written now.
    pub fn answered(&mut self) {
        if let Stage::Unwritten | Stage::Spent = self.stage {
            self.written();
        }
        if let Stage::Written(send, _) = self.stage {
            let mut state = self.line.lock();
            state.windows.answered(send, Instant::now());
            self.stage = Stage::Answered;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let unwritten = matches!(self.stage, Stage::Unwritten);
        self.line.change(|state| {
            state.release(self.target);
            if unwritten {
                state.refund(self.cost);
            }
        });
    }
}
