//! The keys that only targets of the kind `http_batch` have.

use super::KeyDefault::{Is, Words};
use super::{Key, KeyValue, METHODS, of};

/// The kind of target whose keys these are.
const BATCH: &[&str] = &["http_batch"];
/// Batch endpoints that are known.
pub(in crate::config) const PRESETS: &[&str] = &[
    "array",
    "resend",
    "postmark",
    "graph",
    "odata",
    "sqs",
    "eventbridge",
];
/// What becomes of an item.
pub(in crate::config) const FORMATS: &[&str] = &["array", "entries", "requests"];
/// How a payload goes into an entry.
pub(in crate::config) const EMBEDS: &[&str] = &["json", "text", "base64"];
/// How addresses of requests within a request are written.
pub(in crate::config) const URLS: &[&str] = &["below", "whole"];
/// Whose a result is.
pub(in crate::config) const JOINS: &[&str] = &["index", "id", "none"];
/// What a refusal of the whole request proves.
pub(in crate::config) const REFUSALS: &[&str] = &["not_known", "nothing_done"];

/// A key for which presets have other defaults.
const PRESET: super::KeyDefault = Words("the preset's, or none");

#[rustfmt::skip] // One key, one paragraph.
pub(super) const KEYS: &[Key] = &[
    of(BATCH, "targets.NAME.batch.preset", KeyValue::Word(PRESETS), Is("\"array\""),
        "The batch endpoint of a provider: what the other keys are, unless they are given. `array`: an array of the payloads, answered with results in the same order, of which those that failed have an `error`."),
    of(BATCH, "targets.NAME.batch.format", KeyValue::Word(FORMATS), Words("the preset's: `\"array\"`"),
        "What becomes of an item. `array`: its payload, as it is. `entries`: an entry with the payload in it, and an id or a key. `requests`: a request with method, address, headers and body."),
    of(BATCH, "targets.NAME.batch.max_items", KeyValue::Number, Words("the preset's, or 100"),
        "The most items of a request, from 1 to 1,000: as the provider documents it."),
    of(BATCH, "targets.NAME.batch.max_bytes", KeyValue::Size, Words("the preset's, or `4MiB`"),
        "The most bytes of a request, up to `64MiB`. An item whose payload alone is larger is refused."),
    of(BATCH, "targets.NAME.batch.max_answer", KeyValue::Size, Is("\"8MiB\""),
        "How much of an answer is read, from `1KiB` to `64MiB`; what it says beyond that of an item is not known. (`reply_limit` is for each item's part.)"),
    of(BATCH, "targets.NAME.batch.content_type", KeyValue::Text, Words("the preset's, or `application/json`"),
        "The media type of a request."),
    of(BATCH, "targets.NAME.batch.wrap", KeyValue::Text, PRESET,
        "What is around the array of the items: a JSON object, e.g. `'{\"QueueUrl\": \"...\"}'`. Only with `items`."),
    of(BATCH, "targets.NAME.batch.items", KeyValue::Text, Words("the preset's, or the whole body"),
        "Where in the request the array is: a JSON pointer, e.g. `\"/messages\"`."),
    of(BATCH, "targets.NAME.batch.entry", KeyValue::Text, PRESET,
        "(entries, requests) What each entry has besides, or each request: a JSON object."),
    of(BATCH, "targets.NAME.batch.entry_id", KeyValue::Text, PRESET,
        "(entries) Where an entry has its id: the item's index in its batch."),
    of(BATCH, "targets.NAME.batch.entry_payload", KeyValue::Text, Words("the preset's; else required for entries"),
        "(entries) Where an entry has the payload."),
    of(BATCH, "targets.NAME.batch.entry_key", KeyValue::Text, PRESET,
        "(entries) Where an entry has the item's idempotency key. With it, an item without an answer is sent again, within `key_window`."),
    of(BATCH, "targets.NAME.batch.payload", KeyValue::Word(EMBEDS), Words("the preset's, or `\"json\"`"),
        "(entries) How the payload is written: as the JSON that it is, as a text that holds it, or as a text that holds it in base64. Only the last takes any bytes."),
    of(BATCH, "targets.NAME.batch.item_method", KeyValue::Word(METHODS), Words("`\"POST\"`"),
        "(requests) The method of an item that does not say what to do."),
    of(BATCH, "targets.NAME.batch.item_path", KeyValue::Text, Words("none: every item says what to do"),
        "(requests) The path, below `url`, of an item that does not say what to do."),
    of(BATCH, "targets.NAME.batch.urls", KeyValue::Word(URLS), Words("the preset's, or `\"below\"`"),
        "(requests) How the address of an item is written: the path below `url`, or with the path of `url`."),
    of(BATCH, "targets.NAME.batch.join", KeyValue::Word(JOINS), Words("the preset's, or `\"index\"`"),
        "Whose a result is. `index`: that of the item at the same place, of as many. `id`: that of the item with the id at `result_id`. `none`: there are no results; the answer is about all items."),
    of(BATCH, "targets.NAME.batch.results", KeyValue::Text, Words("the preset's, or the whole body"),
        "Where in an answer the list of the results is, or that of the successes. The pointers below start at a result."),
    of(BATCH, "targets.NAME.batch.failures", KeyValue::Text, PRESET,
        "Where in an answer another list is, of those that failed; also in one that refuses the request."),
    of(BATCH, "targets.NAME.batch.failure_index", KeyValue::Text, PRESET,
        "Where one of the `failures` has the place of its item in the request, from 0. Without it, `join` is for them too."),
    of(BATCH, "targets.NAME.batch.result_id", KeyValue::Text, PRESET,
        "Where a result has the id of its item."),
    of(BATCH, "targets.NAME.batch.result_status", KeyValue::Text, PRESET,
        "Where a result has an HTTP status, which is then sorted as that of a whole answer."),
    of(BATCH, "targets.NAME.batch.result_error", KeyValue::Text, PRESET,
        "Where a result has something only if its item failed: other than `null`, `false`, `0` and what is empty. Not with `result_status`; with neither, a result is a success."),
    of(BATCH, "targets.NAME.batch.result_code", KeyValue::Text, Words("the preset's, or `result_error`"),
        "Where a result has the code of its error."),
    of(BATCH, "targets.NAME.batch.result_message", KeyValue::Text, Words("the preset's, or found"),
        "Where a result says to people what is wrong."),
    of(BATCH, "targets.NAME.batch.result_field", KeyValue::Text, Words("the preset's, or found"),
        "Where a result names the field that is wrong."),
    of(BATCH, "targets.NAME.batch.result_body", KeyValue::Text, Words("the preset's, or the whole result"),
        "Where a result has what is given back as the item's reply."),
    of(BATCH, "targets.NAME.batch.result_headers", KeyValue::Text, PRESET,
        "Where a result has an object of headers, for its `Retry-After`. Only with `result_status`."),
    of(BATCH, "targets.NAME.batch.result_sender_fault", KeyValue::Text, PRESET,
        "Where a failed result has `false` if the fault is the target's own: as a 5xx."),
    of(BATCH, "targets.NAME.batch.busy_codes", KeyValue::Texts, PRESET,
        "Codes that mean that the target did nothing and is asked too much: as a 429."),
    of(BATCH, "targets.NAME.batch.fault_codes", KeyValue::Texts, PRESET,
        "Codes that mean a fault of the target's own: as a 5xx."),
    of(BATCH, "targets.NAME.batch.refused_whole", KeyValue::Word(REFUSALS), Words("the preset's, or `\"not_known\"`"),
        "What a 400 or 422 proves that names no item. `nothing_done`: nothing of the request was done; it goes again in halves until what is wrong is alone. Else all of its items are `REJECTED`."),
    of(BATCH, "targets.NAME.batch.refused_code", KeyValue::Text, PRESET,
        "Where an answer that refuses the whole request has its code, for `busy_codes` and `fault_codes`; a namespace before `#` is left out."),
    of(BATCH, "targets.NAME.batch.atomic", KeyValue::Flag, Is("false"),
        "The target does all of a request, or nothing. With it, batches may ask for all-or-nothing, up to `max_items`."),
];
