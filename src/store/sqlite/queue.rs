//! The way to a thread, until it is closed.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use super::super::StoreError;

/// The way in. It takes whatever comes: what may wait is for those who send to
/// bound.
pub(super) struct Queue<T> {
    // `None` once it is closed. A std mutex: held to send or to take.
    sender: Mutex<Option<Sender<T>>>,
}

impl<T> Queue<T> {
    /// A queue, and the thread's end of it.
    pub fn new() -> (Queue<T>, Receiver<T>) {
        let (sender, receiver) = mpsc::channel();
        let sender = Mutex::new(Some(sender));
        (Queue { sender }, receiver)
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
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        *sender = None;
    }
}
