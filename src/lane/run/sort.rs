//! What a target's replies lead to, for the items and for the lane.

use std::ops::Range;
use std::time::Duration;

use super::{Place, Run};
use crate::core::classify::{Standing, Verdict, classify};
use crate::model::{Cause, Item, Outcome, Reply};
use crate::store::Again;
use crate::time::{millis, wall_ms};

impl Run {
    /// What a reply leads to.
    pub(super) fn sort(&mut self, places: &Range<usize>, place: u32, reply: Reply) {
        let at = places.start + place as usize;
        // The first reply counts.
        if at >= places.end || self.standing[at] != Place::Open {
            return;
        }
        self.examine(&reply);
        let position = self.positions[at];
        let standing = self.known(position, &self.items[at]);
        let says = |cause: &Cause| cause.message.clone();
        let why = match &reply {
            Reply::Busy(cause) => says(cause),
            _ => String::new(),
        };
        let jitter = self.parts.jitter.f64();
        match classify(reply, standing, &self.parts.entry.config.retry, jitter) {
            Verdict::Done(outcome) => {
                self.standing[at] = Place::Done;
                if matches!(outcome, Outcome::Succeeded(_)) {
                    self.parts.brake.ease();
                }
                let item = self.items[at].clone();
                let leased = &self.parts.leased;
                self.part
                    .done(leased, position, item, outcome, standing.attempts);
            }
            Verdict::Again {
                delay,
                unanswered,
                faulted,
            } => {
                self.standing[at] = Place::Again;
                self.part.again(Again {
                    items: vec![(position, self.items[at].clone())],
                    unanswered,
                    faulted,
                    tried: true,
                    due_ms: wall_ms() + millis(delay),
                });
            }
            Verdict::Throttled { retry_after } => {
                self.standing[at] = Place::Back;
                let until = self.parts.brake.pull(retry_after, &why);
                self.throttled_until = Some(until);
            }
        }
    }

    /// What is known about an item that is sent once more.
    pub(super) fn known(&self, position: u32, item: &Item) -> Standing {
        let leased = &self.parts.leased;
        let tried_for = wall_ms() - leased.since_ms;
        let tried_for = Duration::from_millis(tried_for.max(0).unsigned_abs());
        let target = &self.parts.entry.target;
        Standing {
            attempts: leased.attempt + 1,
            repeatable_for: self.repeatable_for(item),
            honours_keys: target.honours_keys(),
            unanswered: leased.unanswered.contains(&position),
            faulted: leased.faulted.contains(&position),
            tried_for,
        }
    }

    /// For how long an item may be sent again; what stands or falls together, as
    /// long as each of them may.
    pub(super) fn repeatable_for(&self, item: &Item) -> Duration {
        let target = &self.parts.entry.target;
        self.shortest.unwrap_or_else(|| target.repeatable_for(item))
    }

    /// What a reply says of the target's health. Where many items share a
    /// request, that counts once.
    fn examine(&mut self, reply: &Reply) {
        let said = match reply {
            Reply::Ok(_) | Reply::Refused(_) | Reply::RolledBack(_) | Reply::Busy(_) => Ok(()),
            Reply::Unsent(cause) | Reply::Fault(cause) | Reply::Unknown(cause) => {
                Err(&cause.message)
            }
        };
        if self.parts.entry.target.request_items() > 1 {
            if !matches!(self.said, Some(Ok(()))) {
                self.said = Some(said.map_err(Clone::clone));
            }
            return;
        }
        match said {
            Ok(()) => self.parts.health.answered(),
            Err(why) => self.parts.health.failed(why),
        }
    }

    /// Nothing more comes of what was sent together.
    pub(super) fn request_ends(&mut self) {
        match self.said.take() {
            Some(Ok(())) => self.parts.health.answered(),
            Some(Err(why)) => self.parts.health.failed(&why),
            None => {}
        }
    }
}
