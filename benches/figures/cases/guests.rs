//! The job that everybody has: 500 records through an API that takes 100 a
//! second; against the loop that everybody writes, and then two at once.

use futures_util::future::try_join_all;
use futures_util::try_join;

use crate::cases::{RUNS, came, stream, streamed};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::client::Until;
use crate::roles::post::{self, Posted};
use crate::roles::target::{Came, Manner, PATH};
use crate::server::Server;
use crate::worker::Worker;

/// Records of one job.
const RECORDS: usize = 500;

/// What the API takes in a second; what is beyond it, it answers with 429.
const RATE: usize = 100;

pub async fn guests(report: &mut Report) -> anyhow::Result<()> {
    let (mut one, mut one_loop) = (Vec::new(), Vec::new());
    let (mut two, mut two_loops) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        // Side by side: each has an API of its own, and all of them together
        // keep nothing busy.
        let ran = try_join!(batches(1), loops(1), batches(2), loops(2))?;
        one.push(ran.0);
        one_loop.push(ran.1);
        two.push(ran.2);
        two_loops.push(ran.3);
    }
    let figure = |what: &str, unit, runs| Figure::new("guests", what, unit, runs);
    report.add(
        figure("500 records at 100/s: first send to last", "s", spans(&one))
            .against("the loop from the blog posts", spans(&one_loop))
            .at_most(4.2)
            .headline("500 records through an API that takes 100/s: first send to last")
            .at("guests", "Flowgate", "one job")
            .limits_as(&["the loop from the blog posts"]),
    );
    report.add(
        figure(
            "two such jobs at once: first send to last",
            "s",
            spans(&two),
        )
        .against("1,000 records at 100/s", vec![10.0; RUNS])
        .against("two such loops", spans(&two_loops))
        .at("guests", "Flowgate", "two jobs at once")
        .limits_as(&["", "the loop from the blog posts"]),
    );
    report.add(
        figure(
            "two such jobs at once: turned away with 429",
            "records",
            turned_away(&two),
        )
        .against("two such loops, which lose them", turned_away(&two_loops))
        .headline("two such jobs at once: records refused with 429")
        .at("guests", "Flowgate", "two jobs at once")
        .limits_as(&["the loop from the blog posts"]),
    );
    let all = || one.iter().chain(&two);
    let busiest = all().map(|came| came.busiest).max().unwrap_or_default();
    let what = "the busiest sliding second of all runs";
    report.add(figure(what, "requests", vec![busiest as f64]).at_most(RATE as f64));
    let away: usize = all().map(|came| came.turned_away).sum();
    let what = "turned away with 429 in all runs";
    report.add(figure(what, "records", vec![away as f64]).at_most(0.0));
    Ok(())
}

fn spans(all: &[Came]) -> Vec<f64> {
    all.iter().map(|came| came.span_s).collect()
}

fn turned_away(all: &[Came]) -> Vec<f64> {
    all.iter().map(|came| came.turned_away as f64).collect()
}

async fn api() -> anyhow::Result<Worker> {
    let manner = Manner {
        // Answers within 5 ms: a timer is late by one.
        delay_ms: 4,
        limit: Some(RATE),
        ..Manner::default()
    };
    Worker::start(&Role::Target(manner)).await
}

/// So many services submit at once, through one Flowgate.
async fn batches(services: usize) -> anyhow::Result<Came> {
    let mut api = api().await?;
    let server = Server::start(api.port, &format!("limits = [\"{RATE}/s\"]\n")).await?;
    let role = Role::Client { port: server.port };
    let mut clients = try_join_all((0..services).map(|_| Worker::start(&role))).await?;
    let jobs = clients.iter_mut();
    let jobs = jobs.map(|client| streamed(client, stream(RECORDS, 500, Until::Finished)));
    // It fails where a record does.
    try_join_all(jobs).await?;
    came(&mut api, PATH, RATE).await
}

/// So many services run the loop at once.
async fn loops(services: usize) -> anyhow::Result<Came> {
    let mut api = api().await?;
    let role = Role::Post { port: api.port };
    let mut loops = try_join_all((0..services).map(|_| Worker::start(&role))).await?;
    let job = post::Job { records: RECORDS };
    let posted: Vec<Posted> = try_join_all(loops.iter_mut().map(|l| l.ask(&job))).await?;
    let came = came(&mut api, PATH, RATE).await?;
    let lost: usize = posted.iter().map(|posted| posted.throttled).sum();
    let done: usize = posted.iter().map(|posted| posted.succeeded).sum();
    anyhow::ensure!(
        lost == came.turned_away && lost + done == services * RECORDS,
        "the loops and the API do not agree: {lost} lost, {done} done, {came:?}"
    );
    Ok(came)
}
