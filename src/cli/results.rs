//! `flowgate results`: the results of a batch as a file; of the failed ones, a
//! file that `submit` takes back.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tonic::transport::Channel;

use super::record::{self, Recorder};
use super::resubmit::FailedItems;
use super::source::{Columns, Format};
use super::{Problem, Session, show, targets};
use crate::proto::batch_service_client::BatchServiceClient;
use crate::proto::{
    Batch, FailureKind, GetBatchRequest, ItemResult, ListBatchResultsRequest, ResultView,
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
  flowgate results ID --failed --kind rejected -o fix.csv
  flowgate results ID | jq -r 'select(.replayed) | .id'";

/// Write the results of a batch.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The batch.
    pub id: String,
    /// Write the failed items, as a file that `submit` takes back.
    #[arg(long, conflicts_with = "succeeded")]
    pub failed: bool,
    /// Write only those that failed in this way: invalid, rejected, throttled,
    /// unreachable, unavailable, `in_doubt`, cancelled, expired or aborted. May
    /// be repeated.
    #[arg(
        long = "kind",
        value_name = "KIND",
        value_parser = show::parse_kind,
        conflicts_with = "succeeded"
    )]
    pub kinds: Vec<FailureKind>,
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
    let batch = batch(&mut client, &args.id).await?;
    let mut file = Draft::of(args.output.as_deref());
    let mut written = 0u64;
    if args.failed {
        let known = match form {
            Format::Csv => known(&batch, session).await,
            _ => Columns::default(),
        };
        let mut items = FailedItems::new(file.output()?, form, known);
        let mut in_doubt = 0u32;
        each(&mut client, &args, |result| {
            in_doubt += u32::from(kind(result) == Some(FailureKind::InDoubt));
            written += 1;
            items.add(result)
        })
        .await?;
        items.flush()?;
        if in_doubt > 0 {
            let id = &args.id;
            eprintln!(
                "{} in doubt: it is not known whether they took effect; look at the target first, \
                 then\n  `flowgate retry {id} --kind in_doubt` sends them again under the keys \
                 that they had",
                show::count(in_doubt, "item")
            );
        }
    } else {
        let mut results = Recorder::new(file.output()?, form, None)?;
        each(&mut client, &args, |result| {
            written += 1;
            results.add(result)
        })
        .await?;
        results.flush()?;
    }
    file.keep()?;
    if !show::is_final(batch.state()) {
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

async fn batch(client: &mut BatchServiceClient<Channel>, batch_id: &str) -> anyhow::Result<Batch> {
    let request = GetBatchRequest {
        batch_id: batch_id.to_owned(),
    };
    let answer = client.get_batch(request).await.map_err(Problem::from)?;
    Ok(answer.into_inner().batch.unwrap_or_default())
}

/// What `submit` will know of the columns.
async fn known(batch: &Batch, session: &Session) -> Columns {
    let target = batch.spec.as_ref().map_or("", |spec| &spec.target);
    // The target may be gone by now: the rows are still there to be had.
    let columns = targets::columns(target, session).await;
    columns.ok().flatten().unwrap_or_default()
}

/// Hands on each result that is asked for, page by page.
async fn each(
    client: &mut BatchServiceClient<Channel>,
    args: &Args,
    mut take: impl FnMut(&ItemResult) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let view = match (args.failed || !args.kinds.is_empty(), args.succeeded) {
        (true, _) => ResultView::Failed,
        (false, true) => ResultView::Succeeded,
        (false, false) => ResultView::All,
    };
    let is_wanted = |result: &&ItemResult| {
        args.kinds.is_empty() || kind(result).is_some_and(|kind| args.kinds.contains(&kind))
    };
    let mut request = ListBatchResultsRequest {
        batch_id: args.id.clone(),
        view: view.into(),
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    loop {
        let page = client.list_batch_results(request.clone()).await;
        let page = page.map_err(Problem::from)?.into_inner();
        let mut wanted = page.results.iter().filter(is_wanted);
        wanted.try_for_each(&mut take)?;
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        request.page_token = page.next_page_token;
    }
}

fn kind(result: &ItemResult) -> Option<FailureKind> {
    match &result.outcome {
        Some(Outcome::Failure(failure)) => Some(failure.kind()),
        _ => None,
    }
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
