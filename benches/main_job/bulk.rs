//! Large batches to a fast target without a limit: that they fit, and how fast
//! they go.

use crate::client;
use crate::report::Report;
use crate::server::{Server, lacks};
use crate::target::{Manner, Target};

/// Memory that the server may have, in MB.
const MEMORY_MB: f64 = 300.0;

/// What a full chunk holds.
const CHUNK_ITEMS: f64 = 50.0;

pub async fn million(report: &mut Report) -> anyhow::Result<()> {
    bulk(report, 1_000_000, 500).await
}

pub async fn frames_of_one(report: &mut Report) -> anyhow::Result<()> {
    bulk(report, 100_000, 1).await
}

async fn bulk(report: &mut Report, count: usize, frame: usize) -> anyhow::Result<()> {
    let target = Target::start(Manner::default())?;
    let server = Server::start(&target, "").await?;
    let items = (0..count).map(client::item);
    let done = client::stream(&server.channel, items, frame).await?;
    let memory = server.peak_memory_mb()?;
    report.at_most("peak memory of the server", memory, MEMORY_MB, "MB");
    let progress = done
        .batch
        .progress
        .as_ref()
        .ok_or_else(|| lacks("progress"))?;
    let chunks = f64::from(progress.chunks_finished);
    let most = 1.1 * count as f64 / CHUNK_ITEMS;
    report.at_most("chunks", chunks, most, "");
    let requests = target.requests() as f64;
    report.at_most("requests at the target", requests, count as f64, "");
    let took = done.took.as_secs_f64();
    report.plain("from the first frame to `finished`", took, "s");
    report.plain("items a second, end to end", count as f64 / took, "");
    report.plain("results told together", done.told_together(), "");
    let cpu = 1e6 * server.cpu_seconds()? / count as f64;
    report.plain("processor time of the server, an item", cpu, "us");
    Ok(())
}
