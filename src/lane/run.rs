//! One chunk's way from its lease to its last outcome.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::brake::Brake;
use crate::core::classify::{Standing, Verdict, classify};
use crate::model::{Cause, Chunk, Item, ItemResult, Outcome, Reply};
use crate::store::{Again, Leased, Settle, Settled, Store, StoreError};
use crate::sweep::sweep;
use crate::target::{Entry, Incoming, Wire};
use crate::time::{millis, wall_ms, wall_ms_at};
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
    pub entry: Arc<Entry>,
    pub jitter: fastrand::Rng,
    pub leased: Leased,
    pub incoming: Incoming,
    /// Cancelled to return to the queue what is not written; and by the run
    /// itself when it has ended.
    pub stop: CancellationToken,
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
}

/// What is known about an item of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing yet.
    Open,
    /// It goes back to the queue when the run ends.
    Back,
    /// It has an outcome or another try.
    Gone,
}

#[derive(Default)]
struct Part {
    results: Vec<(u32, ItemResult)>,
    again: Vec<Again>,
}

impl Run {
    pub fn new(mut parts: Parts) -> Run {
        let leased = std::mem::take(&mut parts.leased.items);
        let (positions, items): (Vec<u32>, Vec<Item>) = leased.into_iter().unzip();
        Run {
            standing: vec![Place::Open; items.len()],
            items: items.into(),
            positions,
            part: Part::default(),
            throttled_until: None,
            parts,
        }
    }

    /// Sends the chunk, and records what comes back as it comes.
    pub async fn go(mut self, wire: Wire) -> Result<(), StoreError> {
        let chunk = Chunk {
            batch: self.parts.leased.id,
            items: self.items.clone(),
        };
        // In a task of its own: a target that panics ends its chunk, no more,
        // and the wire is gone then.
        tokio::spawn(self.parts.entry.target.clone().send(chunk, wire));
        while let Some((place, reply)) = self.parts.incoming.next().await {
            self.sort(place, reply);
            self.gather().await;
            self.settle(None).await?;
        }
        self.fill_gaps();
        let back = self.standing.contains(&Place::Back);
        let due = self.throttled_until.map_or(0, wall_ms_at);
        self.settle(back.then_some(due)).await?;
        self.parts.stop.cancel();
        Ok(())
    }

    /// Takes the replies that come soon; none is waited for once every item has
    /// had one, so that a lone item is never held up.
    async fn gather(&mut self) {
        let mut patience = pin!(sleep(LINGER));
        while self.standing.contains(&Place::Open) {
            tokio::select! {
                biased;
                next = self.parts.incoming.next() => match next {
                    Some((place, reply)) => self.sort(place, reply),
                    None => return,
                },
                () = &mut patience => return,
            }
        }
    }

    /// What a reply leads to.
    fn sort(&mut self, place: u32, reply: Reply) {
        let at = place as usize;
        // The first reply counts.
        if self.standing.get(at) != Some(&Place::Open) {
            return;
        }
        let leased = &self.parts.leased;
        let position = self.positions[at];
        let item = &self.items[at];
        let target = &self.parts.entry;
        let tried_for = wall_ms() - leased.since_ms;
        let standing = Standing {
            attempts: leased.attempt + 1,
            safe_to_repeat: target.target.safe_to_repeat(item),
            honours_keys: target.target.honours_keys(),
            unanswered: leased.unanswered.contains(&position),
            tried_for: Duration::from_millis(tried_for.max(0).unsigned_abs()),
        };
        let says = |cause: &Cause| cause.message.clone();
        let why = match &reply {
            Reply::Busy(cause) => says(cause),
            _ => String::new(),
        };
        let jitter = self.parts.jitter.f64();
        self.standing[at] = Place::Gone;
        match classify(reply, standing, &target.config.retry, jitter) {
            Verdict::Done(outcome) => {
                if matches!(outcome, Outcome::Succeeded(_)) {
                    self.parts.brake.ease();
                }
                let result = self.result(at, outcome);
                self.part.results.push((position, result));
            }
            Verdict::Again { delay, unanswered } => self.part.again.push(Again {
                items: vec![(position, self.items[at].clone())],
                unanswered,
                due_ms: wall_ms() + millis(delay),
            }),
            Verdict::Throttled { retry_after } => {
                self.standing[at] = Place::Back;
                let until = self.parts.brake.pull(retry_after, &why);
                self.throttled_until = Some(until);
            }
        }
    }

    /// The target is done with the chunk: what it wrote and had no reply to is
    /// unknown, what it did not write goes back.
    fn fill_gaps(&mut self) {
        for place in (0..).take(self.items.len()) {
            let at = place as usize;
            if self.standing[at] != Place::Open {
                continue;
            }
            if self.parts.incoming.written(place) {
                let cause = Cause {
                    reason: "NO_REPLY".to_owned(),
                    message: "it was sent, and nothing was heard of it".to_owned(),
                    ..Cause::default()
                };
                self.sort(place, Reply::Unknown(Box::new(cause)));
            } else {
                self.standing[at] = Place::Back;
            }
        }
    }

    fn result(&self, at: usize, outcome: Outcome) -> ItemResult {
        let item = &self.items[at];
        let echo = self.parts.leased.spec.echo;
        let echoed = match outcome {
            Outcome::Succeeded(_) => echo.of_succeeded(),
            Outcome::Failed(_) => echo.of_failed(),
        };
        ItemResult {
            index: item.index,
            id: item.shown_id(),
            outcome,
            attempts: self.parts.leased.attempt + 1,
            item: echoed.then(|| Box::new(item.clone())),
        }
    }

    /// Records what has gathered; with `release`, gives up the lease too.
    async fn settle(&mut self, release: Option<i64>) -> Result<(), StoreError> {
        let Part { results, again } = std::mem::take(&mut self.part);
        if results.is_empty() && again.is_empty() && release.is_none() {
            return Ok(());
        }
        let leased = &self.parts.leased;
        let more_to_send = release.is_some() || !again.is_empty();
        let part = Settle {
            chunk: leased.chunk,
            epoch: leased.epoch,
            results,
            again: join_same(again),
            release,
            now_ms: wall_ms(),
        };
        match self.parts.store.settle(part).await? {
            Settled::Recorded { cancelling, .. } => {
                self.parts.wake.recorded(leased.no);
                if cancelling && more_to_send {
                    return sweep(&*self.parts.store, &self.parts.wake, leased.no).await;
                }
                if more_to_send {
                    let target = &leased.spec.target;
                    self.parts.wake.work(target, &leased.tenant, leased.no);
                }
            }
            Settled::Stale => {
                tracing::warn!(batch = %leased.id, "somebody else holds a chunk that was leased here");
            }
        }
        Ok(())
    }
}

/// Tries that were put off together go again as one chunk, when the last of
/// them is due: a chunk costs more than the milliseconds.
fn join_same(again: Vec<Again>) -> Vec<Again> {
    let mut joined: Vec<Again> = Vec::new();
    for next in again {
        match joined.iter_mut().find(|a| a.unanswered == next.unanswered) {
            Some(same) => {
                same.due_ms = same.due_ms.max(next.due_ms);
                same.items.extend(next.items);
            }
            None => joined.push(next),
        }
    }
    joined
}
