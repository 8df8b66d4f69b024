//! From what a file says to what it means. Each check reports and goes on with
//! a stand-in, so that one mistake does not hide the next; what was built with
//! a stand-in is thrown away in the end.

mod connect;
mod grpc;
mod headers;
mod http;
mod http_batch;
mod pacing;
mod postgres;
mod target;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::document::Fault;
use super::file::{self, File};
use super::key::KeyPath;
use super::secret::Env;
use super::text::{nearest, parse_duration, parse_size, show_duration, show_size};
use super::{Config, HeaderOrigin, Loaded, QuotaConfig, Retention, ServerConfig, StoreConfig};

/// Names of targets and quotas are at most so long.
const NAME_MAX: usize = 63;

const MAX_CALLS: u32 = 1024;
const MAX_STREAMS: u32 = 256;
const MAX_CONNECTIONS: u32 = 1024;
const INTAKE_MEMORY: usize = 64 << 20;
/// At least a message of the largest size, at most what a budget can count.
const INTAKE_MEMORY_RANGE: RangeInclusive<usize> = 16 << 20..=2048 << 20;
/// The least that a store may be given: room for its log, and for work.
const MAX_SIZE: usize = 64 << 20;
const RESERVE: usize = 256 << 20;
const RESERVE_LEAST: usize = 1 << 20;
const HEARTBEAT: Duration = Duration::from_secs(15);
const DRAIN: Duration = Duration::from_secs(30);
const OPEN_TIMEOUT: Duration = Duration::from_mins(10);
const KEEP_BATCHES: Duration = Duration::from_hours(7 * 24);
const KEEP_KEYS: Duration = Duration::from_hours(24);

/// Turns a file into a configuration, adding to `faults` all that is wrong
/// with it. What comes out is of use only if there are none.
pub(super) fn validate(
    file: File,
    base_dir: &Path,
    env: Env<'_>,
    faults: &mut Vec<Fault>,
) -> Option<Loaded> {
    let mut check = Check {
        base_dir,
        env,
        incomplete: faults.iter().map(|(path, _)| path.clone()).collect(),
        faults,
        own_quotas: Vec::new(),
        origins: Vec::new(),
    };
    let server = check.server(file.server);
    let retention = check.retention(&file.store);
    let store = check.store(file.store);
    let named = check.quotas(file.quotas);
    let targets = check.targets(file.targets, &named);
    let (own, origins) = (check.own_quotas, check.origins);
    Some(Loaded {
        config: Config {
            server: server?,
            store,
            retention,
            quotas: named.into_values().chain(own).collect(),
            targets,
        },
        origins,
    })
}

/// What the checks share.
struct Check<'a> {
    base_dir: &'a Path,
    env: Env<'a>,
    /// Keys that were left out because they were at fault themselves.
    incomplete: Vec<KeyPath>,
    faults: &'a mut Vec<Fault>,
    /// Found on the way: the quotas of targets that have their own, and where
    /// secrets came from.
    own_quotas: Vec<QuotaConfig>,
    origins: Vec<HeaderOrigin>,
}

impl Check<'_> {
    fn fault(&mut self, at: &KeyPath, message: impl Into<String>) {
        self.faults.push((at.clone(), message.into()));
    }

    /// Reports that a table lacks a key, unless one of its keys was left out:
    /// that may have been the one, misspelt.
    fn missing(&mut self, table: &KeyPath, message: impl Into<String>) {
        if !self.is_incomplete(table) {
            self.fault(table, message);
        }
    }

    fn is_incomplete(&self, table: &KeyPath) -> bool {
        self.incomplete.iter().any(|key| key.is_within(table))
    }

    fn server(&mut self, file: file::Server) -> Option<ServerConfig> {
        let at = KeyPath::top("server");
        let listen = file.listen.unwrap_or("127.0.0.1:50051".to_owned());
        let listen = listen.parse::<SocketAddr>().ok();
        if listen.is_none() {
            self.fault(
                &at.key("listen"),
                "this is not an address; write an IP address and a port, e.g. `127.0.0.1:50051`",
            );
        }
        let max_calls = self.number(
            &at.key("max_calls"),
            file.max_calls,
            MAX_CALLS,
            1..=1_000_000,
        );
        let streams = at.key("max_streams");
        let max_streams = self.number(&streams, file.max_streams, MAX_STREAMS, 1..=1_000_000);
        let max_connections = self.number(
            &at.key("max_connections"),
            file.max_connections,
            MAX_CONNECTIONS,
            1..=1_000_000,
        );
        let intake_memory = self.size(
            &at.key("intake_memory"),
            file.intake_memory,
            INTAKE_MEMORY,
            INTAKE_MEMORY_RANGE,
        );
        let heartbeat = self.duration(
            &at.key("heartbeat"),
            file.heartbeat,
            HEARTBEAT,
            Duration::from_millis(100),
        );
        let drain = self.duration(&at.key("drain"), file.drain, DRAIN, Duration::ZERO);
        let open_timeout = self.duration(
            &at.key("open_timeout"),
            file.open_timeout,
            OPEN_TIMEOUT,
            Duration::from_secs(1),
        );
        Some(ServerConfig {
            listen: listen?,
            max_calls: max_calls as usize,
            max_streams,
            max_connections: max_connections as usize,
            intake_memory,
            heartbeat,
            drain,
            open_timeout,
        })
    }

    fn size(
        &mut self,
        at: &KeyPath,
        given: Option<String>,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> usize {
        let Some(given) = given else {
            return default;
        };
        match parse_size(&given).map(usize::try_from) {
            Ok(Ok(bytes)) if range.contains(&bytes) => return bytes,
            Ok(Ok(bytes)) if bytes < *range.start() => {
                let least = show_size(*range.start());
                self.fault(
                    at,
                    format!("`{given}` is too little; write at least `{least}`"),
                );
            }
            Ok(_) => {
                let most = show_size(*range.end());
                self.fault(at, format!("`{given}` is too much; write at most `{most}`"));
            }
            Err(message) => self.fault(at, message),
        }
        default
    }

    fn store(&mut self, file: file::Store) -> StoreConfig {
        let at = KeyPath::top("store");
        let (max_size, reserve) = self.room(&file);
        match (file.path, file.memory.unwrap_or(false)) {
            (None, true) => {
                let given = [("max_size", file.max_size), ("reserve", file.reserve)];
                for (name, _) in given.into_iter().filter(|(_, given)| given.is_some()) {
                    self.fault(
                        &at.key(name),
                        "this is for a store in a file; take it out, or `memory = true`",
                    );
                }
                return StoreConfig::Memory;
            }
            (Some(_), true) => {
                self.fault(&at.key("memory"), "keep one of `memory = true` and `path`");
            }
            (Some(path), false) if path.is_empty() => {
                self.fault(&at.key("path"), "this is empty; write a file's path");
            }
            (path, _) => {
                let path = path.unwrap_or("flowgate.db".to_owned());
                return StoreConfig::Sqlite {
                    path: self.base_dir.join(path),
                    max_size,
                    reserve,
                };
            }
        }
        StoreConfig::Memory
    }

    /// What the store may take, and leaves free of that.
    fn room(&mut self, file: &file::Store) -> (Option<u64>, u64) {
        let at = KeyPath::top("store");
        let max = file.max_size.clone().map(|given| {
            let range = MAX_SIZE..=usize::MAX;
            self.size(&at.key("max_size"), Some(given), usize::MAX, range)
        });
        let default = max.map_or(RESERVE, |max| RESERVE.min(max / 4));
        let range = RESERVE_LEAST..=max.map_or(usize::MAX, |max| max / 2);
        let reserve = self.size(&at.key("reserve"), file.reserve.clone(), default, range);
        (max.map(|max| max as u64), reserve as u64)
    }

    fn retention(&mut self, file: &file::Store) -> Retention {
        let at = KeyPath::top("store");
        let least = Duration::from_secs(1);
        let (batches, keys) = (file.keep_batches.clone(), file.keep_keys.clone());
        Retention {
            batches: self.duration(&at.key("keep_batches"), batches, KEEP_BATCHES, least),
            keys: self.duration(&at.key("keep_keys"), keys, KEEP_KEYS, least),
        }
    }

    /// Names show in calls, logs and metrics, so that they are kept plain.
    fn name(&mut self, at: &KeyPath, name: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
            self.fault(
                at,
                format!(
                    "this name does not do; write 1 to {NAME_MAX} letters, digits, `-`, `_` or `.`"
                ),
            );
        }
    }

    fn number(
        &mut self,
        at: &KeyPath,
        given: Option<u64>,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let Some(given) = given else { return default };
        match u32::try_from(given) {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (least, most) = range.into_inner();
                self.fault(
                    at,
                    format!("{given} does not do; write a number from {least} to {most}"),
                );
                default
            }
        }
    }

    fn duration(
        &mut self,
        at: &KeyPath,
        given: Option<String>,
        default: Duration,
        least: Duration,
    ) -> Duration {
        let Some(given) = given else { return default };
        let parsed = parse_duration(&given).and_then(|duration| {
            if duration < least {
                let least = show_duration(least);
                return Err(format!("`{given}` is too short; write at least `{least}`"));
            }
            Ok(duration)
        });
        parsed.unwrap_or_else(|message| {
            self.fault(at, message);
            default
        })
    }

    /// The one of `words` that was given, by its place.
    fn word(&mut self, at: &KeyPath, given: &str, words: &[&str]) -> usize {
        if let Some(place) = words.iter().position(|word| *word == given) {
            return place;
        }
        let message = match nearest(given, words.iter().copied()) {
            Some(near) => format!("`{given}` is not known here; did you mean `{near}`?"),
            None => format!(
                "`{given}` is not known here; write one of `{}`",
                words.join("`, `")
            ),
        };
        self.fault(at, message);
        0
    }
}

/// Names, for a message.
fn listed<'a, T: 'a>(names: &'a BTreeMap<String, T>) -> String {
    let names: Vec<String> = names.keys().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
