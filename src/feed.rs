//! A batch's events: replay, then live. Reads the log and knows nothing of who
//! writes it or who is told.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::model::{Batch, BatchNo, Event, EventKind};
use crate::store::{Events, Store, StoreError};
use crate::wake::{Subscription, Wake};

/// Bytes of events that a follower reads at once: what a reader that stops
/// reading costs, and enough that a fast one is not held up by the store.
const PAGE_BYTES: usize = 256 * 1024;

/// Where followers come from. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    store: Arc<dyn Store>,
    wake: Wake,
}

impl Feed {
    /// A feed of what this store holds.
    pub fn new(store: Arc<dyn Store>, wake: Wake) -> Feed {
        Feed { store, wake }
    }

    /// Wake-ups for what is recorded about a batch from now on.
    pub fn news(&self, batch: &Batch) -> Subscription {
        self.wake.follow(batch.no)
    }

    /// Follows a batch from its first event after a sequence.
    pub fn follow(&self, batch: &Batch, after: u64) -> Follower {
        Follower {
            store: self.store.clone(),
            // Before the first read, so that nothing recorded after it is missed.
            news: self.wake.follow(batch.no),
            no: batch.no,
            cursor: after,
            read: VecDeque::new(),
            caught_up: false,
            reading: None,
            ended: batch.state.is_final() && after >= batch.last_sequence,
        }
    }
}

/// Reads a batch's log at its own pace.
pub struct Follower {
    store: Arc<dyn Store>,
    news: Subscription,
    no: BatchNo,
    cursor: u64,
    read: VecDeque<Event>,
    /// The last read came to the end of the log as it was then.
    caught_up: bool,
    /// A read that is under way: kept when [`next`](Self::next) is cancelled,
    /// or a caller that is often interrupted would never get anywhere.
    reading: Option<BoxFuture<'static, Result<Events, StoreError>>>,
    ended: bool,
}

impl Follower {
    /// The next event, as soon as there is one; `None` after the last event of
    /// a finished batch. Safe to cancel.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Event>, StoreError> {
        loop {
            if let Some(event) = self.read.pop_front() {
                self.cursor = event.sequence;
                self.ended = event.kind == EventKind::Finished;
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            if self.caught_up {
                // Of all that was recorded after that read began.
                self.news.wait().await;
                self.caught_up = false;
            }
            let reading = self.reading.get_or_insert_with(|| {
                let (store, no, cursor) = (self.store.clone(), self.no, self.cursor);
                Box::pin(async move { store.events(no, cursor, PAGE_BYTES).await })
            });
            let events = reading.await;
            self.reading = None;
            let Events { events, more } = events?;
            self.caught_up = !more;
            self.read.extend(events);
        }
    }

    /// The sequence of the last event that was returned, or where it began.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }
}
