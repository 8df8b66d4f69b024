//! `flowgate resume`: what `flowgate pause` held goes on.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::ArgGroup;

use super::{Problem, Session, show, targets, terminal};
use crate::proto::{Batch, ResumeBatchRequest, ResumeTargetRequest, StoppedBy, Target};

const EXAMPLES: &str = "\
What is not paused is left as it is. A pause that the target itself asked for is not ended.

Examples:
  flowgate resume 0199f3a2-7c1e-7b6a-9d0e-3f2b1c4d5e6f
  flowgate resume --target crm";

/// Let a paused batch, or a held target, go on.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES, group = ArgGroup::new("what").required(true))]
pub struct Args {
    /// The batch.
    #[arg(group = "what")]
    pub id: Option<String>,
    /// Let this target go on instead.
    #[arg(long, short, value_name = "NAME", group = "what")]
    pub target: Option<String>,
}

/// Resumes, and says where that leaves the batch or the target.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<ExitCode> {
    let text = match (args.target, args.id) {
        (Some(name), _) => {
            let mut client = session.server.targets().await?;
            let answer = client.resume_target(ResumeTargetRequest { name }).await;
            let target = answer.map_err(Problem::from)?.into_inner().target;
            let_go(&target.unwrap_or_default())
        }
        (None, id) => {
            let batch_id = id.unwrap_or_default();
            let mut client = session.server.batches().await?;
            let answer = client.resume_batch(ResumeBatchRequest { batch_id }).await;
            let batch = answer.map_err(Problem::from)?.into_inner().batch;
            resumed(&batch.unwrap_or_default())
        }
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn resumed(batch: &Batch) -> String {
    let id = &batch.id;
    let counts = show::outcomes(batch);
    if show::is_final(batch.state()) {
        return format!("batch {id} had already finished: {counts}");
    }
    if batch.stopped_by() != StoppedBy::Unspecified {
        return format!(
            "batch {id} is being stopped, and nothing more of it is sent: {counts} so far"
        );
    }
    let waiting = batch.progress.as_ref().and_then(|p| p.waiting.as_ref());
    let waits = waiting.map_or_else(String::new, |waiting| {
        format!("\n  it waits: {}", terminal::clean(&waiting.reason))
    });
    format!("batch {id} goes on: {counts} so far\n  `flowgate watch {id}` follows it{waits}")
}

fn let_go(target: &Target) -> String {
    let status = target.status.clone().unwrap_or_default();
    let queued = show::count(status.queued_items, "item");
    let name = terminal::clean(&target.name);
    let mut text = format!("target {name} goes on: {queued} waiting");
    if status.paused_until.is_some() {
        let _ = write!(text, "\n  it is paused {}", targets::paused(target));
    }
    text
}
