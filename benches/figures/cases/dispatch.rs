//! How many requests a second go out, one for each item.

use crate::cases::{RUNS, stream, streamed};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::client::{Streamed, Until};
use crate::roles::direct;
use crate::roles::target::{Came, Manner, PATH, Question};
use crate::server::Server;
use crate::worker::Worker;

/// How many items.
const ITEMS: usize = 60_000;

pub async fn dispatch(report: &mut Report) -> anyhow::Result<()> {
    for concurrency in [10, 64, 256] {
        let (mut flowgate, mut bare, mut whole, mut cpu) = (vec![], vec![], vec![], vec![]);
        for _ in 0..RUNS {
            let mut target = Worker::start(&Role::Target(Manner::default())).await?;
            let settings = format!("concurrency = {concurrency}\n");
            let server = Server::start(target.port, &settings).await?;
            let mut client = Worker::start(&Role::Client { port: server.port }).await?;
            let done: Streamed = streamed(&mut client, stream(ITEMS, 500, Until::Finished)).await?;
            whole.push(ITEMS as f64 / done.took_s);
            cpu.push(1e6 * server.cpu_seconds()? / ITEMS as f64);
            let question = Question::Ledger {
                path: PATH.to_owned(),
                worth: 1,
            };
            let came: Came = target.ask(&question).await?;
            flowgate.push(ITEMS as f64 / came.span_s);
            drop((server, client));
            let mut direct = Worker::start(&Role::Direct { port: target.port }).await?;
            let job = direct::Job {
                requests: ITEMS,
                concurrency,
            };
            let took: f64 = direct.ask(&job).await?;
            bare.push(ITEMS as f64 / took);
        }
        let what = |what| format!("{what}, concurrency {concurrency}");
        report.add(
            Figure::new(
                "dispatch",
                what("requests at the target"),
                "items/s",
                flowgate,
            )
            .against("a bare client with hyper-util's pool", bare.clone())
            .ratio_at_least(0.8)
            .headline("HTTP requests, one for each item, with 10 to 256 under way")
            .at("dispatch", "Flowgate", u32::try_from(concurrency)?),
        );
        report.add(
            Figure::new("dispatch", what("the whole way"), "items/s", whole)
                .against("a bare client with hyper-util's pool", bare),
        );
        report.add(Figure::new(
            "dispatch",
            what("processor time of the server"),
            "us/item",
            cpu,
        ));
    }
    Ok(())
}
