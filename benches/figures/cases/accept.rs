//! How many items a second are made durable.

use crate::cases::{HELD, RUNS, silent, stream, streamed};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::client::{Form, ITEM_BYTES, Stream, Until};
use crate::roles::echo::Says;
use crate::roles::sqlite::{Job, Written};
use crate::server::Server;
use crate::worker::Worker;

/// What a full chunk holds.
const CHUNK_ITEMS: usize = 50;

/// Streams at once: services that submit.
const STREAMS: usize = 4;

pub async fn accept(report: &mut Report) -> anyhow::Result<()> {
    for (form, name) in [
        (Form::Raw, "raw"),
        (Form::JsonText, "json_text"),
        (Form::Json, "json"),
    ] {
        for frame in [1, 50, 500] {
            let items = match (form, frame) {
                (_, 1) => 25_000,
                (Form::Json, _) => 50_000,
                _ => 150_000,
            };
            let (mut flowgate, mut bare, mut disk) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..RUNS {
                let stream = Stream {
                    batches: STREAMS,
                    form,
                    ..stream(items, frame, Until::Accepted)
                };
                let total = (STREAMS * items) as f64;
                let target = silent().await?;
                let server = Server::start(target.port, HELD).await?;
                flowgate.push(total / fill(server.port, &stream).await?);
                let echo = Worker::start(&Role::Echo(Says::Accepted)).await?;
                bare.push(total / fill(echo.port, &stream).await?);
                disk.push(total / written(STREAMS * items).await?);
            }
            let what = format!("{name}, frames of {frame}");
            let tonic = format!("bare tonic, {name} (keeps nothing)");
            let mut figure = Figure::new("accept", what, "items/s", flowgate)
                .against("the bare loop that writes to SQLite", disk)
                .against("bare tonic, which keeps nothing", bare)
                .at("accept", name, u32::try_from(frame)?)
                .limits_as(&["bare SQLite loop", &tonic]);
            if form == Form::Raw && frame == 50 {
                figure = figure
                    .ratio_at_least(0.7)
                    .headline("items of 200 bytes made durable, raw, in frames of 50");
            }
            report.add(figure);
        }
    }
    Ok(())
}

async fn fill(port: u16, stream: &Stream) -> anyhow::Result<f64> {
    let mut client = Worker::start(&Role::Client { port }).await?;
    Ok(streamed(&mut client, stream.clone()).await?.took_s)
}

async fn written(items: usize) -> anyhow::Result<f64> {
    let mut disk = Worker::start(&Role::Sqlite).await?;
    let job = Job {
        chunks: u32::try_from(items / CHUNK_ITEMS)?,
        items_bytes: CHUNK_ITEMS * ITEM_BYTES,
        results_bytes: None,
    };
    Ok(disk.ask::<Written>(&job).await?.took_s)
}
