//! A random world: what there is, who submits what, and what goes wrong.

mod random;

use std::time::Duration;

use flowgate::core::classify::RetryPolicy;
use flowgate::model::{Echo, Limit, Pace, Validation};

pub struct Plan {
    pub quotas: Vec<QuotaPlan>,
    pub targets: Vec<TargetPlan>,
    pub jobs: Vec<JobPlan>,
    pub holds: Vec<HoldPlan>,
    pub disk: DiskPlan,
    pub intake_memory: usize,
    /// How long a batch stays open without a stream that fills it.
    pub open_timeout: Duration,
    /// How each process but the last ends, and how long there is none then.
    pub ends: Vec<(End, Duration)>,
    /// How long the targets go on failing in the last process.
    pub calm_after: Duration,
}

pub struct QuotaPlan {
    pub name: String,
    pub limits: Vec<Limit>,
    pub pace: Pace,
    pub transit: Duration,
}

pub struct TargetPlan {
    pub name: String,
    /// Its place among the quotas.
    pub quota: usize,
    pub chunk_items: u32,
    pub concurrency: u32,
    pub retry: RetryPolicy,
    pub safety: Safety,
    /// How long the target knows a key.
    pub key_window: Duration,
    pub faults: Faults,
    /// How long it takes to answer, in milliseconds.
    pub answers: (u64, u64),
}

/// Why sending an item again does no harm, if it does none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// It does.
    None,
    /// The target knows an item by its key.
    Keys,
    /// Whatever is done twice is as if it were done once.
    Repeatable,
    /// As it is with methods: some are, some are not.
    SomeItems,
}

/// How often a request fails so, in a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub refused: u32,
    pub busy: u32,
    pub fault: u32,
    pub unsent: u32,
    pub torn: u32,
    pub panics: u32,
    pub slow: u32,
}

pub struct DiskPlan {
    /// How long a commit takes, in milliseconds.
    pub commit: (u64, u64),
    /// How often its answers come late, in a thousand.
    pub late_answers: u32,
    /// How often reads are slow.
    pub slow_reads: u32,
    /// How often there is no room for new work.
    pub full: u32,
    /// How often a commit fails with nothing done.
    pub fails_before: u32,
    /// How often a commit is done, and its answer lost: the store is closed
    /// then.
    pub fails_after: u32,
}

/// How a process ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Killed so long after its start.
    Killed(Duration),
    /// Killed exactly when it comes to this point for the n-th time; or in the
    /// end, if it does not.
    KilledAt(Point, u32),
    /// Told to end so long after its start.
    Drained(Duration),
}

/// The points between two steps at which a process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// What is pending is about to be committed.
    BeforeCommit,
    /// It is committed, and nobody was told.
    Committed,
    /// Everybody was told, and nobody has done anything about it.
    Answered,
    /// A request is about to be written.
    BeforeWrite,
    /// It was written, and may arrive.
    Written,
    /// It arrived, and the target has done what it does.
    Arrived,
    /// The answer is there, and nobody has looked at it.
    Replied,
}

pub struct JobPlan {
    pub name: String,
    pub tenant: String,
    /// Its place among the targets.
    pub target: usize,
    pub request_id: Option<String>,
    pub items: Vec<ItemPlan>,
    pub validation: Validation,
    pub echo: Echo,
    pub begins: Duration,
    pub how: How,
    /// Another job uses the same `request_id` for other items.
    pub contested: bool,
    /// How long after its id is known it is cancelled, if it is.
    pub cancel: Option<Duration>,
    /// How often a call or a reading breaks off, in a thousand.
    pub breaks: u32,
    /// Each item only after the outcome of the one before.
    pub strict: bool,
    /// From the beginning of the run.
    pub deadline: Option<Duration>,
    /// So many failures stop it; 0 for none.
    pub stops_after: u32,
    /// Such a share of them does.
    pub stops_at_share: f64,
    /// How long after its id is known it is paused, and for how long.
    pub pause: Option<(Duration, Duration)>,
    /// What fails for no fault of its own is submitted again.
    pub retries: bool,
    /// Readings besides its own, from any cursor.
    pub watches: u32,
    pub dice: u64,
}

pub enum How {
    /// As one message, so many times at once.
    Unary { twins: u32 },
    /// Piece by piece; so many items a frame at most.
    Stream { frame: u32, offsets: bool },
}

/// Somebody holds a target for a while.
pub struct HoldPlan {
    /// Its place among the targets.
    pub target: usize,
    pub begins: Duration,
    pub lasts: Duration,
}

#[derive(Clone)]
pub struct ItemPlan {
    pub tag: String,
    pub id: Option<String>,
    pub key: Option<String>,
    pub bad: Option<Bad>,
    pub safe: bool,
    /// Another batch has it too, or another item with its key.
    pub is_shared: bool,
    /// Bytes of filling.
    pub size: usize,
}

/// What is wrong with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// It could not even be read.
    Unreadable,
    /// Its payload is not JSON.
    NotJson,
    /// Its id has a line break in it.
    Id,
    /// The target does not take such an item.
    NotAdmitted,
    /// The target refuses it each time.
    Refused,
}

impl Plan {
    /// The same without anything that goes wrong, so that what becomes of an
    /// item is decided by the item.
    pub fn in_peace(mut self) -> Plan {
        for target in &mut self.targets {
            target.faults = Faults::default();
        }
        for job in &mut self.jobs {
            job.cancel = None;
            job.breaks = 0;
            job.pause = None;
            job.deadline = None;
            job.stops_after = 0;
            job.stops_at_share = 0.0;
            job.retries = false;
            for item in job.items.iter_mut().filter(|item| item.is_shared) {
                item.key = None;
            }
            job.validation = Validation::Item;
        }
        self.jobs.retain(|job| !job.contested);
        self.holds.clear();
        self.disk.full = 0;
        self.disk.fails_before = 0;
        self.disk.fails_after = 0;
        self.ends.clear();
        self
    }

    /// The same without the items that are bad; batches of nothing else are
    /// left out.
    pub fn without_bad_items(mut self) -> Plan {
        for job in &mut self.jobs {
            job.items.retain(|item| item.bad.is_none());
        }
        self.jobs.retain(|job| !job.items.is_empty());
        self
    }
}
