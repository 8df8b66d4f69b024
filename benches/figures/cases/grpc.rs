//! How many gRPC calls a second go out, one for each item.

use crate::cases::{RUNS, stream, streamed};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::client::{Streamed, Until};
use crate::roles::grpc::{Came, Job, METHOD};
use crate::server::{Server, TARGET};
use crate::worker::Worker;

/// How many items.
const ITEMS: usize = 60_000;

pub async fn grpc(report: &mut Report) -> anyhow::Result<()> {
    for concurrency in [10, 64, 256] {
        let (mut flowgate, mut bare, mut whole, mut cpu) = (vec![], vec![], vec![], vec![]);
        for _ in 0..RUNS {
            let mut service = Worker::start(&Role::GrpcService).await?;
            let section = format!(
                "[targets.{TARGET}]\nkind = \"grpc\"\nurl = \"http://127.0.0.1:{}\"\n\
                 grpc.method = \"{METHOD}\"\nconcurrency = {concurrency}\n",
                service.port
            );
            let server = Server::with_targets(&section).await?;
            let mut client = Worker::start(&Role::Client { port: server.port }).await?;
            let done: Streamed = streamed(&mut client, stream(ITEMS, 500, Until::Finished)).await?;
            whole.push(ITEMS as f64 / done.took_s);
            cpu.push(1e6 * server.cpu_seconds()? / ITEMS as f64);
            let came: Came = service.ask(&()).await?;
            anyhow::ensure!(came.calls == ITEMS as u64, "{} calls came", came.calls);
            flowgate.push(ITEMS as f64 / came.span_s);
            drop((server, client));
            let role = Role::GrpcDirect { port: service.port };
            let mut direct = Worker::start(&role).await?;
            let job = Job {
                calls: ITEMS,
                concurrency,
            };
            let took: f64 = direct.ask(&job).await?;
            bare.push(ITEMS as f64 / took);
        }
        let what = |what| format!("{what}, concurrency {concurrency}");
        report.add(
            Figure::new("grpc", what("calls at the service"), "items/s", flowgate)
                .against("a bare tonic client", bare.clone())
                .ratio_at_least(0.7)
                .headline("gRPC calls, one for each item, from JSON, with 10 to 256 under way"),
        );
        report.add(
            Figure::new("grpc", what("the whole way"), "items/s", whole)
                .against("a bare tonic client", bare),
        );
        let cpu = Figure::new("grpc", what("processor time of the server"), "us/item", cpu);
        report.add(cpu);
    }
    Ok(())
}
