//! A server in a process of its own, its store in a folder of the test's choice,
//! and a target that does as it is told.

use std::path::{Path, PathBuf};

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::{
    Batch, BatchSpec, BatchSubmitRequest, GetBatchRequest, Item, ItemResult, Payload,
    WatchBatchRequest, batch_event, payload, watch_batch_response,
};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::Status;
use tonic::transport::Channel;

use super::support::http_target::{Act, HttpTarget, Request};
use super::support::patience::within;
use super::support::program::{self, Program};

pub type Client = BatchServiceClient<Channel>;

/// What servers are started on.
pub struct Site {
    pub folder: TempDir,
    pub store: PathBuf,
    pub target: HttpTarget,
}

impl Site {
    /// A store in the site's own folder, with these further settings of it.
    pub async fn new(
        settings: &str,
        script: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> Site {
        let folder = TempDir::new().expect("a folder");
        let store = folder.path().join("flowgate.db");
        Site::in_folder(folder, &store, settings, script).await
    }

    /// A store in another folder.
    pub async fn in_folder(
        folder: TempDir,
        store: &Path,
        settings: &str,
        script: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> Site {
        let site = Site {
            folder,
            store: store.to_owned(),
            target: HttpTarget::start(script).await,
        };
        site.configure(settings);
        site
    }

    /// Writes the configuration, with these settings of the store.
    pub fn configure(&self, settings: &str) {
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            drain = "20s"
            [store]
            path = {:?}
            {settings}
            [targets.guests]
            kind = "http"
            url = "{}"
            path = "/guests"
            concurrency = 40
            timeout = "10m"
            "#,
            self.store.display(),
            self.target.base()
        );
        std::fs::write(self.config(), text).expect("the folder can be written to");
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

/// Submits without waiting, and returns the batch's id.
pub async fn submit(client: &mut Client, items: Vec<Item>) -> Result<String, Status> {
    let request = BatchSubmitRequest {
        spec: Some(BatchSpec {
            target: "guests".to_owned(),
            ..BatchSpec::default()
        }),
        items,
        wait: Some(false),
        ..BatchSubmitRequest::default()
    };
    let response = client.batch_submit(request).await?.into_inner();
    Ok(response.batch.expect("a batch").id)
}

pub async fn batch(client: &mut Client, id: &str) -> Result<Batch, Status> {
    let batch_id = id.to_owned();
    let response = client.get_batch(GetBatchRequest { batch_id }).await?;
    Ok(response.into_inner().batch.expect("a batch"))
}

/// Follows a batch to its end; its results as they were told.
pub async fn results(client: &mut Client, id: &str) -> Vec<ItemResult> {
    let request = WatchBatchRequest {
        batch_id: id.to_owned(),
        ..WatchBatchRequest::default()
    };
    let reading = async {
        let stream = client.watch_batch(request).await;
        let mut stream = stream.expect("a stream").into_inner();
        let mut results = Vec::new();
        while let Some(response) = stream.message().await.expect("no error") {
            if let Some(watch_batch_response::Message::Event(event)) = response.message
                && let Some(batch_event::Kind::Results(more)) = event.kind
            {
                results.extend(more.results);
            }
        }
        results
    };
    within("the end of a batch", reading).await
}
