//! A bounded way to a thread: whoever finds it full waits without blocking.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::super::StoreError;

/// The way in. What takes room goes in once there is some, in order.
pub(super) struct Queue<T> {
    // `None` once it is closed. A std mutex: held to send or to take.
    sender: Mutex<Option<Sender<T>>>,
    room: Arc<Semaphore>,
}

impl<T> Queue<T> {
    /// A queue with so much room, and the thread's end of it.
    pub fn new(room: usize) -> (Queue<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel();
        let queue = Queue {
            sender: Mutex::new(Some(sender)),
            room: Arc::new(Semaphore::new(room)),
        };
        (queue, receiver)
    }

    /// Waits for room, which is held until the permit is dropped. It can only
    /// ask for less than there is in all.
    pub async fn room(&self, much: u32) -> Result<OwnedSemaphorePermit, StoreError> {
        let permit = self.room.clone().acquire_many_owned(much).await;
        permit.map_err(|_| StoreError::Closed)
    }

    /// Hands over to the thread.
    pub fn send(&self, thing: T) -> Result<(), StoreError> {
        match &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(sender) => sender.send(thing).map_err(|_| StoreError::Closed),
            None => Err(StoreError::Closed),
        }
    }

    /// Lets nothing more in; the thread finishes what is there and ends.
    pub fn close(&self) {
        self.room.close();
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        *sender = None;
    }
}
