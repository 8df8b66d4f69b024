//! How soon a result is told.

use crate::cases::{RUNS, percentile, stream, streamed};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::client::{Called, Job, Stream, Until};
use crate::roles::sqlite::{self, Written};
use crate::roles::target::{Manner, SLOW, SLOW_PATH};
use crate::server::{Server, TARGET};
use crate::worker::Worker;

/// Calls of the lone caller.
const CALLS: usize = 500;

/// Items that show what the server can do without a limit.
const ITEMS: usize = 60_000;

/// For how long half of that is kept up.
const SECONDS: usize = 5;

/// Beyond the group commit, a result may take so long.
const BEYOND_COMMIT_MS: f64 = 10.0;

pub async fn latency(report: &mut Report) -> anyhow::Result<()> {
    let (mut calls, mut idle) = (Percentiles::default(), Percentiles::default());
    let (mut busy, mut commits) = (Percentiles::default(), Percentiles::default());
    let mut half = Vec::new();
    for _ in 0..RUNS {
        let manner = Manner {
            tells_time: true,
            ..Manner::default()
        };
        let target = Worker::start(&Role::Target(manner)).await?;
        let called = lone_caller(target.port).await?;
        calls.add(&called.times_ms)?;
        idle.add(&called.reply_to_result_ms)?;
        let items_per_s = throughput(target.port).await? / 2.0;
        half.push(items_per_s);
        busy.add(&at_rate(target.port, items_per_s).await?)?;
        let mut disk = Worker::start(&Role::Sqlite).await?;
        commits.add(&disk.ask::<Written>(&commit_job()).await?.commits_ms)?;
    }
    let figure = |what: &str, unit, runs| Figure::new("latency", what, unit, runs);
    calls.report(report, "a lone caller: one call");
    idle.report(report, "a lone caller: reply to result");
    report.add(figure("half of what goes without a limit", "items/s", half));
    busy.report(report, "at half load: reply to result");
    let commit = figure("a bare commit to SQLite, p99", "ms", commits.p99.clone());
    report.add(commit);
    for (seen, what) in [
        (&idle, "a lone caller: p99 beyond the commit"),
        (&busy, "at half load: p99 beyond the commit"),
    ] {
        let pairs = seen.p99.iter().zip(&commits.p99);
        let beyond = pairs.map(|(seen, commit)| seen - commit).collect();
        report.add(figure(what, "ms", beyond).at_most(BEYOND_COMMIT_MS));
    }
    Ok(())
}

/// What half of some values and 99 % of them do not exceed, run by run.
#[derive(Default)]
struct Percentiles {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Percentiles {
    fn add(&mut self, values: &[f64]) -> anyhow::Result<()> {
        self.p50.push(percentile(values, 0.5)?);
        self.p99.push(percentile(values, 0.99)?);
        Ok(())
    }

    fn report(&self, report: &mut Report, what: &str) {
        for (name, runs) in [("p50", &self.p50), ("p99", &self.p99)] {
            let what = format!("{what}, {name}");
            report.add(Figure::new("latency", what, "ms", runs.clone()));
        }
    }
}

async fn lone_caller(target: u16) -> anyhow::Result<Called> {
    let server = Server::start(target, "").await?;
    let mut client = Worker::start(&Role::Client { port: server.port }).await?;
    let job = Job::Call {
        target: TARGET.to_owned(),
        calls: CALLS,
    };
    client.ask(&job).await
}

/// Items a second, the whole way, where nothing holds them back.
async fn throughput(target: u16) -> anyhow::Result<f64> {
    let server = Server::start(target, "").await?;
    let mut client = Worker::start(&Role::Client { port: server.port }).await?;
    let done = streamed(&mut client, stream(ITEMS, 500, Until::Finished)).await?;
    Ok(ITEMS as f64 / done.took_s)
}

/// Times from reply to result in milliseconds, of a batch that comes and goes at
/// an even rate.
async fn at_rate(target: u16, per_second: f64) -> anyhow::Result<Vec<f64>> {
    let settings = format!("limits = [\"{per_second:.0}/s\"]\npace = \"smooth\"\n");
    let server = Server::start(target, &settings).await?;
    let mut client = Worker::start(&Role::Client { port: server.port }).await?;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "some thousands"
    )]
    let items = SECONDS * per_second as usize;
    let job = Stream {
        per_s: Some(per_second),
        ..stream(items, 50, Until::Finished)
    };
    let done = streamed(&mut client, job).await?;
    Ok(done.reply_to_result_ms)
}

/// Commits of about what a few chunks come to, as it is at that load; on a
/// machine that does nothing else, so that less is taken off than they take
/// under load.
fn commit_job() -> sqlite::Job {
    sqlite::Job {
        chunks: 64 * 500,
        items_bytes: 750,
        results_bytes: None,
    }
}

pub async fn as_they_come(report: &mut Report) -> anyhow::Result<()> {
    let target = Worker::start(&Role::Target(Manner::default())).await?;
    let server = Server::start(target.port, "").await?;
    let mut client = Worker::start(&Role::Client { port: server.port }).await?;
    let job = Stream {
        first_path: SLOW_PATH.to_owned(),
        ..stream(50, 50, Until::Finished)
    };
    let done = streamed(&mut client, job).await?;
    let slow = SLOW.as_secs_f64();
    let figure = |what: &str, runs| Figure::new("as they come", what, "s", runs);
    report.add(
        figure(
            "until 49 of 50 are told, one taking 5 s",
            vec![done.all_but_one_s],
        )
        .at_most(slow),
    );
    report.add(figure("until that one is told", vec![done.took_s]));
    Ok(())
}
