//! What a full run left behind, as pages to read. Pure: the same figures give
//! the same pages, and a test compares them with what is checked in.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::figure::{Case, Figure, Goal, Of, Spread, digits, shown, spread};
use crate::pictures::{Picture, pictures};
use crate::svg::tick;

/// A full run: what `figures.json` holds.
#[derive(Serialize, Deserialize)]
pub struct Run {
    /// The day, in UTC.
    pub date: String,
    /// How long it took.
    pub seconds: f64,
    pub machine: Machine,
    /// What was measured, in that order.
    pub cases: Vec<Case>,
}

/// What it ran on: what figures depend on, and nothing that names a machine.
#[derive(Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    /// The processor's model.
    pub processor: String,
    pub memory_gib: f64,
    /// The kind of system, and of processor.
    pub system: String,
    pub rustc: String,
}

/// What stands around the figures in the README.
const BLOCK: (&str, &str) = ("<!-- figures -->", "<!-- /figures -->");

/// Where everything is written, seen from the README.
pub const FOLDER: &str = "benches/results/";

/// The most pictures in the README.
const FRONT_PICTURES: usize = 3;

const HOW: &str = "\
# Figures

Written by `cargo bench`; not edited by hand. [`figures.json`](figures.json) has the
same for programs, with the value of every run.

```sh
cargo bench --bench figures              # measures all, and writes this folder
cargo bench --bench figures -- accept    # only the cases with this in their name; prints
cargo bench --bench figures -- --render  # writes the pages anew from figures.json
```

- The server is the release build as it is installed, on a real SQLite store. It, the
  client and the target are processes of their own, on the same machine.
- A figure is the **median** of several runs; the **spread** is from the least to the
  most of them.
- A **limit** is something simpler that does part of the work, measured next to the
  figure in the same run. The **ratio** is the figure's share of it: the median of each
  run against the limit's run next to it, with its spread. It says more than the figure
  itself, which depends on the machine.
- A goal is **met** or **MISSED** by the median. Missing one fails nothing; nothing is
  cached, skipped or special-cased to meet one.
";

/// Every file that belongs beside `figures.json`: its name and its text.
pub fn files(run: &Run) -> Vec<(String, String)> {
    let pictures = pictures(&run.cases);
    let mut files = vec![("README.md".to_owned(), page(run, &pictures))];
    for picture in pictures {
        files.push((format!("{}.svg", picture.name), picture.svg));
    }
    files
}

/// The page with every figure.
fn page(run: &Run, pictures: &[Picture]) -> String {
    let mut page = format!("{HOW}\n{}\n", about(run));
    for case in &run.cases {
        let (name, about) = (&case.name, capitalised(&cell(&case.about)));
        add(&mut page, format_args!("\n## {name}\n\n{about}.\n"));
        for picture in pictures
            .iter()
            .filter(|picture| begins_in(case, picture, run))
        {
            let link = link(picture, "");
            add(&mut page, format_args!("\n{link}\n"));
        }
        page.push_str("\n| measured | median | spread | limit | ratio | goal |\n");
        page.push_str("| --- | ---: | ---: | --- | ---: | --- |\n");
        for figure in &case.figures {
            page.push_str(&row(figure));
        }
    }
    page
}

/// Whether a picture's first figure is of this case.
fn begins_in(case: &Case, picture: &Picture, run: &Run) -> bool {
    let is_in = |case: &&Case| {
        let points = case
            .figures
            .iter()
            .filter_map(|figure| figure.point.as_ref());
        points
            .into_iter()
            .any(|point| point.picture == picture.name)
    };
    run.cases
        .iter()
        .find(is_in)
        .is_some_and(|first| first.name == case.name)
}

/// A figure's row, and one more for each limit after the first.
fn row(figure: &Figure) -> String {
    let (what, unit) = (cell(&figure.what), figure.unit.as_str());
    let value = figure.spread();
    let median = shown(value.median, unit);
    let ends = match figure.runs.len() {
        1 => "one run".to_owned(),
        runs => format!("{} ({runs} runs)", ends(value, unit)),
    };
    let goal = figure.goal.as_ref().map_or_else(String::new, |goal| {
        let verdict = if goal.met { "met" } else { "**MISSED**" };
        format!("{}: {verdict}", asked(goal, unit))
    });
    let limits = figure.against.iter().enumerate().map(|(nth, limit)| {
        let of = spread(&limit.runs);
        let ratio = figure.ratio(nth).map_or_else(String::new, |ratio| {
            let (least, most) = (share(ratio.least), share(ratio.most));
            format!("{} ({least} to {most})", share(ratio.median))
        });
        let (name, value, ends) = (
            cell(&limit.what),
            shown(of.median, unit),
            self::ends(of, unit),
        );
        format!("{name}: {value} ({ends}) | {ratio}")
    });
    let mut limits: Vec<String> = limits.collect();
    let first = match limits.is_empty() {
        true => " | ".to_owned(),
        false => limits.remove(0),
    };
    let mut row = format!("| {what} | {median} | {ends} | {first} | {goal} |\n");
    for limit in limits {
        add(&mut row, format_args!("| | | | {limit} | |\n"));
    }
    row
}

/// What is between the README's two comments.
pub fn block(run: &Run) -> String {
    let mut block = format!("{}\n", about(run));
    block.push_str("\n| | measured | beside it, in the same run | ratio | goal |\n");
    block.push_str("| --- | ---: | --- | ---: | --- |\n");
    for (text, figures) in rows(run) {
        block.push_str(&front_row(&text, &figures));
    }
    for picture in pictures(&run.cases).iter().take(FRONT_PICTURES) {
        add(&mut block, format_args!("\n{}\n", link(picture, FOLDER)));
    }
    block
}

/// The README's rows: what is asked of Flowgate, and what has a headline;
/// figures together that share a headline, a unit and a goal.
fn rows(run: &Run) -> Vec<(String, Vec<&Figure>)> {
    let mut rows: Vec<(String, Vec<&Figure>)> = Vec::new();
    for case in &run.cases {
        for figure in &case.figures {
            let text = match &figure.headline {
                Some(text) => text.clone(),
                None if figure.goal.is_some() => format!("{}: {}", case.name, figure.what),
                None => continue,
            };
            let is_alike = |(other, figures): &&mut (String, Vec<&Figure>)| {
                let asked_of = |figure: &Figure| {
                    let goal = figure.goal.as_ref();
                    goal.map(|goal| asked(goal, &figure.unit))
                };
                *other == text
                    && figures[0].unit == figure.unit
                    && asked_of(figures[0]) == asked_of(figure)
            };
            match rows.iter_mut().find(is_alike) {
                Some((_, figures)) => figures.push(figure),
                None => rows.push((text, vec![figure])),
            }
        }
    }
    rows
}

fn front_row(text: &str, figures: &[&Figure]) -> String {
    let unit = figures[0].unit.as_str();
    let medians: Vec<f64> = figures.iter().map(|f| f.spread().median).collect();
    let value = range(spread(&medians), |value| digits(value, unit));
    let ratios = figures.iter().filter_map(|figure| figure.ratio(0));
    let ratios: Vec<f64> = ratios.map(|ratio| ratio.median).collect();
    let ratio = match ratios.is_empty() {
        true => String::new(),
        false => range(spread(&ratios), share),
    };
    let mut limits: Vec<String> = Vec::new();
    for limit in figures.iter().filter_map(|figure| figure.against.first()) {
        let name = cell(&limit.what);
        if !limits.contains(&name) {
            limits.push(name);
        }
    }
    let limits = limits.join("; ");
    let goal = figures[0].goal.as_ref().map_or_else(String::new, |goal| {
        let missed = figures.iter().filter(|figure| figure.is_missed()).count();
        let verdict = match (missed, figures.len()) {
            (0, _) => "met".to_owned(),
            (_, 1) => "**MISSED**".to_owned(),
            (missed, of) => format!("**MISSED** by {missed} of {of}"),
        };
        format!("{}: {verdict}", asked(goal, unit))
    });
    let text = cell(text);
    format!("| {text} | {value} {unit} | {limits} | {ratio} | {goal} |\n")
}

/// The README with this block in the place of what it has; `None` where it has
/// no place for one.
pub fn with_block(readme: &str, block: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BLOCK.0)?;
    let (_, after) = rest.split_once(BLOCK.1)?;
    Some(format!("{before}{}\n{block}{}{after}", BLOCK.0, BLOCK.1))
}

/// When and where, and how many goals are met.
fn about(run: &Run) -> String {
    let Machine {
        cores,
        processor,
        memory_gib,
        system,
        rustc,
    } = &run.machine;
    let goals = run.cases.iter().flat_map(|case| &case.figures);
    let goals: Vec<&Goal> = goals.filter_map(|figure| figure.goal.as_ref()).collect();
    let met = goals.iter().filter(|goal| goal.met).count();
    let missed = match goals.len() - met {
        0 => "none missed".to_owned(),
        missed => format!("**{missed} MISSED**"),
    };
    let (date, minutes) = (&run.date, run.seconds / 60.0);
    format!(
        "Measured on {date} in {minutes:.0} min, on {cores} cores ({}) with \
         {memory_gib} GiB, {}, {}. Goals: {met} met, {missed}.",
        cell(processor),
        cell(system),
        cell(rustc),
    )
}

fn asked(goal: &Goal, unit: &str) -> String {
    let sign = if goal.is_least { "≥" } else { "≤" };
    let asked = match goal.of {
        Of::Value => format!("{sign} {} {unit}", tick(goal.bound)),
        Of::Ratio => format!("ratio {sign} {} %", tick(100.0 * goal.bound)),
    };
    asked.trim_end().to_owned()
}

fn link(picture: &Picture, folder: &str) -> String {
    format!("![{}]({folder}{}.svg)", picture.title, picture.name)
}

fn ends(of: Spread, unit: &str) -> String {
    format!("{} to {}", digits(of.least, unit), digits(of.most, unit))
}

/// From the least to the most, or the one that all are.
fn range(of: Spread, text: impl Fn(f64) -> String) -> String {
    let (least, most) = (text(of.least), text(of.most));
    match least == most {
        true => least,
        false => format!("{least} to {most}"),
    }
}

/// A ratio: in percent, or in times where it is large; what is none, as of
/// nothing, is a dash.
fn share(ratio: f64) -> String {
    match ratio {
        ratio if !ratio.is_finite() => "–".to_owned(),
        ratio if ratio >= 10.0 => format!("{} times", digits(ratio.round(), "")),
        ratio => shown(100.0 * ratio, "%"),
    }
}

/// Text that is one cell of a table.
fn cell(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('|', "\\|").replace(char::is_control, " ")
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(chars).collect()
}

fn add(text: &mut String, more: std::fmt::Arguments) {
    text.write_fmt(more).expect("a string takes all");
}
