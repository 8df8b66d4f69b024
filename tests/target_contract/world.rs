//! A target, a chunk for it, and what became of each item.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flowgate::config::{ConnectConfig, HttpConfig, Protocol};
use flowgate::limiter::{Gate, GateSpec};
use flowgate::model::{BatchId, Chunk, Cost, Form, Item, Operation, Pace, Payload, Reply};
use flowgate::target::{Ahead, Each, Http, Incoming, Target, wire};
use http::{HeaderName, Method};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Long enough that no test waits for it.
pub const LONG: Duration = Duration::from_mins(1);
/// The time-out of those tests that wait for one.
pub const SHORT: Duration = Duration::from_millis(200);

pub fn config(base: &str) -> HttpConfig {
    HttpConfig {
        connect: ConnectConfig {
            connect_timeout: LONG,
            idle_timeout: LONG,
            ..ConnectConfig::to(base.parse().unwrap())
        },
        method: Method::POST,
        path: "/guests".to_owned(),
        actions: BTreeMap::new(),
        allow_calls: true,
        allow_headers: Vec::new(),
        headers: Vec::new(),
        idempotency_header: Some(HeaderName::from_static("idempotency-key")),
        key_window: Duration::from_hours(24),
        repeatable: false,
        idempotent_methods: true,
        timeout: LONG,
        reply_limit: 1000,
        busy_503: true,
        max_retry_after: LONG,
    }
}

/// The same, reached otherwise.
pub fn connecting(mut config: HttpConfig, change: impl FnOnce(&mut ConnectConfig)) -> HttpConfig {
    change(&mut config.connect);
    config
}

pub fn speaking(protocol: Protocol, config: HttpConfig) -> HttpConfig {
    connecting(config, |connect| connect.protocol = protocol)
}

pub fn target(config: &HttpConfig) -> Arc<dyn Target> {
    Arc::new(Each::new(Http::new(config).expect("a good configuration")))
}

/// The kinds of target that the table of faults is run over.
pub fn kinds(base: &str, timeout: Duration) -> Vec<(&'static str, Arc<dyn Target>)> {
    [("http/1.1", Protocol::Http1), ("http/2", Protocol::Http2)]
        .map(|(name, protocol)| {
            let config = HttpConfig {
                timeout,
                ..config(base)
            };
            (name, target(&speaking(protocol, config)))
        })
        .into()
}

pub fn batch() -> BatchId {
    BatchId::parse("0191e0a0-0000-7000-8000-000000000001").expect("an id")
}

pub fn items(count: u32) -> Vec<Item> {
    let item = |index| Item {
        index,
        id: None,
        key: None,
        payload: Some(Payload {
            form: Form::JsonText,
            content_type: None,
            body: Bytes::from(format!(r#"{{"n": {index}}}"#)),
        }),
        operation: Operation::Target,
    };
    (0..count).map(item).collect()
}

/// A chunk on its way.
pub struct Sending {
    pub incoming: Incoming,
    pub stop: CancellationToken,
    pub ahead: Arc<Ahead>,
    pub items: u32,
}

pub fn start(target: &Arc<dyn Target>, items: Vec<Item>, concurrency: u32) -> Sending {
    start_at(&gate(concurrency), target, items)
}

/// A gate without limits.
pub fn gate(concurrency: u32) -> Gate {
    Gate::new(GateSpec {
        limits: Vec::new(),
        pace: Pace::Window,
        transit: Duration::ZERO,
        concurrency: vec![concurrency],
        spent: Vec::new(),
    })
}

pub fn start_at(gate: &Gate, target: &Arc<dyn Target>, items: Vec<Item>) -> Sending {
    let stop = CancellationToken::new();
    let ahead = Ahead::new(0, Arc::new(Notify::new()));
    let count = u32::try_from(items.len()).unwrap();
    let (wire, incoming) = wire(
        gate.clone(),
        0,
        Cost::ITEM,
        count,
        ahead.clone(),
        stop.clone(),
    );
    let chunk = Chunk {
        batch: batch(),
        items: items.into(),
        is_atomic: false,
    };
    tokio::spawn(target.clone().send(chunk, wire));
    Sending {
        incoming,
        stop,
        ahead,
        items: count,
    }
}

/// What became of an item.
#[derive(Debug)]
pub struct Fate {
    pub reply: Option<Reply>,
    pub written: bool,
}

impl Sending {
    /// Waits for the end, and that no item has two replies.
    pub async fn finish(mut self) -> Vec<Fate> {
        let mut replies: Vec<Option<Reply>> = (0..self.items).map(|_| None).collect();
        while let Some((index, reply)) = self.incoming.next().await {
            let before = replies[index as usize].replace(reply);
            assert!(before.is_none(), "two replies for item {index}");
        }
        let written = |index| self.incoming.written(index);
        let fates = (0u32..).zip(replies).map(|(index, reply)| Fate {
            written: written(index),
            reply,
        });
        let fates = fates.collect();
        drop(self.incoming);
        assert_eq!(self.ahead.items(), 0, "the count of what is ahead adds up");
        fates
    }
}

/// Sends some items, each of which must have its reply.
pub async fn send(target: &Arc<dyn Target>, items: Vec<Item>) -> Vec<Reply> {
    let fates = start(target, items, 1000).finish().await;
    let reply = |fate: Fate| fate.reply.expect("a reply");
    fates.into_iter().map(reply).collect()
}

/// Sends one item.
pub async fn send_one(target: &Arc<dyn Target>) -> Reply {
    send(target, items(1)).await.remove(0)
}

/// The kind of a reply, and its reason or status.
pub fn said(reply: &Reply) -> (&'static str, String) {
    match reply {
        Reply::Ok(answer) if answer.truncated => ("ok, cut", answer.status.to_string()),
        Reply::Ok(answer) => ("ok", answer.status.to_string()),
        Reply::RolledBack(cause) => ("rolled back", cause.reason.clone()),
        Reply::Refused(cause) => ("refused", cause.reason.clone()),
        Reply::Busy(cause) => ("busy", cause.reason.clone()),
        Reply::Fault(cause) => ("fault", cause.reason.clone()),
        Reply::Unsent(cause) => ("unsent", cause.reason.clone()),
        Reply::Unknown(cause) => ("unknown", cause.reason.clone()),
    }
}

pub fn is(reply: &Reply, kind: &str, reason: &str) -> bool {
    said(reply) == (kind, reason.to_owned())
}

pub fn own(reply: &Reply) -> String {
    let (kind, reason) = said(reply);
    format!("{kind} {reason}")
}
