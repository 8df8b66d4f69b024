//! The `http` target: an HTTP API that takes one item a request. Knows HTTP;
//! knows nothing of rates, retries and batches.
//!
//! What is written is written once: no redirects, no proxy from the
//! environment, no retries but of what is proven not to have been sent. What
//! comes back is sorted by what it proves:
//!
//! - no connection, or HTTP/2 refused the stream: unsent
//! - written and no head of an answer, or one that is not HTTP: unknown
//! - a head: its status line is the answer, even if the body is cut

pub(in crate::target) mod admit;
pub(in crate::target) mod answer;
pub(in crate::target) mod client;
pub(in crate::target) mod complaint;
pub(in crate::target) mod connect;
mod http1;
mod pool;
pub(in crate::target) mod request;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Method;

use self::answer::Reading;
use self::client::Client;
use self::request::Requests;
use super::{Key, Permit, Single};
use crate::config::HttpConfig;
use crate::model::{Cause, Item, Refusal, Reply};
use crate::time::wall_ms;

/// An HTTP API that takes one item a request.
pub struct Http {
    requests: Requests,
    client: Client,
    reading: Reading,
    operation: String,
    repeats: Repeats,
}

/// What is safe to send again.
#[derive(Clone, Copy, Debug)]
pub(in crate::target) struct Repeats {
    /// Whatever it is.
    pub always: bool,
    /// A GET, PUT or DELETE.
    pub by_method: bool,
    /// What goes with its key.
    pub by_key: bool,
    /// For how long a key is known, from the first send.
    pub key_window: Duration,
}

impl Repeats {
    /// For how long what has this method may be sent again.
    pub(in crate::target) fn how_long(self, method: impl FnOnce() -> Option<Method>) -> Duration {
        if self.always || (self.by_method && method().is_some_and(|method| is_idempotent(&method)))
        {
            Duration::MAX
        } else if self.by_key {
            self.key_window
        } else {
            Duration::ZERO
        }
    }
}

impl Http {
    /// A target that is configured so; connects when the first item goes out.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, for people.
    pub fn new(config: &HttpConfig) -> Result<Http, String> {
        let reading = Reading {
            busy_503: config.busy_503,
            max_retry_after: config.max_retry_after,
        };
        let (timeout, limit) = (config.timeout, config.reply_limit);
        Ok(Http {
            requests: Requests::new(config)?,
            client: Client::new(&config.connect, timeout, limit, reading)?,
            reading,
            operation: format!("{} {}", config.method, config.path),
            repeats: Repeats {
                always: config.repeatable,
                by_method: config.idempotent_methods,
                by_key: config.idempotency_header.is_some(),
                key_window: config.key_window,
            },
        })
    }

    async fn exchange(&self, item: &Item, key: Key<'_>, mut permit: Permit) -> Reply {
        let plan = match self.requests.plan(item) {
            Ok(plan) => plan,
            // Admission has seen to it, unless the configuration has changed.
            Err(refusal) => return refused(refusal),
        };
        let render = |version| {
            let request = self.requests.render(&plan, key, version);
            request.map_err(|error| not_rendered(&error))
        };
        match self.client.exchange(&mut permit, render).await {
            Ok(answered) => self.reading.reply(
                answered.status,
                &answered.headers,
                answered.body,
                plan.form(),
                wall_ms(),
            ),
            Err(reply) => reply,
        }
    }
}

impl Single for Http {
    fn admit(&self, item: &Item) -> Result<(), Refusal> {
        self.requests.plan(item).map(drop)
    }

    fn operation(&self) -> String {
        self.operation.clone()
    }

    fn repeatable_for(&self, item: &Item) -> Duration {
        let method = || self.requests.plan(item).ok().map(|plan| plan.method);
        self.repeats.how_long(method)
    }

    fn honours_keys(&self) -> bool {
        self.repeats.by_key
    }

    fn call<'a>(&'a self, item: &'a Item, key: Key<'a>, permit: Permit) -> BoxFuture<'a, Reply> {
        self.exchange(item, key, permit).boxed()
    }
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE
    )
}

/// Cannot be: every part of a request is checked when it is planned.
pub(in crate::target) fn not_rendered(error: &http::Error) -> Refusal {
    admit::refusal("INVALID_REQUEST", "payload", error.to_string())
}

pub(in crate::target) fn refused(refusal: Refusal) -> Reply {
    Reply::Refused(Box::new(Cause {
        reason: refusal.reason.to_owned(),
        message: refusal.message,
        violations: refusal.violations,
        ..Cause::default()
    }))
}

pub(in crate::target) fn unknown(reason: &str, message: String) -> Reply {
    Reply::Unknown(cause(reason, message))
}

pub(in crate::target) fn cause(reason: &str, message: String) -> Box<Cause> {
    Box::new(Cause {
        reason: reason.to_owned(),
        message,
        ..Cause::default()
    })
}
