//! The real program and its disk: one that fills up, one that fails.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use flowgate::model::TenantId;
use flowgate::proto::error_details::QuotaFailure;
use flowgate::proto::target_service_client::TargetServiceClient;
use flowgate::proto::{ItemResult, PauseTargetRequest, item_result};
use flowgate::store::{ListQuery, SqliteStore, Store as _};
use prost::Message as _;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::site::{Client, Site, batch, client, items, results, submit};
use super::support::http_target::{Act, Latch};
use super::support::patience::{is_long, within};
use super::support::program::{PROGRAM, Program, serve};
use super::support::strace::{self, Trace};

/// How long a caller waits that was told to come again.
const TRY_AGAIN: Duration = Duration::from_millis(50);

fn succeeded(results: &[ItemResult]) -> usize {
    let is_success =
        |result: &&ItemResult| matches!(result.outcome, Some(item_result::Outcome::Success(_)));
    results.iter().filter(is_success).count()
}

/// Submits so many items of so many bytes again and again, until one is refused.
async fn fill(client: &mut Client, count: u32, bytes: usize) -> (Vec<String>, Status) {
    let mut ids = Vec::new();
    loop {
        match submit(client, items(count, bytes)).await {
            Ok(id) => ids.push(id),
            Err(status) => return (ids, status),
        }
    }
}

/// Checks that it says that there is no room, as the contract says it.
fn assert_full(status: &Status) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    assert_eq!(
        (status.code(), reason),
        (Code::ResourceExhausted, Some("STORE_FULL")),
        "{status:?}"
    );
    let retry = details.retry_info().and_then(|retry| retry.retry_delay);
    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{status:?}");
    let whole = tonic_types::Status::decode(status.details()).expect("details");
    let quota = whole
        .details
        .iter()
        .find(|detail| detail.type_url.ends_with("QuotaFailure"));
    let quota = QuotaFailure::decode(&quota.expect("a QuotaFailure").value[..]).expect("one");
    assert_eq!(quota.violations[0].subject, "server:store");
}

#[tokio::test]
async fn a_store_of_a_fixed_size_refuses_what_it_has_no_room_for_and_keeps_the_rest() {
    let latch = Latch::default();
    let reply = Act::answer(201, r#"{"id":"g-1"}"#).after(&latch);
    let bounds = "max_size = \"64MiB\"\nreserve = \"8MiB\"";
    let site = Site::new(bounds, move |_| reply.clone()).await;
    let program = site.start().await;
    let mut client = client(&program).await;

    let (ids, status) = fill(&mut client, 60, 100_000).await;
    assert_full(&status);
    assert!(ids.len() > 5, "{} were accepted", ids.len());
    latch.open();
    for id in &ids {
        assert_eq!(succeeded(&results(&mut client, id).await), 60);
    }
    let file = site.store.metadata().expect("the store").len();
    assert!(file <= 64 << 20, "{file}");

    // Restarted, it says the same, until what is done is thrown away.
    program.stopped().await;
    let program = site.start().await;
    let mut client = super::site::client(&program).await;
    let (_, status) = fill(&mut client, 60, 100_000).await;
    assert_full(&status);
    program.stopped().await;
    site.configure(&format!("{bounds}\nkeep_batches = \"1s\""));
    let program = site.start().await;
    let mut client = super::site::client(&program).await;
    let taken = async {
        loop {
            match submit(&mut client, items(60, 100_000)).await {
                Ok(id) => return id,
                Err(status) => assert_full(&status),
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    };
    within("room", taken).await;
    let gone = batch(&mut client, &ids[0]).await.expect_err("it is gone");
    assert_eq!(gone.code(), Code::NotFound);
}

/// A file system of a few megabytes. Dropped, it is gone.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Where nobody may make one, the test is passed over; not in a long run.
    fn new(megabytes: u32) -> Option<SmallDisk> {
        let folder = TempDir::new().expect("a folder");
        let size = format!("size={megabytes}m");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(folder));
        }
        assert!(!is_long(), "a long run needs to mount a file system");
        // Past what captures a test's output: it is to be seen.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no file system may be mounted here; {}",
            std::thread::current().name().unwrap_or_default()
        );
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all that is left of it.
    fn fill(&self) -> std::path::PathBuf {
        let path = self.path().join("ballast");
        let mut ballast = std::fs::File::create(&path).expect("a file");
        // Smaller and smaller, to the last byte.
        for size in [1 << 20, 1 << 12, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.path())
            .status();
    }
}

#[tokio::test]
async fn a_disk_that_is_full_for_a_while_costs_only_time() {
    let Some(disk) = SmallDisk::new(24) else {
        return;
    };
    let latch = Latch::default();
    let reply = format!("{{\"id\":\"{}\"}}", "g".repeat(8_000));
    let reply = Act::answer(201, reply).after(&latch);
    let folder = TempDir::new().expect("a folder");
    let store = disk.path().join("flowgate.db");
    let site = Site::in_folder(folder, &store, "reserve = \"4MiB\"", move |_| reply.clone()).await;
    let mut program = site.start().await;
    let mut client = client(&program).await;
    let waiting = submit(&mut client, items(100, 10)).await.expect("room");
    within("40 requests", site.target.arrived(40)).await;

    // Somebody else takes the disk; the replies come then.
    let ballast = disk.fill();
    let refused = submit(&mut client, items(1, 10)).await;
    assert_full(&refused.expect_err("there is no room"));
    latch.open();
    program.says("there is no room for the store").await;
    // Everything can be read meanwhile.
    let seen = batch(&mut client, &waiting).await.expect("it is there");
    let progress = seen.progress.expect("progress");
    assert!(progress.succeeded < 100, "{progress:?}");

    std::fs::remove_file(ballast).expect("it is there");
    assert_eq!(succeeded(&results(&mut client, &waiting).await), 100);
    program.says("the store can be written again").await;
    // None was sent twice to make it so, and none is in doubt.
    assert_eq!(site.target.requests().len(), 100);
    let again = submit(&mut client, items(1, 10)).await.expect("room");
    assert_eq!(succeeded(&results(&mut client, &again).await), 1);
    program.stopped().await;
}

#[tokio::test]
async fn what_was_accepted_is_there_after_the_server_is_killed_on_a_full_disk() {
    let Some(disk) = SmallDisk::new(24) else {
        return;
    };
    let folder = TempDir::new().expect("a folder");
    let store = disk.path().join("flowgate.db");
    let site = Site::in_folder(folder, &store, "reserve = \"4MiB\"", |_| Act::Silence).await;
    let program = site.start().await;
    let mut client = client(&program).await;
    let (ids, status) = fill(&mut client, 60, 20_000).await;
    assert_full(&status);
    let ballast = disk.fill();
    program.killed().await;

    // It says what is wrong, or serves; with room it does.
    if let Err(ended) = Program::start(serve(&site.config())).await {
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        assert!(
            ended.log.contains("full") || ended.log.contains("no room"),
            "{ended:?}"
        );
    }
    std::fs::remove_file(ballast).expect("it is there");
    let program = site.start().await;
    let mut client = super::site::client(&program).await;
    for id in &ids {
        let batch = batch(&mut client, id).await.expect("it is there");
        assert_eq!(batch.progress.expect("progress").total, 60);
    }
}

/// One sync fails, and the next ones would not: they prove nothing.
#[tokio::test]
async fn a_sync_that_fails_is_not_acknowledged_not_repeated_and_ends_it() {
    if !strace::is_there() {
        return;
    }
    let site = Site::new("", |_| Act::Silence).await;
    let program = site.start().await;
    let mut before = client(&program).await;
    // Held, so that nothing is at work but what is submitted.
    let mut targets = TargetServiceClient::new(program.connect().await.expect("a connection"));
    let held = PauseTargetRequest {
        name: "guests".to_owned(),
        ..PauseTargetRequest::default()
    };
    targets.pause_target(held).await.expect("it is held");
    let kept = submit(&mut before, items(3, 10)).await.expect("a disk");
    program.stopped().await;

    let trace = site.folder.path().join("trace");
    let log = site.store.with_extension("db-wal");
    let command = Trace::of("pwrite64,fsync,fdatasync", &trace)
        .only(&log)
        // Counted by thread: after those of the start.
        .with("inject=fsync,fdatasync:error=EIO:when=3")
        .serve(&site.config());
    let program = site.start_by(command).await;
    let mut client = client(&program).await;
    let mut refused = None;
    for _ in 0..3 {
        if let Err(status) = submit(&mut client, items(3, 10)).await {
            refused = Some(status);
            break;
        }
    }
    let refused = refused.expect("a sync that failed");
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    // By itself, although no lane was at work.
    let ended = program.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let last = ended.log.lines().next_back().unwrap_or_default();
    for says in [
        "error: the store",
        "an fsync failed",
        "start again",
        "flowgate.db",
    ] {
        assert!(last.contains(says), "`{says}` is not in: {last}");
    }
    let calls = std::fs::read_to_string(&trace).expect("a trace");
    let (_, after) = calls.split_once("(INJECTED)").expect("a sync that failed");
    let again = after.lines().find(|line| line.contains("sync("));
    assert_eq!(again, None, "it was tried again: {after}");

    let program = site.start().await;
    let mut client = super::site::client(&program).await;
    let kept = batch(&mut client, &kept).await.expect("it is there");
    assert_eq!(kept.progress.expect("progress").total, 3);
}

/// `flowgate serve`, killed at one of its calls. (Not with `--seccomp-bpf`, where
/// calls of the first thread are let through.)
fn killed_at(site: &Site, calls: &str, at: usize) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-D", "-f", "-o", "/dev/null"])
        .args(["-e", &format!("trace={calls}")])
        .args(["-e", &format!("inject={calls}:signal=SIGKILL:when={at}")])
        .args([PROGRAM, "serve", "--config"])
        .arg(site.config());
    command
}

/// What a store consists of.
const FILES: [&str; 3] = ["db", "db-wal", "db.lock"];

/// The files of a store that a server made, which was then stopped or killed:
/// each with what is in it.
async fn left_by_a_server(is_killed: bool) -> Vec<(&'static str, Vec<u8>)> {
    let site = Site::new("", |_| Act::answer(201, "{}")).await;
    let program = site.start().await;
    let mut client = client(&program).await;
    submit(&mut client, items(2, 10)).await.expect("a disk");
    match is_killed {
        true => drop(program.killed().await),
        false => program.stopped().await,
    }
    let read = |ending| std::fs::read(site.store.with_extension(ending));
    let files = FILES.into_iter().map(|ending| (ending, read(ending)));
    files
        .filter_map(|(ending, read)| Some((ending, read.ok()?)))
        .collect()
}

/// Killed at any call that changes a file, while it starts and while it is told
/// to stop: what was there is there for the next one.
#[tokio::test]
async fn killed_while_it_opens_or_closes_its_store_it_loses_nothing() {
    if !strace::is_there() {
        return;
    }
    let befores = [
        Vec::new(),
        left_by_a_server(false).await,
        left_by_a_server(true).await,
    ];
    for calls in ["pwrite64", "write", "fsync", "ftruncate", "unlink"] {
        for before in &befores {
            let mut deaths = 0;
            loop {
                let site = Site::new("", |_| Act::answer(201, "{}")).await;
                for (ending, bytes) in before {
                    let path = site.store.with_extension(ending);
                    std::fs::write(path, bytes).expect("it can be written");
                }
                let killed = killed_at(&site, calls, deaths + 1);
                if let Ok(program) = Program::start(killed).await {
                    program.process().signal(Signal::TERM);
                    if program.ended().await.status.success() {
                        break;
                    }
                }
                deaths += 1;
                assert!(deaths < 200, "{calls}");
                let store = SqliteStore::open(&site.store).expect("a store");
                let batches = store.list(all_batches()).await.expect("batches");
                let totals: Vec<_> = batches
                    .iter()
                    .map(|batch| batch.progress.counts.total)
                    .collect();
                assert_eq!(totals, vec![2; usize::from(!before.is_empty())]);
            }
            assert!(deaths > 0, "{calls}");
        }
    }
}

fn all_batches() -> ListQuery {
    ListQuery {
        tenant: TenantId::default(),
        target: None,
        states: Vec::new(),
        labels: BTreeMap::new(),
        before: None,
        max: 10,
    }
}

/// Damage that is met while it runs.
#[tokio::test]
async fn a_store_that_is_damaged_while_it_runs_ends_it_with_what_to_do() {
    let site = Site::new("", |_| Act::answer(201, "{}")).await;
    let program = site.start().await;
    let mut early = client(&program).await;
    let id = submit(&mut early, items(900, 1_000)).await.expect("a disk");
    results(&mut early, &id).await;
    program.stopped().await;
    let program = site.start().await;
    let mut late = client(&program).await;
    let mut bytes = std::fs::read(&site.store).expect("the store");
    for page in bytes.chunks_mut(4_096).skip(1) {
        page[..64].fill(0x55);
    }
    std::fs::write(&site.store, &bytes).expect("it can be written");
    let answer = batch(&mut late, &id).await.expect_err("it is damaged");
    // It may have met it by itself before, and be gone.
    let is_gone = answer.code() == Code::Unknown && answer.message() == "transport error";
    assert!(is_gone || answer.code() == Code::Unavailable, "{answer:?}");
    let ended = program.ended().await;
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let last = ended.log.lines().next_back().unwrap_or_default();
    for says in ["error: the store", "is damaged", "backup", ".recover"] {
        assert!(last.contains(says), "`{says}` is not in: {last}");
    }
    // It stays so until somebody does something about it.
    let Err(refused) = Program::start(serve(&site.config())).await else {
        panic!("it serves");
    };
    assert!(refused.log.starts_with("error: "), "{refused:?}");
    assert!(refused.log.contains("is damaged"), "{refused:?}");
    assert!(std::fs::read(&site.store).expect("the store") == bytes);
}
