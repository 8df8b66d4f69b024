//! The real program behind the rate limiter of nginx, a program that nobody
//! here wrote: at the rate that is configured on both sides, it refuses nothing.
//!
//! A window's places are free again one window after the answer, and `transit`
//! only bounds how long that is waited for: it is long here, so that a machine
//! that stands still for a moment is no fault of Flowgate's.

#[path = "../support/mod.rs"]
mod support;

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::batch_submit_stream_request::Message as Says;
use flowgate::proto::batch_submit_stream_response::Message as Hears;
use flowgate::proto::{
    BatchAppend, BatchOpen, BatchSeal, BatchSpec, BatchSubmitStreamRequest, Item, ItemResult,
    Payload, batch_event, batch_open, item_result, payload,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;

use support::http_target::{Act, HttpTarget};
use support::nginx::Nginx;
use support::patience::within;
use support::program::{self, Program};

/// An upstream, nginx before it, and Flowgate before that.
struct Site {
    upstream: HttpTarget,
    nginx: Nginx,
    program: Program,
    _folder: TempDir,
}

impl Site {
    /// All of them with the same limit, in requests a second; `None` without
    /// nginx.
    async fn new(limit: u32, pace: &str) -> Option<Site> {
        let upstream = HttpTarget::start(|_| Act::answer(201, "{}")).await;
        let nginx = Nginx::limiting(limit, upstream.address()).await?;
        let folder = TempDir::new().expect("a folder");
        let config = folder.path().join("flowgate.toml");
        let text = format!(
            r#"
            [server]
            listen = "127.0.0.1:0"
            [store]
            path = "flowgate.db"
            [targets.guests]
            kind = "http"
            url = "{}"
            path = "/guests"
            limits = ["{limit}/s"]
            pace = "{pace}"
            transit = "5s"
            concurrency = 64
            "#,
            nginx.base()
        );
        std::fs::write(&config, text).expect("the folder can be written to");
        let started = Program::start(program::serve(&config)).await;
        Some(Site {
            upstream,
            nginx,
            program: started.unwrap_or_else(|ended| panic!("it does not serve: {ended:?}")),
            _folder: folder,
        })
    }

    /// Sends a batch of so many items, and checks at all three places that each
    /// went through once and that nothing was refused.
    async fn carries(self, count: u32) {
        let channel = self.program.connect().await.expect("a connection");
        let mut client = BatchServiceClient::new(channel);
        let succeeded = within("the batch's end", succeeded(&mut client, count)).await;
        assert_eq!(succeeded, (0..count).collect::<Vec<_>>());

        let statuses = self.nginx.stopped(count as usize).await;
        let refused = statuses.iter().filter(|status| **status != 201).count();
        assert_eq!(refused, 0, "of {} requests", statuses.len());
        assert_eq!(statuses.len(), count as usize);

        let number = |body: &[u8]| {
            let body: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            body["n"].as_u64().expect("a number")
        };
        let requests = self.upstream.requests();
        let mut numbers: Vec<u64> = requests.iter().map(|r| number(&r.body)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..u64::from(count)).collect::<Vec<_>>());
        self.program.stopped().await;
    }
}

/// Submits a batch and follows it to its end; which items succeeded, each at
/// the first try.
async fn succeeded(client: &mut BatchServiceClient<Channel>, count: u32) -> Vec<u32> {
    let open = BatchOpen {
        how: Some(batch_open::How::Spec(BatchSpec {
            target: "guests".to_owned(),
            ..BatchSpec::default()
        })),
        ..BatchOpen::default()
    };
    let items: Vec<Item> = (0..count).map(item).collect();
    let appends = items.chunks(1000).map(|items| {
        Says::Append(BatchAppend {
            items: items.to_vec(),
            offset: None,
        })
    });
    let mut messages = vec![Says::Open(open)];
    messages.extend(appends);
    messages.push(Says::Seal(BatchSeal { count: Some(count) }));
    let messages = messages
        .into_iter()
        .map(|message| BatchSubmitStreamRequest {
            message: Some(message),
        });
    let call = client.batch_submit_stream(tokio_stream::iter(messages));
    let mut heard = call.await.expect("it is taken").into_inner();
    let mut succeeded = Vec::new();
    while let Some(response) = heard.message().await.expect("no error") {
        if let Some(Hears::Event(event)) = response.message
            && let Some(batch_event::Kind::Results(more)) = event.kind
        {
            let done = |result: &&ItemResult| {
                let is_success = matches!(result.outcome, Some(item_result::Outcome::Success(_)));
                is_success && result.attempts == 1
            };
            succeeded.extend(more.results.iter().filter(done).map(|result| result.index));
        }
    }
    succeeded.sort_unstable();
    succeeded
}

fn item(number: u32) -> Item {
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::JsonText(format!(r#"{{"n":{number}}}"#))),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

#[tokio::test]
async fn at_100_a_second_in_windows() {
    if let Some(site) = Site::new(100, "window").await {
        site.carries(350).await;
    }
}

#[tokio::test]
async fn at_100_a_second_evenly() {
    if let Some(site) = Site::new(100, "smooth").await {
        site.carries(250).await;
    }
}

#[tokio::test]
async fn at_1000_a_second_in_windows() {
    if let Some(site) = Site::new(1000, "window").await {
        site.carries(3500).await;
    }
}

#[tokio::test]
async fn at_1000_a_second_evenly() {
    if let Some(site) = Site::new(1000, "smooth").await {
        site.carries(2500).await;
    }
}

#[tokio::test]
async fn ten_thousand_items_and_every_one_of_them_on_the_other_side() {
    if let Some(site) = Site::new(2000, "window").await {
        site.carries(10_000).await;
    }
}

/// Without this, the tests above would pass with a limiter that does nothing.
#[tokio::test]
async fn what_is_not_paced_is_refused() {
    const REQUESTS: usize = 300;
    let upstream = HttpTarget::start(|_| Act::answer(201, "{}")).await;
    let Some(nginx) = Nginx::limiting(100, upstream.address()).await else {
        return;
    };
    // All at once, before there is any answer.
    let request = b"POST /guests HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    let mut socket = TcpStream::connect(nginx.address()).await.expect("nginx");
    let written = socket.write_all(&request.repeat(REQUESTS)).await;
    written.expect("nginx takes them");
    let mut answers = Vec::new();
    let count = |text: &[u8]| text.windows(9).filter(|nine| nine == b"HTTP/1.1 ").count();
    while count(&answers) < REQUESTS {
        let read = within("the answers", socket.read_buf(&mut answers)).await;
        assert!(
            matches!(read, Ok(1..)),
            "{read:?} after {}: {:?}",
            count(&answers),
            String::from_utf8_lossy(&answers[answers.len().saturating_sub(300)..])
        );
    }

    let statuses = nginx.stopped(REQUESTS).await;
    let of = |status| statuses.iter().filter(|given| **given == status).count();
    let (passed, refused) = (of(201), of(429));
    assert_eq!(passed + refused, REQUESTS, "{statuses:?}");
    assert_eq!(passed, upstream.requests().len());
    assert!(refused > 0, "all have passed");
}
