//! `WatchBatch`, and what a submitting stream tells: events as they are
//! recorded, and heartbeats in between.

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::{Outgoing, Rooms, page, status, tenant, wire};
use crate::feed::Follower;
use crate::intake::{Limits, store_trouble};
use crate::model::{Batch, BatchState, Code, Event, EventKind, Refusal};
use crate::proto;

/// Messages that wait for a reader that does not read: little, since each can
/// be megabytes, and the log keeps the rest.
const WAITING_MESSAGES: usize = 2;

/// Failures that a refusal names.
const NAMED_FAILURES: usize = 20;

/// Where a stream's messages go in.
pub(super) type Sender<T> = mpsc::Sender<Result<T, Status>>;

/// Where they come out.
pub(super) type Receiver<T> = mpsc::Receiver<Result<T, Status>>;

/// What a stream can tell.
pub(super) enum Told {
    Event(Box<proto::BatchEvent>),
    Heartbeat(proto::Heartbeat),
}

pub(super) async fn watch_batch(
    rooms: &std::sync::Arc<Rooms>,
    request: Request<proto::WatchBatchRequest>,
) -> Result<Outgoing<proto::WatchBatchResponse>, Refusal> {
    use proto::watch_batch_response::Message;
    let place = stream_place(rooms)?;
    let tenant = tenant(&request);
    let request = request.into_inner();
    let batch = rooms.batch(&tenant, &request.batch_id).await?;
    check_cursor(&batch, request.cursor)?;
    let mut teller = Teller::new(rooms.clone(), batch, request.cursor);
    teller.summary_only = request.summary_only;
    let (sender, receiver) = channel();
    tokio::spawn(async move {
        let _place = place;
        let drain = teller.drain();
        loop {
            let told = tokio::select! {
                told = teller.next() => told,
                () = drain.cancelled() => Err(status::shutting_down()),
                () = sender.closed() => return,
            };
            let message = match told {
                Ok(None) => return,
                Ok(Some(Told::Event(event))) => Ok(Message::Event(*event)),
                Ok(Some(Told::Heartbeat(beat))) => Ok(Message::Heartbeat(beat)),
                Err(refusal) => Err(status::status(&refusal)),
            };
            let failed = message.is_err();
            let message = message.map(|message| proto::WatchBatchResponse {
                message: Some(message),
            });
            if sender.send(message).await.is_err() || failed {
                return;
            }
        }
    });
    Ok(outgoing(receiver))
}

/// A stream of what comes through a channel.
pub(super) fn outgoing<T: Send + 'static>(receiver: Receiver<T>) -> Outgoing<T> {
    Box::pin(ReceiverStream::new(receiver))
}

/// A channel for a stream's messages.
pub(super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    mpsc::channel(WAITING_MESSAGES)
}

/// A place among the open streams.
pub(super) fn stream_place(rooms: &Rooms) -> Result<OwnedSemaphorePermit, Refusal> {
    if rooms.drain.is_cancelled() {
        return Err(status::shutting_down());
    }
    rooms.streams.clone().try_acquire_owned().map_err(|_| {
        status::overloaded("the server has as many streams open as it takes; try again later")
    })
}

/// A cursor names an event that there is, or 0.
pub(super) fn check_cursor(batch: &Batch, cursor: u64) -> Result<(), Refusal> {
    if cursor <= batch.last_sequence {
        return Ok(());
    }
    let last = batch.last_sequence;
    Err(Refusal::new(
        Code::OutOfRange,
        "CURSOR_IN_FUTURE",
        format!("the cursor is {cursor}, and the last event of the batch is {last}"),
    )
    .with("batch_id", batch.id)
    .with("last_sequence", last)
    .field("cursor", format!("must be at most {last}")))
}

/// Tells a batch's events as messages.
pub(super) struct Teller {
    rooms: std::sync::Arc<Rooms>,
    batch: Batch,
    follower: Follower,
    /// The last event, until the batch as of then has been read.
    last: Option<Event>,
    /// Leave out the results.
    pub summary_only: bool,
}

impl Teller {
    pub fn new(rooms: std::sync::Arc<Rooms>, batch: Batch, cursor: u64) -> Teller {
        Teller {
            follower: rooms.feed.follow(&batch, cursor),
            rooms,
            batch,
            last: None,
            summary_only: false,
        }
    }

    /// Cancelled when the server goes away.
    pub fn drain(&self) -> CancellationToken {
        self.rooms.drain.clone()
    }

    /// What may be submitted.
    pub fn limits(&self) -> &Limits {
        self.rooms.intake.limits()
    }

    /// The next message; `None` when the log has ended. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<Told>, Refusal> {
        while self.last.is_none() {
            let event = tokio::select! {
                event = self.follower.next() => event.map_err(store_trouble)?,
                () = tokio::time::sleep(self.rooms.heartbeat) => return self.heartbeat().await,
            };
            let Some(event) = event else { return Ok(None) };
            match event.kind {
                EventKind::Results(_) if self.summary_only => {}
                EventKind::Finished => self.last = Some(event),
                _ => {
                    let told = wire::event(event, proto::Batch::default);
                    return Ok(Some(Told::Event(Box::new(told))));
                }
            }
        }
        // Kept until then: the follower gives it once, and this may be dropped
        // while it waits.
        self.read().await?;
        let batch = wire::batch(&self.batch, None);
        let last = self.last.take();
        Ok(last.map(|event| Told::Event(Box::new(wire::event(event, || batch)))))
    }

    async fn heartbeat(&mut self) -> Result<Option<Told>, Refusal> {
        self.read().await?;
        let lane = self.rooms.lane(&self.batch);
        Ok(Some(Told::Heartbeat(proto::Heartbeat {
            sequence: self.follower.cursor(),
            progress: Some(wire::standing(&self.batch, Some(&lane))),
        })))
    }

    async fn read(&mut self) -> Result<(), Refusal> {
        let found = self
            .rooms
            .store
            .batch(self.batch.tenant.clone(), self.batch.id);
        let found = found.await.map_err(store_trouble)?;
        // It may have been thrown away meanwhile.
        self.batch = found.ok_or_else(|| super::batch_not_found(&self.batch.id.to_string()))?;
        Ok(())
    }

    /// The end of a submitting call on this batch, if every item failed.
    pub async fn all_failed(&mut self) -> Result<Option<Refusal>, Refusal> {
        all_failed(&self.rooms, &self.batch).await
    }
}

/// The refusal that ends a call on a batch of which every item failed.
pub(super) async fn all_failed(rooms: &Rooms, batch: &Batch) -> Result<Option<Refusal>, Refusal> {
    if batch.state != BatchState::Failed {
        return Ok(None);
    }
    let view = proto::ResultView::Failed;
    let store = rooms.store.as_ref();
    let named = page::results(store, batch.no, view, "", NAMED_FAILURES).await?;
    Ok(Some(status::all_items_failed(batch, &named.results)))
}

#[cfg(test)]
pub(super) mod tests;
