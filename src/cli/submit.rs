//! `flowgate submit`: a file becomes a batch, and what became of each row is
//! shown.

use std::path::PathBuf;

use super::follow::Stop;
use super::plan::Plan;
use super::source::Format;
use super::stops::Stops;
use super::submission::Submission;
use super::{Ending, Session, rehearse, targets};

const EXAMPLES: &str = "\
Files:
  CSV (.csv, .tsv)      the first line names the columns; every value is sent as a string, so
                        00123 stays 00123, but for columns of which the target's schema says
                        that they are something else: 41, true, [1,2]. `;` and tab are recognised, others by --delimiter.
                        Columns `$id`, `$key` and `$error`, as `flowgate results --failed`
                        writes them, are the item's id, its key, and for people only.
  JSON lines (.jsonl)   one object a line, sent exactly as it stands; or an envelope,
                        {\"$item\": {\"id\": ..., \"idempotency_key\": ..., \"payload\": ...,
                        \"action\": {\"verb\": \"update\", \"resource_id\": ...}, \"http\": {...}}}
  JSON (.json)          one array of such objects

The same file, sent to the same target again, is not imported again: its batch is shown. This
goes by the content, and holds for files only: what comes from stdin is always a new batch.
A run that was cut short is taken up where it was by typing the command again. A batch that is
there already keeps its deadline and what it stops at.

Examples:
  flowgate submit guests.csv --target crm
  flowgate submit orders.jsonl --target erp --key-column order_no --label run=nightly
  flowgate submit guests.csv --target crm --validate-only
  flowgate submit guests.csv --target crm --results out.csv
  flowgate submit prices.csv --target shop --deadline 30m --stop-at-share 10%
  export-users | flowgate submit - --format jsonl --target directory --detach

Exit status: 0 all succeeded (or --detach), 2 some failed (or are invalid), 1 anything else, 130 after Ctrl-C.";

/// Failed rows on a screen, unless more are asked for.
const MAX_FAILURES: usize = 20;

/// Submit a file as a batch, and see what becomes of each row.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file; `-` for stdin.
    pub file: PathBuf,
    /// The target that the items go to (`flowgate targets` lists them).
    #[arg(long, short)]
    pub target: String,
    /// How the file is written. Default: by its extension.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// What separates the values of a CSV file, `\t` for tab. Default: seen
    /// from the first line.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    pub delimiter: Option<u8>,
    /// Take each item's id from this column or field. It is still sent.
    #[arg(long, value_name = "NAME")]
    pub id_column: Option<String>,
    /// Take each item's idempotency key from this column or field. It is still
    /// sent.
    #[arg(long, value_name = "NAME")]
    pub key_column: Option<String>,
    /// Labels to find the batch by.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    pub labels: Vec<(String, String)>,
    /// Submit the file as a new batch, even if it was submitted before.
    #[arg(long, conflicts_with = "request_id")]
    pub new: bool,
    /// The batch's own idempotency key. Default: derived from the file's
    /// content, the target and what shapes the items.
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Return once everything is handed in: print the batch's id.
    #[arg(long, conflicts_with = "results")]
    pub detach: bool,
    /// Write every result to this file (.csv or .jsonl), in the order in which
    /// they come.
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
    /// Only have the rows looked at by the server, and show those that it would
    /// not take. Nothing is sent to the target, and there is no batch.
    #[arg(long, conflicts_with_all = ["new", "request_id", "detach"])]
    pub validate_only: bool,
    /// When the batch is to stop, and in which order it is sent.
    #[command(flatten)]
    pub stops: Stops,
    /// How many failures are shown at the end.
    #[command(flatten)]
    pub shown: Shown,
}

impl Args {
    /// A submission with every option at its default.
    pub fn new(file: impl Into<PathBuf>, target: impl Into<String>) -> Args {
        Args {
            file: file.into(),
            target: target.into(),
            format: None,
            delimiter: None,
            id_column: None,
            key_column: None,
            labels: Vec::new(),
            new: false,
            request_id: None,
            detach: false,
            results: None,
            validate_only: false,
            stops: Stops::default(),
            shown: Shown {
                max_failures: MAX_FAILURES,
                all_failures: false,
            },
        }
    }
}

/// How many failures are shown at the end.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Shown {
    /// Show so many failed rows at the end.
    #[arg(long, value_name = "N", default_value_t = MAX_FAILURES)]
    pub max_failures: usize,
    /// Show all failed rows at the end.
    #[arg(long, conflicts_with = "max_failures")]
    pub all_failures: bool,
}

impl Shown {
    /// The number of rows to keep for the end.
    pub fn rows(self) -> usize {
        if self.all_failures {
            usize::MAX
        } else {
            self.max_failures
        }
    }
}

fn delimiter(given: &str) -> Result<u8, String> {
    match given.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [one] if *one != b'"' && *one != b'\n' && *one != b'\r' => Ok(*one),
        _ => Err("expected one ASCII character, or \\t".to_owned()),
    }
}

/// A label as it is written on the command line.
pub fn label(given: &str) -> Result<(String, String), String> {
    match given.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as key=value".to_owned()),
    }
}

/// Submits, follows and reports. Ctrl-C ends the following, not the batch.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<Ending> {
    let mut plan = Plan::of(&args)?;
    let mut client = session.server.batches().await?;
    if plan.shape.format == Format::Csv
        && let Some(columns) = targets::columns(&args.target, session).await?
    {
        plan.know(columns, &args.file)?;
    }
    if args.validate_only {
        return rehearse::run(args, plan, &mut client, session).await;
    }
    let mut submission = Submission::begin(args, plan, session)?;
    let mut stop = Stop::on_ctrl_c();
    let ended = submission.run(&mut client, &mut stop).await;
    submission.conclude(ended, session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_character() {
        assert_eq!(delimiter(";"), Ok(b';'));
        assert_eq!(delimiter("\\t"), Ok(b'\t'));
        for given in ["", "ab", "é", "\""] {
            assert!(delimiter(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn a_label_is_a_key_and_a_value() {
        assert_eq!(label("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(label("a").is_err());
        assert!(label("=b").is_err());
    }
}
