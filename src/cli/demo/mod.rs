//! `flowgate demo`: the main job, end to end, on this machine: a guest API that
//! allows 100 requests a second, Flowgate in front of it, and a list of 500
//! guests.

pub mod arrivals;
pub mod guest_api;
pub mod register;
pub mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;

use self::stage::Stage;
use super::{Ending, Session, submit};
use crate::app::Server;
use crate::observe;

/// The guest list that is submitted unless another is given.
pub const GUESTS: &str = include_str!("../../../examples/guests.csv");

/// Watch 500 guest records go through a rate-limited API: a demonstration that
/// needs nothing else.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Submit this list of guests instead: CSV, JSON lines or a JSON array
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Leave the servers running afterwards, and say what to type to look around
    #[arg(long)]
    pub keep: bool,
}

/// Failed rows that are shown: some of each fault.
const SHOWN_FAILURES: usize = 12;

/// Runs the demonstration to its report. Exits with 0 if all was as it should
/// be: that some rows are refused is.
///
/// # Errors
///
/// When something of it cannot start.
pub async fn run(args: Args, session: &Session) -> anyhow::Result<ExitCode> {
    observe::log_to_stderr("warn", observe::LogFormat::Text);
    let (stage, config) = Stage::set_up(&args)?;
    print!("{}", stage.introduction());
    let server = Server::start(config).await?;
    let address = server.address();
    let session = Session {
        server: address
            .to_string()
            .parse()
            .map_err(|error| anyhow!("{error}"))?,
        ..session.clone()
    };
    println!(
        "\n$ flowgate submit {} --target {}",
        stage.shown_file(),
        stage::TARGET
    );
    let ending = submit::run(stage.submission(SHOWN_FAILURES), &session).await?;
    let report = stage.report();
    print!("\n{}", report.text);
    if args.keep && ending != Ending::Interrupted {
        print!("\n{}", stage.tour(address));
        tokio::signal::ctrl_c().await?;
    } else {
        println!("Both servers have ended; `flowgate demo --keep` leaves them running.");
    }
    server.drain().await?;
    let finished = matches!(ending, Ending::Succeeded | Ending::SomeFailed);
    Ok(match (ending, finished && report.as_expected) {
        (Ending::Interrupted, _) => ending.into(),
        (_, true) => ExitCode::SUCCESS,
        (_, false) => ExitCode::FAILURE,
    })
}
