//! `flowgate retry`: failed items go in again, as a new batch, and what becomes
//! of them is shown.

use std::io::Write as _;

use tonic::Status;

use super::follow::{Ended, Live, Stop, Tries, ask, conclude, follow};
use super::source::Lines;
use super::submit::Shown;
use super::tally::Tally;
use super::view::View;
use super::{Ending, Problem, Session, advice, problem, show};
use crate::proto::{Batch, FailureKind, RetryBatchRequest};

const EXAMPLES: &str = "\
By default the items go again that may do better as they are: those that failed as THROTTLED,
UNREACHABLE, UNAVAILABLE or EXPIRED. Each kind that is named takes the place of these.

  rejected, invalid    correct them instead: `flowgate results ID --failed`. Of `invalid`, only
                       those go again whose key was in use
  in_doubt             look at the target first: they may have been done. They keep the key that
                       they were sent with; all others get a new one

Typing it again shows the same new batch, and submits nothing twice.

Examples:
  flowgate retry 0199f3a2-7c1e-7b6a-9d0e-3f2b1c4d5e6f
  flowgate retry 0199f3a2-7c1e-7b6a-9d0e-3f2b1c4d5e6f --kind aborted --kind expired

Exit status: 0 all succeeded (or --detach), 2 some failed, 1 anything else, 130 after Ctrl-C.";

/// Submit the failed items of a finished batch again, as a new batch.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The finished batch.
    pub id: String,
    /// Those that failed in this way: invalid, rejected, throttled,
    /// unreachable, unavailable, `in_doubt`, cancelled, expired or aborted. May
    /// be repeated.
    #[arg(long = "kind", value_name = "KIND", value_parser = show::parse_kind)]
    pub kinds: Vec<FailureKind>,
    /// The new batch's own idempotency key: give another one to submit the same
    /// failures once more. Default: made of the batch and the kinds.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Return once they are submitted: print the new batch's id.
    #[arg(long)]
    pub detach: bool,
    /// How many failures are shown at the end.
    #[command(flatten)]
    pub shown: Shown,
}

/// Submits again, follows and reports. Ctrl-C ends the following, not the
/// batch.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<Ending> {
    let view = View::new(session);
    let mut stop = Stop::on_ctrl_c();
    let batch = match submit(&args, session, &view, &mut stop).await? {
        Ok(batch) => batch,
        Err(Ended::Broken(status)) => return Err(refused(&args.id, &status, session).await.into()),
        Err(_) => {
            eprintln!(
                "stopped before the server answered: it may have submitted them\n  \
                 typing the same command again shows that batch, and submits nothing twice"
            );
            return Ok(Ending::Interrupted);
        }
    };
    if args.detach {
        view.end();
        writeln!(std::io::stdout(), "{}", batch.id)?;
        return Ok(Ending::Detached);
    }
    view.note(&introduction(&args.id, &batch));
    let mut live = Live {
        tally: Tally::new(0, args.shown.rows()),
        view,
        total: batch.progress.as_ref().map(|progress| progress.total),
        recorder: None,
        lines: Lines::default(),
        format: None,
    };
    let ended = follow(session, &batch.id, &mut live, &mut stop).await?;
    conclude(ended, &batch.id, live, session)
}

/// Has the server submit them, over as many connections as it takes: however
/// often it is asked, it is one batch.
async fn submit(
    args: &Args,
    session: &Session,
    view: &View,
    stop: &mut Stop,
) -> anyhow::Result<Result<Batch, Ended>> {
    let mut client = session.server.batches().await?;
    let mut tries = Tries::default();
    let request = RetryBatchRequest {
        batch_id: args.id.clone(),
        kinds: args.kinds.iter().copied().map(Into::into).collect(),
        request_id: args.request_id.clone().unwrap_or_default(),
    };
    loop {
        let answer = tokio::select! {
            answer = client.retry_batch(request.clone()) => answer,
            () = stop.pressed() => return Ok(Err(Ended::Interrupted)),
        };
        let lost = match answer {
            Ok(answer) => return Ok(Ok(answer.into_inner().batch.unwrap_or_default())),
            Err(status) => status,
        };
        if let Err(ended) = tries.wait(lost, view, stop).await {
            return Ok(Err(ended));
        }
    }
}

/// Why nothing was submitted; with what there is to do instead.
async fn refused(batch_id: &str, status: &Status, session: &Session) -> Problem {
    let problem = Problem::of(status);
    if problem::reason(status).as_deref() != Some("NOTHING_TO_RETRY") {
        return problem;
    }
    let Ok(mut client) = session.server.batches().await else {
        return problem;
    };
    match ask(&mut client, batch_id).await {
        None => problem,
        Some(batch) if batch.progress.as_ref().is_some_and(|p| p.failed == 0) => {
            problem.advise("none of its items failed")
        }
        Some(batch) => {
            let next = advice::next(&Tally::new(0, 0), &batch, "failed.jsonl");
            problem.advise(next.trim().replace('\n', "\n  "))
        }
    }
}

/// What was made of the failed items.
fn introduction(of: &str, batch: &Batch) -> String {
    let progress = batch.progress.clone().unwrap_or_default();
    let items = show::count(progress.total, "item");
    let id = &batch.id;
    // A new one has nothing done yet, unless the record of keys answers all.
    if show::is_final(batch.state()) {
        return format!(
            "batch {id} has {items} of batch {of}, and has finished; nothing is submitted again \
             (--request-id ID to submit them once more)"
        );
    }
    format!("batch {id}: {items} of batch {of}, again")
}
