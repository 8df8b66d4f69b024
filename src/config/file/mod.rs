//! The file as it is written: every key optional, every value as the type that
//! TOML has for it. What a value means is for [`validate`](super::validate).
//! The keys are described in [`reference`](super::reference()).

mod cost;
mod grpc;
mod http_batch;
mod postgres;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::secret::SecretSource;

pub(super) use cost::Cost;
pub(super) use grpc::Grpc;
pub(super) use http_batch::HttpBatch;
pub(super) use postgres::Postgres;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) server: Server,
    pub(super) store: Store,
    pub(super) quotas: BTreeMap<String, Quota>,
    pub(super) targets: BTreeMap<String, Target>,
}

/// `[server]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    pub(super) listen: Option<String>,
    pub(super) max_calls: Option<u64>,
    pub(super) max_streams: Option<u64>,
    pub(super) max_connections: Option<u64>,
    pub(super) intake_memory: Option<String>,
    pub(super) heartbeat: Option<String>,
    pub(super) drain: Option<String>,
    pub(super) open_timeout: Option<String>,
}

/// `[store]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Store {
    pub(super) path: Option<String>,
    pub(super) memory: Option<bool>,
    pub(super) max_size: Option<String>,
    pub(super) reserve: Option<String>,
    pub(super) keep_batches: Option<String>,
    pub(super) keep_keys: Option<String>,
}

/// `[quotas.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Quota {
    pub(super) limits: Option<Vec<String>>,
    pub(super) pace: Option<String>,
    pub(super) transit: Option<String>,
}

/// `[targets.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Target {
    pub(super) kind: Option<String>,
    pub(super) url: Option<String>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
    pub(super) limits: Option<Vec<String>>,
    pub(super) pace: Option<String>,
    pub(super) transit: Option<String>,
    pub(super) quota: Option<String>,
    pub(super) cost: Option<Cost>,
    pub(super) chunk_items: Option<u64>,
    pub(super) concurrency: Option<u64>,
    pub(super) timeout: Option<String>,
    pub(super) connect_timeout: Option<String>,
    pub(super) idle_timeout: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) cert: Option<String>,
    pub(super) key: Option<SecretSource>,
    pub(super) allow_link_local: Option<bool>,
    pub(super) idempotency_header: Option<String>,
    pub(super) key_window: Option<String>,
    pub(super) repeatable: Option<bool>,
    pub(super) schema: Option<String>,
    pub(super) schema_for: Option<Vec<String>>,
    pub(super) idempotent_methods: Option<bool>,
    pub(super) allow_calls: Option<bool>,
    pub(super) allow_headers: Option<Vec<String>>,
    pub(super) reply_limit: Option<String>,
    pub(super) busy_503: Option<bool>,
    pub(super) max_retry_after: Option<String>,
    pub(super) headers: BTreeMap<String, SecretSource>,
    pub(super) actions: Actions,
    pub(super) batch: HttpBatch,
    pub(super) grpc: Grpc,
    pub(super) postgres: Postgres,
    pub(super) retry: Retry,
    pub(super) breaker: Breaker,
}

/// `[targets.NAME.actions]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Actions {
    pub(super) create: Action,
    pub(super) update: Action,
    pub(super) delete: Action,
}

/// `[targets.NAME.actions.create]`, and so on.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Action {
    pub(super) enabled: Option<bool>,
    pub(super) method: Option<String>,
    pub(super) path: Option<String>,
}

/// `[targets.NAME.retry]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Retry {
    pub(super) attempts: Option<u64>,
    pub(super) base: Option<String>,
    pub(super) max: Option<String>,
    pub(super) patience: Option<String>,
}

/// `[targets.NAME.breaker]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Breaker {
    pub(super) failures: Option<u64>,
    pub(super) pause: Option<String>,
    pub(super) max_pause: Option<String>,
}
