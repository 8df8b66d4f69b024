//! Targets and items that the tests here share, and the key of a request.

use std::path::Path;

use bytes::Bytes;

use super::key;
use crate::config::{Config, HttpBatchConfig, TargetKind};
use crate::model::{BatchId, Form, Item, Operation, Payload};
use crate::target::Together;

/// A target with these lines in its table of a batch.
pub(super) fn configured(lines: &str) -> HttpBatchConfig {
    with("", lines)
}

/// The same with more in its own table.
pub(super) fn with(own: &str, lines: &str) -> HttpBatchConfig {
    let text = format!(
        "[targets.t]\nkind = \"http_batch\"\nurl = \"https://api.example.com/v1\"\n\
         path = \"/batch\"\n{own}\n[targets.t.batch]\n{lines}"
    );
    let config = Config::parse(&text, Path::new(""), &|_: &str| None);
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    match config.targets.into_iter().next().map(|target| target.kind) {
        Some(TargetKind::HttpBatch(batch)) => *batch,
        other => panic!("{other:?}"),
    }
}

pub(super) fn item(index: u32, payload: &str) -> Item {
    Item {
        index,
        id: None,
        key: None,
        payload: Some(Payload {
            form: Form::JsonText,
            content_type: None,
            body: Bytes::copy_from_slice(payload.as_bytes()),
        }),
        operation: Operation::Target,
    }
}

pub(super) fn raw(index: u32, body: &'static [u8]) -> Item {
    let mut item = item(index, "");
    item.payload = Some(Payload {
        form: Form::Raw,
        content_type: None,
        body: Bytes::from_static(body),
    });
    item
}

pub(super) fn batch() -> BatchId {
    BatchId::parse("0191e0a0-0000-7000-8000-000000000001").expect("an id")
}

#[test]
fn a_key_of_a_request_is_that_of_its_items_and_its_body() {
    let key_of = |items: &[Item], body: &'static str| {
        let request = Together {
            items,
            batch: batch(),
            is_atomic: false,
        };
        key(&request, &Bytes::from_static(body.as_bytes()))
    };
    let items: Vec<Item> = (0..4).map(|n| item(n, "{}")).collect();
    let whole = key_of(&items, "[]");
    assert_eq!(whole, key_of(&items, "[]"), "the same of the same");
    let mut turned = items.clone();
    turned.swap(0, 1);
    let mut named = items.clone();
    named[0].key = Some("k".to_owned());
    for (other, body) in [
        (&items[..2], "[]"),
        (&items[2..], "[]"),
        (&items[..], "[1]"),
        (&turned[..], "[]"),
        (&named[..], "[]"),
    ] {
        assert_ne!(whole, key_of(other, body), "{other:?}");
    }
    // Keys do not run into each other.
    let with = |keys: [&str; 2]| {
        let mut items = items[..2].to_vec();
        for (item, key) in items.iter_mut().zip(keys) {
            item.key = Some(key.to_owned());
        }
        key_of(&items, "[]")
    };
    assert_ne!(with(["ab", "c"]), with(["a", "bc"]));
}
