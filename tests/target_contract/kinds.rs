//! The kinds of target that the table of faults is run over: one function each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use flowgate::config::{HttpConfig, Protocol};
use flowgate::model::Item;
use flowgate::target::Target;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::support::http_target::{Act, HttpTarget};
use crate::world::*;

/// A kind of target, with a healthy upstream that keeps a ledger.
pub trait Kind: Send + Sync {
    /// What it is called where a test fails.
    fn name(&self) -> &'static str;

    /// Where the upstream is.
    fn upstream(&self) -> SocketAddr;

    /// A target that finds its downstream at this address, and waits so long
    /// for an answer.
    fn target(&self, at: SocketAddr, timeout: Duration) -> Arc<dyn Target>;

    /// Items that the upstream takes and that can be told apart in its ledger.
    fn items(&self, count: u32) -> Vec<Item> {
        items(count)
    }

    /// How often the upstream did each of so many items since this was last
    /// asked. It is asked when the upstream has nothing left to do.
    fn done(&self, count: u32) -> BoxFuture<'_, Vec<usize>>;

    /// How many items of a chunk one broken connection may take with it, where
    /// they go out one request after the other.
    fn at_risk(&self) -> usize {
        1
    }

    /// The most bytes of nonsense that it reads before it has enough.
    fn patience_bytes(&self) -> u64 {
        4 << 20
    }
}

/// The `http` target over HTTP/1.1.
pub async fn http1() -> Box<dyn Kind> {
    OverHttp::start("http/1.1", Protocol::Http1).await
}

/// The `http` target over HTTP/2.
pub async fn http2() -> Box<dyn Kind> {
    OverHttp::start("http/2", Protocol::Http2).await
}

struct OverHttp {
    name: &'static str,
    protocol: Protocol,
    upstream: HttpTarget,
    seen: AtomicUsize,
}

impl OverHttp {
    async fn start(name: &'static str, protocol: Protocol) -> Box<dyn Kind> {
        Box::new(OverHttp {
            name,
            protocol,
            upstream: HttpTarget::start(|_| Act::answer(201, r#"{"id": "17"}"#)).await,
            seen: AtomicUsize::new(0),
        })
    }
}

impl Kind for OverHttp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn upstream(&self) -> SocketAddr {
        self.upstream.address()
    }

    fn target(&self, at: SocketAddr, timeout: Duration) -> Arc<dyn Target> {
        let config = HttpConfig {
            timeout,
            ..config(&format!("http://{at}"))
        };
        target(&speaking(self.protocol, config))
    }

    fn done(&self, count: u32) -> BoxFuture<'_, Vec<usize>> {
        let requests = self.upstream.requests();
        let new = &requests[self.seen.swap(requests.len(), Relaxed)..];
        let done = |item: &Item| {
            let body = item.payload.as_ref().map(|payload| &payload.body);
            new.iter().filter(|r| Some(&r.body) == body).count()
        };
        let done = self.items(count).iter().map(done).collect();
        async move { done }.boxed()
    }
}
