//! nginx as a rate limiter in front of an upstream: a program that nobody here
//! wrote, which counts by itself and refuses what is too much. It runs from a
//! folder of its own, on a port of its own, as whoever runs the test.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::patience::{is_long, within};

/// How often something is looked at that does not tell of itself.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Ports that are tried: one that is free may be taken before nginx has it.
const TRIES: usize = 5;

/// A running nginx. Dropped, it is killed.
pub struct Nginx {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// Starts one that lets `rate` requests a second through to the upstream,
    /// with as large a burst, and answers 429 to the rest; `None` where there
    /// is no nginx, which a long run has to have.
    pub async fn limiting(rate: u32, upstream: SocketAddr) -> Option<Nginx> {
        for _ in 0..TRIES {
            match Nginx::start(rate, upstream).await {
                Ok(Some(nginx)) => return Some(nginx),
                Ok(None) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    assert!(!is_long(), "a long run needs nginx");
                    let _ = writeln!(std::io::stderr(), "SKIPPED: nginx is not here");
                    return None;
                }
                Err(error) => panic!("nginx cannot be started: {error}"),
            }
        }
        panic!("nginx does not listen on any of {TRIES} ports");
    }

    /// `Ok(None)` where it has ended, as it does when its port is taken.
    async fn start(rate: u32, upstream: SocketAddr) -> std::io::Result<Option<Nginx>> {
        let folder = TempDir::new()?;
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configuration(rate, address, upstream))?;
        let errors = folder.path().join("error.log");
        let mut child = command()
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(&errors)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let listens = async {
            while TcpStream::connect(address).await.is_err() {
                if child.try_wait().expect("it can be waited for").is_some() {
                    return false;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            true
        };
        let listens = within("nginx listens, or ends", listens).await;
        // Somebody else may listen there.
        let is_alive = child.try_wait()?.is_none();
        Ok((listens && is_alive).then_some(Nginx {
            child,
            folder,
            address,
        }))
    }

    /// Its address, e.g. `http://127.0.0.1:4711`.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it has noted so many requests, and ends it; the status of
    /// every one that it saw, in its order.
    pub async fn stopped(mut self, count: usize) -> Vec<u16> {
        let log = self.folder.path().join("access.log");
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        let noted = async {
            while read().lines().count() < count {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        within("nginx notes what it answered", noted).await;
        self.child.kill().await.expect("it can be killed");
        let status = |line: &str| line.parse().expect("a status");
        read().lines().map(status).collect()
    }
}

/// nginx, where it is; packages put it where not everybody looks.
fn command() -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("nginx");
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    command
}

/// One process, so that none is left when it is killed.
fn configuration(rate: u32, address: SocketAddr, upstream: SocketAddr) -> String {
    let mut temporary = String::new();
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(temporary, "{kind}_temp_path {kind};");
    }
    format!(
        r#"
        daemon off;
        master_process off;
        pid nginx.pid;
        events {{ worker_connections 1024; }}
        http {{
            {temporary}
            log_format status $status;
            access_log access.log status;
            limit_req_zone $server_port zone=all:1m rate={rate}r/s;
            limit_req_status 429;
            upstream app {{
                server {upstream};
                keepalive 64;
            }}
            server {{
                listen {address} backlog=1024;
                location / {{
                    limit_req zone=all burst={rate} nodelay;
                    proxy_pass http://app;
                    proxy_http_version 1.1;
                    proxy_set_header Connection "";
                }}
            }}
        }}
        "#
    )
}
