//! What was measured: figures, their limits and their goals. Pure.

use serde::{Deserialize, Serialize};

/// A figure: several runs of one measurement.
#[derive(Clone, Serialize, Deserialize)]
pub struct Figure {
    /// The case that it belongs to.
    pub case: String,
    /// What was measured.
    pub what: String,
    /// The unit; empty for a plain number.
    pub unit: String,
    /// The value of each run.
    pub runs: Vec<f64>,
    /// What it is measured against, in the same run.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub against: Vec<Limit>,
    /// What is asked of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub goal: Option<Goal>,
    /// What it is called for somebody who has not read the bench; see
    /// [`headline`](Figure::headline).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub headline: Option<String>,
    /// Where it is drawn.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub point: Option<Point>,
}

/// Where a figure stands in a picture.
#[derive(Clone, Serialize, Deserialize)]
pub struct Point {
    /// The picture's name.
    pub picture: String,
    /// The bars of one colour, or the line.
    pub series: String,
    /// The group of bars, or the place along the line.
    pub x: X,
}

/// A place along the horizontal axis.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum X {
    /// In order of size.
    Number(f64),
    /// In order of appearance.
    Label(String),
}

impl From<f64> for X {
    fn from(number: f64) -> X {
        X::Number(number)
    }
}

impl From<u32> for X {
    fn from(number: u32) -> X {
        X::Number(number.into())
    }
}

impl From<&str> for X {
    fn from(label: &str) -> X {
        X::Label(label.to_owned())
    }
}

/// A limit that was measured beside a figure, run by run.
#[derive(Clone, Serialize, Deserialize)]
pub struct Limit {
    /// What it is.
    pub what: String,
    /// The value of each run, in the figure's unit.
    pub runs: Vec<f64>,
    /// What it is called in a picture, where that is not what it is; empty
    /// where it is not drawn.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub series: Option<String>,
}

/// What is asked of a figure.
#[derive(Clone, Serialize, Deserialize)]
pub struct Goal {
    /// The value itself, or its ratio to the first limit.
    pub of: Of,
    /// The bound.
    pub bound: f64,
    /// Whether the bound is the least or the most that will do.
    pub is_least: bool,
    /// Whether it is met, by the median.
    pub met: bool,
}

/// What a goal is about.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Of {
    /// The figure's value.
    Value,
    /// The figure's ratio to its first limit.
    Ratio,
}

/// The median of several runs, and how far they lie apart.
#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Figure {
    /// A figure of some runs; at least one.
    pub fn new(case: &str, what: impl Into<String>, unit: &str, runs: Vec<f64>) -> Figure {
        Figure {
            case: case.to_owned(),
            what: what.into(),
            unit: unit.to_owned(),
            runs,
            against: Vec::new(),
            goal: None,
            headline: None,
            point: None,
        }
    }

    /// Beside a limit, which has as many runs.
    pub fn against(mut self, what: &str, runs: Vec<f64>) -> Figure {
        self.against.push(Limit {
            what: what.to_owned(),
            runs,
            series: None,
        });
        self
    }

    /// The value is to be no more than this.
    pub fn at_most(self, bound: f64) -> Figure {
        self.goal(Of::Value, bound, false)
    }

    /// The ratio to the first limit is to be no less than this.
    pub fn ratio_at_least(self, bound: f64) -> Figure {
        self.goal(Of::Ratio, bound, true)
    }

    /// The ratio to the first limit is to be no more than this.
    pub fn ratio_at_most(self, bound: f64) -> Figure {
        self.goal(Of::Ratio, bound, false)
    }

    fn goal(mut self, of: Of, bound: f64, is_least: bool) -> Figure {
        let mut goal = Goal {
            of,
            bound,
            is_least,
            met: false,
        };
        goal.met = self.meets(&goal);
        self.goal = Some(goal);
        self
    }

    /// Names it for the README's table. Every figure with a goal is in there,
    /// under its case and what it is; with a headline it is under that, and
    /// figures with the same headline, unit and goal share a row. A figure
    /// without a goal gets a row by a headline.
    pub fn headline(mut self, text: &str) -> Figure {
        self.headline = Some(text.to_owned());
        self
    }

    /// Draws it: in this picture, as one of this series, at this place. Figures
    /// of another unit stand on an axis of their own, next to the others.
    ///
    /// Its limits are drawn beside it, as series of their own that are called
    /// what they are; see [`limits_as`](Figure::limits_as). Figures that share
    /// a limit at one place share its mark, with all of its runs.
    ///
    /// `pictures.rs` has the pictures with their titles and axes; one that is
    /// not in there is drawn all the same, with its name for a title.
    pub fn at(mut self, picture: &str, series: &str, x: impl Into<X>) -> Figure {
        self.point = Some(Point {
            picture: picture.to_owned(),
            series: series.to_owned(),
            x: x.into(),
        });
        self
    }

    /// Calls the series of its limits so, in their order, which are there
    /// already; `""` leaves one out of the picture.
    pub fn limits_as(mut self, series: &[&str]) -> Figure {
        for (limit, series) in self.against.iter_mut().zip(series) {
            limit.series = Some((*series).to_owned());
        }
        self
    }

    /// Whether the median meets a goal.
    pub fn meets(&self, goal: &Goal) -> bool {
        let value = match goal.of {
            Of::Value => self.spread().median,
            Of::Ratio => self.ratio(0).map_or(f64::NAN, |ratio| ratio.median),
        };
        if goal.is_least {
            value >= goal.bound
        } else {
            value <= goal.bound
        }
    }

    /// Whether something is asked of it that it does not meet.
    pub fn is_missed(&self) -> bool {
        self.goal.as_ref().is_some_and(|goal| !goal.met)
    }

    /// Its value.
    pub fn spread(&self) -> Spread {
        spread(&self.runs)
    }

    /// Its ratio to a limit: each run to the limit's next to it, so that a
    /// machine that is slower for a while is so for both.
    pub fn ratio(&self, limit: usize) -> Option<Spread> {
        let limit = self.against.get(limit)?;
        let pairs = self.runs.iter().zip(&limit.runs);
        Some(spread(
            &pairs.map(|(run, limit)| run / limit).collect::<Vec<_>>(),
        ))
    }
}

/// The median of some values, and their ends.
pub fn spread(values: &[f64]) -> Spread {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    };
    Spread {
        median,
        least: sorted.first().copied().unwrap_or(f64::NAN),
        most: sorted.last().copied().unwrap_or(f64::NAN),
    }
}

/// A case and what it measured.
#[derive(Serialize, Deserialize)]
pub struct Case {
    /// What `cargo bench -- NAME` finds it by.
    pub name: String,
    /// What it is about.
    pub about: String,
    /// What it measured, in that order.
    pub figures: Vec<Figure>,
}

/// A value and its unit.
pub fn shown(value: f64, unit: &str) -> String {
    format!("{} {unit}", digits(value, unit))
        .trim_end()
        .to_owned()
}

/// A value with as many digits as say something.
pub fn digits(value: f64, unit: &str) -> String {
    match value.abs() {
        _ if value == 0.0 || value.is_nan() => format!("{value:.0}"),
        _ if value.fract() == 0.0 => grouped(&format!("{value:.0}")),
        // Of a rate, a tenth of a percent is much.
        _ if unit == "%" => format!("{value:.2}"),
        size if size >= 1000.0 => grouped(&format!("{value:.0}")),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digit != '-' && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
