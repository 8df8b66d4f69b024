//! How well the main job is done: the figures of a real `flowgate serve` on a
//! real SQLite store, between a real client and an HTTP API on loopback, each
//! beside its goal.
//!
//! `cargo bench --bench main_job` measures all, `cargo bench --bench main_job --
//! NAME` the cases whose name contains NAME. A goal that is missed is said, and
//! fails nothing: how fast a machine is decides no test. Linux only: the
//! server's memory is read from `/proc`.

mod bulk;
mod client;
mod paced;
mod prompt;
mod report;
mod server;
mod target;

use std::process::ExitCode;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::time::timeout;

use report::Report;

/// A case that takes longer is given up.
const PATIENCE: Duration = Duration::from_mins(2);

/// What measures one thing, and reports it.
type Measure = for<'r> fn(&'r mut Report) -> LocalBoxFuture<'r, anyhow::Result<()>>;

/// Every case: its name, what it is about, what measures it.
const CASES: [(&str, &str, Measure); 9] = [
    (
        "guests",
        "500 records at 100/s, in chunks of 50, each answered within 5 ms",
        |r| paced::guests(r).boxed_local(),
    ),
    ("rate-window", "5,000/s for 20 s, answered at once", |r| {
        paced::window(r).boxed_local()
    }),
    (
        "rate-window-5ms",
        "5,000/s for 20 s, answered within 5 ms",
        |r| paced::window_late(r).boxed_local(),
    ),
    (
        "rate-smooth",
        "5,000/s for 20 s, evenly spaced, answered at once",
        |r| paced::smooth(r).boxed_local(),
    ),
    (
        "million",
        "1,000,000 items of 200 bytes in frames of 500, no limit",
        |r| bulk::million(r).boxed_local(),
    ),
    (
        "frames-of-one",
        "100,000 items of 200 bytes in frames of one, no limit (a tenth of the million)",
        |r| bulk::frames_of_one(r).boxed_local(),
    ),
    (
        "fair",
        "10 items behind another batch's 100,000 at 100/s",
        |r| prompt::fair(r).boxed_local(),
    ),
    (
        "as-they-come",
        "a chunk of 50 of which one item takes 5 s",
        |r| prompt::as_they_come(r).boxed_local(),
    ),
    ("alone", "one item at a time, from one caller", |r| {
        prompt::alone(r).boxed_local()
    }),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Cargo says `--bench`, unless it is testing: then there is nothing to do.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("the runtime does not start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::default();
    for (name, about, measure) in CASES {
        if wanted.is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        println!("\n{name}: {about}");
        // What the case has started ends with it, also when it is given up.
        let measured = runtime.block_on(async { timeout(PATIENCE, measure(&mut report)).await });
        match measured {
            Ok(Ok(())) => {}
            Ok(Err(error)) => report.failed(&format!("{error:#}")),
            Err(_) => report.failed(&format!("not done after {} s", PATIENCE.as_secs())),
        }
    }
    report.end()
}
