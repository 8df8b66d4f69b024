//! The configuration, validated into the types that the rooms take.
//!
//! Three steps, each of which reports all that it finds: `document` reads
//! TOML into the structs of `file`, `validate` turns those into the types
//! here, `error` says by file, line and key what was wrong and what would be
//! right. [`reference`](reference()) is the list of keys, for people.

mod ca;
mod document;
mod error;
mod file;
mod key;
mod kind;
mod reference;
mod schema;
mod secret;
mod text;
mod validate;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;

use crate::core::breaker::BreakerPolicy;
use crate::core::classify::RetryPolicy;
use crate::model::{Cost, Limit, Pace, TargetName};

pub use error::{ConfigError, Problem};
pub use kind::{
    ConnectConfig, Element, Embed, GrpcConfig, GrpcMethod, GrpcMethods, HttpBatchConfig,
    HttpConfig, Identity, Join, PostgresConfig, Protocol, Results, Slot, SubRequest, TargetKind,
    Urls,
};
pub use kind::{
    Dedupe, PostgresAddress, PostgresConnect, PostgresTable, PostgresTls, PostgresWork,
    RowOperation, SqlName, quoted,
};
pub use reference::{Key, KeyDefault, KeyValue, reference, reference_markdown};
pub use schema::{SchemaConfig, SchemaFor};
pub use secret::{Env, Origin};
pub use text::{show_duration, show_size};

/// All that `flowgate serve` is told.
#[derive(Debug)]
pub struct Config {
    /// The gRPC face.
    pub server: ServerConfig,
    /// Where batches live.
    pub store: StoreConfig,
    /// How long what is done is kept.
    pub retention: Retention,
    /// The limits that targets draw on; each target names one of these. Those
    /// with a quota of their own have one here by the target's name.
    pub quotas: Vec<QuotaConfig>,
    /// The downstreams, by name.
    pub targets: Vec<TargetConfig>,
}

impl Config {
    /// Reads a file, and takes secrets from this process's environment.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, as far as one thing does not hide
    /// another.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Loaded::read(path).map(|loaded| loaded.config)
    }

    /// Reads a text. Relative paths in it start at `base_dir`; secrets come
    /// from `env`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); they name no file.
    pub fn parse(text: &str, base_dir: &Path, env: Env<'_>) -> Result<Config, ConfigError> {
        Loaded::parse(text, base_dir, env).map(|loaded| loaded.config)
    }
}

/// A configuration, and where its secrets were found: what may be said of them.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Where each header's value came from.
    pub origins: Vec<HeaderOrigin>,
}

/// Where a header's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderOrigin {
    /// The target that sends it.
    pub target: TargetName,
    /// The header.
    pub header: HeaderName,
    /// Where its value was found.
    pub origin: Origin,
}

impl Loaded {
    /// As [`Config::load`].
    pub fn read(path: &Path) -> Result<Loaded, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        let base_dir = path.parent().unwrap_or(Path::new(""));
        let env = |name: &str| std::env::var(name).ok();
        Loaded::parse(&text, base_dir, &env).map_err(|error| error.in_file(path))
    }

    /// As [`Config::parse`].
    pub fn parse(text: &str, base_dir: &Path, env: Env<'_>) -> Result<Loaded, ConfigError> {
        let document = document::Document::parse(text)?;
        let (file, mut faults) = document.file();
        faults.extend(document.misplaced());
        let loaded = validate::validate(file, base_dir, env, &mut faults);
        match loaded {
            Some(loaded) if faults.is_empty() => Ok(loaded),
            _ => Err(document.error(faults)),
        }
    }
}

/// The gRPC face.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; loopback only, unless `serve --insecure`.
    pub listen: SocketAddr,
    /// Calls under way at once, over all connections; one more is refused with
    /// `RESOURCE_EXHAUSTED`.
    pub max_calls: usize,
    /// Streams on one connection.
    pub max_streams: u32,
    /// Connections open at once; one more waits.
    pub max_connections: usize,
    /// Bytes of messages between their callers and the disk, over all calls;
    /// one more waits.
    pub intake_memory: usize,
    /// How long a stream is silent before it sends a heartbeat.
    pub heartbeat: Duration,
    /// How long a drain takes at most.
    pub drain: Duration,
    /// How long a batch stays open without a stream that fills it.
    pub open_timeout: Duration,
}

/// Where batches live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreConfig {
    /// In an `SQLite` file, made if it is not there.
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Bytes that it may take with its log; what the disk has, where there
        /// is none.
        max_size: Option<u64>,
        /// Bytes that new work leaves free.
        reserve: u64,
    },
    /// In memory: gone with the process. For trying things out.
    Memory,
}

/// How long what is done is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Finished batches, with their payloads and results.
    pub batches: Duration,
    /// The keys of items, from their outcomes: for so long a repeat is answered
    /// from the record.
    pub keys: Duration,
}

/// Limits that one or several targets draw on together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaConfig {
    /// Its name.
    pub name: String,
    /// All of them hold; empty for no limit.
    pub limits: Vec<Limit>,
    /// How requests are spaced.
    pub pace: Pace,
    /// The longest that a written request takes to reach the target.
    pub transit: Duration,
}

/// A downstream.
#[derive(Debug)]
pub struct TargetConfig {
    /// What a batch's `target` says.
    pub name: TargetName,
    /// The name of its quota.
    pub quota: String,
    /// What its requests take of the limits.
    pub cost: Cost,
    /// The most items in a chunk.
    pub chunk_items: u32,
    /// The most requests under way at once.
    pub concurrency: u32,
    /// How often and how long items are tried.
    pub retry: RetryPolicy,
    /// When it counts as down, and how often it is tried then.
    pub breaker: BreakerPolicy,
    /// What its items have to look like; anything, where there is none.
    pub schema: Option<SchemaConfig>,
    /// What it is.
    pub kind: TargetKind,
}
