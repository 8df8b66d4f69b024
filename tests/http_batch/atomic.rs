//! All or nothing, where the provider says that it can.

use serde_json::json;

use crate::provider::{Format, Provider, judged};
use crate::sending::{item, items, said, start, target};
use crate::support::http_target::Act;

async fn whole(provider: &Provider, count: u32, bad: Option<u32>) -> Vec<String> {
    let lines = format!("{}atomic = true\nmax_items = 20", Format::Array.lines());
    let target = target(&provider.http.base(), "", &lines);
    assert_eq!(target.atomic_items(), Some(20));
    let items = (0..count).map(|n| item(n, Some(n) == bad)).collect();
    let fates = start(&target, items, true).finish().await;
    let reply = |fate: crate::sending::Fate| said(&fate.reply.expect("a reply"));
    fates.into_iter().map(reply).collect()
}

#[tokio::test]
async fn who_is_at_fault_is_named_and_the_others_are_undone() {
    let provider = Provider::start(Format::Array, |items, _| {
        let bad = items.iter().position(|item| item.is_bad);
        let body = json!({"problems": [{"index": bad, "status": 422}]});
        Act::answer(422, body.to_string())
    })
    .await;
    let fates = whole(&provider, 3, Some(1)).await;
    assert_eq!(
        fates,
        [
            "rolled back ANOTHER_REFUSED",
            "refused HTTP_422",
            "rolled back ANOTHER_REFUSED"
        ]
    );
    assert_eq!(provider.http.requests().len(), 1, "never in part");
}

#[tokio::test]
async fn where_nobody_is_named_all_are_refused_at_once() {
    for status in [400, 422, 413] {
        let provider = Provider::start(Format::Array, move |_, _| Act::answer(status, "")).await;
        let fates = whole(&provider, 8, None).await;
        assert_eq!(fates, vec![format!("refused HTTP_{status}"); 8]);
        assert_eq!(provider.http.requests().len(), 1, "never in part");
    }
}

#[tokio::test]
async fn all_are_done_in_one_request() {
    let provider = Provider::start(Format::Array, |items, ledger| {
        Act::answer(200, Format::Array.answer(&judged(items, ledger)))
    })
    .await;
    assert_eq!(whole(&provider, 20, None).await, ["ok 201"; 20]);
    assert_eq!(provider.http.requests().len(), 1);
}

#[tokio::test]
async fn a_batch_each_for_itself_goes_on_without_the_bad_one() {
    let provider = Provider::start(Format::Array, |items, ledger| {
        match items.iter().any(|item| item.is_bad) {
            true => Act::answer(422, ""),
            false => Act::answer(200, Format::Array.answer(&judged(items, ledger))),
        }
    })
    .await;
    let lines = format!("{}atomic = true", Format::Array.lines());
    let target = target(&provider.http.base(), "", &lines);
    let ten = (0..10).map(|n| item(n, n == 3)).collect();
    let fates = start(&target, ten, false).finish().await;
    let refused = fates
        .iter()
        .filter(|fate| said(fate.reply.as_ref().unwrap()) == "refused HTTP_422");
    assert_eq!(refused.count(), 1);
    assert_eq!(provider.ledger.all().len(), 9);
}

#[tokio::test]
async fn a_target_that_cannot_says_so() {
    let target = target("http://127.0.0.1:9", "", Format::Array.lines());
    assert_eq!(target.atomic_items(), None);
    assert_eq!(items(1).len(), 1);
}
