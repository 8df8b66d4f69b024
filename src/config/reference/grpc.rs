//! The keys that only targets of the kind `grpc` have.

use super::KeyDefault::{Is, Required, Words};
use super::{Key, KeyValue, of};

const GRPC: &[&str] = &["grpc"];

#[rustfmt::skip] // One key, one paragraph.
pub(super) const KEYS: &[Key] = &[
    of(GRPC, "targets.NAME.grpc.method", KeyValue::Text, Required,
        "The method that is called for an item that does not say what to do, e.g. `\"shop.v1.GuestService/CreateGuest\"`. One message each way: no streams."),
    of(GRPC, "targets.NAME.grpc.allow_methods", KeyValue::Texts, Is("[]"),
        "The other methods that items may name (`grpc`): `\"shop.v1.GuestService/GetGuest\"`, or all of a service: `\"shop.v1.GuestService/*\"`."),
    of(GRPC, "targets.NAME.grpc.descriptors", KeyValue::Text, Words("the target is asked, by reflection"),
        "A file with the `FileDescriptorSet` of the methods and all that they import, as `buf build -o` or `protoc --include_imports --descriptor_set_out` writes it. Read at start; relative to the folder of the configuration."),
    of(GRPC, "targets.NAME.grpc.idempotent_methods", KeyValue::Texts, Is("[]"),
        "Calling these twice does no harm: written as in `allow_methods`. A method whose descriptor says so (`idempotency_level`) counts as well."),
    of(GRPC, "targets.NAME.grpc.busy_unavailable", KeyValue::Flag, Is("false"),
        "`UNAVAILABLE` that says when to come again (`RetryInfo`, `grpc-retry-pushback-ms`) proves that nothing was done, as `RESOURCE_EXHAUSTED` does: the target is left alone for so long, and the item goes again."),
];
