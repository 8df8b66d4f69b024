//! A target over TLS that asks who calls, and whom its callers may be.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What there is to know, as PEM.
pub struct Papers {
    /// Of the authority that vouches for both sides.
    pub ca: String,
    /// Of a caller.
    pub cert: String,
    pub key: String,
    /// What of the key is private, as bytes.
    pub private: Vec<u8>,
    server: ServerConfig,
}

impl Papers {
    /// New ones, that are good nowhere else.
    pub fn new() -> Papers {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let vouched_for = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            (params.signed_by(&key, &issuer).unwrap(), key)
        };
        let (client, client_key) = vouched_for("flowgate.example");
        let (server, server_key) = vouched_for("localhost");
        Papers {
            ca: ca.pem(),
            cert: client.pem(),
            key: client_key.serialize_pem(),
            private: private(&client_key.serialize_der()),
            server: serving(ca.der(), server.der(), &server_key),
        }
    }
}

/// The number in a key of the curve P-256, after which comes what everybody may
/// know.
fn private(key: &[u8]) -> Vec<u8> {
    const BEFORE: [u8; 5] = [2, 1, 1, 4, 32];
    let at = key.windows(5).position(|five| five == BEFORE);
    let begins = at.expect("a key of that curve") + BEFORE.len();
    key[begins..begins + 32].to_vec()
}

fn serving(
    ca: &CertificateDer<'static>,
    certificate: &CertificateDer<'static>,
    key: &KeyPair,
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut callers = RootCertStore::empty();
    callers.add(ca.clone()).unwrap();
    let callers = WebPkiClientVerifier::builder_with_provider(callers.into(), provider.clone());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(callers.build().unwrap())
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap()
}

/// A target over TLS: what is decrypted goes to a plain one. Stops when it is
/// dropped.
pub struct TlsTarget {
    address: SocketAddr,
    listening: JoinHandle<()>,
}

impl TlsTarget {
    pub async fn start(papers: &Papers, behind: SocketAddr) -> TlsTarget {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(papers.server.clone()));
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                connections.spawn(forward(acceptor.clone(), socket, behind));
            }
        });
        TlsTarget { address, listening }
    }

    /// Its address by the name that it has a certificate for.
    pub fn base(&self) -> String {
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
    // Who is not let in ends here.
    let mut socket = acceptor.accept(socket).await?;
    let mut plain = TcpStream::connect(behind).await?;
    copy_bidirectional(&mut socket, &mut plain).await?;
    Ok(())
}
