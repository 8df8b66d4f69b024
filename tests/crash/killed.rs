//! SIGKILL after so many events of a run, and again, until it is done.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::client::{Client, How, clients};
use crate::lives::{Life, live, look_back};
use crate::meddling::{Meddler, What};
use crate::notes::Notes;
use crate::site::Site;
use crate::support::patience::seeds;
use crate::support::program::serve;
use crate::work::{Ask, PLAIN, SAFE, Terms, Work};

/// How often a run is cut.
const CUTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_any_point_of_a_run_and_again() {
    for seed in seeds(3, 120) {
        killed_again_and_again(seed, |notes, rng| clients(notes, rng, 40)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_others_hold_cancel_and_retry() {
    for seed in seeds(2, 70) {
        killed_again_and_again(seed, meddled_with).await;
    }
}

type Plan = fn(&Notes, &mut fastrand::Rng) -> Vec<Client>;

async fn killed_again_and_again(seed: u64, plan: Plan) {
    eprintln!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let site = Site::new().await;
    let mut clients = plan(&site.notes, &mut rng);
    let mut cuts = 0;
    let program = loop {
        // Few events more often than many: there is less and less to do.
        let most = if rng.bool() { 40 } else { 250 };
        let fuse = match cuts {
            CUTS => u64::MAX,
            _ => rng.u64(1..=most),
        };
        match live(&site, &mut clients, serve(&site.config()), fuse).await {
            Life::Over(program) => break program,
            Life::Ended(ended) => {
                assert_eq!(ended.status.signal(), Some(9), "{ended:?}");
                cuts += 1;
            }
        }
    };
    look_back(&site, &mut clients, program, cuts > 0).await;
}

/// How an item may end that was stopped: as it was when that came.
const STOPPED: &[&str] = &["CANCELLED", "ABORTED", "UNAVAILABLE", "IN_DOUBT"];

/// Clients whose batches others meddle with, or that ask for more than to be
/// done.
fn meddled_with(notes: &Notes, rng: &mut fastrand::Rng) -> Vec<Client> {
    let mut clients = Vec::new();
    let add = |work: Work, rng: &mut fastrand::Rng| {
        let how = How::Stream(rng.usize(1..=9));
        Client::new(work, how, notes.clone(), rng.u64(..))
    };
    let meddler =
        |what, rng: &mut fastrand::Rng| Meddler::new(what, Duration::from_millis(rng.u64(..60)));
    for (name, target) in [("held", PLAIN), ("held-too", SAFE)] {
        let work = Work::mixed(name, target, 20, rng);
        clients.push(add(work, rng).with(meddler(What::Hold, rng)));
    }
    for (name, target) in [("cancelled", PLAIN), ("cancelled-too", SAFE)] {
        let work = Work::mixed(name, target, 20, rng).under(Terms::default(), STOPPED);
        clients.push(add(work, rng).with(meddler(What::Cancel, rng)));
    }
    let work = Work::mixed("target-held", SAFE, 10, rng);
    clients.push(add(work, rng).with(meddler(What::HoldTarget(SAFE), rng)));
    for (name, target) in [("retried", PLAIN), ("retried-too", SAFE)] {
        let work = Work::of(
            name,
            target,
            [Ask::Fault, Ask::FaultOnce, Ask::Ok, Ask::Fault],
        );
        clients.push(add(work, rng).and_retries());
    }
    let stops = Terms {
        stop_after: 2,
        ..Terms::default()
    };
    let work = Work::mixed("stopped", PLAIN, 20, rng).under(stops, STOPPED);
    clients.push(add(work, rng));
    let strict = Terms {
        strict: true,
        ..Terms::default()
    };
    let asks = (0..8).map(|_| [Ask::Ok, Ask::Slow, Ask::Refuse][rng.usize(..3)]);
    // On the target that nobody holds: what is given back to the queue would be
    // passed by what is behind it.
    let work = Work::of("strict", PLAIN, asks.collect::<Vec<_>>()).under(strict, &[]);
    clients.push(add(work, rng));
    // The same work with the same keys, in two batches. Not what the target did
    // and calls a fault: that is free to be done again.
    let asks = [
        Ask::Ok,
        Ask::Slow,
        Ask::Refuse,
        Ask::Lost,
        Ask::TornSilent,
        Ask::TornHead,
    ];
    for (name, too, target) in [("keyed", "keyed-too", SAFE), ("key", "key-too", PLAIN)] {
        let asks = (0..12).map(|_| asks[rng.usize(..asks.len())]);
        let work = Work::of(name, target, asks.collect::<Vec<_>>()).with_keys();
        let work = work.under(Terms::default(), &["INVALID"]);
        clients.push(add(work.clone(), rng));
        clients.push(add(work.named(too), rng));
    }
    clients
}
