//! A client as a microservice would write it: submits, and reads everything.

use std::time::Duration;

use anyhow::{Context, bail};
use flowgate::proto::batch_event::Kind;
use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::batch_submit_stream_request::Message as Asked;
use flowgate::proto::batch_submit_stream_response::Message as Answered;
use flowgate::proto::{
    Batch, BatchAppend, BatchOpen, BatchSeal, BatchSpec, BatchSubmitRequest,
    BatchSubmitStreamRequest, HttpCall, Item, Payload, batch_open, item, payload,
};
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::server::{TARGET, lacks};

/// Bytes of an item's payload.
pub const ITEM_BYTES: usize = 200;

/// What became of a batch, as its client saw it.
pub struct Streamed {
    /// From the first message to the last.
    pub took: Duration,
    /// When results came, from the first message on, and how many.
    pub arrivals: Vec<(Duration, usize)>,
    /// The batch at its end.
    pub batch: Batch,
}

impl Streamed {
    /// How many results one event holds, on average.
    pub fn told_together(&self) -> f64 {
        let results: usize = self.arrivals.iter().map(|(_, results)| results).sum();
        results as f64 / self.arrivals.len() as f64
    }
}

/// Submits items through `BatchSubmitStream` in frames of so many, while it
/// reads what comes back; every item must succeed.
pub async fn stream(
    channel: &Channel,
    items: impl IntoIterator<Item = Item, IntoIter: Send + 'static>,
    frame: usize,
) -> anyhow::Result<Streamed> {
    let mut items = items.into_iter();
    let appends = std::iter::from_fn(move || {
        let items: Vec<Item> = items.by_ref().take(frame).collect();
        (!items.is_empty()).then_some(Asked::Append(BatchAppend {
            items,
            offset: None,
        }))
    });
    let open = Asked::Open(BatchOpen {
        how: Some(batch_open::How::Spec(spec())),
        all_failed_is_ok: false,
    });
    let seal = Asked::Seal(BatchSeal { count: None });
    let requests = std::iter::once(open)
        .chain(appends)
        .chain(std::iter::once(seal))
        .map(|message| BatchSubmitStreamRequest {
            message: Some(message),
        });
    let began = Instant::now();
    let mut client = BatchServiceClient::new(channel.clone());
    let response = client.batch_submit_stream(tokio_stream::iter(requests));
    let mut incoming = response.await?.into_inner();
    let mut arrivals = Vec::new();
    let mut finished = None;
    while let Some(message) = incoming.message().await? {
        let Some(Answered::Event(event)) = message.message else {
            continue;
        };
        match event.kind {
            Some(Kind::Results(results)) => {
                arrivals.push((began.elapsed(), results.results.len()));
            }
            Some(Kind::Finished(batch)) => finished = Some(batch),
            Some(Kind::Progress(_)) | None => {}
        }
    }
    let batch = finished.context("the stream ended before the batch")?;
    let progress = batch.progress.as_ref().ok_or_else(|| lacks("progress"))?;
    let told: usize = arrivals.iter().map(|(_, results)| results).sum();
    if progress.succeeded != progress.total || told != progress.total as usize {
        bail!("{told} results were told of {progress:?}");
    }
    Ok(Streamed {
        took: began.elapsed(),
        arrivals,
        batch,
    })
}

/// Submits items through `BatchSubmit`.
pub async fn submit(channel: &Channel, items: Vec<Item>, wait: bool) -> anyhow::Result<()> {
    let request = BatchSubmitRequest {
        spec: Some(spec()),
        items,
        wait: Some(wait),
        ..BatchSubmitRequest::default()
    };
    let mut client = BatchServiceClient::new(channel.clone());
    client.batch_submit(request).await?;
    Ok(())
}

/// An item of [`ITEM_BYTES`] bytes of JSON.
pub fn item(number: usize) -> Item {
    let head = format!(r#"{{"n":{number},"text":""#);
    let filling = ITEM_BYTES - head.len() - 2;
    let text = format!(r#"{head}{:x<filling$}"}}"#, "");
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::JsonText(text)),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

/// The same, to a path of its own.
pub fn item_to(path: &str, number: usize) -> Item {
    Item {
        operation: Some(item::Operation::Http(HttpCall {
            path: path.to_owned(),
            ..HttpCall::default()
        })),
        ..item(number)
    }
}

fn spec() -> BatchSpec {
    BatchSpec {
        target: TARGET.to_owned(),
        ..BatchSpec::default()
    }
}
