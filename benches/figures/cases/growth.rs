//! What an item costs as work grows: in larger batches, in more of them at
//! once, in smaller frames.

use crate::cases::{MB, RUNS, came, stream, streamed};
use crate::process;
use crate::report::{Figure, Report, shown, spread};
use crate::roles::Role;
use crate::roles::at_once::Keeps;
use crate::roles::client::{Stream, Until};
use crate::roles::target::{Manner, PATH};
use crate::server::Server;
use crate::worker::Worker;

/// Items of each measurement, but for the largest batch: so many that
/// processor time, which is counted in hundredths of a second, says something.
const ITEMS: usize = 100_000;

/// Items of the largest batch; once, because it takes long.
const MILLION: usize = 1_000_000;

/// Items of the batch that all others are compared with.
const USUAL: usize = 10_000;

/// What an item of the largest batch may cost, in those of a usual one.
const GROWTH: f64 = 1.2;

/// What is asked of the memory, in MB.
const MEMORY_MB: f64 = 300.0;

/// What a full chunk holds, and how many more than that there may be for frames
/// of one.
const CHUNK_ITEMS: usize = 50;
const MORE_CHUNKS: f64 = 1.1;

/// What dispatches.
#[derive(Clone, Copy)]
enum Kind {
    /// Flowgate's rooms around a target that costs nothing.
    AtOnce,
    /// The program, and an HTTP API that answers at once.
    Http,
}

/// How items are divided.
#[derive(Clone, Copy)]
struct Work {
    /// Items of a batch.
    items: usize,
    /// Batches at once.
    at_once: usize,
    /// How often, one after the other.
    times: usize,
    /// Items of a message.
    frame: usize,
}

/// What some work came to.
struct Cost {
    /// Processor time of the server, an item.
    cpu_us: f64,
    /// Items a second.
    per_s: f64,
    /// The server's memory at its peak.
    peak_mb: f64,
    /// Results that one event told, on average.
    together: f64,
    /// Chunks that finished.
    chunks: f64,
}

/// Some work, and what it came to, run by run.
struct Measured {
    name: String,
    work: Work,
    costs: Vec<Cost>,
}

impl Work {
    /// Batches of this size, one after the other.
    fn sized(items: usize) -> Work {
        Work {
            items,
            at_once: 1,
            times: (ITEMS / items).max(1),
            frame: 500,
        }
    }

    /// So many batches at once.
    fn at_once(batches: usize) -> Work {
        Work {
            items: ITEMS / batches,
            at_once: batches,
            times: 1,
            frame: 500,
        }
    }

    fn total(self) -> usize {
        self.items * self.at_once * self.times
    }
}

impl Measured {
    fn new(name: String, work: Work) -> Measured {
        let costs = Vec::new();
        Measured { name, work, costs }
    }

    fn runs(&self, what: fn(&Cost) -> f64) -> Vec<f64> {
        self.costs.iter().map(what).collect()
    }

    fn cpu(&self) -> Figure {
        let what = format!("{}: processor time", self.name);
        Figure::new("growth", what, "us/item", self.runs(|cost| cost.cpu_us))
    }

    fn per_s(&self) -> Figure {
        let what = format!("{}: the whole way", self.name);
        Figure::new("growth", what, "items/s", self.runs(|cost| cost.per_s))
    }
}

pub async fn at_once(report: &mut Report) -> anyhow::Result<()> {
    growth(report, Kind::AtOnce, "without a target").await?;
    Ok(())
}

pub async fn http(report: &mut Report) -> anyhow::Result<()> {
    let million = growth(report, Kind::Http, "over HTTP").await?;
    peak(report, "1,000,000 items, the whole way", &million);
    let together = million.runs(|cost| cost.together);
    let what = "over HTTP: 1,000,000 items a batch: results told together";
    report.add(Figure::new("growth", what, "", together));
    Ok(())
}

pub async fn frames_of_one(report: &mut Report) -> anyhow::Result<()> {
    let work = Work {
        frame: 1,
        ..Work::sized(ITEMS)
    };
    let mut ones = Measured::new("over HTTP: 100,000 items in frames of one".to_owned(), work);
    for _ in 0..RUNS {
        ones.costs.push(cost(Kind::Http, work).await?);
    }
    report.add(ones.cpu());
    report.add(ones.per_s());
    let what = format!("{}: chunks", ones.name);
    let full = (ITEMS / CHUNK_ITEMS) as f64;
    report.add(
        Figure::new("growth", what, "", ones.runs(|cost| cost.chunks))
            .against("full chunks", vec![full; RUNS])
            .ratio_at_most(MORE_CHUNKS),
    );
    peak(
        report,
        "100,000 items in frames of one, the whole way",
        &ones,
    );
    Ok(())
}

fn peak(report: &mut Report, what: &str, measured: &Measured) {
    let what = format!("{what}: peak");
    let figure = Figure::new("memory", what, "MB", measured.runs(|cost| cost.peak_mb));
    report.add(figure.at_most(MEMORY_MB));
}

/// Measures all work of a kind; returns that of a million items.
async fn growth(report: &mut Report, kind: Kind, name: &str) -> anyhow::Result<Measured> {
    let grouped = |number: usize| shown(number as f64, "");
    let sized = |items| {
        let name = format!("{name}: {} items a batch", grouped(items));
        Measured::new(name, Work::sized(items))
    };
    let at_once = |batches| {
        let name = format!("{name}: {} batches at once", grouped(batches));
        Measured::new(name, Work::at_once(batches))
    };
    let mut usual = sized(USUAL);
    let mut others = [
        sized(1_000),
        sized(100_000),
        at_once(10),
        at_once(100),
        at_once(1_000),
    ];
    for _ in 0..RUNS {
        for measured in others.iter_mut().chain([&mut usual]) {
            measured.costs.push(cost(kind, measured.work).await?);
        }
    }
    let mut million = sized(MILLION);
    million.costs.push(cost(kind, million.work).await?);
    let cpu = usual.cpu().runs;
    let per_s = usual.per_s().runs;
    let against = format!("those of {} a batch", grouped(USUAL));
    // Drawn as a line over the size of one batch, beside a straight one.
    let straight = format!("a straight line, {name}");
    let drawn = |figure: Figure, work: Work| match work.at_once {
        1 => figure
            .at(
                "growth",
                name,
                u32::try_from(work.items).unwrap_or(u32::MAX),
            )
            .limits_as(&[&straight]),
        _ => figure,
    };
    report.add(drawn(
        usual.cpu().against(&against, cpu.clone()),
        usual.work,
    ));
    report.add(usual.per_s());
    for measured in &others {
        let figure = measured.cpu().against(&against, cpu.clone());
        report.add(drawn(figure, measured.work));
        report.add(measured.per_s().against(&against, per_s.clone()));
    }
    let cpu = million.cpu().against(&against, vec![spread(&cpu).median]);
    let headline = format!("processor time an item of 1,000,000 to one of 10,000, {name}");
    let cpu = cpu.ratio_at_most(GROWTH).headline(&headline);
    report.add(drawn(cpu, million.work));
    let per_s = vec![spread(&per_s).median];
    report.add(million.per_s().against(&against, per_s));
    Ok(million)
}

/// Does some work with a server and a store that are new.
async fn cost(kind: Kind, work: Work) -> anyhow::Result<Cost> {
    match kind {
        Kind::AtOnce => {
            let server = Worker::start(&Role::AtOnce(Keeps::OnDisk)).await?;
            cost_of(server.id()?, server.port, work).await
        }
        Kind::Http => {
            let mut target = Worker::start(&Role::Target(Manner::default())).await?;
            let server = Server::start(target.port, "").await?;
            let cost = cost_of(server.id(), server.port, work).await?;
            let requests = came(&mut target, PATH, 1).await?.requests;
            anyhow::ensure!(
                requests == work.total(),
                "{requests} requests came of {} items",
                work.total()
            );
            Ok(cost)
        }
    }
}

async fn cost_of(server: u32, port: u16, work: Work) -> anyhow::Result<Cost> {
    let mut client = Worker::start(&Role::Client { port }).await?;
    let job = Stream {
        batches: work.at_once,
        ..stream(work.items, work.frame, Until::Finished)
    };
    let before = process::cpu_seconds(server)?;
    let (mut took_s, mut events, mut chunks) = (0.0, 0, 0);
    for _ in 0..work.times {
        let seen = streamed(&mut client, job.clone()).await?;
        took_s += seen.took_s;
        events += seen.result_events;
        chunks += seen.chunks;
    }
    let total = work.total() as f64;
    Ok(Cost {
        cpu_us: 1e6 * (process::cpu_seconds(server)? - before) / total,
        per_s: total / took_s,
        peak_mb: process::memory(server)?.1 / MB,
        together: total / events as f64,
        chunks: chunks as f64,
    })
}
