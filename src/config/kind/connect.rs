//! How a downstream over HTTP is reached.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How a downstream over HTTP is reached.
#[derive(Clone, Debug)]
pub struct ConnectConfig {
    /// Scheme, host, port and the path that every request stays under.
    pub base: Uri,
    /// For a connection, with TLS.
    pub connect_timeout: Duration,
    /// How long a connection is kept without a request; shorter than the
    /// target keeps it, or a request may meet its closing.
    pub idle_timeout: Duration,
    /// Which protocol to speak.
    pub protocol: Protocol,
    /// Over TLS, only what these certificates vouch for is trusted; empty for
    /// the public authorities.
    pub ca: Vec<CertificateDer<'static>>,
    /// What is shown to the target, where it asks who calls.
    pub identity: Option<Identity>,
    /// It may be at a link-local address, or where clouds keep metadata.
    pub allow_link_local: bool,
}

impl ConnectConfig {
    /// By default, to a base address.
    pub fn to(base: Uri) -> ConnectConfig {
        ConnectConfig {
            base,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(4),
            protocol: Protocol::Auto,
            ca: Vec::new(),
            identity: None,
            allow_link_local: false,
        }
    }
}

/// Who Flowgate is, over TLS. It never shows its key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its own certificate first, then those between it and its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key of the first.
    pub key: Arc<PrivateKeyDer<'static>>,
}

/// Which protocol to speak to an HTTP target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2 where TLS negotiates it, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only, without TLS too.
    Http2,
}
