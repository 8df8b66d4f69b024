//! The keys of the server, its store, and quotas.

use super::KeyDefault::{Is, Required, Words};
use super::{Key, KeyValue, PACES, key};

#[rustfmt::skip] // One key, one paragraph.
pub(super) const KEYS: &[Key] = &[
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
];
