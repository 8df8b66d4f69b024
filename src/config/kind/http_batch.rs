//! What a target of the kind `http_batch` is told.

use http::HeaderValue;

use super::HttpConfig;
use crate::core::pointer::Pointer;
use crate::core::template::Template;

/// An HTTP API that takes many items a request.
#[derive(Debug)]
pub struct HttpBatchConfig {
    /// The request that carries them: how the target is reached, method, path
    /// and headers. Its `reply_limit` is that of each item's part of an answer;
    /// its `idempotency_header` carries a key of the whole request.
    pub http: HttpConfig,
    /// The media type of a request.
    pub content_type: HeaderValue,
    /// The most items of a request.
    pub max_items: u32,
    /// The most bytes of a request's body; one with a single item may have more.
    pub max_bytes: usize,
    /// Bytes of an answer that are read; what is beyond is not known.
    pub max_answer: usize,
    /// What is around the array of the items.
    pub wrap: Template<()>,
    /// What becomes of an item.
    pub element: Element,
    /// Where an answer says what became of each item.
    pub results: Results,
    /// A 400 or 422 that names no item has done nothing of the request.
    pub refusal_does_nothing: bool,
    /// All of a request is done, or nothing.
    pub is_atomic: bool,
}

/// What becomes of an item.
#[derive(Debug)]
pub enum Element {
    /// Its payload, as it is.
    Payload,
    /// An object of the provider's making.
    Entry {
        /// Its text.
        template: Template<Slot>,
        /// How the payload goes in.
        embed: Embed,
    },
    /// A request of its own, in JSON.
    Request(Box<SubRequest>),
}

/// What is filled into an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The item's index in its batch, as a text.
    Id,
    /// Its idempotency key, as a text.
    Key,
    /// Its payload.
    Payload,
}

/// How a payload goes into an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Embed {
    /// As the JSON value that it is.
    #[default]
    Json,
    /// As a JSON text that holds it.
    Text,
    /// As a JSON text that holds it in base64.
    Base64,
}

/// A request within a request.
#[derive(Debug)]
pub struct SubRequest {
    /// What items may ask for. Its `path` counts only with `has_operation`; its
    /// `idempotency_header` carries each item's own key.
    pub http: HttpConfig,
    /// There is something to do for an item that does not say what.
    pub has_operation: bool,
    /// Constant members, as `"name":value` with commas between.
    pub constants: String,
    /// How addresses are written.
    pub urls: Urls,
}

/// How the addresses of requests within a request are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Urls {
    /// Below the target's base: `/users` for `https://host/v1.0/users`.
    #[default]
    Below,
    /// With the base's path: `/v1.0/users`.
    Whole,
}

/// Where an answer says what became of each item. Pointers start at a result,
/// but for the two lists.
#[derive(Clone, Debug)]
pub struct Results {
    /// Whose a result is.
    pub join: Join,
    /// The list of results, or of the successes.
    pub list: Pointer,
    /// Another list, of the failures.
    pub failures: Option<Pointer>,
    /// A failure's place among the request's items, from 0, where it says so
    /// itself.
    pub failure_index: Option<Pointer>,
    /// An HTTP status: decides alone where there is one.
    pub status: Option<Pointer>,
    /// Something is here only where the item failed.
    pub error: Option<Pointer>,
    /// The error's code.
    pub code: Option<Pointer>,
    /// What it says to people.
    pub message: Option<Pointer>,
    /// The field that it is about.
    pub field: Option<Pointer>,
    /// What is given back as the item's reply.
    pub body: Pointer,
    /// An object of headers.
    pub headers: Option<Pointer>,
    /// `false` where the fault is the target's own.
    pub sender_fault: Option<Pointer>,
    /// Where an answer that refuses the whole request has its code; from the
    /// answer's root.
    pub refused_code: Option<Pointer>,
    /// Codes that mean that the target did nothing, being asked too much.
    pub busy_codes: Vec<String>,
    /// Codes that mean a fault of the target's own.
    pub fault_codes: Vec<String>,
}

/// Whose a result is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Join {
    /// That of the item at the same place; there are as many.
    Place,
    /// That of the item whose id is there.
    Id(Pointer),
    /// There are no results: an answer is about all items.
    Whole,
}

impl HttpBatchConfig {
    /// Whether each item's own key goes along, so that a target that knows it
    /// does nothing twice, whatever company the item comes in.
    pub fn has_item_keys(&self) -> bool {
        match &self.element {
            Element::Payload => false,
            Element::Entry { template, .. } => template.has(Slot::Key),
            Element::Request(request) => request.http.idempotency_header.is_some(),
        }
    }
}
