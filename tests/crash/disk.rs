//! A disk on which syncs fail, and one that is full for a while.

use std::time::Duration;

use crate::client::{Client, How, clients};
use crate::lives::{Life, live, look_back};
use crate::site::Site;
use crate::support::patience::{is_long, within};
use crate::support::program::{Ended, serve};
use crate::support::strace::{self, Trace};
use crate::work::{Ask, PLAIN, SAFE, Work};

const WRITES_AND_SYNCS: &str = "pwrite64,fsync,fdatasync";

/// How long a client waits that was told to come again.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// What `strace` says of a call that it made fail.
const INJECTED: &str = "(INJECTED)";

/// Has the sync with this number fail, once: a later one would succeed, and say
/// nothing about what this one was to bring to the disk. The server has to give
/// up, and all has to hold when it is started again. False where there were not so
/// many syncs: the slower the machine, the more each of them brings.
async fn fail_a_sync(at: usize, plan: impl FnOnce(&Site) -> Vec<Client>) -> bool {
    eprintln!("sync {at}");
    let site = Site::new().await;
    site.start().await.stopped().await;
    let mut clients = plan(&site);
    let trace = site.folder.path().join("trace");
    let inject = format!("inject=fsync,fdatasync:error=EIO:when={at}");
    // Of the log alone: SQLite does not mind when that of the folder fails.
    let command = Trace::of(WRITES_AND_SYNCS, &trace)
        .only(&site.log())
        .with(&inject)
        .serve(&site.config());
    match live(&site, &mut clients, command, u64::MAX).await {
        Life::Ended(ended) => gave_up(&ended),
        Life::Over(program) => {
            let calls = std::fs::read_to_string(&trace).expect("a trace");
            let went_on = calls.contains(INJECTED);
            assert!(!went_on, "it went on after a sync that failed");
            look_back(&site, &mut clients, program, true).await;
            return false;
        }
    }
    let calls = std::fs::read_to_string(&trace).expect("a trace");
    let (_, after) = calls.split_once(INJECTED).expect("a sync that failed");
    let again = after.lines().find(|line| line.contains("fsync("));
    assert_eq!(again, None, "it was tried again: {after}");
    let program = live(&site, &mut clients, serve(&site.config()), u64::MAX)
        .await
        .over();
    look_back(&site, &mut clients, program, true).await;
    true
}

/// It ended by itself, and said why.
fn gave_up(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let last = ended.log.lines().next_back().unwrap_or_default();
    assert!(last.starts_with("error: "), "{ended:?}");
    assert!(ended.log.contains("disk I/O error"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_ends_it_while_items_are_sent() {
    if !strace::is_there() {
        return;
    }
    // The first are those of a new log, and of the submission; the next are the
    // lane's own.
    for (at, target) in [(3, SAFE), (3, PLAIN), (4, SAFE), (4, PLAIN)] {
        let failed = fail_a_sync(at, |site| {
            let work = Work::mixed("a", target, 20, &mut fastrand::Rng::with_seed(1));
            vec![Client::new(work, How::Unary, site.notes.clone(), 1)]
        });
        assert!(failed.await, "there are fewer than {at} syncs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_ends_it_whatever_is_under_way() {
    if !strace::is_there() {
        return;
    }
    // The first are those of the start, which ends by itself.
    let points = if is_long() { 3..=12 } else { 3..=6 };
    for at in points {
        let failed = fail_a_sync(at, |site| {
            let mut rng = fastrand::Rng::with_seed(7);
            clients(&site.notes, &mut rng, 10)
        });
        assert!(failed.await || at > 6, "there are fewer than {at} syncs");
    }
}

/// The log is moved into the file when it has grown to 16 MiB. What is in it has
/// been told; it must not be given up for a file that is not on the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_of_the_file_itself_that_fails_loses_nothing() {
    if !strace::is_there() {
        return;
    }
    let site = Site::new().await;
    site.start().await.stopped().await;
    let plan = [("a", SAFE), ("b", PLAIN)];
    let mut clients = plan.map(|(name, target)| {
        let work = Work::of(name, target, [Ask::Ok; 10]).of_size(1_000_000);
        Client::new(work, How::Stream(1), site.notes.clone(), 1)
    });
    let trace = site.folder.path().join("trace");
    let command = Trace::of(WRITES_AND_SYNCS, &trace)
        .only(&site.file())
        .with("inject=fsync,fdatasync:error=EIO:when=1")
        .serve(&site.config());
    let life = live(&site, &mut clients, command, u64::MAX).await;
    let calls = std::fs::read_to_string(&trace).expect("a trace");
    assert!(calls.contains(INJECTED), "{calls}");
    // Whether it goes on or not: it has told nothing that is not so.
    let program = match life {
        Life::Over(program) => program,
        Life::Ended(ended) => {
            gave_up(&ended);
            let again = live(&site, &mut clients, serve(&site.config()), u64::MAX).await;

            again.over()
        }
    };
    look_back(&site, &mut clients, program, true).await;
}

/// A disk that is full for a number of writes: what was accepted goes on, what
/// is under way gets its outcome, and nothing is sent twice or in doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_for_a_while_costs_only_time() {
    if !strace::is_there() {
        return;
    }
    let starts: &[usize] = match is_long() {
        true => &[1, 10, 20, 30, 40, 60, 80],
        false => &[1, 30, 60],
    };
    for first in starts {
        eprintln!("from write {first} on");
        let site = Site::new().await;
        site.start().await.stopped().await;
        let mut rng = fastrand::Rng::with_seed(7);
        let mut clients = clients(&site.notes, &mut rng, 10);
        let trace = site.folder.path().join("trace");
        let inject = format!("inject=pwrite64:error=ENOSPC:when={first}..{}", first + 5);
        let command = Trace::of(WRITES_AND_SYNCS, &trace)
            .only(&site.log())
            .with(&inject)
            .serve(&site.config());
        let program = site.start_by(command).await;
        let channel = program.connect().await.expect("a connection");
        let goings = clients.iter_mut().map(async |client| {
            while client.go(channel.clone()).await.is_err() {
                tokio::time::sleep(TRY_AGAIN).await;
            }
        });
        let all = futures_util::future::join_all(goings);
        tokio::select! {
            _ = within("the ends of all", all) => {}
            () = program.is_over() => panic!("it ended: {:?}", program.ended().await),
        }
        let calls = std::fs::read_to_string(&trace).expect("a trace");
        assert!(calls.contains("ENOSPC"), "{calls}");
        look_back(&site, &mut clients, program, false).await;
    }
}
