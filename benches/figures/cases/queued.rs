//! A million items in the queue: the memory that they take, and a start with
//! them.

use std::time::Duration;

use tokio::time::sleep;

use crate::cases::{HELD, MB, RUNS, first, silent, stream, streamed, until};
use crate::clock::{now_ns, seconds};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::client::{ITEM_BYTES, Stream, Until};
use crate::roles::target::{PATH, Question};
use crate::server::Server;
use crate::worker::Worker;

const ITEMS: usize = 1_000_000;

/// Services that fill the queue.
const STREAMS: usize = 4;

/// For the memory to come to rest.
const REST: Duration = Duration::from_secs(1);

/// What is asked of the memory, in MB, and for each item in payloads; and of
/// the start, in seconds.
const MEMORY_MB: f64 = 300.0;
const TIMES_PAYLOAD: f64 = 2.0;
const START_S: f64 = 5.0;

pub async fn queued(report: &mut Report) -> anyhow::Result<()> {
    let mut target = silent().await?;
    let mut started = Vec::new();
    for _ in 0..RUNS {
        started.push(Server::start(target.port, HELD).await?.started_in_s);
    }
    let what = "until it serves, without a store";
    report.add(Figure::new("start", what, "s", started));
    let server = Server::start(target.port, HELD).await?;
    sleep(REST).await;
    let (idle, _) = server.memory()?;
    fill(server.port).await?;
    sleep(REST).await;
    let (resident, peak) = server.memory()?;
    let figure = |case, what: &str, unit, value| Figure::new(case, what, unit, vec![value]);
    report.add(figure("memory", "an idle server", "MB", idle / MB));
    for (what, memory) in [
        ("1,000,000 queued: resident", resident),
        ("1,000,000 coming in: peak", peak),
    ] {
        report.add(figure("memory", what, "MB", memory / MB).at_most(MEMORY_MB));
        let what = format!("{what}, an item, beyond an idle server");
        let beyond = (memory - idle) / ITEMS as f64;
        report.add(
            figure("memory", &what, "bytes", beyond)
                .against("its payload", vec![ITEM_BYTES as f64])
                .ratio_at_most(TIMES_PAYLOAD),
        );
    }
    again(report, server, &mut target).await
}

async fn fill(port: u16) -> anyhow::Result<()> {
    let mut client = Worker::start(&Role::Client { port }).await?;
    let job = Stream {
        batches: STREAMS,
        ..stream(ITEMS / STREAMS, 500, Until::Accepted)
    };
    streamed(&mut client, job).await?;
    Ok(())
}

/// Kills it and starts it again, with what is queued.
async fn again(report: &mut Report, server: Server, target: &mut Worker) -> anyhow::Result<()> {
    let mut server = server;
    let (mut to_serve, mut to_send, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let () = target.ask(&Question::Forget).await?;
        let began = now_ns();
        server = server.killed_and_started().await?;
        to_serve.push(server.started_in_s);
        until(async || Ok(first(target, PATH).await?.is_some())).await?;
        let sent = first(target, PATH).await?.unwrap_or(u64::MAX);
        to_send.push(seconds(sent - began));
        sleep(REST).await;
        memory.push(server.memory()?.1 / MB);
    }
    let what = "killed, with 1,000,000 queued: until it serves";
    report.add(Figure::new("start", what, "s", to_serve).at_most(START_S));
    let what = "killed, with 1,000,000 queued: until it sends";
    report.add(Figure::new("start", what, "s", to_send).at_most(START_S));
    let what = "killed and started with 1,000,000 queued: peak";
    report.add(Figure::new("memory", what, "MB", memory).at_most(MEMORY_MB));
    Ok(())
}
