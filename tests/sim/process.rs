//! A run, from its first process to its last: each is started as `app` does it,
//! and killed; what outlives it goes on with the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flowgate::config::{
    ConnectConfig, HttpConfig, QuotaConfig, Retention, TargetConfig, TargetKind,
};
use flowgate::core::breaker::BreakerPolicy;
use flowgate::feed::Feed;
use flowgate::intake::{Intake, Limits};
use flowgate::keeper::Keeper;
use flowgate::lane::{Lane, LaneSpec};
use flowgate::model::{Cost, Item, TargetName};
use flowgate::store::{SafeToRepeat, Store, StoreError};
use flowgate::target::{Catalog, Each, Entry};
use flowgate::time::wall_ms;
use flowgate::wake::Wake;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::bugs::Bug;
use crate::checker::{Fact, Nanos, Run};
use crate::clock::MS;
use crate::disk::Disk;
use crate::front::Front;
use crate::panics;
use crate::plan::{End, Plan};
use crate::sim::{Process, Sim, nanos};
use crate::target::{Scripted, deliver_orphans};

const KEPT: Retention = Retention {
    batches: Duration::from_hours(24),
    keys: Duration::from_hours(24),
};

/// How long everything may take to come to its end once the faults have
/// stopped: far longer than any patience.
const IN_THE_END: Duration = Duration::from_mins(30);

/// Runs a plan to its end.
pub fn run(seed: u64, plan: Plan, bug: Option<Bug>) -> Run {
    let sim = Sim::new(seed, plan, bug);
    let ends: Vec<_> = sim
        .plan
        .ends
        .iter()
        .map(|(end, down)| (*end, *down))
        .collect();
    let mut begins = 0;
    for (end, down) in ends {
        begins = one(&sim, Some(end), begins) + nanos(down);
    }
    one(&sim, None, begins);
    std::mem::take(&mut sim.state().run)
}

/// Runs a process; when it ended, in whole milliseconds.
fn one(sim: &Arc<Sim>, end: Option<End>, begins: Nanos) -> Nanos {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let process = Process::new(sim, end);
    let whole_life = async {
        sim.clock.begin(begins).await;
        let disk = Disk::of(&process);
        live(&process, &disk, end).await;
        process.kill("the end");
        disk.bury();
        sim.clock.now()
    };
    let (ended, panics) = panics::noted(|| {
        let ended = runtime.block_on(whole_life);
        // All its tasks are gone at once, wherever they were.
        drop(runtime);
        ended
    });
    for panic in panics {
        sim.state().run.saw(ended, Fact::Trouble(panic));
    }
    ended.div_ceil(MS) * MS
}

/// A process's life, until it ends by itself or dies.
async fn live(process: &Arc<Process>, disk: &Arc<Disk>, end: Option<End>) {
    tokio::select! {
        biased;
        () = process.died() => {}
        () = work(process, disk, end) => {}
    }
}

async fn work(process: &Arc<Process>, disk: &Arc<Disk>, end: Option<End>) {
    let sim = &process.sim;
    deliver_orphans(process);
    let store: Arc<dyn Store> = disk.clone();
    let catalog = catalog(process);
    let was_used = has_batches(sim).await;
    if store.rescue(safe(&catalog, sim), wall_ms()).await.is_err() {
        // It does not start, and is started again.
        return;
    }
    let wake = Wake::default();
    let intake_memory = match sim.has(Bug::IgnoresMemory) {
        true => 1 << 30,
        false => sim.plan.intake_memory,
    };
    let limits = Limits {
        intake_memory,
        open_timeout: sim.plan.open_timeout,
        ..Limits::default()
    };
    let intake = Intake::new(store.clone(), wake.clone(), catalog.clone(), limits);
    let drain = CancellationToken::new();
    let lanes = start_lanes(process, &store, &wake, &catalog, was_used, &drain).await;
    let front = Front {
        process: process.clone(),
        feed: Feed::new(store.clone(), wake),
        intake,
        store,
    };
    let keeper = Keeper::new(front.store.clone(), front.intake.clone(), KEPT);
    tokio::spawn(keeper.keep(drain.clone()));
    settle_late(process, disk);
    let watch_lanes = drive(process.clone(), lanes, drain.clone());
    tokio::select! {
        biased;
        () = watch_lanes => {}
        () = until(process, &front, end, &drain) => {}
    }
}

/// Everything that clients do, or until it is time.
async fn until(process: &Arc<Process>, front: &Front, end: Option<End>, drain: &CancellationToken) {
    let jobs = crate::client::all(front);
    match end {
        None => {
            process.sim.calm_after(process.sim.plan.calm_after);
            let patience = process.sim.plan.calm_after + IN_THE_END;
            // Whoever waits still is found by what it has not done. There are
            // also batches that nobody follows, because nobody was told of them.
            let all = async {
                jobs.await;
                while !crate::end::is_there(front).await {
                    sleep(Duration::from_millis(500)).await;
                }
            };
            let _ = timeout(patience, all).await;
            crate::end::look(front).await;
        }
        Some(End::Killed(after)) => drop(timeout(after, jobs).await),
        Some(End::KilledAt(..)) => drop(timeout(Duration::from_mins(10), jobs).await),
        Some(End::Drained(after)) => {
            let _ = timeout(after, jobs).await;
            drain.cancel();
            // The lanes end, and with them the process.
            sleep(Duration::from_secs(30)).await;
        }
    }
}

/// The lanes, until one fails or all have drained.
async fn drive(
    process: Arc<Process>,
    mut lanes: JoinSet<Result<(), StoreError>>,
    drain: CancellationToken,
) {
    while let Some(ended) = lanes.join_next().await {
        match ended {
            Ok(Ok(())) if drain.is_cancelled() => {}
            // Without it the process does not go on; the other lanes let go.
            Ok(Err(_)) => drain.cancel(),
            Ok(Ok(())) => process.saw(Fact::Trouble("a lane ended".to_owned())),
            Err(panic) => process.saw(Fact::Trouble(format!("a lane panicked: {panic}"))),
        }
    }
}

async fn start_lanes(
    process: &Arc<Process>,
    store: &Arc<dyn Store>,
    wake: &Wake,
    catalog: &Catalog,
    was_used: bool,
    drain: &CancellationToken,
) -> JoinSet<Result<(), StoreError>> {
    let mut quotas: BTreeMap<&str, Vec<Arc<Entry>>> = BTreeMap::new();
    for entry in catalog.all() {
        let targets = quotas.entry(&entry.quota.name).or_default();
        targets.push(entry.clone());
    }
    let mut lanes = JoinSet::new();
    for targets in quotas.into_values() {
        let restarted = was_used && !process.sim.has(Bug::ForgetsLimits);
        let spec = LaneSpec::read(&**store, targets, restarted, process.dice.seed()).await;
        let spec = spec.expect("what was spent");
        let lane = Lane::new(store.clone(), wake.clone(), spec);
        lanes.spawn(lane.drive(drain.clone()));
    }
    lanes
}

/// Whether an earlier process may have sent something.
async fn has_batches(sim: &Sim) -> bool {
    let mut has = false;
    for tenant in ["ada", "bob"] {
        let query = flowgate::store::ListQuery {
            tenant: flowgate::model::TenantId::new(tenant),
            target: None,
            states: Vec::new(),
            labels: BTreeMap::new(),
            before: None,
            max: 1,
        };
        has |= !sim.store.list(query).await.expect("the batches").is_empty();
    }
    has
}

fn safe(catalog: &Catalog, sim: &Sim) -> SafeToRepeat {
    let catalog = catalog.clone();
    let all = sim.has(Bug::RepeatsAll);
    Arc::new(move |target: &TargetName, item: &Item, since| {
        let entry = catalog.get(target);
        all || entry.is_some_and(|entry| since < entry.target.repeatable_for(item))
    })
}

/// What an earlier process settles when it is long taken for dead.
fn settle_late(process: &Arc<Process>, disk: &Arc<Disk>) {
    let late = std::mem::take(&mut process.sim.state().late);
    for part in late {
        let after = process.dice.ms(0..=400);
        let (process, disk) = (process.clone(), disk.clone());
        tokio::spawn(async move {
            process.sleep(after).await;
            disk.settle_late(part);
        });
    }
}

fn catalog(process: &Arc<Process>) -> Catalog {
    let plan = &process.sim.plan;
    let entries = plan.targets.iter().enumerate().map(|(number, target)| {
        let quota = &plan.quotas[target.quota];
        let mut limits = quota.limits.clone();
        if process.sim.has(Bug::TwiceTheLimit) {
            for limit in &mut limits {
                limit.count *= 2;
            }
        }
        Entry {
            config: TargetConfig {
                name: TargetName::new(&target.name),
                quota: quota.name.clone(),
                chunk_items: target.chunk_items,
                concurrency: target.concurrency,
                cost: Cost::ITEM,
                breaker: BreakerPolicy {
                    // Each in its own way; one never counts as down.
                    failures: [10, 2, 0][number % 3],
                    pause: Duration::from_millis(200),
                    max_pause: Duration::from_secs(5),
                },
                retry: target.retry,
                schema: None,
                kind: TargetKind::Http(Box::new(unused())),
            },
            quota: QuotaConfig {
                name: quota.name.clone(),
                limits,
                pace: quota.pace,
                transit: quota.transit,
            },
            target: Arc::new(Each::new(Scripted {
                process: process.clone(),
                number,
            })),
        }
    });
    Catalog::new(entries)
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
        repeatable: false,
        key_window: Duration::from_hours(24),
        idempotent_methods: true,
        timeout: Duration::from_secs(30),
        reply_limit: 65_536,
        busy_503: true,
        max_retry_after: Duration::from_mins(10),
    }
}
