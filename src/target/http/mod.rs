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

mod admit;
mod answer;
mod complaint;
mod connect;
mod http1;
mod pool;
mod request;

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

use self::answer::{Body, Reading};
use self::connect::{Dialer, Unreachable, told};
use self::pool::{Connection, Pool};
use self::request::{Plan, Requests};
use super::{Key, Permit, Single};
use crate::config::HttpConfig;
use crate::model::{Cause, Item, Refusal, Reply};
use crate::time::wall_ms;

/// How often an item is put on a connection that turns out to be closed
/// before anything is written; the second try is on a new connection.
const TRIES: usize = 3;

/// An HTTP API that takes one item a request.
pub struct Http {
    requests: Requests,
    pool: Pool,
    reading: Reading,
    operation: String,
    timeout: Duration,
    reply_limit: usize,
    honours_keys: bool,
    /// For how long from the first send.
    key_window: Duration,
    repeatable: bool,
    idempotent_methods: bool,
}

impl Http {
    /// A target that is configured so; connects when the first item goes out.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, for people.
    pub fn new(config: &HttpConfig) -> Result<Http, String> {
        let dialer =
            Dialer::new(config).map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Http {
            requests: Requests::new(config)?,
            pool: Pool::new(dialer, config.idle_timeout),
            reading: Reading {
                busy_503: config.busy_503,
                max_retry_after: config.max_retry_after,
            },
            operation: format!("{} {}", config.method, config.path),
            timeout: config.timeout,
            reply_limit: config.reply_limit,
            honours_keys: config.idempotency_header.is_some(),
            key_window: config.key_window,
            repeatable: config.repeatable,
            idempotent_methods: config.idempotent_methods,
        })
    }

    async fn exchange(&self, item: &Item, key: Key<'_>, mut permit: Permit) -> Reply {
        let plan = match self.requests.plan(item) {
            Ok(plan) => plan,
            // Admission has seen to it, unless the configuration has changed.
            Err(refusal) => return refused(refusal),
        };
        let mut fresh = false;
        for _ in 0..TRIES {
            let mut connection = match self.pool.checkout(fresh).await {
                Ok(connection) => connection,
                Err(unreachable) => return unsent(unreachable),
            };
            let request = match self.requests.render(&plan, key, connection.version()) {
                Ok(request) => request,
                Err(error) => return refused(not_rendered(&error)),
            };
            let deadline = Instant::now() + self.timeout;
            permit.written();
            let Ok(sent) = timeout_at(deadline, connection.send(request)).await else {
                // Whatever is wrong with it, others need not find out.
                self.pool.retire(&connection);
                let ms = self.timeout.as_millis();
                return unknown(
                    "TIMEOUT",
                    format!("the target did not answer within {ms} ms"),
                );
            };
            match sent {
                Ok(response) => {
                    permit.answered();
                    return self.read(&plan, response, connection, deadline).await;
                }
                Err(error) if error.message().is_some() => {
                    self.pool.retire(&connection);
                    if !permit.unwritten() {
                        break;
                    }
                    fresh = true;
                }
                Err(error) => return self.lost(&error.into_error(), &connection, &mut permit),
            }
        }
        let message = "the target closed every connection before a request was written";
        Reply::Unsent(cause("CONNECTION_CLOSED", message.to_owned()))
    }

    /// The rest of an answer.
    async fn read(
        &self,
        plan: &Plan<'_>,
        response: Response<Incoming>,
        mut connection: Connection,
        deadline: Instant,
    ) -> Reply {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let message = "the target switched protocols, which it was not asked to".to_owned();
            return unknown("BAD_RESPONSE", message);
        }
        let body = collect(body, &mut connection, self.reply_limit, deadline).await;
        if !body.truncated {
            self.pool.give_back(connection);
        }
        self.reading
            .reply(head.status, &head.headers, body, plan.form(), wall_ms())
    }

    /// What a request without an answer proves.
    fn lost(&self, error: &hyper::Error, connection: &Connection, permit: &mut Permit) -> Reply {
        let message = told(error);
        if was_refused(error) {
            // The target has seen it and says that it has not acted on it.
            permit.answered();
            let message = format!("the target took no more on this connection: {message}");
            return Reply::Unsent(cause("STREAM_REFUSED", message));
        }
        self.pool.retire(connection);
        if error.is_parse() {
            return unknown(
                "BAD_RESPONSE",
                format!("what the target answered is not HTTP: {message}"),
            );
        }
        unknown(
            "CONNECTION_LOST",
            format!("the connection was lost before the target answered: {message}"),
        )
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
        let by_method = || {
            self.requests
                .plan(item)
                .is_ok_and(|plan| is_idempotent(&plan.method))
        };
        if self.repeatable || (self.idempotent_methods && by_method()) {
            Duration::MAX
        } else if self.honours_keys {
            self.key_window
        } else {
            Duration::ZERO
        }
    }

    fn honours_keys(&self) -> bool {
        self.honours_keys
    }

    fn call<'a>(&'a self, item: &'a Item, key: Key<'a>, permit: Permit) -> BoxFuture<'a, Reply> {
        self.exchange(item, key, permit).boxed()
    }
}

/// Reads a body up to a limit; what is beyond is left unread, so that a body
/// without an end has one here.
async fn collect(
    mut body: Incoming,
    connection: &mut Connection,
    limit: usize,
    deadline: Instant,
) -> Body {
    let mut kept = Body::default();
    while !body.is_end_stream() {
        let mut data = match timeout_at(deadline, connection.frame(&mut body)).await {
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(None) => break,
            Ok(Some(Err(_))) | Err(_) => {
                kept.truncated = true;
                break;
            }
        };
        let room = limit - kept.bytes.len();
        kept.truncated = data.len() > room;
        data.truncate(room);
        append(&mut kept.bytes, data);
        if kept.truncated {
            break;
        }
    }
    kept
}

fn append(kept: &mut Bytes, data: Bytes) {
    if kept.is_empty() {
        *kept = data;
    } else {
        // Copies once, then grows in place.
        let mut longer = BytesMut::from(std::mem::take(kept));
        longer.extend_from_slice(&data);
        *kept = longer.freeze();
    }
}

/// Whether the target said of a request on HTTP/2 that it has not acted on it:
/// a refused stream, or one past the last that it took before it went away.
fn was_refused(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<h2::Error>() {
            let refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
            // h2 gives this error only to streams that the GOAWAY leaves out.
            return cause.is_remote() && (refused || cause.is_go_away());
        }
        source = cause.source();
    }
    false
}

fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE
    )
}

/// Cannot be: every part of a request is checked when it is planned.
fn not_rendered(error: &http::Error) -> Refusal {
    admit::refusal("INVALID_REQUEST", "payload", error.to_string())
}

fn refused(refusal: Refusal) -> Reply {
    Reply::Refused(Box::new(Cause {
        reason: refusal.reason.to_owned(),
        message: refusal.message,
        violations: refusal.violations,
        ..Cause::default()
    }))
}

fn unsent(unreachable: Unreachable) -> Reply {
    Reply::Unsent(cause(unreachable.reason, unreachable.message))
}

fn unknown(reason: &str, message: String) -> Reply {
    Reply::Unknown(cause(reason, message))
}

fn cause(reason: &str, message: String) -> Box<Cause> {
    Box::new(Cause {
        reason: reason.to_owned(),
        message,
        ..Cause::default()
    })
}
