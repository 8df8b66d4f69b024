//! Results and lists by page.

use prost::Message;

use super::wire;
use crate::intake::store_trouble;
use crate::model::{BatchNo, Code, EventKind, ItemResult, Outcome, Refusal};
use crate::proto;
use crate::proto::ResultView;
use crate::store::Store;

/// The most bytes of results in a response: generated clients take 4 MiB.
const MAX_BYTES: usize = 3 * 1024 * 1024;

/// The most bytes of events that one page reads: a filter that lets little
/// through must not make one call read a whole log.
const MAX_READ: usize = 32 * 1024 * 1024;

/// Bytes of events that are read at once.
const READ_BYTES: usize = 1024 * 1024;

/// A page of results.
pub(super) struct ResultPage {
    pub results: Vec<proto::ItemResult>,
    /// Where the next one begins; empty when there is nothing more.
    pub next: String,
}

/// A place in a batch's log, just before a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// The event that has it.
    sequence: u64,
    /// Its place in the event.
    at: usize,
}

impl Place {
    const START: Place = Place { sequence: 1, at: 0 };

    fn token(self, view: ResultView) -> String {
        format!("r{}.{}.{}", view as i32, self.sequence, self.at)
    }

    fn parse(token: &str, view: ResultView) -> Result<Place, Refusal> {
        if token.is_empty() {
            return Ok(Place::START);
        }
        let read = || {
            let mut parts = token.strip_prefix('r')?.split('.');
            let same_view = parts.next()?.parse::<i32>().ok()? == view as i32;
            let sequence = parts.next()?.parse().ok()?;
            let at = parts.next()?.parse().ok()?;
            let whole = parts.next().is_none() && sequence > 0 && same_view;
            whole.then_some(Place { sequence, at })
        };
        read().ok_or_else(|| {
            invalid_page_token("the next_page_token of a call with the same batch and view")
        })
    }
}

pub(super) fn invalid_page_token(right: &str) -> Refusal {
    let description = format!("must be empty, or {right}");
    Refusal::new(
        Code::InvalidArgument,
        "INVALID_PAGE_TOKEN",
        format!("page_token {description}"),
    )
    .field("page_token", description)
}

/// What a request's view means; unspecified is all.
pub(super) fn view(view: i32) -> Result<ResultView, Refusal> {
    match ResultView::try_from(view) {
        Ok(ResultView::Unspecified) => Ok(ResultView::All),
        Ok(view) => Ok(view),
        Err(_) => Err(wire::unknown_value("view", view)),
    }
}

/// The results of a batch from a place on, as many as fit.
pub(super) async fn results(
    store: &dyn Store,
    no: BatchNo,
    view: ResultView,
    token: &str,
    most: usize,
) -> Result<ResultPage, Refusal> {
    let mut place = Place::parse(token, view)?;
    let mut page = ResultPage {
        results: Vec::new(),
        next: String::new(),
    };
    if view == ResultView::Summary {
        return Ok(page);
    }
    let (mut bytes, mut read) = (0, 0);
    loop {
        let events = store.events(no, place.sequence - 1, READ_BYTES).await;
        let events = events.map_err(store_trouble)?;
        for event in events.events {
            let skip = match event.sequence == place.sequence {
                true => place.at,
                false => 0,
            };
            place = Place {
                sequence: event.sequence,
                at: skip,
            };
            let EventKind::Results(results) = event.kind else {
                place = after(event.sequence);
                continue;
            };
            for result in results.into_iter().skip(skip) {
                if shows(view, &result) {
                    let told = wire::result(result);
                    bytes += told.encoded_len() + 8;
                    let full = page.results.len() == most || bytes > MAX_BYTES;
                    if full && !page.results.is_empty() {
                        page.next = place.token(view);
                        return Ok(page);
                    }
                    page.results.push(told);
                }
                place.at += 1;
            }
            place = after(event.sequence);
        }
        if !events.more {
            return Ok(page);
        }
        read += READ_BYTES;
        if read >= MAX_READ {
            page.next = place.token(view);
            return Ok(page);
        }
    }
}

/// The first of some results, as many as fit into a response.
pub(super) fn fitting(results: Vec<ItemResult>) -> Vec<proto::ItemResult> {
    let mut bytes = 0;
    let told = results.into_iter().map(wire::result);
    let fits = |result: &proto::ItemResult| {
        bytes += result.encoded_len() + 8;
        bytes <= MAX_BYTES
    };
    told.take_while(fits).collect()
}

fn after(sequence: u64) -> Place {
    Place {
        sequence: sequence + 1,
        at: 0,
    }
}

fn shows(view: ResultView, result: &ItemResult) -> bool {
    let succeeded = matches!(result.outcome, Outcome::Succeeded(_));
    match view {
        ResultView::All | ResultView::Unspecified => true,
        ResultView::Succeeded => succeeded,
        ResultView::Failed => !succeeded,
        ResultView::Summary => false,
    }
}
