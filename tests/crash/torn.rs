//! Targets that act, and whose answers do not come, or not whole. No crash: what
//! comes of each is certain.

use std::collections::BTreeMap;

use crate::checker::Fact;
use crate::client::{Client, How};
use crate::lives::{live, look_back};
use crate::site::Site;
use crate::support::program::serve;
use crate::work::{Ask, PLAIN, SAFE, Work};

const TORN: [Ask; 8] = [
    Ask::Ok,
    Ask::Lost,
    Ask::TornSilent,
    Ask::TornReset,
    Ask::TornHead,
    Ask::TornBody,
    Ask::FaultDone,
    Ask::Wait,
];

/// How often each item came to the target.
async fn arrivals(target: &'static str, asks: impl IntoIterator<Item = Ask>) -> Vec<usize> {
    let site = Site::new().await;
    let work = Work::of("a", target, asks);
    let count = work.pieces.len();
    let tags: Vec<String> = work.pieces.iter().map(|piece| piece.tag.clone()).collect();
    let mut clients = [Client::new(work, How::Stream(3), site.notes.clone(), 1)];
    let life = live(&site, &mut clients, serve(&site.config()), u64::MAX).await;
    let program = life.over();
    look_back(&site, &mut clients, program, false).await;
    let mut arrivals = BTreeMap::new();
    for seen in site.notes.run().facts {
        if let Fact::Arrived(arrived) = seen.what {
            *arrivals.entry(arrived.tag).or_insert(0) += 1;
        }
    }
    assert_eq!(arrivals.len(), count);
    tags.iter().map(|tag| arrivals[tag]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_nothing_is_sent_again_but_what_was_told_to_wait() {
    let expected = TORN.map(|ask| if ask == Ask::Wait { 2 } else { 1 });
    assert_eq!(arrivals(PLAIN, TORN).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_keys_what_has_no_answer_is_sent_again_and_answered_from_the_record() {
    let once = [Ask::Ok, Ask::TornBody];
    let expected = TORN.map(|ask| if once.contains(&ask) { 1 } else { 2 });
    assert_eq!(arrivals(SAFE, TORN).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_ends_after_the_answer_is_an_answer() {
    assert_eq!(arrivals(PLAIN, [Ask::TornAfter]).await, [1]);
    assert_eq!(arrivals(SAFE, [Ask::TornAfter]).await, [1]);
}
