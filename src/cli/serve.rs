//! `flowgate serve`: runs the server until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::Server;
use crate::config::{Config, show_duration};
use crate::observe::{self, LogFormat};

/// Run the server
///
/// It ends in order on SIGTERM or Ctrl-C: what was accepted is kept, and goes
/// on when it is started again on the same store. A second one ends it at once.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The configuration; `flowgate check` explains what is wrong with one
    #[arg(long, short, value_name = "FILE", default_value = "flowgate.toml")]
    config: PathBuf,
    /// Listen on an address that others can reach, although there is neither
    /// authentication nor TLS: whoever reaches it may submit
    #[arg(long)]
    insecure: bool,
    /// How the log is written, on stderr; `RUST_LOG` says how much of it
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

/// Runs the verb.
///
/// # Errors
///
/// When it cannot start, or something failed that it cannot go on without.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    observe::log_to_stderr("info,refinery_core=warn", args.log_format);
    let config = Config::load(&args.config)?;
    let listen = config.server.listen;
    if !listen.ip().is_loopback() && !args.insecure {
        bail!(
            "server.listen is {listen}, which others can reach, and there is neither \
             authentication nor TLS yet.\nListen on 127.0.0.1, or say --insecure if the network \
             in between is to be trusted."
        );
    }
    let patience = show_duration(config.server.drain);
    let mut signals = Signals::new()?;
    let mut server = tokio::select! {
        server = Server::start(config) => server?,
        () = signals.next() => {
            tracing::info!("told to stop before it served");
            end_at_once(0)
        }
    };
    let failure = tokio::select! {
        () = signals.next() => None,
        failure = server.failed() => Some(failure),
    };
    if let Some(failure) = &failure {
        tracing::error!("{failure:#}; stopping");
    } else {
        tracing::info!("draining, for up to {patience}; a second signal ends it at once");
    }
    let drained = tokio::select! {
        drained = server.drain() => drained,
        () = signals.next() => {
            eprintln!("error: ended at once, by a second signal: what was under way is as after a crash");
            end_at_once(1)
        }
    };
    match failure {
        Some(failure) => Err(failure),
        None => drained.map(|()| ExitCode::SUCCESS),
    }
}

/// What asks the server to stop: SIGTERM, and Ctrl-C in a terminal.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot wait for Ctrl-C")?,
        })
    }

    /// Waits for the next.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Ends the process where it stands. Not by way of `main`: what is dropped on
/// the way out waits for the disk, which may be what hangs.
fn end_at_once(status: i32) -> ! {
    std::process::exit(status)
}
