//! Makes a target of a downstream that takes many items a request. Knows the
//! order of things, not the protocol.

use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};

use super::each::panicked;
use super::{Key, Permit, Target, Wire};
use crate::model::{BatchId, Cause, Chunk, Item, Refusal, Reply};

/// A downstream that takes many items a request; [`Bulk`] makes a [`Target`] of
/// it.
pub trait Many: Send + Sync + 'static {
    /// As [`Target::admit`].
    fn admit(&self, item: &Item) -> Result<(), Refusal>;

    /// As [`Target::operation`].
    fn operation(&self) -> String;

    /// As [`Target::repeatable_for`].
    fn repeatable_for(&self, item: &Item) -> Duration;

    /// As [`Target::honours_keys`].
    fn honours_keys(&self) -> bool;

    /// How much goes into one request.
    fn bounds(&self) -> Bounds;

    /// As [`Target::atomic_items`]; at most as many as go into one request.
    fn atomic_items(&self) -> Option<u32>;

    /// About how many bytes an item takes in a request.
    fn bytes(&self, item: &Item) -> usize;

    /// Sends some items as one request. The permit is told just before the first
    /// byte is written, and when the answer begins.
    fn call<'a>(&'a self, request: Together<'a>, permit: &'a mut Permit) -> BoxFuture<'a, Said>;
}

/// How much goes into one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Items; at least 1.
    pub items: u32,
    /// Bytes, as [`Many::bytes`] counts them; a single item may exceed it.
    pub bytes: usize,
}

/// The items of one request.
#[derive(Clone, Copy, Debug)]
pub struct Together<'a> {
    /// At least one.
    pub items: &'a [Item],
    /// Whose they are.
    pub batch: BatchId,
    /// All of them are done, or none is.
    pub is_atomic: bool,
}

impl<'a> Together<'a> {
    /// What each item is known by, the same on every try.
    pub fn keys(&self) -> impl Iterator<Item = Key<'a>> + use<'a> {
        let batch = self.batch;
        self.items.iter().map(move |item| Key::of(item, batch))
    }
}

/// What came back for a request.
#[derive(Debug)]
pub enum Said {
    /// What was said of each item, in their order; `None` where nothing was.
    Each(Vec<Option<Reply>>),
    /// The same of all of them.
    All(Reply),
    /// The request is too large, and nothing of it was done.
    TooLarge(Box<Cause>),
    /// Something in the request is at fault, it was not said which item, and
    /// nothing of it was done.
    Refused(Box<Cause>),
    /// Nothing of the request was done, because of the items that have a reply;
    /// the others may go again without them. At least one has a reply.
    Culprits(Vec<Option<Reply>>),
}

/// A target that sends a chunk in as few requests as it may. Requests are
/// written in the order of the items, as permits come; what was refused as a
/// whole goes again in halves, until what is at fault is alone.
pub struct Bulk<M> {
    many: M,
}

impl<M: Many> Bulk<M> {
    /// A target of this downstream.
    pub fn new(many: M) -> Bulk<M> {
        Bulk { many }
    }

    /// Sends some items as one request, or in halves where that is refused.
    fn some<'a>(
        &'a self,
        chunk: &'a Chunk,
        items: Range<u32>,
        mut permit: Permit,
        wire: &'a Wire,
    ) -> BoxFuture<'a, ()> {
        async move {
            let request = Together {
                items: &chunk.items[items.start as usize..items.end as usize],
                batch: chunk.batch,
                is_atomic: chunk.is_atomic,
            };
            // The call is gone after a panic; all it shares is the connections,
            // which keep nothing of it.
            let call = async { self.many.call(request, &mut permit).await };
            let said = AssertUnwindSafe(call).catch_unwind().await;
            let said = said.unwrap_or_else(|_| Said::All(panicked(wire.written(items.start))));
            match said {
                Said::All(reply) => tell_all(wire, items, &reply),
                Said::TooLarge(_) | Said::Refused(_) if items.len() > 1 && !chunk.is_atomic => {
                    permit.undone();
                    self.halves(chunk, items, wire).await;
                }
                Said::TooLarge(cause) | Said::Refused(cause) => {
                    tell_all(wire, items, &Reply::Refused(cause));
                }
                Said::Culprits(replies) if chunk.is_atomic => {
                    let reply = |reply: Option<Reply>| reply.or_else(|| Some(rolled_back()));
                    tell_each(wire, items, replies.into_iter().map(reply).collect());
                }
                Said::Culprits(replies) if replies.iter().any(Option::is_some) => {
                    permit.undone();
                    self.without(chunk, items, replies, wire).await;
                }
                // Culprits that are nobody say as little.
                Said::Each(replies) | Said::Culprits(replies) => tell_each(wire, items, replies),
            }
        }
        .boxed()
    }

    async fn halves(&self, chunk: &Chunk, items: Range<u32>, wire: &Wire) {
        let middle = items.start + (items.end - items.start).div_ceil(2);
        self.again(chunk, [items.start..middle, middle..items.end], wire)
            .await;
    }

    /// Sends these again, one after the other.
    async fn again(
        &self,
        chunk: &Chunk,
        requests: impl IntoIterator<Item = Range<u32>, IntoIter: Send>,
        wire: &Wire,
    ) {
        for items in requests {
            // What has no permit goes back to the queue.
            let Ok(permit) = wire.permit(items.clone()).await else {
                return;
            };
            self.some(chunk, items, permit, wire).await;
        }
    }

    /// Tells those that have a reply, and sends those between them again: items
    /// of a request are next to each other in their chunk.
    async fn without(
        &self,
        chunk: &Chunk,
        items: Range<u32>,
        replies: Vec<Option<Reply>>,
        wire: &Wire,
    ) {
        let mut rest: Vec<Range<u32>> = Vec::new();
        let mut replies = replies.into_iter();
        for at in items {
            match (replies.next().flatten(), rest.last_mut()) {
                (Some(reply), _) => wire.reply(at, reply),
                (None, Some(last)) if last.end == at => last.end = at + 1,
                (None, _) => rest.push(at..at + 1),
            }
        }
        self.again(chunk, rest, wire).await;
    }

    /// What goes into each request.
    fn cut(&self, chunk: &Chunk) -> Vec<Range<u32>> {
        let bounds = self.many.bounds();
        let mut cuts: Vec<Range<u32>> = Vec::new();
        let mut bytes = 0;
        for (at, item) in (0..).zip(chunk.items.iter()) {
            let more = self.many.bytes(item);
            match cuts.last_mut() {
                Some(last)
                    if chunk.is_atomic
                        || (last.end - last.start < bounds.items
                            && bytes + more <= bounds.bytes) =>
                {
                    last.end = at + 1;
                    bytes += more;
                }
                _ => {
                    cuts.push(at..at + 1);
                    bytes = more;
                }
            }
        }
        cuts
    }
}

impl<M: Many> Target for Bulk<M> {
    fn admit(&self, item: &Item) -> Result<(), Refusal> {
        self.many.admit(item)
    }

    fn operation(&self) -> String {
        self.many.operation()
    }

    fn repeatable_for(&self, item: &Item) -> Duration {
        self.many.repeatable_for(item)
    }

    fn honours_keys(&self) -> bool {
        self.many.honours_keys()
    }

    fn request_items(&self) -> u32 {
        self.many.bounds().items
    }

    fn atomic_items(&self) -> Option<u32> {
        self.many.atomic_items()
    }

    fn send(self: Arc<Self>, chunk: Chunk, wire: Wire) -> BoxFuture<'static, ()> {
        async move {
            permits(&wire, self.cut(&chunk))
                .for_each_concurrent(None, |(items, permit)| {
                    self.some(&chunk, items, permit, &wire)
                })
                .await;
        }
        .boxed()
    }
}

/// A permit for each request, in order. Ends at the first that is refused: what
/// has none yet goes back to the queue.
fn permits(
    wire: &Wire,
    requests: Vec<Range<u32>>,
) -> impl Stream<Item = (Range<u32>, Permit)> + Send {
    stream::unfold(requests.into_iter(), move |mut rest| async move {
        let items = rest.next()?;
        let permit = wire.permit(items.clone()).await.ok()?;
        Some(((items, permit), rest))
    })
}

fn tell_each(wire: &Wire, items: Range<u32>, replies: Vec<Option<Reply>>) {
    let mut replies = replies.into_iter();
    for at in items {
        let reply = replies.next().flatten();
        wire.reply(at, reply.unwrap_or_else(nothing_said));
    }
}

fn tell_all(wire: &Wire, items: Range<u32>, reply: &Reply) {
    for at in items {
        wire.reply(at, reply.clone());
    }
}

/// What is said of an item of which nothing was done because of another.
pub(super) fn rolled_back() -> Reply {
    Reply::RolledBack(Box::new(Cause {
        reason: "ANOTHER_REFUSED".to_owned(),
        message: "another item of the batch was refused, and so nothing was done".to_owned(),
        ..Cause::default()
    }))
}

/// An answer without a word of one of the items.
fn nothing_said() -> Reply {
    Reply::Unknown(Box::new(Cause {
        reason: "MISSING_ENTRY".to_owned(),
        message: "the target answered, and said nothing of this item".to_owned(),
        ..Cause::default()
    }))
}

#[cfg(test)]
mod tests;
