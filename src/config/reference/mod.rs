//! The keys of the configuration, described for people: what the README shows
//! and what error messages say is expected. `tests/config.rs` holds it to what
//! the parser takes and to the defaults that it gives.

mod grpc;
mod http;
mod http_batch;
mod postgres;
mod server;
mod target;
mod tries;

use std::fmt::Write;
use std::sync::LazyLock;

use super::key::{KeyPath, Step};

pub(super) use http_batch::{EMBEDS, FORMATS, JOINS, PRESETS, REFUSALS, URLS};

/// A key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its path; `NAME` stands for a name of the operator's choice.
    pub path: &'static str,
    /// The kinds of target that have it; empty for all.
    pub kinds: &'static [&'static str],
    /// What its value looks like.
    pub value: KeyValue,
    /// What holds without it.
    pub default: KeyDefault,
    /// What it does.
    pub meaning: &'static str,
}

/// What holds without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyDefault {
    /// The configuration is refused.
    Required,
    /// As if it were given with this value, written as in the file.
    Is(&'static str),
    /// In words.
    Words(&'static str),
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyValue {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number.
    Number,
    /// True or false.
    Flag,
    /// `30s`
    Duration,
    /// `64KiB`
    Size,
    /// `["100/s"]`
    Limits,
    /// `["x-request-source"]`
    Texts,
    /// A text, or where to find it.
    Secret,
    /// `"item"`, or numbers.
    Cost,
}

impl KeyValue {
    /// In a word or two, for a table.
    fn name(self) -> String {
        match self {
            KeyValue::Text => "text".to_owned(),
            KeyValue::Word(words) => format!("`\"{}\"`", words.join("\"`, `\"")),
            KeyValue::Number => "number".to_owned(),
            KeyValue::Flag => "`true`, `false`".to_owned(),
            KeyValue::Duration => "duration".to_owned(),
            KeyValue::Size => "size".to_owned(),
            KeyValue::Limits => "list of limits".to_owned(),
            KeyValue::Texts => "list of texts".to_owned(),
            KeyValue::Secret => "text, `{ env, prefix }`, `{ file, prefix }`".to_owned(),
            KeyValue::Cost => "`\"item\"`, `\"request\"`, `{ base, per_item }`".to_owned(),
        }
    }

    /// What to write, for an error message.
    fn expected(self) -> String {
        match self {
            KeyValue::Text => "a text in quotes".to_owned(),
            KeyValue::Word(words) => format!("\"{}\"", words.join("\" or \"")),
            KeyValue::Number => "a whole number, 0 or more".to_owned(),
            KeyValue::Flag => "`true` or `false`".to_owned(),
            KeyValue::Duration => "a duration in quotes with its unit, e.g. \"30s\"".to_owned(),
            KeyValue::Size => "a size in quotes with its unit, e.g. \"64KiB\"".to_owned(),
            KeyValue::Limits => "a list of limits, e.g. [\"100/s\"]".to_owned(),
            KeyValue::Texts => "a list of texts, e.g. [\"x-request-source\"]".to_owned(),
            KeyValue::Secret => {
                "a text in quotes, { env = \"NAME\" } or { file = \"path\" }".to_owned()
            }
            KeyValue::Cost => "\"item\", \"request\" or e.g. { base = 1, per_item = 1 }".to_owned(),
        }
    }
}

/// What belongs at a place, for an error message.
pub(super) fn expected_at(path: &KeyPath) -> String {
    reference()
        .iter()
        .find(|key| matches(key.path, path.steps()))
        .map_or_else(|| "a table".to_owned(), |key| key.value.expected())
}

fn matches(pattern: &str, steps: &[Step]) -> bool {
    let names: Vec<&str> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        })
        .collect();
    let pattern: Vec<&str> = pattern.split('.').collect();
    let fits = |(wanted, name): (&&str, &&str)| *wanted == "NAME" || wanted == name;
    names.len() == pattern.len() && pattern.iter().zip(&names).all(fits)
}

/// The methods that a request may have.
pub(super) const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];
/// The kinds of target.
pub(super) const KINDS: &[&str] = &["http", "http_batch", "grpc", "postgres"];
/// The kinds that send HTTP requests of the operator's making.
const HTTPS: &[&str] = &["http", "http_batch"];
/// The kinds whose requests have headers.
const CALLS: &[&str] = &["http", "http_batch", "grpc"];
/// The kind that writes to a database.
const POSTGRES: &[&str] = &["postgres"];
/// What is done with rows, in the order of `RowOperation::ALL`.
pub(super) const OPERATIONS: &[&str] = &["create", "update", "upsert", "delete"];
/// Whether a database is spoken to over TLS.
pub(super) const SSLMODES: &[&str] = &["disable", "require"];
/// The ways to pace.
pub(super) const PACES: &[&str] = &["window", "smooth"];
/// The protocols of an HTTP target.
pub(super) const PROTOCOLS: &[&str] = &["auto", "http1", "http2"];

const fn key(
    path: &'static str,
    value: KeyValue,
    default: KeyDefault,
    meaning: &'static str,
) -> Key {
    of(&[], path, value, default, meaning)
}

/// A key that only some kinds of target have.
const fn of(
    kinds: &'static [&'static str],
    path: &'static str,
    value: KeyValue,
    default: KeyDefault,
    meaning: &'static str,
) -> Key {
    Key {
        path,
        kinds,
        value,
        default,
        meaning,
    }
}

/// Every key, by table.
pub fn reference() -> &'static [Key] {
    static ALL: LazyLock<Vec<Key>> = LazyLock::new(|| {
        let tables = [
            server::KEYS,
            target::KEYS,
            http::KEYS,
            http_batch::KEYS,
            grpc::KEYS,
            postgres::KEYS,
            tries::KEYS,
        ];
        tables.concat()
    });
    &ALL
}

/// The kinds of target that a key belongs to, if it does not belong to all.
pub(super) fn kinds_of(path: &KeyPath) -> Option<&'static [&'static str]> {
    let key = reference()
        .iter()
        .find(|key| matches(key.path, path.steps()))?;
    (!key.kinds.is_empty()).then_some(key.kinds)
}

/// The reference as Markdown: a table for each table of the file.
pub fn reference_markdown() -> String {
    let mut tables: Vec<(&str, String)> = Vec::new();
    for key in reference() {
        let (parent, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        let at = tables.iter().position(|(table, _)| *table == parent);
        let at = at.unwrap_or_else(|| {
            tables.push((parent, String::new()));
            tables.len() - 1
        });
        let default = match key.default {
            KeyDefault::Required => "required".to_owned(),
            KeyDefault::Is(value) => format!("`{value}`"),
            KeyDefault::Words(words) => words.to_owned(),
        };
        let kinds = match key.kinds {
            [] => String::new(),
            kinds => format!("({}) ", kinds.join(", ")),
        };
        let _ = writeln!(
            tables[at].1,
            "| `{name}` | {} | {default} | {kinds}{} |",
            key.value.name(),
            key.meaning
        );
    }
    let table = |(name, rows)| {
        format!(
            "#### `[{name}]`\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n{rows}"
        )
    };
    let tables: Vec<String> = tables.into_iter().map(table).collect();
    tables.join("\n")
}
