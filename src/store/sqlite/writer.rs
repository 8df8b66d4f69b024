//! The one writer: a thread that takes the verbs that wait and commits them
//! together, so that one fsync serves everybody. A caller has its answer only
//! after that.

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::rows::{Done, Undone};
use super::super::{Answer, StoreError};
use super::queue::Queue;
use super::rows::SqliteRows;
use super::trouble::Stop;

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
    /// done in the order of the calls, and whether or not anybody waits. It may
    /// be run twice, where what it did the first time was rolled back.
    pub fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        verb: impl FnMut(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Answer<'static, T> {
        self.hand_over(bytes, false, verb)
    }

    /// The same for what nobody waits for: it may take a little longer.
    pub fn run_patiently<T: Send + 'static>(
        &self,
        bytes: usize,
        verb: impl FnMut(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Answer<'static, T> {
        self.hand_over(bytes, true, verb)
    }

    fn hand_over<T: Send + 'static>(
        &self,
        bytes: usize,
        is_patient: bool,
        verb: impl FnMut(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Answer<'static, T> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            verb,
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
    /// may stay. It can be done again then.
    fn run(&mut self, rows: &mut SqliteRows) -> Done<()>;

    /// Tells the caller: the answer, or why it was not committed.
    fn tell(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Waiting<F, T> {
    verb: F,
    done: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
    bytes: usize,
    is_patient: bool,
}

impl<F, T> Verb for Waiting<F, T>
where
    F: FnMut(&mut SqliteRows) -> Done<T> + Send,
    T: Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_patient(&self) -> bool {
        self.is_patient
    }

    fn run(&mut self, rows: &mut SqliteRows) -> Done<()> {
        match (self.verb)(rows) {
            Err(undone) if !undone.is_its_own() => Err(undone),
            // What is its own wrote nothing.
            done => {
                self.done = Some(done.map_err(StoreError::from));
                Ok(())
            }
        }
    }

    fn tell(self: Box<Self>, outcome: Result<(), StoreError>) {
        let done = self.done.unwrap_or(Err(StoreError::Closed));
        // A caller that went away has its answer in the store.
        let _ = self.answer.send(outcome.and(done));
    }
}

/// Serves until the [`Writer`] is closed and nothing waits; or until the store
/// has to stop: then what waits, and whatever comes, is answered with
/// [`StoreError::Closed`], because nobody knows what is on the disk. Returns
/// whether the file is whole without its log.
pub(super) fn serve(rows: &mut SqliteRows, verbs: &Receiver<Box<dyn Verb>>, stop: &Stop) -> bool {
    let mut desk = Desk {
        rows,
        stop,
        is_short: false,
        is_behind: false,
    };
    let mut last = 1;
    while let Ok(first) = verbs.recv() {
        let group = gather(first, verbs, last);
        last = group.len();
        if desk.commit(group).is_break() || desk.checkpoint_if_long().is_break() {
            return false;
        }
    }
    if stop.is_said() {
        return false;
    }
    match rows.checkpoint() {
        Ok(moved) => moved.is_empty(),
        Err(undone) => {
            // What it would have moved is safe in the log.
            tracing::warn!(why = undone.why(), "the store's last checkpoint failed");
            false
        }
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

/// What commits need.
struct Desk<'a> {
    rows: &'a mut SqliteRows,
    stop: &'a Stop,
    /// The disk was full the last time.
    is_short: bool,
    /// The log could not be moved into the file the last time.
    is_behind: bool,
}

impl Desk<'_> {
    /// Does a group of verbs in one transaction and tells each caller. If it
    /// comes to nothing, each is done by itself: a broken one is nobody else's
    /// trouble, and into what room there is go those that fit.
    fn commit(&mut self, mut group: Vec<Box<dyn Verb>>) -> ControlFlow<()> {
        let undone = match self.attempt(&mut group) {
            Ok(()) => {
                for verb in group {
                    verb.tell(Ok(()));
                }
                return ControlFlow::Continue(());
            }
            Err(undone) => undone,
        };
        let undone = match undone {
            Undone::Lost(why) => Undone::Lost(why),
            undone => match self.rows.rollback() {
                Ok(()) => undone,
                Err(failed) => Undone::Lost(failed.why().to_owned()),
            },
        };
        let by_itself = matches!(undone, Undone::Broken(_) | Undone::DiskFull);
        match undone {
            Undone::Lost(why) => {
                self.stop.say(&why);
                // Whoever is not told anything is told that it is closed.
                return ControlFlow::Break(());
            }
            _ if by_itself && group.len() > 1 => {
                let mut group = group.into_iter();
                return group.try_for_each(|verb| self.commit(vec![verb]));
            }
            undone => {
                self.log(&undone);
                let told = StoreError::from(undone);
                for verb in group {
                    verb.tell(Err(told.clone()));
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Does a group of verbs, and commits what they did.
    fn attempt(&mut self, group: &mut [Box<dyn Verb>]) -> Done<()> {
        if self.stop.is_said() {
            // A reader has found it out.
            return Err(Undone::Lost(String::new()));
        }
        self.rows.begin()?;
        for verb in group {
            verb.run(self.rows)?;
        }
        self.rows.flush()?;
        self.rows.commit()?;
        if std::mem::take(&mut self.is_short) {
            tracing::info!("the store can be written again");
        }
        Ok(())
    }

    /// Says why a verb was not done; of a full disk once.
    fn log(&mut self, undone: &Undone) {
        let why = undone.why();
        match undone {
            Undone::DiskFull if self.is_short => {}
            Undone::DiskFull => {
                self.is_short = true;
                tracing::error!(
                    "there is no room for the store: make room on its disk, or let it take more; \
                     outcomes wait until they can be recorded"
                );
            }
            Undone::Failed(_) => {
                tracing::warn!(why, "the store could not be written; it is tried again");
            }
            _ => tracing::error!(why, "a change of the store failed and was rolled back"),
        }
    }

    /// Keeps the log short.
    fn checkpoint_if_long(&mut self) -> ControlFlow<()> {
        let undone = self.rows.checkpoint_if_long().err();
        let was_behind = std::mem::replace(&mut self.is_behind, undone.is_some());
        match undone {
            Some(Undone::Lost(why)) => {
                self.stop.say(&why);
                return ControlFlow::Break(());
            }
            Some(undone) if !was_behind => {
                let why = undone.why();
                tracing::warn!(why, "the store's log could not be moved into its file");
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
