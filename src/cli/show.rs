//! How the contract's values read: durations, times, names of enums.

use std::time::Duration;

use prost_types::Timestamp;

use crate::proto::{BatchState, FailureKind};

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
            "the states are running, cancelling, succeeded, partially_succeeded, failed, cancelled"
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

/// A kind's name without its prefix: `REJECTED`.
pub fn kind(kind: FailureKind) -> &'static str {
    strip(kind.as_str_name(), "FAILURE_KIND_")
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
    }
}
