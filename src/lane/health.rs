//! Whether a lane's target is down, and the one item that is sent to see.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::core::breaker::{Breaker, BreakerPolicy};
use crate::model::Pause;
use crate::time::wall_ms_at;

/// Whether a target is down: told by the runs, read by their lane.
pub(super) struct Health {
    policy: BreakerPolicy,
    start: Instant,
    /// Notified when it opens or closes.
    changed: Arc<Notify>,
    /// No request has failed since the last answer: an answer changes nothing.
    is_clean: AtomicBool,
    // A std mutex: held for a few words, never across an await.
    state: Mutex<State>,
}

struct State {
    breaker: Breaker,
    /// It has opened, and the lane has not looked yet.
    opened: bool,
    /// What the last failure was.
    why: String,
    jitter: fastrand::Rng,
}

/// What may be sent to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admits {
    /// As much as the limits allow.
    All,
    /// One item, to see.
    One,
    /// Nothing before then; `None` while one item is on its way.
    Nothing(Option<Instant>),
}

/// The one item that is sent to see whether a target is still down. Dropped
/// before that is known, another may be sent.
pub(super) struct Probe(Arc<Health>);

impl Health {
    /// Nothing is known of it yet. `changed` is notified when that changes.
    pub fn new(policy: BreakerPolicy, changed: Arc<Notify>, seed: u64) -> Arc<Health> {
        Arc::new(Health {
            policy,
            start: Instant::now(),
            changed,
            is_clean: AtomicBool::new(true),
            state: Mutex::new(State {
                breaker: Breaker::NEW,
                opened: false,
                why: String::new(),
                jitter: fastrand::Rng::with_seed(seed),
            }),
        })
    }

    /// It has answered a request, other than with a fault of its own.
    pub fn answered(&self) {
        if self.is_clean.swap(true, Relaxed) {
            return;
        }
        let mut state = self.lock();
        let was_closed = is_closed(state.breaker);
        state.breaker = state.breaker.answered();
        drop(state);
        if !was_closed {
            self.changed.notify_one();
        }
    }

    /// A request has failed.
    pub fn failed(&self, why: &str) {
        let now = self.now();
        let mut state = self.lock();
        self.is_clean.store(false, Relaxed);
        let jitter = state.jitter.f64();
        let before = state.breaker;
        state.breaker = before.failed(&self.policy, now, jitter);
        if state.breaker != before && !is_closed(state.breaker) {
            state.opened |= is_closed(before);
            why.clone_into(&mut state.why);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// What may be sent.
    pub fn admits(&self) -> Admits {
        match self.lock().breaker {
            Breaker::Closed { .. } => Admits::All,
            Breaker::Probing { .. } => Admits::Nothing(None),
            Breaker::Open { until, .. } if until <= self.now() => Admits::One,
            Breaker::Open { until, .. } => Admits::Nothing(Some(self.start + until)),
        }
    }

    /// One item is on its way from now on; `None` where it may not be.
    pub fn probe(self: &Arc<Self>) -> Option<Probe> {
        let mut state = self.lock();
        state.breaker = state.breaker.probe(self.now())?;
        Some(Probe(self.clone()))
    }

    /// Whether it has opened since the last call.
    pub fn take_opened(&self) -> bool {
        std::mem::take(&mut self.lock().opened)
    }

    /// Why nothing is sent and until when, as it is told.
    pub fn pause(&self) -> Option<Pause> {
        let state = self.lock();
        let (until, now) = match state.breaker {
            Breaker::Closed { .. } => return None,
            Breaker::Open { until, .. } => (self.start + until, ""),
            Breaker::Probing { .. } => (Instant::now(), ", and one item is being tried"),
        };
        Some(Pause {
            until_ms: wall_ms_at(until),
            reason: format!("the target is down{now}: {}", state.why),
        })
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_closed(breaker: Breaker) -> bool {
    matches!(breaker, Breaker::Closed { .. })
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        let before = state.breaker;
        state.breaker = before.given_up(self.0.now());
        if state.breaker != before {
            drop(state);
            self.0.changed.notify_one();
        }
    }
}
