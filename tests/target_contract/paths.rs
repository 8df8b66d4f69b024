//! Paths of callers, put together from what has led others astray: whatever is
//! taken stays below the target's base, whoever reads it, and how often they
//! decode it.

use flowgate::model::{Action, HttpCall, Item, Operation, Verb};
use http::Method;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use url::Url;

use crate::world::*;

const BASE: &str = "http://api.example/base/v1";

/// Pieces that mean something to somebody.
const PIECES: [&str; 48] = [
    "/",
    "/",
    "/",
    "a",
    "a",
    "guests",
    ".",
    "..",
    "...",
    "\\",
    "//",
    "?",
    "#",
    "@",
    ":",
    ";",
    ";v=1",
    "%2e",
    "%2E",
    "%2f",
    "%2F",
    "%5c",
    "%252e",
    "%252f",
    "%25",
    "%25252e",
    "%32%65",
    "%00",
    "%0d",
    "%ff",
    "%25zz",
    "%zz",
    "%c0%ae",
    "%c0%af",
    "%25c0%25ae",
    "%ef%bc%8e",
    "%e2%80%a5",
    "%u002e",
    "\u{ff0e}",
    "é",
    " ",
    "\t",
    "\r\n",
    "\0",
    "http:",
    "evil.example",
    "&",
    "=",
];

/// Segments of a path, of the same kinds.
const SEGMENTS: [&str; 20] = [
    "a",
    "guests",
    "%ff",
    "%25zz",
    "%25",
    "%",
    "..",
    ".",
    ".%2e",
    "%2e%2e",
    "%252e%252e",
    "%252e.",
    "%25252e%25252e",
    "%2e%2e;v=1",
    "%252e%252e%3b",
    "%c0%ae%c0%ae",
    "%25c0%25ae.",
    "%252f",
    "%ef%bc%8e%252e",
    "",
];

/// How often a server behind others may decode a path.
const DECODINGS: usize = 3;

/// Whether a path is below the base as it is read by the rules of URLs.
fn is_below(path: &str) -> bool {
    let read = Url::parse(&format!("http://api.example{path}")).expect("an address");
    let is_host = read.host_str() == Some("api.example") && read.port().is_none();
    is_host && read.path().starts_with("/base/v1/")
}

/// A path as a server sees it who decodes it and looks at it again. What would
/// end the path now belongs to it.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = rest.get(1..3).and_then(|two| std::str::from_utf8(two).ok());
        match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).replace(['?', '#'], "x")
}

fn assert_below(text: &str) -> Result<(), TestCaseError> {
    prop_assert!(is_below(text), "{text:?} leads elsewhere");
    let mut path = text.split('?').next().unwrap_or_default().to_owned();
    for _ in 0..DECODINGS {
        path = decoded(&path);
        prop_assert!(is_below(&path), "{text:?} is read as {path:?}");
    }
    Ok(())
}

/// Runs over many texts; those that are taken have to pass, and there have to
/// be enough of them.
fn over_texts(mut taken: impl FnMut(&str) -> Result<bool, TestCaseError>) {
    let pieces = prop::collection::vec(select(&PIECES[..]), 0..9);
    let segments = prop::collection::vec(select(&SEGMENTS[..]), 1..6);
    let texts = prop_oneof![
        pieces.prop_map(|pieces| pieces.concat()),
        segments.prop_map(|segments| segments.join("/")),
    ];
    let mut runner = TestRunner::new(Config::with_cases(4_000));
    let count = std::cell::Cell::new(0);
    let taken = std::cell::RefCell::new(&mut taken);
    runner
        .run(&texts, |text| {
            let is_taken = (taken.borrow_mut())(&text)?;
            count.set(count.get() + usize::from(is_taken));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(count.get() > 50, "only {} were taken", count.get());
}

#[test]
fn a_path_that_is_taken_stays_below_the_base() {
    let target = target(&config(BASE));
    over_texts(|text| {
        let path = format!("/{text}");
        let item = Item {
            operation: Operation::Http(HttpCall {
                path: path.clone(),
                ..HttpCall::default()
            }),
            ..items(1).remove(0)
        };
        if target.admit(&item).is_err() {
            return Ok(false);
        }
        assert_below(&format!("/base/v1{path}"))?;
        Ok(true)
    });
}

#[test]
fn an_id_that_is_taken_stays_one_segment() {
    let mut config = config(BASE);
    let update = (Method::PATCH, "/guests/{id}".to_owned());
    config.actions.insert(Verb::Update, update);
    let target = target(&config);
    over_texts(|text| {
        let item = Item {
            operation: Operation::Action(Action {
                verb: Verb::Update,
                resource_id: text.to_owned(),
            }),
            ..items(1).remove(0)
        };
        if target.admit(&item).is_err() {
            return Ok(false);
        }
        // As it is written: the unit tests see to that.
        let byte = |b: u8| format!("%{b:02X}");
        let segment: String = text.bytes().map(byte).collect();
        assert_below(&format!("/base/v1/guests/{segment}"))?;
        Ok(true)
    });
}
