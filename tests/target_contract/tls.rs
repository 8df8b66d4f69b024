//! Targets over TLS: whom they trust, and which protocol they agree on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use flowgate::config::{HttpConfig, Protocol};
use flowgate::model::Reply;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::support::http_target::{Act, HttpTarget, Latch, Request};
use crate::world::*;

/// Items that are under way at once.
const MANY: u32 = 8;

/// An authority that vouches for servers.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority {
            certificate: params.self_signed(&key).unwrap().der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A server that it vouches for as `localhost`, and that speaks these
    /// protocols.
    fn server(&self, protocols: &[&str]) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let mut server = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let name = |protocol: &&str| protocol.as_bytes().to_vec();
        server.alpn_protocols = protocols.iter().map(name).collect();
        server
    }
}

/// A target over TLS: what is decrypted goes to a plain one, each connection
/// on one of its own. Stops when it is dropped.
struct TlsTarget {
    plain: HttpTarget,
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl TlsTarget {
    async fn start(
        server: ServerConfig,
        script: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> TlsTarget {
        let plain = HttpTarget::start(script).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let behind = plain.address();
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(forward(acceptor.clone(), socket, behind));
            }
        });
        TlsTarget {
            plain,
            address,
            listening,
        }
    }

    /// Its address by the name that it has a certificate for.
    fn base(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }
}

impl Drop for TlsTarget {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn forward(
    acceptor: TlsAcceptor,
    socket: TcpStream,
    behind: SocketAddr,
) -> std::io::Result<()> {
    // A client that trusts too little, or speaks something else, ends here.
    let mut socket = acceptor.accept(socket).await?;
    let mut plain = TcpStream::connect(behind).await?;
    copy_bidirectional(&mut socket, &mut plain).await?;
    Ok(())
}

fn trusting(authority: &Authority, base: &str) -> HttpConfig {
    let ca = vec![authority.certificate.clone()];
    connecting(config(base), |connect| connect.ca = ca)
}

/// That an item was not sent and nothing of it written, and why.
async fn why_unsent(config: &HttpConfig) -> String {
    let fate = start(&target(config), items(1), 1).finish().await.remove(0);
    assert!(!fate.written, "{fate:?}");
    match fate.reply {
        Some(Reply::Unsent(cause)) => {
            assert_eq!(cause.reason, "CONNECT_FAILED", "{cause:?}");
            cause.message
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn many_items_share_a_connection_where_tls_agrees_on_http2_and_only_there() {
    let authority = Authority::new("the test's own");
    for (protocols, connections) in [
        (&["http/1.1"][..], MANY as usize),
        (&[][..], MANY as usize),
        (&["h2", "http/1.1"][..], 1),
        (&["h2"][..], 1),
    ] {
        // None is answered before all are there.
        let (all_there, there) = (Latch::default(), AtomicU32::new(0));
        let server = authority.server(protocols);
        let over_tls = TlsTarget::start(server, move |_| {
            if there.fetch_add(1, Relaxed) + 1 == MANY {
                all_there.open();
            }
            Act::After(all_there.clone(), Box::new(Act::answer(200, "{}")))
        })
        .await;
        let target = target(&trusting(&authority, &over_tls.base()));

        for reply in send(&target, items(MANY)).await {
            assert_eq!(own(&reply), "ok 200", "{protocols:?}: {reply:?}");
        }
        assert_eq!(over_tls.plain.connections(), connections, "{protocols:?}");
    }
}

#[tokio::test]
async fn a_target_that_prefers_http2_is_spoken_to_as_it_is_asked_for() {
    let authority = Authority::new("the test's own");
    for (asked, connections) in [(Protocol::Http1, MANY as usize), (Protocol::Http2, 1)] {
        let (all_there, there) = (Latch::default(), AtomicU32::new(0));
        let server = authority.server(&["h2", "http/1.1"]);
        let over_tls = TlsTarget::start(server, move |_| {
            if there.fetch_add(1, Relaxed) + 1 == MANY {
                all_there.open();
            }
            Act::answer(200, "{}").after(&all_there)
        })
        .await;
        let target = target(&speaking(asked, trusting(&authority, &over_tls.base())));
        for reply in send(&target, items(MANY)).await {
            assert_eq!(own(&reply), "ok 200", "{asked:?}: {reply:?}");
        }
        assert_eq!(over_tls.plain.connections(), connections, "{asked:?}");
    }
}

#[tokio::test]
async fn a_target_that_is_not_trusted_is_sent_nothing() {
    let authority = Authority::new("the test's own");
    let another = Authority::new("another");
    let server = authority.server(&["h2", "http/1.1"]);
    let over_tls = TlsTarget::start(server, |_| Act::answer(200, "{}")).await;

    for config in [
        config(&over_tls.base()),
        trusting(&another, &over_tls.base()),
        // Goes by the same name, and is not the same.
        trusting(&Authority::new("the test's own"), &over_tls.base()),
    ] {
        let message = why_unsent(&config).await;
        assert!(message.contains("is not trusted"), "{message}");
    }
    let by_address = format!("https://{}", over_tls.address);
    let message = why_unsent(&trusting(&authority, &by_address)).await;
    assert!(message.contains("not valid for name"), "{message}");
    assert_eq!(over_tls.plain.connections(), 0);

    let mut both = trusting(&another, &over_tls.base());
    both.connect.ca.push(authority.certificate.clone());
    assert_eq!(own(&send_one(&target(&both)).await), "ok 200");
}

#[tokio::test]
async fn a_target_that_does_not_speak_the_protocol_asked_for_is_sent_nothing() {
    let authority = Authority::new("the test's own");
    for (asked, protocols, says) in [
        (Protocol::Http2, &["http/1.1"][..], "does not speak HTTP/2"),
        (Protocol::Http2, &[][..], "does not speak HTTP/2"),
        (Protocol::Http1, &["h2"][..], "does not speak HTTP/1.1"),
        (Protocol::Auto, &["h3"][..], "neither HTTP/2 nor HTTP/1.1"),
    ] {
        let server = authority.server(protocols);
        let over_tls = TlsTarget::start(server, |_| Act::answer(200, "{}")).await;
        let message = why_unsent(&speaking(asked, trusting(&authority, &over_tls.base()))).await;
        assert!(
            message.contains(says),
            "{asked:?}, {protocols:?}: {message}"
        );
    }
}
