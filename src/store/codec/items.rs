//! Items, as a chunk keeps them.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest as _, Sha256};

use super::super::rows::{Digest, Undone};
use super::{unknown, unreadable};
use crate::model::{Action, Form, GrpcCall, HttpCall, Item, Operation, Payload, Verb};

/// Items, for a chunk.
pub(in crate::store) fn encode_items(items: impl IntoIterator<Item = Item>) -> Bytes {
    let items = items.into_iter().map(ItemMessage::from).collect();
    Items { items }.encode_to_vec().into()
}

/// The items of a chunk.
pub(in crate::store) fn decode_items(blob: Bytes) -> Result<Vec<Item>, Undone> {
    let items = Items::decode(blob).map_err(unreadable)?.items;
    items.into_iter().map(Item::try_from).collect()
}

/// Stands for what an item asks for, whatever its place, id and key.
pub(in crate::store) fn digest(item: &Item) -> Digest {
    let asked = ItemMessage::from(Item {
        index: 0,
        id: None,
        key: None,
        ..item.clone()
    });
    let whole = Sha256::digest(asked.encode_to_vec());
    let mut digest = Digest::default();
    let length = digest.len();
    digest.copy_from_slice(&whole[..length]);
    digest
}

#[derive(Clone, PartialEq, prost::Message)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    items: Vec<ItemMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ItemMessage {
    #[prost(uint32, tag = "1")]
    index: u32,
    #[prost(string, optional, tag = "2")]
    id: Option<String>,
    #[prost(string, optional, tag = "3")]
    key: Option<String>,
    #[prost(message, optional, tag = "4")]
    payload: Option<PayloadMessage>,
    #[prost(oneof = "OperationMessage", tags = "5, 6, 7")]
    operation: Option<OperationMessage>,
}

/// Absent for the target's own operation.
#[derive(Clone, PartialEq, prost::Oneof)]
enum OperationMessage {
    #[prost(message, tag = "5")]
    Action(ActionMessage),
    #[prost(message, tag = "6")]
    Http(HttpCallMessage),
    #[prost(message, tag = "7")]
    Grpc(GrpcCallMessage),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PayloadMessage {
    #[prost(uint32, tag = "1")]
    form: u32,
    #[prost(string, optional, tag = "2")]
    content_type: Option<String>,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ActionMessage {
    #[prost(uint32, tag = "1")]
    verb: u32,
    #[prost(string, tag = "2")]
    resource_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpCallMessage {
    #[prost(string, tag = "1")]
    method: String,
    #[prost(string, tag = "2")]
    path: String,
    #[prost(btree_map = "string, string", tag = "3")]
    headers: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct GrpcCallMessage {
    #[prost(string, tag = "1")]
    method: String,
    #[prost(btree_map = "string, string", tag = "2")]
    metadata: BTreeMap<String, String>,
}

impl From<Item> for ItemMessage {
    fn from(item: Item) -> Self {
        ItemMessage {
            index: item.index,
            id: item.id,
            key: item.key,
            payload: item.payload.map(PayloadMessage::from),
            operation: match item.operation {
                Operation::Target => None,
                Operation::Action(action) => Some(OperationMessage::Action(ActionMessage {
                    verb: match action.verb {
                        Verb::Create => 1,
                        Verb::Update => 2,
                        Verb::Delete => 3,
                    },
                    resource_id: action.resource_id,
                })),
                Operation::Http(call) => Some(OperationMessage::Http(HttpCallMessage {
                    method: call.method,
                    path: call.path,
                    headers: call.headers,
                })),
                Operation::Grpc(call) => Some(OperationMessage::Grpc(GrpcCallMessage {
                    method: call.method,
                    metadata: call.metadata,
                })),
            },
        }
    }
}

impl TryFrom<ItemMessage> for Item {
    type Error = Undone;

    fn try_from(message: ItemMessage) -> Result<Self, Undone> {
        Ok(Item {
            index: message.index,
            id: message.id,
            key: message.key,
            payload: message.payload.map(Payload::try_from).transpose()?,
            operation: match message.operation {
                None => Operation::Target,
                Some(OperationMessage::Action(action)) => Operation::Action(Action {
                    verb: match action.verb {
                        1 => Verb::Create,
                        2 => Verb::Update,
                        3 => Verb::Delete,
                        other => return Err(unknown("verb", other)),
                    },
                    resource_id: action.resource_id,
                }),
                Some(OperationMessage::Http(call)) => Operation::Http(HttpCall {
                    method: call.method,
                    path: call.path,
                    headers: call.headers,
                }),
                Some(OperationMessage::Grpc(call)) => Operation::Grpc(GrpcCall {
                    method: call.method,
                    metadata: call.metadata,
                }),
            },
        })
    }
}

impl From<Payload> for PayloadMessage {
    fn from(payload: Payload) -> Self {
        PayloadMessage {
            form: match payload.form {
                Form::Json => 1,
                Form::JsonText => 2,
                Form::Raw => 3,
            },
            content_type: payload.content_type,
            body: payload.body,
        }
    }
}

impl TryFrom<PayloadMessage> for Payload {
    type Error = Undone;

    fn try_from(message: PayloadMessage) -> Result<Self, Undone> {
        Ok(Payload {
            form: match message.form {
                1 => Form::Json,
                2 => Form::JsonText,
                3 => Form::Raw,
                other => return Err(unknown("form", other)),
            },
            content_type: message.content_type,
            body: message.body,
        })
    }
}
