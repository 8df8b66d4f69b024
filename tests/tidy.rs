//! The shape of the code: who may use whom, and how large things may get.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms, from the top: each may use only those below it.
const ROOMS: [&str; 16] = [
    "cli", "app", "rpc", "intake", "feed", "lane", "sweep", "target", "store", "limiter", "wake",
    "observe", "config", "time", "core", "model",
];

/// Pairs that the order would allow and that must not be: they meet elsewhere.
const STRANGERS: [(&str, &str); 5] = [
    ("target", "store"),
    ("rpc", "lane"),
    ("intake", "lane"),
    ("feed", "lane"),
    ("intake", "feed"),
];

/// Lines of a file, without its tests.
const MAX_FILE: usize = 400;

/// Lines of a function.
const MAX_FUNCTION: usize = 70;

/// Files that may use tonic.
const TONIC: [&str; 3] = ["rpc", "cli", "lib.rs"];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the sources") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => walk(&path, found),
                false => found.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.retain(|path| path.extension().is_some_and(|e| e == "rs"));
    // Tests that live beside what they test.
    found.retain(|path| !path.ends_with("tests.rs") && path.iter().all(|part| part != "tests"));
    found.sort();
    assert!(found.len() > 20, "the sources are there");
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("below the root");
        let text = fs::read_to_string(&path).expect("a source file");
        (name.to_string_lossy().into_owned(), text)
    };
    found.into_iter().map(read).collect()
}

/// A file's text without what stands below `#[cfg(test)]`, and without comments.
fn code(text: &str) -> Vec<&str> {
    text.lines()
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect()
}

fn room(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The rooms that a line names: `crate::room` in any form.
fn used(line: &str) -> Vec<&str> {
    let starts = line
        .match_indices("crate::")
        .map(|(at, found)| at + found.len());
    starts
        .map(|at| {
            let rest = &line[at..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        })
        .collect()
}

#[test]
fn imports_point_down_only() {
    let rank = |room: &str| ROOMS.iter().position(|r| *r == room);
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let Some(mine) = rank(room(&file)) else {
            continue;
        };
        for line in code(&text) {
            for theirs in used(line) {
                let down = rank(theirs).is_none_or(|rank| rank >= mine);
                let strangers = STRANGERS.contains(&(room(&file), theirs));
                if !down || strangers {
                    wrong.push(format!("{file} uses {theirs}: {}", line.trim()));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that point up:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn only_the_grpc_faces_see_tonic_and_one_file_makes_statuses() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let sees = TONIC.contains(&room(&file)) || TONIC.contains(&file.as_str());
        for line in code(&text) {
            if !sees && (line.contains("tonic::") || line.contains("tonic_")) {
                wrong.push(format!("{file} sees tonic: {}", line.trim()));
            }
            let makes = ["Status::new(", "Status::with_details(", "Status::internal("];
            if room(&file) == "rpc"
                && file != "rpc/status.rs"
                && makes.iter().any(|make| line.contains(make))
            {
                wrong.push(format!("{file} makes a status: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_functions_can_be_held_in_the_head() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let whole: Vec<&str> = text
            .lines()
            .take_while(|line| line.trim() != "#[cfg(test)]")
            .collect();
        if whole.len() > MAX_FILE && !text.contains("// Long because") {
            wrong.push(format!("{file} has {} lines", whole.len()));
        }
        let mut start = None;
        for (at, line) in whole.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let opens = line.trim_start().contains("fn ") && line.ends_with('{');
            if start.is_none() && opens {
                start = Some((at, indent));
            }
            if let Some((from, depth)) = start
                && line.trim_end() == format!("{}}}", " ".repeat(depth))
            {
                let lines = at - from + 1;
                let said = whole[from.saturating_sub(6)..=from].join("\n");
                if lines > MAX_FUNCTION && !said.contains("Long because") {
                    wrong.push(format!("{file}:{} a function of {lines} lines", from + 1));
                }
                start = None;
            }
        }
    }
    assert!(wrong.is_empty(), "too long:\n{}", wrong.join("\n"));
}
