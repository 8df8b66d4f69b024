//! The keys of the configuration, described for people: what the README shows
//! and what error messages say is expected. `tests/config.rs` holds it to what
//! the parser takes and to the defaults that it gives.

use std::fmt::Write;

use super::key::{KeyPath, Step};

/// A key of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its path; `NAME` stands for a name of the operator's choice.
    pub path: &'static str,
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
pub(super) const KINDS: &[&str] = &["http"];
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
    Key {
        path,
        value,
        default,
        meaning,
    }
}

/// Every key, by table.
pub fn reference() -> &'static [Key] {
    KEYS
}

use KeyDefault::{Is, Required, Words};

#[rustfmt::skip] // One key, one paragraph.
const KEYS: &[Key] = &[
    key("server.listen", KeyValue::Text, Is("\"127.0.0.1:50051\""),
        "Address and port of the gRPC server. Other than loopback only with `serve --insecure`; port 0 takes a free one."),
    key("server.max_calls", KeyValue::Number, Is("1024"),
        "Calls under way at once, over all connections; one more is refused with `RESOURCE_EXHAUSTED`."),
    key("server.max_streams", KeyValue::Number, Is("256"),
        "Calls under way at once on one connection."),
    key("server.max_connections", KeyValue::Number, Is("1024"),
        "Connections open at once; one more waits until another closes."),
    key("server.intake_memory", KeyValue::Size, Is("\"64MiB\""),
        "Memory for items between their callers and the disk, over all calls, from `16MiB` to `2048MiB`; one who comes with more waits."),
    key("server.heartbeat", KeyValue::Duration, Is("\"15s\""),
        "How long a stream is silent before it sends a heartbeat, so that proxies keep it open."),
    key("server.drain", KeyValue::Duration, Is("\"30s\""),
        "How long the server, told to stop, lets requests to targets run out."),
    key("server.open_timeout", KeyValue::Duration, Is("\"10m\""),
        "How long a batch stays open that no stream fills; then it is sealed as it stands."),

    key("store.path", KeyValue::Text, Is("\"flowgate.db\""),
        "The SQLite file that holds the batches, made if it is not there; relative to the folder of the configuration."),
    key("store.memory", KeyValue::Flag, Is("false"),
        "Holds batches in memory instead: they are gone with the process. For trying things out; not with `path`."),
    key("store.max_size", KeyValue::Size, Words("what the disk has"),
        "What the file may take, from `64MiB`; the log beside it counts. When it is used up, new items are refused with `RESOURCE_EXHAUSTED` and the reason `STORE_FULL`; what was accepted goes on."),
    key("store.reserve", KeyValue::Size, Words("256MiB, or a quarter of `max_size` if that is less"),
        "How much of `max_size`, and of the disk, new items leave free for what becomes of those that were accepted; besides about 512 bytes for each of these. At most half of `max_size`."),
    key("store.keep_batches", KeyValue::Duration, Is("\"168h\""),
        "How long a batch is kept once it is finished, with its payloads and results; then it is thrown away."),
    key("store.keep_keys", KeyValue::Duration, Is("\"24h\""),
        "How long the `idempotency_key` of an item is kept after its outcome: for so long, another item with it is answered from the record."),

    key("quotas.NAME.limits", KeyValue::Limits, Required,
        "What the targets with `quota = \"NAME\"` may send together; all of the limits hold. `100/s`, `5000/m`, `20000/h`, `100000/d` or `10/250ms`: a count, and the length of a sliding window. No restart refills a limit: a window of up to 10 s is waited out; of a longer one, what each target was sent is kept by the minute, under the target's name."),
    key("quotas.NAME.pace", KeyValue::Word(PACES), Is("\"window\""),
        "`window` sends as soon as no sliding window at the target would hold too many requests; `smooth` spaces them evenly."),
    key("quotas.NAME.transit", KeyValue::Duration, Is("\"50ms\""),
        "The longest that a written request takes to reach the target; the limits are exact as long as that holds."),

    key("targets.NAME.kind", KeyValue::Word(KINDS), Required,
        "`http`: an HTTP API that takes one item a request."),
    key("targets.NAME.url", KeyValue::Text, Required,
        "Scheme, host, port and the path that every request stays under. No user name, query or fragment: credentials go into `headers`."),
    key("targets.NAME.method", KeyValue::Word(METHODS), Is("\"POST\""),
        "The method for an item that does not say what to do."),
    key("targets.NAME.path", KeyValue::Text, Required,
        "The path, below `url`, for an item that does not say what to do; it may have a query."),
    key("targets.NAME.limits", KeyValue::Limits, Words("no limit"),
        "The target's own limits, written as those of a quota. Not with `quota`."),
    key("targets.NAME.pace", KeyValue::Word(PACES), Is("\"window\""),
        "As that of a quota. Not with `quota`."),
    key("targets.NAME.transit", KeyValue::Duration, Is("\"50ms\""),
        "As that of a quota. Not with `quota`."),
    key("targets.NAME.quota", KeyValue::Text, Words("limits of its own"),
        "The name of the quota that the target draws on, together with others."),
    key("targets.NAME.chunk_items", KeyValue::Number, Words("50, or less where the limits ask for it"),
        "The most items that are taken up together: what progress and fairness are counted in. At most 1,000; half a second's worth of the limit with the shortest window, and at least 1; and no more than any limit admits."),
    key("targets.NAME.concurrency", KeyValue::Number, Words("half a second's worth of the limit with the shortest window, from 10 to 256; 64 without limits"),
        "The most requests under way at once, up to 10,000."),
    key("targets.NAME.timeout", KeyValue::Duration, Is("\"30s\""),
        "From the first byte of a request to the last of its answer. An item that times out may have been done: see `repeatable`."),
    key("targets.NAME.connect_timeout", KeyValue::Duration, Is("\"5s\""),
        "For making a connection, TLS included."),
    key("targets.NAME.idle_timeout", KeyValue::Duration, Is("\"4s\""),
        "How long a connection is kept without a request. Shorter than the target keeps it, or a request may meet its closing."),
    key("targets.NAME.protocol", KeyValue::Word(PROTOCOLS), Is("\"auto\""),
        "`auto` speaks HTTP/2 where TLS negotiates it, else HTTP/1.1; `http2` speaks it without TLS too."),
    key("targets.NAME.ca", KeyValue::Text, Words("the public authorities"),
        "A PEM file of certificates; with it, only the authorities in it are trusted. For `https://`. Read at start; relative to the folder of the configuration."),
    key("targets.NAME.idempotency_header", KeyValue::Text, Words("none"),
        "The header in which the target takes an idempotency key, e.g. `\"Idempotency-Key\"`: the item's own, else one made for it. With it, an item without an answer is sent again."),
    key("targets.NAME.key_window", KeyValue::Duration, Is("\"24h\""),
        "How long the target knows a key: an item without an answer is sent again only within that from its first send. Only with `idempotency_header`."),
    key("targets.NAME.repeatable", KeyValue::Flag, Is("false"),
        "Sending an item twice does no harm, whatever it is. Where this is not known, an item without an answer ends `IN_DOUBT` instead of being sent again."),
    key("targets.NAME.idempotent_methods", KeyValue::Flag, Is("true"),
        "Sending a GET, PUT or DELETE twice does no harm."),
    key("targets.NAME.allow_calls", KeyValue::Flag, Is("false"),
        "Items may bring a method and path of their own (`http`), below `url`."),
    key("targets.NAME.allow_headers", KeyValue::Texts, Is("[]"),
        "The headers that such items may set."),
    key("targets.NAME.reply_limit", KeyValue::Size, Is("\"64KiB\""),
        "How much of a reply is kept, up to `1MiB`; the rest is cut."),
    key("targets.NAME.busy_503", KeyValue::Flag, Is("true"),
        "A 503 with `Retry-After` proves that nothing was done, as a 429 does: the target is left alone for so long, and the item goes again."),
    key("targets.NAME.max_retry_after", KeyValue::Duration, Is("\"10m\""),
        "The longest pause that a `Retry-After` can ask for."),

    key("targets.NAME.headers.NAME", KeyValue::Secret, Words("none"),
        "A header that is sent with every request. A secret is best kept elsewhere: in a variable of the environment, or in a file."),
    key("targets.NAME.headers.NAME.env", KeyValue::Text, Words("none"),
        "The environment variable that holds the value."),
    key("targets.NAME.headers.NAME.file", KeyValue::Text, Words("none"),
        "The file that holds the value; line breaks at its end are cut. Relative to the folder of the configuration."),
    key("targets.NAME.headers.NAME.prefix", KeyValue::Text, Words("nothing"),
        "What goes before the value, e.g. `\"Bearer \"`."),

    key("targets.NAME.actions.create.enabled", KeyValue::Flag, Is("true"),
        "Items may say `create`."),
    key("targets.NAME.actions.create.method", KeyValue::Word(METHODS), Is("\"POST\""),
        "How it is done."),
    key("targets.NAME.actions.create.path", KeyValue::Text, Words("the target's `path`"),
        "Where it is done."),
    key("targets.NAME.actions.update.enabled", KeyValue::Flag, Is("true"),
        "Items may say `update`, with a resource."),
    key("targets.NAME.actions.update.method", KeyValue::Word(METHODS), Is("\"PATCH\""),
        "How it is done."),
    key("targets.NAME.actions.update.path", KeyValue::Text, Words("the target's `path` and `/{id}`"),
        "Where it is done; `{id}` stands for the resource."),
    key("targets.NAME.actions.delete.enabled", KeyValue::Flag, Is("true"),
        "Items may say `delete`, with a resource."),
    key("targets.NAME.actions.delete.method", KeyValue::Word(METHODS), Is("\"DELETE\""),
        "How it is done."),
    key("targets.NAME.actions.delete.path", KeyValue::Text, Words("the target's `path` and `/{id}`"),
        "Where it is done; `{id}` stands for the resource."),

    key("targets.NAME.retry.attempts", KeyValue::Number, Is("10"),
        "The most times that an item is sent, from 1 to 100. Being told to wait (429) does not count."),
    key("targets.NAME.retry.base", KeyValue::Duration, Is("\"200ms\""),
        "The first delay is up to this long, each next one up to twice as long."),
    key("targets.NAME.retry.max", KeyValue::Duration, Is("\"30s\""),
        "No delay is longer."),
    key("targets.NAME.retry.patience", KeyValue::Duration, Is("\"1h\""),
        "No new try begins later than this after an item was first taken up."),
];

/// The reference as Markdown: a table for each table of the file.
pub fn reference_markdown() -> String {
    let mut page = String::new();
    let mut table = "";
    for key in reference() {
        let (parent, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if parent != table {
            table = parent;
            let gap = if page.is_empty() { "" } else { "\n" };
            let _ = write!(
                page,
                "{gap}#### `[{table}]`\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n"
            );
        }
        let default = match key.default {
            Required => "required".to_owned(),
            Is(value) => format!("`{value}`"),
            Words(words) => words.to_owned(),
        };
        let _ = writeln!(
            page,
            "| `{name}` | {} | {default} | {} |",
            key.value.name(),
            key.meaning
        );
    }
    page
}
