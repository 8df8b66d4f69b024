//! What is measured.

pub mod accept;
pub mod dispatch;
pub mod durable;
pub mod fair;
pub mod growth;
pub mod grpc;
pub mod guests;
pub mod http_batch;
pub mod latency;
pub mod postgres;
pub mod queued;
pub mod rate;
pub mod whole;

use std::time::Duration;

use anyhow::Context;
use tokio::time::{sleep, timeout};

use crate::roles::Role;
use crate::roles::client::{Form, Job, Stream, Streamed, Until};
use crate::roles::target::{Came, Manner, Question};
use crate::server::TARGET;
use crate::worker::Worker;

/// How often a measurement is taken, unless it is long: the least that has a
/// median and a spread.
pub const RUNS: usize = 3;

/// Bytes of a MB, in which memory is told.
pub const MB: f64 = 1e6;

/// Settings that hold a queue back, in front of a [`silent`] target: one request
/// goes out and no other. (A limit that holds as much back, say one request a
/// day, would make each item a chunk of its own.)
pub const HELD: &str = "concurrency = 1\ntimeout = \"1h\"\n";

/// A target that takes an hour to answer.
pub async fn silent() -> anyhow::Result<Worker> {
    let manner = Manner {
        delay_ms: 3_600_000,
        ..Manner::default()
    };
    Worker::start(&Role::Target(manner)).await
}

/// Items on one stream to the case's only target.
pub fn stream(items: usize, frame: usize, until: Until) -> Stream {
    Stream {
        target: TARGET.to_owned(),
        batches: 1,
        items,
        frame,
        form: Form::JsonText,
        until,
        first_path: String::new(),
        per_s: None,
    }
}

/// Has a client fill batches, and waits for them.
pub async fn streamed(client: &mut Worker, job: Stream) -> anyhow::Result<Streamed> {
    client.ask(&Job::Stream(job)).await
}

/// What came to a target's path, beside a limit of so many a second.
pub async fn came(target: &mut Worker, path: &str, worth: usize) -> anyhow::Result<Came> {
    let path = path.to_owned();
    target.ask(&Question::Ledger { path, worth }).await
}

/// When a target's path was first asked for, in nanoseconds, if it was.
pub async fn first(target: &mut Worker, path: &str) -> anyhow::Result<Option<u64>> {
    let path = path.to_owned();
    target.ask(&Question::First { path }).await
}

/// What so large a share of some values does not exceed.
pub fn percentile(values: &[f64], share: f64) -> anyhow::Result<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    // The nearest rank: with 500 values, the 495th is that of 99 %.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among values that are in memory"
    )]
    let rank = (share * values.len() as f64).ceil() as usize;
    let value = sorted.get(rank.saturating_sub(1));
    value.copied().context("nothing was measured")
}

/// Waits until something has happened: looks often, and not for ever.
pub async fn until(mut has: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_millis(1);
    const PATIENCE: Duration = Duration::from_secs(20);
    let look = async {
        while !has().await? {
            sleep(LOOK).await;
        }
        Ok(())
    };
    let looked = timeout(PATIENCE, look).await;
    looked.context("waited for what did not happen")?
}
