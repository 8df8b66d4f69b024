//! The `http_batch` target: an HTTP API that takes many items a request. Knows
//! how a request is written and how its answer is taken apart; what goes into
//! one, and what becomes of one that is refused, is for [`Bulk`](super::Bulk).
//!
//! A key of the whole request (`idempotency_header`) is made of the keys of its
//! items and of its body, so that it is the same only for the same items in the
//! same order with the same content. Items that are sent again may come in other
//! company: in halves, with some of them settled, or joined with others. So such
//! a key makes nothing safe to send again, but where an item is a request of its
//! own; a key of each item does, wherever the item goes.

mod entry;
mod fill;
mod read;
mod render;
#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use self::fill::Oddities;
use self::read::{Came, Reader};
use self::render::Renderer;
use super::http::answer::Reading;
use super::http::client::Client;
use super::http::request::Requests;
use super::http::{Repeats, not_rendered, refused};
use super::{Bounds, Many, Permit, Said, Together};
use crate::config::{Element, HttpBatchConfig};
use crate::model::{Item, Refusal};
use crate::time::wall_ms;

/// An HTTP API that takes many items a request; with [`Bulk`](super::Bulk), a
/// target.
pub struct HttpBatch {
    requests: Requests,
    client: Client,
    renderer: Renderer,
    reader: Reader,
    content_type: HeaderValue,
    /// Carries a key of the whole request.
    key: Option<HeaderName>,
    max_items: u32,
    is_atomic: bool,
    operation: String,
    repeats: Repeats,
}

impl HttpBatch {
    /// A target that is configured so; connects when the first request goes
    /// out.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, for people.
    pub fn new(config: &HttpBatchConfig) -> Result<HttpBatch, String> {
        let http = &config.http;
        let reading = Reading {
            busy_503: http.busy_503,
            max_retry_after: http.max_retry_after,
        };
        let client = Client::new(&http.connect, http.timeout, config.max_answer, reading)?;
        let key = http.idempotency_header.clone();
        Ok(HttpBatch {
            requests: Requests::new(http)?,
            client,
            renderer: Renderer::new(config)?,
            content_type: config.content_type.clone(),
            max_items: config.max_items,
            is_atomic: config.is_atomic,
            operation: operation(config),
            repeats: Repeats {
                always: http.repeatable,
                by_method: http.idempotent_methods && matches!(config.element, Element::Request(_)),
                by_key: config.has_item_keys() || (key.is_some() && config.max_items == 1),
                key_window: http.key_window,
            },
            key,
            reader: Reader::new(config, reading),
        })
    }

    async fn exchange(&self, request: Together<'_>, permit: &mut Permit) -> Said {
        let body = match self.renderer.body(request.items, request.keys()) {
            Ok(body) => body,
            // Only after a change of the configuration: those that it still
            // takes go without the others.
            Err(wrong) => {
                let mut replies: Vec<_> = request.items.iter().map(|_| None).collect();
                for (place, refusal) in wrong {
                    replies[place] = Some(refused(refusal));
                }
                return Said::Culprits(replies);
            }
        };
        let mut headers = vec![(CONTENT_TYPE, self.content_type.clone())];
        if let Some(name) = &self.key {
            headers.push((name.clone(), key(&request, &body)));
        }
        let render = |version| {
            let request = self.requests.own(headers.clone(), body.clone(), version);
            request.map_err(|error| not_rendered(&error))
        };
        let answered = match self.client.exchange(permit, render).await {
            Ok(answered) => answered,
            Err(reply) => return Said::All(reply),
        };
        let read = self.reader.read(Came {
            items: request.items,
            is_atomic: request.is_atomic,
            status: answered.status,
            headers: &answered.headers,
            body: answered.body,
            now_ms: wall_ms(),
        });
        self.report(&request, read.oddities);
        read.said
    }

    /// Says what an answer had that it should not have: nobody else hears of a
    /// result that is no item's.
    fn report(&self, request: &Together<'_>, odd: Oddities) {
        if odd == Oddities::default() {
            return;
        }
        tracing::warn!(
            batch = %request.batch,
            operation = self.operation,
            items = request.items.len(),
            invented = odd.invented,
            contradictory = odd.contradictory,
            missing = odd.missing,
            "the results in a target's answer are not those of the items that it was sent"
        );
    }
}

impl Many for HttpBatch {
    fn admit(&self, item: &Item) -> Result<(), Refusal> {
        self.renderer.admit(item)
    }

    fn operation(&self) -> String {
        self.operation.clone()
    }

    fn repeatable_for(&self, item: &Item) -> Duration {
        self.repeats.how_long(|| self.renderer.method(item))
    }

    fn honours_keys(&self) -> bool {
        self.repeats.by_key
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            items: self.max_items,
            bytes: self.renderer.room(),
        }
    }

    fn atomic_items(&self) -> Option<u32> {
        self.is_atomic.then_some(self.max_items)
    }

    fn bytes(&self, item: &Item) -> usize {
        self.renderer.bytes(item)
    }

    fn call<'a>(&'a self, request: Together<'a>, permit: &'a mut Permit) -> BoxFuture<'a, Said> {
        self.exchange(request, permit).boxed()
    }
}

/// What is done with an item that says nothing.
fn operation(config: &HttpBatchConfig) -> String {
    let around = format!("{} {}", config.http.method, config.http.path);
    match &config.element {
        Element::Request(sub) if sub.has_operation => {
            format!("{} {} in {around}", sub.http.method, sub.http.path)
        }
        _ => around,
    }
}

/// What a request is known by: the same for the same items and the same content,
/// and for nothing else.
fn key(request: &Together<'_>, body: &Bytes) -> HeaderValue {
    let mut digest = Sha256::new();
    let mut text = String::new();
    for key in request.keys() {
        text.clear();
        // A text takes everything.
        let _ = write!(text, "{key}");
        // With its length, so that no two lists of keys look alike.
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(&text);
    }
    digest.update(body);
    let mut key = "flowgate-".to_owned();
    for byte in &digest.finalize()[..16] {
        let _ = write!(key, "{byte:02x}");
    }
    // Letters and digits are a header's value.
    HeaderValue::try_from(key).unwrap_or_else(|_| HeaderValue::from_static("flowgate"))
}
