//! The downstreams: what takes a chunk and says something of each item.
//!
//! A target knows how to speak to its downstream and how to read the answer.
//! It knows nothing of batches, stores and policies: when it may write is for
//! the [`Wire`] to say, and what an answer leads to is for the lane.

mod bulk;
mod catalog;
mod each;
mod grpc;
mod http;
mod http_batch;
mod net;
mod postgres;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::model::{Chunk, Item, Refusal, Reply};

pub use bulk::{Bounds, Bulk, Many, Said, Together};
pub use catalog::{Catalog, Entry};
pub use each::{Each, Key};
pub use grpc::Grpc;
pub use http::Http;
pub use http_batch::HttpBatch;
pub use postgres::{Postgres, dedupe_sql, make_dedupe_table};
pub use wire::{Ahead, Hints, Incoming, Permit, Stop, Wire, wire};

/// A downstream.
pub trait Target: Send + Sync + 'static {
    /// What this target can be given; checked before anything is accepted.
    /// The refusal names fields as of the item, e.g. `http.path`.
    fn admit(&self, item: &Item) -> Result<(), Refusal>;

    /// What is done with an item that says nothing, e.g. `POST /guests`.
    fn operation(&self) -> String;

    /// For how long after it was first sent an item may be sent again, although
    /// it may have been done, and no harm comes of it: zero for not at all,
    /// [`Duration::MAX`] for ever.
    fn repeatable_for(&self, item: &Item) -> Duration;

    /// Whether it knows an item that it was sent before by its key, so that its
    /// answer to a repeat is about the item and not about the repeat.
    fn honours_keys(&self) -> bool;

    /// The most items that it takes in one request.
    fn request_items(&self) -> u32 {
        1
    }

    /// The most items that it does all or none of; `None` where it cannot.
    fn atomic_items(&self) -> Option<u32> {
        None
    }

    /// Sends the items of a chunk, each with a permit of the wire's, and says
    /// to the wire what came back. It may stop early, and must once a permit
    /// is refused; the lane fills the gaps: what was written without a reply
    /// is unknown, what was not written goes back to the queue.
    fn send(self: Arc<Self>, chunk: Chunk, wire: Wire) -> BoxFuture<'static, ()>;
}

/// A downstream that takes one item a request; [`Each`] makes a [`Target`] of
/// it.
pub trait Single: Send + Sync + 'static {
    /// As [`Target::admit`].
    fn admit(&self, item: &Item) -> Result<(), Refusal>;

    /// As [`Target::operation`].
    fn operation(&self) -> String;

    /// As [`Target::repeatable_for`].
    fn repeatable_for(&self, item: &Item) -> Duration;

    /// As [`Target::honours_keys`].
    fn honours_keys(&self) -> bool;

    /// Sends one item. `key` is what goes into the idempotency header, where
    /// there is one. The permit is told just before the first byte is written,
    /// and when the answer begins.
    fn call<'a>(&'a self, item: &'a Item, key: Key<'a>, permit: Permit) -> BoxFuture<'a, Reply>;
}
