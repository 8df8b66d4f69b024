//! Rows a second in a PostgreSQL table, beside a hand-written loop.

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../../tests/support/postgres.rs"]
mod cluster;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../../tests/support/patience.rs"]
mod patience;

use anyhow::ensure;

use crate::cases::{RUNS, stream, streamed};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::client::{Stream, Until};
use crate::roles::unnest;
use crate::server::{Server, TARGET};
use crate::worker::Worker;
use cluster::Cluster;

const ROWS: usize = 200_000;
const CONCURRENCY: usize = 4;

/// Services that fill the queue.
const STREAMS: usize = 4;

const TABLE: &str = "CREATE TABLE guests (id bigserial PRIMARY KEY, \
    name text NOT NULL, email text NOT NULL, visits int NOT NULL, news bool, note text)";

pub async fn postgres(report: &mut Report) -> anyhow::Result<()> {
    // As it is installed: what is committed is on disk.
    let settings = ["fsync=on", "autovacuum=on", "max_wal_size=4GB"];
    let Some(cluster) = Cluster::with(&settings).await else {
        println!("  left out: PostgreSQL is not installed");
        return Ok(());
    };
    cluster.run_sql(TABLE).await;
    for chunk in [50, 500] {
        let (mut flowgate, mut bare, mut cpu) = (vec![], vec![], vec![]);
        for _ in 0..RUNS {
            let (rate, cost) = through_flowgate(&cluster, chunk).await?;
            flowgate.push(rate);
            cpu.push(cost);
            bare.push(by_hand(&cluster, chunk).await?);
        }
        let what = format!("rows made, the whole way, {chunk} a chunk");
        let figure = Figure::new("postgres", what, "items/s", flowgate);
        report.add(
            figure
                .against("a loop with UNNEST", bare)
                .ratio_at_least(0.6)
                .headline("rows made in PostgreSQL, 4 chunks of 50 or 500 under way"),
        );
        let what = format!("processor time of the server, {chunk} a chunk");
        report.add(Figure::new("postgres", what, "us/item", cpu));
    }
    Ok(())
}

/// Rows a second, and microseconds of a processor for each.
async fn through_flowgate(cluster: &Cluster, chunk: usize) -> anyhow::Result<(f64, f64)> {
    cluster
        .run_sql("TRUNCATE guests RESTART IDENTITY; CHECKPOINT")
        .await;
    let section = format!(
        "[targets.{TARGET}]\nkind = \"postgres\"\nurl = \"{}\"\nchunk_items = {chunk}\n\
         concurrency = {CONCURRENCY}\n[targets.{TARGET}.postgres]\ntable = \"guests\"\n",
        cluster.url()
    );
    let server = Server::with_targets(&section).await?;
    let mut client = Worker::start(&Role::Client { port: server.port }).await?;
    let job = Stream {
        batches: STREAMS,
        ..stream(ROWS / STREAMS, 500, Until::Finished)
    };
    let done = streamed(&mut client, job).await?;
    let cpu = 1e6 * server.cpu_seconds()? / ROWS as f64;
    let there = cluster.count("SELECT count(*) FROM guests").await;
    ensure!(usize::try_from(there)? == ROWS, "{there} rows are there");
    Ok((ROWS as f64 / done.took_s, cpu))
}

async fn by_hand(cluster: &Cluster, chunk: usize) -> anyhow::Result<f64> {
    cluster
        .run_sql("TRUNCATE guests RESTART IDENTITY; CHECKPOINT")
        .await;
    let folder = cluster.folder().to_owned();
    let mut worker = Worker::start(&Role::Unnest { folder }).await?;
    let job = unnest::Job {
        rows: ROWS,
        chunk,
        concurrency: CONCURRENCY,
    };
    let took: f64 = worker.ask(&job).await?;
    Ok(ROWS as f64 / took)
}
