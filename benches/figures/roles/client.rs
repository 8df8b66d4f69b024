//! A client as a microservice would write it, with the generated code.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use flowgate::proto::batch_event::Kind;
use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::batch_submit_stream_request::Message as Asked;
use flowgate::proto::batch_submit_stream_response::Message as Told;
use flowgate::proto::item_result::Outcome;
use flowgate::proto::payload::Content;
use flowgate::proto::{
    BatchAppend, BatchOpen, BatchSeal, BatchSpec, BatchSubmitRequest, BatchSubmitStreamRequest,
    HttpCall, Item, ItemResult, Payload, batch_open, item,
};
use futures_util::{StreamExt, stream};
use prost_types::{Struct, Value, value};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tonic::transport::{Channel, Endpoint};

use crate::clock::{now_ns, seconds};
use crate::worker;

/// Bytes of an item's payload.
pub const ITEM_BYTES: usize = 200;

/// What a client can be asked to do.
#[derive(Serialize, Deserialize)]
pub enum Job {
    /// Fill batches through `BatchSubmitStream`, all at once. Answered with
    /// [`Streamed`].
    Stream(Stream),
    /// Submit a batch through `BatchSubmit` and not wait for it. Answered with
    /// the time at which it was asked for, in nanoseconds.
    Submit {
        /// The target.
        target: String,
        /// How many items.
        items: usize,
        /// Where they go below the target; empty for the target's own path.
        path: String,
    },
    /// Submit batches of one item through `BatchSubmit`, one after another,
    /// and wait for each. Answered with [`Called`].
    Call {
        /// The target.
        target: String,
        /// How many calls.
        calls: usize,
    },
}

/// Batches that are filled piece by piece, each on a stream of its own.
#[derive(Clone, Serialize, Deserialize)]
pub struct Stream {
    /// The target.
    pub target: String,
    /// How many batches, at once.
    pub batches: usize,
    /// How many items each has.
    pub items: usize,
    /// How many items a message has.
    pub frame: usize,
    /// What the payloads are.
    pub form: Form,
    /// What is waited for.
    pub until: Until,
    /// Where the first item of each batch goes below the target; empty for the
    /// target's own path, as the others.
    pub first_path: String,
    /// How many items of each batch are sent in a second; `None` for as many
    /// as are taken.
    pub per_s: Option<f64>,
}

/// What an item's payload is; [`ITEM_BYTES`] bytes each, as JSON or as such.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    Raw,
    JsonText,
    Json,
}

/// What a client of a stream waits for.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// All items are on disk. The batch is left open, and the call ended.
    Accepted,
    /// All results are there, each a success.
    Finished,
}

/// What came of [`Job::Stream`].
#[derive(Serialize, Deserialize)]
pub struct Streamed {
    /// From the first message, of any batch, to the last that was waited for.
    pub took_s: f64,
    /// From there to when of each batch all results but one were there.
    pub all_but_one_s: f64,
    /// Events of results, of all batches.
    pub result_events: u64,
    /// For a sample of the results whose reply says when the target gave it:
    /// how long they took from there, in milliseconds. In no order.
    pub reply_to_result_ms: Vec<f64>,
    /// Chunks that finished, of all batches.
    pub chunks: u64,
}

/// What came of [`Job::Call`].
#[derive(Serialize, Deserialize)]
pub struct Called {
    /// How long each call took, in milliseconds.
    pub times_ms: Vec<f64>,
    /// How long each took from the target's reply, where that says when it was
    /// given, in milliseconds.
    pub reply_to_result_ms: Vec<f64>,
}

/// One of so many results is looked into: enough for a percentile, and little
/// enough not to be work.
const SAMPLED: u32 = 7;

/// Plays a client of whatever listens there.
pub async fn play(port: u16) -> anyhow::Result<()> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    let channel = endpoint.connect().await?;
    let mut asked = worker::Asked::ready(0).await?;
    while let Some(job) = asked.next().await? {
        match job {
            Job::Stream(job) => asked.answer(streams(&channel, job).await).await?,
            Job::Submit {
                target,
                items,
                path,
            } => {
                let submitted = submit(&channel, &target, items, &path).await;
                asked.answer(submitted).await?;
            }
            Job::Call { target, calls } => {
                asked.answer(call(&channel, &target, calls).await).await?;
            }
        }
    }
    Ok(())
}

async fn streams(channel: &Channel, job: Stream) -> anyhow::Result<Streamed> {
    let frame: Arc<[Item]> = (0..job.frame.min(job.items))
        .map(|n| new_item(n, job.form))
        .collect();
    let job = Arc::new(job);
    let began = now_ns();
    let streams = (0..job.batches).map(|_| one(channel.clone(), job.clone(), frame.clone()));
    let mut running: JoinSet<anyhow::Result<Told1>> = streams.collect();
    let mut all = Told1::default();
    while let Some(ended) = running.join_next().await {
        let one = ended??;
        all.last_ns = all.last_ns.max(one.last_ns);
        all.last_but_one_ns = all.last_but_one_ns.max(one.last_but_one_ns);
        all.result_events += one.result_events;
        all.chunks += one.chunks;
        all.samples.extend(one.samples);
    }
    Ok(Streamed {
        took_s: seconds(all.last_ns - began),
        all_but_one_s: seconds(all.last_but_one_ns.saturating_sub(began)),
        result_events: all.result_events,
        reply_to_result_ms: all.samples,
        chunks: all.chunks,
    })
}

/// What one stream saw.
#[derive(Default)]
struct Told1 {
    last_ns: u64,
    last_but_one_ns: u64,
    result_events: u64,
    chunks: u64,
    samples: Vec<f64>,
}

/// Fills one batch and reads what comes back.
async fn one(channel: Channel, job: Arc<Stream>, frame: Arc<[Item]>) -> anyhow::Result<Told1> {
    let (open, seal) = (open(&job.target), Asked::Seal(BatchSeal { count: None }));
    let (items, width) = (job.items, job.frame);
    let first_path = job.first_path.clone();
    let appends = (0..items).step_by(width).map(move |first| {
        let mut items = frame[..width.min(items - first)].to_vec();
        if first == 0 {
            send_to(&first_path, &mut items[..1]);
        }
        Asked::Append(BatchAppend {
            items,
            offset: None,
        })
    });
    let appends = match job.per_s {
        None => stream::iter(appends).left_stream(),
        Some(per_s) => paced(appends, per_s / width as f64).right_stream(),
    };
    let sealing = (job.until == Until::Finished).then_some(seal);
    let messages = stream::iter([open]).chain(appends);
    // A stream that is not sealed stays open, until it is dropped below.
    let messages = messages
        .chain(stream::iter(sealing))
        .chain(stream::pending());
    let messages = messages.map(|message| BatchSubmitStreamRequest {
        message: Some(message),
    });
    let mut client = BatchServiceClient::new(channel);
    let mut incoming = client.batch_submit_stream(messages).await?.into_inner();
    let mut told = Told1::default();
    let mut results = 0;
    while let Some(message) = incoming.message().await? {
        match message.message {
            Some(Told::Accepted(accepted))
                if job.until == Until::Accepted && accepted.items_held as usize == items =>
            {
                told.last_ns = now_ns();
                return Ok(told);
            }
            Some(Told::Event(event)) => match event.kind {
                Some(Kind::Results(some)) => {
                    told.result_events += 1;
                    results += some.results.len();
                    if told.last_but_one_ns == 0 && results + 1 >= items {
                        told.last_but_one_ns = now_ns();
                    }
                    told.samples
                        .extend(some.results.iter().filter_map(since_reply_ms));
                }
                Some(Kind::Finished(batch)) => {
                    told.last_ns = now_ns();
                    let progress = batch.progress.context("no progress")?;
                    if progress.succeeded as usize != items || results != items {
                        bail!("{results} results were told of {progress:?}");
                    }
                    told.chunks = progress.chunks_finished.into();
                    return Ok(told);
                }
                _ => {}
            },
            _ => {}
        }
    }
    bail!("the stream ended before the batch, after {results} results")
}

/// Things of which so many come in a second.
fn paced<T>(things: impl Iterator<Item = T>, per_s: f64) -> impl futures_util::Stream<Item = T> {
    let began = Instant::now();
    stream::iter(things.enumerate()).then(move |(number, thing)| async move {
        sleep_until(began + Duration::from_secs_f64(number as f64 / per_s)).await;
        thing
    })
}

/// How long ago the target gave this reply, if it is one of the sample and
/// says so: its body is then the time.
fn since_reply_ms(result: &ItemResult) -> Option<f64> {
    if !result.index.is_multiple_of(SAMPLED) {
        return None;
    }
    let Some(Outcome::Success(success)) = &result.outcome else {
        return None;
    };
    let replied: u64 = match &success.reply.as_ref()?.content {
        Some(Content::JsonText(text)) => text.parse().ok()?,
        Some(Content::Raw(bytes)) => std::str::from_utf8(bytes).ok()?.parse().ok()?,
        _ => return None,
    };
    Some(now_ns().saturating_sub(replied) as f64 / 1e6)
}

async fn submit(channel: &Channel, target: &str, items: usize, path: &str) -> anyhow::Result<u64> {
    let mut items: Vec<Item> = (0..items).map(|n| new_item(n, Form::JsonText)).collect();
    send_to(path, &mut items);
    let began = now_ns();
    BatchServiceClient::new(channel.clone())
        .batch_submit(request(target, items, false))
        .await?;
    Ok(began)
}

/// Has items go to a path of theirs, unless it is empty.
fn send_to(path: &str, items: &mut [Item]) {
    if path.is_empty() {
        return;
    }
    for item in items {
        item.operation = Some(item::Operation::Http(HttpCall {
            path: path.to_owned(),
            ..HttpCall::default()
        }));
    }
}

async fn call(channel: &Channel, target: &str, calls: usize) -> anyhow::Result<Called> {
    let mut called = Called {
        times_ms: Vec::with_capacity(calls),
        reply_to_result_ms: Vec::with_capacity(calls),
    };
    let mut client = BatchServiceClient::new(channel.clone());
    for number in 0..calls {
        let request = request(target, vec![new_item(number, Form::JsonText)], true);
        let began = now_ns();
        let answer = client.batch_submit(request).await?.into_inner();
        called.times_ms.push((now_ns() - began) as f64 / 1e6);
        let result = answer.results.first().context("no result")?;
        if !matches!(result.outcome, Some(Outcome::Success(_))) {
            bail!("a call failed: {result:?}");
        }
        called.reply_to_result_ms.extend(since_reply_ms(result));
    }
    Ok(called)
}

fn request(target: &str, items: Vec<Item>, wait: bool) -> BatchSubmitRequest {
    BatchSubmitRequest {
        spec: Some(spec(target)),
        items,
        wait: Some(wait),
        ..BatchSubmitRequest::default()
    }
}

fn open(target: &str) -> Asked {
    Asked::Open(BatchOpen {
        how: Some(batch_open::How::Spec(spec(target))),
        all_failed_is_ok: false,
    })
}

fn spec(target: &str) -> BatchSpec {
    BatchSpec {
        target: target.to_owned(),
        ..BatchSpec::default()
    }
}

/// An item of [`ITEM_BYTES`] bytes, as JSON.
pub fn new_item(number: usize, form: Form) -> Item {
    let text = json_text(number);
    let content = match form {
        Form::Raw => Content::Raw(Bytes::from(text)),
        Form::JsonText => Content::JsonText(text),
        Form::Json => Content::Json(structure(number)),
    };
    Item {
        payload: Some(Payload {
            content: Some(content),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

/// A record as it is common, of so many bytes.
pub fn json_text(number: usize) -> String {
    let head = format!(
        r#"{{"name":"Guest {number}","email":"guest.{number}@example.net","visits":{},"news":true,"note":""#,
        number % 10
    );
    let filling = ITEM_BYTES - head.len() - 2;
    format!(r#"{head}{:x<filling$}"}}"#, "")
}

/// The same as a `Struct`.
fn structure(number: usize) -> Struct {
    let text = json_text(number);
    let parsed: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&text).unwrap_or_default();
    let fields = parsed.into_iter().map(|(key, value)| {
        let kind = match value {
            serde_json::Value::String(text) => value::Kind::StringValue(text),
            serde_json::Value::Bool(truth) => value::Kind::BoolValue(truth),
            other => value::Kind::NumberValue(other.as_f64().unwrap_or_default()),
        };
        (key, Value { kind: Some(kind) })
    });
    Struct {
        fields: fields.collect(),
    }
}
