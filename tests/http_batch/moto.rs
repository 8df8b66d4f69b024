//! Against a server that nobody here wrote: moto's SQS, over its JSON protocol.
//! Its program is `moto_server`, or what `FLOWGATE_MOTO` names; it is passed over
//! where there is none, but for a long run.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use bytes::Bytes;
use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::{FailureKind, Item, Payload, item_result, payload};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::program::{server, submitted};
use crate::support::patience::{is_long, within};

/// It asks for the name of a service and checks no signature.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=none/20260101/us-east-1/sqs/aws4_request, \
                             SignedHeaders=host, Signature=none";

/// A server of SQS. Dropped, it is killed.
struct Moto {
    _child: Child,
    base: String,
}

impl Moto {
    /// Starts it; `None` where there is none, which a long run has to have.
    async fn start() -> Option<Moto> {
        let program = std::env::var("FLOWGATE_MOTO").unwrap_or("moto_server".to_owned());
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let Ok(mut child) = child else {
            assert!(!is_long(), "a long run needs moto_server");
            let _ = writeln!(std::io::stderr(), "SKIPPED: moto_server is not here");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let said = async {
            while let Some(line) = lines.next_line().await.expect("text") {
                if let Some((_, base)) = line.split_once("Running on ") {
                    return base.trim().to_owned();
                }
            }
            panic!("it ended before it served");
        };
        let base = within("moto serves", said).await;
        // It would wait for a reader else.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Moto {
            _child: child,
            base,
        })
    }

    /// Calls an operation.
    async fn call(&self, operation: &str, body: Value) -> Value {
        let request = http::Request::post(&self.base)
            .header("x-amz-target", format!("AmazonSQS.{operation}"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", AUTHORIZATION)
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a request");
        let client: Http<_, Full<Bytes>> = Http::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.expect("an answer");
        assert!(response.status().is_success(), "{operation}: {response:?}");
        let body = response.into_body().collect().await.expect("a body");
        serde_json::from_slice(&body.to_bytes()).unwrap_or_default()
    }

    /// A queue of its own; its address.
    async fn queue(&self, name: &str, attributes: Value) -> String {
        let made = self
            .call(
                "CreateQueue",
                json!({"QueueName": name, "Attributes": attributes}),
            )
            .await;
        made["QueueUrl"].as_str().expect("an address").to_owned()
    }

    /// Takes all messages out of a queue: how often each came.
    async fn take_all(&self, queue: &str) -> BTreeMap<String, usize> {
        let mut bodies = BTreeMap::new();
        loop {
            let asked = json!({"QueueUrl": queue, "MaxNumberOfMessages": 10});
            let got = self.call("ReceiveMessage", asked).await;
            let messages = got["Messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            let mut entries = Vec::new();
            for (n, message) in messages.iter().enumerate() {
                let body = message["Body"].as_str().expect("a text").to_owned();
                *bodies.entry(body).or_default() += 1;
                entries
                    .push(json!({"Id": n.to_string(), "ReceiptHandle": message["ReceiptHandle"]}));
            }
            let gone = json!({"QueueUrl": queue, "Entries": entries});
            self.call("DeleteMessageBatch", gone).await;
        }
    }
}

fn lines(queue: &str, more: &str) -> String {
    format!(
        "path = \"/\"\nheaders.Authorization = \"{AUTHORIZATION}\"\n[targets.t.batch]\npreset = \"sqs\"\n\
         wrap = '{{\"QueueUrl\": \"{queue}\"}}'\n{more}"
    )
}

fn item(content: payload::Content) -> Item {
    Item {
        payload: Some(Payload {
            content: Some(content),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

#[tokio::test]
async fn every_message_is_in_the_queue_once() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let queue = moto.queue("plain", json!({})).await;
    let folder = TempDir::new().expect("a folder");
    let program = server(&folder, &moto.base, &lines(&queue, "")).await;
    let mut client = BatchServiceClient::new(program.connect().await.expect("a connection"));
    // Its time for a message grows with those that it has.
    let count = if is_long() { 2_000 } else { 250 };
    // Texts that JSON in JSON has to keep as they are.
    let text = |n: u32| format!("{{\"n\": {n}, \"said\": \"\\\"}}]\\u00e9\\\\ \u{1f600}\"}}");
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for first in (0..count).step_by(250) {
        let items = (first..first + 250).map(|n| item(payload::Content::JsonText(text(n))));
        for result in submitted(&mut client, items.collect()).await {
            let outcome = result.outcome.expect("an outcome");
            assert!(
                matches!(outcome, item_result::Outcome::Success(_)),
                "{outcome:?}"
            );
        }
        for (body, times) in moto.take_all(&queue).await {
            *taken.entry(body).or_default() += times;
        }
    }
    program.stopped().await;
    assert_eq!(taken.len(), count as usize);
    for n in 0..count {
        assert_eq!(taken.get(&text(n)), Some(&1), "{n}");
    }
}

#[tokio::test]
async fn a_message_that_it_refuses_is_named_and_the_others_are_sent() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let queue = moto
        .queue("picky", json!({"MaximumMessageSize": "1024"}))
        .await;
    let folder = TempDir::new().expect("a folder");
    let program = server(&folder, &moto.base, &lines(&queue, "")).await;
    let mut client = BatchServiceClient::new(program.connect().await.expect("a connection"));
    let text = |n: usize| match n {
        // It has no more than the queue takes; all together have less than a
        // request may.
        13 => "x".repeat(2000),
        n => format!("message {n}"),
    };
    let items = (0..30).map(|n| item(payload::Content::Raw(text(n).into())));
    let results = submitted(&mut client, items.collect()).await;
    let failed: Vec<(i32, FailureKind)> = results
        .iter()
        .filter_map(|result| match result.outcome.as_ref()? {
            item_result::Outcome::Failure(failure) => {
                Some((i32::try_from(result.index).ok()?, failure.kind()))
            }
            item_result::Outcome::Success(_) => None,
        })
        .collect();
    program.stopped().await;
    let taken = moto.take_all(&queue).await;
    assert_eq!(failed, [(13, FailureKind::Rejected)], "{results:?}");
    assert_eq!(taken.len(), 29);
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
}

#[tokio::test]
async fn a_fifo_queue_knows_an_item_by_its_key() {
    let Some(moto) = Moto::start().await else {
        return;
    };
    let queue = moto.queue("q.fifo", json!({"FifoQueue": "true"})).await;
    let more = "entry = '{\"MessageGroupId\": \"g\"}'\nentry_key = \"/MessageDeduplicationId\"";
    let folder = TempDir::new().expect("a folder");
    let program = server(&folder, &moto.base, &lines(&queue, more)).await;
    let mut client = BatchServiceClient::new(program.connect().await.expect("a connection"));
    let keyed = |n: usize| Item {
        idempotency_key: format!("key-{n}"),
        ..item(payload::Content::Raw(format!("message {n}").into()))
    };
    submitted(&mut client, (0..20).map(keyed).collect()).await;
    program.stopped().await;
    // As a server would whose store is lost: it sends them all again.
    let folder = TempDir::new().expect("a folder");
    let program = server(&folder, &moto.base, &lines(&queue, more)).await;
    let mut client = BatchServiceClient::new(program.connect().await.expect("a connection"));
    let results = submitted(&mut client, (10..30).map(keyed).collect()).await;
    assert_eq!(results.len(), 20);
    program.stopped().await;
    let taken = moto.take_all(&queue).await;
    assert_eq!(taken.len(), 30);
    assert!(taken.values().all(|times| *times == 1), "{taken:?}");
}
