//! The one writer: a thread that takes the verbs that wait and commits them
//! together, so that one fsync serves everybody. A caller has its answer only
//! after that.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use rusqlite::ErrorCode;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use super::super::StoreError;
use super::super::rows::{Done, Undone};
use super::queue::Queue;
use super::rows::SqliteRows;

/// Bytes that may wait for the writer: what it writes in well under a second.
/// Whoever comes with more waits outside, which is how a slow disk slows its
/// callers and not the machine.
const WAITING_BYTES: u32 = 32 << 20;

/// What a verb counts at least: so no more than 8,192 wait.
const VERB_BYTES: u32 = 4 << 10;

/// Bytes that are committed together: more would gain little and make those
/// that are in it wait longer.
const GROUP_BYTES: usize = 8 << 20;

/// How long the writer waits for callers that it has just answered to come
/// back, when there were several: they then share a commit again.
const LINGER: Duration = Duration::from_millis(1);

/// The way to the writer.
pub(super) struct Writer {
    verbs: Queue<Box<dyn Verb>>,
}

impl Writer {
    /// A way to the writer, and what [`serve`] reads from.
    pub fn new() -> (Writer, Receiver<Box<dyn Verb>>) {
        let (verbs, receiver) = Queue::new(WAITING_BYTES as usize);
        (Writer { verbs }, receiver)
    }

    /// Has a verb done that brings so many bytes, and committed. Once it is
    /// handed over it is done, whether or not the caller still waits.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        verb: impl FnOnce(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = bytes.clamp(VERB_BYTES, WAITING_BYTES);
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            verb: Some(verb),
            done: None,
            answer,
            bytes: bytes as usize,
            _room: self.verbs.room(bytes).await?,
        };
        self.verbs.send(Box::new(waiting))?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Lets nothing more in.
    pub fn close(&self) {
        self.verbs.close();
    }
}

/// A verb that waits for its commit.
pub(super) trait Verb: Send {
    /// What it counts for a group.
    fn bytes(&self) -> usize;

    /// Does it, and keeps the answer; fails only where nothing of the group
    /// may stay.
    fn run(&mut self, rows: &mut SqliteRows) -> Result<(), StoreError>;

    /// Tells the caller: the answer, or why the group was not committed.
    fn tell(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Waiting<F, T> {
    // Taken when it is run.
    verb: Option<F>,
    done: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    bytes: usize,
    _room: OwnedSemaphorePermit,
}

impl<F, T> Verb for Waiting<F, T>
where
    F: FnOnce(&mut SqliteRows) -> Done<T> + Send,
    T: Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, rows: &mut SqliteRows) -> Result<(), StoreError> {
        let Some(verb) = self.verb.take() else {
            return Ok(());
        };
        match verb(rows) {
            Err(undone @ Undone::Broken(_)) => return Err(undone.into()),
            // A mistake wrote nothing, and is nobody else's.
            done => self.done = Some(done.map_err(StoreError::from)),
        }
        Ok(())
    }

    fn tell(self: Box<Self>, outcome: Result<(), StoreError>) {
        let done = self.done.unwrap_or(Err(StoreError::Closed));
        // A caller that went away has its answer in the store.
        let _ = self.answer.send(outcome.and(done));
    }
}

/// Serves until the [`Writer`] is closed and nothing waits, or until a commit
/// fails: then what waits, and whatever comes, is answered with
/// [`StoreError::Closed`], because nobody knows what is on the disk.
pub(super) fn serve(mut rows: SqliteRows, verbs: &Receiver<Box<dyn Verb>>) {
    let mut last = 1;
    while let Ok(first) = verbs.recv() {
        let group = gather(first, verbs, last);
        last = group.len();
        if commit(&mut rows, group).is_break() {
            return;
        }
    }
    if let Err(undone) = rows.checkpoint() {
        // What it would have moved is safe in the log.
        tracing::warn!(?undone, "the store's last checkpoint failed");
    }
}

/// A verb and those that wait with it. `last` is how many there were last
/// time: a lone caller is not made to wait for company.
fn gather(
    first: Box<dyn Verb>,
    verbs: &Receiver<Box<dyn Verb>>,
    last: usize,
) -> Vec<Box<dyn Verb>> {
    let mut bytes = first.bytes();
    let mut group = vec![first];
    let patience = Instant::now() + LINGER;
    while bytes < GROUP_BYTES {
        let next = match verbs.try_recv() {
            Err(TryRecvError::Empty) if group.len() < last => {
                let left = patience.saturating_duration_since(Instant::now());
                verbs.recv_timeout(left).ok()
            }
            next => next.ok(),
        };
        let Some(next) = next else {
            break;
        };
        bytes += next.bytes();
        group.push(next);
    }
    group
}

/// Does a group of verbs in one transaction and tells each caller.
fn commit(rows: &mut SqliteRows, mut group: Vec<Box<dyn Verb>>) -> ControlFlow<()> {
    let (outcome, flow) = match run(rows, &mut group) {
        Ok(()) => finish(rows),
        Err(error) => undo(rows, error),
    };
    for verb in group {
        verb.tell(outcome.clone());
    }
    flow
}

type Outcome = (Result<(), StoreError>, ControlFlow<()>);

fn run(rows: &mut SqliteRows, group: &mut [Box<dyn Verb>]) -> Result<(), StoreError> {
    rows.begin()?;
    for verb in group {
        verb.run(rows)?;
    }
    Ok(rows.flush()?)
}

fn finish(rows: &mut SqliteRows) -> Outcome {
    let Err(error) = rows.commit() else {
        return (Ok(()), ControlFlow::Continue(()));
    };
    // A full disk is found out before anything is synced: that is a clean no.
    if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
        return undo(rows, StoreError::Failed(error.to_string()));
    }
    tracing::error!(%error, "a commit failed; the store stops, and recovers when it is started");
    (Err(StoreError::Closed), ControlFlow::Break(()))
}

fn undo(rows: &mut SqliteRows, error: StoreError) -> Outcome {
    tracing::error!(%error, "a group of verbs failed and was rolled back");
    match rows.rollback() {
        Ok(()) => (Err(error), ControlFlow::Continue(())),
        Err(undone) => {
            tracing::error!(?undone, "a rollback failed; the store stops");
            (Err(StoreError::Closed), ControlFlow::Break(()))
        }
    }
}
