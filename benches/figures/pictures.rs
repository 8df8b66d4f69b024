//! Which pictures there are, and what of the figures is in them. Pure.

use std::cmp::Ordering;

use crate::figure::{Case, Figure, Limit, Of, Point, X, digits, spread};
use crate::svg::{Chart, Kind, Mark, Panel, Scale, Series, render, tick};

/// How a picture is drawn.
struct Look {
    /// What [`Figure::at`] calls it.
    name: &'static str,
    title: &'static str,
    note: &'static str,
    /// What is along the horizontal axis.
    x: &'static str,
    /// Lines over numbers; otherwise bars.
    is_lines: bool,
    scale: Scale,
    /// The figures' values, or their ratios to their first limit in percent:
    /// where they have one.
    shows: Of,
    /// What is along the vertical axis, where the unit does not say it all.
    y: &'static [(&'static str, &'static str)],
}

const FROM_ZERO: Scale = Scale::Linear { from: 0.0, to: 0.0 };

/// Every picture, in the order in which the README would have them.
const LOOKS: [Look; 5] = [
    Look {
        name: "rate",
        title: "Use of the rate",
        note: "How much of the configured rate goes out, as the target counts it. \
               The axis does not begin at zero.",
        x: "configured rate, requests a second",
        is_lines: false,
        scale: Scale::Linear {
            from: 90.0,
            to: 100.0,
        },
        shows: Of::Ratio,
        y: &[("%", "% of the configured rate")],
    },
    Look {
        name: "guests",
        title: "The 500-record job at 100 requests a second",
        note: "Flowgate, and the loop from the blog posts: slices of 50, all at once, \
               sleep 500 ms. What is refused there is a record that is lost.",
        x: "",
        is_lines: false,
        scale: FROM_ZERO,
        shows: Of::Value,
        y: &[
            ("s", "seconds from the first request to the last"),
            ("records", "records refused with 429"),
        ],
    },
    Look {
        name: "dispatch",
        title: "HTTP requests a second, one for each item",
        note: "To a target that answers at once. More is better.",
        x: "requests under way at once",
        is_lines: false,
        scale: FROM_ZERO,
        shows: Of::Value,
        y: &[("items/s", "requests a second")],
    },
    Look {
        name: "accept",
        title: "Items made durable a second",
        note: "200-byte items through BatchSubmitStream, on disk before they are \
               acknowledged. Both axes are logarithmic; more is better.",
        x: "items in a frame",
        is_lines: true,
        scale: Scale::Log,
        shows: Of::Value,
        y: &[("items/s", "items a second")],
    },
    Look {
        name: "growth",
        title: "Cost as work grows",
        note: "What an item costs in a batch of so many. Level is best: then twice the \
               work costs twice as much. The horizontal axis is logarithmic.",
        x: "items in the batch",
        is_lines: true,
        scale: FROM_ZERO,
        shows: Of::Value,
        y: &[("us/item", "microseconds an item")],
    },
];

/// One that has no look of its own.
const PLAIN: Look = Look {
    name: "",
    title: "",
    note: "",
    x: "",
    is_lines: false,
    scale: FROM_ZERO,
    shows: Of::Value,
    y: &[],
};

/// A picture as a file.
pub struct Picture {
    /// Without its extension.
    pub name: String,
    pub title: String,
    pub svg: String,
}

/// Every picture that has a figure, in the order above; then those that have no
/// look of their own.
pub fn pictures(cases: &[Case]) -> Vec<Picture> {
    let figures: Vec<(&Figure, &Point)> = cases
        .iter()
        .flat_map(|case| &case.figures)
        .filter_map(|figure| Some((figure, figure.point.as_ref()?)))
        .collect();
    let mut names: Vec<&str> = LOOKS.iter().map(|look| look.name).collect();
    names.extend(figures.iter().map(|(_, point)| point.picture.as_str()));
    let mut pictures: Vec<Picture> = Vec::new();
    for name in names {
        let of_it = |(_, point): &&(&Figure, &Point)| point.picture == name;
        let of_it: Vec<_> = figures.iter().filter(of_it).copied().collect();
        if !of_it.is_empty() && pictures.iter().all(|picture| picture.name != name) {
            pictures.push(picture(name, &of_it));
        }
    }
    pictures
}

fn picture(name: &str, figures: &[(&Figure, &Point)]) -> Picture {
    let look = LOOKS.iter().find(|look| look.name == name);
    let look = look.unwrap_or(&PLAIN);
    let seen: Vec<Seen> = figures.iter().map(|of| Seen::new(look, *of)).collect();
    let mut units: Vec<&str> = seen.iter().map(|seen| seen.unit).collect();
    units.dedup();
    let mut panels = Vec::new();
    for (at, unit) in units.iter().enumerate() {
        if units[..at].contains(unit) {
            continue;
        }
        let of_unit: Vec<_> = seen.iter().filter(|seen| seen.unit == *unit).collect();
        // The scale is made for what comes first.
        let scale = if at == 0 { look.scale } else { FROM_ZERO };
        panels.push(panel(look, scale, &of_unit));
    }
    let title = if look.title.is_empty() {
        name
    } else {
        look.title
    };
    let chart = Chart {
        title: title.to_owned(),
        note: look.note.to_owned(),
        panels,
    };
    Picture {
        name: name.to_owned(),
        title: title.to_owned(),
        svg: render(&chart),
    }
}

/// What a picture shows of a figure.
struct Seen<'f> {
    figure: &'f Figure,
    point: &'f Point,
    unit: &'f str,
    runs: Vec<f64>,
    /// What is drawn beside it.
    limits: &'f [Limit],
    /// Its goal, as it stands on the axis.
    goal: Option<(f64, bool)>,
}

impl<'f> Seen<'f> {
    fn new(look: &Look, (figure, point): (&'f Figure, &'f Point)) -> Seen<'f> {
        let limit = figure.against.first().filter(|_| look.shows == Of::Ratio);
        let (of, scale) = match limit {
            Some(_) => (Of::Ratio, 100.0),
            None => (Of::Value, 1.0),
        };
        let goal = figure.goal.as_ref().filter(|goal| goal.of == of);
        let pairs = |limit: &Limit| -> Vec<f64> {
            let pairs = figure.runs.iter().zip(&limit.runs);
            pairs.map(|(run, limit)| scale * run / limit).collect()
        };
        Seen {
            figure,
            point,
            unit: limit.map_or(figure.unit.as_str(), |_| "%"),
            runs: limit.map_or_else(|| figure.runs.clone(), pairs),
            limits: limit.map_or(figure.against.as_slice(), |_| &[]),
            goal: goal.map(|goal| (scale * goal.bound, goal.is_least)),
        }
    }
}

fn panel(look: &Look, scale: Scale, seen: &[&Seen]) -> Panel {
    let mut places: Vec<X> = Vec::new();
    for seen in seen {
        if !places.contains(&seen.point.x) {
            places.push(seen.point.x.clone());
        }
    }
    let numbers: Option<Vec<f64>> = places.iter().map(number).collect();
    if numbers.is_some() {
        places.sort_by(|a, b| number(a).partial_cmp(&number(b)).unwrap_or(Ordering::Equal));
    }
    let is_lines = look.is_lines && numbers.is_some();
    let groups = places.iter().map(|x| match x {
        X::Number(number) => tick(*number),
        X::Label(label) => label.clone(),
    });
    let kind = match is_lines {
        true => Kind::Lines,
        false => Kind::Bars(groups.collect()),
    };
    let place = |x: &X| match number(x).filter(|_| is_lines) {
        Some(number) => number,
        None => places.iter().position(|place| place == x).unwrap_or(0) as f64,
    };
    let unit = seen[0].unit;
    let title = look.y.iter().find(|(of, _)| *of == unit);
    Panel {
        x_title: look.x.to_owned(),
        y_title: title.map_or(unit, |(_, title)| title).to_owned(),
        kind,
        scale,
        goal: shared_goal(seen),
        series: series(seen, place),
    }
}

fn number(x: &X) -> Option<f64> {
    match x {
        X::Number(number) => Some(*number),
        X::Label(_) => None,
    }
}

/// What is asked of all of them alike.
fn shared_goal(seen: &[&Seen]) -> Option<(f64, String)> {
    let (bound, is_least) = seen.first()?.goal?;
    let alike = seen.iter().all(|seen| seen.goal == Some((bound, is_least)));
    let side = if is_least { "at least" } else { "at most" };
    let label = format!("goal: {side} {} {}", tick(bound), seen[0].unit);
    let label = label.trim_end().to_owned();
    alike.then_some((bound, label))
}

/// What becomes a series.
struct Drawn<'f> {
    name: &'f str,
    /// The series that it is a limit of; none, and it is not a limit.
    limit_of: Vec<&'f str>,
    /// Where, the runs, and whether a goal is missed.
    at: Vec<(f64, Vec<f64>, bool)>,
}

/// Figures first, each series in a colour of its own; then the limits: hollow,
/// in the colour of the only series that they belong to, or else grey.
fn series(seen: &[&Seen], place: impl Fn(&X) -> f64) -> Vec<Series> {
    let mut all: Vec<Drawn> = Vec::new();
    for seen in seen {
        let missed = seen.figure.is_missed();
        let at = (place(&seen.point.x), seen.runs.clone(), missed);
        put(&mut all, &seen.point.series, None, at);
    }
    for seen in seen {
        for limit in seen.limits {
            let name = limit.series.as_ref().unwrap_or(&limit.what);
            if !name.is_empty() {
                let at = (place(&seen.point.x), limit.runs.clone(), false);
                put(&mut all, name, Some(&seen.point.series), at);
            }
        }
    }
    let mut series: Vec<Series> = Vec::new();
    for drawn in &all {
        let owner = drawn.limit_of.first().unwrap_or(&drawn.name);
        let is_owners = drawn.limit_of.iter().all(|of| of == owner);
        let colour = all.iter().position(|of| of.name == *owner);
        let colour = colour.filter(|_| is_owners);
        let before = series
            .iter()
            .filter(|s| s.hollow.is_some() && s.colour == colour);
        let hollow = (!drawn.limit_of.is_empty()).then_some(before.count());
        series.push(Series {
            name: drawn.name.to_owned(),
            colour,
            hollow,
            marks: drawn.at.iter().map(|at| mark(at, seen[0].unit)).collect(),
        });
    }
    series
}

/// Adds to a series, which may be new; runs at the same place are one mark.
fn put<'f>(
    all: &mut Vec<Drawn<'f>>,
    name: &'f str,
    limit_of: Option<&'f str>,
    (x, runs, missed): (f64, Vec<f64>, bool),
) {
    let found = all.iter().position(|drawn| drawn.name == name);
    let nth = found.unwrap_or_else(|| {
        all.push(Drawn {
            name,
            limit_of: Vec::new(),
            at: Vec::new(),
        });
        all.len() - 1
    });
    let drawn = &mut all[nth];
    if found.is_none() || !drawn.limit_of.is_empty() {
        drawn.limit_of.extend(limit_of);
    }
    match drawn
        .at
        .iter_mut()
        .find(|(there, ..)| there.total_cmp(&x).is_eq())
    {
        Some((_, there, too)) => {
            there.extend(runs);
            *too |= missed;
        }
        None => drawn.at.push((x, runs, missed)),
    }
}

fn mark((x, runs, missed): &(f64, Vec<f64>, bool), unit: &str) -> Mark {
    let spread = spread(runs);
    Mark {
        x: *x,
        median: spread.median,
        least: spread.least,
        most: spread.most,
        label: digits(spread.median, unit),
        missed: *missed,
    }
}
