//! Wires the rooms: the only start order and the only drain order.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, StoreConfig, TargetKind};
use crate::feed::Feed;
use crate::intake::{Intake, Limits};
use crate::keeper::Keeper;
use crate::lane::{Lane, LaneSpec};
use crate::model::TargetName;
use crate::observe::Board;
use crate::rpc::{self, Rooms, ServeSpec};
use crate::store::{Bounds, MemoryStore, SafeToRepeat, SqliteStore, Store, StoreError};
use crate::target::{Bulk, Catalog, Each, Entry, Grpc, Http, HttpBatch, Postgres, Target};
use crate::time::wall_ms;
use crate::wake::Wake;

/// What is kept of a drain for its end, in which connections take their leave
/// and the store writes what it has; a quarter of a drain that is short.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A running server.
pub struct Server {
    address: SocketAddr,
    store: OpenStore,
    /// Cancelled first: no new work, streams end, lanes let go.
    drain: CancellationToken,
    /// Cancelled next: no more connections.
    closed: CancellationToken,
    listener: JoinHandle<anyhow::Result<()>>,
    lanes: JoinSet<Result<(), StoreError>>,
    patience: Duration,
}

impl Server {
    /// Starts everything that a configuration says; it serves when this
    /// returns.
    ///
    /// # Errors
    ///
    /// When the store cannot be opened, or the address not be bound; each says
    /// what to do.
    pub async fn start(config: Config) -> anyhow::Result<Server> {
        let drain = CancellationToken::new();
        let closed = CancellationToken::new();
        let heartbeat = config.server.heartbeat;
        let limits = Limits {
            intake_memory: config.server.intake_memory,
            keep_keys: config.retention.keys,
            open_timeout: config.server.open_timeout,
            ..Limits::default()
        };
        let retention = config.retention;
        let listen = config.server.listen;
        let serve = ServeSpec {
            max_calls: config.server.max_calls,
            max_connections: config.server.max_connections,
            max_streams: config.server.max_streams,
        };
        let patience = config.server.drain;
        // Bound before the store is opened: a second server by mistake is told
        // so whichever comes first.
        let socket = TcpListener::bind(listen)
            .await
            .with_context(|| format!("cannot listen on {listen}"))?;
        let address = socket.local_addr()?;
        // It reads the whole file, or may wait for the disk: not on the thread
        // that hears of signals.
        let spec = config.store.clone();
        let opening = tokio::task::spawn_blocking(move || OpenStore::open(&spec));
        let opened = opening.await.context("the store's opening failed")??;
        let store = opened.store.clone();
        let catalog = catalog(config)?;
        let rescued = store.rescue(safe_to_repeat(&catalog), wall_ms()).await?;
        if rescued > 0 {
            tracing::info!(chunks = rescued, "took up what an earlier process left");
        }
        let wake = Wake::default();
        let intake = Intake::new(store.clone(), wake.clone(), catalog.clone(), limits);
        let keeper = Keeper::new(store.clone(), intake.clone(), retention);
        tokio::spawn(keeper.keep(drain.clone()));
        let (lanes, board) = start_lanes(&opened, &wake, &catalog, &drain).await?;
        let rooms = Rooms {
            feed: Feed::new(store.clone(), wake),
            intake,
            store: store.clone(),
            catalog,
            board,
            drain: drain.clone(),
            heartbeat,
            streams: Arc::new(Semaphore::new(serve.max_calls)),
        };
        let until_closed = closed.clone().cancelled_owned();
        let listener = tokio::spawn(async move {
            let served = rpc::serve(rooms, socket, serve, until_closed).await;
            served.context("the listener failed")
        });
        tracing::info!(%address, "serving");
        Ok(Server {
            address,
            store: opened,
            drain,
            closed,
            listener,
            lanes,
            patience,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until something fails that it cannot go on without.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            // First: it is why others fail.
            biased;
            why = self.store.stopped() => {
                // Nothing more can be recorded, so nothing is waited for but that
                // callers hear of it.
                self.patience = LAST_WORDS;
                anyhow::Error::msg(why)
            }
            ended = &mut self.listener => match ended {
                Ok(Err(error)) => error,
                Ok(Ok(())) => anyhow::anyhow!("the listener ended"),
                Err(panic) => anyhow::anyhow!("the listener panicked: {panic}"),
            },
            Some(ended) = self.lanes.join_next() => match ended {
                Ok(Err(error)) => anyhow::Error::new(error).context("a lane stopped"),
                Ok(Ok(())) => anyhow::anyhow!("a lane ended"),
                Err(panic) => anyhow::anyhow!("a lane panicked: {panic}"),
            },
        }
    }

    /// Ends it in order: no new work; streams end with a status that says how
    /// to go on; what is written to targets finishes, what is not goes back to
    /// the queue. What takes longer than the configured drain is cut off, and
    /// is then as after a crash.
    ///
    /// # Errors
    ///
    /// When something had to be cut off.
    pub async fn drain(mut self) -> anyhow::Result<()> {
        let end = Instant::now() + self.patience;
        let last_words = LAST_WORDS.min(self.patience / 4);
        self.drain.cancel();
        let mut cut_off = self.end_lanes(end - last_words).await;
        self.closed.cancel();
        let by = (Instant::now() + last_words).min(end - last_words / 2);
        self.end_listener(by).await;
        // A little is left for the process to end in.
        if !self.store.close(end - last_words / 4).await {
            cut_off.push("the store was still writing".to_owned());
        }
        if !cut_off.is_empty() {
            bail!("the drain was cut short: {}", cut_off.join("; "));
        }
        tracing::info!("drained");
        Ok(())
    }

    /// Waits for the lanes, which have been told. What was cut off is returned.
    async fn end_lanes(&mut self, by: Instant) -> Vec<String> {
        let mut cut_off = Vec::new();
        while let Ok(ended) = timeout_at(by, self.lanes.join_next()).await {
            match ended {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => cut_off.push(error.to_string()),
                Some(Err(panic)) => cut_off.push(panic.to_string()),
            }
        }
        if !self.lanes.is_empty() {
            cut_off.push("requests to targets were still under way".to_owned());
            self.lanes.shutdown().await;
        }
        cut_off
    }

    /// Waits for the connections, whose calls have been told to end. One that
    /// never sent its preface, or whose client does not read, would hold the
    /// listener for ever.
    async fn end_listener(&mut self, by: Instant) {
        // It may be what failed.
        if !self.listener.is_finished() && timeout_at(by, &mut self.listener).await.is_err() {
            self.listener.abort();
        }
    }
}

/// The store, and what only its owner may do with it.
struct OpenStore {
    store: Arc<dyn Store>,
    file: Option<Arc<SqliteStore>>,
}

impl OpenStore {
    fn open(config: &StoreConfig) -> anyhow::Result<OpenStore> {
        Ok(match config {
            StoreConfig::Memory => OpenStore {
                store: Arc::new(MemoryStore::new()),
                file: None,
            },
            StoreConfig::Sqlite {
                path,
                max_size,
                reserve,
            } => {
                let bounds = Bounds {
                    max_bytes: *max_size,
                    reserve_bytes: *reserve,
                };
                let file = Arc::new(SqliteStore::open_within(path, bounds)?);
                OpenStore {
                    store: file.clone(),
                    file: Some(file),
                }
            }
        })
    }

    /// Whether an earlier process may have sent something.
    fn was_used(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.was_used())
    }

    /// Waits until it has to stop by itself, and says why and what to do.
    async fn stopped(&self) -> String {
        match &self.file {
            Some(file) => file.stopped().await,
            None => std::future::pending().await,
        }
    }

    /// Finishes what is under way, and gives up the file; whether that was done
    /// in time. A disk that hangs is no reason to stay: what is not written yet
    /// was promised to nobody.
    async fn close(self, by: Instant) -> bool {
        let Some(file) = self.file else {
            return true;
        };
        // It blocks until the last commit.
        let closing = tokio::task::spawn_blocking(move || file.close());
        timeout_at(by, closing).await.is_ok()
    }
}

/// A lane for each quota, and the board that shows them.
async fn start_lanes(
    opened: &OpenStore,
    wake: &Wake,
    catalog: &Catalog,
    drain: &CancellationToken,
) -> Result<(JoinSet<Result<(), StoreError>>, Board), StoreError> {
    let mut lanes = JoinSet::new();
    let mut gauges = HashMap::new();
    for targets in by_quota(catalog) {
        let (store, seed) = (opened.store.clone(), fastrand::u64(..));
        let spec = LaneSpec::read(&*store, targets, opened.was_used(), seed).await?;
        let lane = Lane::new(store, wake.clone(), spec);
        gauges.extend(lane.gauges());
        lanes.spawn(lane.drive(drain.clone()));
    }
    Ok((lanes, Board::new(gauges)))
}

fn catalog(config: Config) -> anyhow::Result<Catalog> {
    let quotas: BTreeMap<String, _> = config
        .quotas
        .into_iter()
        .map(|quota| (quota.name.clone(), quota))
        .collect();
    let mut entries = Vec::new();
    for target in config.targets {
        let quota = quotas.get(&target.quota).cloned();
        let quota = quota.with_context(|| format!("there is no quota `{}`", target.quota))?;
        let downstream: Arc<dyn Target> = match &target.kind {
            TargetKind::Http(http) => {
                let http = Http::new(http.as_ref()).map_err(anyhow::Error::msg);
                Arc::new(Each::new(
                    http.with_context(|| format!("target `{}`", target.name))?,
                ))
            }
            TargetKind::Grpc(grpc) => {
                let grpc = Grpc::new(grpc.as_ref()).map_err(anyhow::Error::msg);
                Arc::new(Each::new(
                    grpc.with_context(|| format!("target `{}`", target.name))?,
                ))
            }
            TargetKind::HttpBatch(batch) => {
                let batch = HttpBatch::new(batch).map_err(anyhow::Error::msg);
                Arc::new(Bulk::new(
                    batch.with_context(|| format!("target `{}`", target.name))?,
                ))
            }
            TargetKind::Postgres(postgres) => {
                let postgres = Postgres::new(postgres.as_ref().clone());
                let postgres = postgres.map_err(anyhow::Error::msg);
                Arc::new(Bulk::new(
                    postgres.with_context(|| format!("target `{}`", target.name))?,
                ))
            }
        };
        entries.push(Entry {
            config: target,
            quota,
            target: downstream,
        });
    }
    Ok(Catalog::new(entries))
}

fn safe_to_repeat(catalog: &Catalog) -> SafeToRepeat {
    let catalog = catalog.clone();
    Arc::new(move |target: &TargetName, item, since| {
        let entry = catalog.get(target);
        entry.is_some_and(|entry| since < entry.target.repeatable_for(item))
    })
}

/// The targets of each quota that has any.
fn by_quota(catalog: &Catalog) -> Vec<Vec<Arc<Entry>>> {
    let mut quotas: BTreeMap<&str, Vec<Arc<Entry>>> = BTreeMap::new();
    for entry in catalog.all() {
        let targets = quotas.entry(&entry.quota.name).or_default();
        targets.push(entry.clone());
    }
    quotas.into_values().collect()
}
