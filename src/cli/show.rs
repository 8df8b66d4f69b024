//! How the contract's values read: durations, times, names of enums.

use std::time::Duration;

use prost_types::Timestamp;

use super::terminal::clean;
use crate::proto::{Batch, BatchState, FailureKind, FailurePolicy, SealedBy, StoppedBy};

/// A duration to the precision that people care about: `0.4 s`, `12 s`,
/// `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.95 {
        let tenths = (seconds * 10.0).round() / 10.0;
        return format!("{tenths} s");
    }
    let whole = duration.as_secs() + u64::from(duration.subsec_millis() >= 500);
    let pair = |big: u64, unit: &str, small: u64, sub: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {sub}"),
    };
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => pair(whole / 60, "min", whole % 60, "s"),
        3600..86_400 => pair(whole / 3600, "h", whole % 3600 / 60, "min"),
        _ => pair(whole / 86_400, "d", whole % 86_400 / 3600, "h"),
    }
}

/// A rate: `98.7/s`, `1200/s`.
pub fn rate(per_second: f64) -> String {
    if per_second < 99.95 {
        format!("{per_second:.1}/s")
    } else {
        format!("{per_second:.0}/s")
    }
}

/// A time in UTC, to the second: `2026-11-21 08:06:00Z`; a dash for none.
pub fn time(time: Option<&Timestamp>) -> String {
    time.and_then(instant).map_or_else(
        || "-".to_owned(),
        |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    )
}

/// A time as RFC 3339, for machines.
pub fn rfc3339(time: &Timestamp) -> Option<String> {
    instant(time).map(|time| time.to_string())
}

/// How far off a time is; zero once it has passed.
pub fn until(time: &Timestamp) -> Option<Duration> {
    let ahead = instant(time)?.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(ahead).unwrap_or_default())
}

/// From one time to another.
pub fn between(from: Option<&Timestamp>, to: Option<&Timestamp>) -> Option<Duration> {
    let span = instant(to?)?.duration_since(instant(from?)?);
    Duration::try_from(span).ok()
}

fn instant(time: &Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::new(time.seconds, time.nanos).ok()
}

/// A state's name without its prefix: `RUNNING`.
pub fn state(state: BatchState) -> &'static str {
    strip(state.as_str_name(), "BATCH_STATE_")
}

/// The state of that name, in any case.
pub fn parse_state(name: &str) -> Result<BatchState, String> {
    let full = format!("BATCH_STATE_{}", name.to_uppercase().replace('-', "_"));
    BatchState::from_str_name(&full)
        .filter(|state| *state != BatchState::Unspecified)
        .ok_or_else(|| {
            "the states are running, paused, cancelling, succeeded, partially_succeeded, failed, \
             cancelled"
                .to_owned()
        })
}

/// Whether a batch in this state will not change any more.
pub fn is_final(state: BatchState) -> bool {
    !matches!(
        state,
        BatchState::Unspecified | BatchState::Running | BatchState::Cancelling | BatchState::Paused
    )
}

/// What is out of the ordinary about a batch, in a few words; empty where
/// nothing is.
pub fn remarks(batch: &Batch) -> String {
    let mut remarks = Vec::new();
    match batch.stopped_by() {
        // The state says so.
        StoppedBy::Cancel | StoppedBy::Unspecified => {}
        by => remarks.push(format!("stopped by {}", stopped_by(by))),
    }
    if batch.sealed_by() == SealedBy::Timeout {
        remarks.push("sealed when nobody filled it".to_owned());
    }
    let waiting = batch.progress.as_ref().and_then(|p| p.waiting.as_ref());
    // The state says so.
    let waiting = waiting.filter(|_| batch.state() != BatchState::Paused);
    remarks.extend(waiting.map(|waiting| format!("waits: {}", clean(&waiting.reason))));
    remarks.join("; ")
}

/// What stopped a batch, in words.
pub fn stopped_by(by: StoppedBy) -> &'static str {
    match by {
        StoppedBy::Unspecified => "nothing",
        StoppedBy::Cancel => "a cancellation",
        StoppedBy::FailurePolicy => "its failure policy",
        StoppedBy::Deadline => "its deadline",
    }
}

/// A failure policy: `at 3 failures or 10 % failing`.
pub fn policy(policy: &FailurePolicy) -> String {
    let after = (policy.stop_after > 0).then(|| count(policy.stop_after, "failure"));
    let share = (policy.stop_at_share > 0.0).then(|| {
        let percent = (policy.stop_at_share * 10_000.0).round() / 100.0;
        format!("{percent} % failing")
    });
    match (after, share) {
        (Some(after), Some(share)) => format!("at {after} or {share}"),
        (Some(only), None) | (None, Some(only)) => format!("at {only}"),
        (None, None) => "never".to_owned(),
    }
}

/// A kind's name without its prefix: `REJECTED`.
pub fn kind(kind: FailureKind) -> &'static str {
    strip(kind.as_str_name(), "FAILURE_KIND_")
}

/// The kind of that name, in any case.
pub fn parse_kind(name: &str) -> Result<FailureKind, String> {
    let full = format!("FAILURE_KIND_{}", name.to_uppercase().replace('-', "_"));
    FailureKind::from_str_name(&full)
        .filter(|kind| *kind != FailureKind::Unspecified)
        .ok_or_else(|| {
            "the kinds are invalid, rejected, throttled, unreachable, unavailable, in_doubt, \
             cancelled, expired, aborted"
                .to_owned()
        })
}

/// A kind as it is typed: `in_doubt`.
pub fn typed(kind: FailureKind) -> String {
    self::kind(kind).to_lowercase()
}

/// What a kind means, in a few words.
pub fn meaning(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::Unspecified => "of a kind that this version does not know",
        FailureKind::Invalid => "not sent: refused by Flowgate",
        FailureKind::Rejected => "refused by the target: its data is at fault",
        FailureKind::Throttled => "the target's rate limit, until patience ran out",
        FailureKind::Unreachable => "not delivered",
        FailureKind::Unavailable => "the target had a fault of its own",
        FailureKind::InDoubt => {
            "sent without an answer: look at the target before sending it again"
        }
        FailureKind::Cancelled => "not sent: the batch was cancelled",
        FailureKind::Expired => "not sent: the batch's deadline passed",
        FailureKind::Aborted => "not sent: the batch's failure policy stopped it",
    }
}

fn strip(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

/// `2 succeeded, 1 failed`.
pub fn outcomes(batch: &Batch) -> String {
    let progress = batch.progress.clone().unwrap_or_default();
    format!(
        "{} succeeded, {} failed",
        progress.succeeded, progress.failed
    )
}

/// `1 row`, `2 rows`.
pub fn count(number: impl Into<u64>, noun: &str) -> String {
    match number.into() {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        for (millis, text) in [
            (0, "0 s"),
            (420, "0.4 s"),
            (9_960, "10 s"),
            (59_400, "59 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
            (273_600_000, "3 d 4 h"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_state_is_found_by_its_name_in_any_case() {
        assert_eq!(
            parse_state("partially-succeeded"),
            Ok(BatchState::PartiallySucceeded)
        );
        assert!(parse_state("done").unwrap_err().contains("cancelling"));
        assert!(parse_state("unspecified").is_err());
        assert_eq!(parse_kind("in-doubt"), Ok(FailureKind::InDoubt));
        assert!(parse_kind("lost").unwrap_err().contains("in_doubt"));
        assert_eq!(typed(FailureKind::InDoubt), "in_doubt");
    }

    #[test]
    fn a_policy_reads_as_it_was_typed() {
        for (stop_after, stop_at_share, text) in [
            (3, 0.0, "at 3 failures"),
            (0, 0.1, "at 10 % failing"),
            (1, 0.005, "at 1 failure or 0.5 % failing"),
        ] {
            let asked = FailurePolicy {
                stop_after,
                stop_at_share,
            };
            assert_eq!(policy(&asked), text);
        }
    }
}
