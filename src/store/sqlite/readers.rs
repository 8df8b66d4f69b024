//! Reads, on threads of their own: they see what is committed, and neither
//! wait for the writer nor hold it up.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use super::super::StoreError;
use super::super::rows::{Done, Undone};
use super::queue::Queue;
use super::rows::SqliteRows;
use super::trouble::Stop;

/// Reads that may wait: each holds up to one answer in memory.
const WAITING: usize = 256;

/// A read, which answers by itself.
pub(super) type Read = Box<dyn FnOnce(&mut SqliteRows) + Send>;

/// The way to the readers.
pub(super) struct Readers {
    reads: Queue<Read>,
    room: Arc<Semaphore>,
    stop: Stop,
}

impl Readers {
    /// A way to the readers, and what each of them [`serve`]s from.
    /// What cannot be read because the disk fails is said to `stop`.
    pub fn new(stop: Stop) -> (Readers, Receiver<Read>) {
        let (reads, receiver) = Queue::new();
        let room = Arc::new(Semaphore::new(WAITING));
        (Readers { reads, room, stop }, receiver)
    }

    /// Reads what is committed now.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let room = self.room.clone().acquire_owned().await;
        let room = room.map_err(|_| StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let stop = self.stop.clone();
        self.reads.send(Box::new(move |rows| {
            let _room = room;
            let found = within(rows, read);
            if let Err(Undone::Lost(why)) = &found {
                stop.say(why);
            }
            // Whoever asked may have gone.
            let _ = answer.send(found.map_err(StoreError::from));
        }))?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Lets nothing more in.
    pub fn close(&self) {
        self.room.close();
        self.reads.close();
    }
}

/// Reads in one transaction, so that all of it is of one moment.
fn within<T>(rows: &mut SqliteRows, read: impl FnOnce(&mut SqliteRows) -> Done<T>) -> Done<T> {
    rows.begin()?;
    let found = read(rows);
    // There is nothing to undo; it only ends the transaction.
    rows.rollback()?;
    found
}

/// Serves until the [`Readers`] are closed and nothing waits.
pub(super) fn serve(mut rows: SqliteRows, reads: &Mutex<Receiver<Read>>) {
    loop {
        // The lock is held while waiting: the next in line gets the next read.
        let next = reads.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else {
            return;
        };
        read(&mut rows);
    }
}
