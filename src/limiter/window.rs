//! The exact sliding window: no window of a limit's length holds more than the
//! limit **as the target sees it**. Knows no tasks and no clock: time is an
//! argument, and never goes back from one call to the next.
//!
//! ```text
//! reserved --sent--> pending --answered, or transit has passed--> seen --one window--> free
//!     ^                 |
//!     +-----unsent------+      (reserved --refund--> free)
//! ```
//!
//! The target sees a request somewhere between the send and the answer, and at
//! the latest `transit` after the send; its slot is held from before the send
//! until one window after that, so it is held in any window that the target
//! could count it in.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::gate::Spent;
use crate::model::Limit;

/// Up to so many units each is remembered by itself. Limits above it remember
/// as many groups, and free a unit late by at most one part in so many of the
/// window: that bounds the memory, and costs 0.05% of the rate.
const EXACT: u32 = 2_048;

/// Longer than any process runs; longer windows are cut to it, so that no sum
/// of times overflows.
pub(super) const FOREVER: Duration = Duration::from_hours(100 * 365 * 24);

/// The windows of all limits of one quota. Costs are in units of the limits.
/// All calls take amortised constant time for each limit, but for
/// [`due`](Self::due).
#[derive(Debug)]
pub(super) struct Windows {
    transit: Duration,
    /// Units granted and not sent.
    reserved: u64,
    /// Units in `pending`.
    on_the_way: u64,
    /// In the order of sending; answered ones are empty until they come up.
    pending: VecDeque<Sent>,
    /// The number of the first of `pending`.
    first: u64,
    limits: Vec<Seen>,
}

/// Names a request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SendNo {
    no: u64,
    at: Instant,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    /// 0 once it is answered, or proven unsent.
    cost: u32,
}

/// What the target has seen in the last window of one limit.
#[derive(Debug)]
struct Seen {
    count: u64,
    per: Duration,
    /// Times are rounded up to a multiple of it after `origin`; zero for
    /// exact.
    grain: Duration,
    origin: Instant,
    /// When they are free again, rounded, and how many units. Ascending.
    groups: VecDeque<(Instant, u64)>,
    units: u64,
}

/// What becomes of units that are reserved when it is asked how soon there is
/// room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    /// They may be refunded at any moment.
    MayBeRefunded,
    /// A refund would be noticed; time alone frees them no sooner than if they
    /// were answered now.
    AreSent,
}

impl Windows {
    /// Nothing has been sent.
    pub(super) fn new(limits: &[Limit], transit: Duration, now: Instant) -> Windows {
        Windows {
            transit: transit.min(FOREVER),
            reserved: 0,
            on_the_way: 0,
            pending: VecDeque::new(),
            first: 0,
            limits: limits.iter().map(|limit| Seen::new(limit, now)).collect(),
        }
    }

    /// Counts what was sent before there were these windows, as if it had had
    /// no answer. For the start: nothing has been seen yet.
    pub(super) fn recall(&mut self, spent: &[Spent], now: Instant) {
        let mut youngest_first = spent.to_vec();
        youngest_first.sort_by_key(|spent| spent.age);
        for limit in &mut self.limits {
            limit.recall(&youngest_first, self.transit, now);
        }
    }

    /// The most that one request can cost and be admitted, ever; at least 1.
    pub(super) fn smallest(&self) -> u32 {
        let counts = self.limits.iter().map(|limit| limit.count);
        let smallest = counts.min().unwrap_or(u64::MAX);
        u32::try_from(smallest).unwrap_or(u32::MAX)
    }

    /// Units granted and not sent.
    pub(super) fn reserved(&self) -> u64 {
        self.reserved
    }

    /// Whether so many units can be reserved now, under every limit.
    pub(super) fn admits(&mut self, cost: u32, now: Instant) -> bool {
        self.advance(now);
        let held = self.reserved + self.on_the_way + u64::from(cost);
        self.limits
            .iter()
            .all(|limit| held + limit.units <= limit.count)
    }

    /// Takes units that [`admits`](Self::admits) has just allowed.
    pub(super) fn reserve(&mut self, cost: u32) {
        self.reserved += u64::from(cost);
    }

    /// Gives reserved units back.
    pub(super) fn refund(&mut self, cost: u32) {
        self.reserved -= u64::from(cost);
    }

    /// Reserved units are sent.
    pub(super) fn sent(&mut self, cost: u32, now: Instant) -> SendNo {
        self.advance(now);
        let no = self.first + self.pending.len() as u64;
        self.reserved -= u64::from(cost);
        self.on_the_way += u64::from(cost);
        if self.limits.is_empty() {
            self.on_the_way -= u64::from(cost);
        } else {
            self.pending.push_back(Sent { at: now, cost });
        }
        SendNo { no, at: now }
    }

    /// What was sent, and not answered, proves not to have been: its units are
    /// reserved again; unless some of them have been freed meanwhile, and
    /// perhaps taken by another: then all are, and this is false.
    pub(super) fn unsent(&mut self, send: SendNo, cost: u32, now: Instant) -> bool {
        self.advance(now);
        if self.take(send) == 0 {
            let mut stands = true;
            for limit in &mut self.limits {
                stands &= limit.forget(send.at + self.transit, cost);
            }
            if !stands {
                return false;
            }
        }
        self.reserve(cost);
        true
    }

    /// What was sent is answered, so the target has seen it.
    pub(super) fn answered(&mut self, send: SendNo, now: Instant) {
        self.advance(now);
        let cost = self.take(send);
        for limit in &mut self.limits {
            limit.record(now, cost);
        }
    }

    /// A lower bound of when the last of the next `units` could be admitted,
    /// if they come one by one and each is sent and answered at once; no
    /// sooner than `start`. Exact, where it does not depend on answers that
    /// have not come. Takes time in proportion to what is remembered of the
    /// last window.
    pub(super) fn due(
        &mut self,
        units: u64,
        start: Instant,
        reserved: Reserved,
        now: Instant,
    ) -> Instant {
        self.advance(now);
        let held = match reserved {
            Reserved::MayBeRefunded => self.on_the_way,
            Reserved::AreSent => self.reserved + self.on_the_way,
        };
        self.limits
            .iter()
            .map(|limit| limit.due(units, held, start.max(now), now))
            .fold(start.max(now), Instant::max)
    }

    /// The limit that has no room for longest, and until when, as
    /// [`due`](Self::due) says it.
    pub(super) fn used_up(&mut self, now: Instant) -> Option<(Limit, Instant)> {
        self.advance(now);
        let due = |limit: &Seen| (limit.limit(), limit.due(1, self.on_the_way, now, now));
        let due = self.limits.iter().map(due);
        due.filter(|(_, at)| *at > now).max_by_key(|(_, at)| *at)
    }

    /// The entries remembered, for all limits.
    #[cfg(test)]
    pub(super) fn entries(&self) -> usize {
        self.pending.len() + self.limits.iter().map(|l| l.groups.len()).sum::<usize>()
    }

    /// Lets time pass. What is still unanswered after `transit` counts as seen
    /// then. That is recorded before any answer at `now` is, so that times are
    /// recorded in ascending order.
    fn advance(&mut self, now: Instant) {
        while let Some(sent) = self.pending.front()
            && (sent.cost == 0 || now.duration_since(sent.at) >= self.transit)
        {
            let (at, cost) = (sent.at + self.transit, sent.cost);
            self.pending.pop_front();
            self.first += 1;
            self.on_the_way -= u64::from(cost);
            for limit in &mut self.limits {
                limit.record(at, cost);
            }
        }
        for limit in &mut self.limits {
            limit.expire(now);
        }
    }

    /// Empties a pending entry; its cost, 0 if it is no longer pending.
    fn take(&mut self, send: SendNo) -> u32 {
        let entry = send
            .no
            .checked_sub(self.first)
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| self.pending.get_mut(index));
        let cost = entry.map_or(0, |sent| std::mem::take(&mut sent.cost));
        self.on_the_way -= u64::from(cost);
        cost
    }
}

impl Seen {
    fn new(limit: &Limit, origin: Instant) -> Seen {
        let per = limit.per.clamp(Duration::from_nanos(1), FOREVER);
        let grain = if limit.count > EXACT {
            (per / EXACT).max(Duration::from_nanos(1))
        } else {
            Duration::ZERO
        };
        Seen {
            count: u64::from(limit.count.max(1)),
            per,
            grain,
            origin,
            groups: VecDeque::new(),
            units: 0,
        }
    }

    fn limit(&self) -> Limit {
        Limit {
            count: u32::try_from(self.count).unwrap_or(u32::MAX),
            per: self.per,
        }
    }

    /// When what was seen then is free again. Rounded up to the grain: a slot
    /// may be freed late, never early.
    fn free_at(&self, seen: Instant) -> Instant {
        self.round(seen + self.per)
    }

    fn round(&self, at: Instant) -> Instant {
        let grain = self.grain.as_nanos();
        if grain == 0 {
            return at;
        }
        let rest = at.duration_since(self.origin).as_nanos() % grain;
        let up = if rest == 0 { 0 } else { grain - rest };
        at + Duration::from_nanos(u64::try_from(up).unwrap_or(u64::MAX))
    }

    /// See [`Windows::recall`]. No more than the limit is remembered, and of
    /// that the youngest: once so much is held nothing is admitted, whatever
    /// else is; and it is the last to be freed.
    fn recall(&mut self, youngest_first: &[Spent], transit: Duration, now: Instant) {
        for spent in youngest_first {
            let units = spent.units.min(self.count - self.units);
            // By how long they are held still: an instant before the machine
            // was started, when they were sent, cannot be told everywhere.
            let held_for = (self.per + transit).saturating_sub(spent.age);
            if units == 0 || held_for.is_zero() {
                continue;
            }
            let free_at = self.round(now + held_for);
            self.units += units;
            match self.groups.front_mut() {
                Some((first, held)) if *first <= free_at => *held += units,
                _ => self.groups.push_front((free_at, units)),
            }
        }
    }

    fn record(&mut self, seen: Instant, cost: u32) {
        if cost == 0 {
            return;
        }
        let free_at = self.free_at(seen);
        self.units += u64::from(cost);
        let place = match self.groups.back() {
            // Only what was sent before the start can be seen later than this.
            Some((last, _)) if *last > free_at => {
                self.groups.partition_point(|(at, _)| *at < free_at)
            }
            Some((last, _)) if *last == free_at => self.groups.len() - 1,
            _ => self.groups.len(),
        };
        match self.groups.get_mut(place) {
            Some((at, units)) if *at == free_at => *units += u64::from(cost),
            _ => self.groups.insert(place, (free_at, u64::from(cost))),
        }
    }

    /// Undoes what was recorded; false where that has expired.
    fn forget(&mut self, seen: Instant, cost: u32) -> bool {
        let free_at = self.free_at(seen);
        let Ok(index) = self.groups.binary_search_by_key(&free_at, |&(at, _)| at) else {
            return false;
        };
        let units = &mut self.groups[index].1;
        let cost = u64::from(cost).min(*units);
        *units -= cost;
        self.units -= cost;
        if *units == 0 {
            self.groups.remove(index);
        }
        true
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(free_at, units)) = self.groups.front()
            && free_at <= now
        {
            self.groups.pop_front();
            self.units -= units;
        }
    }

    /// See [`Windows::due`].
    fn due(&self, units: u64, held: u64, start: Instant, now: Instant) -> Instant {
        // The queue goes through the slots in turns: the units of a turn
        // follow those of the one before by at least one window.
        let last = units.saturating_sub(1);
        let (turns, place) = (last / self.count, last % self.count + 1);
        let free = self.count.saturating_sub(held + self.units);
        let first = match place.saturating_sub(free) {
            0 => start,
            wanted => self.freed(wanted, now).max(start),
        };
        u32::try_from(turns)
            .ok()
            .and_then(|turns| self.per.checked_mul(turns))
            .and_then(|wait| first.checked_add(wait))
            .unwrap_or(now + FOREVER)
    }

    /// When so many units that are held now are free.
    fn freed(&self, wanted: u64, now: Instant) -> Instant {
        let mut freed = 0;
        for &(free_at, units) in &self.groups {
            freed += units;
            if freed >= wanted {
                return free_at;
            }
        }
        // The others are unanswered, and may be answered now.
        self.free_at(now)
    }
}

#[cfg(test)]
mod tests;
