//! What to do next about the failures of a finished batch, as commands to type.

use std::fmt::Write as _;

use super::show;
use super::tally::Tally;
use crate::proto::{Batch, FailureCount, FailureKind};

/// What `retry` takes unless kinds are named.
const BY_DEFAULT: [FailureKind; 4] = [
    FailureKind::Throttled,
    FailureKind::Unreachable,
    FailureKind::Unavailable,
    FailureKind::Expired,
];

/// What else can go again as it is, now that somebody says so.
const BY_NAME: [FailureKind; 2] = [FailureKind::Cancelled, FailureKind::Aborted];

/// What to type next; begins with an empty line. `file` is what to call a file
/// of the failed items.
pub fn next(tally: &Tally, batch: &Batch, file: &str) -> String {
    let id = &batch.id;
    let mut text = String::from("\n");
    if tally.rows.len() < tally.failed as usize {
        text.push_str("To see all of them: --all-failures\n");
    }
    let kinds = kinds(batch);
    let again = again(&kinds, tally);
    if !again.is_empty() {
        let _ = writeln!(
            text,
            "To submit those again that may do better as they are:\n  flowgate retry {id}{}",
            named(&again)
        );
    }
    if kinds.contains(&FailureKind::InDoubt) {
        let _ = writeln!(
            text,
            "To send those in doubt again, once you have looked at the target:\n  \
             flowgate retry {id}{}",
            named(&[FailureKind::InDoubt])
        );
    }
    let faulty: Vec<_> = kinds
        .iter()
        .copied()
        .filter(|kind| is_faulty(*kind) && !again.contains(kind))
        .collect();
    if !faulty.is_empty() || kinds.is_empty() {
        // Without its kinds where that is all that failed.
        let only = match faulty.len() == kinds.len() {
            true => String::new(),
            false => named(&faulty),
        };
        let _ = writeln!(
            text,
            "To correct them and submit them again:\n  \
             flowgate results {id} --failed{only} -o {file}"
        );
    }
    text
}

/// The kinds of failure that occurred, in the order of the enum.
fn kinds(batch: &Batch) -> Vec<FailureKind> {
    let progress = batch.progress.as_ref();
    let counts = progress.map_or(&[][..], |progress| &progress.failed_by_kind);
    counts.iter().map(FailureCount::kind).collect()
}

/// Those that may go again as they are.
fn again(kinds: &[FailureKind], tally: &Tally) -> Vec<FailureKind> {
    let key_in_use = tally
        .causes
        .keys()
        .any(|cause| cause.kind == FailureKind::Invalid && cause.reason == "KEY_IN_USE");
    let may = |kind: &FailureKind| {
        BY_DEFAULT.contains(kind)
            || BY_NAME.contains(kind)
            || (*kind == FailureKind::Invalid && key_in_use)
    };
    kinds.iter().copied().filter(may).collect()
}

/// Whether an item that failed so has to be corrected.
fn is_faulty(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Invalid | FailureKind::Rejected)
}

/// These kinds as options; nothing where `retry` takes just them by itself.
fn named(kinds: &[FailureKind]) -> String {
    if kinds.iter().all(|kind| BY_DEFAULT.contains(kind)) {
        return String::new();
    }
    let option = |kind: &FailureKind| format!(" --kind {}", show::typed(*kind));
    kinds.iter().map(option).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tally::testing::{bad, results};
    use super::*;
    use crate::proto::Progress;

    fn said(kinds: &[FailureKind]) -> String {
        let failed_by_kind = kinds.iter().map(|kind| FailureCount {
            kind: (*kind).into(),
            count: 1,
        });
        let batch = Batch {
            id: "b-1".to_owned(),
            progress: Some(Progress {
                failed_by_kind: failed_by_kind.collect(),
                ..Progress::default()
            }),
            ..Batch::default()
        };
        let mut tally = Tally::new(0, 9);
        let failed = (0..).zip(kinds).map(|(index, _)| bad(index, "", "{}"));
        tally.event(&results(1, failed.collect()));
        next(&tally, &batch, "failed.csv")
    }

    #[test]
    fn each_kind_of_failure_has_its_own_next_step() {
        use FailureKind::{Aborted, Expired, InDoubt, Rejected, Unavailable};
        insta::assert_snapshot!(said(&[Unavailable, Expired]), @r"

        To submit those again that may do better as they are:
          flowgate retry b-1
        ");
        insta::assert_snapshot!(said(&[Rejected, Unavailable, InDoubt, Aborted]), @r"

        To submit those again that may do better as they are:
          flowgate retry b-1 --kind unavailable --kind aborted
        To send those in doubt again, once you have looked at the target:
          flowgate retry b-1 --kind in_doubt
        To correct them and submit them again:
          flowgate results b-1 --failed --kind rejected -o failed.csv
        ");
        insta::assert_snapshot!(said(&[Rejected]), @r"

        To correct them and submit them again:
          flowgate results b-1 --failed -o failed.csv
        ");
    }
}
