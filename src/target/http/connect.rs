//! Makes connections to one HTTP target. Knows TCP, TLS and the handshakes;
//! nothing of requests.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::ServiceExt;

use crate::config::Protocol;

/// Makes connections to one HTTP target.
pub(super) struct Dialer {
    connector: HttpsConnector<HttpConnector>,
    base: Uri,
    protocol: Protocol,
    timeout: Duration,
}

/// A connection that is ready for its first request. Its socket is driven by a
/// task of its own, which ends with it.
pub(super) enum Dialed {
    /// One request at a time.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// Many at once; the number is how many the target takes, as far as it has
    /// said so yet.
    Http2(http2::SendRequest<Full<Bytes>>, Arc<AtomicUsize>),
}

/// No connection: nothing was sent.
#[derive(Clone, Debug)]
pub(super) struct Unreachable {
    pub reason: &'static str,
    pub message: String,
}

/// What HTTP/2 allows before the target has said how many it takes.
const STREAMS_AT_FIRST: usize = 100;

impl Dialer {
    /// For the scheme, host and port of `base`; `timeout` is for a whole
    /// connection, from looking up the name to the last handshake.
    pub(super) fn new(
        base: Uri,
        protocol: Protocol,
        timeout: Duration,
    ) -> Result<Dialer, rustls::Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http();
        let connector = match protocol {
            Protocol::Auto => tls.enable_all_versions().wrap_connector(tcp),
            Protocol::Http1 => tls.enable_http1().wrap_connector(tcp),
            Protocol::Http2 => tls.enable_http2().wrap_connector(tcp),
        };
        Ok(Dialer {
            connector,
            base,
            protocol,
            timeout,
        })
    }

    /// Whether its connections take many requests at once; `None` where that
    /// is for TLS to negotiate.
    pub(super) fn multiplexes(&self) -> Option<bool> {
        match self.protocol {
            Protocol::Http2 => Some(true),
            Protocol::Auto if self.is_tls() => None,
            Protocol::Http1 | Protocol::Auto => Some(false),
        }
    }

    fn is_tls(&self) -> bool {
        self.base.scheme_str() == Some("https")
    }

    /// A new connection.
    pub(super) async fn dial(&self) -> Result<Dialed, Unreachable> {
        match tokio::time::timeout(self.timeout, self.connect()).await {
            Ok(Ok(dialed)) => Ok(dialed),
            Ok(Err(error)) => Err(Unreachable {
                reason: "CONNECT_FAILED",
                message: format!("no connection to the target: {}", told(error.as_ref())),
            }),
            Err(_) => Err(Unreachable {
                reason: "CONNECT_TIMEOUT",
                message: format!(
                    "no connection to the target within {} ms",
                    self.timeout.as_millis()
                ),
            }),
        }
    }

    async fn connect(&self) -> Result<Dialed, Box<dyn Error + Send + Sync>> {
        let io = self.connector.clone().oneshot(self.base.clone()).await?;
        let negotiated = io.connected().is_negotiated_h2();
        if self.protocol == Protocol::Http2 && self.is_tls() && !negotiated {
            return Err("it does not speak HTTP/2, which `protocol` asks for".into());
        }
        if !(negotiated || self.protocol == Protocol::Http2) {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            return Ok(Dialed::Http1(sender));
        }
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(io)
            .await?;
        let streams = Arc::new(AtomicUsize::new(STREAMS_AT_FIRST));
        let told = streams.clone();
        tokio::spawn(poll_fn(move |cx| {
            let polled = Pin::new(&mut connection).poll(cx);
            told.store(connection.current_max_send_streams(), Relaxed);
            polled
        }));
        Ok(Dialed::Http2(sender, streams))
    }
}

/// An error with what caused it, each once.
pub(super) fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
