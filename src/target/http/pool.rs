//! Keeps connections to one HTTP target. What it hands out is ready to take a
//! request at once: the time of a request's first byte counts against the
//! target's limit, so it must be known. (hyper-util's pooled client hides when
//! its connection is ready; hence this.)

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{TrySendError, http2};
use tokio::time::Instant;

use super::connect::{Dialed, Dialer};
use super::http1::Http1;
use crate::target::net::Unreachable;

type Body = Full<Bytes>;

/// Connections to one HTTP target.
pub(super) struct Pool {
    dialer: Dialer,
    idle_timeout: Duration,
    // A std mutex: held for a few moves of memory, never across an await.
    kept: Mutex<Kept>,
    /// Held while connecting where all share one connection, so that many
    /// requests do not make many.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Kept {
    /// HTTP/1.1 connections without a request, the last used one last.
    idle: Vec<Idle>,
    /// HTTP/2 connections.
    shared: Vec<Arc<Shared>>,
    /// Whether the target takes many requests on one connection.
    multiplexes: Option<bool>,
    /// When a shared connection could last not be made, and why.
    failure: Option<(Instant, Unreachable)>,
}

struct Idle {
    connection: Http1,
    since: Instant,
}

/// An HTTP/2 connection and who uses it.
struct Shared {
    sender: http2::SendRequest<Body>,
    capacity: Arc<AtomicUsize>,
    usage: Mutex<Usage>,
}

struct Usage {
    streams: usize,
    /// When `streams` last fell to zero.
    since: Instant,
}

/// A connection that is ready to take a request. Dropped, an HTTP/1.1
/// connection closes, and an HTTP/2 one has room for another request.
pub(super) enum Connection {
    Http1(Http1),
    Http2(Stream),
}

/// A place on an HTTP/2 connection.
pub(super) struct Stream(Arc<Shared>);

impl Pool {
    pub(super) fn new(dialer: Dialer, idle_timeout: Duration) -> Pool {
        let kept = Kept {
            multiplexes: dialer.multiplexes(),
            ..Kept::default()
        };
        Pool {
            dialer,
            idle_timeout,
            kept: Mutex::new(kept),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// A connection that is ready; a new one if `fresh`, or if none is kept.
    pub(super) async fn checkout(&self, fresh: bool) -> Result<Connection, Unreachable> {
        let asked = Instant::now();
        if !fresh && let Some(connection) = self.take().await {
            return Ok(connection);
        }
        if self.is_one_each() {
            return self.connect().await;
        }
        let turn = self.turn.lock().await;
        if let Some(connection) = self.take().await {
            return Ok(connection);
        }
        // Who waited for an attempt shares its failure: one time-out after the
        // other would take for ever.
        if let Some((at, failure)) = &lock(&self.kept).failure
            && *at >= asked
        {
            return Err(failure.clone());
        }
        if self.is_one_each() {
            // Negotiated while this one waited: there is nothing to share.
            drop(turn);
            return self.connect().await;
        }
        let connected = self.connect().await;
        if let Err(failure) = &connected {
            lock(&self.kept).failure = Some((Instant::now(), failure.clone()));
        }
        connected
    }

    /// Whether it is known that the target takes one request at a time on each
    /// connection.
    fn is_one_each(&self) -> bool {
        lock(&self.kept).multiplexes == Some(false)
    }

    async fn connect(&self) -> Result<Connection, Unreachable> {
        // Elsewhere: it happens seldom, and is large; every request would have
        // room for it.
        Ok(self.keep(Box::pin(self.dialer.dial()).await?))
    }

    /// Takes back an HTTP/1.1 connection whose answer was read to its end.
    pub(super) fn give_back(&self, connection: Connection) {
        if let Connection::Http1(connection) = connection
            && !connection.is_closed()
        {
            let now = Instant::now();
            let mut kept = lock(&self.kept);
            let stale = kept
                .idle
                .iter()
                .take_while(|idle| now - idle.since >= self.idle_timeout)
                .count();
            kept.idle.drain(..stale);
            kept.idle.push(Idle {
                connection,
                since: now,
            });
        }
    }

    /// Gives no further request to a connection that has proven unusable;
    /// those under way on it go on.
    pub(super) fn retire(&self, connection: &Connection) {
        if let Connection::Http2(Stream(retired)) = connection {
            lock(&self.kept)
                .shared
                .retain(|shared| !Arc::ptr_eq(shared, retired));
        }
    }

    /// A kept connection that is ready.
    async fn take(&self) -> Option<Connection> {
        if let Some(stream) = self.take_stream() {
            return Some(Connection::Http2(stream));
        }
        loop {
            let mut idle = lock(&self.kept).idle.pop()?;
            if idle.since.elapsed() >= self.idle_timeout {
                // The others have been idle for longer.
                lock(&self.kept).idle.clear();
                return None;
            }
            // Lets the runtime hear whether the target has closed it meanwhile.
            tokio::task::yield_now().await;
            if idle.connection.is_ready().await {
                return Some(Connection::Http1(idle.connection));
            }
        }
    }

    fn take_stream(&self) -> Option<Stream> {
        let mut kept = lock(&self.kept);
        kept.shared
            .retain(|shared| shared.is_alive(self.idle_timeout));
        kept.shared.iter().find_map(Stream::on)
    }

    fn keep(&self, dialed: Dialed) -> Connection {
        let mut kept = lock(&self.kept);
        match dialed {
            Dialed::Http1(connection) => {
                kept.multiplexes = Some(false);
                Connection::Http1(connection)
            }
            Dialed::Http2(sender, capacity) => {
                kept.multiplexes = Some(true);
                let shared = Arc::new(Shared {
                    sender,
                    capacity,
                    usage: Mutex::new(Usage {
                        streams: 1,
                        since: Instant::now(),
                    }),
                });
                kept.shared.push(shared.clone());
                Connection::Http2(Stream(shared))
            }
        }
    }
}

impl Connection {
    /// The version that requests on it have.
    pub(super) fn version(&self) -> Version {
        match self {
            Connection::Http1(_) => Version::HTTP_11,
            Connection::Http2(_) => Version::HTTP_2,
        }
    }

    /// Writes a request and waits for the head of its answer. An error that
    /// gives the request back proves that none of it was written.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match self {
            Connection::Http1(connection) => connection.send(request).await,
            Connection::Http2(Stream(shared)) => {
                shared.sender.clone().try_send_request(request).await
            }
        }
    }
}

impl Connection {
    /// The next part of an answer's body; `None` after the last.
    pub(super) async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        match self {
            Connection::Http1(connection) => connection.frame(body).await,
            Connection::Http2(_) => body.frame().await,
        }
    }
}

impl Shared {
    fn is_alive(&self, idle_timeout: Duration) -> bool {
        let usage = lock(&self.usage);
        let rested = usage.streams == 0 && usage.since.elapsed() >= idle_timeout;
        !rested && !self.sender.is_closed()
    }
}

impl Stream {
    /// A place on this connection, if it has one.
    fn on(shared: &Arc<Shared>) -> Option<Stream> {
        let mut usage = lock(&shared.usage);
        if usage.streams >= shared.capacity.load(Relaxed) {
            return None;
        }
        usage.streams += 1;
        drop(usage);
        Some(Stream(shared.clone()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut usage = lock(&self.0.usage);
        usage.streams -= 1;
        usage.since = Instant::now();
    }
}

/// Locks, also after a panic elsewhere: what is guarded is always whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
