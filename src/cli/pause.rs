//! `flowgate pause`: a batch is held, or a target for everybody.

use std::io::Write as _;
use std::process::ExitCode;

use clap::ArgGroup;

use super::{Problem, Session, show, terminal};
use crate::proto::{Batch, BatchState, PauseBatchRequest, PauseTargetRequest, Target};

const EXAMPLES: &str = "\
Nothing more is sent until `flowgate resume`; what was already written to the target runs to its
outcome. Items can still be submitted. A batch's deadline does not wait. A target stays held when
the server is restarted. Pausing twice changes nothing.

Examples:
  flowgate pause 0199f3a2-7c1e-7b6a-9d0e-3f2b1c4d5e6f
  flowgate pause --target crm --reason 'upgrade until 14:00'";

/// Hold a batch, or a target for everybody, until it is resumed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("what").required(true))]
pub struct Args {
    /// The batch.
    #[arg(group = "what")]
    pub id: Option<String>,
    /// Hold this target instead, for the batches of all callers.
    #[arg(long, short, value_name = "NAME", group = "what")]
    pub target: Option<String>,
    /// Why, for those who wonder what their batches wait for.
    #[arg(long, value_name = "TEXT", conflicts_with = "id")]
    pub reason: Option<String>,
}

/// Pauses, and says where that leaves the batch or the target.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<ExitCode> {
    let text = match (args.target, args.id) {
        (Some(name), _) => {
            let reason = args.reason.unwrap_or_default();
            let mut client = session.server.targets().await?;
            let request = PauseTargetRequest {
                name,
                reason: reason.clone(),
            };
            let answer = client.pause_target(request).await.map_err(Problem::from)?;
            held(&answer.into_inner().target.unwrap_or_default(), &reason)
        }
        (None, id) => {
            let batch_id = id.unwrap_or_default();
            let mut client = session.server.batches().await?;
            let answer = client.pause_batch(PauseBatchRequest { batch_id }).await;
            let batch = answer.map_err(Problem::from)?.into_inner().batch;
            paused(&batch.unwrap_or_default())
        }
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn paused(batch: &Batch) -> String {
    let id = &batch.id;
    let counts = show::outcomes(batch);
    match batch.state() {
        BatchState::Paused => {
            let progress = batch.progress.clone().unwrap_or_default();
            format!(
                "batch {id} is paused: {counts} so far, {} waiting, {} on the wire\n  \
                 `flowgate resume {id}` lets it go on",
                progress.queued, progress.in_flight
            )
        }
        state if show::is_final(state) => {
            format!("batch {id} had already finished: {counts}")
        }
        _ => format!(
            "batch {id} is being stopped already, and nothing more of it is sent: {counts} so far"
        ),
    }
}

fn held(target: &Target, reason: &str) -> String {
    let status = target.status.clone().unwrap_or_default();
    let name = terminal::clean(&target.name);
    let first = match status.pause_reason.ends_with(reason) {
        true => "",
        // Of several who hold it, the first is who says why.
        false => " (it was held before, and the first reason stays)",
    };
    format!(
        "target {name} is held since {}: {} waiting, {} on the wire\n  \
         its batches say: {}{first}\n  \
         `flowgate resume --target {name}` lets it go on",
        show::time(status.held_since.as_ref()),
        show::count(status.queued_items, "item"),
        show::count(status.in_flight, "request"),
        terminal::clean(&status.pause_reason),
    )
}
