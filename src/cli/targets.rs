//! `flowgate targets`: what items can be sent to, and how it is doing.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;
use serde_json::value::RawValue;
use tonic::Code;

use super::list::{plain_table, printed};
use super::source::Columns;
use super::{Problem, Session, show, terminal};
use crate::proto::{GetTargetRequest, ListTargetsRequest, Pace, Target};

const EXAMPLES: &str = "\
Examples:
  flowgate targets
  flowgate targets crm";

/// List the targets, or show one.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Show this one in full.
    pub name: Option<String>,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints the targets, or the one.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<ExitCode> {
    let mut client = session.server.targets().await?;
    let text = if let Some(name) = args.name {
        let request = GetTargetRequest { name };
        let answer = client.get_target(request).await.map_err(Problem::from)?;
        let target = answer.into_inner().target.unwrap_or_default();
        if args.json {
            format!("{:#}\n", to_json(&target))
        } else {
            describe(&target)
        }
    } else {
        let answer = client.list_targets(ListTargetsRequest {}).await;
        let targets = answer.map_err(Problem::from)?.into_inner().targets;
        if args.json {
            let all: serde_json::Value = targets.iter().map(to_json).collect();
            format!("{all:#}\n")
        } else if targets.is_empty() {
            "the server's configuration has no targets\n".to_owned()
        } else {
            table(&targets)
        }
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What is known of the columns of a target's items; nothing where it has no
/// schema for them.
pub async fn columns(target: &str, session: &Session) -> anyhow::Result<Option<Columns>> {
    let mut client = session.server.targets().await?;
    let name = target.to_owned();
    let answer = match client.get_target(GetTargetRequest { name }).await {
        Ok(answer) => answer.into_inner().target.unwrap_or_default(),
        // Something else that takes batches, and knows of no schemas.
        Err(status) if status.code() == Code::Unimplemented => return Ok(None),
        Err(status) => return Err(Problem::of(&status).into()),
    };
    // Rows say nothing of what is to be done.
    let is_theirs = answer.item_schema_for.iter().any(|kind| kind == "target");
    Ok(is_theirs.then(|| Columns::of(target, &answer.item_schema)))
}

fn table(targets: &[Target]) -> String {
    let mut table = plain_table(&[
        "target",
        "operation",
        "limits",
        "queued",
        "last second",
        "paused",
    ]);
    for target in targets {
        let status = target.status.clone().unwrap_or_default();
        table.add_row([
            target.name.clone(),
            terminal::clean(&target.operation),
            limits(target),
            status.queued_items.to_string(),
            status.requests_last_second.to_string(),
            paused(target),
        ]);
    }
    printed(&mut table)
}

fn describe(target: &Target) -> String {
    let quota = target.quota.clone().unwrap_or_default();
    let status = target.status.clone().unwrap_or_default();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}  {}", terminal::clean(&value));
    };
    line("target", target.name.clone());
    line("kind", target.kind.clone());
    line("operation", target.operation.clone());
    line("limits", limits(target));
    if quota.name != target.name {
        line("quota", quota.name.clone());
    }
    line("pace", pace(quota.pace()).to_owned());
    line("cost", cost(target));
    if target.request_items > 1 {
        line(
            "request",
            format!("up to {}", show::count(target.request_items, "item")),
        );
    }
    if target.all_or_nothing_items > 0 {
        let items = show::count(target.all_or_nothing_items, "item");
        line("all or none", format!("up to {items}"));
    }
    line("chunk", show::count(target.chunk_items, "item"));
    line("concurrency", target.concurrency.to_string());
    line("queued", show::count(status.queued_items, "item"));
    line("in flight", show::count(status.in_flight, "request"));
    line(
        "last second",
        show::count(status.requests_last_second, "request"),
    );
    line("paused", paused(target));
    if !target.item_schema_for.is_empty() {
        line(
            "schema",
            format!(
                "{} bytes, for items of: {} (--json shows it)",
                target.item_schema.len(),
                target.item_schema_for.join(", ")
            ),
        );
    }
    text
}

fn limits(target: &Target) -> String {
    match &target.quota {
        Some(quota) if !quota.limits.is_empty() => quota.limits.join(", "),
        _ => "none".to_owned(),
    }
}

/// What a request takes of the limits.
fn cost(target: &Target) -> String {
    let cost = target.cost.unwrap_or_default();
    match (cost.base, cost.per_item) {
        (base, 0) => format!("{base} a request"),
        (0, per_item) => format!("{per_item} an item"),
        (base, per_item) => format!("{base} a request and {per_item} an item"),
    }
}

fn pace(pace: Pace) -> &'static str {
    match pace {
        Pace::Unspecified => "-",
        Pace::Window => "window",
        Pace::Smooth => "smooth",
    }
}

/// Until when and why nothing is sent to a target, or since when.
pub fn paused(target: &Target) -> String {
    let status = target.status.clone().unwrap_or_default();
    if let Some(since) = &status.held_since {
        let since = show::time(Some(since));
        return format!("since {since}: {}", terminal::clean(&status.pause_reason));
    }
    let until = status.paused_until.as_ref().and_then(show::until);
    match (until, status.pause_reason.as_str()) {
        (None, "") => "no".to_owned(),
        (None, reason) => terminal::clean(reason),
        (Some(until), reason) => format!(
            "for {} more: {}",
            show::duration(until),
            terminal::clean(reason)
        ),
    }
}

fn to_json(target: &Target) -> serde_json::Value {
    let quota = target.quota.clone().unwrap_or_default();
    let status = target.status.clone().unwrap_or_default();
    json!({
        "name": target.name,
        "kind": target.kind,
        "operation": target.operation,
        "quota": {
            "name": quota.name,
            "limits": quota.limits,
            "pace": pace(quota.pace()),
        },
        "chunk_items": target.chunk_items,
        "concurrency": target.concurrency,
        "cost": {
            "base": target.cost.unwrap_or_default().base,
            "per_item": target.cost.unwrap_or_default().per_item,
        },
        "request_items": target.request_items,
        "all_or_nothing_items": target.all_or_nothing_items,
        "item_schema": serde_json::from_str::<Box<RawValue>>(&target.item_schema).ok(),
        "item_schema_for": target.item_schema_for,
        "status": {
            "queued_items": status.queued_items,
            "in_flight": status.in_flight,
            "requests_last_second": status.requests_last_second,
            "paused_until": status.paused_until.as_ref().and_then(show::rfc3339),
            "pause_reason": status.pause_reason,
            "held_since": status.held_since.as_ref().and_then(show::rfc3339),
        },
    })
}
