//! How a target is paced, and how it is doing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// At most `count` requests in any window of `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At least 1.
    pub count: u32,
    /// Longer than zero.
    pub per: Duration,
}

impl FromStr for Limit {
    type Err = String;

    /// Reads `100/s`, `5000/m`, `100000/d`, `10/250ms`.
    fn from_str(text: &str) -> Result<Limit, String> {
        let wrong = || {
            format!(
                "`{text}` is not a limit; write a count and a window, e.g. `100/s`, `5000/m`, \
                 `20000/h`, `100000/d` or `10/250ms`"
            )
        };
        let (count, per) = text.split_once('/').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        let per = per.trim();
        let unit_at = per.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = per.split_at(unit_at);
        let number: u64 = if number.is_empty() {
            1
        } else {
            number.parse().map_err(|_| wrong())?
        };
        let unit_ms: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let ms = number.checked_mul(unit_ms).ok_or_else(wrong)?;
        if count == 0 || ms == 0 {
            return Err(wrong());
        }
        Ok(Limit {
            count,
            per: Duration::from_millis(ms),
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.per.as_millis();
        let (number, unit) = [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "m"),
            (1_000, "s"),
        ]
        .into_iter()
        .find(|(unit_ms, _)| ms.is_multiple_of(*unit_ms))
        .map_or((ms, "ms"), |(unit_ms, unit)| (ms / unit_ms, unit));
        write!(f, "{}/", self.count)?;
        if number != 1 {
            write!(f, "{number}")?;
        }
        f.write_str(unit)
    }
}

/// How requests are spaced within a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// As soon as no sliding window at the target would hold too many.
    #[default]
    Window,
    /// Evenly.
    Smooth,
}

impl Pace {
    /// The word in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Pace::Window => "window",
            Pace::Smooth => "smooth",
        }
    }
}

/// What a lane is doing about one of its targets; published by the lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneStatus {
    /// Requests under way.
    pub in_flight: u32,
    /// Requests written in the last second, to all targets of the quota.
    pub requests_last_second: u32,
    /// The target asked to be left alone.
    pub pause: Option<Pause>,
    /// An operator holds it.
    pub held: Option<Held>,
}

/// Since when an operator holds a target, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// In milliseconds since 1970.
    pub since_ms: i64,
    /// In the operator's words; may be empty.
    pub reason: String,
}

/// Why and until when nothing is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Pause {
    /// In milliseconds since 1970.
    pub until_ms: i64,
    /// In words.
    pub reason: String,
}
