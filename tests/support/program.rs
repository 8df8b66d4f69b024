//! The real program as a process of its own: started on a configuration, told
//! to stop, killed. What it says is kept.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tonic::transport::Channel;

use super::patience::within;

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_flowgate");

/// How often something is looked at that does not tell of itself.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// `flowgate serve` on a configuration.
pub fn serve(config: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg("--config").arg(config);
    command
}

/// A server. Dropped, it is killed.
pub struct Program {
    child: Child,
    log: watch::Receiver<Log>,
    process: Process,
}

/// How a process ended, and what it had said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub log: String,
}

#[derive(Default)]
struct Log {
    text: String,
    is_over: bool,
}

impl Program {
    /// Starts it, and waits until it serves; how it ended, if it does not.
    pub async fn start(command: Command) -> Result<Program, Ended> {
        let mut program = Program::spawn(command);
        let log = &mut program.log;
        let said = log.wait_for(|log| log.is_over || served_at(&log.text).is_some());
        let said = within("the server serves, or ends", said).await;
        let serves = served_at(&said.expect("the log has an end").text).is_some();
        match serves {
            true => Ok(program),
            false => Err(program.ended().await),
        }
    }

    /// Starts it.
    pub fn spawn(mut command: Command) -> Program {
        let mut child = command
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program can be started");
        let (sender, log) = watch::channel(Log::default());
        let stderr = child.stderr.take().expect("it is piped");
        tokio::spawn(keep(stderr, sender));
        Program {
            process: Process::of(&child),
            child,
            log,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        served_at(&self.log.borrow().text).expect("it serves")
    }

    /// The process, for whoever is to end it.
    pub fn process(&self) -> Process {
        self.process.clone()
    }

    /// Its memory that is resident, in bytes.
    pub fn memory(&self) -> u64 {
        let status = self.process.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.and_then(|kib| kib.trim().parse().ok()).expect("a size");
        kib * 1024
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it was not waited for")
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        self.log.borrow().text.clone()
    }

    /// Waits until it has said this.
    pub async fn says(&mut self, words: &str) {
        let said = self
            .log
            .wait_for(|log| log.is_over || log.text.contains(words));
        let said = within(words, said).await.expect("the log has an end");
        assert!(said.text.contains(words), "{words}: {}", said.text);
    }

    /// A connection to it, if it is still there.
    pub async fn connect(&self) -> Result<Channel, tonic::transport::Error> {
        let address = format!("http://{}", self.address());
        let endpoint = Channel::from_shared(address).expect("an address");
        endpoint.connect().await
    }

    /// Waits until it says no more: it has ended.
    pub async fn is_over(&self) {
        let mut log = self.log.clone();
        // The one who keeps it is there until then.
        let _ = log.wait_for(|log| log.is_over).await;
    }

    /// Waits until it has ended.
    pub async fn ended(mut self) -> Ended {
        // Its output ends with it, and only then is its number given back.
        let over = self.log.wait_for(|log| log.is_over);
        let over = within("the program ends", over).await;
        let log = over.expect("the log has an end").text.clone();
        self.process.forget();
        let status = within("the program ends", self.child.wait()).await;
        Ended {
            status: status.expect("it can be waited for"),
            log,
        }
    }

    /// Kills it.
    pub async fn killed(self) -> Ended {
        self.process.signal(Signal::KILL);
        self.ended().await
    }

    /// Tells it to stop, which it does in order.
    pub async fn stopped(self) {
        self.process.signal(Signal::TERM);
        let ended = self.ended().await;
        assert!(ended.status.success(), "{ended:?}");
    }
}

/// A process that signals can be sent to, until it is known to have ended: its
/// number may be another's after that.
#[derive(Clone)]
pub struct Process(Arc<Mutex<Option<Pid>>>);

impl Process {
    fn of(child: &Child) -> Process {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Process(Arc::new(Mutex::new(id.and_then(Pid::from_raw))))
    }

    /// Sends a signal; nothing to a process that has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(id) = *self.0.lock().unwrap() {
            // It may have ended by itself, and not been waited for yet.
            let _ = kill_process(id, signal);
        }
    }

    /// Waits until it has exited, but for threads that its tracer holds.
    pub async fn exits(&self) {
        // A name before the state may have spaces and brackets.
        let exited = |stat: &str| {
            let state = stat.rsplit_once(") ").map(|(_, rest)| rest);
            state.is_none_or(|state| state.starts_with(['Z', 'X']))
        };
        within("the program exits", self.shows("stat", exited)).await;
    }

    /// Has it traced, and waits until all of its threads are. The tracer ends
    /// with it.
    pub async fn traced_by(&self, mut tracer: Command) {
        tracer.spawn().expect("it can be traced");
        let is_traced = |status: &str| {
            let tracer = status.lines().find_map(|l| l.strip_prefix("TracerPid:"));
            tracer.is_some_and(|id| id.trim() != "0")
        };
        let all_traced = async {
            loop {
                let tasks = std::fs::read_dir(self.path("task")).into_iter().flatten();
                let mut tasks = tasks.flatten().map(|task| task.path().join("status"));
                if tasks
                    .all(|status| is_traced(&std::fs::read_to_string(status).unwrap_or_default()))
                {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        within("a tracer", all_traced).await;
    }

    /// Waits until it has begun to listen to SIGTERM.
    pub async fn hears(&self) {
        const TERM: u64 = 1 << (Signal::TERM.as_raw() - 1);
        let hears = |status: &str| {
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
            caught.is_some_and(|mask| mask & TERM != 0)
        };
        within("a handler for SIGTERM", self.shows("status", hears)).await;
    }

    /// Kills whoever still traces one of its threads, and with that what it has
    /// done to their calls.
    pub fn release(&self) {
        let tasks = std::fs::read_dir(self.path("task")).into_iter().flatten();
        for task in tasks.flatten() {
            let status = std::fs::read_to_string(task.path().join("status"));
            let status = status.unwrap_or_default();
            let tracer = status
                .lines()
                .find_map(|line| line.strip_prefix("TracerPid:"));
            let tracer = tracer.and_then(|id| Pid::from_raw(id.trim().parse().ok()?));
            if let Some(tracer) = tracer {
                let _ = kill_process(tracer, Signal::KILL);
                return;
            }
        }
    }

    /// Looks at a file about it until that shows something.
    async fn shows(&self, file: &str, shown: impl Fn(&str) -> bool) {
        while !shown(&self.proc(file)) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// A file that the system keeps about it; empty when it is gone.
    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    fn path(&self, file: &str) -> PathBuf {
        let id = self.0.lock().unwrap().expect("it was not waited for");
        format!("/proc/{}/{file}", id.as_raw_nonzero()).into()
    }

    fn forget(&self) {
        *self.0.lock().unwrap() = None;
    }
}

/// Whether a process is a zombie, or gone.
fn has_exited(stat: &str) -> bool {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    // The name before the state may have spaces and brackets.
    let state = text.rsplit_once(") ").map(|(_, rest)| rest);
    state.is_none_or(|state| state.starts_with(['Z', 'X']))
}

/// The address in a log of either format, once it serves.
fn served_at(log: &str) -> Option<SocketAddr> {
    let begins = ["serving address=", r#""serving","address":""#];
    let (_, rest) = begins.iter().find_map(|begins| log.split_once(begins))?;
    let end = rest.find(['"', '\n'])?;
    rest[..end].trim().parse().ok()
}

async fn keep(output: impl AsyncRead + Unpin, log: watch::Sender<Log>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.send_modify(|log| {
            log.text.push_str(&line);
            log.text.push('\n');
        });
    }
    log.send_modify(|log| log.is_over = true);
}
