//! What the system says of a process: its memory and its processor time.

use std::fs::read_to_string;

use anyhow::{Context, bail};

/// Its memory that is resident now, and the most that ever was, in bytes.
pub fn memory(pid: u32) -> anyhow::Result<(f64, f64)> {
    let status = read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|text| text.trim().strip_suffix(" kB"));
        let kib: f64 = kib.with_context(|| format!("no {name}"))?.trim().parse()?;
        anyhow::Ok(kib * 1024.0)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// Seconds of a processor that it has used.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name, which may hold anything: user and system time are the
    // 12th and the 13th, in hundredths.
    let (_, rest) = stat.rsplit_once(')').context("no name")?;
    let ticks: Vec<f64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    if ticks.len() < 2 {
        bail!("no times");
    }
    Ok((ticks[0] + ticks[1]) / 100.0)
}

/// How many files this process, and so each that it starts, may have open.
pub fn open_files() -> anyhow::Result<usize> {
    let limits = read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft.context("no limit of open files")? {
        "unlimited" => Ok(usize::MAX),
        number => Ok(number.parse()?),
    }
}
