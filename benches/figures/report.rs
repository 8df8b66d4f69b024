//! Prints what was measured: a figure a line, beside its limit and its goal.

use std::time::Duration;

pub use crate::figure::{Figure, shown, spread};

use crate::figure::{Case, Of, Spread};

/// Prints figures as they come, and keeps them.
#[derive(Default)]
pub struct Report {
    pub figures: Vec<Figure>,
    /// Each case's name, what it is about, and the figures before it.
    begun: Vec<(String, String, usize)>,
    failed: u32,
}

impl Report {
    /// The figures that come are of this case.
    pub fn begin(&mut self, name: &str, about: &str) {
        println!("\n{name}: {about}");
        let before = self.figures.len();
        self.begun.push((name.to_owned(), about.to_owned(), before));
    }

    /// Adds a figure.
    pub fn add(&mut self, figure: Figure) {
        print_figure(&figure);
        self.figures.push(figure);
    }

    /// A case could not be measured.
    pub fn failed(&mut self, why: &str) {
        self.failed += 1;
        println!("  FAILED: {why}");
    }

    /// Cases that could not be measured.
    pub fn failures(&self) -> u32 {
        self.failed
    }

    /// What was measured, by case.
    pub fn into_cases(mut self) -> Vec<Case> {
        let mut cases: Vec<Case> = Vec::new();
        // From the last, so that each takes what is left behind it.
        while let Some((name, about, before)) = self.begun.pop() {
            let figures = self.figures.split_off(before);
            cases.push(Case {
                name,
                about,
                figures,
            });
        }
        cases.reverse();
        cases
    }

    /// Sums up.
    pub fn sum_up(&self, took: Duration) {
        let goals = self
            .figures
            .iter()
            .filter_map(|figure| figure.goal.as_ref());
        let (met, missed): (Vec<_>, Vec<_>) = goals.partition(|goal| goal.met);
        println!(
            "\n{} figures in {:.0} s; goals met: {}, missed: {}; cases failed: {}",
            self.figures.len(),
            took.as_secs_f64(),
            met.len(),
            missed.len(),
            self.failed,
        );
    }
}

fn print_figure(figure: &Figure) {
    let Spread {
        median,
        least,
        most,
    } = figure.spread();
    let unit = figure.unit.as_str();
    let mut line = format!("  {:<52} {:>14}", figure.what, shown(median, unit));
    if figure.runs.len() > 1 {
        let ends = format!("{} to {}", shown(least, ""), shown(most, ""));
        line = format!("{line}  ({ends})");
    }
    for (at, limit) in figure.against.iter().enumerate() {
        let Some(ratio) = figure.ratio(at) else {
            continue;
        };
        let value = shown(spread(&limit.runs).median, unit);
        line = format!(
            "{line}\n      {} {}: {value}",
            share(ratio.median),
            limit.what
        );
    }
    if let Some(goal) = &figure.goal {
        let bound = match goal.of {
            Of::Value => shown(goal.bound, unit),
            Of::Ratio => format!("{:.0} %", 100.0 * goal.bound),
        };
        let sign = if goal.is_least { ">=" } else { "<=" };
        let verdict = if goal.met { "met" } else { "MISSED" };
        line = format!("{line}\n      goal {sign} {bound}: {verdict}");
    }
    println!("{line}");
}

/// A ratio: in parts of a hundred, or in times where it is large.
fn share(ratio: f64) -> String {
    if ratio < 10.0 {
        format!("{:>6.2} % of", 100.0 * ratio)
    } else {
        format!("{:>6} times", shown(ratio.round(), ""))
    }
}
