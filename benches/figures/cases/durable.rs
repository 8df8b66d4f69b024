//! What it costs to keep: the same work with the store on disk, and with one in
//! memory that keeps nothing when the process dies.

use crate::cases::{HELD, RUNS, silent, stream, streamed};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::at_once::Keeps;
use crate::roles::client::{Form, Stream, Until};
use crate::server::Server;
use crate::worker::Worker;

/// Streams at once: services that submit.
const STREAMS: usize = 4;

const IN_MEMORY: &str = "the same with a store in memory";

pub async fn durable(report: &mut Report) -> anyhow::Result<()> {
    let filling = Stream {
        batches: STREAMS,
        form: Form::Raw,
        ..stream(75_000, 50, Until::Accepted)
    };
    let whole = Stream {
        form: Form::Raw,
        ..stream(200_000, 50, Until::Finished)
    };
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    let (mut kept_whole, mut lost_whole) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let target = silent().await?;
        let server = Server::start(target.port, HELD).await?;
        kept.push(per_s(server.port, &filling).await?);
        drop(server);
        let server = Server::in_memory(target.port, HELD).await?;
        lost.push(per_s(server.port, &filling).await?);
        drop(server);
        for (keeps, runs) in [
            (Keeps::OnDisk, &mut kept_whole),
            (Keeps::InMemory, &mut lost_whole),
        ] {
            let server = Worker::start(&Role::AtOnce(keeps)).await?;
            runs.push(per_s(server.port, &whole).await?);
        }
    }
    report.add(
        Figure::new("durable", "accepting, raw, frames of 50", "items/s", kept)
            .against(IN_MEMORY, lost),
    );
    let what = "accepting, sending to a target that costs nothing, settling, telling";
    report.add(Figure::new("durable", what, "items/s", kept_whole).against(IN_MEMORY, lost_whole));
    Ok(())
}

async fn per_s(port: u16, stream: &Stream) -> anyhow::Result<f64> {
    let mut client = Worker::start(&Role::Client { port }).await?;
    let items = (stream.batches * stream.items) as f64;
    Ok(items / streamed(&mut client, stream.clone()).await?.took_s)
}
