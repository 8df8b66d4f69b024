//! An HTTP/1.1 connection that is driven by whoever uses it.
//!
//! hyper leaves it to a task of its own. A request would then be written when
//! that task has its turn, which comes late by all that a busy runtime has to do
//! before; but the time of a request's first byte counts against the target's
//! limit, so it must be known. Here the bytes are written by the call that sends
//! the request.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::{TrySendError, http1};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

type Body = Full<Bytes>;
type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A connection for one request at a time. Dropped, it closes.
pub(super) struct Http1 {
    sender: http1::SendRequest<Body>,
    /// `None` once it has ended.
    connection: Option<Box<http1::Connection<Io, Body>>>,
}

impl Http1 {
    /// Over a socket that is connected.
    pub(super) async fn on(io: Io) -> Result<Http1, hyper::Error> {
        let (sender, connection) = http1::handshake(io).await?;
        Ok(Http1 {
            sender,
            connection: Some(Box::new(connection)),
        })
    }

    /// Whether it takes a request now. Sees whether the target has closed it
    /// meanwhile: a request on a closed connection is one that nobody knows
    /// about. Does not wait.
    pub(super) async fn is_ready(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(self.connection.is_some() && self.sender.is_ready())
        })
        .await
    }

    /// Whether it is known to have ended.
    pub(super) fn is_closed(&self) -> bool {
        self.connection.is_none() || self.sender.is_closed()
    }

    /// Writes a request, at once unless the socket is full, and waits for the
    /// head of its answer. An error that gives the request back proves that none
    /// of it was written.
    pub(super) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        poll_fn(|cx| {
            drive(connection, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// The next part of an answer's body; `None` after the last.
    pub(super) async fn frame(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<Frame<Bytes>, hyper::Error>> {
        poll_fn(|cx| {
            self.drive(cx);
            Pin::new(&mut *body).poll_frame(cx)
        })
        .await
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.connection, cx);
    }
}

/// Reads and writes what there is. An end, good or bad, is told to whoever waits
/// for an answer once the connection is dropped.
fn drive(connection: &mut Option<Box<http1::Connection<Io, Body>>>, cx: &mut Context<'_>) {
    if let Some(running) = connection
        && Pin::new(running).poll(cx).is_ready()
    {
        *connection = None;
    }
}
