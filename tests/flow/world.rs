//! The whole way of an item, from intake to feed, in one process under paused
//! time: the memory store, real lanes, and a target that does as it is told and
//! keeps a ledger.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flowgate::config::{
    ConnectConfig, HttpConfig, QuotaConfig, Retention, TargetConfig, TargetKind,
};
use flowgate::core::breaker::BreakerPolicy;
use flowgate::core::classify::RetryPolicy;
use flowgate::feed::Feed;
use flowgate::intake::{Draft, Intake, Limits};
use flowgate::keeper::Keeper;
use flowgate::lane::{Lane, LaneSpec};
use flowgate::model::{
    Answer, Batch, BatchSpec, Cause, Cost, Event, EventKind, Form, Item, ItemResult, LaneStatus,
    Operation, Pace, Payload, Refusal, Reply, TargetName, TenantId,
};
use flowgate::observe::Gauge;
use flowgate::store::{Change, MemoryStore, Store, StoreError};
use flowgate::target::{Bulk, Catalog, Each, Entry, Key, Permit, Single, Target};
use flowgate::time::wall_ms;
use flowgate::wake::Wake;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::many::{ScriptedMany, Together};

/// What the target does with a request.
pub enum Act {
    /// Answers after a while.
    Reply(Duration, Reply),
    /// Takes the request and panics.
    Panic,
}

/// A request as the target saw it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub at: Instant,
    pub target: &'static str,
    pub index: u32,
    pub key: String,
}

/// All requests, in the order in which the targets saw them.
pub type Ledger = Arc<Mutex<Vec<Sent>>>;

/// What a target does with an item; the number counts the sends of that item
/// before this one.
pub type Script = Arc<dyn Fn(&Item, usize) -> Act + Send + Sync>;

struct Scripted {
    name: &'static str,
    script: Script,
    ledger: Ledger,
    cut: CancellationToken,
    safe: bool,
    key_window: Duration,
    keys: bool,
}

impl Single for Scripted {
    fn admit(&self, _item: &Item) -> Result<(), Refusal> {
        Ok(())
    }

    fn operation(&self) -> String {
        "POST /".to_owned()
    }

    fn repeatable_for(&self, _item: &Item) -> Duration {
        match self.safe {
            true => self.key_window,
            false => Duration::ZERO,
        }
    }

    fn honours_keys(&self) -> bool {
        self.keys
    }

    fn call<'a>(
        &'a self,
        item: &'a Item,
        key: Key<'a>,
        mut permit: Permit,
    ) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            if self.cut.is_cancelled() {
                return std::future::pending().await;
            }
            permit.written();
            let before = {
                let mut ledger = self.ledger.lock().expect("the ledger");
                let before = ledger
                    .iter()
                    .filter(|sent| sent.key == key.to_string())
                    .count();
                ledger.push(Sent {
                    at: Instant::now(),
                    target: self.name,
                    index: item.index,
                    key: key.to_string(),
                });
                before
            };
            match (self.script)(item, before) {
                Act::Reply(after, reply) => {
                    tokio::time::sleep(after).await;
                    permit.answered(flowgate::target::Hints::default());
                    reply
                }
                Act::Panic => panic!("as scripted"),
            }
        })
    }
}

/// How a target of the world is.
pub struct TargetSpec {
    pub name: &'static str,
    pub script: Script,
    pub chunk_items: u32,
    pub concurrency: u32,
    /// Sending again does no harm, for so long.
    pub safe: bool,
    pub key_window: Duration,
    /// Knows what it was sent before by its key.
    pub keys: bool,
    pub retry: RetryPolicy,
    pub breaker: BreakerPolicy,
    pub cost: Cost,
    /// It takes many items a request.
    pub together: Option<Together>,
}

impl TargetSpec {
    /// Answers with success after 5 ms; chunks of 50.
    pub fn named(name: &'static str) -> TargetSpec {
        TargetSpec {
            name,
            script: Arc::new(|_, _| done(5)),
            chunk_items: 50,
            concurrency: 50,
            safe: false,
            key_window: Duration::from_hours(24),
            keys: false,
            retry: RetryPolicy {
                attempts: 3,
                base: Duration::from_millis(100),
                max: Duration::from_secs(10),
                patience: Duration::from_mins(10),
            },
            breaker: BreakerPolicy::default(),
            cost: Cost::ITEM,
            together: None,
        }
    }

    pub fn doing(mut self, script: impl Fn(&Item, usize) -> Act + Send + Sync + 'static) -> Self {
        self.script = Arc::new(script);
        self
    }
}

/// Success after so many milliseconds.
pub fn done(ms: u64) -> Act {
    let answer = Answer {
        status: 201,
        ..Answer::default()
    };
    Act::Reply(Duration::from_millis(ms), Reply::Ok(answer))
}

/// A cause with this reason.
pub fn cause(reason: &str) -> Box<Cause> {
    Box::new(Cause {
        reason: reason.to_owned(),
        message: format!("as scripted: {reason}"),
        ..Cause::default()
    })
}

/// A running world.
pub struct World {
    pub store: Arc<dyn Store>,
    pub intake: Intake,
    pub feed: Feed,
    pub ledger: Ledger,
    pub gauges: BTreeMap<TargetName, Gauge>,
    wake: Wake,
    catalog: Catalog,
    drain: CancellationToken,
    lane: JoinHandle<Result<(), StoreError>>,
    cut: CancellationToken,
}

/// The targets of a world, and what they saw.
struct Stage {
    catalog: Catalog,
    ledger: Ledger,
    /// Cancelled, nothing reaches them any more.
    cut: CancellationToken,
    /// To all of them, sending again does no harm.
    is_safe: bool,
}

impl Stage {
    fn set(limits: &[&str], targets: Vec<TargetSpec>) -> Stage {
        let (ledger, cut) = (Ledger::default(), CancellationToken::new());
        let quota = QuotaConfig {
            name: "quota".to_owned(),
            limits: limits.iter().map(|l| l.parse().expect("a limit")).collect(),
            pace: Pace::Window,
            transit: Duration::from_millis(50),
        };
        let is_safe = targets.iter().all(|target| target.safe);
        let entry = |target| entry(target, &quota, &ledger, &cut);
        Stage {
            catalog: Catalog::new(targets.into_iter().map(entry)),
            ledger,
            cut,
            is_safe,
        }
    }
}

impl World {
    /// One quota with these limits, and these targets that draw on it.
    pub fn start(limits: &[&str], targets: Vec<TargetSpec>) -> World {
        World::on(Arc::new(MemoryStore::new()), limits, targets)
    }

    /// The same on a store that may hold something already.
    pub fn on(store: Arc<dyn Store>, limits: &[&str], targets: Vec<TargetSpec>) -> World {
        let stage = Stage::set(limits, targets);
        let spec = LaneSpec {
            targets: stage.catalog.all().cloned().collect(),
            hold_until: None,
            charged: false,
            spent: Vec::new(),
            seed: 7,
        };
        World::with(store, stage, spec)
    }

    /// The same, begun as a server begins on what another one has left.
    pub async fn after(store: Arc<dyn Store>, limits: &[&str], targets: Vec<TargetSpec>) -> World {
        let stage = Stage::set(limits, targets);
        let safe = stage.is_safe;
        let rescued = store.rescue(Arc::new(move |_, _, _| safe), now()).await;
        rescued.expect("the store");
        let targets = stage.catalog.all().cloned().collect();
        let spec = LaneSpec::read(&*store, targets, true, 7).await;
        World::with(store, stage, spec.expect("the store"))
    }

    fn with(store: Arc<dyn Store>, stage: Stage, spec: LaneSpec) -> World {
        let (catalog, ledger, cut) = (stage.catalog, stage.ledger, stage.cut);
        let wake = Wake::default();
        let lane = Lane::new(store.clone(), wake.clone(), spec);
        let gauges = lane.gauges().into_iter().collect();
        let drain = CancellationToken::new();
        let intake = Intake::new(
            store.clone(),
            wake.clone(),
            catalog.clone(),
            limits_of_tests(),
        );
        let keeper = Keeper::new(store.clone(), intake.clone(), KEPT);
        tokio::spawn(keeper.keep(drain.clone()));
        World {
            intake,
            feed: Feed::new(store.clone(), wake.clone()),
            wake,
            catalog,
            lane: tokio::spawn(lane.drive(drain.clone())),
            store,
            ledger,
            gauges,
            drain,
            cut,
        }
    }

    /// Another way in, with so much memory for what is on its way to the disk.
    pub fn intake_with_memory(&self, bytes: usize) -> Intake {
        let limits = Limits {
            intake_memory: bytes,
            ..limits_of_tests()
        };
        let (store, wake) = (self.store.clone(), self.wake.clone());
        Intake::new(store, wake, self.catalog.clone(), limits)
    }

    /// Submits so many items as one batch.
    pub async fn submit(&self, target: &str, count: u32) -> Batch {
        let drafts = (0..count).map(draft).collect();
        let submitted = self
            .intake
            .submit(TenantId::default(), spec(target), drafts, 0)
            .await;
        submitted.expect("a batch")
    }

    /// Submits items as one batch.
    pub async fn submit_as(&self, spec: BatchSpec, drafts: Vec<Draft>) -> Batch {
        let tenant = TenantId::default();
        let submitted = self.intake.submit(tenant, spec, drafts, 0).await;
        submitted.expect("a batch")
    }

    /// Has something happen to a batch.
    pub async fn change(&self, batch: &Batch, change: Change) -> Batch {
        self.intake.change(batch, change).await.expect("a change")
    }

    /// Waits until the targets saw so many requests.
    pub async fn has_sent(&self, count: usize) {
        while self.sent().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Follows a batch to its end.
    pub async fn events(&self, batch: &Batch) -> Vec<Event> {
        let mut follower = self.feed.follow(batch, 0);
        let mut events = Vec::new();
        while let Some(event) = follower.next().await.expect("an event") {
            events.push(event);
        }
        events
    }

    /// A batch as it stands.
    pub async fn read(&self, batch: &Batch) -> Batch {
        let found = self.store.batch(batch.tenant.clone(), batch.id).await;
        found.expect("the store").expect("the batch")
    }

    /// What the targets saw so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.ledger.lock().expect("the ledger").clone()
    }

    /// How a target is doing.
    pub fn status(&self, target: &str) -> LaneStatus {
        self.gauges[&TargetName::new(target)]()
    }

    /// Ends it there and then, with whatever is under way; what its targets
    /// saw.
    pub async fn kill(self) -> Vec<Sent> {
        // Senders are tasks of their own, and outlive the lane.
        self.cut.cancel();
        self.lane.abort();
        self.drain.cancel();
        assert!(self.lane.await.is_err_and(|end| end.is_cancelled()));
        self.ledger.lock().expect("the ledger").clone()
    }

    /// The lane goes from one moment to the next, and records nothing more.
    pub fn crash(self) {
        self.lane.abort();
        self.drain.cancel();
    }

    /// Drains the lane.
    pub async fn stop(self) {
        self.drain.cancel();
        self.lane.await.expect("no panic").expect("no trouble");
    }
}

/// How long what is done is kept.
pub const KEPT: Retention = Retention {
    batches: Duration::from_hours(48),
    keys: Duration::from_hours(24),
};

/// The contract's, but for unary submissions: large batches in one go.
fn limits_of_tests() -> Limits {
    Limits {
        unary_items: 100_000,
        ..Limits::default()
    }
}

fn entry(
    target: TargetSpec,
    quota: &QuotaConfig,
    ledger: &Ledger,
    cut: &CancellationToken,
) -> Entry {
    let together = target.together.map(|together| -> Arc<dyn Target> {
        Arc::new(Bulk::new(ScriptedMany {
            together,
            safe: target.safe,
        }))
    });
    let scripted = Scripted {
        name: target.name,
        script: target.script,
        ledger: ledger.clone(),
        cut: cut.clone(),
        safe: target.safe,
        key_window: target.key_window,
        keys: target.keys,
    };
    Entry {
        config: TargetConfig {
            name: TargetName::new(target.name),
            quota: quota.name.clone(),
            chunk_items: target.chunk_items,
            concurrency: target.concurrency,
            cost: target.cost,
            breaker: target.breaker,
            retry: target.retry,
            schema: None,
            kind: TargetKind::Http(Box::new(unused())),
        },
        quota: quota.clone(),
        target: together.unwrap_or_else(|| Arc::new(Each::new(scripted))),
    }
}

/// The scripted target needs no configuration; an entry has one.
fn unused() -> HttpConfig {
    HttpConfig {
        connect: ConnectConfig::to("http://127.0.0.1".parse().expect("an address")),
        method: http::Method::POST,
        path: "/".to_owned(),
        actions: BTreeMap::new(),
        allow_calls: false,
        allow_headers: Vec::new(),
        headers: Vec::new(),
        idempotency_header: None,
        key_window: Duration::from_hours(24),
        repeatable: false,
        idempotent_methods: true,
        timeout: Duration::from_secs(30),
        reply_limit: 65_536,
        busy_503: true,
        max_retry_after: Duration::from_mins(10),
    }
}

pub fn spec(target: &str) -> BatchSpec {
    BatchSpec::new(TargetName::new(target))
}

pub fn draft(number: u32) -> Draft {
    Draft {
        item: Item {
            index: 0,
            id: None,
            key: None,
            payload: Some(Payload {
                form: Form::JsonText,
                content_type: None,
                body: format!("{{\"n\":{number}}}").into(),
            }),
            operation: Operation::Target,
        },
        bytes: 16,
        fault: None,
    }
}

/// The results of a log, in the order in which they were recorded.
pub fn results(events: &[Event]) -> Vec<ItemResult> {
    let results = events.iter().filter_map(|event| match &event.kind {
        EventKind::Results(results) => Some(results.clone()),
        _ => None,
    });
    results.flatten().collect()
}

/// The most requests in any window of that length.
pub fn most_in_any(window: Duration, sent: &[Sent]) -> usize {
    (0..sent.len())
        .map(|from| {
            let end = sent[from].at + window;
            sent[from..].iter().take_while(|s| s.at < end).count()
        })
        .max()
        .unwrap_or(0)
}

/// The time now, for verbs of the store.
pub fn now() -> i64 {
    wall_ms()
}
