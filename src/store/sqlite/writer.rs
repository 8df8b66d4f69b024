//! The one writer: a thread that takes the verbs that wait and commits them
//! together, so that one fsync serves everybody. A caller has its answer only
//! after that.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use futures_util::FutureExt;
use rusqlite::ErrorCode;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::rows::{Done, Undone};
use super::super::{Answer, StoreError};
use super::queue::Queue;
use super::rows::SqliteRows;

/// What a verb counts for a group at least.
const VERB_BYTES: usize = 4 << 10;

/// Bytes that are committed together: more would gain little and make those
/// that are in it wait longer.
const GROUP_BYTES: usize = 8 << 20;

/// How long the writer waits for callers that it has just answered to come
/// back, when there were several: they then share a commit again.
const LINGER: Duration = Duration::from_millis(1);

/// How long verbs that nobody waits for wait for others, while there is much to
/// do: a commit costs several times what one more verb in it does.
const PATIENCE: Duration = Duration::from_millis(2);

/// The way to the writer.
pub(super) struct Writer {
    verbs: Queue<Box<dyn Verb>>,
}

impl Writer {
    /// A way to the writer, and what [`serve`] reads from.
    pub fn new() -> (Writer, Receiver<Box<dyn Verb>>) {
        let (verbs, receiver) = Queue::new();
        (Writer { verbs }, receiver)
    }

    /// Has a verb done that brings so many bytes, and committed. It is handed
    /// over by the call, not when the answer is first waited for: verbs are
    /// done in the order of the calls, and whether or not anybody waits.
    pub fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        verb: impl FnOnce(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Answer<'static, T> {
        self.hand_over(bytes, false, verb)
    }

    /// The same for what nobody waits for: it may take a little longer.
    pub fn run_patiently<T: Send + 'static>(
        &self,
        bytes: usize,
        verb: impl FnOnce(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Answer<'static, T> {
        self.hand_over(bytes, true, verb)
    }

    fn hand_over<T: Send + 'static>(
        &self,
        bytes: usize,
        is_patient: bool,
        verb: impl FnOnce(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Answer<'static, T> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            verb: Some(verb),
            done: None,
            answer,
            bytes: bytes.max(VERB_BYTES),
            is_patient,
        };
        let sent = self.verbs.send(Box::new(waiting));
        async move {
            sent?;
            answered.await.unwrap_or(Err(StoreError::Closed))
        }
        .boxed()
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

    /// Nobody waits for it.
    fn is_patient(&self) -> bool;

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
    is_patient: bool,
}

impl<F, T> Verb for Waiting<F, T>
where
    F: FnOnce(&mut SqliteRows) -> Done<T> + Send,
    T: Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_patient(&self) -> bool {
        self.is_patient
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
    let began = Instant::now();
    let mut bytes = first.bytes();
    let mut all_patient = first.is_patient();
    let mut group = vec![first];
    while bytes < GROUP_BYTES {
        let next = match verbs.try_recv() {
            Err(TryRecvError::Empty) if last > 1 => {
                let patience = match all_patient {
                    true => PATIENCE,
                    false if group.len() < last => LINGER,
                    false => break,
                };
                let left = patience.saturating_sub(began.elapsed());
                verbs.recv_timeout(left).ok()
            }
            next => next.ok(),
        };
        let Some(next) = next else {
            break;
        };
        bytes += next.bytes();
        all_patient &= next.is_patient();
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
