//! `flowgate list`: the batches there are.

use std::io::Write as _;
use std::process::ExitCode;

use comfy_table::{ContentArrangement, Table, presets};

use super::{Problem, Session, get, show, submit, terminal};
use crate::proto::{Batch, BatchState, ListBatchesRequest};

/// What a server gives at most in one page.
const PAGE: usize = 1_000;

const EXAMPLES: &str = "\
Examples:
  flowgate list --target crm --state running
  flowgate list --label run=nightly --limit 5
  flowgate list --json | jq -r '.[].id'";

/// List batches, the newest first.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only those for this target.
    #[arg(long, short)]
    pub target: Option<String>,
    /// Only those in this state: running, paused, cancelling, succeeded,
    /// `partially_succeeded`, failed or cancelled. May be repeated.
    #[arg(long = "state", value_name = "STATE", value_parser = show::parse_state)]
    pub states: Vec<BatchState>,
    /// Only those with this label. May be repeated: all must match.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = submit::label)]
    pub labels: Vec<(String, String)>,
    /// At most so many.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// As a JSON array.
    #[arg(long)]
    pub json: bool,
}

/// Prints the batches.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<ExitCode> {
    let mut client = session.server.batches().await?;
    let mut batches: Vec<Batch> = Vec::new();
    let mut more = String::new();
    while batches.len() < args.limit {
        let wanted = (args.limit - batches.len()).min(PAGE);
        let request = ListBatchesRequest {
            target: args.target.clone().unwrap_or_default(),
            states: args.states.iter().copied().map(Into::into).collect(),
            labels: args.labels.iter().cloned().collect(),
            page_size: u32::try_from(wanted)?,
            page_token: more,
        };
        let page = client.list_batches(request).await.map_err(Problem::from)?;
        let page = page.into_inner();
        batches.extend(page.batches);
        more = page.next_page_token;
        if more.is_empty() {
            break;
        }
    }
    batches.truncate(args.limit);
    let text = if args.json {
        let all: serde_json::Value = batches.iter().map(get::to_json).collect();
        format!("{all:#}\n")
    } else if batches.is_empty() {
        "no batches\n".to_owned()
    } else {
        table(&batches)
    };
    std::io::stdout().write_all(text.as_bytes())?;
    if !more.is_empty() && !args.json && !session.quiet {
        eprintln!("there are more: --limit N");
    }
    Ok(ExitCode::SUCCESS)
}

fn table(batches: &[Batch]) -> String {
    let mut header = vec![
        "batch",
        "target",
        "state",
        "items",
        "succeeded",
        "failed",
        "created",
    ];
    let remarks: Vec<String> = batches.iter().map(show::remarks).collect();
    // Mostly there are none.
    let has_remarks = remarks.iter().any(|remark| !remark.is_empty());
    if has_remarks {
        header.push("remarks");
    }
    let mut table = plain_table(&header);
    for (batch, remark) in batches.iter().zip(remarks) {
        let progress = batch.progress.clone().unwrap_or_default();
        let target = batch.spec.as_ref().map_or("", |spec| &spec.target);
        let cells = [
            batch.id.clone(),
            terminal::clean(target),
            show::state(batch.state()).to_owned(),
            progress.total.to_string(),
            progress.succeeded.to_string(),
            progress.failed.to_string(),
            show::time(batch.create_time.as_ref()),
        ];
        table.add_row(cells.into_iter().chain(has_remarks.then_some(remark)));
    }
    printed(&mut table)
}

/// A table without lines; never wrapped, so that it can be cut and searched.
pub fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    table
}

/// The table's text, with its columns set two apart.
pub fn printed(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt() + "\n"
}
