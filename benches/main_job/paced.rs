//! How close to a target's limit it comes, and that it is never over.

use std::time::Duration;

use crate::client;
use crate::report::Report;
use crate::server::Server;
use crate::target::{Manner, Target};

/// A target that answers within 5 ms: its timers are late by one or so.
const LATE: Duration = Duration::from_millis(4);

/// The high rate, in a second.
const RATE: usize = 5_000;

/// For how many seconds the high rate is kept up.
const SECONDS: usize = 20;

pub async fn guests(report: &mut Report) -> anyhow::Result<()> {
    let target = Target::start(Manner {
        delay: LATE,
        limit: Some(100),
    })?;
    let server = Server::start(&target, r#"limits = ["100/s"]"#).await?;
    client::stream(&server.channel, (0..500).map(client::item), 500).await?;
    let ledger = target.ledger();
    let span = ledger.span().as_secs_f64();
    report.at_most("from the first request to the last", span, 4.2, "s");
    let busiest = ledger.busiest() as f64;
    report.at_most("most requests in any second", busiest, 100.0, "");
    let turned_away = ledger.turned_away as f64;
    report.at_most("answers of 429", turned_away, 0.0, "");
    Ok(())
}

pub async fn window(report: &mut Report) -> anyhow::Result<()> {
    sustained(report, Duration::ZERO, "").await
}

pub async fn window_late(report: &mut Report) -> anyhow::Result<()> {
    sustained(report, LATE, "").await
}

pub async fn smooth(report: &mut Report) -> anyhow::Result<()> {
    sustained(report, Duration::ZERO, r#"pace = "smooth""#).await
}

async fn sustained(report: &mut Report, delay: Duration, pace: &str) -> anyhow::Result<()> {
    let target = Target::start(Manner { delay, limit: None })?;
    let settings = format!("limits = [\"{RATE}/s\"]\n{pace}");
    let server = Server::start(&target, &settings).await?;
    let items = (0..(SECONDS + 1) * RATE).map(client::item);
    let done = client::stream(&server.channel, items, 500).await?;
    let ledger = target.ledger();
    // A limit's worth of requests later by `SECONDS`, no request may come
    // sooner than after `SECONDS`: how much later do they come? Averaged over
    // one limit's worth, so that it does not matter how they are bunched.
    let later = &ledger.times[SECONDS * RATE..];
    let lags = ledger.times.iter().zip(later).map(|(a, b)| *b - *a);
    let mean = lags.sum::<Duration>().as_secs_f64() / later.len() as f64;
    let used = 100.0 * SECONDS as f64 / mean;
    report.at_least("use of the limit", used, 99.0, "%");
    let busiest = ledger.busiest() as f64;
    report.at_most("most requests in any second", busiest, RATE as f64, "");
    let answer = 1e3 * ledger.mean_answer().as_secs_f64();
    report.plain("an answer of the target took, on average", answer, "ms");
    report.plain("results told together", done.told_together(), "");
    let cpu = 1e6 * server.cpu_seconds()? / ledger.times.len() as f64;
    report.plain("processor time of the server, an item", cpu, "us");
    Ok(())
}
