//! Makes connections to one `PostgreSQL` server. Knows sockets, TLS and the
//! user's authentication; nothing of what is asked over them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{Gone, told};
use crate::config::{Identity, PostgresAddress, PostgresConnect, PostgresTls};
use crate::target::net;

/// Makes connections to one server.
pub(super) struct Dialer {
    address: PostgresAddress,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    timeout: Duration,
    allow_link_local: bool,
    settings: String,
}

/// A connection whose socket is driven by a task of its own, which ends with
/// it.
pub(super) struct Dialed {
    pub client: Client,
    /// The bytes that were written to the socket so far.
    pub written: Arc<AtomicU64>,
    _driver: Driver,
}

/// Drives a socket until it is dropped: a server that never answers would hold
/// it for ever.
pub(super) struct Driver(tokio::task::JoinHandle<Option<()>>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// No connection: nothing was sent.
pub(super) struct Unreachable {
    pub gone: Gone,
    /// The server has no room for one more.
    pub is_busy: bool,
}

impl Dialer {
    /// For a server. A statement on its connections takes at most so long.
    pub fn new(to: &PostgresConnect, statement: Duration) -> Result<Dialer, rustls::Error> {
        let mut config = Config::new();
        config
            .user(&to.user)
            .dbname(&to.database)
            .application_name("flowgate");
        if let Some(password) = &to.password {
            config.password(password.expose_secret());
        }
        let tls = to.tls.as_ref().map(tls_config).transpose()?;
        config.ssl_mode(match &tls {
            Some(_) => tokio_postgres::config::SslMode::Require,
            None => tokio_postgres::config::SslMode::Disable,
        });
        let ms = statement.as_millis();
        Ok(Dialer {
            address: to.address.clone(),
            config,
            tls: tls.map(MakeRustlsConnect::new),
            timeout: to.connect_timeout,
            allow_link_local: to.allow_link_local,
            // A transaction that is left in the middle, because this side is
            // gone without a word, gives up its locks. Each statement sees what
            // was committed before it: what a key in the dedupe table rests on.
            settings: format!(
                "SET statement_timeout = {ms}; \
                 SET idle_in_transaction_session_timeout = {ms}; \
                 SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED"
            ),
        })
    }

    /// A new connection.
    pub async fn dial(&self) -> Result<Dialed, Unreachable> {
        match tokio::time::timeout(self.timeout, self.connect()).await {
            Ok(dialed) => dialed,
            Err(_) => Err(unreachable(
                "CONNECT_TIMEOUT",
                format!(
                    "no connection to the server within {} ms",
                    self.timeout.as_millis()
                ),
            )),
        }
    }

    async fn connect(&self) -> Result<Dialed, Unreachable> {
        let failed = |gone: net::Unreachable| {
            let message = format!("no connection to the server: {gone}");
            unreachable(gone.reason, message)
        };
        let (socket, written) = self.socket().await.map_err(failed)?;
        let client = match &self.tls {
            None => self.over(socket, NoTls).await,
            Some(tls) => {
                let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut tls.clone(), self.host());
                let Ok(tls) = tls;
                self.over(socket, tls).await
            }
        };
        let (client, driver) = client.map_err(|error| refused(&error))?;
        let set = client.batch_execute(&self.settings).await;
        set.map_err(|error| refused(&error))?;
        Ok(Dialed {
            client,
            written,
            _driver: driver,
        })
    }

    async fn over<T>(
        &self,
        socket: Socket,
        tls: T,
    ) -> Result<(Client, Driver), tokio_postgres::Error>
    where
        T: tokio_postgres::tls::TlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let (client, connection) = self.config.connect_raw(socket, tls).await?;
        // How it ends is told to whoever waits for an answer.
        let driver = tokio::spawn(async move { connection.await.ok() });
        Ok((client, Driver(driver)))
    }

    /// Asks the server to give up what a connection waits for; it may be too
    /// late for that.
    pub async fn cancel(&self, token: CancelToken) {
        let cancel = async {
            let (socket, _) = self.socket().await.ok()?;
            match &self.tls {
                None => token.cancel_query_raw(socket, NoTls).await.ok(),
                Some(tls) => {
                    let Ok(tls) =
                        MakeTlsConnect::<Socket>::make_tls_connect(&mut tls.clone(), self.host());
                    token.cancel_query_raw(socket, tls).await.ok()
                }
            }
        };
        tokio::time::timeout(self.timeout, cancel).await.ok();
    }

    fn host(&self) -> &str {
        match &self.address {
            PostgresAddress::Tcp(host, _) => host,
            PostgresAddress::Unix(_) => "localhost",
        }
    }

    async fn socket(&self) -> Result<(Socket, Arc<AtomicU64>), net::Unreachable> {
        let io: Box<dyn Io> = match &self.address {
            PostgresAddress::Unix(path) => {
                let failed = |error| format!("{}: {error}", path.display());
                let connected = UnixStream::connect(path).await;
                Box::new(connected.map_err(|error| net::Unreachable::failed(failed(error)))?)
            }
            PostgresAddress::Tcp(host, port) => {
                Box::new(net::connect(host, *port, self.allow_link_local).await?)
            }
        };
        let written = Arc::new(AtomicU64::new(0));
        let socket = Socket {
            io,
            written: written.clone(),
        };
        Ok((socket, written))
    }
}

/// Why the server did not let it in.
fn refused(error: &tokio_postgres::Error) -> Unreachable {
    let Some(db) = error.as_db_error() else {
        return unreachable(
            "CONNECT_FAILED",
            format!("no connection to the server: {}", told(error)),
        );
    };
    let state = db.code().code();
    Unreachable {
        is_busy: *db.code() == SqlState::TOO_MANY_CONNECTIONS,
        gone: Gone {
            reason: format!("SQLSTATE_{state}"),
            message: format!(
                "the server refused the connection: {} (SQLSTATE {state})",
                db.message()
            ),
        },
    }
}

fn unreachable(reason: &str, message: String) -> Unreachable {
    Unreachable {
        gone: Gone {
            reason: reason.to_owned(),
            message,
        },
        is_busy: false,
    }
}

/// TLS that trusts what the configuration says, and shows who it is.
fn tls_config(config: &PostgresTls) -> Result<ClientConfig, rustls::Error> {
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
    match &config.identity {
        None => Ok(tls.with_no_client_auth()),
        Some(Identity { chain, key }) => tls.with_client_auth_cert(chain.clone(), key.clone_key()),
    }
}

/// What bytes go over.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A socket that counts what is written: where nothing was, nothing was done.
pub(super) struct Socket {
    io: Box<dyn Io>,
    written: Arc<AtomicU64>,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.written.fetch_add(count as u64, Relaxed);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
