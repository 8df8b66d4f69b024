//! Every fault of a provider, in every format: one reply an item, and none that
//! says more than what is known.

use flowgate::model::Reply;
use tokio::net::TcpListener;

use crate::provider::{FORMATS, Format, Ledger, Provider, Sent, judged};
use crate::sending::{all_said, item, items, said, send, start, target};
use crate::support::http_target::{Act, HttpTarget};

/// Long enough that no test waits for it.
const LONG: &str = "timeout = \"1m\"\nconnect_timeout = \"1m\"";
/// The time-out of those tests that wait for one.
const SHORT: &str = "timeout = \"200ms\"";

/// Sends three items, of which the one in the middle is bad, to a provider that
/// does this.
async fn three(
    format: Format,
    own: &str,
    more: &str,
    script: impl Fn(&[Sent], &Ledger) -> Act + Send + Sync + 'static,
) -> (Vec<String>, Provider) {
    let provider = Provider::start(format, script).await;
    let lines = format!("{}{more}", format.lines());
    let target = target(&provider.http.base(), own, &lines);
    let three = vec![item(0, false), item(1, true), item(2, false)];
    (all_said(&send(&target, three).await), provider)
}

#[tokio::test]
async fn each_item_has_its_own_outcome() {
    for format in FORMATS {
        let provider = Provider::fair(format).await;
        let target = target(&provider.http.base(), LONG, format.lines());
        let three = vec![item(0, false), item(1, true), item(2, false)];
        let replies = send(&target, three).await;
        let refused = match format {
            Format::Entries => "refused INVALID_MESSAGE_CONTENTS",
            _ => "refused HTTP_422",
        };
        let ok = match format {
            Format::Entries => "ok 200",
            _ => "ok 201",
        };
        assert_eq!(all_said(&replies), [ok, refused, ok], "{format:?}");
        assert_eq!(provider.http.requests().len(), 1, "{format:?}");
        let request = &provider.http.requests()[0];
        assert_eq!(
            (&request.method[..], &request.path[..]),
            ("POST", "/v1/batch")
        );
        let content_type = match format {
            Format::Entries => "application/x-amz-json-1.0",
            _ => "application/json",
        };
        assert_eq!(request.header("content-type"), Some(content_type));
    }
}

#[tokio::test]
async fn a_whole_answer_is_that_of_every_item() {
    for (act, expected) in [
        (Act::answer(400, "{}"), "refused HTTP_400"),
        (Act::answer(422, "bad"), "refused HTTP_422"),
        (Act::answer(401, "{}"), "refused HTTP_401"),
        (Act::answer(403, ""), "refused HTTP_403"),
        (Act::answer(404, ""), "refused HTTP_404"),
        (Act::answer(302, ""), "refused HTTP_302"),
        (Act::answer(429, ""), "busy HTTP_429"),
        (Act::answer(503, ""), "fault HTTP_503"),
        (
            Act::answer(503, "").with("retry-after", "7"),
            "busy HTTP_503",
        ),
        (Act::answer(500, "{}"), "fault HTTP_500"),
        (Act::answer(408, ""), "fault HTTP_408"),
        (Act::answer(200, ""), "unknown UNREADABLE_ANSWER"),
        (
            Act::answer(200, "<html>ok</html>"),
            "unknown UNREADABLE_ANSWER",
        ),
        (Act::answer(200, "{}"), "unknown UNREADABLE_ANSWER"),
        (Act::answer(207, "[1, 2"), "unknown UNREADABLE_ANSWER"),
        (
            Act::answer(200, vec![0xff; 100]),
            "unknown UNREADABLE_ANSWER",
        ),
        (Act::Endless, "unknown UNREADABLE_ANSWER"),
        (Act::Reset, "unknown CONNECTION_LOST"),
        (Act::Close, "unknown CONNECTION_LOST"),
        (Act::raw("HTTP/1.1 20"), "unknown CONNECTION_LOST"),
        (Act::raw("SSH-2.0\r\n"), "unknown BAD_RESPONSE"),
    ] {
        for format in FORMATS {
            let acted = act.clone();
            let (fates, provider) = three(format, LONG, "max_answer = \"1KiB\"", move |_, _| {
                acted.clone()
            })
            .await;
            assert_eq!(fates, [expected; 3], "{format:?}: {act:?}");
            assert_eq!(provider.http.requests().len(), 1, "sent once: {act:?}");
        }
    }
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_told_in_both_forms() {
    let date = "Thu, 31 Dec 2099 23:59:59 GMT";
    for (after, seconds) in [("7", Some(7)), (date, Some(600)), ("soon", None)] {
        for status in [429, 503] {
            let provider = Provider::start(Format::Array, move |_, _| {
                Act::answer(status, "").with("retry-after", after)
            })
            .await;
            let target = target(&provider.http.base(), LONG, Format::Array.lines());
            for reply in send(&target, items(3)).await {
                let is_unclear = status == 503 && seconds.is_none();
                let cause = match reply {
                    Reply::Busy(cause) if !is_unclear => cause,
                    Reply::Fault(cause) if is_unclear => cause,
                    other => panic!("{status} {after}: {other:?}"),
                };
                let told = cause.retry_after.map(|pause| pause.as_secs());
                assert_eq!(told, seconds, "{status} {after}");
            }
        }
    }
}

#[tokio::test]
async fn a_result_that_is_missing_is_not_known() {
    for format in FORMATS {
        let (fates, provider) = three(format, LONG, "", move |items, ledger| {
            let mut results = judged(items, ledger);
            results.remove(1);
            Act::answer(200, format.answer(&results))
        })
        .await;
        let expected = match format {
            // It could be anybody's that is missing.
            Format::Array => ["unknown UNREADABLE_ANSWER"; 3],
            Format::Requests => ["ok 201", "unknown MISSING_ENTRY", "ok 201"],
            Format::Entries => ["ok 200", "unknown MISSING_ENTRY", "ok 200"],
        };
        assert_eq!(fates, expected, "{format:?}");
        assert_eq!(provider.ledger.all().len(), 2);
    }
}

#[tokio::test]
async fn a_result_that_is_invented_is_nobodys() {
    for format in FORMATS {
        let (fates, _) = three(format, LONG, "", move |items, ledger| {
            let mut results = judged(items, ledger);
            results[0].0 = "17".to_owned();
            if !format.has_ids() {
                results.push(("17".to_owned(), 201));
            }
            Act::answer(200, format.answer(&results))
        })
        .await;
        let expected = match format {
            Format::Array => ["unknown UNREADABLE_ANSWER"; 3],
            Format::Requests => ["unknown MISSING_ENTRY", "refused HTTP_422", "ok 201"],
            Format::Entries => [
                "unknown MISSING_ENTRY",
                "refused INVALID_MESSAGE_CONTENTS",
                "ok 200",
            ],
        };
        assert_eq!(fates, expected, "{format:?}");
    }
}

#[tokio::test]
async fn results_come_in_any_order_twice_and_at_odds() {
    for (format, refused) in [
        (Format::Requests, "refused HTTP_422"),
        (Format::Entries, "refused INVALID_MESSAGE_CONTENTS"),
    ] {
        let (fates, _) = three(format, LONG, "", move |items, ledger| {
            let mut results = judged(items, ledger);
            results.reverse();
            results.extend(results.clone());
            // Of the last item, that it was done and that it was not.
            results.push((results[0].0.clone(), 422));
            Act::answer(200, format.answer(&results))
        })
        .await;
        assert_eq!(fates[1..], [refused, "unknown CONTRADICTORY_ENTRIES"]);
        assert!(fates[0].starts_with("ok"), "{fates:?}");
    }
}

#[tokio::test]
async fn of_an_answer_that_ends_too_early_what_came_counts() {
    for format in FORMATS {
        // The last result is cut within.
        let whole = format.answer(&[
            ("0".to_owned(), 201),
            ("1".to_owned(), 201),
            ("2".to_owned(), 201),
        ]);
        let mark = match format {
            Format::Array | Format::Requests => whole.rfind("\"status\""),
            Format::Entries => whole.rfind("\"MessageId\""),
        };
        let part = whole[..mark.expect("it is there")].to_owned();
        let long = whole.len() + 1000;
        for how in ["closed", "limit"] {
            let (part, padded) = (part.clone(), format!("{part}\"{}", "x".repeat(2000)));
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {long}\r\n\r\n");
            let (fates, _) = three(
                format,
                LONG,
                "max_answer = \"1KiB\"",
                move |_, _| match how {
                    "closed" => Act::raw(format!("{head}{part}")),
                    _ => Act::answer(200, padded.clone()),
                },
            )
            .await;
            if !format.has_ids() {
                // Nobody can count them, so that one may be missing before the end.
                assert_eq!(fates, ["unknown UNREADABLE_ANSWER"; 3], "{how}");
                continue;
            }
            assert!(fates[0].starts_with("ok"), "{format:?} {how}: {fates:?}");
            assert!(fates[1].starts_with("ok"), "{format:?} {how}: {fates:?}");
            assert_eq!(fates[2], "unknown MISSING_ENTRY", "{format:?} {how}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_not_known() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{";
    for (act, expected) in [
        (Act::Silence, "unknown TIMEOUT"),
        (
            Act::Raw(head.into(), Box::new(Act::Silence)),
            "unknown UNREADABLE_ANSWER",
        ),
    ] {
        let (fates, _) = three(Format::Requests, SHORT, "", move |_, _| act.clone()).await;
        assert_eq!(fates, [expected; 3]);
    }
}

#[tokio::test]
async fn what_was_never_delivered_is_unsent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for format in FORMATS {
        let target = target(&base, LONG, format.lines());
        for fate in start(&target, items(3), false).finish().await {
            let reply = fate.reply.expect("a reply");
            assert_eq!(said(&reply), "unsent CONNECT_FAILED");
            assert!(!fate.written);
        }
    }
}

#[tokio::test]
async fn a_chunk_goes_in_requests_of_what_the_provider_takes() {
    for (format, by_items) in FORMATS.into_iter().zip([1, 3, 1]) {
        for limit in ["", "max_bytes = \"1KiB\""] {
            let provider = Provider::fair(format).await;
            // That of SQS has one of its own, which this overrides.
            let target = target(
                &provider.http.base(),
                LONG,
                &format!("{}{limit}", format.lines()),
            );
            let replies = send(&target, items(60)).await;
            assert!(replies.iter().all(|reply| matches!(reply, Reply::Ok(_))));
            let got = provider.http.requests();
            if limit.is_empty() {
                assert_eq!(got.len(), by_items, "{format:?}");
            } else {
                assert!(got.len() > by_items, "{format:?}: {} requests", got.len());
                let most = got.iter().map(|request| request.body.len()).max();
                assert!(most <= Some(1024), "{format:?}: {most:?}");
            }
            let done = provider.ledger.all();
            assert_eq!(done.len(), 60);
            assert!(done.values().all(|times| *times == 1), "{done:?}");
        }
    }
}

#[tokio::test]
async fn what_is_stopped_between_requests_goes_back_to_the_queue() {
    let server = HttpTarget::start(|_| Act::answer(413, "")).await;
    let target = target(&server.base(), LONG, Format::Array.lines());
    let sending = start(&target, items(64), false);
    server.arrived(1).await;
    sending.stop.cancel();
    let (mut back, mut told) = (0, 0);
    for fate in sending.finish().await {
        if let Some(reply) = fate.reply {
            assert_eq!(said(&reply), "refused HTTP_413");
            told += 1;
        } else {
            assert!(!fate.written, "it may have been done");
            back += 1;
        }
    }
    assert_eq!(back + told, 64);
}
