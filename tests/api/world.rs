//! A whole Flowgate on a port of its own: the real store, a real client, and a
//! target that does as it is told and keeps a ledger.

use std::path::Path;
use std::time::Duration;

use flowgate::app::Server;
use flowgate::config::Config;
use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::batch_submit_stream_request::Message;
use flowgate::proto::target_service_client::TargetServiceClient;
use flowgate::proto::{
    Batch, BatchAppend, BatchOpen, BatchSeal, BatchSpec, BatchSubmitRequest,
    BatchSubmitStreamRequest, BatchSubmitStreamResponse, GetBatchRequest, Item, ItemResult,
    ListBatchResultsRequest, Payload, WatchBatchRequest, batch_event, batch_open,
    batch_submit_stream_response, payload, watch_batch_response,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::support::http_target::{Act, HttpTarget, Request};

/// How long a test waits for what has to come: long enough for any machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is configured besides what every test has.
#[derive(Clone, Copy, Default)]
pub struct Settings<'a> {
    /// Lines of `[server]`.
    pub server: &'a str,
    /// Lines of `[store]`.
    pub store: &'a str,
    /// Lines of `[targets.guests]`, and whole tables; `BASE` is the target's
    /// address.
    pub target: &'a str,
    /// Files beside the configuration: name and text.
    pub files: &'a [(&'a str, &'a str)],
}

/// A whole Flowgate, and its target.
pub struct World {
    pub server: Option<Server>,
    pub target: HttpTarget,
    pub batches: BatchServiceClient<Channel>,
    pub targets: TargetServiceClient<Channel>,
    pub channel: Channel,
    pub folder: TempDir,
    config: String,
}

impl World {
    /// A target that answers 201 to everything, without a limit.
    pub async fn start() -> World {
        World::with("", |_| Act::answer(201, r#"{"id":"g-1"}"#)).await
    }

    /// A target with these further settings and this script.
    pub async fn with(
        settings: &str,
        script: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> World {
        let settings = Settings {
            target: settings,
            ..Settings::default()
        };
        World::configured(settings, script).await
    }

    /// The same with settings of the server and the store.
    pub async fn configured(
        settings: Settings<'_>,
        script: impl Fn(&Request) -> Act + Send + Sync + 'static,
    ) -> World {
        let target = HttpTarget::start(script).await;
        let folder = TempDir::new().expect("a folder");
        for (name, text) in settings.files {
            std::fs::write(folder.path().join(name), text).expect("a file");
        }
        let config = config(&target, settings);
        let server = serve(folder.path(), &config).await;
        let channel = connect(&server).await;
        World {
            server: Some(server),
            target,
            batches: BatchServiceClient::new(channel.clone()),
            targets: TargetServiceClient::new(channel.clone()),
            channel,
            folder,
            config,
        }
    }

    /// Drains the server, and starts another on the same store.
    pub async fn restart(&mut self) {
        let server = self.server.take().expect("a server");
        server.drain().await.expect("it drains");
        let server = serve(self.folder.path(), &self.config).await;
        self.channel = connect(&server).await;
        self.batches = BatchServiceClient::new(self.channel.clone());
        self.targets = TargetServiceClient::new(self.channel.clone());
        self.server = Some(server);
    }

    /// A batch as it stands.
    pub async fn get(&mut self, batch_id: &str) -> Batch {
        let request = GetBatchRequest {
            batch_id: batch_id.to_owned(),
        };
        let response = self.batches.get_batch(request).await.expect("it is there");
        response.into_inner().batch.expect("a batch")
    }

    /// Waits until a batch is so.
    pub async fn until(&mut self, batch_id: &str, reached: impl Fn(&Batch) -> bool) -> Batch {
        let waited = async {
            loop {
                let batch = self.get(batch_id).await;
                if reached(&batch) {
                    return batch;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, waited).await.expect("it comes to that")
    }

    /// Follows a batch to its end.
    pub async fn finished(&mut self, batch_id: &str) -> Batch {
        let request = WatchBatchRequest {
            batch_id: batch_id.to_owned(),
            summary_only: true,
            ..WatchBatchRequest::default()
        };
        let events = self.batches.watch_batch(request).await;
        let mut events = events.expect("a stream").into_inner();
        let followed = async {
            while let Some(response) = events.message().await.expect("no error") {
                if let Some(watch_batch_response::Message::Event(event)) = response.message
                    && let Some(batch_event::Kind::Finished(batch)) = event.kind
                {
                    return batch;
                }
            }
            panic!("the stream ended before the batch");
        };
        timeout(PATIENCE, followed).await.expect("it finishes")
    }

    /// All results of a batch so far, by index.
    pub async fn results(&mut self, batch_id: &str) -> Vec<ItemResult> {
        let mut results = Vec::new();
        let mut request = ListBatchResultsRequest {
            batch_id: batch_id.to_owned(),
            page_size: 1_000,
            ..ListBatchResultsRequest::default()
        };
        loop {
            let page = self.batches.list_batch_results(request.clone()).await;
            let page = page.expect("a page").into_inner();
            results.extend(page.results);
            if page.next_page_token.is_empty() {
                results.sort_by_key(|result| result.index);
                return results;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// Opens a stream with these first messages, and one to send more by.
    pub async fn stream(&mut self, first: Vec<Message>) -> Session {
        let (sender, receiver) = mpsc::channel(64);
        for message in first {
            sender.send(request(message)).await.expect("room");
        }
        let outgoing = ReceiverStream::new(receiver);
        let response = self.batches.batch_submit_stream(outgoing).await;
        Session {
            sender: Some(sender),
            incoming: response.expect("a stream").into_inner(),
        }
    }

    /// Submits so many items without waiting, and returns the batch's id.
    pub async fn detach(&mut self, count: u32) -> String {
        let request = BatchSubmitRequest {
            wait: Some(false),
            ..submit((0..count).map(item).collect())
        };
        let response = self.batches.batch_submit(request).await.expect("at once");
        response.into_inner().batch.expect("a batch").id
    }

    /// Shows that others are unhurt: a batch of its own goes through.
    pub async fn is_unhurt(&mut self) {
        let response = self
            .batches
            .batch_submit(submit(vec![item(1), item(2)]))
            .await;
        let response = response.expect("it is served").into_inner();
        let progress = response.batch.expect("a batch").progress.expect("progress");
        assert_eq!((progress.succeeded, progress.failed), (2, 0));
    }
}

fn config(target: &HttpTarget, settings: Settings<'_>) -> String {
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        heartbeat = "500ms"
        drain = "5s"
        {}
        [store]
        path = "flowgate.db"
        {}
        [targets.guests]
        kind = "http"
        url = "BASE/v1"
        path = "/guests"
        allow_calls = true
        allow_headers = ["x-source"]
        idempotency_header = "Idempotency-Key"
        {}
        "#,
        settings.server, settings.store, settings.target
    );
    text.replace("BASE", &target.base())
}

async fn serve(folder: &Path, config: &str) -> Server {
    let config = Config::parse(config, folder, &|_| None);
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    Server::start(config).await.expect("it starts")
}

async fn connect(server: &Server) -> Channel {
    let address = format!("http://{}", server.address());
    let endpoint = Channel::from_shared(address).expect("an address");
    endpoint.connect().await.expect("a connection")
}

/// An open `BatchSubmitStream`.
pub struct Session {
    sender: Option<mpsc::Sender<BatchSubmitStreamRequest>>,
    pub incoming: Streaming<BatchSubmitStreamResponse>,
}

impl Session {
    pub async fn send(&mut self, message: Message) {
        let sender = self.sender.as_ref().expect("the stream is open");
        // Refused when the call has ended; what it says then is what counts.
        let _ = sender.send(request(message)).await;
    }

    /// Whether the call has ended, and how.
    pub async fn end(&mut self) -> Result<(), Status> {
        let (_, end) = timeout(PATIENCE, self.rest()).await.expect("it ends");
        end
    }

    /// Closes the client's side.
    pub fn half_close(&mut self) {
        self.sender = None;
    }

    pub async fn next(&mut self) -> Option<Result<batch_submit_stream_response::Message, Status>> {
        match self.incoming.message().await {
            Ok(None) => None,
            Ok(Some(response)) => Some(Ok(response.message.expect("a message"))),
            Err(status) => Some(Err(status)),
        }
    }

    /// The next `accepted`, past anything else.
    pub async fn accepted(&mut self) -> flowgate::proto::BatchAccepted {
        loop {
            let message = self.next().await.expect("more to come");
            if let batch_submit_stream_response::Message::Accepted(accepted) =
                message.expect("no error")
            {
                return accepted;
            }
        }
    }

    /// All that is still to come: messages, then how the call ended.
    pub async fn rest(
        &mut self,
    ) -> (
        Vec<batch_submit_stream_response::Message>,
        Result<(), Status>,
    ) {
        let mut messages = Vec::new();
        loop {
            match self.next().await {
                None => return (messages, Ok(())),
                Some(Ok(message)) => messages.push(message),
                Some(Err(status)) => return (messages, Err(status)),
            }
        }
    }
}

fn request(message: Message) -> BatchSubmitStreamRequest {
    BatchSubmitStreamRequest {
        message: Some(message),
    }
}

pub fn item(number: u32) -> Item {
    json_text(&format!(r#"{{"n":{number}}}"#))
}

pub fn json_text(text: &str) -> Item {
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::JsonText(text.to_owned())),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

pub fn spec(target: &str) -> BatchSpec {
    BatchSpec {
        target: target.to_owned(),
        ..BatchSpec::default()
    }
}

pub fn submit(items: Vec<Item>) -> BatchSubmitRequest {
    BatchSubmitRequest {
        spec: Some(spec("guests")),
        items,
        ..BatchSubmitRequest::default()
    }
}

pub fn open(spec: BatchSpec) -> Message {
    Message::Open(BatchOpen {
        how: Some(batch_open::How::Spec(spec)),
        all_failed_is_ok: false,
    })
}

pub fn resume(batch_id: &str, cursor: u64) -> Message {
    Message::Open(BatchOpen {
        how: Some(batch_open::How::Resume(flowgate::proto::BatchResume {
            batch_id: batch_id.to_owned(),
            cursor,
        })),
        all_failed_is_ok: false,
    })
}

pub fn append(items: Vec<Item>, offset: Option<u32>) -> Message {
    Message::Append(BatchAppend { items, offset })
}

pub fn seal(count: Option<u32>) -> Message {
    Message::Seal(BatchSeal { count })
}

/// Checks an error: its code, its reason, and what its message says.
pub fn assert_refused(status: &Status, code: Code, reason: &str, says: &str) {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(
        (status.code(), info.reason.as_str(), info.domain.as_str()),
        (code, reason, "flowgate"),
        "{status:?}"
    );
    assert!(
        status.message().contains(says),
        "`{}` does not say `{says}`",
        status.message()
    );
}
