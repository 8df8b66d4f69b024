//! A chunk on its way through a target, without a lane.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use flowgate::config::{Config, TargetKind};
use flowgate::limiter::{Gate, GateSpec};
use flowgate::model::{BatchId, Chunk, Cost, Form, Item, Operation, Pace, Payload, Reply};
use flowgate::target::{Ahead, Bulk, HttpBatch, Incoming, Target, wire};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::patience::within;

/// A target with these lines in its own table, and in that of its batch.
pub fn target(base: &str, own: &str, batch: &str) -> Arc<dyn Target> {
    let text = format!(
        "[targets.t]\nkind = \"http_batch\"\nurl = \"{base}/v1\"\npath = \"/batch\"\n\
         {own}\n[targets.t.batch]\n{batch}"
    );
    let config = Config::parse(&text, Path::new(""), &|_: &str| None);
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    match &config.targets[0].kind {
        TargetKind::HttpBatch(batch) => {
            Arc::new(Bulk::new(HttpBatch::new(batch).expect("a target")))
        }
        other => panic!("{other:?}"),
    }
}

pub fn batch() -> BatchId {
    BatchId::parse("0191e0a0-0000-7000-8000-000000000001").expect("an id")
}

/// An item that a provider knows by its number.
pub fn item(n: u32, is_bad: bool) -> Item {
    Item {
        index: n,
        id: None,
        key: None,
        payload: Some(Payload {
            form: Form::JsonText,
            content_type: None,
            body: Bytes::from(format!(r#"{{"n": {n}, "bad": {is_bad}}}"#)),
        }),
        operation: Operation::Target,
    }
}

pub fn items(count: u32) -> Vec<Item> {
    (0..count).map(|n| item(n, false)).collect()
}

/// A chunk on its way.
pub struct Sending {
    pub incoming: Incoming,
    pub stop: CancellationToken,
    ahead: Arc<Ahead>,
    items: u32,
}

/// What became of an item.
#[derive(Debug)]
pub struct Fate {
    pub reply: Option<Reply>,
    pub written: bool,
}

pub fn start(target: &Arc<dyn Target>, items: Vec<Item>, is_atomic: bool) -> Sending {
    let gate = Gate::new(GateSpec {
        limits: Vec::new(),
        pace: Pace::Window,
        transit: std::time::Duration::ZERO,
        concurrency: vec![4],
        spent: Vec::new(),
    });
    let stop = CancellationToken::new();
    let ahead = Ahead::new(0, Arc::new(Notify::new()));
    let count = u32::try_from(items.len()).expect("so many");
    let (wire, incoming) = wire(gate, 0, Cost::REQUEST, count, ahead.clone(), stop.clone());
    let chunk = Chunk {
        batch: batch(),
        items: items.into(),
        is_atomic,
    };
    tokio::spawn(target.clone().send(chunk, wire));
    Sending {
        incoming,
        stop,
        ahead,
        items: count,
    }
}

impl Sending {
    /// Waits for the end, and that no item has two replies.
    pub async fn finish(mut self) -> Vec<Fate> {
        let mut replies: Vec<Option<Reply>> = (0..self.items).map(|_| None).collect();
        let all = async {
            while let Some((index, reply)) = self.incoming.next().await {
                let before = replies[index as usize].replace(reply);
                assert!(before.is_none(), "two replies for item {index}");
            }
        };
        within("the chunk's end", all).await;
        let fates = (0u32..).zip(replies).map(|(index, reply)| Fate {
            written: self.incoming.written(index),
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
    let fates = start(target, items, false).finish().await;
    let reply = |fate: Fate| fate.reply.expect("a reply");
    fates.into_iter().map(reply).collect()
}

/// The kind of a reply, and its reason or status.
pub fn said(reply: &Reply) -> String {
    match reply {
        Reply::Ok(answer) => format!("ok {}", answer.status),
        Reply::RolledBack(cause) => format!("rolled back {}", cause.reason),
        Reply::Refused(cause) => format!("refused {}", cause.reason),
        Reply::Busy(cause) => format!("busy {}", cause.reason),
        Reply::Fault(cause) => format!("fault {}", cause.reason),
        Reply::Unsent(cause) => format!("unsent {}", cause.reason),
        Reply::Unknown(cause) => format!("unknown {}", cause.reason),
    }
}

/// All of some replies.
pub fn all_said(replies: &[Reply]) -> Vec<String> {
    replies.iter().map(said).collect()
}
