//! `flowgate check`: reads a configuration and says what it comes to, or what
//! is wrong with it.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{
    HeaderOrigin, HttpConfig, Loaded, Origin, QuotaConfig, StoreConfig, TargetConfig, TargetKind,
    reference_markdown, show_duration, show_size,
};
use crate::model::Verb;

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
        let TargetKind::Http(http) = &target.kind;
        let (chunk, retry) = (target.chunk_items, &target.retry);
        let operation = format!("{} {}", http.method, url(http, &http.path));
        writeln!(f, "target {}: {operation}", target.name)?;
        self.quota(f, target)?;
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
            "  time-outs",
            format_args!(
                "{} a request, {} a connection; kept {} without a request",
                show_duration(http.timeout),
                show_duration(http.connect_timeout),
                show_duration(http.idle_timeout)
            ),
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
        trust(f, http)?;
        repeating(f, http)?;
        actions(f, http)?;
        calls(f, http)?;
        line(
            f,
            "  replies",
            format_args!("kept up to {}", show_size(http.reply_limit)),
        )?;
        self.headers(f, target, http)
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

    fn headers(
        &self,
        f: &mut fmt::Formatter<'_>,
        target: &TargetConfig,
        http: &HttpConfig,
    ) -> fmt::Result {
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
        if has_secret && is_in_the_clear(http) {
            line(
                f,
                "",
                "note: they go over the network unencrypted; use https",
            )?;
        }
        Ok(())
    }
}

/// Whether what is sent can be read on the way.
fn is_in_the_clear(http: &HttpConfig) -> bool {
    let host = http.base.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    http.base.scheme_str() == Some("http") && !is_loopback
}

/// One line: a label in its column, and what is said of it.
fn line(f: &mut fmt::Formatter<'_>, label: &str, says: impl Display) -> fmt::Result {
    writeln!(f, "{label:<15} {says}")
}

fn count(n: u32, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

fn url(http: &HttpConfig, path: &str) -> String {
    let base = http.base.to_string();
    format!("{}{path}", base.trim_end_matches('/'))
}

fn limits(quota: &QuotaConfig) -> String {
    let limits: Vec<String> = quota.limits.iter().map(ToString::to_string).collect();
    limits.join(" and ")
}

/// Whom a target's certificate must come from.
fn trust(f: &mut fmt::Formatter<'_>, http: &HttpConfig) -> fmt::Result {
    if http.base.scheme_str() != Some("https") {
        return Ok(());
    }
    let label = "  trusts";
    match u32::try_from(http.ca.len()).unwrap_or(u32::MAX) {
        0 => line(f, label, "the public authorities"),
        n => line(
            f,
            label,
            format_args!("only {} of `ca`", count(n, "certificate")),
        ),
    }
}

/// What is sent again although it may have been done, and what becomes of the
/// rest.
fn repeating(f: &mut fmt::Formatter<'_>, http: &HttpConfig) -> fmt::Result {
    let again = if http.repeatable {
        "every item: the target is repeatable".to_owned()
    } else if let Some(header) = &http.idempotency_header {
        let window = show_duration(http.key_window);
        format!("every item, with the same {header}, for {window}")
    } else if http.idempotent_methods {
        "GET, PUT and DELETE".to_owned()
    } else {
        "nothing".to_owned()
    };
    line(
        f,
        "  sent again",
        format_args!("after a 5xx or no answer: {again}"),
    )?;
    if http.repeatable || http.idempotency_header.is_some() {
        return Ok(());
    }
    line(
        f,
        "",
        "else a 5xx ends UNAVAILABLE, no answer ends IN_DOUBT",
    )
}

fn actions(f: &mut fmt::Formatter<'_>, http: &HttpConfig) -> fmt::Result {
    let mut label = "  actions";
    for (verb, name) in [
        (Verb::Create, "create"),
        (Verb::Update, "update"),
        (Verb::Delete, "delete"),
    ] {
        match http.actions.get(&verb) {
            Some((method, path)) => line(f, label, format_args!("{name}: {method} {path}"))?,
            None => line(f, label, format_args!("{name}: refused"))?,
        }
        label = "";
    }
    Ok(())
}

fn calls(f: &mut fmt::Formatter<'_>, http: &HttpConfig) -> fmt::Result {
    let headers: Vec<&str> = http
        .allow_headers
        .iter()
        .map(http::HeaderName::as_str)
        .collect();
    match (http.allow_calls, headers.is_empty()) {
        (false, _) => line(
            f,
            "  calls",
            "refused: items cannot bring a request of their own",
        ),
        (true, true) => line(f, "  calls", "allowed, without headers"),
        (true, false) => line(
            f,
            "  calls",
            format_args!("allowed, with {}", headers.join(", ")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_summary_says_what_a_configuration_comes_to_and_no_secret() {
        let text = r#"
            [quotas.crm]
            limits = ["100/s", "100000/d"]
            [quotas.spare]
            limits = ["1/s"]
            [targets.guests]
            kind = "http"
            url = "https://api.example.com/v1"
            path = "/guests"
            quota = "crm"
            [targets.guests.headers]
            Authorization = { env = "KEY", prefix = "Bearer " }
            X-Plain = "hunter2"
            [targets.notes]
            kind = "http"
            url = "http://api.example.com/"
            path = "/notes"
            quota = "crm"
            allow_calls = true
            allow_headers = ["X-Request-Id"]
            idempotency_header = "Idempotency-Key"
            actions.delete.enabled = false
            headers.X-Key = { env = "KEY" }
        "#;
        let env = |_: &str| Some("hunter2".to_owned());
        let loaded = Loaded::parse(text, Path::new("/etc/flowgate"), &env).unwrap();
        let said = Summary(&loaded).to_string();
        assert!(!said.contains("hunter2"), "{said}");
        insta::assert_snapshot!(said, @r"
        server          127.0.0.1:50051, 1024 calls at once, 256 on each of 1024 connections; 64MiB for items on their way to the disk; a heartbeat every 15s; drains for at most 30s; seals what nobody fills for 10m
        store           /etc/flowgate/flowgate.db
        kept            finished batches for 7d, keys of items for 1d

        target guests: POST https://api.example.com/v1/guests
          limits        100/s and 100000/d, paced by window, transit up to 50ms
                        of the quota crm, shared with notes
                        a restart of flowgate keeps count of 100000/d, by the minute
          chunks        up to 50 items
          concurrency   up to 50 requests under way
          time-outs     30s a request, 5s a connection; kept 4s without a request
          tries         up to 10, up to 200ms apart at first and 30s at last, for 1h
          trusts        the public authorities
          sent again    after a 5xx or no answer: GET, PUT and DELETE
                        else a 5xx ends UNAVAILABLE, no answer ends IN_DOUBT
          actions       create: POST /guests
                        update: PATCH /guests/{id}
                        delete: DELETE /guests/{id}
          calls         refused: items cannot bring a request of their own
          replies       kept up to 64KiB
          headers       authorization: set, from the environment variable KEY
                        x-plain: set, from the configuration

        target notes: POST http://api.example.com/notes
          limits        100/s and 100000/d, paced by window, transit up to 50ms
                        of the quota crm, shared with guests
                        a restart of flowgate keeps count of 100000/d, by the minute
          chunks        up to 50 items
          concurrency   up to 50 requests under way
          time-outs     30s a request, 5s a connection; kept 4s without a request
          tries         up to 10, up to 200ms apart at first and 30s at last, for 1h
          sent again    after a 5xx or no answer: every item, with the same idempotency-key, for 1d
          actions       create: POST /notes
                        update: PATCH /notes/{id}
                        delete: refused
          calls         allowed, with x-request-id
          replies       kept up to 64KiB
          headers       x-key: set, from the environment variable KEY
                        note: they go over the network unencrypted; use https

        Note: no target draws on the quota `spare`.
        ");
    }
}
