//! Writes down a full run: `benches/results` and the README's figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;

use crate::figure::Case;
use crate::pages::{self, FOLDER, Machine, Run};

/// The run as it was measured; everything else is made from it.
const FIGURES: &str = "figures.json";

/// Writes down a run.
pub fn publish(cases: Vec<Case>, took: Duration) -> anyhow::Result<()> {
    let run = Run {
        date: Timestamp::now().strftime("%Y-%m-%d").to_string(),
        seconds: took.as_secs_f64().round(),
        machine: machine()?,
        cases,
    };
    let text = serde_json::to_string_pretty(&run)?;
    fs::create_dir_all(folder())?;
    fs::write(folder().join(FIGURES), format!("{text}\n"))?;
    again()
}

/// Makes the pages from the figures as they are written down.
pub fn again() -> anyhow::Result<()> {
    let folder = folder();
    let text = fs::read_to_string(folder.join(FIGURES))?;
    let run: Run = serde_json::from_str(&text).context("figures.json: is a value no number?")?;
    let files = pages::files(&run);
    // A picture that has no figure any more goes.
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(path)?;
        }
    }
    for (name, text) in &files {
        fs::write(folder.join(name), text)?;
    }
    let readme = root().join("README.md");
    let text = fs::read_to_string(&readme)?;
    let Some(text) = pages::with_block(&text, &pages::block(&run)) else {
        bail!("the README has no place for figures");
    };
    fs::write(readme, text)?;
    println!("written: {FOLDER} and the README's figures");
    Ok(())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn folder() -> PathBuf {
    root().join(FOLDER)
}

fn machine() -> anyhow::Result<Machine> {
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kib = field(&memory, "MemTotal").context("no MemTotal")?;
    let kib: f64 = kib.trim_end_matches(" kB").parse()?;
    // Not every architecture says.
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let processor = field(&cpus, "model name").unwrap_or("of an unknown model");
    let rustc = Command::new("rustc").arg("--version").output()?;
    let rustc = String::from_utf8(rustc.stdout)?;
    // The name and the number.
    let rustc: Vec<&str> = rustc.split_whitespace().take(2).collect();
    Ok(Machine {
        cores: std::thread::available_parallelism()?.get(),
        processor: processor.to_owned(),
        memory_gib: (kib / f64::from(1 << 20) * 10.0).round() / 10.0,
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        rustc: rustc.join(" "),
    })
}

/// The value of the first line `name: value`.
fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = fields.find(|(of, _)| of.trim() == name)?;
    Some(value.trim())
}
