//! What a target of the kind `http` is told.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, Method};
use secrecy::SecretString;

use super::ConnectConfig;
use crate::model::Verb;

/// An HTTP API that takes one item a request.
#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent switches of the operator's"
)]
pub struct HttpConfig {
    /// How it is reached.
    pub connect: ConnectConfig,
    /// Of the target's own operation.
    pub method: Method,
    /// Of the target's own operation, below the base: starts with `/`.
    pub path: String,
    /// How actions are done: method, and path with `{id}`; those that are
    /// missing are refused.
    pub actions: BTreeMap<Verb, (Method, String)>,
    /// Whether items may bring an [`HttpCall`](crate::model::HttpCall).
    pub allow_calls: bool,
    /// The headers that an [`HttpCall`](crate::model::HttpCall) may set.
    pub allow_headers: Vec<HeaderName>,
    /// Sent with every request: credentials among them.
    pub headers: Vec<(HeaderName, SecretString)>,
    /// Where an item's idempotency key goes, and what makes the target safe to
    /// repeat; absent where the target knows no such thing.
    pub idempotency_header: Option<HeaderName>,
    /// How long the target knows a key, from the first send: within it, sending
    /// an item again does no harm.
    pub key_window: Duration,
    /// Sending an item twice does no harm, whatever it is.
    pub repeatable: bool,
    /// Sending a GET, PUT or DELETE twice does no harm.
    pub idempotent_methods: bool,
    /// From the first byte of a request to the last of its answer.
    pub timeout: Duration,
    /// Bytes of a reply that are kept; the rest is cut.
    pub reply_limit: usize,
    /// 503 with `Retry-After` proves that nothing was done.
    pub busy_503: bool,
    /// The longest pause that a `Retry-After` can ask for.
    pub max_retry_after: Duration,
}
