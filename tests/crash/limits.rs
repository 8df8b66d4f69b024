//! A limit on a target holds over a crash: what was sent before it still counts.

use crate::checker::{Limit, Quota, Run, Target};
use crate::client::{Client, How};
use crate::lives::{Life, live, look_back};
use crate::site::Site;
use crate::support::program::serve;
use crate::work::{Ask, Work};

const LIMITED: &str = "limited";

/// Requests a window, and the window in milliseconds.
const COUNT: u32 = 20;
const WINDOW_MS: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_holds_too_many_over_a_crash() {
    // What a request may take to get here is generous: it is measured where a
    // busy machine may come to it late.
    let settings = format!(
        r#"
        [targets.{LIMITED}]
        kind = "http"
        url = "URL"
        path = "/{LIMITED}"
        limits = ["{COUNT}/{WINDOW_MS}ms"]
        transit = "2s"
        "#
    );
    let limit = Limit {
        count: COUNT,
        per: WINDOW_MS * 1_000_000,
    };
    let run = Run {
        quotas: vec![Quota {
            name: LIMITED.to_owned(),
            limits: vec![limit],
        }],
        targets: vec![Target {
            name: LIMITED.to_owned(),
            quota: LIMITED.to_owned(),
        }],
        facts: Vec::new(),
    };
    let site = Site::with(&settings, run).await;
    let work = Work::of("a", LIMITED, [Ask::Ok; 70]);
    let mut clients = [Client::new(work, How::Unary, site.notes.clone(), 1)];
    // Two events for each request: in the middle of the second window.
    let first = live(&site, &mut clients, serve(&site.config()), 60).await;
    assert!(matches!(first, Life::Ended(_)), "it was not killed");
    let second = live(&site, &mut clients, serve(&site.config()), u64::MAX).await;
    let program = second.over();
    look_back(&site, &mut clients, program, true).await;
}
