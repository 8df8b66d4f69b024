//! `flowgate results`: the results of a batch as a file; of the failed ones, a
//! file that `submit` takes back.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tonic::transport::Channel;

use super::record::{self, Recorder};
use super::resubmit::FailedItems;
use super::source::Format;
use super::{Problem, Session, show};
use crate::proto::batch_service_client::BatchServiceClient;
use crate::proto::{
    FailureKind, GetBatchRequest, ItemResult, ListBatchResultsRequest, ResultView,
    item_result::Outcome,
};

const PAGE_SIZE: u32 = 1_000;

const EXAMPLES: &str = "\
Without --failed each result is written: as one JSON object a line, or as CSV.

With --failed the items are written as they were submitted, for `flowgate submit`:
  .jsonl  one envelope a line, {\"$item\": {...}, \"$error\": \"...\"}; for any batch
  .csv    their columns, and `$error`, which submit does not send; for items that came from CSV

Examples:
  flowgate results ID --output all.csv
  flowgate results ID --failed --output failed.csv
  flowgate submit failed.csv --target crm        after correcting it
  flowgate results ID | jq -r 'select(.kind == \"IN_DOUBT\") | .id'";

/// Write the results of a batch.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The batch.
    pub id: String,
    /// Write the failed items, as a file that `submit` takes back.
    #[arg(long, conflicts_with = "succeeded")]
    pub failed: bool,
    /// Write the results of items that succeeded.
    #[arg(long)]
    pub succeeded: bool,
    /// Write to this file, .csv or .jsonl. Default: JSON lines on stdout.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Writes the results so far.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<ExitCode> {
    let form = args
        .output
        .as_deref()
        .map_or(Ok(Format::Jsonl), record::form_of)?;
    let mut client = session.server.batches().await?;
    let finished = is_finished(&mut client, &args.id).await?;
    let mut file = Draft::of(args.output.as_deref());
    let written = if args.failed {
        let mut items = FailedItems::new(file.output()?, form);
        let mut in_doubt = 0u32;
        let written = each(&mut client, &args.id, ResultView::Failed, |result| {
            in_doubt += u32::from(is_in_doubt(result));
            items.add(result)
        })
        .await?;
        items.flush()?;
        if in_doubt > 0 {
            eprintln!(
                "{} in doubt: it is not known whether they took effect; look at the target \
                 before you submit them again",
                show::count(in_doubt, "item")
            );
        }
        written
    } else {
        let view = if args.succeeded {
            ResultView::Succeeded
        } else {
            ResultView::All
        };
        let mut results = Recorder::new(file.output()?, form, None)?;
        let written = each(&mut client, &args.id, view, |result| results.add(result)).await?;
        results.flush()?;
        written
    };
    file.keep()?;
    if !finished {
        eprintln!("the batch is still running: these are the results so far");
    }
    if let (Some(path), false) = (&args.output, session.quiet) {
        let what = if args.failed { "failed item" } else { "result" };
        eprintln!(
            "{} written to {}",
            show::count(written, what),
            path.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn is_finished(
    client: &mut BatchServiceClient<Channel>,
    batch_id: &str,
) -> anyhow::Result<bool> {
    let request = GetBatchRequest {
        batch_id: batch_id.to_owned(),
    };
    let answer = client.get_batch(request).await.map_err(Problem::from)?;
    let batch = answer.into_inner().batch.unwrap_or_default();
    Ok(show::is_final(batch.state()))
}

/// Hands on each result, page by page; returns how many there were.
async fn each(
    client: &mut BatchServiceClient<Channel>,
    batch_id: &str,
    view: ResultView,
    mut take: impl FnMut(&ItemResult) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let mut request = ListBatchResultsRequest {
        batch_id: batch_id.to_owned(),
        view: view.into(),
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let mut taken = 0;
    loop {
        let page = client.list_batch_results(request.clone()).await;
        let page = page.map_err(Problem::from)?.into_inner();
        page.results.iter().try_for_each(&mut take)?;
        taken += page.results.len() as u64;
        if page.next_page_token.is_empty() {
            return Ok(taken);
        }
        request.page_token = page.next_page_token;
    }
}

fn is_in_doubt(result: &ItemResult) -> bool {
    matches!(&result.outcome, Some(Outcome::Failure(f)) if f.kind() == FailureKind::InDoubt)
}

/// A file that takes its name only once it is whole, so that half a file is
/// never taken for all of it, nor lost what it replaces.
struct Draft {
    names: Option<(PathBuf, PathBuf)>,
}

impl Draft {
    fn of(path: Option<&Path>) -> Draft {
        let names = path.map(|path| {
            let mut draft = path.as_os_str().to_owned();
            draft.push(".part");
            (PathBuf::from(draft), path.to_owned())
        });
        Draft { names }
    }

    fn output(&self) -> anyhow::Result<Box<dyn Write + Send>> {
        match &self.names {
            Some((draft, _)) => record::create(draft),
            None => Ok(Box::new(BufWriter::new(std::io::stdout()))),
        }
    }

    fn keep(&mut self) -> anyhow::Result<()> {
        if let Some((draft, path)) = self.names.take() {
            std::fs::rename(&draft, &path)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some((draft, _)) = &self.names {
            // It may not exist yet; and what failed before is told already.
            let _ = std::fs::remove_file(draft);
        }
    }
}
