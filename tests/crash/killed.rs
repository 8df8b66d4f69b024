//! SIGKILL after so many events of a run, and again, until it is done.

use std::os::unix::process::ExitStatusExt;

use crate::client::clients;
use crate::lives::{Life, live, look_back};
use crate::site::Site;
use crate::support::patience::seeds;
use crate::support::program::serve;

/// How often a run is cut.
const CUTS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_any_point_of_a_run_and_again() {
    for seed in seeds(3, 150) {
        eprintln!("seed {seed}");
        killed_again_and_again(seed).await;
    }
}

async fn killed_again_and_again(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let site = Site::new().await;
    let mut clients = clients(&site.notes, &mut rng, 40);
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
