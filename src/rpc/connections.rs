//! The connections that a server takes: so many at once, each sending at once
//! what it has.

#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// How long a connection may take to say that it speaks HTTP/2: pings, which
/// find out about silent ones, begin only then.
const GREETING_WAIT: Duration = Duration::from_secs(10);

/// Bytes of HTTP/2's greeting.
const GREETING_BYTES: usize = 24;

/// How long nothing is accepted after that has failed: it does for want of
/// something, of file descriptors most often, and would fail again at once.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Connections as they come, at most so many open at once; one more waits in
/// the listener's queue until another closes.
pub(super) fn connections(
    listener: TcpListener,
    most: usize,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(most));
    let state = (listener, places);
    futures_util::stream::unfold(state, |(listener, places)| async move {
        let place = places.clone().acquire_owned().await.ok()?;
        let accepted = listener.accept().await;
        if let Err(error) = &accepted {
            tracing::warn!(%error, "a connection could not be accepted");
            sleep(ACCEPT_AGAIN).await;
        }
        let connection = accepted.map(|(stream, _)| Connection::new(stream, place));
        Some((connection, (listener, places)))
    })
}

/// A connection, and its place among those that are open.
pub(super) struct Connection {
    stream: TcpStream,
    greeting: Option<Greeting>,
    _place: OwnedSemaphorePermit,
}

/// What is still to come of a connection's greeting, and by when.
struct Greeting {
    bytes: usize,
    due: Pin<Box<Sleep>>,
}

impl Connection {
    fn new(stream: TcpStream, place: OwnedSemaphorePermit) -> Connection {
        // Messages are small, and a result must not wait for the next to fill
        // a packet. Without it, it is only slower.
        let _ = stream.set_nodelay(true);
        Connection {
            stream,
            greeting: Some(Greeting {
                bytes: GREETING_BYTES,
                due: Box::pin(sleep(GREETING_WAIT)),
            }),
            _place: place,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(greeting) = &mut self.greeting {
            let heard = buf.filled().len() - before;
            greeting.bytes = greeting.bytes.saturating_sub(heard);
            if greeting.bytes == 0 {
                self.greeting = None;
            } else if read.is_pending() && greeting.due.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
