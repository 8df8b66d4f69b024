//! An operator's word that nothing goes to a target.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::Held;

/// Whether an operator holds a target, and why: set by the lane, read by whoever
/// asks how it is doing.
#[derive(Default)]
pub(super) struct Hold {
    // A std mutex: held for a few words, never across an await.
    held: Mutex<Option<Held>>,
}

impl Hold {
    /// It is held from now on, or no more.
    pub fn set(&self, held: Option<Held>) {
        *self.lock() = held;
    }

    /// Whether it is held.
    pub fn is_on(&self) -> bool {
        self.lock().is_some()
    }

    /// As it is told.
    pub fn read(&self) -> Option<Held> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
