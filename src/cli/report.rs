//! What is said at the end: the counts, the failures by cause, the failed rows.

use std::fmt::Write as _;

use super::source::Lines;
use super::tally::Tally;
use super::terminal::{Paint, clean, cut};
use super::{Ending, advice, failures, show};
use crate::proto::{Batch, BatchState, FailureKind, SealedBy, StoppedBy};

/// Causes beyond these are counted together.
const CAUSES: usize = 12;

/// How the report is to look.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Columns.
    pub width: usize,
    /// Colours.
    pub paint: Paint,
    /// What to call a file of the failed items, in a form that they fit.
    pub failed_file: &'static str,
}

/// How a batch ended, as an exit status has it.
pub fn ending(batch: &Batch) -> Ending {
    let failed = batch.progress.as_ref().map_or(0, |p| p.failed);
    match batch.state() {
        _ if failed > 0 => Ending::SomeFailed,
        BatchState::Succeeded => Ending::Succeeded,
        _ => Ending::Incomplete,
    }
}

/// The report on a finished batch.
pub fn report(tally: &Tally, batch: &Batch, lines: &Lines, page: Page) -> String {
    let mut text = summary(batch, page);
    text.push_str(&circumstances(tally, batch));
    text.push_str(&failures_of(tally, lines, page, "Failed rows"));
    if tally.failed > 0 {
        text.push_str(&advice::next(tally, batch, page.failed_file));
    }
    text
}

/// The failures by cause, and the first rows that failed.
fn failures_of(tally: &Tally, lines: &Lines, page: Page, heading: &str) -> String {
    let mut text = String::new();
    if !tally.causes.is_empty() {
        let _ = write!(text, "\n{}\n", page.paint.bold("Failures"));
        text.push_str(&causes(tally, page));
    }
    if !tally.rows.is_empty() {
        let failed = tally.failed as usize;
        let heading = if tally.rows.len() < failed {
            format!("{heading} (the first {} of {failed})", tally.rows.len())
        } else {
            heading.to_owned()
        };
        let _ = write!(text, "\n{}\n", page.paint.bold(&heading));
        let rows = tally.rows.iter().map(|(index, row)| (*index, row));
        text.push_str(&failures::table(rows, lines, page.width));
        text.push('\n');
    }
    text
}

/// The report on rows that were only looked at.
pub fn looked_at(tally: &Tally, rows: u32, lines: &Lines, page: Page) -> String {
    let failed = tally.failed;
    let valid = format!("{} valid", rows.saturating_sub(failed));
    let invalid = format!("{failed} invalid");
    let mut text = format!(
        "{}, {}; nothing was sent (--validate-only)\n",
        page.paint.good(&valid),
        if failed > 0 {
            page.paint.bad(&invalid)
        } else {
            invalid
        }
    );
    text.push_str(&failures_of(tally, lines, page, "Invalid rows"));
    text
}

/// `412 succeeded, 88 failed, in 4.9 s (batch ...)`.
fn summary(batch: &Batch, page: Page) -> String {
    let progress = batch.progress.clone().unwrap_or_default();
    let succeeded = format!("{} succeeded", progress.succeeded);
    let failed = format!("{} failed", progress.failed);
    let mut text = format!(
        "{}, {}",
        page.paint.good(&succeeded),
        if progress.failed > 0 {
            page.paint.bad(&failed)
        } else {
            failed
        }
    );
    if batch.state() == BatchState::Cancelled {
        text.push_str(", cancelled");
    }
    if let Some(took) = show::between(batch.create_time.as_ref(), batch.finish_time.as_ref()) {
        let _ = write!(text, ", in {}", show::duration(took));
    }
    let _ = writeln!(text, " (batch {})", batch.id);
    text
}

/// What else there is to say of how it went: a line each.
fn circumstances(tally: &Tally, batch: &Batch) -> String {
    let progress = batch.progress.clone().unwrap_or_default();
    let spec = batch.spec.clone().unwrap_or_default();
    let unsent = |kind: FailureKind| {
        let counts = progress.failed_by_kind.iter();
        let count = counts.filter(|count| count.kind() == kind);
        format!("{} not sent", count.map(|count| count.count).sum::<u32>())
    };
    let mut text = String::new();
    match batch.stopped_by() {
        StoppedBy::FailurePolicy => {
            let policy = spec.failure_policy.as_ref().map(show::policy);
            let _ = writeln!(
                text,
                "Stopped by its failure policy ({}): {}",
                policy.unwrap_or_default(),
                unsent(FailureKind::Aborted)
            );
        }
        StoppedBy::Deadline => {
            let _ = writeln!(
                text,
                "Stopped by its deadline ({}): {}",
                show::time(spec.deadline.as_ref()),
                unsent(FailureKind::Expired)
            );
        }
        // The summary says so.
        StoppedBy::Cancel | StoppedBy::Unspecified => {}
    }
    if batch.sealed_by() == SealedBy::Timeout {
        let held = show::count(progress.total, "item");
        let _ = writeln!(
            text,
            "Nobody filled it for too long: the server sealed it with the {held} that it had"
        );
    }
    if tally.replayed > 0 {
        let _ = writeln!(
            text,
            "{} not sent: earlier items had the same keys, and theirs are the outcomes (replayed)",
            tally.replayed
        );
    }
    text
}

/// The failures by cause, the most frequent first.
fn causes(tally: &Tally, page: Page) -> String {
    let mut causes: Vec<_> = tally.causes.iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let digits = causes
        .first()
        .map_or(1, |(_, count)| count.to_string().len());
    let mut text = String::new();
    for (cause, count) in causes.iter().take(CAUSES) {
        let reason = match cause.reason.as_str() {
            "" => String::new(),
            reason => format!(" ({reason})"),
        };
        let line = format!(
            "  {count:>digits$}  {:<11}  {}{reason}",
            show::kind(cause.kind),
            clean(&cause.message)
        );
        let _ = writeln!(text, "{}", cut(&line, page.width));
    }
    let rest = causes.iter().skip(CAUSES);
    let others: u32 = rest.clone().map(|(_, count)| **count).sum();
    if others > 0 {
        let more = show::count(rest.count() as u64, "other cause");
        let _ = writeln!(text, "  {others:>digits$}  for {more}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tally::testing::{bad, good, results};
    use super::*;
    use crate::proto::{
        BatchEvent, BatchSpec, FailureCount, FailurePolicy, ItemResult, Progress, batch_event,
    };
    use prost_types::Timestamp;

    fn page() -> Page {
        Page {
            width: 80,
            paint: Paint::none(),
            failed_file: "failed.csv",
        }
    }

    fn finished(succeeded: u32, failed: u32) -> Batch {
        let at = |seconds| {
            Some(Timestamp {
                seconds,
                nanos: 900_000_000,
            })
        };
        Batch {
            id: "b-1".to_owned(),
            state: match (succeeded, failed) {
                (_, 0) => BatchState::Succeeded,
                (0, _) => BatchState::Failed,
                _ => BatchState::PartiallySucceeded,
            }
            .into(),
            create_time: at(10),
            finish_time: at(14),
            progress: Some(Progress {
                succeeded,
                failed,
                ..Progress::default()
            }),
            ..Batch::default()
        }
    }

    fn tally(keep: usize, outcomes: Vec<crate::proto::ItemResult>, batch: &Batch) -> Tally {
        let mut tally = Tally::new(0, keep);
        tally.event(&results(1, outcomes));
        tally.event(&BatchEvent {
            sequence: 2,
            time: None,
            kind: Some(batch_event::Kind::Finished(batch.clone())),
        });
        tally
    }

    #[test]
    fn a_report_counts_groups_and_lists_the_failures() {
        let batch = finished(1, 3);
        let outcomes = vec![
            good(0),
            bad(1, "email", r#"{"name":"Ada","email":"x"}"#),
            bad(2, "", r#"{"name":"Bo","email":"b@c.de"}"#),
            bad(3, "email", r#"{"name":"Cy","email":""}"#),
        ];
        let tally = tally(2, outcomes, &batch);
        let mut lines = Lines::default();
        (0..4).for_each(|index| lines.add(index, u64::from(index) + 2));
        insta::assert_snapshot!(report(&tally, &batch, &lines, page()), @r"
        1 succeeded, 3 failed, in 4 s (batch b-1)

        Failures
          2  REJECTED     email: is not valid (HTTP_422)
          1  REJECTED     the target refused it (HTTP_422)

        Failed rows (the first 2 of 3)
        line  name  email   error
        3     Ada   x       email: is not valid
        4     Bo    b@c.de  the target refused it

        To see all of them: --all-failures
        To correct them and submit them again:
          flowgate results b-1 --failed -o failed.csv
        ");
        assert_eq!(ending(&batch), Ending::SomeFailed);
    }

    #[test]
    fn a_batch_that_went_well_takes_one_line() {
        let batch = finished(2, 0);
        let tally = tally(2, vec![good(0), good(1)], &batch);
        let text = report(&tally, &batch, &Lines::default(), page());
        assert_eq!(text, "2 succeeded, 0 failed, in 4 s (batch b-1)\n");
        assert_eq!(ending(&batch), Ending::Succeeded);
    }

    #[test]
    fn what_stopped_it_and_what_was_replayed_is_said() {
        let kind = |kind: FailureKind, count| FailureCount {
            kind: kind.into(),
            count,
        };
        let mut batch = finished(1, 480);
        batch.stopped_by = StoppedBy::FailurePolicy.into();
        batch.spec = Some(BatchSpec {
            failure_policy: Some(FailurePolicy {
                stop_after: 3,
                stop_at_share: 0.0,
            }),
            ..BatchSpec::default()
        });
        batch.progress.as_mut().unwrap().failed_by_kind = vec![
            kind(FailureKind::Rejected, 3),
            kind(FailureKind::Aborted, 477),
        ];
        let replayed = ItemResult {
            replayed: true,
            ..good(0)
        };
        let tally = tally(0, vec![replayed], &batch);
        let text = report(&tally, &batch, &Lines::default(), page());
        insta::assert_snapshot!(text, @r"
        1 succeeded, 480 failed, in 4 s (batch b-1)
        Stopped by its failure policy (at 3 failures): 477 not sent
        1 not sent: earlier items had the same keys, and theirs are the outcomes (replayed)
        ");
    }

    #[test]
    fn a_batch_cancelled_before_anything_failed_did_not_succeed() {
        let batch = Batch {
            state: BatchState::Cancelled.into(),
            ..finished(2, 0)
        };
        assert_eq!(ending(&batch), Ending::Incomplete);
    }
}
