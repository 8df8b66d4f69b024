//! Stops a whole lane when its target asks to be left alone.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::limiter::Gate;
use crate::model::Pause;
use crate::time::wall_ms_at;

/// The first pause where the target did not say how long; each further one in
/// a row is twice that.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause where the target did not say how long.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Stops a whole lane when its target asks to be left alone.
pub(super) struct Brake {
    gate: Gate,
    pulled: Notify,
    // A std mutex: held for a few words, never across an await.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    until: Option<Instant>,
    reason: String,
    /// Pauses in a row, without an item done in between.
    streak: u32,
}

impl Brake {
    /// A brake that is not pulled.
    pub fn new(gate: Gate) -> Brake {
        Brake {
            gate,
            pulled: Notify::new(),
            state: Mutex::default(),
        }
    }

    /// The target is asked too much: nothing goes out until the returned time.
    /// Several pulls at once are one pause, the longest. To come back after no
    /// time at all, as some ask, would be to ask too much for ever.
    pub fn pull(&self, retry_after: Option<Duration>, reason: &str) -> Instant {
        let now = Instant::now();
        let mut state = self.state();
        let in_a_pause = state.until.is_some_and(|until| until > now);
        if !in_a_pause {
            state.streak += 1;
        }
        let doublings = (state.streak - 1).min(16);
        let unasked = FIRST_PAUSE
            .saturating_mul(1 << doublings)
            .min(LONGEST_PAUSE);
        let asked = retry_after.filter(|after| !after.is_zero());
        let until = now + asked.unwrap_or(unasked);
        let longest = state.until.map_or(until, |other| other.max(until));
        if state.until != Some(longest) {
            state.until = Some(longest);
            reason.clone_into(&mut state.reason);
        }
        drop(state);
        // At once, not when the lane gets to it: each further request is one
        // more refusal.
        self.gate.hold_until(longest);
        self.pulled.notify_one();
        longest
    }

    /// The target did an item.
    pub fn ease(&self) {
        let mut state = self.state();
        if state.until.is_none_or(|until| until <= Instant::now()) {
            state.streak = 0;
        }
    }

    /// Waits for the next pull.
    pub async fn pulled(&self) {
        self.pulled.notified().await;
    }

    /// When the pause ends, if there is one.
    pub fn until(&self) -> Option<Instant> {
        self.state().until.filter(|&until| until > Instant::now())
    }

    /// The pause, as it is told.
    pub fn pause(&self) -> Option<Pause> {
        let state = self.state();
        let until = state.until.filter(|&until| until > Instant::now())?;
        Some(Pause {
            until_ms: wall_ms_at(until),
            reason: state.reason.clone(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
