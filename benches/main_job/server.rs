//! A `flowgate serve` in a process of its own, on a store of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};

use crate::target::{PATH, Target};

/// What the target is called.
pub const TARGET: &str = "items";

/// The process. Dropping it kills it, and removes its store.
pub struct Server {
    child: Child,
    pub channel: Channel,
    _folder: TempDir,
}

impl Server {
    /// Starts it in front of a target, that has these further settings.
    pub async fn start(target: &Target, settings: &str) -> anyhow::Result<Server> {
        let folder = TempDir::new()?;
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            [store]
            path = "flowgate.db"
            [targets.{TARGET}]
            kind = "http"
            url = "http://127.0.0.1:{port}"
            path = "{PATH}"
            allow_calls = true
            {settings}
            "#,
            port = target.port
        );
        let config = folder.path().join("flowgate.toml");
        std::fs::write(&config, text)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_flowgate"))
            .args(["serve", "--log-format", "json", "--config"])
            .arg(&config)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the server does not start")?;
        let log = child.stderr.take().context("the server has no log")?;
        let (sender, address) = oneshot::channel();
        // From here on it is killed whatever happens.
        let mut server = Server {
            child,
            channel: Endpoint::from_static("http://127.0.0.1").connect_lazy(),
            _folder: folder,
        };
        std::thread::Builder::new()
            .name("server-log".to_owned())
            .spawn(move || read_log(BufReader::new(log), sender))?;
        let address = address.await.context("the server ended at once")?;
        let endpoint = Channel::from_shared(format!("http://{address}"))?
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        server.channel = endpoint.connect().await?;
        Ok(server)
    }

    /// The most memory that it ever had resident, in MB (10^6 bytes).
    pub fn peak_memory_mb(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|text| text.trim().strip_suffix(" kB"));
        let kib: f64 = kib.context("no VmHWM")?.trim().parse()?;
        Ok(kib * 1024.0 / 1e6)
    }

    /// Seconds of a processor that it has used.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // After the name, which may hold anything: user and system time are the
        // 12th and the 13th, in hundredths.
        let (_, rest) = stat.rsplit_once(')').context("no name")?;
        let ticks: Vec<f64> = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        if ticks.len() < 2 {
            bail!("no times");
        }
        Ok((ticks[0] + ticks[1]) / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The store goes too: there is nothing to end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the address when it comes by, and shows what goes wrong.
fn read_log(log: impl BufRead, address: oneshot::Sender<String>) {
    let mut address = Some(address);
    for line in log.lines().map_while(Result::ok) {
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        let fields = &entry["fields"];
        if fields["message"] == "serving"
            && let Some(address) = address.take()
        {
            let text = fields["address"].as_str().unwrap_or_default();
            // Nobody waits where the case was given up.
            let _ = address.send(text.to_owned());
        } else if entry["level"] != "INFO" {
            eprintln!("  server: {line}");
        }
    }
}

/// An answer without a part that the contract says it has.
pub fn lacks(part: &str) -> anyhow::Error {
    anyhow!("the server's answer lacks {part}")
}
