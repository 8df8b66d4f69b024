//! Makes connections to one HTTP target. Knows TCP, TLS and the handshakes;
//! nothing of requests.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector};
use hyper_util::client::legacy::connect::Connection as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::{Service, ServiceExt};

use super::http1::Http1;
use crate::config::{ConnectConfig, Identity, Protocol};
use crate::target::net::{self, Unreachable};

/// Makes connections to one HTTP target.
pub(super) struct Dialer {
    connector: HttpsConnector<Tcp>,
    base: Uri,
    protocol: Protocol,
    timeout: Duration,
}

/// A connection that is ready for its first request.
pub(super) enum Dialed {
    /// One request at a time.
    Http1(Http1),
    /// Many at once; the number is how many the target takes, as far as it has
    /// said so yet. Its socket is driven by a task of its own, which ends with
    /// it: a request's first byte is later than its permit says by that task's
    /// turn, which `transit` has to allow for.
    Http2(http2::SendRequest<Full<Bytes>>, Arc<AtomicUsize>),
}

/// Connects without TLS, where that is allowed.
#[derive(Clone)]
struct Tcp {
    allow_link_local: bool,
}

impl Service<Uri> for Tcp {
    type Response = TokioIo<TcpStream>;
    type Error = Unreachable;
    type Future = BoxFuture<'static, Result<Self::Response, Unreachable>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Unreachable>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let allow_link_local = self.allow_link_local;
        async move {
            let host = to.host().unwrap_or_default();
            let usual = match to.scheme_str() {
                Some("https") => 443,
                _ => 80,
            };
            let port = to.port_u16().unwrap_or(usual);
            let socket = net::connect(host, port, allow_link_local).await?;
            Ok(TokioIo::new(socket))
        }
        .boxed()
    }
}

/// What HTTP/2 allows before the target has said how many it takes.
const STREAMS_AT_FIRST: usize = 100;

impl Dialer {
    /// For the scheme, host and port of the configuration's `base`; its
    /// `connect_timeout` is for a whole connection, from looking up the name to
    /// the last handshake.
    pub(super) fn new(config: &ConnectConfig) -> Result<Dialer, rustls::Error> {
        let tcp = Tcp {
            allow_link_local: config.allow_link_local,
        };
        Ok(Dialer {
            connector: HttpsConnector::from((tcp, tls_config(config)?)),
            base: config.base.clone(),
            protocol: config.protocol,
            timeout: config.connect_timeout,
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
                reason: error
                    .downcast_ref()
                    .map_or("CONNECT_FAILED", |told: &Unreachable| told.reason),
                message: format!(
                    "no connection to the target: {}",
                    self.fault(error.as_ref())
                ),
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
            return Err(self.not_spoken().into());
        }
        if !(negotiated || self.protocol == Protocol::Http2) {
            return Ok(Dialed::Http1(Http1::on(io).await?));
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

    /// Why there is no connection, and what may help.
    fn fault(&self, error: &(dyn Error + 'static)) -> String {
        match tls_error(error) {
            Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
                self.not_spoken().to_owned()
            }
            Some(rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            )) => {
                "its certificate is not trusted: no authority that is trusted here has issued it; \
                   `ca` names those of a target"
                    .to_owned()
            }
            _ => told(error),
        }
    }

    /// That the target shares no protocol with this side.
    fn not_spoken(&self) -> &'static str {
        match self.protocol {
            Protocol::Auto => "it speaks neither HTTP/2 nor HTTP/1.1",
            Protocol::Http1 => "it does not speak HTTP/1.1, which `protocol` asks for",
            Protocol::Http2 => "it does not speak HTTP/2, which `protocol` asks for",
        }
    }
}

/// TLS that trusts what the configuration says, shows who it is, and offers the
/// protocols that may be spoken.
fn tls_config(config: &ConnectConfig) -> Result<ClientConfig, rustls::Error> {
    let provider = rustls::crypto::ring::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()?;
    let tls = if config.ca.is_empty() {
        tls.with_webpki_roots()
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in &config.ca {
            roots.add(certificate.clone())?;
        }
        tls.with_root_certificates(roots)
    };
    let mut tls = match &config.identity {
        None => tls.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            tls.with_client_auth_cert(chain.clone(), key.clone_key())?
        }
    };
    let offered: &[&str] = match config.protocol {
        Protocol::Auto => &["h2", "http/1.1"],
        Protocol::Http1 => &["http/1.1"],
        Protocol::Http2 => &["h2"],
    };
    tls.alpn_protocols = offered
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    Ok(tls)
}

/// What TLS says, if it is TLS that says it.
fn tls_error<'e>(mut error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    loop {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        // An I/O error passes for what it holds: its source is the next one.
        let held = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        error = match held {
            Some(held) => held,
            None => error.source()?,
        };
    }
}

/// An error with what caused it, each once.
pub(in crate::target) fn told(error: &dyn Error) -> String {
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
