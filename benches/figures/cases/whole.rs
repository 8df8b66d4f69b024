//! The whole way: accepted, dispatched, settled, streamed back.

use crate::cases::{RUNS, stream, streamed};
use crate::report::{Figure, Report};
use crate::roles::Role;
use crate::roles::at_once::Keeps;
use crate::roles::client::{Form, ITEM_BYTES, Stream, Until};
use crate::roles::echo::Says;
use crate::roles::sqlite::{Job, Written};
use crate::worker::Worker;

/// What a full chunk holds.
const CHUNK_ITEMS: usize = 50;

/// Bytes that one result takes in the log.
const RESULT_BYTES: usize = 40;

pub async fn at_once(report: &mut Report) -> anyhow::Result<()> {
    let items = 200_000;
    let (mut flowgate, mut bare, mut disk) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let stream = Stream {
            form: Form::Raw,
            ..stream(items, 50, Until::Finished)
        };
        let server = Worker::start(&Role::AtOnce(Keeps::OnDisk)).await?;
        flowgate.push(items as f64 / all(server.port, &stream).await?);
        drop(server);
        let echo = Worker::start(&Role::Echo(Says::Results)).await?;
        bare.push(items as f64 / all(echo.port, &stream).await?);
        let mut loop_ = Worker::start(&Role::Sqlite).await?;
        let job = Job {
            chunks: u32::try_from(items / CHUNK_ITEMS)?,
            items_bytes: CHUNK_ITEMS * ITEM_BYTES,
            results_bytes: Some(CHUNK_ITEMS * RESULT_BYTES),
        };
        disk.push(items as f64 / loop_.ask::<Written>(&job).await?.took_s);
    }
    let figure = Figure::new(
        "whole way",
        "raw, frames of 50, a target that costs nothing",
        "items/s",
        flowgate,
    )
    .against(
        "the bare loop that writes items, results and progress to SQLite",
        disk,
    )
    .against("bare tonic, which keeps nothing", bare)
    .ratio_at_least(0.5);
    report.add(figure);
    Ok(())
}

async fn all(port: u16, stream: &Stream) -> anyhow::Result<f64> {
    let mut client = Worker::start(&Role::Client { port }).await?;
    Ok(streamed(&mut client, stream.clone()).await?.took_s)
}
