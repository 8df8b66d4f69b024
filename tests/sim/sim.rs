//! What a run is made of: what outlives every process, and the one process that
//! runs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flowgate::model::BatchNo;
use flowgate::store::{MemoryStore, Settle};
use tokio::sync::Notify;

use crate::bugs::Bug;
use crate::checker::{self, Fact, Nanos, Run};
use crate::client::{Job, Operator};
use crate::clock::Clock;
use crate::dice::Dice;
use crate::plan::{End, Plan, Point};
use crate::target::{Record, Request};

/// What outlives every process.
pub struct Sim {
    pub plan: Plan,
    pub bug: Option<Bug>,
    pub dice: Dice,
    pub clock: Clock,
    /// What is on the disk.
    pub store: Arc<MemoryStore>,
    pub jobs: Vec<Job>,
    pub operators: Vec<Operator>,
    /// From then on, targets do not fail any more.
    calm_at: AtomicU64,
    readers: AtomicU32,
    state: Mutex<State>,
}

/// A lease, as far as a settle has to know it.
pub struct LeasedChunk {
    pub epoch: u32,
    /// By position.
    pub tags: BTreeMap<u32, String>,
}

/// What outlives every process, and changes.
#[derive(Default)]
pub struct State {
    pub run: Run,
    /// Requests between a process and a target, by number: written, and not
    /// there yet.
    pub on_the_way: BTreeMap<u64, Request>,
    pub requests: u64,
    /// What targets that know keys have on record, by target and key.
    pub records: HashMap<(String, String), Record>,
    /// The last lease of each chunk.
    pub chunks: HashMap<i64, LeasedChunk>,
    /// What a process that is taken for dead may still write.
    pub late: Vec<Settle>,
    /// The most bytes that were on their way to the disk, and the largest
    /// message.
    pub most_pending: usize,
    pub largest_message: usize,
    /// How far the logs are noted whose outcomes are to be seen as they come.
    pub noted: BTreeMap<BatchNo, u64>,
    /// What a bug has to remember.
    pub marked: HashSet<String>,
}

impl Sim {
    pub fn new(seed: u64, plan: Plan, bug: Option<Bug>) -> Arc<Sim> {
        let mut run = Run::default();
        run.quotas.extend(plan.quotas.iter().map(|quota| {
            let limits = quota.limits.iter().map(|limit| checker::Limit {
                count: limit.count,
                per: nanos(limit.per),
            });
            checker::Quota {
                name: quota.name.clone(),
                limits: limits.collect(),
            }
        }));
        run.targets
            .extend(plan.targets.iter().map(|target| checker::Target {
                name: target.name.clone(),
                quota: plan.quotas[target.quota].name.clone(),
            }));
        Arc::new(Sim {
            bug,
            dice: Dice::new(seed ^ 0x5eed),
            clock: Clock::new(),
            store: Arc::new(MemoryStore::new()),
            jobs: (0..plan.jobs.len()).map(|_| Job::default()).collect(),
            operators: (0..plan.holds.len()).map(|_| Operator::default()).collect(),
            calm_at: AtomicU64::new(Nanos::MAX),
            readers: AtomicU32::new(1),
            state: Mutex::new(State {
                run,
                ..State::default()
            }),
            plan,
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the state of the run")
    }

    pub fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The faults of targets stop so long from now.
    pub fn calm_after(&self, after: Duration) {
        self.calm_at.store(self.clock.now() + nanos(after), Relaxed);
    }

    pub fn is_calm(&self) -> bool {
        self.clock.now() >= self.calm_at.load(Relaxed)
    }

    /// A number for a reading.
    pub fn reader(&self) -> u32 {
        self.readers.fetch_add(1, Relaxed)
    }
}

/// A process, from its start to its end. Once it is dead, nothing that it does
/// reaches anybody: whatever would waits for ever, until its runtime is
/// dropped.
pub struct Process {
    pub sim: Arc<Sim>,
    pub dice: Dice,
    pub is_last: bool,
    is_dead: AtomicBool,
    died: Notify,
    /// Where it dies, and how often it gets there before.
    fuse: Mutex<Option<(Point, u32)>>,
}

impl Process {
    pub fn new(sim: &Arc<Sim>, end: Option<End>) -> Arc<Process> {
        let fuse = match end {
            Some(End::KilledAt(point, times)) => Some((point, times)),
            _ => None,
        };
        Arc::new(Process {
            dice: sim.dice.fork(),
            sim: sim.clone(),
            is_last: end.is_none(),
            is_dead: AtomicBool::new(false),
            died: Notify::new(),
            fuse: Mutex::new(fuse),
        })
    }

    pub fn saw(&self, what: Fact) {
        let at = self.sim.clock.now();
        self.sim.state().run.saw(at, what);
    }

    /// Kills it, now.
    pub fn kill(&self, why: &str) {
        if !self.is_dead.swap(true, Relaxed) {
            self.saw(Fact::Stopped(why.to_owned()));
            self.died.notify_one();
        }
    }

    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// Goes on only in a process that is alive. What reaches anybody outside
    /// has to come by here first.
    pub async fn alive(&self) {
        if self.is_dead.load(Relaxed) {
            pending::<()>().await;
        }
    }

    /// A point where it may die.
    pub async fn at(&self, point: Point) {
        self.alive().await;
        let burns = match &mut *self.fuse.lock().expect("the fuse") {
            Some((place, times)) if *place == point => {
                *times = times.saturating_sub(1);
                *times == 0
            }
            _ => false,
        };
        if burns {
            self.kill(&format!("at {point:?}"));
            pending::<()>().await;
        }
    }

    pub async fn sleep(&self, how_long: Duration) {
        if !how_long.is_zero() {
            tokio::time::sleep(how_long).await;
        }
        self.alive().await;
    }
}

pub fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).expect("no run is that long")
}
