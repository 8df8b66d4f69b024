//! A database, a target in front of it, and chunks for that.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flowgate::config::{Config, PostgresConfig, TargetKind};
use flowgate::limiter::{Gate, GateSpec};
use flowgate::model::{
    Action, BatchId, Chunk, Cost, Form, Item, Operation, Pace, Payload, Reply, Verb,
};
use flowgate::target::{Ahead, Bulk, Postgres, Target, wire};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::patience::within;
use crate::support::postgres::Cluster;

/// Guests, with a bit of everything that can be wrong with one.
pub const GUESTS: &str = "
    CREATE TABLE guests (
        id bigserial PRIMARY KEY,
        email text NOT NULL CONSTRAINT email_is_free UNIQUE,
        name varchar(20),
        visits int NOT NULL DEFAULT 1 CONSTRAINT visits_are_some CHECK (visits >= 0)
    )";

/// What a target's configuration says.
pub fn config(url: &str, settings: &str) -> PostgresConfig {
    config_with(url, "", settings)
}

/// The same, with keys that are not only this kind's.
pub fn config_with(url: &str, common: &str, settings: &str) -> PostgresConfig {
    let text = format!(
        "[targets.guests]\nkind = \"postgres\"\nurl = \"{url}\"\n{common}\n\
         [targets.guests.postgres]\n{settings}\n"
    );
    let env = |name: &str| (name == "PGPASSWORD").then(|| "hunter2".to_owned());
    let config = Config::parse(&text, Path::new("/"), &env);
    let mut config = config.unwrap_or_else(|error| panic!("{error}"));
    match config.targets.remove(0).kind {
        TargetKind::Postgres(postgres) => *postgres,
        other => panic!("{other:?}"),
    }
}

pub fn target(config: PostgresConfig) -> Arc<dyn Target> {
    Arc::new(Bulk::new(
        Postgres::new(config).expect("a good configuration"),
    ))
}

/// The same, with nobody who looks at the table in the background.
pub fn unattended(config: PostgresConfig) -> Arc<dyn Target> {
    let made = std::thread::spawn(|| target(config));
    made.join().expect("a target")
}

/// A target for the table `guests`.
pub fn guests(cluster: &Cluster, settings: &str) -> Arc<dyn Target> {
    let settings = format!("table = \"guests\"\n{settings}");
    target(config(&cluster.url(), &settings))
}

/// An item with a payload.
pub fn item(json: impl Into<String>) -> Item {
    let json: String = json.into();
    Item {
        index: 0,
        id: None,
        key: None,
        payload: Some(Payload {
            form: Form::JsonText,
            content_type: None,
            body: Bytes::from(json),
        }),
        operation: Operation::Target,
    }
}

/// The same, for what it says to do.
pub fn doing(verb: Verb, resource_id: &str, json: &str) -> Item {
    let mut item = item(json);
    if json.is_empty() {
        item.payload = None;
    }
    item.operation = Operation::Action(Action {
        verb,
        resource_id: resource_id.to_owned(),
    });
    item
}

/// Items of guests, by number.
pub fn numbered(count: usize) -> Vec<Item> {
    let guest = |n| {
        item(format!(
            r#"{{"email":"guest.{n}@example.net","name":"Guest {n}"}}"#
        ))
    };
    (0..count).map(guest).collect()
}

/// A batch of the test's own.
pub fn batch(number: u8) -> BatchId {
    BatchId::parse(&format!("0191e0a0-0000-7000-8000-0000000000{number:02}")).expect("an id")
}

/// Sends a chunk; the reply to each item.
pub async fn send(target: &Arc<dyn Target>, items: Vec<Item>) -> Vec<Reply> {
    sent(target, items, 1, false).await
}

/// The same, all or none.
pub async fn send_all(target: &Arc<dyn Target>, items: Vec<Item>) -> Vec<Reply> {
    sent(target, items, 1, true).await
}

/// The same, as a batch of that number.
pub async fn sent(
    target: &Arc<dyn Target>,
    mut items: Vec<Item>,
    number: u8,
    is_atomic: bool,
) -> Vec<Reply> {
    let gate = Gate::new(GateSpec {
        limits: Vec::new(),
        pace: Pace::Window,
        transit: Duration::ZERO,
        concurrency: vec![100],
        spent: Vec::new(),
    });
    let ahead = Ahead::new(0, Arc::new(Notify::new()));
    let count = u32::try_from(items.len()).expect("a chunk");
    for (index, item) in (0..).zip(&mut items) {
        item.index = index;
    }
    let stop = CancellationToken::new();
    let (wire, mut incoming) = wire(gate, 0, Cost::REQUEST, count, ahead, stop);
    let chunk = Chunk {
        batch: batch(number),
        items: items.into(),
        is_atomic,
    };
    tokio::spawn(target.clone().send(chunk, wire));
    let mut replies: Vec<Option<Reply>> = vec![None; count as usize];
    let reading = async {
        while let Some((index, reply)) = incoming.next().await {
            let before = replies[index as usize].replace(reply);
            assert!(before.is_none(), "two replies for item {index}");
        }
    };
    within("the replies", reading).await;
    let reply = |reply: Option<Reply>| reply.expect("a reply for each item");
    replies.into_iter().map(reply).collect()
}

/// What a reply comes to: `201 {"id": 1}`, `refused SQLSTATE_23505 payload.email`.
pub fn own(reply: &Reply) -> String {
    let (kind, cause) = match reply {
        Reply::Ok(answer) => {
            let body = answer.body.as_ref().map(|body| body.body.clone());
            let body = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
            return format!("{} {body}", answer.status).trim_end().to_owned();
        }
        Reply::Refused(cause) => ("refused", cause),
        Reply::RolledBack(cause) => ("rolled back", cause),
        Reply::Busy(cause) => ("busy", cause),
        Reply::Fault(cause) => ("fault", cause),
        Reply::Unsent(cause) => ("unsent", cause),
        Reply::Unknown(cause) => ("unknown", cause),
    };
    let fields = cause
        .violations
        .iter()
        .map(|violation| violation.field.as_str());
    let fields = fields.collect::<Vec<_>>().join(",");
    format!("{kind} {} {fields}", cause.reason)
        .trim_end()
        .to_owned()
}

pub fn all_own(replies: &[Reply]) -> Vec<String> {
    replies.iter().map(own).collect()
}

/// What is said of an item that did not go well.
pub fn message(reply: &Reply) -> &str {
    match reply {
        Reply::Ok(answer) => panic!("{answer:?}"),
        Reply::Refused(cause)
        | Reply::RolledBack(cause)
        | Reply::Busy(cause)
        | Reply::Fault(cause)
        | Reply::Unsent(cause)
        | Reply::Unknown(cause) => &cause.message,
    }
}
