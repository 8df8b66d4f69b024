//! The figures that are checked in: every page and picture is what
//! `figures.json` gives, so that nobody edits a figure by hand; and what was
//! missed is shown as missed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../benches/figures/figure.rs"]
#[allow(dead_code, reason = "the bench uses the rest")]
mod figure;
#[path = "../benches/figures/pages.rs"]
mod pages;
#[path = "../benches/figures/pictures.rs"]
mod pictures;
#[path = "../benches/figures/svg/mod.rs"]
mod svg;

use figure::{Case, Figure};
use pages::{FOLDER, Machine, Run};

/// What to do about a page that is not what it should be.
const MEND: &str = "written by hand? `cargo bench --bench figures -- --render` writes it anew";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn published() -> Run {
    serde_json::from_str(&read(&format!("{FOLDER}figures.json"))).expect("a full run")
}

/// A run with these figures.
fn run_of(figures: Vec<Figure>) -> Run {
    Run {
        date: "2026-11-03".to_owned(),
        seconds: 125.0,
        machine: Machine {
            cores: 2,
            processor: "Model <1> | 2 GHz".to_owned(),
            memory_gib: 7.8,
            system: "linux x86_64".to_owned(),
            rustc: "rustc 1.95.0".to_owned(),
        },
        cases: vec![Case {
            name: "dispatch".to_owned(),
            about: "one request an item".to_owned(),
            figures,
        }],
    }
}

/// The picture of this name.
fn picture(run: &Run, name: &str) -> String {
    let files = pages::files(run);
    let file = files.into_iter().find(|(file, _)| file == name);
    file.unwrap_or_else(|| panic!("there is no {name}")).1
}

/// One figure that meets its goal, one that does not, and one with none.
fn met_and_missed() -> Run {
    let figure = |concurrency: u32, runs: [f64; 3]| {
        Figure::new(
            "dispatch",
            format!("{concurrency} at once"),
            "items/s",
            runs.to_vec(),
        )
        .against("a bare client", vec![1000.0, 1000.0, 2000.0])
        .ratio_at_least(0.8)
        .headline("requests, one an item")
        .at("dispatch", "Flowgate", concurrency)
    };
    run_of(vec![
        figure(10, [900.0, 850.0, 1800.0]),
        figure(64, [700.0, 650.0, 1500.0]),
        Figure::new("dispatch", "first to last", "s", vec![4.3]).at_most(4.2),
        Figure::new("dispatch", "processor time", "us/item", vec![9.0, 9.5])
            .against("a little", vec![0.5, 0.25])
            .against("nothing", vec![0.0, 0.0]),
    ])
}

#[test]
fn the_pages_are_what_the_figures_give() {
    let files = pages::files(&published());
    let mut names: BTreeSet<String> = files.iter().map(|(name, _)| name.clone()).collect();
    for (name, text) in files {
        assert!(read(&format!("{FOLDER}{name}")) == text, "{name}: {MEND}");
    }
    names.insert("figures.json".to_owned());
    let there = fs::read_dir(root().join(FOLDER)).expect("the folder");
    let there = there.map(|entry| entry.expect("an entry").file_name());
    let there: BTreeSet<String> = there.map(|name| name.to_string_lossy().into()).collect();
    assert_eq!(there, names, "{MEND}");
}

#[test]
fn the_readme_has_the_figures_and_pictures_that_there_are() {
    let readme = read("README.md");
    let made = pages::with_block(&readme, &pages::block(&published()));
    assert!(
        made.expect("a place for figures") == readme,
        "README.md: {MEND}"
    );
    let start = format!("]({FOLDER}");
    let links = readme.split(start.as_str()).skip(1);
    let links: Vec<&str> = links
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .collect();
    assert!(links.iter().any(|link| link.contains(".svg")), "no picture");
    for link in links {
        assert!(
            root().join(FOLDER).join(link).exists(),
            "{link} is not there"
        );
    }
}

#[test]
fn verdicts_are_what_the_runs_give() {
    for figure in published().cases.iter().flat_map(|case| &case.figures) {
        let (case, what) = (&figure.case, &figure.what);
        assert!(!figure.runs.is_empty(), "{case}: {what}");
        for limit in &figure.against {
            assert_eq!(limit.runs.len(), figure.runs.len(), "{case}: {what}");
        }
        if let Some(goal) = &figure.goal {
            assert_eq!(goal.met, figure.meets(goal), "{case}: {what}");
        }
    }
}

#[test]
fn the_readme_s_table_has_all_goals_and_says_which_are_missed() {
    insta::assert_snapshot!(pages::block(&met_and_missed()), @r"
    Measured on 2026-11-03 in 2 min, on 2 cores (Model &lt;1> \| 2 GHz) with 7.8 GiB, linux x86_64, rustc 1.95.0. Goals: 1 met, **2 MISSED**.

    | | measured | beside it, in the same run | ratio | goal |
    | --- | ---: | --- | ---: | --- |
    | requests, one an item | 700 to 900 items/s | a bare client | 70 % to 90 % | ratio ≥ 80 %: **MISSED** by 1 of 2 |
    | dispatch: first to last | 4.30 s |  |  | ≤ 4.2 s: **MISSED** |

    ![HTTP requests a second, one for each item](benches/results/dispatch.svg)
    ");
}

#[test]
fn the_page_has_every_figure_with_its_limit_and_its_verdict() {
    let page = picture(&met_and_missed(), "README.md");
    let (_, figures) = page.split_once("\n\nMeasured").expect("when and where");
    insta::assert_snapshot!(figures, @r"
     on 2026-11-03 in 2 min, on 2 cores (Model &lt;1> \| 2 GHz) with 7.8 GiB, linux x86_64, rustc 1.95.0. Goals: 1 met, **2 MISSED**.

    ## dispatch

    One request an item.

    ![HTTP requests a second, one for each item](dispatch.svg)

    | measured | median | spread | limit | ratio | goal |
    | --- | ---: | ---: | --- | ---: | --- |
    | 10 at once | 900 items/s | 850 to 1,800 (3 runs) | a bare client: 1,000 items/s (1,000 to 2,000) | 90 % (85 % to 90 %) | ratio ≥ 80 %: met |
    | 64 at once | 700 items/s | 650 to 1,500 (3 runs) | a bare client: 1,000 items/s (1,000 to 2,000) | 70 % (65 % to 75 %) | ratio ≥ 80 %: **MISSED** |
    | first to last | 4.30 s | one run |  |  | ≤ 4.2 s: **MISSED** |
    | processor time | 9.25 us/item | 9 to 9.50 (2 runs) | a little: 0.38 us/item (0.25 to 0.50) | 28 times (18 times to 38 times) |  |
    | | | | nothing: 0 us/item (0 to 0) | – (– to –) | |
    ");
}

#[test]
fn a_picture_says_what_is_missed_also_to_who_does_not_see_it() {
    let svg = picture(&met_and_missed(), "dispatch.svg");
    assert_eq!(svg.matches(">MISSED</text>").count(), 1);
    let (_, description) = svg.split_once("<desc id=\"description\">").expect("a desc");
    let (description, _) = description.split_once("</desc>").expect("its end");
    insta::assert_snapshot!(description, @r"
    To a target that answers at once. More is better.
    requests a second by requests under way at once:
    Flowgate: 10: 900; 64: 700 (goal MISSED).
    a bare client: 10: 1,000; 64: 1,000.
    ");
    assert!(svg.contains("role=\"img\" aria-labelledby=\"title description\""));
    assert!(svg.contains("prefers-color-scheme:dark"));
}

#[test]
fn text_is_no_markup() {
    let run = run_of(vec![
        Figure::new("x", "a | <b> & c", "items/s", vec![1.0]).at("own", "<s> & \"t\"", "<x>"),
    ]);
    let svg = picture(&run, "own.svg");
    assert!(
        svg.contains(">&lt;s&gt; &amp; &quot;t&quot;</text>"),
        "{svg}"
    );
    assert!(!svg.contains("<s>") && !svg.contains("<x>"));
    let page = picture(&run, "README.md");
    assert!(page.contains("| a \\| &lt;b> &amp; c |"), "{page}");
}

#[test]
fn an_axis_reaches_to_a_value_that_nobody_expected() {
    let rate = |used: f64| {
        let rate = Figure::new("rate", "window", "%", vec![used]);
        let svg = picture(&run_of(vec![rate.at("rate", "window", 100)]), "rate.svg");
        let tick = |value: &str| svg.contains(&format!(" text-anchor=\"end\">{value}</text>"));
        (tick("90"), tick("60"), tick("100"), tick("115"))
    };
    assert_eq!(rate(99.5), (true, false, true, false));
    assert!(rate(61.0).1, "down to 60");
    assert!(rate(114.5).3, "up to 115");
}

#[test]
fn units_have_axes_of_their_own_and_limits_bars_of_their_own() {
    let run = run_of(vec![
        Figure::new("guests", "time", "s", vec![4.0])
            .against("the loop", vec![5.0])
            .at("guests", "Flowgate", "one job"),
        Figure::new("guests", "refused", "records", vec![0.0])
            .against("nobody", vec![33.0])
            .against("the loop, which loses them", vec![12.5])
            .at("guests", "Flowgate", "one job")
            .limits_as(&["", "the loop"]),
    ]);
    let svg = picture(&run, "guests.svg");
    for text in [
        "seconds from the first request to the last",
        "records refused with 429",
        "one job",
        "4",
        "5",
        "12.5",
    ] {
        assert!(svg.contains(&format!(">{text}</text>")), "no {text}");
    }
    assert_eq!(svg.matches(">the loop</text>").count(), 1, "one legend");
    assert!(!svg.contains("nobody") && !svg.contains(">33</text>"));
    assert_eq!(pages::files(&run).len(), 2, "no picture without figures");
}

#[test]
fn a_rate_is_shown_in_percent_of_the_configured_one() {
    let rate = |pace, used: f64| {
        Figure::new("rate", pace, "requests/s", vec![used])
            .against("the rate", vec![5000.0])
            .ratio_at_least(0.99)
            .at("rate", pace, 5000)
    };
    let svg = picture(
        &run_of(vec![rate("window", 4960.0), rate("smooth", 4930.0)]),
        "rate.svg",
    );
    for text in [
        "% of the configured rate",
        "goal: at least 99 %",
        "5,000",
        "99.20",
        "98.60",
    ] {
        assert!(svg.contains(&format!(">{text}</text>")), "no {text}");
    }
    assert_eq!(svg.matches(">MISSED</text>").count(), 1);
    assert!(
        !svg.contains(">the rate</text>"),
        "a limit that everything is of"
    );
}

#[test]
fn a_shared_limit_is_one_line_with_all_of_its_runs() {
    let form = |form: &str, items: u32, value: f64, disk: f64| {
        Figure::new("accept", form, "items/s", vec![value])
            .against("disk", vec![disk])
            .against("tonic", vec![9.0 * disk])
            .at("accept", form, items)
            .limits_as(&["disk", &format!("tonic, {form}")])
    };
    let run = run_of(vec![
        form("raw", 1, 2000.0, 100_000.0),
        form("raw", 50, 40_000.0, 100_000.0).ratio_at_least(0.7),
        // At the same place: what was missed there stays missed.
        form("raw", 50, 40_000.0, 100_000.0),
        form("json", 1, 1000.0, 120_000.0),
        form("json", 50, 10_000.0, 140_000.0),
    ]);
    let svg = picture(&run, "accept.svg");
    for line in [
        "raw: 1: 2,000; 50: 40,000 (goal MISSED).",
        "json: 1: 1,000; 50: 10,000.",
        "disk: 1: 110,000; 50: 100,000.",
        "tonic, json: 1: 1,080,000; 50: 1,260,000.",
    ] {
        assert!(svg.contains(&format!("\n{line}")), "no {line}");
    }
    assert!(svg.contains(">raw: MISSED</text>"));
    let lines = |class: &str| {
        svg.matches(&format!("<polyline class=\"line {class}"))
            .count()
    };
    assert_eq!(lines(""), 5);
    // What belongs to both forms has neither's colour.
    assert_eq!(lines("grey-line dash1"), 1);
    assert_eq!((lines("c0-line dash1"), lines("c1-line dash1")), (1, 1));
}
