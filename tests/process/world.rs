//! A server in a process of its own, and a target that does as it is told.

use std::path::PathBuf;
use std::time::Duration;

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::{
    Batch, BatchSpec, BatchSubmitRequest, GetBatchRequest, Item, ItemResult, Payload,
    WatchBatchRequest, batch_event, payload, watch_batch_response,
};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::http_target::{Act, HttpTarget, Request};
use crate::support::patience::within;
use crate::support::program::{self, Program};

pub type Client = BatchServiceClient<Channel>;

/// A store and a configuration that servers are started on, and the target.
pub struct World {
    pub folder: TempDir,
    pub target: HttpTarget,
}

impl World {
    /// A server that may drain for so long; the target takes ten requests at
    /// once, is not safe to repeat, and does as the script says.
    pub async fn new(
        drain: &str,
        script: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> World {
        let world = World {
            folder: TempDir::new().expect("a folder"),
            target: HttpTarget::start(script).await,
        };
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            drain = "{drain}"
            [store]
            path = "flowgate.db"
            [targets.guests]
            kind = "http"
            url = "{}"
            path = "/guests"
            concurrency = 10
            timeout = "10m"
            "#,
            world.target.base()
        );
        std::fs::write(world.config(), text).expect("the folder can be written to");
        world
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("flowgate.toml")
    }

    /// Starts a server on what the one before it left.
    pub async fn start(&self) -> Program {
        self.start_by(program::serve(&self.config())).await
    }

    pub async fn start_by(&self, command: Command) -> Program {
        let started = Program::start(command).await;
        started.unwrap_or_else(|ended| panic!("it does not serve: {ended:?}"))
    }
}

/// A client of a server that is there.
pub async fn client(program: &Program) -> Client {
    Client::new(program.connect().await.expect("a connection"))
}

pub fn items(count: u32, bytes: usize) -> Vec<Item> {
    let filler = "x".repeat(bytes);
    let item = |n| Item {
        payload: Some(Payload {
            content: Some(payload::Content::JsonText(format!(
                r#"{{"n":{n},"filler":"{filler}"}}"#
            ))),
            content_type: String::new(),
        }),
        ..Item::default()
    };
    (0..count).map(item).collect()
}

pub fn spec() -> BatchSpec {
    BatchSpec {
        target: "guests".to_owned(),
        ..BatchSpec::default()
    }
}

pub fn submission(items: Vec<Item>, wait: bool) -> BatchSubmitRequest {
    BatchSubmitRequest {
        spec: Some(spec()),
        items,
        wait: Some(wait),
        ..BatchSubmitRequest::default()
    }
}

/// Submits without waiting, and returns the batch's id.
pub async fn submit(client: &mut Client, items: Vec<Item>) -> String {
    let response = client.batch_submit(submission(items, false)).await;
    let response = response.expect("it is accepted").into_inner();
    response.batch.expect("a batch").id
}

pub async fn batch(client: &mut Client, id: &str) -> Batch {
    let batch_id = id.to_owned();
    let response = client.get_batch(GetBatchRequest { batch_id }).await;
    let response = response.expect("it is there").into_inner();
    response.batch.expect("a batch")
}

/// Follows a batch to its end; its results by index.
pub async fn results(client: &mut Client, id: &str) -> Vec<ItemResult> {
    let request = WatchBatchRequest {
        batch_id: id.to_owned(),
        ..WatchBatchRequest::default()
    };
    let stream = client.watch_batch(request).await;
    let mut stream = stream.expect("a stream").into_inner();
    let mut results = Vec::new();
    let reading = async {
        while let Some(response) = stream.message().await.expect("no error") {
            if let Some(watch_batch_response::Message::Event(event)) = response.message
                && let Some(batch_event::Kind::Results(more)) = event.kind
            {
                results.extend(more.results);
            }
        }
    };
    within("the batch's end", reading).await;
    results.sort_by_key(|result| result.index);
    results
}

/// The number of an item, from its request.
pub fn number(request: &Request) -> u64 {
    let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
    body["n"].as_u64().expect("a number")
}

/// Checks that a call was refused because the server goes away, and says that
/// it may be tried again, and when.
pub fn assert_shutting_down(status: &Status) {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.as_str());
    assert_eq!(
        (status.code(), reason),
        (Code::Unavailable, Some("SHUTTING_DOWN")),
        "{status:?}"
    );
    let retry = details.retry_info().and_then(|info| info.retry_delay);
    assert!(retry.is_some_and(|delay| !delay.is_zero()), "{status:?}");
    assert!(status.message().contains("resume"), "{status:?}");
}

/// How long something takes.
pub struct Took(Instant);

impl Took {
    pub fn begins() -> Took {
        Took(Instant::now())
    }

    pub fn assert_under(&self, most: Duration) {
        let took = self.0.elapsed();
        assert!(took < most, "it took {took:?}, which is not under {most:?}");
    }
}
