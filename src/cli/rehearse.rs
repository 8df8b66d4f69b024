//! `flowgate submit --validate-only`: the rows go to the server to be looked
//! at, and what it would not take is shown.

use std::io::Write as _;

use anyhow::Context;
use tonic::transport::Channel;

use super::plan::Plan;
use super::record::{self, Recorder};
use super::report::{self, Page};
use super::source::{self, Lines};
use super::submit::Args;
use super::tally::Tally;
use super::terminal::{self, Paint};
use super::upload::Upload;
use super::{Ending, Problem, Session};
use crate::proto::batch_service_client::BatchServiceClient;
use crate::proto::batch_submit_stream_request::Message;
use crate::proto::{
    Atomicity, BatchAccepted, BatchAppend, BatchSpec, BatchSubmitRequest, Echo, ItemResult,
    Ordering,
};

/// Has all rows looked at, and reports those that are invalid. Nothing is sent
/// to a target, and there is no batch.
pub async fn run(
    args: Args,
    plan: Plan,
    client: &mut BatchServiceClient<Channel>,
    session: &Session,
) -> anyhow::Result<Ending> {
    let Plan { shape, checked, .. } = plan;
    let mut upload = match &checked {
        Some(_) => Upload::start(source::open(&args.file)?, shape),
        None => Upload::start(std::io::stdin(), shape),
    };
    let (lines, columns) = match checked {
        Some(checked) => (checked.lines, checked.columns),
        None => (Lines::default(), None),
    };
    let mut recorder = match &args.results {
        None => None,
        Some(path) => {
            let form = record::form_of(path)?;
            Some(Recorder::new(record::create(path)?, form, columns)?)
        }
    };
    let mut tally = Tally::new(0, args.shown.rows());
    let mut rows = 0;
    // What is sent in pieces is looked at in pieces.
    while let Message::Append(append) = upload.next().await? {
        let first = append.offset.unwrap_or_default();
        let results = look(&args, client, &append).await.with_context(|| {
            let line = lines.of(first);
            line.map_or(format!("from item {first} on"), |line| {
                format!("from line {line} on")
            })
        })?;
        rows = first + u32::try_from(append.items.len())?;
        for result in &results {
            tally.result(result);
            if let Some(recorder) = &mut recorder {
                recorder.add(result)?;
            }
        }
        upload.accepted(&BatchAccepted {
            items_held: rows,
            ..BatchAccepted::default()
        });
    }
    if let Some(recorder) = &mut recorder {
        recorder.flush().context("cannot write the results")?;
    }
    let page = Page {
        width: terminal::width(),
        paint: Paint::stdout(session.color),
        failed_file: "",
    };
    let text = report::looked_at(&tally, rows, &lines, page);
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(match tally.failed {
        0 => Ending::Succeeded,
        _ => Ending::SomeFailed,
    })
}

/// The outcomes of the invalid rows of one piece, by their places in the file.
async fn look(
    args: &Args,
    client: &mut BatchServiceClient<Channel>,
    append: &BatchAppend,
) -> anyhow::Result<Vec<ItemResult>> {
    let request = BatchSubmitRequest {
        spec: Some(BatchSpec {
            target: args.target.clone(),
            labels: args.labels.iter().cloned().collect(),
            // The rows are at hand here.
            echo: Echo::None.into(),
            ordering: match args.stops.ordered {
                true => Ordering::Strict.into(),
                false => Ordering::Parallel.into(),
            },
            atomicity: match args.stops.all_or_nothing {
                true => Atomicity::AllOrNothing.into(),
                false => Atomicity::Each.into(),
            },
            failure_policy: args.stops.policy(),
            ..BatchSpec::default()
        }),
        items: append.items.clone(),
        validate_only: true,
        ..BatchSubmitRequest::default()
    };
    let answer = client.batch_submit(request).await.map_err(Problem::from)?;
    let answer = answer.into_inner();
    let report = answer.validation.context(
        "the server does not know validate_only, and took these rows as a batch: it is older than \
         this program",
    )?;
    anyhow::ensure!(
        report.omitted == 0,
        "the server left out {} of the invalid rows",
        report.omitted
    );
    let first = append.offset.unwrap_or_default();
    let placed = |mut result: ItemResult| {
        let item = append.items.get(result.index as usize);
        // One without an id is known by its place in the file.
        if item.is_some_and(|item| item.id.is_empty()) {
            result.id = (first + result.index).to_string();
        }
        result.item = item.cloned();
        result.index += first;
        result
    };
    Ok(answer.results.into_iter().map(placed).collect())
}
