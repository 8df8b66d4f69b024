//! Charts as SVG: bars in groups, and lines. Knows nothing of what is measured.
//!
//! A file has its own colours for light and dark and a background of its own,
//! so that it can be read wherever it is shown; no font is wide enough to
//! overlap what is beside it; and a reader that cannot see it is told the values.

mod axis;
mod canvas;

pub use axis::tick;

use axis::Axis;
use canvas::{Anchor, Canvas, text_width};

/// A picture: panels next to each other, under one title and one legend.
pub struct Chart {
    pub title: String,
    /// A line below the title: how to read it.
    pub note: String,
    pub panels: Vec<Panel>,
}

/// One pair of axes.
pub struct Panel {
    /// What is along the horizontal axis, with its unit.
    pub x_title: String,
    /// What is along the vertical axis, with its unit.
    pub y_title: String,
    pub kind: Kind,
    pub scale: Scale,
    /// The values at which all the marks are just good enough.
    pub goal: Option<(f64, String)>,
    pub series: Vec<Series>,
}

/// How marks are placed along the horizontal axis.
pub enum Kind {
    /// Groups of bars, one for each of these.
    Bars(Vec<String>),
    /// Lines over a logarithmic axis.
    Lines,
}

/// The vertical axis.
#[derive(Clone, Copy)]
pub enum Scale {
    /// From here, or from lower where a value is lower; to here at least.
    Linear { from: f64, to: f64 },
    /// Powers of ten, as far as there are values.
    Log,
}

/// Bars of one look, or a line.
pub struct Series {
    pub name: String,
    /// One of four colours; without one it is grey.
    pub colour: Option<usize>,
    /// Hollow and dashed: something that was measured beside; the first, the
    /// second ... of its colour.
    pub hollow: Option<usize>,
    pub marks: Vec<Mark>,
}

/// The median of some runs, and their ends.
pub struct Mark {
    /// The number of the group of bars, or the value on the horizontal axis.
    pub x: f64,
    pub median: f64,
    pub least: f64,
    pub most: f64,
    /// The value as text.
    pub label: String,
    /// A goal is missed.
    pub missed: bool,
}

const WIDTH: f64 = 800.0;
const PLOT_HEIGHT: f64 = 250.0;
const MARGIN: f64 = 24.0;
/// Between the top of a plot and the value that it reaches to: for labels.
const HEADROOM: f64 = 40.0;
/// From one line's marks to the next one's, at the same value.
const DODGE: f64 = 5.0;

/// How to read what is drawn around a value.
const WHISKERS: &str = "Values are medians of the runs; whiskers, the least and the most.";

/// A place on the picture that a plot fills.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// The text of the file.
pub fn render(chart: &Chart) -> String {
    let mut canvas = Canvas::default();
    canvas.text(MARGIN, 34.0, "title", Anchor::Start, &chart.title);
    let mut top = 56.0;
    let mut notes = canvas::wrapped(&chart.note, WIDTH - 2.0 * MARGIN);
    notes.push(WHISKERS.to_owned());
    for line in &notes {
        canvas.text(MARGIN, top, "dim", Anchor::Start, line);
        top += 18.0;
    }
    top = legend(&mut canvas, chart, top + 6.0) + 26.0;
    let count = chart.panels.len() as f64;
    let width = (WIDTH - 2.0 * MARGIN - (count - 1.0) * 30.0) / count;
    for (at, panel) in chart.panels.iter().enumerate() {
        let left = MARGIN + at as f64 * (width + 30.0);
        draw(&mut canvas, panel, left, left + width, top);
    }
    let is_named = chart.panels.iter().any(|panel| !panel.x_title.is_empty());
    let below = if is_named { 60.0 } else { 38.0 };
    let height = top + HEADROOM + PLOT_HEIGHT + below;
    canvas.file((WIDTH, height), &chart.title, &described(chart))
}

/// What a picture says, in words.
fn described(chart: &Chart) -> String {
    let mut text = chart.note.clone();
    for panel in &chart.panels {
        text = format!("{text}\n{} by {}:", panel.y_title, panel.x_title);
        for series in &panel.series {
            let values = series.marks.iter().map(|mark| {
                let missed = if mark.missed { " (goal MISSED)" } else { "" };
                format!("{}: {}{missed}", place(panel, mark.x), mark.label)
            });
            let values: Vec<_> = values.collect();
            text = format!("{text}\n{}: {}.", series.name, values.join("; "));
        }
        if let Some((_, label)) = &panel.goal {
            text = format!("{text}\n{label}.");
        }
    }
    text
}

fn place(panel: &Panel, x: f64) -> String {
    match &panel.kind {
        Kind::Bars(groups) => {
            let at = groups.iter().enumerate().find(|(at, _)| *at as f64 >= x);
            at.map_or_else(String::new, |(_, group)| group.clone())
        }
        Kind::Lines => tick(x),
    }
}

/// Every series once; returns where it ends.
fn legend(canvas: &mut Canvas, chart: &Chart, mut y: f64) -> f64 {
    let mut seen: Vec<&str> = Vec::new();
    let mut x = MARGIN;
    for panel in &chart.panels {
        for series in &panel.series {
            if seen.contains(&series.name.as_str()) {
                continue;
            }
            seen.push(&series.name);
            let width = 30.0 + text_width(&series.name) + 22.0;
            if x > MARGIN && x + width > WIDTH - MARGIN {
                x = MARGIN;
                y += 22.0;
            }
            match panel.kind {
                Kind::Bars(_) => {
                    canvas.rect((x, y), (x + 20.0, y + 12.0), &bar_class(series));
                }
                Kind::Lines => {
                    canvas.line((x - 1.0, y + 6.0), (x + 23.0, y + 6.0), &line_class(series));
                    marker(canvas, series, (x + 11.0, y + 6.0));
                }
            }
            canvas.text(x + 30.0, y + 11.0, "text", Anchor::Start, &series.name);
            x += width;
        }
    }
    y + 12.0
}

fn draw(canvas: &mut Canvas, panel: &Panel, left: f64, right: f64, top: f64) {
    let axis = Axis::over(panel.scale, values(panel));
    let labels = axis.ticks.iter().map(|value| text_width(&tick(*value)));
    let area = Area {
        left: left + labels.fold(0.0, f64::max) + 8.0,
        right,
        top: top + HEADROOM,
        bottom: top + HEADROOM + PLOT_HEIGHT,
    };
    canvas.text(left, top, "text", Anchor::Start, &panel.y_title);
    for value in &axis.ticks {
        let y = area.y(&axis, *value);
        canvas.line((area.left, y), (area.right, y), "grid");
        canvas.text(area.left - 8.0, y + 4.0, "dim", Anchor::End, &tick(*value));
    }
    let base = (area.left, area.bottom);
    canvas.line(base, (area.right, area.bottom), "axis");
    let middle = f64::midpoint(area.left, area.right);
    let below = area.bottom + 44.0;
    if !panel.x_title.is_empty() {
        canvas.text(middle, below, "text", Anchor::Middle, &panel.x_title);
    }
    if let Some((value, _)) = &panel.goal {
        let y = area.y(&axis, *value);
        canvas.line((area.left, y), (area.right, y), "goal");
    }
    match &panel.kind {
        Kind::Bars(groups) => bars(canvas, panel, groups, &axis, &area),
        Kind::Lines => lines(canvas, panel, &axis, &area),
    }
    // Above everything: in the corner that bars keep free.
    if let Some((_, label)) = &panel.goal {
        canvas.line(
            (area.right - 26.0, top - 4.0),
            (area.right, top - 4.0),
            "goal",
        );
        canvas.text(area.right - 32.0, top, "text", Anchor::End, label);
    }
}

/// All that the vertical axis has to reach.
fn values(panel: &Panel) -> impl Iterator<Item = f64> {
    let marks = panel.series.iter().flat_map(|series| &series.marks);
    let ends = marks.flat_map(|mark| [mark.least, mark.median, mark.most]);
    ends.chain(panel.goal.iter().map(|(value, _)| *value))
}

fn bars(canvas: &mut Canvas, panel: &Panel, groups: &[String], axis: &Axis, area: &Area) {
    let group_width = (area.right - area.left) / groups.len().max(1) as f64;
    // A group's bars, and as much as one bar between two groups.
    let slot = group_width / (panel.series.len() as f64 + 1.0);
    let width = (slot * 0.84).min(64.0);
    for (at, group) in groups.iter().enumerate() {
        let middle = area.left + (at as f64 + 0.5) * group_width;
        canvas.text(middle, area.bottom + 20.0, "dim", Anchor::Middle, group);
    }
    let widest = panel.series.iter().flat_map(|series| &series.marks);
    let widest = widest
        .map(|mark| text_width(&mark.label))
        .fold(0.0, f64::max);
    for (nth, series) in panel.series.iter().enumerate() {
        // Around the middle of the group.
        let shift = (nth as f64 - (panel.series.len() as f64 - 1.0) / 2.0) * slot.min(70.0);
        for mark in &series.marks {
            let middle = area.left + (mark.x + 0.5) * group_width + shift;
            let y = area.y(axis, mark.median);
            let half = width / 2.0;
            let foot = (middle + half, area.bottom);
            canvas.rect((middle - half, y), foot, &bar_class(series));
            let top = whisker(canvas, (axis, area), middle, mark, "whisker");
            let mut above = top.min(y) - 6.0;
            if widest <= slot.min(70.0) + 2.0 {
                canvas.text(middle, above, "value", Anchor::Middle, &mark.label);
                above -= 14.0;
            }
            if mark.missed {
                canvas.text(middle, above, "missed", Anchor::Middle, "MISSED");
            }
        }
    }
}

fn lines(canvas: &mut Canvas, panel: &Panel, axis: &Axis, area: &Area) {
    let mut xs: Vec<f64> = panel
        .series
        .iter()
        .flat_map(|series| &series.marks)
        .map(|mark| mark.x)
        .collect();
    xs.sort_by(f64::total_cmp);
    xs.dedup();
    let (first, last) = (xs.first().copied(), xs.last().copied());
    let (first, last) = (first.unwrap_or(1.0).ln(), last.unwrap_or(1.0).ln());
    // Room at both ends for half of a label.
    let (from, to) = (area.left + 40.0, area.right - 40.0);
    let place = |x: f64| match last - first {
        0.0 => f64::midpoint(from, to),
        span => from + (x.ln() - first) / span * (to - from),
    };
    for x in &xs {
        canvas.line(
            (place(*x), area.bottom),
            (place(*x), area.bottom + 5.0),
            "axis",
        );
        canvas.text(
            place(*x),
            area.bottom + 20.0,
            "dim",
            Anchor::Middle,
            &tick(*x),
        );
    }
    // Side by side, so that none hides another.
    let count = panel.series.len() as f64;
    let nth = |at: usize| (at as f64 - (count - 1.0) / 2.0) * DODGE;
    let spot = |at: usize, mark: &Mark| (place(mark.x) + nth(at), area.y(axis, mark.median));
    // What was measured beside lies below what it was measured for.
    for (at, series) in panel.series.iter().enumerate().rev() {
        let mut marks: Vec<&Mark> = series.marks.iter().collect();
        marks.sort_by(|a, b| a.x.total_cmp(&b.x));
        canvas.path(marks.iter().map(|mark| spot(at, mark)), &line_class(series));
    }
    for (at, series) in panel.series.iter().enumerate().rev() {
        let class = format!("whisker {}-line", colour(series));
        for mark in &series.marks {
            whisker(canvas, (axis, area), spot(at, mark).0, mark, &class);
            marker(canvas, series, spot(at, mark));
        }
    }
    let mut said = area.top - 10.0;
    for (at, series) in panel.series.iter().enumerate() {
        for mark in series.marks.iter().filter(|mark| mark.missed) {
            canvas.ring(spot(at, mark));
            // In the room above the plot, where no line passes.
            let text = format!("{}: MISSED", series.name);
            let most = area.right - text_width(&text) / 2.0;
            canvas.text(
                place(mark.x).min(most),
                said,
                "missed",
                Anchor::Middle,
                &text,
            );
            said -= 14.0;
        }
    }
}

/// From the least to the most; returns its top.
fn whisker(
    canvas: &mut Canvas,
    (axis, area): (&Axis, &Area),
    x: f64,
    mark: &Mark,
    class: &str,
) -> f64 {
    let (top, bottom) = (area.y(axis, mark.most), area.y(axis, mark.least));
    // One that is flatter than its ends are wide says nothing.
    if bottom - top >= 1.5 {
        canvas.line((x, top), (x, bottom), class);
        canvas.line((x - 5.0, top), (x + 5.0, top), class);
        canvas.line((x - 5.0, bottom), (x + 5.0, bottom), class);
    }
    top
}

fn marker(canvas: &mut Canvas, series: &Series, place: (f64, f64)) {
    let colour = colour(series);
    let class = match series.hollow {
        Some(_) => format!("hole {colour}-line"),
        None => format!("{colour}-fill"),
    };
    canvas.marker(series.colour.unwrap_or(0), place, &class);
}

fn bar_class(series: &Series) -> String {
    let colour = colour(series);
    match series.hollow {
        Some(nth) => format!("hole {colour}-line dash{}", nth % 3),
        None => format!("bar {colour}-fill {colour}-line"),
    }
}

fn line_class(series: &Series) -> String {
    let dash = series
        .hollow
        .map_or(String::new(), |nth| format!(" dash{}", nth % 2 + 1));
    format!("line {}-line{dash}", colour(series))
}

fn colour(series: &Series) -> String {
    series.colour.map_or_else(
        || "grey".to_owned(),
        |at| format!("c{}", at % canvas::COLOURS),
    )
}

impl Area {
    fn y(&self, axis: &Axis, value: f64) -> f64 {
        self.bottom - axis.part(value) * (self.bottom - self.top)
    }
}
