//! How long a small batch takes while a large one is in the queue. Both are the
//! same tenant's: there are no others before there is authentication.

use std::time::Duration;

use futures_util::try_join;
use tokio::time::sleep;

use crate::cases::{came, first, stream, streamed, until};
use crate::clock::seconds;
use crate::report::{Figure, Report, spread};
use crate::roles::Role;
use crate::roles::client::{Job, Until};
use crate::roles::target::Manner;
use crate::server::{Server, TARGET};
use crate::worker::Worker;

/// Items of the large batch, and of the small one.
const LARGE: usize = 100_000;
const SMALL: usize = 10;

/// The limit, a second.
const RATE: usize = 100;

/// How often the small batch comes: so long after the one before, and each time
/// later by a fifth of a window, because what is queued goes out at the same
/// place in each.
const ROUNDS: u32 = 5;
const APART: Duration = Duration::from_millis(1_100);
const LATER: Duration = Duration::from_millis(200);

/// Within so long its first request goes out: one window, and one chunk of 50
/// at 100/s.
const FIRST_MS: f64 = 1_500.0;

/// From when the small batch was asked for to its first and to its last
/// request, in milliseconds; a value a round.
#[derive(Default)]
struct Sent {
    first: Vec<f64>,
    last: Vec<f64>,
}

pub async fn fair(report: &mut Report) -> anyhow::Result<()> {
    // Side by side: neither keeps anything busy.
    let (busy, idle) = try_join!(rounds(true), rounds(false))?;
    let longest = spread(&busy.first).most;
    let what = "10 items behind another batch's 100,000";
    let figure = |last: &str, runs| Figure::new("fair", format!("{what}: {last}"), "ms", runs);
    let idle_server = "an idle server under the same limit";
    report.add(figure("first send", busy.first).against(idle_server, idle.first));
    report.add(figure("last send", busy.last).against(idle_server, idle.last));
    report.add(figure("first send, the longest", vec![longest]).at_most(FIRST_MS));
    Ok(())
}

/// Submits the small batch time and again, behind the large one or alone.
async fn rounds(behind: bool) -> anyhow::Result<Sent> {
    let mut target = Worker::start(&Role::Target(Manner::default())).await?;
    let server = Server::start(target.port, &format!("limits = [\"{RATE}/s\"]\n")).await?;
    let role = Role::Client { port: server.port };
    let (mut small, mut large) = (Worker::start(&role).await?, Worker::start(&role).await?);
    if behind {
        streamed(&mut large, stream(LARGE, 500, Until::Accepted)).await?;
    }
    let mut sent = Sent::default();
    for round in 0..ROUNDS {
        sleep(APART + LATER * round).await;
        let path = format!("/small/{round}");
        let job = Job::Submit {
            target: TARGET.to_owned(),
            items: SMALL,
            path: path.clone(),
        };
        let asked: u64 = small.ask(&job).await?;
        until(async || Ok(came(&mut target, &path, RATE).await?.requests == SMALL)).await?;
        let at = first(&mut target, &path).await?.unwrap_or(u64::MAX);
        let first = seconds(at - asked);
        let last = first + came(&mut target, &path, RATE).await?.span_s;
        sent.first.push(1e3 * first);
        sent.last.push(1e3 * last);
    }
    Ok(sent)
}
