//! The keys that say how often targets are tried.

use super::KeyDefault::Is;
use super::{Key, KeyValue, key};

#[rustfmt::skip] // One key, one paragraph.
pub(super) const KEYS: &[Key] = &[
    key("targets.NAME.retry.attempts", KeyValue::Number, Is("10"),
        "The most times that an item is sent, from 1 to 100. Being told to wait (429) does not count."),
    key("targets.NAME.retry.base", KeyValue::Duration, Is("\"200ms\""),
        "The first delay is up to this long, each next one up to twice as long."),
    key("targets.NAME.retry.max", KeyValue::Duration, Is("\"30s\""),
        "No delay is longer."),
    key("targets.NAME.retry.patience", KeyValue::Duration, Is("\"1h\""),
        "No new try begins later than this after an item was first taken up."),

    key("targets.NAME.breaker.failures", KeyValue::Number, Is("10"),
        "After so many requests in a row that did not reach the target, had no answer, or were answered with a fault of its own (5xx), nothing more is sent to it, from 1 to 10,000; 0 for never."),
    key("targets.NAME.breaker.pause", KeyValue::Duration, Is("\"1s\""),
        "Then a single item is tried after so long, and after up to twice as long each time that it fails. Once one is answered, everything goes on."),
    key("targets.NAME.breaker.max_pause", KeyValue::Duration, Is("\"30s\""),
        "No such pause is longer."),
];
