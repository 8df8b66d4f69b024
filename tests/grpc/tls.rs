//! Services over TLS: whom they trust, and who shows whom a certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use flowgate::config::{GrpcConfig, Identity};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::backend::{Backend, done};
use crate::guests::guest;
use crate::sending::{Fate, cause, config, items, said, send, send_one, target};

/// An authority that vouches for both sides.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority {
            certificate: params.self_signed(&key).unwrap().der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for a name, and its key.
    fn vouch(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (certificate.der().clone(), key.into())
    }

    fn identity(&self) -> Identity {
        let (certificate, key) = self.vouch("flowgate");
        Identity {
            chain: vec![certificate],
            key: Arc::new(key),
        }
    }

    /// A server that asks clients for a certificate of these, if of any.
    fn server(&self, clients: Option<&Authority>, protocols: &[&str]) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let server = match clients {
            None => server.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.certificate.clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                server.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let (certificate, key) = self.vouch("localhost");
        let mut server = server.with_single_cert(vec![certificate], key).unwrap();
        let name = |protocol: &&str| protocol.as_bytes().to_vec();
        server.alpn_protocols = protocols.iter().map(name).collect();
        server
    }
}

/// A service over TLS: what is decrypted goes to a plain one.
struct Over {
    plain: Backend,
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl Over {
    async fn start(server: ServerConfig) -> Over {
        let plain = Backend::start(|_| done(&guest("a"))).await;
        let behind = plain.base().trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                connections.spawn(async move {
                    // A client that shows too little ends here.
                    let mut socket = acceptor.accept(socket).await?;
                    let mut plain = TcpStream::connect(behind).await?;
                    copy_bidirectional(&mut socket, &mut plain).await
                });
            }
        });
        Over {
            plain,
            address,
            listening,
        }
    }

    /// A target there that trusts an authority.
    fn config(&self, authority: &Authority, identity: Option<Identity>) -> GrpcConfig {
        let mut config = config(&format!("https://localhost:{}", self.address.port()));
        config.connect.ca = vec![authority.certificate.clone()];
        config.connect.identity = identity;
        config
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn one(config: &GrpcConfig) -> Fate {
    send_one(&target(config), items(1).remove(0)).await
}

#[tokio::test]
async fn over_tls_items_share_a_connection_too() {
    let authority = Authority::new();
    let over = Over::start(authority.server(None, &["h2"])).await;
    let target = target(&over.config(&authority, None));
    for fate in send(&target, items(20)).await {
        assert_eq!(said(&fate.reply), "ok 0");
    }
    assert_eq!(over.plain.connections(), 1);
}

#[tokio::test]
async fn a_service_that_is_not_trusted_or_speaks_no_http_2_is_sent_nothing() {
    let (authority, another) = (Authority::new(), Authority::new());
    for (protocols, trusted, says) in [
        (&["h2"][..], &another, "is not trusted"),
        (&["http/1.1"][..], &authority, "does not speak HTTP/2"),
        (&[][..], &authority, "does not speak HTTP/2"),
    ] {
        let over = Over::start(authority.server(None, protocols)).await;
        let fate = one(&over.config(trusted, None)).await;
        assert_eq!(said(&fate.reply), "unsent CONNECT_FAILED");
        assert!(!fate.written);
        let message = &cause(&fate.reply).message;
        assert!(message.contains(says), "{message}");
        assert_eq!(over.plain.calls().len(), 0);
    }
}

#[tokio::test]
async fn a_service_that_asks_who_calls_is_shown_a_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let over = Over::start(authority.server(Some(&clients), &["h2"])).await;
    let fate = one(&over.config(&authority, Some(clients.identity()))).await;
    assert_eq!(said(&fate.reply), "ok 0");
    assert_eq!(over.plain.calls().len(), 1);

    for identity in [None, Some(authority.identity())] {
        let shown = identity.is_some();
        let fate = one(&over.config(&authority, identity)).await;
        // With TLS 1.3 the client is ready before it is refused: whether the
        // call was written by then, only its fate tells.
        let (said, written) = (said(&fate.reply), fate.written);
        let expected = if written { "unknown" } else { "unsent" };
        assert!(said.starts_with(expected), "{shown}: {said}");
        assert_eq!(over.plain.calls().len(), 1, "{shown}");
    }
}
