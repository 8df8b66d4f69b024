//! `flowgate check`: reads a configuration and says what it comes to, or what
//! is wrong with it.

mod grpc;
mod http;
mod http_batch;
mod postgres;
mod schema;

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{
    HeaderOrigin, Loaded, Origin, QuotaConfig, StoreConfig, TargetConfig, TargetKind,
    reference_markdown, show_duration, show_size,
};
use crate::core::breaker::BreakerPolicy;
use crate::model::Cost;

/// Windows up to this long are waited out by a restart.
const WAITED_OUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Check a configuration, and see what it comes to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(value_name = "CONFIG", required_unless_present = "reference")]
    pub config: Option<PathBuf>,

    /// Print the reference of all keys, as Markdown, and nothing else
    #[arg(long)]
    pub reference: bool,
}

/// Prints what a configuration comes to, and exits with 0; or all that is wrong
/// with it, and exits with 1.
///
/// # Errors
///
/// None of its own; as the other verbs.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.reference {
        print!("{}", reference_markdown());
        return Ok(ExitCode::SUCCESS);
    }
    let path = args.config.unwrap_or_default();
    match Loaded::read(&path) {
        Ok(loaded) => {
            println!("{} is valid.\n", path.display());
            print!("{}", Summary(&loaded));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{error}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What a configuration comes to, for people. Says where secrets come from and
/// never what they are.
struct Summary<'c>(&'c Loaded);

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.0.config;
        let server = &config.server;
        line(
            f,
            "server",
            format_args!(
                "{}, {} calls at once, {} on each of {} connections; {} for items on their way to the \
                 disk; a heartbeat every {}; drains for at most {}; seals what nobody fills for {}",
                server.listen,
                server.max_calls,
                server.max_streams,
                server.max_connections,
                show_size(server.intake_memory),
                show_duration(server.heartbeat),
                show_duration(server.drain),
                show_duration(server.open_timeout)
            ),
        )?;
        match &config.store {
            StoreConfig::Sqlite { path, .. } => line(f, "store", path.display())?,
            StoreConfig::Memory => line(f, "store", "in memory: gone with the process")?,
        }
        line(
            f,
            "kept",
            format_args!(
                "finished batches for {}, keys of items for {}",
                show_duration(config.retention.batches),
                show_duration(config.retention.keys)
            ),
        )?;
        for target in &config.targets {
            writeln!(f)?;
            self.target(f, target)?;
        }
        for quota in &config.quotas {
            if !config
                .targets
                .iter()
                .any(|target| target.quota == quota.name)
            {
                writeln!(f, "\nNote: no target draws on the quota `{}`.", quota.name)?;
            }
        }
        Ok(())
    }
}

impl Summary<'_> {
    fn target(&self, f: &mut fmt::Formatter<'_>, target: &TargetConfig) -> fmt::Result {
        let (chunk, retry) = (target.chunk_items, &target.retry);
        let operation = match &target.kind {
            TargetKind::Http(http) => http::operation(http),
            TargetKind::Grpc(grpc) => grpc::operation(grpc),
            TargetKind::HttpBatch(batch) => http_batch::operation(batch),
            TargetKind::Postgres(postgres) => postgres::operation(postgres),
        };
        writeln!(f, "target {}: {operation}", target.name)?;
        self.quota(f, target)?;
        if target.cost != Cost::ITEM {
            line(f, "  cost", cost(target.cost))?;
        }
        line(
            f,
            "  chunks",
            format_args!("up to {}", count(chunk, "item")),
        )?;
        let requests = count(target.concurrency, "request");
        line(
            f,
            "  concurrency",
            format_args!("up to {requests} under way"),
        )?;
        line(
            f,
            "  tries",
            format_args!(
                "up to {}, up to {} apart at first and {} at last, for {}",
                retry.attempts,
                show_duration(retry.base),
                show_duration(retry.max),
                show_duration(retry.patience)
            ),
        )?;
        line(f, "  when down", breaker(&target.breaker))?;
        if let Some(schema) = &target.schema {
            schema::lines(f, schema)?;
        }
        match &target.kind {
            TargetKind::Http(http) => http::lines(f, http)?,
            TargetKind::Grpc(grpc) => grpc::lines(f, grpc)?,
            TargetKind::HttpBatch(batch) => http_batch::lines(f, batch)?,
            TargetKind::Postgres(postgres) => postgres::lines(f, postgres)?,
        }
        self.headers(f, target)
    }

    fn quota(&self, f: &mut fmt::Formatter<'_>, target: &TargetConfig) -> fmt::Result {
        let config = &self.0.config;
        let Some(quota) = config
            .quotas
            .iter()
            .find(|quota| quota.name == target.quota)
        else {
            return Ok(());
        };
        if quota.limits.is_empty() {
            return line(f, "  limits", "none");
        }
        line(
            f,
            "  limits",
            format_args!(
                "{}, paced by {}, transit up to {}",
                limits(quota),
                quota.pace.name(),
                show_duration(quota.transit)
            ),
        )?;
        let others: Vec<&str> = config
            .targets
            .iter()
            .filter(|other| other.quota == quota.name && other.name != target.name)
            .map(|other| other.name.as_str())
            .collect();
        if !others.is_empty() {
            let others = others.join(", ");
            line(
                f,
                "",
                format_args!("of the quota {}, shared with {others}", quota.name),
            )?;
        }
        self.after_a_restart(f, quota)
    }

    /// What becomes of limits that are used up in part.
    fn after_a_restart(&self, f: &mut fmt::Formatter<'_>, quota: &QuotaConfig) -> fmt::Result {
        if self.0.config.store == StoreConfig::Memory {
            return line(
                f,
                "",
                "a restart of flowgate begins them anew: the store is in memory",
            );
        }
        for limit in quota.limits.iter().filter(|limit| limit.per > WAITED_OUT) {
            line(
                f,
                "",
                format_args!("a restart of flowgate keeps count of {limit}, by the minute"),
            )?;
        }
        Ok(())
    }

    fn headers(&self, f: &mut fmt::Formatter<'_>, target: &TargetConfig) -> fmt::Result {
        let of_target = |header: &&HeaderOrigin| header.target == target.name;
        let headers: Vec<&HeaderOrigin> = self.0.origins.iter().filter(of_target).collect();
        let mut label = "  headers";
        for header in &headers {
            let HeaderOrigin { header, origin, .. } = header;
            line(f, label, format_args!("{header}: set, from {origin}"))?;
            label = "";
        }
        let has_secret = headers
            .iter()
            .any(|header| header.origin != Origin::Configuration);
        let connect = match &target.kind {
            TargetKind::Http(http) => Some(&http.connect),
            TargetKind::Grpc(grpc) => Some(&grpc.connect),
            TargetKind::HttpBatch(batch) => Some(&batch.http.connect),
            TargetKind::Postgres(_) => None,
        };
        if has_secret && connect.is_some_and(http::is_in_the_clear) {
            line(
                f,
                "",
                "note: they go over the network unencrypted; use https",
            )?;
        }
        Ok(())
    }
}

/// One line: a label in its column, and what is said of it.
fn line(f: &mut fmt::Formatter<'_>, label: &str, says: impl Display) -> fmt::Result {
    writeln!(f, "{label:<15} {says}")
}

fn count(n: u32, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

fn limits(quota: &QuotaConfig) -> String {
    let limits: Vec<String> = quota.limits.iter().map(ToString::to_string).collect();
    limits.join(" and ")
}

/// What a request takes of the limits.
fn cost(cost: Cost) -> String {
    match cost {
        Cost::REQUEST => "1 a request".to_owned(),
        Cost { base, per_item: 0 } => format!("{base} a request"),
        Cost { base: 0, per_item } => format!("{per_item} an item"),
        Cost { base, per_item } => format!("{base} a request and {per_item} an item"),
    }
}

/// When a target counts as down, and what becomes of it then.
fn breaker(policy: &BreakerPolicy) -> String {
    if policy.failures == 0 {
        return "it is sent to all the same".to_owned();
    }
    format!(
        "after {} in a row, one item is tried after {}, and at last every {}",
        count(policy.failures, "failed request"),
        show_duration(policy.pause),
        show_duration(policy.max_pause)
    )
}

#[cfg(test)]
mod tests;
