//! How the items of a batch hang together, as it is typed: their order, whether
//! they stand or fall together, a deadline, and how many failures are too many.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};

use crate::proto::FailurePolicy;

/// When a batch is to stop, in which order it is sent, and whether as a whole.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Stops {
    /// Send one item at a time, in the order of the file: each only once the
    /// outcome of the one before it is known.
    #[arg(long)]
    pub ordered: bool,
    /// Do all of it or nothing: it goes out as a whole once the file is read, and
    /// one refused row undoes the others. Only targets of some kinds can.
    #[arg(long)]
    pub all_or_nothing: bool,
    /// Send nothing after this time; what is not sent by then ends as EXPIRED.
    /// From now on (`90s`, `10m`, `2h30m`, `1d`), or as RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = deadline)]
    pub deadline: Option<Deadline>,
    /// Stop once so many items have failed; what is not sent by then ends as
    /// ABORTED.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub stop_after: Option<u32>,
    /// Stop once this share of the items has failed: `10%` or `0.1`. It is
    /// judged from 100 outcomes on, and of all items once all are handed in.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub stop_at_share: Option<f64>,
}

impl Stops {
    /// As a batch says it; none where nothing was asked for.
    pub fn policy(&self) -> Option<FailurePolicy> {
        let policy = FailurePolicy {
            stop_after: self.stop_after.unwrap_or_default(),
            stop_at_share: self.stop_at_share.unwrap_or_default(),
        };
        (policy != FailurePolicy::default()).then_some(policy)
    }
}

/// When nothing more is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Timestamp);

impl Deadline {
    /// As a batch says it.
    pub fn timestamp(self) -> prost_types::Timestamp {
        prost_types::Timestamp {
            seconds: self.0.as_second(),
            nanos: self.0.subsec_nanosecond(),
        }
    }
}

fn deadline(given: &str) -> Result<Deadline, String> {
    let wrong = || {
        "write how long from now, e.g. 90s, 10m, 2h30m or 1d, or a time like \
         2030-01-31T12:00:00Z"
            .to_owned()
    };
    if let Ok(time) = given.parse::<Timestamp>() {
        return Ok(Deadline(time));
    }
    let span: Span = given.parse().map_err(|_| wrong())?;
    // Months and years are not told how long they are.
    let ahead = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let ahead = Duration::try_from(ahead.map_err(|_| wrong())?).map_err(|_| wrong())?;
    let time = Timestamp::now().checked_add(ahead);
    time.map(Deadline)
        .map_err(|_| format!("that is too far off; {}", wrong()))
}

fn share(given: &str) -> Result<f64, String> {
    let wrong = || "write a share as 10% or 0.1".to_owned();
    let (text, whole) = match given.strip_suffix('%') {
        Some(percent) => (percent.trim_end(), 100.0),
        // What 1 or 10 would mean without a sign can only be guessed at.
        None if !given.contains('.') => return Err(wrong()),
        None => (given, 1.0),
    };
    let share = text.parse::<f64>().map_err(|_| wrong())? / whole;
    match share > 0.0 && share <= 1.0 {
        true => Ok(share),
        false => Err("a share is above 0 and at most 100%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_time_or_how_long_from_now() {
        let at = deadline("2030-01-31T12:00:00+01:00").unwrap().timestamp();
        assert_eq!((at.seconds, at.nanos), (1_896_087_600, 0));
        for (given, seconds) in [("90s", 90), ("10m", 600), ("2h30m", 9_000), ("1d", 86_400)] {
            let earliest = Timestamp::now();
            let Deadline(at) = deadline(given).unwrap();
            let latest = Timestamp::now();
            let ahead = Duration::from_secs(seconds);
            assert!(
                (earliest + ahead..=latest + ahead).contains(&at),
                "{given}: {at}"
            );
        }
    }

    #[test]
    fn a_deadline_that_is_none_says_how_one_looks() {
        for given in ["", "10", "soon", "-5m", "2030-01-31", "1mo", "99999999d"] {
            let error = deadline(given).unwrap_err();
            assert!(error.contains("2030-01-31T12:00:00Z"), "{given}: {error}");
        }
    }

    #[test]
    fn a_share_says_whether_it_is_of_a_hundred_or_of_one() {
        assert_eq!(share("10%"), Ok(0.1));
        assert_eq!(share("12.5 %"), Ok(0.125));
        assert_eq!(share("0.1"), Ok(0.1));
        assert_eq!(share("100%"), Ok(1.0));
        assert_eq!(share("1.0"), Ok(1.0));
        for given in [
            "", "%", "10", "1", "0%", "0.0", "101%", "1.5", "-5%", "NaN%", "x",
        ] {
            assert!(share(given).is_err(), "{given}");
        }
    }
}
