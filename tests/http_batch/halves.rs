//! Requests that are refused as a whole: in halves, until what is wrong is alone.

use std::collections::BTreeSet;

use flowgate::model::Reply;
use serde_json::json;

use crate::provider::{FORMATS, Format, Provider, judged};
use crate::sending::{all_said, item, items, said, send, start, target};
use crate::support::http_target::Act;

const NOTHING_DONE: &str = "refused_whole = \"nothing_done\"\nmax_items = 100\n";

fn lines(format: Format) -> String {
    let lines = format
        .lines()
        .replace("refused_whole = \"not_known\"\n", "");
    lines.replace("max_items = 100\n", "") + NOTHING_DONE
}

#[tokio::test]
async fn one_bad_item_of_a_hundred_is_found_and_the_others_are_done_once() {
    for format in FORMATS {
        for bad in [0, 1, 49, 50, 73, 99] {
            let provider = Provider::start(format, move |items, ledger| {
                if items.iter().any(|item| item.is_bad) {
                    return Act::answer(422, r#"{"message": "something is wrong with one"}"#);
                }
                Act::answer(200, format.answer(&judged(items, ledger)))
            })
            .await;
            let target = target(&provider.http.base(), "", &lines(format));
            let hundred = (0..100).map(|n| item(n, n == bad)).collect();
            let replies = send(&target, hundred).await;
            for (n, reply) in (0..).zip(&replies) {
                if n == bad {
                    let Reply::Refused(cause) = reply else {
                        panic!("{format:?} {bad}: {reply:?}")
                    };
                    assert_eq!(cause.message, "something is wrong with one");
                } else {
                    assert!(matches!(reply, Reply::Ok(_)), "{format:?} {bad}: {reply:?}");
                    assert_eq!(provider.ledger.times(u64::from(n)), 1);
                }
            }
            assert_eq!(provider.ledger.all().len(), 99);
            // Two for each of at most seven halvings, and the first.
            assert!(provider.http.requests().len() <= 15);
        }
    }
}

#[tokio::test]
async fn without_proof_that_nothing_was_done_all_are_refused_and_told_why() {
    for format in FORMATS {
        let provider = Provider::start(format, |_, _| {
            Act::answer(
                422,
                r#"{"message": "no", "errors": {"name": ["is missing"]}}"#,
            )
        })
        .await;
        let target = target(&provider.http.base(), "", format.lines());
        for reply in send(&target, items(20)).await {
            let Reply::Refused(cause) = reply else {
                panic!("{reply:?}")
            };
            assert_eq!(
                cause.message,
                "the target refused the whole request, and named no item: no"
            );
            assert!(cause.violations.is_empty());
        }
        assert_eq!(provider.http.requests().len(), 1);
    }
}

#[tokio::test]
async fn what_is_too_large_is_halved_until_it_fits() {
    for format in FORMATS {
        let provider = Provider::start(format, move |items, ledger| {
            // One item is too large even alone.
            if items.len() > 3 || items.iter().any(|item| item.is_bad) {
                return Act::answer(413, "");
            }
            Act::answer(200, format.answer(&judged(items, ledger)))
        })
        .await;
        let target = target(&provider.http.base(), "", format.lines());
        let twenty = (0..20).map(|n| item(n, n == 7)).collect();
        let replies = send(&target, twenty).await;
        for (n, reply) in (0..).zip(&replies) {
            match n {
                7 => assert_eq!(said(reply), "refused HTTP_413"),
                _ => assert!(matches!(reply, Reply::Ok(_)), "{format:?} {n}: {reply:?}"),
            }
        }
        let done = provider.ledger.all();
        assert_eq!(done.len(), 19);
        assert!(done.values().all(|times| *times == 1));
    }
}

#[tokio::test]
async fn those_that_a_refusal_names_are_left_out_and_the_others_go_again() {
    for named_by in ["index", "results"] {
        let provider = Provider::start(Format::Array, move |items, ledger| {
            let bad: Vec<usize> = (0..items.len()).filter(|n| items[*n].is_bad).collect();
            if bad.is_empty() {
                return Act::answer(200, Format::Array.answer(&judged(items, ledger)));
            }
            let body = if named_by == "index" {
                let problems = bad.iter().map(|n| json!({"index": n, "status": 422}));
                json!({"problems": problems.collect::<Vec<_>>()})
            } else {
                // Of the others it says nothing that is a status.
                let results = items.iter().map(|item| match item.is_bad {
                    true => json!({"status": 422}),
                    false => json!({"status": null}),
                });
                json!({"results": results.collect::<Vec<_>>()})
            };
            Act::answer(422, body.to_string())
        })
        .await;
        let target = target(&provider.http.base(), "", &lines(Format::Array));
        let bad = BTreeSet::from([0, 4, 5, 9]);
        let ten = (0..10).map(|n| item(n, bad.contains(&n))).collect();
        let replies = send(&target, ten).await;
        for (n, reply) in (0..).zip(&replies) {
            match bad.contains(&n) {
                true => assert_eq!(said(reply), "refused HTTP_422"),
                false => assert_eq!(said(reply), "ok 201"),
            }
        }
        let done = provider.ledger.all();
        assert_eq!(done.len(), 6);
        assert!(done.values().all(|times| *times == 1));
        // The whole, then 1 to 3 and 6 to 8.
        assert_eq!(provider.http.requests().len(), 3, "{named_by}");
    }
}

#[tokio::test]
async fn a_refusal_that_names_some_and_proves_nothing_refuses_all() {
    let provider = Provider::start(Format::Array, |_, _| {
        Act::answer(422, r#"{"problems": [{"index": 1, "status": 409}]}"#)
    })
    .await;
    let target = target(&provider.http.base(), "", Format::Array.lines());
    let replies = send(&target, items(3)).await;
    assert_eq!(
        all_said(&replies),
        ["refused HTTP_422", "refused HTTP_409", "refused HTTP_422"]
    );
}

#[tokio::test]
async fn halves_that_fare_differently_are_told_apart() {
    // The first half is done, the second is answered with a fault of the
    // provider's own.
    let provider = Provider::start(Format::Requests, |items, ledger| match items[0].n {
        _ if items.len() > 5 => Act::answer(413, ""),
        0 => Act::answer(200, Format::Requests.answer(&judged(items, ledger))),
        _ => Act::Reset,
    })
    .await;
    let target = target(&provider.http.base(), "", Format::Requests.lines());
    let fates = start(&target, items(10), false).finish().await;
    let said: Vec<String> = fates
        .iter()
        .map(|fate| said(fate.reply.as_ref().expect("a reply")))
        .collect();
    assert_eq!(said[..5], ["ok 201"; 5]);
    assert_eq!(said[5..], ["unknown CONNECTION_LOST"; 5]);
    assert!(fates.iter().all(|fate| fate.written));
}
