//! One of a lane's targets, and what is leased for it.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use super::health::{Admits, Health, Probe};
use super::held::Hold;
use crate::model::{BatchNo, Rate};
use crate::store::Leased;
use crate::target::{Ahead, Entry};

/// A chunk that is leased begins when so few items of those before it are
/// unwritten, or a chunk's worth if that is more: soon enough that the next
/// request never waits for it, and no sooner, so that chunks go out in order
/// and each is done soon.
const FEW_UNWRITTEN: u32 = 16;

/// One of a lane's targets. Its place among them is its slot at the gate.
pub(super) struct Seat {
    pub entry: Arc<Entry>,
    /// Whether an operator holds it.
    pub hold: Arc<Hold>,
    /// Whether it is down.
    pub health: Arc<Health>,
    /// Items of its chunks that have begun, and are not written.
    pub ahead: Arc<Ahead>,
    /// How few of those let the next chunk begin.
    few: u32,
    /// How many items are under way at once.
    at_once: u32,
    /// Chunks that are leased and have not begun, in order.
    ready: VecDeque<Leased>,
    ready_items: u32,
    /// Items that were written when the last lease began, and when the one
    /// before it was there.
    written_before: u32,
    written_since: u32,
    /// Items that are written while a lease is on its way, going by the last
    /// few.
    pace: u32,
}

/// The most items that are leased for the time until more are: no rate needs
/// more, and each is in memory.
const MOST_AHEAD: u32 = 16_384;

impl Seat {
    /// Nothing is leased yet; `low` is notified when another chunk may begin.
    pub fn new(entry: Arc<Entry>, low: Arc<Notify>, health: Arc<Health>) -> Seat {
        let config = &entry.config;
        let together = entry.target.request_items().min(config.chunk_items);
        let at_once = config.concurrency.saturating_mul(together.max(1));
        let few = config.chunk_items.max(FEW_UNWRITTEN).min(at_once);
        Seat {
            health,
            at_once,
            hold: Arc::default(),
            ahead: Ahead::new(few, low),
            few,
            ready: VecDeque::new(),
            ready_items: 0,
            written_before: 0,
            written_since: 0,
            pace: 0,
            entry,
        }
    }

    /// Items that are leased and not written.
    pub fn unwritten(&self) -> u32 {
        self.ahead.items() + self.ready_items
    }

    /// How many items may be leased and unwritten: as many as may be under way
    /// at once, and what goes out during four leases.
    pub fn enough(&self) -> u32 {
        let lead = self.pace.saturating_mul(4).min(MOST_AHEAD);
        self.at_once.saturating_add(lead)
    }

    /// Whether more may be leased, where so many items are leased and unwritten
    /// or are about to be.
    pub fn may_have(&self, planned: u32) -> bool {
        let has_room = match self.health.admits() {
            Admits::All => planned <= self.enough(),
            Admits::One => planned == 0,
            Admits::Nothing(_) => false,
        };
        has_room && !self.hold.is_on()
    }

    /// What its requests take of the limits.
    pub fn rate(&self) -> Rate {
        let config = &self.entry.config;
        Rate {
            cost: config.cost,
            request_items: self.entry.target.request_items().min(config.chunk_items),
        }
    }

    /// Whether so few are that more are wanted: of what is enough, half; the
    /// next lease is there long before those are gone. And always when the last
    /// chunk runs low, because nobody asks again after that.
    pub fn wants_more(&self, unwritten: u32) -> bool {
        unwritten <= (self.enough() / 2).max(self.few)
    }

    /// A lease begins.
    pub fn lease_begins(&mut self) {
        self.written_before = self.ahead.written();
    }

    /// It is there.
    pub fn lease_ends(&mut self) {
        let now = self.ahead.written();
        self.pace = if self.unwritten() == 0 {
            // More would have gone out, had there been more: not less than what
            // did since the last lease.
            let since = now.wrapping_sub(self.written_since);
            since.saturating_mul(2).min(MOST_AHEAD)
        } else {
            let during = now.wrapping_sub(self.written_before);
            during.max(self.pace - self.pace.div_ceil(4))
        };
        self.written_since = now;
    }

    /// A chunk was leased.
    pub fn keep(&mut self, leased: Leased) {
        self.ready_items += items(&leased);
        self.ready.push_back(leased);
    }

    /// The chunk that begins now, if one does; with a probe, only one item of it
    /// is sent before it is known whether the target is still down.
    pub fn next(&mut self) -> Option<(Leased, Option<Probe>)> {
        if self.ahead.items() > self.few || self.ready.is_empty() {
            return None;
        }
        let probe = match self.health.admits() {
            Admits::All => None,
            Admits::One => Some(self.health.probe()?),
            Admits::Nothing(_) => return None,
        };
        let leased = self.ready.pop_front()?;
        self.ready_items -= items(&leased);
        Some((leased, probe))
    }

    /// Takes out what has not begun of some batches.
    pub fn take(&mut self, which: impl Fn(BatchNo) -> bool) -> VecDeque<Leased> {
        let ready = std::mem::take(&mut self.ready);
        let (taken, kept) = ready.into_iter().partition(|leased| which(leased.no));
        self.ready = kept;
        self.ready_items = self.ready.iter().map(items).sum();
        taken
    }
}

/// How many items a chunk has that are to be sent.
pub(super) fn items(leased: &Leased) -> u32 {
    u32::try_from(leased.items.len()).unwrap_or(u32::MAX)
}
