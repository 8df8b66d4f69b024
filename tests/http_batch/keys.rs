//! Keys: of a whole request, and of each item in it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::provider::{Format, Provider, judged};
use crate::sending::{batch, item, items, send, target};
use crate::support::http_target::Act;

#[tokio::test]
async fn a_key_of_a_request_is_the_same_for_the_same_items_only() {
    let provider = Provider::start(Format::Array, |items, ledger| match items.len() {
        8 => Act::answer(413, ""),
        _ => Act::answer(200, Format::Array.answer(&judged(items, ledger))),
    })
    .await;
    let own = "idempotency_header = \"Idempotency-Key\"";
    let target = target(&provider.http.base(), own, Format::Array.lines());
    for _ in 0..2 {
        send(&target, items(8)).await;
    }
    let keys: Vec<String> = provider
        .http
        .requests()
        .iter()
        .map(|request| request.header("idempotency-key").expect("a key").to_owned())
        .collect();
    assert_eq!(keys.len(), 6);
    assert_eq!(keys[..3], keys[3..], "the same on every try");
    let different: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(different.len(), 3, "the whole, and each half");
    // Items may come in other company, so that it makes nothing safe.
    assert_eq!(target.repeatable_for(&item(0, false)), Duration::ZERO);
    assert!(!target.honours_keys());
}

#[tokio::test]
async fn a_key_of_each_item_is_its_own_in_any_company() {
    for (format, own, more, at) in [
        (
            Format::Requests,
            "idempotency_header = \"Idempotency-Key\"\nkey_window = \"2h\"",
            "",
            "/requests/0/headers/idempotency-key",
        ),
        (
            Format::Entries,
            "key_window = \"2h\"",
            "entry_key = \"/MessageDeduplicationId\"",
            "/Entries/0/MessageDeduplicationId",
        ),
    ] {
        let provider = Provider::fair(format).await;
        let lines = format!("{}{more}", format.lines());
        let target = target(&provider.http.base(), own, &lines);
        let mut mine = item(3, false);
        mine.key = Some("mine".to_owned());
        for items in [
            vec![mine.clone(), item(4, false)],
            vec![mine],
            vec![item(4, false)],
        ] {
            send(&target, items).await;
        }
        let keys: Vec<String> = provider
            .http
            .requests()
            .iter()
            .map(|request| {
                assert_eq!(request.header("idempotency-key"), None);
                let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
                body.pointer(at)
                    .and_then(|key| key.as_str())
                    .expect("a key")
                    .to_owned()
            })
            .collect();
        let made_up = format!("flowgate-{}-4", batch());
        assert_eq!(keys, ["mine", "mine", &made_up]);
        let window = target.repeatable_for(&item(0, false));
        assert_eq!(window, Duration::from_hours(2));
        assert!(target.honours_keys());
    }
}

#[test]
fn what_is_safe_to_repeat_follows_from_what_the_target_knows() {
    let of = |own: &str, lines: &str| {
        let target = target("http://127.0.0.1:9", own, lines);
        (
            target.repeatable_for(&item(0, false)),
            target.honours_keys(),
        )
    };
    let key = "idempotency_header = \"K\"";
    let day = Duration::from_hours(24);
    let put = "preset = \"graph\"\nitem_path = \"/u\"\nitem_method = \"PUT\"";
    for (own, lines, expected) in [
        ("", Format::Array.lines(), (Duration::ZERO, false)),
        (
            "repeatable = true",
            Format::Array.lines(),
            (Duration::MAX, false),
        ),
        // A request of one item is always the same set.
        (key, "max_items = 1", (day, true)),
        (key, "max_items = 2", (Duration::ZERO, false)),
        (key, Format::Requests.lines(), (day, true)),
        ("", Format::Requests.lines(), (Duration::ZERO, false)),
        ("", put, (Duration::MAX, false)),
        ("idempotent_methods = false", put, (Duration::ZERO, false)),
        // That is how long SQS knows one.
        (
            "",
            "preset = \"sqs\"\nentry_key = \"/MessageDeduplicationId\"",
            (Duration::from_mins(5), true),
        ),
    ] {
        assert_eq!(of(own, lines), expected, "{own} {lines}");
    }
}
