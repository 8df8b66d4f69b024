//! The `http_batch` target among the kinds: all items of a chunk in one request,
//! answered in the order of the items.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use flowgate::config::{Config, HttpBatchConfig, TargetKind};
use flowgate::target::{Bulk, HttpBatch, Target};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::faults::withstands_every_fault;
use crate::kinds::Kind;
use crate::support::http_target::{Act, HttpTarget, Request};

#[tokio::test]
async fn http_batch() {
    let upstream = HttpTarget::start(|request| {
        let results: Vec<Value> = numbers(request)
            .iter()
            .map(|n| json!({"status": 201, "id": n}))
            .collect();
        Act::answer(200, json!({ "results": results }).to_string())
    })
    .await;
    let kind = Batches {
        upstream,
        seen: AtomicUsize::new(0),
    };
    withstands_every_fault(&kind).await;
}

/// The items of a request.
fn numbers(request: &Request) -> Vec<u64> {
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let items = body["items"].as_array().expect("a list");
    let number = |item: &Value| item["n"].as_u64().expect("a number");
    items.iter().map(number).collect()
}

struct Batches {
    upstream: HttpTarget,
    seen: AtomicUsize,
}

impl Batches {
    fn config(&self) -> HttpBatchConfig {
        let text = format!(
            r#"
            [targets.guests]
            kind = "http_batch"
            url = "{}"
            path = "/batch"
            limits = ["100/s"]
            [targets.guests.batch]
            items = "/items"
            results = "/results"
            result_status = "/status"
            "#,
            self.upstream.base()
        );
        let config = Config::parse(&text, Path::new("/"), &|_| None);
        let mut config = config.unwrap_or_else(|error| panic!("{error}"));
        match config.targets.remove(0).kind {
            TargetKind::HttpBatch(config) => *config,
            other => panic!("{other:?}"),
        }
    }
}

impl Kind for Batches {
    fn name(&self) -> &'static str {
        "http_batch"
    }

    fn upstream(&self) -> SocketAddr {
        self.upstream.address()
    }

    fn target(&self, at: SocketAddr, timeout: Duration) -> Arc<dyn Target> {
        let mut config = self.config();
        config.http.connect.base = format!("http://{at}").parse().expect("an address");
        config.http.timeout = timeout;
        let batch = HttpBatch::new(&config).expect("a good configuration");
        Arc::new(Bulk::new(batch))
    }

    fn done(&self, count: u32) -> BoxFuture<'_, Vec<usize>> {
        let requests = self.upstream.requests();
        let new = &requests[self.seen.swap(requests.len(), Relaxed)..];
        let done: Vec<u64> = new.iter().flat_map(numbers).collect();
        let times = |n: u32| done.iter().filter(|done| **done == u64::from(n)).count();
        let times = (0..count).map(times).collect();
        async move { times }.boxed()
    }

    fn at_risk(&self) -> usize {
        usize::MAX
    }
}
