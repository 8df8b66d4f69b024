//! `strace`, which can end a process at exactly one of its calls to the system,
//! and make such calls fail.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::patience::is_long;
use super::program::PROGRAM;

/// The calls by which a file is written, and by which it is brought to the disk.
pub const WRITES: &str = "pwrite64";
pub const SYNCS: &str = "fsync,fdatasync";
/// The calls by which bytes are sent to a connection.
pub const SENDS: &str = "sendto,writev,sendmsg";

/// Whether it can be used here. Where it cannot, a test says so and is passed
/// over; not in a long run.
pub fn is_there() -> bool {
    let tried = std::process::Command::new("strace")
        .args(["-D", "-f", "-o", "/dev/null", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if tried.is_ok_and(|status| status.success()) {
        return true;
    }
    assert!(!is_long(), "a long run needs strace");
    // Past what captures a test's output: it is to be seen.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: strace is not here, or may not trace; {}",
        std::thread::current().name().unwrap_or_default()
    );
    false
}

/// What is traced of a program, and done to its calls.
pub struct Trace {
    calls: &'static str,
    into: PathBuf,
    file: Option<PathBuf>,
    inject: Option<String>,
}

impl Trace {
    /// These calls, written down in a file.
    pub fn of(calls: &'static str, into: &Path) -> Trace {
        Trace {
            calls,
            into: into.to_owned(),
            file: None,
            inject: None,
        }
    }

    /// Only those on this file.
    pub fn only(mut self, file: &Path) -> Trace {
        self.file = Some(file.to_owned());
        self
    }

    /// Something is done to them, e.g. `inject=fsync:error=EIO:when=3`. They
    /// are counted by thread: the store has one that writes.
    pub fn with(mut self, inject: &str) -> Trace {
        self.inject = Some(inject.to_owned());
        self
    }

    /// `flowgate serve`, traced.
    pub fn serve(&self, config: &Path) -> Command {
        let mut command = self.strace();
        // As a grandchild: the process that is started is the program itself.
        command.arg("-D");
        command.args([PROGRAM, "serve", "--config"]).arg(config);
        command
    }

    /// Traces a process that runs already.
    pub fn attach(&self, id: u32) -> Command {
        let mut command = self.strace();
        command.arg("-p").arg(id.to_string());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn strace(&self) -> Command {
        let mut command = Command::new("strace");
        // Not with `--seccomp-bpf`, which would be faster: it sends no signals.
        command.args(["-f", "-o"]).arg(&self.into);
        command.args(["-e", &format!("trace={}", self.calls)]);
        if let Some(file) = &self.file {
            command.arg("-P").arg(file);
        }
        if let Some(inject) = &self.inject {
            command.args(["-e", inject]);
        }
        command
    }
}

/// How many calls the busiest thread of a trace made.
pub fn calls_by_one_thread(trace: &PathBuf, calls: &str) -> usize {
    let text = std::fs::read_to_string(trace).expect("a trace");
    let mut counts = std::collections::HashMap::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(thread), Some(call)) = (words.next(), words.next()) else {
            continue;
        };
        let name = call.split('(').next().unwrap_or_default();
        if calls.split(',').any(|known| known == name) {
            *counts.entry(thread.to_owned()).or_insert(0) += 1;
        }
    }
    counts.into_values().max().unwrap_or(0)
}
