//! Where a value stands on a vertical axis, and which values are named on it.

use super::Scale;

/// A vertical axis.
pub struct Axis {
    from: f64,
    to: f64,
    is_log: bool,
    /// The values that are named.
    pub ticks: Vec<f64>,
}

/// What a step of an axis may begin with.
const STEPS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

impl Axis {
    /// One that has room for all these values.
    pub fn over(scale: Scale, values: impl Iterator<Item = f64>) -> Axis {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        match scale {
            Scale::Linear { from, to } => {
                let least = values.iter().copied().fold(from, f64::min);
                let most = values.iter().copied().fold(to, f64::max);
                linear(least, most)
            }
            Scale::Log => {
                let values = values.into_iter().filter(|value| *value > 0.0);
                let values: Vec<f64> = values.collect();
                let least = values.iter().copied().fold(f64::INFINITY, f64::min);
                let most = values.iter().copied().fold(0.0, f64::max);
                match least <= most {
                    true => log(least, most),
                    false => log(1.0, 10.0),
                }
            }
        }
    }

    /// How far up a value is: 0 at the foot, 1 at the top.
    pub fn part(&self, value: f64) -> f64 {
        let part = match self.is_log {
            true => (value / self.from).ln() / (self.to / self.from).ln(),
            false => (value - self.from) / (self.to - self.from),
        };
        // A value that has no place, as zero on a logarithmic axis, is at the foot.
        if part.is_finite() { part.max(0.0) } else { 0.0 }
    }
}

fn linear(least: f64, most: f64) -> Axis {
    let most = if most > least { most } else { least + 1.0 };
    let rough = (most - least) / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let steps = STEPS.iter().map(|step| step * power);
    let step = steps.fold(f64::NAN, |best, step| match best >= rough * 0.99 {
        true => best,
        false => step,
    });
    let foot = (least / step).floor();
    let top = (most / step * 0.9999).ceil();
    let mut ticks = Vec::new();
    let mut at = foot;
    while at <= top {
        ticks.push(at * step);
        at += 1.0;
    }
    Axis {
        from: foot * step,
        to: top * step,
        is_log: false,
        ticks,
    }
}

fn log(least: f64, most: f64) -> Axis {
    let mut marks = Vec::new();
    let mut power = 10f64.powf(least.log10().floor());
    while power <= most * 10.0 {
        marks.extend(STEPS[..3].iter().map(|step| step * power));
        power *= 10.0;
    }
    let from = marks.iter().copied().filter(|mark| *mark <= least * 1.0001);
    let from = from.fold(marks[0], f64::max);
    let to = marks.iter().copied().filter(|mark| *mark >= most * 0.9999);
    let to = to.fold(f64::INFINITY, f64::min);
    // Values within one step have an axis all the same.
    let to = if to > from { to } else { from * 10.0 };
    let mut ticks: Vec<f64> = marks.clone();
    ticks.retain(|mark| (from..=to).contains(mark));
    if ticks.len() > 10 {
        ticks.retain(|mark| mark.log10().fract().abs() < 1e-9);
    }
    Axis {
        from,
        to,
        is_log: true,
        ticks,
    }
}

/// A number on an axis, with no more digits than it has.
pub fn tick(value: f64) -> String {
    let text = format!("{:.3}", value.abs());
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, part) = text
        .split_once('.')
        .map_or((text, None), |(w, p)| (w, Some(p)));
    let mut said = String::new();
    if value < 0.0 {
        said.push('-');
    }
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    if let Some(part) = part {
        said.push('.');
        said.push_str(part);
    }
    said
}
