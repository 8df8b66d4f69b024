//! A `flowgate serve` in a process of its own: the program as it is installed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::clock::{now_ns, seconds};
use crate::process;
use crate::roles::target::PATH;

/// What a case's only target is called.
pub const TARGET: &str = "items";

/// The process. Dropping it kills it.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
    /// From its start until it said that it serves.
    pub started_in_s: f64,
    /// Its store and its configuration are in here.
    folder: TempDir,
}

impl Server {
    /// Starts it in front of one target, on a store that is new.
    pub async fn start(target_port: u16, settings: &str) -> anyhow::Result<Server> {
        Server::with_targets(&section(TARGET, target_port, PATH, settings)).await
    }

    /// The same on a store in memory.
    pub async fn in_memory(target_port: u16, settings: &str) -> anyhow::Result<Server> {
        let section = section(TARGET, target_port, PATH, settings);
        Server::configured("memory = true", &section).await
    }

    /// Starts it in front of targets, made by [`section`], on a store that is
    /// new.
    pub async fn with_targets(sections: &str) -> anyhow::Result<Server> {
        Server::configured("path = \"flowgate.db\"", sections).await
    }

    async fn configured(store: &str, sections: &str) -> anyhow::Result<Server> {
        let folder = TempDir::new()?;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nmax_calls = 2000\nmax_streams = 2000\n[store]\n{store}\n{sections}"
        );
        std::fs::write(config_in(folder.path()), text)?;
        Server::run(folder).await
    }

    /// Kills it and starts it again, on the same store.
    pub async fn killed_and_started(mut self) -> anyhow::Result<Server> {
        self.child.kill()?;
        self.child.wait()?;
        // The folder moves on; what is dropped has none.
        let folder = std::mem::replace(&mut self.folder, TempDir::new()?);
        drop(self);
        Server::run(folder).await
    }

    async fn run(folder: TempDir) -> anyhow::Result<Server> {
        let began = now_ns();
        let mut child = Command::new(env!("CARGO_BIN_EXE_flowgate"))
            .args(["serve", "--log-format", "json", "--config"])
            .arg(config_in(folder.path()))
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the server does not start")?;
        let log = child.stderr.take().context("the server has no log")?;
        // From here on it is killed whatever happens.
        let mut server = Server {
            child,
            port: 0,
            started_in_s: 0.0,
            folder,
        };
        let (sender, address) = oneshot::channel();
        std::thread::Builder::new()
            .name("server-log".to_owned())
            .spawn(move || read_log(BufReader::new(log), sender))?;
        let (address, at) = address.await.context("the server ended at once")?;
        let port = address.rsplit(':').next().context("no port")?;
        server.port = port.parse()?;
        server.started_in_s = seconds(at - began);
        Ok(server)
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its memory that is resident now, and the most that ever was, in bytes.
    pub fn memory(&self) -> anyhow::Result<(f64, f64)> {
        process::memory(self.id())
    }

    /// Seconds of a processor that it has used.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        process::cpu_seconds(self.id())
    }
}

/// A target in the configuration, whose items go to a path of its own, with
/// these further settings.
pub fn section(name: &str, port: u16, path: &str, settings: &str) -> String {
    format!(
        "[targets.{name}]\nkind = \"http\"\nurl = \"http://127.0.0.1:{port}\"\npath = \"{path}\"\n\
         allow_calls = true\n{settings}\n"
    )
}

fn config_in(folder: &Path) -> PathBuf {
    folder.join("flowgate.toml")
}

impl Drop for Server {
    fn drop(&mut self) {
        // The store goes too: there is nothing to end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tells the address when it comes by, and when; shows what goes wrong.
fn read_log(log: impl BufRead, served: oneshot::Sender<(String, u64)>) {
    let mut served = Some(served);
    for line in log.lines().map_while(Result::ok) {
        let entry: Value = serde_json::from_str(&line).unwrap_or_default();
        let fields = &entry["fields"];
        if fields["message"] == "serving"
            && let Some(served) = served.take()
        {
            let text = fields["address"].as_str().unwrap_or_default();
            // Nobody waits where the case was given up.
            let _ = served.send((text.to_owned(), now_ns()));
        } else if entry["level"] != "INFO" {
            eprintln!("  server: {line}");
        }
    }
}
