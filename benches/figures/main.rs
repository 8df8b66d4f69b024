//! What Flowgate costs, and how well it uses a rate: each figure beside a limit
//! that was measured in the same run, on the same machine.
//!
//! `cargo bench` measures all, and writes what `publish.rs` says; `cargo bench --
//! NAME` measures the cases whose name contains NAME, and only prints; `-- --render`
//! measures nothing, and writes the pages anew. The server is the real program on a real SQLite store; the
//! server, the client and the target are processes of their own. A goal that is
//! missed is said, and fails nothing: how fast a machine is decides no test.
//! Linux only: memory and processor time are read from `/proc`.

mod cases;
mod clock;
mod figure;
mod pages;
mod pictures;
mod process;
mod publish;
mod report;
mod roles;
mod server;
mod svg;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::time::{Instant, timeout};

use report::Report;
use roles::Role;
use worker::WORKER;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A case that takes longer is given up.
const PATIENCE: Duration = Duration::from_mins(4);

/// What measures one thing, and reports it.
type Measure = for<'r> fn(&'r mut Report) -> LocalBoxFuture<'r, anyhow::Result<()>>;

/// Every case: its name, what it is about, what measures it.
const CASES: [(&str, &str, Measure); 16] = [
    (
        "accept",
        "items of 200 bytes made durable through BatchSubmitStream, on 4 streams",
        |r| cases::accept::accept(r).boxed_local(),
    ),
    (
        "whole-way",
        "accepted, dispatched, settled, streamed back",
        |r| cases::whole::at_once(r).boxed_local(),
    ),
    (
        "durable",
        "what keeping costs: with the store on disk, and with one in memory",
        |r| cases::durable::durable(r).boxed_local(),
    ),
    (
        "dispatch",
        "one HTTP request an item, to a target that answers at once",
        |r| cases::dispatch::dispatch(r).boxed_local(),
    ),
    (
        "grpc",
        "one gRPC call an item, from JSON, to a service that answers at once",
        |r| cases::grpc::grpc(r).boxed_local(),
    ),
    (
        "postgres",
        "rows made in a PostgreSQL table, beside a hand-written UNNEST loop",
        |r| cases::postgres::postgres(r).boxed_local(),
    ),
    (
        "rate",
        "use of a rate, to a target that answers within 5 ms, or in 50 or 200",
        |r| cases::rate::rate(r).boxed_local(),
    ),
    (
        "http_batch",
        "50 items a request, to a target that takes 5 ms a request",
        |r| cases::http_batch::http_batch(r).boxed_local(),
    ),
    (
        "guests",
        "500 records through an API that takes 100 a second",
        |r| cases::guests::guests(r).boxed_local(),
    ),
    (
        "latency",
        "from the target's reply to the result at the client",
        |r| cases::latency::latency(r).boxed_local(),
    ),
    (
        "as-they-come",
        "a chunk of 50 of which one item takes 5 s",
        |r| cases::latency::as_they_come(r).boxed_local(),
    ),
    (
        "queued",
        "memory and start with 1,000,000 items of 200 bytes in the queue",
        |r| cases::queued::queued(r).boxed_local(),
    ),
    (
        "fair",
        "10 items behind another batch's 100,000, at 100/s",
        |r| cases::fair::fair(r).boxed_local(),
    ),
    (
        "growth-at-once",
        "processor time of the server and speed as work grows, without a target",
        |r| cases::growth::at_once(r).boxed_local(),
    ),
    (
        "growth-http",
        "processor time of the server and speed as work grows, over HTTP",
        |r| cases::growth::http(r).boxed_local(),
    ),
    (
        "frames-of-one",
        "100,000 items in frames of one, over HTTP",
        |r| cases::growth::frames_of_one(r).boxed_local(),
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ran = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let ran = match arguments.as_slice() {
            [flag, role] if flag == WORKER => runtime.block_on(play(role)),
            arguments => runtime.block_on(measure(arguments)),
        };
        // A worker's read of stdin would hold it.
        runtime.shutdown_background();
        ran
    });
    match ran {
        Ok(status) => status,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(role: &str) -> anyhow::Result<ExitCode> {
    let role: Role = serde_json::from_str(role)?;
    role.play().await?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(arguments: &[String]) -> anyhow::Result<ExitCode> {
    // Cargo says `--bench`, unless it is testing: then there is nothing to do.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return Ok(ExitCode::SUCCESS);
    }
    if arguments.iter().any(|argument| argument == "--render") {
        publish::again()?;
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let began = Instant::now();
    let mut report = Report::default();
    for (name, about, measure) in CASES {
        if wanted.is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        report.begin(name, about);
        let case_began = Instant::now();
        // What the case has started ends with it, also when it is given up.
        match timeout(PATIENCE, measure(&mut report)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => report.failed(&format!("{error:#}")),
            Err(_) => report.failed(&format!("not done after {} s", PATIENCE.as_secs())),
        }
        println!("  took {:.0} s", case_began.elapsed().as_secs_f64());
    }
    report.sum_up(began.elapsed());
    if report.failures() > 0 {
        println!("a case failed: nothing is written");
        return Ok(ExitCode::FAILURE);
    }
    if wanted.is_none() {
        publish::publish(report.into_cases(), began.elapsed())?;
    }
    Ok(ExitCode::SUCCESS)
}
