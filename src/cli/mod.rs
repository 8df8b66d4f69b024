//! The command line: one file for each verb. The verbs that talk to a server
//! are clients of the gRPC API and may not know anything else of Flowgate;
//! `serve`, `check`, `prepare` and `demo` are the server's own.

pub mod cancel;
pub mod check;
pub mod connect;
pub mod demo;
pub mod get;
pub mod list;
pub mod pause;
pub mod prepare;
pub mod results;
pub mod resume;
pub mod retry;
pub mod serve;
pub mod stops;
pub mod submit;
pub mod targets;
pub mod watch;

mod advice;
mod failures;
mod follow;
mod handover;
mod payload;
mod plan;
mod problem;
mod record;
mod rehearse;
mod report;
mod resubmit;
mod show;
mod source;
mod submission;
mod tally;
mod terminal;
mod upload;
mod view;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use connect::Server;
pub use problem::Problem;

/// What the verbs have in common.
#[derive(Clone, Debug)]
pub struct Session {
    /// The server to talk to.
    pub server: Server,
    /// Show no progress and no notes, only what was asked for.
    pub quiet: bool,
    /// Colour may be used where the output is a terminal.
    pub color: bool,
}

/// How a verb that follows a batch came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every item succeeded. Exit status 0.
    Succeeded,
    /// The batch is on its way and its id was printed, as was asked for. Exit
    /// status 0.
    Detached,
    /// Some items failed, or all. Exit status 2.
    SomeFailed,
    /// The batch ended early without a failed item. Exit status 1.
    Incomplete,
    /// Ctrl-C: the batch goes on, this process does not. Exit status 130.
    Interrupted,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> ExitCode {
        match ending {
            Ending::Succeeded | Ending::Detached => ExitCode::SUCCESS,
            Ending::SomeFailed => ExitCode::from(2),
            Ending::Incomplete => ExitCode::FAILURE,
            Ending::Interrupted => ExitCode::from(130),
        }
    }
}

const EVERYWHERE: &str = "With every command";

const EXAMPLES: &str = "\
Examples:
  flowgate demo                                   watch 500 rows go through a rate-limited API
  flowgate serve --config flowgate.toml           run the server
  flowgate targets                                what items can be sent to
  flowgate submit guests.csv --target crm         send a file, and see what becomes of it
  flowgate results ID --failed --output fix.csv   the failed rows, to correct and submit again
  flowgate retry ID                               those that may do better as they are, again

Exit status: 0 all items succeeded, 2 some failed, 1 anything else, 130 after Ctrl-C.";

/// A gRPC batch service: rate-limited, durable, one outcome for every item.
#[derive(Debug, Parser)]
#[command(name = "flowgate", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub struct CommandLine {
    /// The server: `http://host:port` or `host:port`.
    #[arg(
        long,
        global = true,
        help_heading = EVERYWHERE,
        env = "FLOWGATE_SERVER",
        value_name = "ADDRESS",
        default_value = connect::DEFAULT_SERVER
    )]
    server: Server,
    /// Show no progress and no notes.
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    quiet: bool,
    /// No colours (or set `NO_COLOR`).
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    no_color: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Check(check::Args),
    Prepare(prepare::Args),
    Submit(Box<submit::Args>),
    Watch(watch::Args),
    Results(results::Args),
    Get(get::Args),
    List(list::Args),
    Pause(pause::Args),
    Resume(resume::Args),
    Cancel(cancel::Args),
    Retry(retry::Args),
    Targets(targets::Args),
}

/// Reads the command line. What cannot be understood is explained on stderr,
/// and the error is the exit status: 0 after `--help` and `--version`, else 1,
/// because 2 says that items failed.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<CommandLine, ExitCode> {
    CommandLine::try_parse_from(args).map_err(|error| {
        // Nothing is left to tell it to when this cannot be written.
        let _ = error.print();
        if error.use_stderr() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    })
}

/// Runs a verb to its exit status; errors are told on stderr.
pub async fn run(command_line: CommandLine) -> ExitCode {
    match dispatch(command_line).await {
        Ok(status) => status,
        // `flowgate list | head`: the reader has had enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command_line: CommandLine) -> anyhow::Result<ExitCode> {
    let session = Session {
        server: command_line.server,
        quiet: command_line.quiet,
        color: !command_line.no_color && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    };
    match command_line.command {
        Command::Demo(args) => demo::run(args, &session).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Check(args) => check::run(args),
        Command::Prepare(args) => prepare::run(args).await,
        Command::Submit(args) => Ok(submit::run(*args, &session).await?.into()),
        Command::Watch(args) => Ok(watch::run(args, &session).await?.into()),
        Command::Results(args) => results::run(args, &session).await,
        Command::Get(args) => get::run(args, &session).await,
        Command::List(args) => list::run(args, &session).await,
        Command::Pause(args) => pause::run(args, &session).await,
        Command::Resume(args) => resume::run(args, &session).await,
        Command::Cancel(args) => cancel::run(args, &session).await,
        Command::Retry(args) => Ok(retry::run(args, &session).await?.into()),
        Command::Targets(args) => targets::run(args, &session).await,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}
