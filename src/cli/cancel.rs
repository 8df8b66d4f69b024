//! `flowgate cancel`: what waits is not sent any more.

use std::io::Write as _;
use std::process::ExitCode;

use super::{Problem, Session, show};
use crate::proto::{BatchState, CancelBatchRequest};

const EXAMPLES: &str = "\
Items that wait end as CANCELLED; those already written to the target run to their outcome.
Cancelling a batch twice, or one that has finished, changes nothing.

Example:
  flowgate cancel 0199f3a2-7c1e-7b6a-9d0e-3f2b1c4d5e6f";

/// Cancel a batch.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The batch.
    pub id: String,
}

/// Cancels, and says where that leaves the batch.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<ExitCode> {
    let request = CancelBatchRequest { batch_id: args.id };
    let mut client = session.server.batches().await?;
    let answer = client.cancel_batch(request).await.map_err(Problem::from)?;
    let batch = answer.into_inner().batch.unwrap_or_default();
    let progress = batch.progress.clone().unwrap_or_default();
    let id = &batch.id;
    let counts = show::outcomes(&batch);
    let text = match batch.state() {
        BatchState::Cancelled => format!("batch {id} is cancelled: {counts}"),
        state if show::is_final(state) => {
            format!("batch {id} had already finished: {counts}")
        }
        _ => format!(
            "batch {id} is being cancelled: {counts} so far, {} on the wire; \
             `flowgate watch {id}` shows the end",
            progress.in_flight
        ),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}
