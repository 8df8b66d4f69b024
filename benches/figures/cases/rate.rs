//! How much of a rate is used, and that no second holds more than it.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use crate::cases::{RUNS, came, stream, streamed};
use crate::process;
use crate::report::{Figure, Report, shown};
use crate::roles::Role;
use crate::roles::client::{Stream, Until};
use crate::roles::target::{Came, Manner};
use crate::server::{Server, section};
use crate::worker::Worker;

/// Requests a second.
const RATES: [usize; 4] = [100, 1_000, 5_000, 20_000];

/// What is asked of the rate's use where answers come within 5 ms.
const USE: f64 = 0.99;

/// A slot is held until the answer, and so long at most: the default.
const TRANSIT_MS: u64 = 50;

/// How a rate is kept, and how slow the target is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Setting {
    rate: usize,
    /// Within so long it answers.
    answer_ms: u64,
    pace: &'static str,
}

/// What a setting came to, in one run.
struct Ran {
    came: Came,
    /// Processor time of the server, a request; of those that had it for
    /// themselves.
    cpu_us: Option<f64>,
}

/// Settings that are measured side by side, so many times.
struct Group {
    settings: Vec<Setting>,
    runs: usize,
}

impl Setting {
    const fn new(rate: usize, pace: &'static str, answer_ms: u64) -> Setting {
        Setting {
            rate,
            answer_ms,
            pace,
        }
    }

    /// What keeps the rate up for long enough, after a first second in which
    /// nothing is full yet.
    fn items(self) -> usize {
        let seconds = if self.rate == 100 { 8 } else { 5 };
        (seconds + 1) * self.rate
    }

    fn is_slow(self) -> bool {
        self.answer_ms > 5
    }

    /// Where slow answers at this rate need more requests under way than are
    /// allowed unless it is said: a fifth more than it takes on average.
    fn concurrency(self) -> Option<usize> {
        let under_way = usize::try_from(self.answer_ms).ok()? * self.rate / 1_000;
        let concurrency = under_way + under_way / 5;
        (concurrency > 256).then_some(concurrency)
    }

    fn name(self) -> String {
        let Setting {
            rate,
            pace,
            answer_ms,
        } = self;
        let rate = shown(rate as f64, "");
        let name = match self.is_slow() {
            false => format!("{rate}/s {pace}"),
            true => format!("{rate}/s {pace}, answers of {answer_ms} ms"),
        };
        match self.concurrency() {
            Some(most) => format!("{name}, concurrency {}", shown(most as f64, "")),
            None => name,
        }
    }

    /// What its target is called, and its path.
    fn target(self) -> String {
        format!("{}-{}-{}", self.pace, self.rate, self.answer_ms)
    }

    fn section(self, port: u16) -> String {
        let name = self.target();
        let mut settings = format!("limits = [\"{}/s\"]\npace = \"{}\"\n", self.rate, self.pace);
        if let Some(concurrency) = self.concurrency() {
            settings = format!("{settings}concurrency = {concurrency}\n");
        }
        section(&name, port, &format!("/{name}"), &settings)
    }

    /// The most that this pace allows, where each slot is held until the
    /// answer.
    fn ceiling(self) -> f64 {
        let held_ms = self.answer_ms.min(TRANSIT_MS);
        self.rate as f64 / (1.0 + held_ms as f64 / 1e3)
    }
}

pub async fn rate(report: &mut Report) -> anyhow::Result<()> {
    for rate in RATES {
        let groups = groups(rate)?;
        let mut all: BTreeMap<Setting, Vec<Ran>> = BTreeMap::new();
        for run in 0..RUNS {
            for group in groups.iter().filter(|group| run < group.runs) {
                let ran = side_by_side(&group.settings).await?;
                for (setting, ran) in group.settings.iter().zip(ran) {
                    all.entry(*setting).or_default().push(ran);
                }
            }
        }
        told(report, rate, &all);
    }
    Ok(())
}

/// What is measured at a rate: side by side as long as that keeps nothing
/// busy; and what has no goal once, where it cannot be.
fn groups(rate: usize) -> anyhow::Result<Vec<Group>> {
    let window = |answer_ms| Setting::new(rate, "window", answer_ms);
    let (fast, slow) = (window(5), [window(50), window(200)]);
    let smooth = Setting::new(rate, "smooth", 5);
    let windows = || slow.into_iter().chain([fast]);
    let group = |settings: Vec<Setting>, runs| Group { settings, runs };
    Ok(match rate {
        100 => vec![group(windows().chain([smooth]).collect(), RUNS)],
        1_000 => vec![group(windows().collect(), RUNS), group(vec![smooth], RUNS)],
        _ => {
            let mut groups = vec![group(vec![fast], RUNS), group(vec![smooth], RUNS)];
            for setting in slow {
                // Both ends of a connection are files, each in its process.
                let files = setting.concurrency().unwrap_or_default() + 100;
                if files <= process::open_files()? {
                    groups.push(group(vec![setting], 1));
                } else {
                    println!("  not measured: {} takes {files} files", setting.name());
                }
            }
            groups
        }
    })
}

/// Keeps up several rates at once, each with a target and a client of its own.
async fn side_by_side(settings: &[Setting]) -> anyhow::Result<Vec<Ran>> {
    let mut targets = Vec::new();
    let mut sections = String::new();
    for setting in settings {
        let manner = Manner {
            // A timer is late by one.
            delay_ms: setting.answer_ms - 1,
            ..Manner::default()
        };
        let target = Worker::start(&Role::Target(manner)).await?;
        sections.push_str(&setting.section(target.port));
        targets.push(target);
    }
    let server = Server::with_targets(&sections).await?;
    let filled = settings.iter().map(|&setting| async move {
        let mut client = Worker::start(&Role::Client { port: server.port }).await?;
        let job = Stream {
            target: setting.target(),
            ..stream(setting.items(), 500, Until::Finished)
        };
        streamed(&mut client, job).await
    });
    try_join_all(filled).await?;
    let cpu_s = server.cpu_seconds()?;
    let mut ran = Vec::new();
    for (setting, target) in settings.iter().zip(&mut targets) {
        let path = format!("/{}", setting.target());
        let alone = settings.len() == 1;
        ran.push(Ran {
            came: came(target, &path, setting.rate).await?,
            cpu_us: alone.then(|| 1e6 * cpu_s / setting.items() as f64),
        });
    }
    Ok(ran)
}

/// Reports all settings of a rate.
fn told(report: &mut Report, rate: usize, all: &BTreeMap<Setting, Vec<Ran>>) {
    for (setting, runs) in all {
        let used = runs.iter().map(|ran| ran.came.rate.unwrap_or(f64::NAN));
        let figure = Figure::new("rate", setting.name(), "requests/s", used.collect())
            .against("the rate", vec![rate as f64; runs.len()]);
        report.add(match setting.is_slow() {
            false => figure
                .ratio_at_least(USE)
                .headline("use of a rate from 100/s to 20,000/s, answers within 5 ms")
                .at(
                    "rate",
                    setting.pace,
                    u32::try_from(rate).unwrap_or(u32::MAX),
                ),
            true => figure.against(
                "what is left where a slot is held until the answer",
                vec![setting.ceiling(); runs.len()],
            ),
        });
    }
    let fast = || all.iter().filter(|(setting, _)| !setting.is_slow());
    for (setting, runs) in fast() {
        let cpu: Option<Vec<f64>> = runs.iter().map(|ran| ran.cpu_us).collect();
        if let Some(cpu) = cpu {
            let what = format!("{}: processor time of the server", setting.name());
            report.add(Figure::new("rate", what, "us/item", cpu));
        }
    }
    let per_second = shown(rate as f64, "");
    let answers = fast().flat_map(|(_, runs)| runs.iter().map(|ran| ran.came.answer_ms));
    let what = format!("{per_second}/s: an answer within 5 ms took, on average");
    report.add(Figure::new("rate", what, "ms", answers.collect()));
    // One run that is over is one too many.
    let busiest = all.values().flatten().map(|ran| ran.came.busiest).max();
    let busiest = busiest.unwrap_or_default() as f64;
    let what = format!("{per_second}/s: the busiest sliding second of all runs");
    let figure = Figure::new("rate", what, "requests", vec![busiest]);
    let headline = format!("the busiest sliding second at {per_second}/s, as the target saw it");
    report.add(figure.at_most(rate as f64).headline(&headline));
    for (setting, runs) in all {
        let over = runs.iter().map(|ran| ran.came.busiest);
        for busiest in over.filter(|busiest| *busiest > rate) {
            println!("      {busiest} in one run of {}", setting.name());
        }
    }
}
