//! A real `PostgreSQL` of the test's own, in a folder that goes with it, and a
//! proxy in front of it that loses what it is told to.

use std::io::Write as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_postgres::{Client, NoTls, Row};

use super::patience::{is_long, within};

/// How often something is looked at that does not tell of itself.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The server of a test. Dropped, it is gone with all that was in it.
pub struct Cluster {
    server: Option<Child>,
    programs: PathBuf,
    owner: Option<(u32, u32)>,
    settings: Vec<String>,
    folder: TempDir,
}

impl Cluster {
    /// Starts one; `None` where there is no `PostgreSQL`, which a long run has
    /// to have.
    pub async fn start() -> Option<Cluster> {
        Cluster::with(&[]).await
    }

    /// The same with settings, e.g. `max_connections=5`.
    pub async fn with(settings: &[&str]) -> Option<Cluster> {
        let Some(found) = programs() else {
            assert!(!is_long(), "a long run needs PostgreSQL");
            let _ = writeln!(std::io::stderr(), "SKIPPED: PostgreSQL is not here");
            return None;
        };
        let mut cluster = Cluster {
            server: None,
            programs: found,
            owner: owner(),
            settings: settings.iter().map(ToString::to_string).collect(),
            folder: TempDir::new().expect("a folder"),
        };
        if let Some((user, group)) = cluster.owner {
            chown(cluster.folder.path(), Some(user), Some(group)).expect("it may be given away");
        }
        let made = cluster
            .command("initdb")
            .args(["--auth=trust", "--username=postgres", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C", "-D"])
            .arg(cluster.data())
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb runs").success());
        cluster.run().await;
        Some(cluster)
    }

    /// Starts the server, on what is there, and waits until it serves.
    pub async fn run(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data());
        command.arg("-k").arg(self.folder.path());
        for setting in ["listen_addresses=", "fsync=off", "autovacuum=off"] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let server = command.stdout(Stdio::null()).stderr(log).spawn();
        self.server = Some(server.expect("postgres runs"));
        let comes_up = async {
            while self.try_connect().await.is_none() {
                let server = self.server.as_mut().expect("it was started");
                if let Ok(Some(status)) = server.try_wait() {
                    panic!("postgres ended: {status}: {}", self.log());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        within("postgres serves", comes_up).await;
    }

    /// Ends the server: `INT` has it end those that it serves, `QUIT` does not
    /// wait for anything.
    pub async fn stop(&mut self, signal: Signal) {
        let Some(mut server) = self.server.take() else {
            return;
        };
        send(&server, signal);
        let ended = async {
            while let Ok(None) = server.try_wait() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        within("postgres ends", ended).await;
    }

    /// Adds a setting, for when it is started next.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// The folder with its socket.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file in its folder that it may read.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("the folder can be written to");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("it is ours");
        if let Some((user, group)) = self.owner {
            chown(&path, Some(user), Some(group)).expect("it may be given away");
        }
        path
    }

    /// Where its configuration and its rows are.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What a target's `url` says to reach it.
    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@localhost/postgres?host={}",
            self.folder().display()
        )
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// A connection of the test's own.
    pub async fn connect(&self) -> Client {
        self.try_connect().await.expect("a connection")
    }

    /// A connection of the test's own, if there is room for one.
    pub async fn connection(&self) -> Option<Client> {
        self.try_connect().await
    }

    async fn try_connect(&self) -> Option<Client> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.folder())
            .user("postgres")
            .dbname("postgres");
        let mut settings = self.settings.iter();
        let port = settings.find_map(|setting| setting.strip_prefix("port="));
        config.port(port.map_or(5432, |port| port.parse().expect("a port")));
        let (client, connection) = config.connect(NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    /// Runs statements.
    pub async fn run_sql(&self, sql: &str) {
        let ran = self.connect().await.batch_execute(sql).await;
        ran.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// What a query finds.
    pub async fn query(&self, sql: &str) -> Vec<Row> {
        let found = self.connect().await.query(sql, &[]).await;
        found.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// What a query for one number finds.
    pub async fn count(&self, sql: &str) -> i64 {
        self.query(sql).await[0].get(0)
    }

    /// What a query for texts finds.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self.query(sql).await;
        let text = |row: &Row| row.get::<_, Option<String>>(0);
        rows.iter()
            .map(|row| text(row).unwrap_or("NULL".to_owned()))
            .collect()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .current_dir("/")
            .env_remove("PGDATA")
            .stdin(Stdio::null());
        if let Some((user, group)) = self.owner {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            send(&server, Signal::QUIT);
            // Its folder goes next.
            let _ = server.wait();
        }
    }
}

fn send(server: &Child, signal: Signal) {
    let id = i32::try_from(server.id()).ok().and_then(Pid::from_raw);
    // It may have ended by itself.
    let _ = kill_process(id.expect("a process"), signal);
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Where its programs are.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let versions = versions.flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut found: Vec<PathBuf> = versions.collect();
    found.sort();
    found.reverse();
    let has_all = |folder: &PathBuf| {
        let programs = ["initdb", "postgres"];
        programs.iter().all(|name| folder.join(name).exists())
    };
    found.into_iter().chain(path).find(has_all)
}

/// Whom it runs as, where this is root: it refuses root.
fn owner() -> Option<(u32, u32)> {
    if !rustix::process::getuid().is_root() {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let mut fields = line.expect("there is a user `postgres`").split(':').skip(2);
    let mut number = || fields.next().and_then(|field| field.parse().ok());
    Some((number().expect("a user"), number().expect("a group")))
}

/// What a proxy does when it sees a text on its way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It closes both sides; the server does not get it.
    Before,
    /// It waits for the server's answer, and closes both sides without it.
    After,
    /// It keeps everything to itself from here on.
    Silent,
}

/// Stands in front of a server.
pub struct Proxy {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What is watched for, how often it may still pass, and what is done then.
    rule: Option<(Vec<u8>, u32, Cut)>,
    /// How often the client said something after the server had.
    turns: u32,
    connections: u32,
    is_closed: bool,
}

impl Proxy {
    /// In front of a cluster.
    pub async fn start(cluster: &Cluster) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let socket = cluster.folder().join(".s.PGSQL.5432");
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.lock().unwrap().connections += 1;
                if shared.lock().unwrap().is_closed {
                    continue;
                }
                let Ok(server) = UnixStream::connect(&socket).await else {
                    continue;
                };
                tokio::spawn(carry(client, server, shared.clone()));
            }
        });
        Proxy { port, state }
    }

    /// What a target's `url` says to reach the server through it.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The next time that this is on its way to the server, once `passes` of it
    /// have gone by.
    pub fn cut(&self, text: &str, passes: u32, cut: Cut) {
        self.state.lock().unwrap().rule = Some((text.as_bytes().to_vec(), passes, cut));
    }

    /// Whether what was to be cut was.
    pub fn has_cut(&self) -> bool {
        self.state.lock().unwrap().rule.is_none()
    }

    /// New connections are closed at once.
    pub fn close(&self, is_closed: bool) {
        self.state.lock().unwrap().is_closed = is_closed;
    }

    /// How many connections there were.
    pub fn connections(&self) -> u32 {
        self.state.lock().unwrap().connections
    }

    /// How often the client has said something and then waited, since this was
    /// asked last.
    pub fn round_trips(&self) -> u32 {
        std::mem::take(&mut self.state.lock().unwrap().turns)
    }
}

async fn carry(client: TcpStream, server: UnixStream, state: Arc<Mutex<State>>) {
    client.set_nodelay(true).expect("a socket");
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut asked, mut told) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut server_spoke = true;
    loop {
        tokio::select! {
            biased;
            read = from_server.read(&mut told) => {
                let Ok(count @ 1..) = read else { return };
                server_spoke = true;
                if to_client.write_all(&told[..count]).await.is_err() {
                    return;
                }
            }
            read = from_client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let cut = state.lock().unwrap().says(&asked[..count], server_spoke);
                server_spoke = false;
                if let Some(cut) = cut {
                    return end(cut, &asked[..count], from_server, &mut to_server).await;
                }
                if to_server.write_all(&asked[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn end(cut: Cut, asked: &[u8], mut server: OwnedReadHalf, to_server: &mut OwnedWriteHalf) {
    match cut {
        Cut::Before => {}
        Cut::After => {
            let _ = to_server.write_all(asked).await;
            let _ = server.read(&mut vec![0; 1 << 16]).await;
        }
        Cut::Silent => std::future::pending().await,
    }
}

impl State {
    fn says(&mut self, bytes: &[u8], server_spoke: bool) -> Option<Cut> {
        self.turns += u32::from(server_spoke);
        let (text, passes, cut) = self.rule.as_mut()?;
        if !bytes.windows(text.len()).any(|window| window == &text[..]) {
            return None;
        }
        if *passes > 0 {
            *passes -= 1;
            return None;
        }
        let cut = *cut;
        self.rule = None;
        Some(cut)
    }
}
