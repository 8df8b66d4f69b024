//! What was measured, a line a figure.

use std::process::ExitCode;

/// Prints figures as they come, and counts the goals.
#[derive(Default)]
pub struct Report {
    figures: u32,
    met: u32,
    missed: u32,
    failed: u32,
}

impl Report {
    /// A figure that nothing is asked of.
    pub fn plain(&mut self, what: &str, value: f64, unit: &str) {
        self.figures += 1;
        println!("  {what:<44} {:>16}", shown(value, unit));
    }

    /// A figure that is to be no more than this.
    pub fn at_most(&mut self, what: &str, value: f64, most: f64, unit: &str) {
        self.goal(what, value, ("<=", most), unit, value <= most);
    }

    /// A figure that is to be no less than this.
    pub fn at_least(&mut self, what: &str, value: f64, least: f64, unit: &str) {
        self.goal(what, value, (">=", least), unit, value >= least);
    }

    fn goal(&mut self, what: &str, value: f64, goal: (&str, f64), unit: &str, met: bool) {
        self.figures += 1;
        *(if met { &mut self.met } else { &mut self.missed }) += 1;
        let verdict = if met { "met" } else { "MISSED" };
        let (sign, bound) = (goal.0, shown(goal.1, unit));
        let value = shown(value, unit);
        println!("  {what:<44} {value:>16}   goal {sign} {bound:<14} {verdict}");
    }

    /// The case could not be measured.
    pub fn failed(&mut self, why: &str) {
        self.failed += 1;
        println!("  FAILED: {why}");
    }

    /// Sums up. A missed goal is no failure of the bench.
    pub fn end(&self) -> ExitCode {
        let (met, missed, failed) = (self.met, self.missed, self.failed);
        println!(
            "\n{} figures; goals met: {met}, missed: {missed}; cases failed: {failed}",
            self.figures
        );
        match failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

/// Counts in groups of three digits; what is measured, with its decimals.
fn shown(value: f64, unit: &str) -> String {
    let text = match unit {
        "s" => format!("{value:.3}"),
        "ms" | "%" => format!("{value:.2}"),
        "" if value.fract() != 0.0 && value < 100.0 => format!("{value:.1}"),
        _ => grouped(&format!("{value:.0}")),
    };
    format!("{text} {unit}").trim_end().to_owned()
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
