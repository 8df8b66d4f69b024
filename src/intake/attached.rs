//! Who has a stream open on a batch, in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::BatchNo;

/// The batches that somebody fills, or has left open. Cheap to clone.
#[derive(Clone)]
pub(super) struct Attached {
    // A std mutex: held for a map access, never across an await.
    batches: Arc<Mutex<HashMap<BatchNo, State>>>,
    since: Instant,
}

#[derive(Clone, Copy)]
struct State {
    streams: u32,
    /// When the last stream went.
    left: Instant,
}

/// Whether somebody fills a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A stream has it open.
    Open,
    /// None has, for so long; at most since this process began.
    Left(Duration),
}

impl Default for Attached {
    fn default() -> Self {
        Attached {
            batches: Arc::default(),
            since: Instant::now(),
        }
    }
}

impl Attached {
    /// A stream has a batch open, until this is dropped.
    pub fn attach(&self, no: BatchNo) -> Guard {
        let mut batches = self.lock();
        let state = batches.entry(no).or_insert(State {
            streams: 0,
            left: self.since,
        });
        state.streams += 1;
        Guard {
            attached: self.clone(),
            no,
        }
    }

    /// Whether a stream has a batch open.
    pub fn read(&self, no: BatchNo) -> Attachment {
        match self.lock().get(&no) {
            Some(state) if state.streams > 0 => Attachment::Open,
            Some(state) => Attachment::Left(state.left.elapsed()),
            None => Attachment::Left(self.since.elapsed()),
        }
    }

    /// Forgets batches that were left for longer than that: of those it is
    /// known anyway.
    pub fn forget(&self, left_for: Duration) {
        let is_known = |state: &State| state.streams == 0 && state.left.elapsed() > left_for;
        self.lock().retain(|_, state| !is_known(state));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BatchNo, State>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that has a batch open.
pub(super) struct Guard {
    attached: Attached,
    no: BatchNo,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut batches = self.attached.lock();
        if let Some(state) = batches.get_mut(&self.no) {
            state.streams -= 1;
            state.left = Instant::now();
        }
    }
}
