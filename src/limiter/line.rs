//! Who waits at a gate, in which order, and who wakes them.
//!
//! Whoever frees something hands it on to the first waiter who can use it,
//! there and then; what time alone frees, the pacer hands on: one task for each
//! gate, started when somebody first has to wait. A permit is handed to one
//! waiter and wakes only that one.

use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::gate::GateSpec;
use super::recent::Recent;
use super::smooth::Smooth;
use super::window::{Reserved, Windows};
use crate::model::Pace;

/// The line of those who wait at one gate, and what they wait for.
pub(super) struct Line {
    // A std mutex: held for a few sums, never across an await.
    state: Mutex<State>,
    /// Tells the pacer that it is needed sooner, or no more.
    bell: Arc<Notify>,
}

/// What a gate counts.
pub(super) struct State {
    pub(super) windows: Windows,
    /// One for each limit, or none.
    pub(super) smooth: Vec<Smooth>,
    /// No permit before then.
    pub(super) hold: Instant,
    targets: Vec<Target>,
    /// The waiters of all targets.
    waiting: usize,
    next_ticket: u64,
    /// The tickets of those who have been handed a permit and not yet come for
    /// it.
    handed: HashSet<u64>,
    /// When the pacer looks next, or sooner.
    wake_at: Option<Instant>,
    has_pacer: bool,
    pub(super) recent: Recent,
}

struct Target {
    concurrency: u32,
    in_flight: u32,
    /// By ticket, ascending.
    waiters: VecDeque<Waiter>,
}

struct Waiter {
    ticket: u64,
    cost: u32,
    /// `None` until the first poll.
    waker: Option<Waker>,
}

/// What became of an attempt to hand on a permit.
enum Handed {
    /// It went to a waiter, who is to be woken.
    On(Option<Waker>),
    /// There is none for anybody; the pacer is to be told where it has to look
    /// sooner than it meant to.
    NotYet { sooner: bool },
}

impl Line {
    /// An empty line.
    pub(super) fn new(state: State) -> Arc<Line> {
        Arc::new(Line {
            state: Mutex::new(state),
            bell: Arc::default(),
        })
    }

    /// Locks, also after a panic elsewhere: what is guarded is always whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn; what is then reserved is the caller's to release and
    /// to refund. The cost that was reserved: within what can be admitted.
    pub(super) async fn wait(line: &Arc<Line>, target: usize, cost: u32) -> u32 {
        let mut place = {
            let mut state = line.lock();
            let cost = cost.clamp(1, state.windows.smallest());
            if state.enter(target, cost) {
                return cost;
            }
            if !state.has_pacer {
                tokio::spawn(pace(Arc::downgrade(line), line.bell.clone()));
                state.has_pacer = true;
            }
            Place {
                line,
                target,
                cost,
                ticket: state.join(target, cost),
                is_taken: true,
            }
        };
        // Tells the pacer for how long, if it did not know.
        line.change(|_| ());
        poll_fn(|cx| place.poll(cx)).await;
        place.cost
    }

    /// Changes something, then hands on what that has freed.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        if self.change_and_hand_on(change) {
            self.bell.notify_one();
        }
    }

    /// Whether the pacer has to look sooner than it meant to.
    fn change_and_hand_on(&self, change: impl FnOnce(&mut State)) -> bool {
        let mut state = self.lock();
        change(&mut state);
        loop {
            match state.hand_on() {
                Handed::NotYet { sooner } => return sooner,
                Handed::On(waker) => {
                    // Woken outside the lock, which it may want at once.
                    drop(state);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                    state = self.lock();
                }
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

impl State {
    /// Nothing has gone through yet but what was spent before.
    pub(super) fn new(spec: GateSpec) -> State {
        let GateSpec {
            limits,
            pace,
            transit,
            concurrency,
            spent,
        } = spec;
        let now = Instant::now();
        let mut windows = Windows::new(&limits, transit, now);
        windows.recall(&spent, now);
        let mut smooth: Vec<Smooth> = match pace {
            Pace::Window => Vec::new(),
            Pace::Smooth => limits.iter().map(Smooth::new).collect(),
        };
        let sent = spent.iter().filter(|spent| spent.units > 0);
        if let Some(youngest) = sent.map(|spent| spent.age).min() {
            for smooth in &mut smooth {
                smooth.recall(youngest);
            }
        }
        let targets = concurrency.into_iter().map(|most| Target {
            concurrency: most.max(1),
            in_flight: 0,
            waiters: VecDeque::new(),
        });
        State {
            windows,
            smooth,
            hold: now,
            targets: targets.collect(),
            waiting: 0,
            next_ticket: 0,
            handed: HashSet::new(),
            wake_at: None,
            has_pacer: false,
            recent: Recent::new(now),
        }
    }

    /// What is reserved or under way, for each target.
    pub(super) fn in_flight(&self) -> Vec<u32> {
        self.targets.iter().map(|target| target.in_flight).collect()
    }

    /// Makes room at a target.
    pub(super) fn release(&mut self, target: usize) {
        self.targets[target].in_flight -= 1;
    }

    /// Takes back what was reserved and not used.
    pub(super) fn refund(&mut self, cost: u32) {
        self.windows.refund(cost);
        for smooth in &mut self.smooth {
            smooth.refund(cost);
        }
    }

    /// Goes straight through, where nobody is in front and all limits allow.
    fn enter(&mut self, target: usize, cost: u32) -> bool {
        let enters = self.targets[target].has_room()
            && self.first_in_line().is_none()
            && self.admit(cost, Instant::now()).is_ok();
        self.targets[target].in_flight += u32::from(enters);
        enters
    }

    /// Takes a place at the end; its ticket.
    fn join(&mut self, target: usize, cost: u32) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting += 1;
        self.targets[target].waiters.push_back(Waiter {
            ticket,
            cost,
            waker: None,
        });
        ticket
    }

    /// Takes units from every limit, or from none; then, before when it is of
    /// no use to ask again, unless something is refunded.
    fn admit(&mut self, cost: u32, now: Instant) -> Result<(), Instant> {
        if self.hold > now {
            return Err(self.hold);
        }
        if !self.windows.admits(cost, now) {
            let units = u64::from(cost);
            return Err(self.windows.due(units, now, Reserved::AreSent, now));
        }
        let paced = self.smooth.iter_mut().map(|smooth| smooth.admits(cost));
        if let Some(at) = paced.filter_map(Result::err).max() {
            return Err(at);
        }
        self.windows.reserve(cost);
        for smooth in &mut self.smooth {
            smooth.take(cost);
        }
        Ok(())
    }

    /// The target of the first waiter whose target has room.
    fn first_in_line(&self) -> Option<usize> {
        if self.waiting == 0 {
            return None;
        }
        let first = |target: &Target| Some(target.waiters.front()?.ticket);
        (0..self.targets.len())
            .filter(|&target| self.targets[target].has_room())
            .filter_map(|target| Some((first(&self.targets[target])?, target)))
            .min()
            .map(|(_, target)| target)
    }

    fn hand_on(&mut self) -> Handed {
        let Some(target) = self.first_in_line() else {
            return Handed::NotYet { sooner: false };
        };
        let Some(cost) = self.targets[target].waiters.front().map(|w| w.cost) else {
            return Handed::NotYet { sooner: false };
        };
        if let Err(at) = self.admit(cost, Instant::now()) {
            let sooner = self.wake_at.is_none_or(|planned| at < planned);
            if sooner {
                self.wake_at = Some(at);
            }
            return Handed::NotYet { sooner };
        }
        let target = &mut self.targets[target];
        target.in_flight += 1;
        self.waiting -= 1;
        Handed::On(target.waiters.pop_front().and_then(|waiter| {
            self.handed.insert(waiter.ticket);
            waiter.waker
        }))
    }
}

impl Target {
    fn has_room(&self) -> bool {
        self.in_flight < self.concurrency
    }

    fn position(&self, ticket: u64) -> Option<usize> {
        self.waiters
            .binary_search_by_key(&ticket, |waiter| waiter.ticket)
            .ok()
    }
}

/// A place in the line. Dropped, it is given up, with the permit that may have
/// been handed to it meanwhile.
struct Place<'a> {
    line: &'a Line,
    target: usize,
    cost: u32,
    ticket: u64,
    is_taken: bool,
}

impl Place<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.line.lock();
        if state.handed.remove(&self.ticket) {
            drop(state);
            self.is_taken = false;
            return Poll::Ready(());
        }
        let target = &mut state.targets[self.target];
        if let Some(position) = target.position(self.ticket) {
            match &mut target.waiters[position].waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.is_taken {
            return;
        }
        self.line.change(|state| {
            if state.handed.remove(&self.ticket) {
                state.release(self.target);
                state.refund(self.cost);
            } else if let Some(position) = state.targets[self.target].position(self.ticket) {
                state.targets[self.target].waiters.remove(position);
                state.waiting -= 1;
            }
        });
    }
}

/// Hands on what time alone frees, for as long as there is the gate.
async fn pace(line: Weak<Line>, bell: Arc<Notify>) {
    loop {
        let Some(line) = line.upgrade() else {
            return;
        };
        line.change_and_hand_on(|state| state.wake_at = None);
        let wake_at = line.lock().wake_at;
        drop(line);
        match wake_at {
            // Whether it is time or the bell, it looks again.
            Some(at) => drop(timeout_at(at, bell.notified()).await),
            None => bell.notified().await,
        }
    }
}
