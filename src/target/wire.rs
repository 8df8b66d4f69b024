//! A chunk's way out and back: permits one way, replies the other.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::limiter::{self, Gate};
use crate::model::{Cost, Reply};

/// How many items of one target are leased and neither written nor given up;
/// a lane leases more when that has fallen to its low-water mark.
pub struct Ahead {
    items: AtomicU32,
    written: AtomicU32,
    low_water: u32,
    low: Arc<Notify>,
}

impl Ahead {
    /// None yet; `low` is notified whenever the count falls to `low_water`.
    pub fn new(low_water: u32, low: Arc<Notify>) -> Arc<Ahead> {
        Arc::new(Ahead {
            items: AtomicU32::new(0),
            written: AtomicU32::new(0),
            low_water,
            low,
        })
    }

    /// How many there are.
    pub fn items(&self) -> u32 {
        self.items.load(Relaxed)
    }

    /// How many were written so far; it starts anew after the largest number.
    pub fn written(&self) -> u32 {
        self.written.load(Relaxed)
    }

    fn more(&self, items: u32) {
        self.items.fetch_add(items, Relaxed);
    }

    fn less(&self, items: u32) {
        let before = self.items.fetch_sub(items, Relaxed);
        if before > self.low_water && before - items <= self.low_water {
            self.low.notify_one();
        }
    }
}

/// Makes a wire for a chunk of `items` items to the target that the gate knows
/// by `slot`, whose requests cost `cost`. Cancelling `stop` refuses further
/// permits.
pub fn wire(
    gate: Gate,
    slot: usize,
    cost: Cost,
    items: u32,
    ahead: Arc<Ahead>,
    stop: CancellationToken,
) -> (Wire, Incoming) {
    // Unbounded because a chunk bounds it: one reply an item.
    let (sender, replies) = mpsc::unbounded_channel();
    ahead.more(items);
    let marks = Arc::new(Marks {
        leave: (0..items).map(|_| AtomicU8::new(NONE)).collect(),
        written: (0..items).map(|_| AtomicBool::new(false)).collect(),
        unwritten: AtomicU32::new(items),
        units: AtomicI64::new(0),
        ahead,
    });
    let wire = Wire {
        gate,
        slot,
        cost,
        stop,
        marks: marks.clone(),
        replies: sender,
    };
    (wire, Incoming { marks, replies })
}

/// What a target sends a chunk by. Items are counted as in the chunk.
pub struct Wire {
    gate: Gate,
    slot: usize,
    cost: Cost,
    stop: CancellationToken,
    marks: Arc<Marks>,
    replies: mpsc::UnboundedSender<(u32, Reply)>,
}

/// No further permit is given: what is not written goes back to the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

impl Wire {
    /// Waits for leave to write one request that carries these items. Permits
    /// are given in the order in which they were asked for, over all chunks.
    ///
    /// # Errors
    ///
    /// [`Stop`] when the lane wants back what is not written.
    pub async fn permit(&self, items: Range<u32>) -> Result<Permit, Stop> {
        let cost = self.cost.of(items.end - items.start);
        let inner = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Stop),
            permit = self.gate.permit(self.slot, cost) => permit,
        };
        if !self.marks.give_leave(&items) {
            return Err(Stop);
        }
        Ok(Permit {
            inner,
            items,
            units: i64::from(cost),
            marks: self.marks.clone(),
        })
    }

    /// Whether an item's request was written, at least in part.
    pub fn written(&self, index: u32) -> bool {
        self.marks.is_written(index)
    }

    /// Says what the target said of an item. The first reply counts.
    pub fn reply(&self, index: u32, reply: Reply) {
        // The lane has gone only when nobody wants to know any more.
        let _ = self.replies.send((index, reply));
    }
}

/// Leave to write one request now, for some items of a chunk. Dropped
/// unwritten, it is given back whole.
pub struct Permit {
    inner: limiter::Permit,
    items: Range<u32>,
    units: i64,
    marks: Arc<Marks>,
}

impl Permit {
    /// The connection is ready and the first byte is next. From here on, no
    /// reply means that nobody knows.
    pub fn written(&mut self) {
        self.inner.written();
        self.marks.units.fetch_add(self.units, Relaxed);
        self.marks.set(&self.items, true);
    }

    /// It is proven that nothing was written after all, e.g. because the
    /// connection turned out to be closed. Whether the permit can be used again:
    /// not where the proof came so late that its place may be another's.
    #[must_use = "without a permit, nothing may be written"]
    pub fn unwritten(&mut self) -> bool {
        self.marks.units.fetch_sub(self.units, Relaxed);
        self.marks.set(&self.items, false);
        self.inner.unwritten()
    }

    /// The answer has begun to arrive, so the target has seen the request. Where
    /// it asks for a pause, no other request is written before that is over.
    pub fn answered(&mut self, hints: Hints) {
        if let Some(pause) = hints.retry_after {
            self.inner.hold(pause);
        }
        self.inner.answered();
    }

    /// The answer proves that the target did nothing of the request, and has not
    /// decided about its items: they may be sent again in other requests, or go
    /// back to the queue. What the request took of the limits stays taken.
    pub fn undone(self) {
        self.marks.set(&self.items, false);
    }
}

/// What an answer says besides of its items: what adapts to the target's word
/// is told here, at the first byte of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The target asks to be left alone for so long.
    pub retry_after: Option<Duration>,
}

/// What comes back from a chunk, for its lane.
pub struct Incoming {
    marks: Arc<Marks>,
    replies: mpsc::UnboundedReceiver<(u32, Reply)>,
}

impl Incoming {
    /// The next reply; `None` once the wire is gone and all are read. Safe to
    /// cancel.
    pub async fn next(&mut self) -> Option<(u32, Reply)> {
        self.replies.recv().await
    }

    /// Whether an item's request was written, at least in part.
    pub fn written(&self, index: u32) -> bool {
        self.marks.is_written(index)
    }

    /// The units of the limits that were written since the last call.
    pub fn take_units(&self) -> i64 {
        self.marks.units.swap(0, Relaxed)
    }

    /// Takes back the items that have no permit yet: they will get none.
    pub fn take_back(&self) -> Vec<u32> {
        let items = (0..).zip(&self.marks.leave);
        let taken = items.filter(|(_, leave)| {
            let taken = leave.compare_exchange(NONE, TAKEN_BACK, Relaxed, Relaxed);
            taken.is_ok()
        });
        taken.map(|(index, _)| index).collect()
    }
}

/// An item has no permit yet; it has had one; it will get none.
const NONE: u8 = 0;
const GIVEN: u8 = 1;
const TAKEN_BACK: u8 = 2;

/// Which items of a chunk are written. Relaxed throughout: what is read after
/// the wire is gone is ordered by the channel, what is read before is a hint.
struct Marks {
    /// Of each item whether it may be written: one word says so to both sides.
    leave: Box<[AtomicU8]>,
    written: Box<[AtomicBool]>,
    unwritten: AtomicU32,
    /// What was written and not yet asked for, in units of the limits.
    units: AtomicI64,
    ahead: Arc<Ahead>,
}

impl Marks {
    /// Whether all of these items may be written.
    fn give_leave(&self, items: &Range<u32>) -> bool {
        items.clone().all(|index| {
            let leave = &self.leave[index as usize];
            leave.compare_exchange(NONE, GIVEN, Relaxed, Relaxed) != Err(TAKEN_BACK)
        })
    }

    fn is_written(&self, index: u32) -> bool {
        self.written[index as usize].load(Relaxed)
    }

    fn set(&self, items: &Range<u32>, written: bool) {
        for index in items.clone() {
            if self.written[index as usize].swap(written, Relaxed) == written {
                continue;
            }
            if written {
                self.unwritten.fetch_sub(1, Relaxed);
                self.ahead.written.fetch_add(1, Relaxed);
                self.ahead.less(1);
            } else {
                self.unwritten.fetch_add(1, Relaxed);
                self.ahead.more(1);
            }
        }
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        self.ahead.less(*self.unwritten.get_mut());
    }
}
