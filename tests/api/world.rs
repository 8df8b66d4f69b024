//! A whole Flowgate on a port of its own: the real store, a real client, and a
//! target that does as it is told and keeps a ledger.

use std::path::Path;

use flowgate::app::Server;
use flowgate::config::Config;
use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::batch_submit_stream_request::Message;
use flowgate::proto::target_service_client::TargetServiceClient;
use flowgate::proto::{
    BatchAppend, BatchOpen, BatchSeal, BatchSpec, BatchSubmitRequest, BatchSubmitStreamRequest,
    BatchSubmitStreamResponse, Item, Payload, batch_open, batch_submit_stream_response, payload,
};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use crate::support::http_target::{Act, HttpTarget, Request};

/// A whole Flowgate, and its target.
pub struct World {
    pub server: Option<Server>,
    pub target: HttpTarget,
    pub batches: BatchServiceClient<Channel>,
    pub targets: TargetServiceClient<Channel>,
    pub channel: Channel,
    pub folder: TempDir,
    settings: String,
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
        let target = HttpTarget::start(script).await;
        let folder = TempDir::new().expect("a folder");
        let server = serve(folder.path(), &target, settings).await;
        let channel = connect(&server).await;
        World {
            server: Some(server),
            target,
            batches: BatchServiceClient::new(channel.clone()),
            targets: TargetServiceClient::new(channel.clone()),
            channel,
            folder,
            settings: settings.to_owned(),
        }
    }

    /// Drains the server, and starts another on the same store.
    pub async fn restart(&mut self) {
        let server = self.server.take().expect("a server");
        server.drain().await.expect("it drains");
        let server = serve(self.folder.path(), &self.target, &self.settings).await;
        self.channel = connect(&server).await;
        self.batches = BatchServiceClient::new(self.channel.clone());
        self.targets = TargetServiceClient::new(self.channel.clone());
        self.server = Some(server);
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

async fn serve(folder: &Path, target: &HttpTarget, settings: &str) -> Server {
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        heartbeat = "500ms"
        drain = "5s"
        [store]
        path = "flowgate.db"
        [targets.guests]
        kind = "http"
        url = "{}/v1"
        path = "/guests"
        allow_calls = true
        allow_headers = ["x-source"]
        idempotency_header = "Idempotency-Key"
        {settings}
        "#,
        target.base()
    );
    let config = Config::parse(&text, folder, &|_| None);
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
