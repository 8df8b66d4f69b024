//! One chunk's way from its lease to its last outcome.

mod doubt;
mod sort;

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::brake::Brake;
use super::health::{Admits, Health, Probe};
use super::part::Part;
use super::way::Way;
use crate::core::atomic;
use crate::model::{Atomicity, Cause, Chunk, Item, Ordering, Reply};
use crate::store::{Again, Leased, Settled, Store, StoreError};
use crate::sweep::sweep;
use crate::target::{Entry, Incoming, Wire};
use crate::time::{instant_at, wall_ms_at};
use crate::wake::Wake;

/// How long a reply waits to be recorded together with those that come next,
/// while some of the chunk are still to come: nobody notices so short a wait,
/// and a record for each costs several times what the request did.
const LINGER: Duration = Duration::from_millis(2);

/// What a run is made of.
pub(super) struct Parts {
    pub store: Arc<dyn Store>,
    pub wake: Wake,
    pub brake: Arc<Brake>,
    pub health: Arc<Health>,
    /// One item is to be sent first, to see whether the target is still down.
    pub probe: Option<Probe>,
    pub entry: Arc<Entry>,
    pub jitter: fastrand::Rng,
    pub leased: Leased,
    pub way: Way,
}

/// One chunk's way from its lease to its last outcome.
pub(super) struct Run {
    parts: Parts,
    /// The items, as the target gets them; counted in places.
    items: Arc<[Item]>,
    /// For each place, the item's position in the stored chunk.
    positions: Vec<u32>,
    /// For each place, what is known.
    standing: Vec<Place>,
    /// What is to be settled next.
    part: Part,
    /// Some item waits for the target's pause to end.
    throttled_until: Option<Instant>,
    /// The batch is stopped.
    is_stopped: bool,
    /// All items are done, or none is.
    is_atomic: bool,
    /// Then, for how long all of them may be sent again.
    shortest: Option<Duration>,
    /// What the request that is under way said of the target's health, where it
    /// carries many items.
    said: Option<Result<(), String>>,
}

/// What a run does after a record.
enum Then {
    GoesOn,
    /// What is left of the chunk goes back to the queue, due then.
    Ends {
        release: Option<i64>,
    },
}

/// What is known about an item of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing yet.
    Open,
    /// It goes back to the queue when the run ends.
    Back,
    /// It has another try.
    Again,
    /// It has an outcome.
    Done,
}

impl Run {
    pub fn new(mut parts: Parts) -> Run {
        let leased = std::mem::take(&mut parts.leased.items);
        let mut run = Run {
            standing: Vec::new(),
            items: Vec::new().into(),
            positions: Vec::new(),
            part: Part::default(),
            throttled_until: None,
            is_stopped: false,
            is_atomic: parts.leased.spec.atomicity == Atomicity::AllOrNothing,
            shortest: None,
            said: None,
            parts,
        };
        if run.is_atomic {
            let target = &run.parts.entry.target;
            let windows = leased.iter().map(|(_, item)| target.repeatable_for(item));
            run.shortest = windows.min();
        }
        let (late, in_time) = leased
            .into_iter()
            .partition(|(at, item)| run.is_too_late(*at, item));
        run.conclude(late);
        let (positions, items): (Vec<u32>, Vec<Item>) = in_time.into_iter().unzip();
        run.standing = vec![Place::Open; items.len()];
        run.items = items.into();
        run.positions = positions;
        run
    }

    /// The wire for what is sent first. To be made before the run begins, so
    /// that the lane knows what is ahead.
    pub fn first_wire(&self) -> (Wire, Incoming) {
        self.parts.way.wire(self.step(0).len())
    }

    /// The items that are sent together, from a place on: all; or one, in strict
    /// order, or to see first whether the target is still down.
    fn step(&self, from: usize) -> Range<usize> {
        let left = self.items.len() - from;
        let probes = from == 0 && self.parts.probe.is_some();
        let count = match self.is_strict() || probes {
            true if !self.is_atomic => left.min(1),
            _ => left,
        };
        from..from + count
    }

    /// One item at a time. What stands or falls together goes out together, in
    /// order.
    fn is_strict(&self) -> bool {
        self.parts.leased.spec.ordering == Ordering::Strict && !self.is_atomic
    }

    /// Sends the chunk, and records what comes back as it comes. Nothing of it
    /// is written after its batch's deadline, nor once an item of it that may
    /// have been done is not safe to repeat any more.
    pub async fn go(mut self, first: (Wire, Incoming)) -> Result<(), StoreError> {
        let stop = self.parts.way.stop.clone();
        let _ended = stop.clone().drop_guard();
        let deadline = self.parts.leased.spec.deadline_ms;
        let end = deadline.into_iter().chain(self.lapses_ms()).min();
        let mut sent = pin!(self.send_all(first));
        tokio::select! {
            biased;
            sent = &mut sent => return sent,
            () = sleep_until(end.map_or_else(Instant::now, instant_at)), if end.is_some() => {
                stop.cancel();
            }
        }
        sent.await
    }

    async fn send_all(&mut self, first: (Wire, Incoming)) -> Result<(), StoreError> {
        let mut wire = Some(first);
        let mut from = 0;
        while from < self.items.len() {
            let step = self.step(from);
            let next = wire.take();
            let next = next.unwrap_or_else(|| self.parts.way.wire(step.len()));
            self.send(step.clone(), next).await?;
            let is_down = self.parts.probe.take().is_some() && self.is_down();
            let goes_on = self.standing[step.clone()]
                .iter()
                .all(|place| *place == Place::Done);
            if is_down || self.is_stopped || (self.is_strict() && !goes_on) {
                // In strict order, nothing passes an item without its outcome.
                break;
            }
            from = step.end;
        }
        // Where nothing was to be sent, the wire goes as it came.
        drop(wire);
        for place in &mut self.standing {
            if *place == Place::Open {
                *place = Place::Back;
            }
        }
        let back = self.standing.contains(&Place::Back);
        let due = self.throttled_until.map_or(0, wall_ms_at);
        let release = back.then_some(due);
        self.settle(Then::Ends { release }).await
    }

    fn is_down(&self) -> bool {
        self.parts.health.admits() != Admits::All
    }

    /// Sends some of the items together, and records what comes back.
    async fn send(
        &mut self,
        places: Range<usize>,
        (wire, mut incoming): (Wire, Incoming),
    ) -> Result<(), StoreError> {
        let items = match places.len() == self.items.len() {
            true => self.items.clone(),
            false => self.items[places.clone()].into(),
        };
        let chunk = Chunk {
            batch: self.parts.leased.id,
            items,
            is_atomic: self.is_atomic,
        };
        // In a task of its own: a target that panics ends its chunk, no more,
        // and the wire is gone then.
        tokio::spawn(self.parts.entry.target.clone().send(chunk, wire));
        if self.is_atomic {
            return self.hear_all(&places, &mut incoming).await;
        }
        let stop = self.parts.way.stop.clone();
        let mut is_stopped = false;
        loop {
            tokio::select! {
                biased;
                next = incoming.next() => {
                    let Some((place, reply)) = next else { break };
                    self.sort(&places, place, reply);
                    self.gather(&places, &mut incoming).await;
                    self.goes_on(&incoming).await?;
                }
                () = stop.cancelled(), if !is_stopped => {
                    is_stopped = true;
                    self.take_back(&places, &incoming);
                    self.goes_on(&incoming).await?;
                }
            }
        }
        self.fill_gaps(&places, &incoming);
        self.request_ends();
        // Before anything that comes after it, in strict order.
        self.goes_on(&incoming).await
    }

    /// Hears all that the target says of items that stand or fall together, and
    /// only then what it comes to: nothing of it is told before.
    async fn hear_all(
        &mut self,
        places: &Range<usize>,
        incoming: &mut Incoming,
    ) -> Result<(), StoreError> {
        let mut replies = vec![None; places.len()];
        while let Some((place, reply)) = incoming.next().await {
            let heard = replies.get_mut(place as usize);
            if let Some(heard @ None) = heard {
                *heard = Some(reply);
            }
        }
        let is_written = (0..)
            .zip(&replies)
            .any(|(place, _)| incoming.written(place));
        if is_written || replies.iter().any(Option::is_some) {
            for (place, reply) in (0..).zip(atomic::together(replies)) {
                self.sort(places, place, reply);
            }
        }
        self.request_ends();
        self.part.sent(incoming.take_units());
        Ok(())
    }

    /// Returns to the queue what will not be written, without waiting for what
    /// is: that may take as long as the target does. (Where nothing is, the run
    /// ends at once and gives up its lease.)
    fn take_back(&mut self, places: &Range<usize>, incoming: &Incoming) {
        let open = self.standing[places.clone()].iter();
        let open = open.filter(|place| **place == Place::Open).count();
        if self.is_strict() {
            return;
        }
        let back = incoming.take_back();
        if back.len() == open {
            return;
        }
        let mut items = Vec::new();
        for place in back {
            let at = places.start + place as usize;
            if self.standing[at] == Place::Open {
                self.standing[at] = Place::Again;
                items.push((self.positions[at], self.items[at].clone()));
            }
        }
        if !items.is_empty() {
            self.part.again(Again {
                items,
                unanswered: false,
                faulted: false,
                tried: false,
                due_ms: self.throttled_until.map_or(0, wall_ms_at),
            });
        }
    }

    /// Records what has gathered. In strict order, an item that has another try
    /// leaves the chunk when the run gives up the lease, in one commit: between
    /// two, the next process would take what is left of the chunk for sent.
    async fn goes_on(&mut self, incoming: &Incoming) -> Result<(), StoreError> {
        self.part.sent(incoming.take_units());
        if self.is_strict() && self.part.has_again() {
            return Ok(());
        }
        self.settle(Then::GoesOn).await
    }

    /// Takes the replies that come soon; none is waited for once every item has
    /// had one, so that a lone item is never held up.
    async fn gather(&mut self, places: &Range<usize>, incoming: &mut Incoming) {
        let mut patience = pin!(sleep(LINGER));
        while self.standing[places.clone()].contains(&Place::Open) {
            tokio::select! {
                biased;
                next = incoming.next() => match next {
                    Some((place, reply)) => self.sort(places, place, reply),
                    None => return,
                },
                () = &mut patience => return,
            }
        }
    }

    /// The target is done with the chunk: what it wrote and had no reply to is
    /// unknown, what it did not write goes back.
    fn fill_gaps(&mut self, places: &Range<usize>, incoming: &Incoming) {
        for (place, at) in (0..).zip(places.clone()) {
            if self.standing[at] != Place::Open {
                continue;
            }
            if incoming.written(place) {
                let cause = Cause {
                    reason: "NO_REPLY".to_owned(),
                    message: "it was sent, and nothing was heard of it".to_owned(),
                    ..Cause::default()
                };
                self.sort(places, place, Reply::Unknown(Box::new(cause)));
            } else {
                self.standing[at] = Place::Back;
            }
        }
    }

    /// Records what has gathered.
    async fn settle(&mut self, then: Then) -> Result<(), StoreError> {
        let leased = &self.parts.leased;
        let (ends, release) = match then {
            Then::GoesOn => (false, None),
            Then::Ends { release } => (true, release),
        };
        let more_to_send = release.is_some() || self.part.has_again();
        // In strict order, what comes after waited for this chunk.
        let frees = ends && leased.spec.ordering == Ordering::Strict;
        if let Some(part) = self.part.take(leased, release) {
            match self.parts.store.settle(part).await? {
                Settled::Recorded {
                    stopped, tripped, ..
                } => {
                    self.is_stopped = stopped;
                    self.parts.wake.recorded(leased.no);
                    if tripped {
                        self.parts.wake.stop(&leased.spec.target, leased.no);
                    }
                    if stopped && more_to_send {
                        return sweep(&*self.parts.store, &self.parts.wake, leased.no).await;
                    }
                }
                Settled::Stale => {
                    tracing::warn!(batch = %leased.id, "somebody else holds a chunk that was leased here");
                    return Ok(());
                }
            }
        }
        if more_to_send || frees {
            self.nudge();
        }
        Ok(())
    }

    /// The batch may have something to send.
    fn nudge(&self) {
        let leased = &self.parts.leased;
        let target = &leased.spec.target;
        self.parts.wake.work(target, &leased.tenant, leased.no);
    }
}
