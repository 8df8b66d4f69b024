//! What is refused, how it is said, and that nobody else is hurt by it.

mod asked;
mod batches;
mod frames;
mod items;
mod streams;

use std::collections::BTreeMap;

use bytes::Bytes;
use flowgate::proto::batch_submit_stream_request::Message;
use flowgate::proto::{
    Action, ActionVerb, BatchOpen, BatchSpec, BatchSubmitRequest, CancelBatchRequest, FailureKind,
    GetBatchRequest, GetTargetRequest, HttpCall, Item, ListBatchResultsRequest, ListBatchesRequest,
    Payload, ValidationMode, WatchBatchRequest, item, item_result, payload,
};
use http_body_util::{BodyExt, Full};
use prost_types::{ListValue, Struct, Value, value};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::world::{
    World, append, assert_refused, item, json_text, open, resume, seal, spec, submit,
};

fn raw(body: &'static [u8], content_type: &str) -> Item {
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::Raw(Bytes::from_static(body))),
            content_type: content_type.to_owned(),
        }),
        ..Item::default()
    }
}

fn with_id(id: &str) -> Item {
    Item {
        id: id.to_owned(),
        ..item(1)
    }
}

fn with_key(key: &str) -> Item {
    Item {
        idempotency_key: key.to_owned(),
        ..item(1)
    }
}

fn action(verb: ActionVerb, resource_id: &str) -> Item {
    Item {
        operation: Some(item::Operation::Action(Action {
            verb: verb.into(),
            resource_id: resource_id.to_owned(),
        })),
        ..item(1)
    }
}

fn call(method: &str, path: &str, header: Option<(&str, &str)>) -> Item {
    let headers = header
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Item {
        operation: Some(item::Operation::Http(HttpCall {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: headers.collect(),
        })),
        ..item(1)
    }
}

/// A payload whose value is nested so deep in itself.
fn nested(depth: usize) -> Item {
    let mut value = Value {
        kind: Some(value::Kind::BoolValue(true)),
    };
    for _ in 0..depth {
        value = Value {
            kind: Some(value::Kind::ListValue(ListValue {
                values: vec![value],
            })),
        };
    }
    struct_of(value)
}

fn struct_of(value: Value) -> Item {
    let fields = BTreeMap::from([("v".to_owned(), value)]);
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::Json(Struct { fields })),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}
