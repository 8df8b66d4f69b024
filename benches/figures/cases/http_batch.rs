//! What many items a request are worth, where a request takes its time.

use crate::cases::{RUNS, stream, streamed};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::client::Until;
use crate::roles::target::{Manner, PATH};
use crate::server::{Server, TARGET};
use crate::worker::Worker;

/// How long the target takes for a request, whatever it carries.
const DELAY_MS: u64 = 5;

/// Items of a request.
const TOGETHER: usize = 50;

pub async fn http_batch(report: &mut Report) -> anyhow::Result<()> {
    for concurrency in [4, 16] {
        let (mut batch, mut each, mut cpu) = (vec![], vec![], vec![]);
        for _ in 0..RUNS {
            // Enough for three seconds or so of each.
            let (rate, cost) = measure(true, concurrency, 20_000 * concurrency).await?;
            batch.push(rate);
            cpu.push(cost);
            each.push(measure(false, concurrency, 500 * concurrency).await?.0);
        }
        let what = |what| format!("{what}, concurrency {concurrency}");
        report.add(
            Figure::new("http_batch", what("50 items a request"), "items/s", batch)
                .against("`http`, an item a request, at the same concurrency", each)
                .ratio_at_least(20.0)
                .headline("`http_batch` with 50 a request, to a target that takes 5 ms a request"),
        );
        report.add(Figure::new(
            "http_batch",
            what("processor time of the server"),
            "us/item",
            cpu,
        ));
    }
    Ok(())
}

/// Items a second, and microseconds of the server's processor for each.
async fn measure(is_batch: bool, concurrency: usize, items: usize) -> anyhow::Result<(f64, f64)> {
    let manner = Manner {
        delay_ms: DELAY_MS,
        answers_each: is_batch,
        ..Manner::default()
    };
    let target = Worker::start(&Role::Target(manner)).await?;
    let kind = match is_batch {
        true => format!("kind = \"http_batch\"\nbatch.max_items = {TOGETHER}\n"),
        false => "kind = \"http\"\n".to_owned(),
    };
    let section = format!(
        "[targets.{TARGET}]\nurl = \"http://127.0.0.1:{}\"\npath = \"{PATH}\"\n\
         concurrency = {concurrency}\n{kind}",
        target.port
    );
    let server = Server::with_targets(&section).await?;
    let mut client = Worker::start(&Role::Client { port: server.port }).await?;
    let done = streamed(&mut client, stream(items, 500, Until::Finished)).await?;
    let cost = 1e6 * server.cpu_seconds()? / items as f64;
    Ok((items as f64 / done.took_s, cost))
}
