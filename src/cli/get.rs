//! `flowgate get`: a batch as it stands.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::json;

use super::{Problem, Session, show};
use crate::proto::{Atomicity, Batch, GetBatchRequest, Ordering, SealedBy, StoppedBy};

const EXAMPLES: &str = "\
Example:
  flowgate get 0199f3a2-7c1e-7b6a-9d0e-3f2b1c4d5e6f";

/// Show a batch as it stands.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The batch.
    pub id: String,
    /// As JSON.
    #[arg(long)]
    pub json: bool,
}

/// Prints the batch.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<ExitCode> {
    let request = GetBatchRequest { batch_id: args.id };
    let mut client = session.server.batches().await?;
    let answer = client.get_batch(request).await.map_err(Problem::from)?;
    let batch = answer.into_inner().batch.unwrap_or_default();
    let text = if args.json {
        format!("{:#}\n", to_json(&batch))
    } else {
        describe(&batch)
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A batch as a short text.
pub fn describe(batch: &Batch) -> String {
    let spec = batch.spec.clone().unwrap_or_default();
    let progress = batch.progress.clone().unwrap_or_default();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<10}  {}", super::terminal::clean(&value));
    };
    line("batch", batch.id.clone());
    line("target", spec.target.clone());
    line("state", show::state(batch.state()).to_owned());
    let open = if batch.sealed { "" } else { " so far (open)" };
    line("items", format!("{}{open}", progress.total));
    line("succeeded", progress.succeeded.to_string());
    line("failed", {
        let kinds: Vec<_> = progress
            .failed_by_kind
            .iter()
            .map(|kind| format!("{} {}", kind.count, show::kind(kind.kind())))
            .collect();
        match kinds.len() {
            0 => progress.failed.to_string(),
            _ => format!("{} ({})", progress.failed, kinds.join(", ")),
        }
    });
    if !show::is_final(batch.state()) {
        line("in flight", progress.in_flight.to_string());
        line("queued", progress.queued.to_string());
        match (progress.waiting, progress.time_left) {
            (Some(waiting), _) => line("waiting", waiting.reason),
            (None, left) => {
                line("rate", show::rate(progress.items_per_second));
                if let Some(left) = left.and_then(|left| left.try_into().ok()) {
                    line("time left", show::duration(left));
                }
            }
        }
    }
    match batch.stopped_by() {
        StoppedBy::Unspecified => {}
        by => line("stopped by", show::stopped_by(by).to_owned()),
    }
    if batch.sealed_by() == SealedBy::Timeout {
        line("sealed by", "the server: nobody filled it".to_owned());
    }
    if spec.ordering() == Ordering::Strict {
        line("order", "strict".to_owned());
    }
    if spec.atomicity() == Atomicity::AllOrNothing {
        line("all", "or nothing".to_owned());
    }
    if spec.deadline.is_some() {
        line("deadline", show::time(spec.deadline.as_ref()));
    }
    if let Some(policy) = &spec.failure_policy {
        line("stops", show::policy(policy));
    }
    if !spec.request_id.is_empty() {
        line("request id", spec.request_id);
    }
    for (key, value) in spec.labels {
        line("label", format!("{key}={value}"));
    }
    line("created", show::time(batch.create_time.as_ref()));
    line("started", show::time(batch.start_time.as_ref()));
    line("finished", show::time(batch.finish_time.as_ref()));
    text
}

/// A batch for machines, with the names of the contract.
pub fn to_json(batch: &Batch) -> serde_json::Value {
    let spec = batch.spec.clone().unwrap_or_default();
    let progress = batch.progress.clone().unwrap_or_default();
    let time = |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(show::rfc3339);
    let by_kind: serde_json::Map<_, _> = progress
        .failed_by_kind
        .iter()
        .map(|kind| (show::kind(kind.kind()).to_owned(), kind.count.into()))
        .collect();
    let waiting = progress
        .waiting
        .as_ref()
        .map(|waiting| json!({ "reason": waiting.reason, "until": time(&waiting.until) }));
    let policy = spec.failure_policy.as_ref().map(
        |policy| json!({ "stop_after": policy.stop_after, "stop_at_share": policy.stop_at_share }),
    );
    json!({
        "id": batch.id,
        "target": spec.target,
        "request_id": spec.request_id,
        "labels": spec.labels,
        "state": show::state(batch.state()),
        "sealed": batch.sealed,
        "sealed_by": named(batch.sealed_by().as_str_name(), "SEALED_BY_"),
        "stopped_by": named(batch.stopped_by().as_str_name(), "STOPPED_BY_"),
        "ordering": named(spec.ordering().as_str_name(), "ORDERING_"),
        "atomicity": named(spec.atomicity().as_str_name(), "ATOMICITY_"),
        "deadline": time(&spec.deadline),
        "failure_policy": policy,
        "progress": {
            "total": progress.total,
            "completed": progress.completed,
            "succeeded": progress.succeeded,
            "failed": progress.failed,
            "failed_by_kind": by_kind,
            "in_flight": progress.in_flight,
            "queued": progress.queued,
            "fraction": progress.fraction,
            "items_per_second": progress.items_per_second,
            "chunks_finished": progress.chunks_finished,
            "waiting": waiting,
        },
        "create_time": time(&batch.create_time),
        "start_time": time(&batch.start_time),
        "finish_time": time(&batch.finish_time),
    })
}

/// The name of an enum's value without its prefix; none for the one that says
/// nothing.
fn named(name: &'static str, prefix: &str) -> Option<&'static str> {
    let name = name.strip_prefix(prefix).unwrap_or(name);
    Some(name).filter(|name| *name != "UNSPECIFIED")
}
