//! How durations and sizes are written.

use std::time::Duration;

pub(super) use crate::core::near::nearest;

const UNITS_MS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

const UNITS_BYTES: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// No duration in a configuration is longer: sums with the clock stay in range.
const LONGEST: Duration = Duration::from_hours(366 * 24);

/// Reads `50ms`, `30s`, `5m`, `1h` or `1d`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let ms = parse_unit(text, &UNITS_MS)
        .ok_or_else(|| format!("`{text}` is not a duration; {DURATION_FORM}"))?;
    let duration = Duration::from_millis(ms);
    if duration > LONGEST {
        return Err(format!("`{text}` is too long; write at most `366d`"));
    }
    Ok(duration)
}

const DURATION_FORM: &str =
    "write a whole number with its unit: `ms`, `s`, `m`, `h` or `d`, e.g. `30s`";

/// Reads `512B`, `64KiB`, `1MiB` or `20GiB`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    parse_unit(text, &UNITS_BYTES).ok_or_else(|| {
        format!(
            "`{text}` is not a size; write a whole number with its unit: `B`, `KiB`, `MiB` or \
             `GiB`, e.g. `64KiB`"
        )
    })
}

fn parse_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

/// As a configuration would write it, in the largest unit that fits evenly.
pub fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show_unit(ms, &UNITS_MS, "0s")
}

/// As a configuration would write it, in the largest unit that fits evenly.
pub fn show_size(bytes: usize) -> String {
    show_unit(bytes as u64, &UNITS_BYTES, "0B")
}

fn show_unit(value: u64, units: &[(&str, u64)], zero: &str) -> String {
    units
        .iter()
        .find(|(_, scale)| value > 0 && value.is_multiple_of(*scale))
        .map_or_else(
            || zero.to_owned(),
            |(name, scale)| format!("{}{name}", value / scale),
        )
}

/// The names between backticks, in order.
pub(super) fn backticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit_and_shown_again() {
        for (text, ms) in [
            ("50ms", 50),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
        ] {
            let duration = Duration::from_millis(ms);
            assert_eq!(parse_duration(text), Ok(duration));
            assert_eq!(show_duration(duration), text);
        }
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
        assert_eq!(show_duration(Duration::ZERO), "0s");
    }

    #[test]
    fn a_duration_without_a_known_unit_is_refused() {
        for text in [
            "30",
            "30sec",
            "s",
            "-1s",
            "1.5s",
            "",
            "99999999999999999999s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("367d").is_err());
    }

    #[test]
    fn sizes_are_read_with_their_unit_and_shown_again() {
        for (text, bytes) in [
            ("1B", 1),
            ("64KiB", 65_536),
            ("1MiB", 1_048_576),
            ("3GiB", 3 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes));
            assert_eq!(show_size(usize::try_from(bytes).unwrap()), text);
        }
        assert!(parse_size("64KB").is_err());
        assert!(parse_size("64").is_err());
    }

    #[test]
    fn the_nearest_word_is_found_only_where_one_is_near() {
        let words = ["limits", "timeout", "transit"];
        assert_eq!(nearest("limit", words), Some("limits"));
        assert_eq!(nearest("time-out", words), Some("timeout"));
        assert_eq!(nearest("Limits", words), Some("limits"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(nearest("evn", ["env", "file"]), Some("env"));
    }
}
