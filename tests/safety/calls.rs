//! A caller: items as anybody can write them, and what came of each.

use std::fmt::Write as _;

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::{
    BatchSpec, BatchSubmitRequest, Item, Payload, WatchBatchRequest, batch_event, item_result,
    payload, watch_batch_response,
};
use tonic::transport::Channel;
use tonic_types::{RpcStatusExt, StatusExt};

use crate::support::patience::within;
use crate::support::program::Program;

pub type Client = BatchServiceClient<Channel>;

/// A client of a server that is there.
pub async fn client(program: &Program) -> Client {
    Client::new(program.connect().await.expect("a connection"))
}

/// An item with a payload of JSON.
pub fn item(json: &str) -> Item {
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::JsonText(json.to_owned())),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

/// What became of one item.
#[derive(Debug)]
pub struct Told {
    /// `OK`, or the code of what was wrong, e.g. `INVALID_PATH`.
    pub reason: String,
    /// All that was said, in all words.
    pub words: String,
}

/// Sends one item as a batch of its own, and waits for its outcome.
pub async fn send(client: &mut Client, target: &str, item: Item) -> Told {
    let request = BatchSubmitRequest {
        spec: Some(BatchSpec {
            target: target.to_owned(),
            ..BatchSpec::default()
        }),
        items: vec![item],
        wait: Some(false),
        ..BatchSubmitRequest::default()
    };
    let id = match client.batch_submit(request).await {
        Ok(response) => response.into_inner().batch.expect("a batch").id,
        Err(status) => {
            let details = status.get_error_details();
            let reason = details.error_info().map(|info| info.reason.clone());
            return Told {
                reason: reason.unwrap_or_default(),
                words: format!("{status:?}\n{status}\n{details:?}"),
            };
        }
    };
    within("an outcome", outcome(client, id)).await
}

async fn outcome(client: &mut Client, batch_id: String) -> Told {
    let request = WatchBatchRequest {
        batch_id,
        ..WatchBatchRequest::default()
    };
    let stream = client.watch_batch(request).await;
    let mut stream = stream.expect("a stream").into_inner();
    let mut told = Told {
        reason: String::new(),
        words: String::new(),
    };
    while let Some(response) = stream.message().await.expect("no error") {
        let _ = writeln!(told.words, "{response:?}");
        let Some(watch_batch_response::Message::Event(event)) = response.message else {
            continue;
        };
        let Some(batch_event::Kind::Results(results)) = event.kind else {
            continue;
        };
        for result in results.results {
            told.reason = match result.outcome.expect("an outcome") {
                item_result::Outcome::Success(success) => {
                    told.words.push_str(&said(success.reply));
                    "OK".to_owned()
                }
                item_result::Outcome::Failure(failure) => {
                    told.words.push_str(&said(failure.reply));
                    reason(&failure.error.expect("a status"))
                }
            };
        }
    }
    told
}

/// The text of a reply, whatever it was carried as.
fn said(reply: Option<Payload>) -> String {
    match reply.and_then(|reply| reply.content) {
        Some(payload::Content::Raw(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
        other => format!("{other:?}"),
    }
}

/// The code among a status's details.
fn reason(status: &tonic_types::Status) -> String {
    status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default()
}
