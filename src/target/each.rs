//! Makes a target of a downstream that takes one item a request. Knows the
//! order of things, not the protocol.

use std::fmt::{self, Display};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};

use super::{Permit, Single, Target, Wire};
use crate::model::{BatchId, Cause, Chunk, Item, Refusal, Reply};

/// A target that sends each item of a chunk as a request of its own. Requests
/// are written in the order of the items, as permits come; from there on each
/// goes its own way, and its reply is told at once.
pub struct Each<S> {
    single: S,
}

impl<S: Single> Each<S> {
    /// A target of this downstream.
    pub fn new(single: S) -> Each<S> {
        Each { single }
    }

    /// Sends one item and tells its reply.
    async fn one(&self, chunk: &Chunk, at: u32, permit: Permit, wire: &Wire) {
        let item = &chunk.items[at as usize];
        let key = Key::of(item, chunk.batch);
        // The call is gone after a panic; all it shares is the connections,
        // which keep nothing of it.
        let call = async { self.single.call(item, key, permit).await };
        let reply = AssertUnwindSafe(call).catch_unwind().await;
        wire.reply(at, reply.unwrap_or_else(|_| panicked(wire.written(at))));
    }
}

impl<S: Single> Target for Each<S> {
    fn admit(&self, item: &Item) -> Result<(), Refusal> {
        self.single.admit(item)
    }

    fn operation(&self) -> String {
        self.single.operation()
    }

    fn repeatable_for(&self, item: &Item) -> Duration {
        self.single.repeatable_for(item)
    }

    fn honours_keys(&self) -> bool {
        self.single.honours_keys()
    }

    fn send(self: Arc<Self>, chunk: Chunk, wire: Wire) -> BoxFuture<'static, ()> {
        async move {
            permits(&wire, chunk.items.len())
                .for_each_concurrent(None, |(at, permit)| self.one(&chunk, at, permit, &wire))
                .await;
        }
        .boxed()
    }
}

/// A permit for each item, in order. Ends at the first that is refused: what
/// has none yet goes back to the queue.
fn permits(wire: &Wire, items: usize) -> impl Stream<Item = (u32, Permit)> + Send {
    stream::unfold((0..).take(items), move |mut rest| async move {
        let at = rest.next()?;
        let permit = wire.permit(at..at + 1).await.ok()?;
        Some(((at, permit), rest))
    })
}

/// What an item is known by, the same on every try: its own key, or one that
/// is made up. It is written out only where it is needed.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    item: &'a Item,
    batch: BatchId,
}

impl<'a> Key<'a> {
    /// What an item of a batch is known by.
    pub fn of(item: &'a Item, batch: BatchId) -> Key<'a> {
        Key { item, batch }
    }
}

impl Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item.key {
            Some(key) => f.write_str(key),
            None => write!(f, "flowgate-{}-{}", self.batch, self.item.index),
        }
    }
}

/// What a panic leaves of an item. It has to be an attempt: an item that went
/// back to the queue would panic for ever.
pub(super) fn panicked(written: bool) -> Reply {
    let cause = Box::new(Cause {
        reason: "INTERNAL".to_owned(),
        message: "a fault in Flowgate ended this request; its log says more".to_owned(),
        ..Cause::default()
    });
    if written {
        Reply::Unknown(cause)
    } else {
        Reply::Unsent(cause)
    }
}
