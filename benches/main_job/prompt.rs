//! How soon somebody is served, and told.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client;
use crate::report::Report;
use crate::server::Server;
use crate::target::{Manner, SLOW, SLOW_PATH, Target};

/// How often the bench looks whether something has happened.
const LOOK: Duration = Duration::from_millis(1);

/// How often the small batch is submitted behind the large one.
const ROUNDS: usize = 5;

/// How many calls the lone caller makes.
const CALLS: usize = 500;

pub async fn fair(report: &mut Report) -> anyhow::Result<()> {
    let target = Target::start(Manner::default())?;
    let server = Server::start(&target, r#"limits = ["100/s"]"#).await?;
    let channel = server.channel.clone();
    // It ends with the case, long before its batch.
    let large = tokio::spawn(async move {
        let items = (0..100_000).map(client::item);
        client::stream(&channel, items, 500).await
    });
    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        // Each at another place within a window.
        let wanted = 130 * (round + 1);
        while target.requests() < wanted && !large.is_finished() {
            sleep(LOOK).await;
        }
        let path = format!("/small/{round}");
        let items = (0..10).map(|n| client::item_to(&path, n)).collect();
        let began = Instant::now();
        client::submit(&server.channel, items, false).await?;
        let first = loop {
            match target.first_at(&path) {
                Some(first) => break first,
                None => sleep(LOOK).await,
            }
        };
        longest = longest.max(first - began);
    }
    large.abort();
    let what = format!("until the first request, longest of {ROUNDS}");
    // One window, and one chunk of 50 at 100/s.
    report.at_most(&what, longest.as_secs_f64(), 1.5, "s");
    Ok(())
}

pub async fn as_they_come(report: &mut Report) -> anyhow::Result<()> {
    let target = Target::start(Manner::default())?;
    let server = Server::start(&target, "").await?;
    let first = client::item_to(SLOW_PATH, 0);
    let items = std::iter::once(first).chain((1..50).map(client::item));
    let done = client::stream(&server.channel, items, 50).await?;
    let when = |wanted: usize| {
        let mut told = 0;
        let mut arrivals = done.arrivals.iter();
        let arrival = arrivals.find(|(_, results)| {
            told += results;
            told >= wanted
        });
        arrival.map_or(f64::INFINITY, |(at, _)| at.as_secs_f64())
    };
    report.at_most("until the 49th result", when(49), SLOW.as_secs_f64(), "s");
    report.plain("until the 50th, of the slow item", when(50), "s");
    Ok(())
}

pub async fn alone(report: &mut Report) -> anyhow::Result<()> {
    let target = Target::start(Manner::default())?;
    let server = Server::start(&target, "").await?;
    let mut times = Vec::new();
    for number in 0..CALLS {
        let began = Instant::now();
        client::submit(&server.channel, vec![client::item(number)], true).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let ms = |time: Duration| 1e3 * time.as_secs_f64();
    report.plain("a call, median", ms(times[CALLS / 2]), "ms");
    report.plain("a call, 99 of 100", ms(times[CALLS * 99 / 100]), "ms");
    Ok(())
}
