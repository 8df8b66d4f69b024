//! SIGKILL at exactly the Nth write to the file, the Nth sync and the Nth write
//! to a connection, of a run and then of the recovery from it.

use std::os::unix::process::ExitStatusExt;

use crate::client::clients;
use crate::lives::{Life, live, look_back};
use crate::site::Site;
use crate::support::patience::is_long;
use crate::support::program::serve;
use crate::support::strace::{self, Trace};

/// Items of a client here: few, because every call is a point.
const ITEMS: usize = 10;

/// The calls that a run of one kind makes, and how many points of them are
/// tried: on an everyday, and in a long run.
struct Sweep {
    calls: &'static str,
    everyday: usize,
    long: usize,
    /// Whether the store's file is there before.
    file_is_there: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_write_to_the_file() {
    sweep(Sweep {
        calls: strace::WRITES,
        everyday: 4,
        long: 100,
        file_is_there: true,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_sync() {
    sweep(Sweep {
        calls: strace::SYNCS,
        everyday: 4,
        long: 100,
        file_is_there: true,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_write_to_a_connection() {
    sweep(Sweep {
        calls: strace::SENDS,
        everyday: 2,
        long: 60,
        file_is_there: true,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_file_is_made() {
    for calls in [strace::WRITES, strace::SYNCS] {
        sweep(Sweep {
            calls,
            everyday: 2,
            long: 20,
            file_is_there: false,
        })
        .await;
    }
}

async fn sweep(sweep: Sweep) {
    if !strace::is_there() {
        return;
    }
    let whole = match sweep.file_is_there {
        true => cut_at(&sweep, None).await,
        false => making(&sweep).await,
    };
    let points = if is_long() {
        sweep.long
    } else {
        sweep.everyday
    };
    assert!(whole >= 5, "a run makes only {whole} of {}", sweep.calls);
    let points = points.min(whole);
    // Another place in each stretch at each run would be another test each time.
    let stretch = whole / points;
    let mut cuts = 0;
    for point in 0..points {
        let at = point * stretch + 1 + (point * 7) % stretch;
        eprintln!("{} {at} of {whole}", sweep.calls);
        cuts += cut_at(&sweep, Some(at)).await;
    }
    // No two runs make quite as many calls.
    assert!(cuts >= points, "{points} runs were cut only {cuts} times");
}

/// One run, killed at a call and again a little later; how often that was. Without
/// one, how many calls it makes.
async fn cut_at(sweep: &Sweep, at: Option<usize>) -> usize {
    let mut rng = fastrand::Rng::with_seed(7);
    let site = Site::new().await;
    let trace = site.folder.path().join("trace");
    if sweep.file_is_there {
        site.start().await.stopped().await;
    }
    let mut clients = clients(&site.notes, &mut rng, ITEMS);
    // The recovery is cut as well, early on.
    let cuts = at.map(|at| [at, at % 5 + 1]);
    let mut cut = 0;
    for at in cuts.into_iter().flatten() {
        let inject = format!("inject={}:signal=SIGKILL:when={at}", sweep.calls);
        let traced = Trace::of(sweep.calls, &trace).with(&inject);
        let command = traced.serve(&site.config());
        match live(&site, &mut clients, command, u64::MAX).await {
            Life::Over(program) => drop(program.killed().await),
            Life::Ended(ended) => {
                assert_eq!(ended.status.signal(), Some(9), "{ended:?}");
                cut += 1;
            }
        }
    }
    let command = match at {
        Some(_) => serve(&site.config()),
        None => Trace::of(sweep.calls, &trace).serve(&site.config()),
    };
    let program = live(&site, &mut clients, command, u64::MAX).await.over();
    look_back(&site, &mut clients, program, cut > 0).await;
    match at {
        Some(_) => cut,
        None => strace::calls_by_one_thread(&trace, sweep.calls),
    }
}

/// How many calls it takes to make the file.
async fn making(sweep: &Sweep) -> usize {
    let site = Site::new().await;
    let trace = site.folder.path().join("trace");
    let command = Trace::of(sweep.calls, &trace).serve(&site.config());
    site.start_by(command).await.stopped().await;
    strace::calls_by_one_thread(&trace, sweep.calls)
}
