//! What a batch's events add up to: counts, failures by cause, the first
//! failed rows. A fold without I/O; its memory does not grow with the batch.

use std::collections::BTreeMap;

use tonic_types::RpcStatusExt;

use super::payload;
use crate::proto::item_result::Outcome;
use crate::proto::{Batch, BatchEvent, Failure, FailureKind, ItemResult, Progress, batch_event};

/// More causes than these are not told apart: where messages carry data of
/// their item, each would be one.
const MAX_CAUSES: usize = 500;

/// What is known of a batch from its events.
#[derive(Debug)]
pub struct Tally {
    /// The last sequence handled: where to go on.
    pub cursor: u64,
    /// Results counted here.
    pub succeeded: u32,
    /// Results counted here.
    pub failed: u32,
    /// Of both, those that were answered from the record of an earlier item.
    pub replayed: u32,
    /// The newest figures that the server told.
    pub progress: Progress,
    /// The batch, once it has finished.
    pub finished: Option<Batch>,
    /// Failures by cause.
    pub causes: BTreeMap<Cause, u32>,
    /// The failed rows of the lowest indexes, at most `keep`.
    pub rows: BTreeMap<u32, FailedRow>,
    keep: usize,
}

/// Why items failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// Whose fault it was.
    pub kind: FailureKind,
    /// In upper snake case; may be empty.
    pub reason: String,
    /// In words.
    pub message: String,
}

/// A failed item, as a table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRow {
    /// The item's id.
    pub id: String,
    /// Whose fault it was.
    pub kind: FailureKind,
    /// In words, with the fields at fault.
    pub error: String,
    /// The names of the fields at fault.
    pub faulty: Vec<String>,
    /// The fields it came with, where the batch gives them back.
    pub fields: Vec<(String, String)>,
}

impl Tally {
    /// Nothing yet; keeps so many failed rows.
    pub fn new(cursor: u64, keep: usize) -> Tally {
        Tally {
            cursor,
            succeeded: 0,
            failed: 0,
            replayed: 0,
            progress: Progress::default(),
            finished: None,
            causes: BTreeMap::new(),
            rows: BTreeMap::new(),
            keep,
        }
    }

    /// Adds an event. One that was already handled changes nothing.
    pub fn event(&mut self, event: &BatchEvent) {
        if event.sequence <= self.cursor {
            return;
        }
        self.cursor = event.sequence;
        match &event.kind {
            Some(batch_event::Kind::Results(results)) => {
                results
                    .results
                    .iter()
                    .for_each(|result| self.result(result));
            }
            Some(batch_event::Kind::Progress(progress)) => self.progress = progress.clone(),
            Some(batch_event::Kind::Finished(batch)) => {
                self.progress = batch.progress.clone().unwrap_or_default();
                self.finished = Some(batch.clone());
            }
            None => {}
        }
    }

    /// Items that succeeded, by whichever source is ahead: results are told
    /// before the figures that include them, and after a cursor only the
    /// figures count those before it.
    pub fn succeeded_now(&self) -> u32 {
        self.progress.succeeded.max(self.succeeded)
    }

    /// Items that failed, likewise.
    pub fn failed_now(&self) -> u32 {
        self.progress.failed.max(self.failed)
    }

    /// Adds the result of an item.
    pub fn result(&mut self, result: &ItemResult) {
        self.replayed += u32::from(result.replayed);
        let failure = match &result.outcome {
            Some(Outcome::Success(_)) => {
                self.succeeded += 1;
                return;
            }
            Some(Outcome::Failure(failure)) => failure,
            None => return,
        };
        self.failed += 1;
        self.cause(failure);
        let wanted = self.rows.len() < self.keep
            || self
                .rows
                .last_key_value()
                .is_some_and(|(last, _)| result.index < *last);
        if wanted {
            self.rows
                .insert(result.index, FailedRow::of(result, failure));
            if self.rows.len() > self.keep {
                self.rows.pop_last();
            }
        }
    }

    fn cause(&mut self, failure: &Failure) {
        let cause = Cause {
            kind: failure.kind(),
            reason: reason(failure),
            message: describe(failure),
        };
        if self.causes.len() < MAX_CAUSES || self.causes.contains_key(&cause) {
            *self.causes.entry(cause).or_default() += 1;
        } else {
            let rest = Cause {
                message: "other messages".to_owned(),
                ..cause
            };
            *self.causes.entry(rest).or_default() += 1;
        }
    }
}

impl FailedRow {
    fn of(result: &ItemResult, failure: &Failure) -> FailedRow {
        FailedRow {
            id: result.id.clone(),
            kind: failure.kind(),
            error: describe(failure),
            faulty: violations(failure).into_iter().map(|(f, _)| f).collect(),
            fields: result
                .item
                .as_ref()
                .map(payload::fields)
                .unwrap_or_default(),
        }
    }
}

/// The failure's reason for programs; empty where it has none.
pub fn reason(failure: &Failure) -> String {
    failure
        .error
        .as_ref()
        .and_then(RpcStatusExt::get_details_error_info)
        .map(|info| info.reason)
        .unwrap_or_default()
}

/// The fields at fault and what is wrong with each, without the `payload.`
/// that they begin with.
pub fn violations(failure: &Failure) -> Vec<(String, String)> {
    failure
        .error
        .as_ref()
        .and_then(RpcStatusExt::get_details_bad_request)
        .map_or_else(Vec::new, |bad| {
            bad.field_violations
                .into_iter()
                .map(|violation| {
                    let field = violation.field;
                    (column(&field), violation.description)
                })
                .collect()
        })
}

/// A field without the `payload.` that it begins with; of a name in quotes, the
/// name.
fn column(field: &str) -> String {
    let quoted = field
        .strip_prefix("payload[")
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|name| serde_json::from_str::<String>(name).ok());
    quoted.unwrap_or_else(|| field.strip_prefix("payload.").unwrap_or(field).to_owned())
}

/// A failure in words: the fields at fault where they are known, else the
/// message.
pub fn describe(failure: &Failure) -> String {
    let violations = violations(failure);
    if !violations.is_empty() {
        let each: Vec<_> = violations
            .iter()
            .map(|(field, description)| format!("{field}: {description}"))
            .collect();
        return each.join("; ");
    }
    let message = failure.error.as_ref().map_or("", |error| &error.message);
    match (message, failure.target_status) {
        ("", 0) => super::show::meaning(failure.kind()).to_owned(),
        ("", status) => format!("the target answered {status}"),
        (message, _) => message.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::proto::{BatchResults, Payload, Success, payload::Content};
    use tonic_types::{ErrorDetails, pb};

    pub fn item(text: &str) -> crate::proto::Item {
        crate::proto::Item {
            payload: Some(Payload {
                content: Some(Content::JsonText(text.to_owned())),
                content_type: String::new(),
            }),
            ..Default::default()
        }
    }

    pub fn good(index: u32) -> ItemResult {
        ItemResult {
            index,
            id: index.to_string(),
            outcome: Some(Outcome::Success(Success {
                target_status: 201,
                ..Success::default()
            })),
            attempts: 1,
            replayed: false,
            item: None,
        }
    }

    pub fn bad(index: u32, field: &str, text: &str) -> ItemResult {
        let mut details = ErrorDetails::new();
        details.set_error_info("HTTP_422", "flowgate", []);
        if !field.is_empty() {
            details.add_bad_request_violation(format!("payload.{field}"), "is not valid");
        }
        let status: pb::Status = pb::Status::with_details(details);
        ItemResult {
            index,
            id: index.to_string(),
            outcome: Some(Outcome::Failure(Failure {
                kind: FailureKind::Rejected.into(),
                error: Some(status),
                target_status: 422,
                ..Failure::default()
            })),
            attempts: 1,
            replayed: false,
            item: Some(item(text)),
        }
    }

    trait WithDetails {
        fn with_details(details: ErrorDetails) -> pb::Status;
    }

    impl WithDetails for pb::Status {
        fn with_details(details: ErrorDetails) -> pb::Status {
            use prost::Message as _;
            use tonic_types::StatusExt as _;
            let status = tonic::Status::with_error_details(
                tonic::Code::InvalidArgument,
                "the target refused it",
                details,
            );
            pb::Status::decode(status.details()).unwrap()
        }
    }

    pub fn results(sequence: u64, results: Vec<ItemResult>) -> BatchEvent {
        BatchEvent {
            sequence,
            time: None,
            kind: Some(batch_event::Kind::Results(BatchResults { results })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{bad, good, results};
    use super::*;

    #[test]
    fn an_event_counts_once_however_often_it_comes() {
        let mut tally = Tally::new(0, 5);
        let event = results(1, vec![good(0), bad(1, "email", "{}")]);
        tally.event(&event);
        tally.event(&event);
        assert_eq!((tally.succeeded, tally.failed, tally.cursor), (1, 1, 1));
    }

    #[test]
    fn the_rows_kept_are_the_first_of_the_file_in_whatever_order_they_fail() {
        let mut tally = Tally::new(0, 2);
        let order = [7, 3, 9, 1, 4];
        let failures = order.map(|index| bad(index, "email", r#"{"email":"x"}"#));
        tally.event(&results(1, failures.into()));
        assert_eq!(tally.rows.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!(tally.failed, 5);
        let row = &tally.rows[&1];
        assert_eq!(row.error, "email: is not valid");
        assert_eq!(row.faulty, ["email"]);
        assert_eq!(row.fields, [("email".to_owned(), "x".to_owned())]);
    }

    #[test]
    fn causes_are_counted_and_their_number_is_bounded() {
        let mut tally = Tally::new(0, 0);
        let failures = (0..2_000).map(|i| bad(i, &format!("f{i}"), "{}")).collect();
        tally.event(&results(1, failures));
        assert_eq!(tally.causes.len(), MAX_CAUSES + 1);
        assert_eq!(tally.causes.values().sum::<u32>(), 2_000);
        assert!(tally.rows.is_empty());
    }

    #[test]
    fn after_a_cursor_the_servers_figures_count_what_came_before_it() {
        let mut tally = Tally::new(10, 5);
        tally.event(&BatchEvent {
            sequence: 11,
            time: None,
            kind: Some(batch_event::Kind::Progress(Progress {
                succeeded: 40,
                failed: 2,
                ..Progress::default()
            })),
        });
        assert_eq!((tally.succeeded_now(), tally.failed_now()), (40, 2));
    }
}
