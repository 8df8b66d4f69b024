//! One request and its answer, and what it proves when there is none.

use std::error::Error as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use tokio::time::{Instant, timeout_at};

use super::answer::{Body, Reading};
use super::connect::{Dialer, told};
use super::pool::{Connection, Pool};
use super::{cause, refused, unknown};
use crate::config::ConnectConfig;
use crate::model::{Refusal, Reply};
use crate::target::net::Unreachable;
use crate::target::{Hints, Permit};
use crate::time::wall_ms;

/// How often a request is put on a connection that turns out to be closed
/// before anything is written; the second try is on a new connection.
const TRIES: usize = 3;

/// Sends requests to one downstream over HTTP.
pub(in crate::target) struct Client {
    pool: Pool,
    /// From the first byte of a request to the last of its answer.
    timeout: Duration,
    /// Bytes of a body that are kept.
    body_limit: usize,
    /// Bytes of a body beyond those that are read for what comes after it.
    skip_limit: usize,
    reading: Reading,
}

/// An answer, as far as it came.
pub(in crate::target) struct Answered {
    /// Its status line.
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
    /// What came after the body; empty where nothing did, or the body was cut.
    pub trailers: HeaderMap,
    /// Why it was not read to its end, where it was not.
    pub cut: Option<Cut>,
}

/// Why an answer was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::target) enum Cut {
    /// It is longer than is read.
    TooLong,
    /// It did not end in time.
    Timeout,
    /// The target, or the connection, ended it.
    Lost,
}

/// What is told of a request's way: the permit that it goes out by.
pub(in crate::target) trait Leave: Send {
    /// As [`Permit::written`].
    fn written(&mut self);
    /// As [`Permit::unwritten`].
    fn unwritten(&mut self) -> bool;
    /// As [`Permit::answered`].
    fn answered(&mut self, hints: Hints);
}

impl Leave for Permit {
    fn written(&mut self) {
        Permit::written(self);
    }

    fn unwritten(&mut self) -> bool {
        Permit::unwritten(self)
    }

    fn answered(&mut self, hints: Hints) {
        Permit::answered(self, hints);
    }
}

/// For requests that carry no item, and so need no leave.
pub(in crate::target) struct Free;

impl Leave for Free {
    fn written(&mut self) {}

    fn unwritten(&mut self) -> bool {
        true
    }

    fn answered(&mut self, _: Hints) {}
}

impl Client {
    /// Connects when the first request goes out.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up, for people.
    pub(in crate::target) fn new(
        connect: &ConnectConfig,
        timeout: Duration,
        body_limit: usize,
        reading: Reading,
    ) -> Result<Client, String> {
        let dialer =
            Dialer::new(connect).map_err(|error| format!("TLS cannot be set up: {error}"))?;
        Ok(Client {
            pool: Pool::new(dialer, connect.idle_timeout),
            timeout,
            body_limit,
            skip_limit: 0,
            reading,
        })
    }

    /// Reads on past what is kept of a body, by up to so many bytes, for what
    /// comes after it.
    pub(in crate::target) fn skipping(mut self, bytes: usize) -> Client {
        self.skip_limit = bytes;
        self
    }

    /// Sends a request, which is rendered for the version of the connection that
    /// it gets, and waits for its answer.
    ///
    /// # Errors
    ///
    /// What no whole head of an answer proves: unsent or unknown; or refused,
    /// where the request cannot be rendered.
    pub(in crate::target) async fn exchange(
        &self,
        permit: &mut impl Leave,
        render: impl Fn(Version) -> Result<Request<Full<Bytes>>, Refusal>,
    ) -> Result<Answered, Reply> {
        let mut fresh = false;
        for _ in 0..TRIES {
            let mut connection = self.pool.checkout(fresh).await.map_err(unsent)?;
            let request = render(connection.version()).map_err(refused)?;
            let deadline = Instant::now() + self.timeout;
            permit.written();
            let Ok(sent) = timeout_at(deadline, connection.send(request)).await else {
                // Whatever is wrong with it, others need not find out.
                self.pool.retire(&connection);
                let ms = self.timeout.as_millis();
                let message = format!("the target did not answer within {ms} ms");
                return Err(unknown("TIMEOUT", message));
            };
            match sent {
                Ok(response) => return self.read(permit, response, connection, deadline).await,
                Err(error) if error.message().is_some() => {
                    self.pool.retire(&connection);
                    if !permit.unwritten() {
                        break;
                    }
                    fresh = true;
                }
                Err(error) => return Err(self.lost(&error.into_error(), &connection, permit)),
            }
        }
        let message = "the target closed every connection before a request was written";
        Err(Reply::Unsent(cause(
            "CONNECTION_CLOSED",
            message.to_owned(),
        )))
    }

    /// The rest of an answer.
    async fn read(
        &self,
        permit: &mut impl Leave,
        response: Response<Incoming>,
        mut connection: Connection,
        deadline: Instant,
    ) -> Result<Answered, Reply> {
        let (head, body) = response.into_parts();
        permit.answered(Hints {
            retry_after: match head.status.is_success() {
                true => None,
                false => self.reading.pause(head.status, &head.headers, wall_ms()),
            },
        });
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let message = "the target switched protocols, which it was not asked to".to_owned();
            return Err(unknown("BAD_RESPONSE", message));
        }
        let mut answered = Answered {
            status: head.status,
            headers: head.headers,
            body: Body::default(),
            trailers: HeaderMap::new(),
            cut: None,
        };
        let read = self.collect(body, &mut connection, &mut answered);
        if timeout_at(deadline, read).await.is_err() {
            answered.cut = Some(Cut::Timeout);
        }
        match answered.cut {
            None => self.pool.give_back(connection),
            Some(_) => answered.body.truncated = true,
        }
        Ok(answered)
    }

    /// Reads a body up to a limit; what is beyond is left unread, so that a body
    /// without an end has one here.
    async fn collect(&self, mut body: Incoming, from: &mut Connection, answered: &mut Answered) {
        let mut skipped = 0;
        while !body.is_end_stream() {
            let mut data = match from.frame(&mut body).await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => {
                        answered.trailers = frame.into_trailers().unwrap_or_default();
                        continue;
                    }
                },
                None => break,
                Some(Err(_)) => {
                    answered.cut = Some(Cut::Lost);
                    break;
                }
            };
            let kept = &mut answered.body;
            let room = self.body_limit - kept.bytes.len();
            kept.truncated |= data.len() > room;
            skipped += data.len().saturating_sub(room);
            data.truncate(room);
            append(&mut kept.bytes, data);
            if skipped > self.skip_limit {
                answered.cut = Some(Cut::TooLong);
                break;
            }
        }
    }

    /// What a request without an answer proves.
    fn lost(
        &self,
        error: &hyper::Error,
        connection: &Connection,
        permit: &mut impl Leave,
    ) -> Reply {
        let message = told(error);
        if was_refused(error) {
            // The target has seen it and says that it has not acted on it.
            permit.answered(Hints::default());
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

fn unsent(unreachable: Unreachable) -> Reply {
    Reply::Unsent(cause(unreachable.reason, unreachable.message))
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
