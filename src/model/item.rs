//! What a caller hands in.

use std::collections::BTreeMap;

use bytes::Bytes;

/// One unit of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its place in its batch, from 0.
    pub index: u32,
    /// The caller's name for it; absent when none was given.
    pub id: Option<String>,
    /// The caller's idempotency key; absent when none was given.
    pub key: Option<String>,
    /// What to send.
    pub payload: Option<Payload>,
    /// What to do with it.
    pub operation: Operation,
}

impl Item {
    /// The id that its result carries: the caller's, or the index in decimal.
    pub fn shown_id(&self) -> String {
        match &self.id {
            Some(id) => id.clone(),
            None => self.index.to_string(),
        }
    }
}

/// A body and the form in which it was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    /// How the caller wrote it, and so how a reply is given back.
    pub form: Form,
    /// The media type of a raw body; absent means `application/octet-stream`,
    /// and always with the JSON forms.
    pub content_type: Option<String>,
    /// The body, as it goes out.
    pub body: Bytes,
}

impl Payload {
    /// The media type that goes out with it.
    pub fn media_type(&self) -> &str {
        match (self.form, &self.content_type) {
            (Form::Json | Form::JsonText, _) => "application/json",
            (Form::Raw, Some(given)) => given,
            (Form::Raw, None) => "application/octet-stream",
        }
    }
}

/// The three ways to write a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A `google.protobuf.Struct`; the body is the JSON text made of it.
    Json,
    /// JSON text, kept as it came.
    JsonText,
    /// Bytes.
    Raw,
}

/// What to do with an item.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// The target's own operation.
    Target,
    /// One of the operations on the target's resource.
    Action(Action),
    /// A request of the caller's own below the target's base.
    Http(HttpCall),
    /// A call of another method than the target's own.
    Grpc(GrpcCall),
}

/// An operation on the target's resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// Which one.
    pub verb: Verb,
    /// The resource; empty only for [`Verb::Create`].
    pub resource_id: String,
}

/// The operations on a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Make a new one.
    Create,
    /// Change one.
    Update,
    /// Remove one.
    Delete,
}

/// A request of the caller's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpCall {
    /// Empty: the target's.
    pub method: String,
    /// Path and query; empty: the target's.
    pub path: String,
    /// Of those that the target allows.
    pub headers: BTreeMap<String, String>,
}

/// A call of the caller's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GrpcCall {
    /// `package.Service/Method`; empty: the target's.
    pub method: String,
    /// Of those that the target allows.
    pub metadata: BTreeMap<String, String>,
}
