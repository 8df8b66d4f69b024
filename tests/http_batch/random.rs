//! Random chunks, and a provider that does at random whatever one can do: what
//! is said of an item agrees with the provider's ledger.

use std::sync::Mutex;

use flowgate::model::Reply;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRng, TestRunner};

use crate::provider::{FORMATS, Format, Ledger, Provider, Sent, judged};
use crate::sending::{Fate, item, start, target};
use crate::support::http_target::Act;
use crate::support::patience::is_long;

/// What a provider does with a request. It may be broken, lose, cut, repeat and
/// make up what it says; but what it says of an item is true, unless it says two
/// things of it.
#[derive(Clone, Debug)]
enum Whim {
    /// Does what is good, and says so of each, in so broken a way.
    Judges(Vec<Break>),
    /// Does nothing if one is bad, and answers with this; else as `Judges`.
    RefusesWhole(u16),
    /// Does nothing, and answers with this.
    TurnsAway(u16),
    /// Does what is good, or nothing, and answers with a fault.
    Faults(bool),
    /// Takes so many items at once.
    Takes(usize),
    /// Does what is good, or nothing, and loses the connection.
    Resets(bool),
    /// Does what is good, and answers with this.
    Babbles(&'static str),
}

/// What is broken about an answer. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Break {
    /// A result is missing.
    Omits(usize),
    /// A result is there twice.
    Repeats(usize),
    /// A second result says the contrary.
    Contradicts(usize),
    /// A success of an item that was not in the request.
    Invents(u32),
    /// The results are in another order, where they say whose they are.
    Turns,
    /// It ends after so many bytes.
    Cuts(usize),
}

fn breaks() -> impl Strategy<Value = Vec<Break>> {
    let one = prop_oneof![
        (0..100usize).prop_map(Break::Omits),
        (0..100usize).prop_map(Break::Repeats),
        (0..100usize).prop_map(Break::Contradicts),
        (0..200u32).prop_map(Break::Invents),
        Just(Break::Turns),
        (0..4000usize).prop_map(Break::Cuts),
    ];
    prop_oneof![
        3 => Just(Vec::new()),
        2 => prop::collection::vec(one, 1..4),
    ]
}

fn whim() -> impl Strategy<Value = Whim> {
    prop_oneof![
        6 => breaks().prop_map(Whim::Judges),
        3 => prop_oneof![Just(400), Just(422)].prop_map(Whim::RefusesWhole),
        1 => prop_oneof![Just(429), Just(401), Just(404), Just(302)].prop_map(Whim::TurnsAway),
        1 => any::<bool>().prop_map(Whim::Faults),
        2 => (1..20usize).prop_map(Whim::Takes),
        1 => any::<bool>().prop_map(Whim::Resets),
        1 => prop_oneof![Just(""), Just("<html>"), Just("{}"), Just("[]"), Just("[{}]"), Just("null")]
            .prop_map(Whim::Babbles),
    ]
}

fn answered(format: Format, items: &[Sent], ledger: &Ledger, breaks: &[Break]) -> Act {
    let mut results = judged(items, ledger);
    // What is cut off cannot contradict what was read.
    let is_cut = breaks.iter().any(|b| matches!(b, Break::Cuts(_)));
    // One less and one more is as many, and all of them are somebody else's:
    // nobody could tell.
    let has_more = breaks.iter().any(|b| matches!(b, Break::Invents(_)));
    let omits = format.has_ids() || !has_more;
    let mut cut = None;
    // Contradictions last: of the two, none may be left out, or what is left would
    // be a lie.
    let contradicts = |one: &&Break| matches!(one, Break::Contradicts(_));
    let (last, first): (Vec<_>, Vec<_>) = breaks.iter().partition(contradicts);
    for one in first.into_iter().chain(last) {
        let count = results.len();
        match one {
            Break::Omits(n) if count > 0 && omits => drop(results.remove(n % count)),
            Break::Repeats(n) if count > 0 && format.has_ids() => {
                results.push(results[n % count].clone());
            }
            Break::Contradicts(n) if count > 0 && format.has_ids() && !is_cut => {
                let (id, status) = results[n % count].clone();
                results.push((id, if status == 201 { 422 } else { 201 }));
            }
            Break::Invents(id) if items.iter().all(|item| item.id != id.to_string()) => {
                results.push((id.to_string(), 201));
            }
            Break::Turns if format.has_ids() => results.reverse(),
            Break::Cuts(at) => cut = Some(*at),
            _ => {}
        }
    }
    let answer = format.answer(&results);
    match cut.filter(|at| *at < answer.len()) {
        Some(at) => Act::raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{}",
            answer.len(),
            &answer[..at]
        )),
        None => Act::answer(200, answer),
    }
}

fn act(format: Format, whim: &Whim, items: &[Sent], ledger: &Ledger) -> Act {
    let do_good = |is_done: &bool| {
        if *is_done {
            judged(items, ledger);
        }
    };
    match whim {
        Whim::Judges(breaks) => answered(format, items, ledger, breaks),
        Whim::RefusesWhole(status) if items.iter().any(|item| item.is_bad) => {
            Act::answer(*status, "{}")
        }
        Whim::Takes(most) if items.len() > *most => Act::answer(413, ""),
        Whim::RefusesWhole(_) | Whim::Takes(_) => answered(format, items, ledger, &[]),
        Whim::TurnsAway(status) => Act::answer(*status, ""),
        Whim::Faults(is_done) => {
            do_good(is_done);
            Act::answer(500, "")
        }
        Whim::Resets(is_done) => {
            do_good(is_done);
            Act::Reset
        }
        Whim::Babbles(body) => {
            judged(items, ledger);
            Act::answer(200, *body)
        }
    }
}

/// Sends a chunk, of which these are bad, to a provider with these whims.
async fn run(format: Format, bad: Vec<bool>, whims: Vec<Whim>, proven: bool) -> Result<(), String> {
    let next = Mutex::new(whims.into_iter());
    let provider = Provider::start(format, move |items, ledger| {
        let whim = next.lock().unwrap().next();
        let whim = whim.unwrap_or(Whim::Judges(Vec::new()));
        act(format, &whim, items, ledger)
    })
    .await;
    let lines = format
        .lines()
        .replace("refused_whole = \"not_known\"\n", "");
    let refusals = match proven {
        true => "refused_whole = \"nothing_done\"\n",
        false => "refused_whole = \"not_known\"\n",
    };
    let target = target(&provider.http.base(), "", &(lines + refusals));
    let items = (0..).zip(&bad).map(|(n, bad)| item(n, *bad)).collect();
    let fates = start(&target, items, false).finish().await;
    for (n, fate) in fates.iter().enumerate() {
        let times = provider.ledger.times(n as u64);
        agrees(fate, bad[n], times).map_err(|wrong| format!("item {n}: {wrong}: {fate:?}"))?;
    }
    Ok(())
}

/// Whether what was said of an item is so.
fn agrees(fate: &Fate, is_bad: bool, times: usize) -> Result<(), &'static str> {
    if times > 1 {
        return Err("done twice");
    }
    match &fate.reply {
        None => Err("no reply"),
        Some(Reply::Ok(_)) if times == 0 => Err("said to be done, and is not"),
        Some(Reply::Ok(_)) if is_bad => Err("bad, and said to be done"),
        Some(Reply::Refused(_) | Reply::Unsent(_) | Reply::Busy(_) | Reply::RolledBack(_))
            if times > 0 =>
        {
            Err("said not to be done, and is")
        }
        Some(Reply::Ok(_)) if !fate.written => Err("done, and not written"),
        Some(_) => Ok(()),
    }
}

#[test]
fn what_is_said_agrees_with_the_ledger_whatever_the_provider_does() {
    let cases = if is_long() { 3000 } else { 200 };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 500,
        ..Config::default()
    };
    // The same every time: a change is judged by what it does, not by luck.
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let input = (
        0..FORMATS.len(),
        prop::collection::vec(prop::bool::weighted(0.1), 1..60),
        prop::collection::vec(whim(), 0..8),
        any::<bool>(),
    );
    runner
        .run(&input, |(format, bad, whims, proven)| {
            let ran = runtime.block_on(run(FORMATS[format], bad, whims, proven));
            ran.map_err(TestCaseError::fail)
        })
        .unwrap_or_else(|wrong| panic!("{wrong}"));
}
