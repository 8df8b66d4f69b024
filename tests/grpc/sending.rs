//! Sends items to a target as its lane would, and says what became of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flowgate::config::{ConnectConfig, GrpcConfig, GrpcMethod, Protocol};
use flowgate::limiter::{Gate, GateSpec};
use flowgate::model::{
    BatchId, Cause, Chunk, Cost, Form, GrpcCall, Item, Operation, Pace, Payload, Reply,
};
use flowgate::target::{Ahead, Each, Grpc, Incoming, Target, wire};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::guests;

/// Long enough that no test waits for it.
pub const LONG: Duration = Duration::from_mins(1);
/// The time-out of those tests that wait for one.
pub const SHORT: Duration = Duration::from_millis(200);

/// A target whose messages are known from the start.
pub fn config(base: &str) -> GrpcConfig {
    GrpcConfig {
        connect: ConnectConfig {
            connect_timeout: LONG,
            idle_timeout: LONG,
            protocol: Protocol::Http2,
            ..ConnectConfig::to(base.parse().unwrap())
        },
        method: GrpcMethod::parse(guests::CREATE).unwrap(),
        allow_methods: Vec::new(),
        idempotent_methods: Vec::new(),
        descriptors: Some(guests::pool()),
        allow_headers: Vec::new(),
        headers: Vec::new(),
        idempotency_header: None,
        key_window: Duration::from_hours(24),
        repeatable: false,
        timeout: LONG,
        reply_limit: 1000,
        busy_unavailable: false,
        max_retry_after: LONG,
    }
}

/// A target that is asked what its messages look like.
pub fn reflecting(base: &str) -> GrpcConfig {
    GrpcConfig {
        descriptors: None,
        ..config(base)
    }
}

pub fn target(config: &GrpcConfig) -> Arc<dyn Target> {
    Arc::new(Each::new(Grpc::new(config).expect("a good configuration")))
}

pub fn batch() -> BatchId {
    BatchId::parse("0191e0a0-0000-7000-8000-000000000001").expect("an id")
}

/// An item with a JSON payload.
pub fn item(index: u32, json: &str) -> Item {
    payload(index, Form::JsonText, None, json.as_bytes().to_vec())
}

pub fn payload(index: u32, form: Form, content_type: Option<&str>, body: Vec<u8>) -> Item {
    Item {
        index,
        id: None,
        key: None,
        payload: Some(Payload {
            form,
            content_type: content_type.map(str::to_owned),
            body: Bytes::from(body),
        }),
        operation: Operation::Target,
    }
}

/// The same for another method, with metadata.
pub fn calling(mut item: Item, method: &str, metadata: &[(&str, &str)]) -> Item {
    let entry = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    item.operation = Operation::Grpc(GrpcCall {
        method: method.to_owned(),
        metadata: metadata.iter().map(entry).collect(),
    });
    item
}

/// Guests whose names are their places, from 0.
pub fn items(count: u32) -> Vec<Item> {
    let json = |n| format!(r#"{{"name": "{n}", "email": "{n}@example.com"}}"#);
    (0..count).map(|n| item(n, &json(n))).collect()
}

/// A chunk on its way.
pub struct Sending {
    pub incoming: Incoming,
    ahead: Arc<Ahead>,
    items: u32,
}

pub fn start(target: &Arc<dyn Target>, items: Vec<Item>, concurrency: u32) -> Sending {
    let gate = Gate::new(GateSpec {
        limits: Vec::new(),
        pace: Pace::Window,
        transit: Duration::ZERO,
        concurrency: vec![concurrency],
        spent: Vec::new(),
    });
    let ahead = Ahead::new(0, Arc::new(Notify::new()));
    let count = u32::try_from(items.len()).unwrap();
    let stop = CancellationToken::new();
    let (wire, incoming) = wire(gate, 0, Cost::ITEM, count, ahead.clone(), stop);
    let chunk = Chunk {
        batch: batch(),
        items: items.into(),
        is_atomic: false,
    };
    tokio::spawn(target.clone().send(chunk, wire));
    Sending {
        incoming,
        ahead,
        items: count,
    }
}

/// What became of an item.
#[derive(Debug)]
pub struct Fate {
    pub reply: Reply,
    pub written: bool,
}

impl Sending {
    /// Waits for the end, and that each item has one reply.
    pub async fn finish(mut self) -> Vec<Fate> {
        let mut replies: Vec<Option<Reply>> = (0..self.items).map(|_| None).collect();
        while let Some((index, reply)) = self.incoming.next().await {
            let before = replies[index as usize].replace(reply);
            assert!(before.is_none(), "two replies for item {index}");
        }
        let fates = (0u32..).zip(replies).map(|(index, reply)| Fate {
            written: self.incoming.written(index),
            reply: reply.expect("a reply"),
        });
        let fates = fates.collect();
        drop(self.incoming);
        assert_eq!(self.ahead.items(), 0, "the count of what is ahead adds up");
        fates
    }
}

pub async fn send(target: &Arc<dyn Target>, items: Vec<Item>) -> Vec<Fate> {
    start(target, items, 1000).finish().await
}

/// Sends one item.
pub async fn send_one(target: &Arc<dyn Target>, item: Item) -> Fate {
    let item = Item { index: 0, ..item };
    send(target, vec![item]).await.remove(0)
}

/// A reply in short: its kind, and its reason, or its status and what is wrong
/// with its body.
pub fn said(reply: &Reply) -> String {
    let (kind, cause) = match reply {
        Reply::Ok(answer) => {
            let cut = if answer.truncated { ", cut" } else { "" };
            return format!("ok {}{cut}", answer.status);
        }
        Reply::RolledBack(cause) => ("rolled back", cause),
        Reply::Refused(cause) => ("refused", cause),
        Reply::Busy(cause) => ("busy", cause),
        Reply::Fault(cause) => ("fault", cause),
        Reply::Unsent(cause) => ("unsent", cause),
        Reply::Unknown(cause) => ("unknown", cause),
    };
    format!("{kind} {}", cause.reason)
}

/// Why an item was not done.
pub fn cause(reply: &Reply) -> &Cause {
    match reply {
        Reply::Ok(_) => panic!("it was done"),
        Reply::RolledBack(cause)
        | Reply::Refused(cause)
        | Reply::Busy(cause)
        | Reply::Fault(cause)
        | Reply::Unsent(cause)
        | Reply::Unknown(cause) => cause,
    }
}

/// The body of a reply, with its form.
pub fn body(reply: &Reply) -> Option<(Form, String)> {
    let Reply::Ok(answer) = reply else {
        panic!("it was not done: {reply:?}");
    };
    let body = answer.body.as_ref()?;
    let text = String::from_utf8_lossy(&body.body).into_owned();
    Some((body.form, text))
}
