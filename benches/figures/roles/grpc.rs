//! A gRPC service that notes when calls came, and a bare tonic client of it.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

use http::uri::PathAndQuery;
use prost::Message;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;

use super::client::json_text;
use crate::clock::{now_ns, seconds};
use crate::worker;

/// The method that takes an item.
pub const METHOD: &str = "bench.v1.Items/Take";

/// As `items.proto` has it.
#[derive(Clone, PartialEq, Message, Deserialize)]
struct Record {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    email: String,
    #[prost(int32, tag = "3")]
    visits: i32,
    #[prost(bool, tag = "4")]
    news: bool,
    #[prost(string, tag = "5")]
    note: String,
}

#[derive(Clone, PartialEq, Message)]
struct Taken {
    #[prost(string, tag = "1")]
    id: String,
}

/// What came to the service since it was last asked.
#[derive(Serialize, Deserialize)]
pub struct Came {
    /// How many calls.
    pub calls: u64,
    /// From the first to the last.
    pub span_s: f64,
}

/// How many calls, and how many at once.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// How many calls.
    pub calls: usize,
    /// How many are under way at any time.
    pub concurrency: usize,
}

#[derive(Clone, Default)]
struct Items(Arc<Ledger>);

#[derive(Default)]
struct Ledger {
    calls: AtomicU64,
    first_ns: AtomicU64,
    last_ns: AtomicU64,
}

impl Ledger {
    fn note(&self) {
        let now = now_ns();
        if self.calls.fetch_add(1, Relaxed) == 0 {
            self.first_ns.store(now, Relaxed);
        }
        self.last_ns.store(now, Relaxed);
    }

    fn take(&self) -> Came {
        let (first, last) = (self.first_ns.load(Relaxed), self.last_ns.load(Relaxed));
        Came {
            calls: self.calls.swap(0, Relaxed),
            span_s: seconds(last.saturating_sub(first)),
        }
    }
}

/// Plays the service; it says by reflection what it looks like. Each question
/// is answered with what [`Came`].
pub async fn serve() -> anyhow::Result<()> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/figures/roles");
    let files = protox::compile(["items.proto"], [root])?;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(&files.encode_to_vec())
        .build_v1()?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let items = Items::default();
    // Settings as Flowgate's own.
    let serving = Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .tcp_nodelay(true)
        .add_service(reflection)
        .add_service(items.clone())
        .serve_with_incoming(TcpListenerStream::new(listener));
    let mut asked = worker::Asked::ready(port).await?;
    let answering = async {
        while asked.next::<()>().await?.is_some() {
            asked.answer(Ok(items.0.take())).await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        served = serving => served?,
        answered = answering => answered?,
    }
    Ok(())
}

impl NamedService for Items {
    const NAME: &'static str = "bench.v1.Items";
}

impl Service<http::Request<Body>> for Items {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let items = self.clone();
        Box::pin(async move {
            let codec = ProstCodec::<Taken, Record>::default();
            Ok(tonic::server::Grpc::new(codec).unary(items, request).await)
        })
    }
}

impl UnaryService<Record> for Items {
    type Response = Taken;
    type Future = Ready<Result<Response<Taken>, Status>>;

    fn call(&mut self, _: Request<Record>) -> Self::Future {
        self.0.note();
        let id = "i-1".to_owned();
        ready(Ok(Response::new(Taken { id })))
    }
}

/// Plays the client. Answers a [`Job`] with the seconds that it took.
pub async fn call(port: u16) -> anyhow::Result<()> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))?
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .tcp_nodelay(true);
    let channel = endpoint.connect().await?;
    let mut asked = worker::Asked::ready(0).await?;
    while let Some(job) = asked.next::<Job>().await? {
        asked.answer(run(&channel, &job).await).await?;
    }
    Ok(())
}

async fn run(channel: &Channel, job: &Job) -> anyhow::Result<f64> {
    let path = PathAndQuery::try_from(format!("/{METHOD}"))?;
    let began = now_ns();
    let mut tasks = JoinSet::new();
    for first in 0..job.concurrency {
        let mut client = tonic::client::Grpc::new(channel.clone());
        let path = path.clone();
        let numbers = (first..job.calls).step_by(job.concurrency);
        tasks.spawn(async move {
            for number in numbers {
                let record: Record = serde_json::from_str(&json_text(number))?;
                client.ready().await?;
                let codec = ProstCodec::<Record, Taken>::default();
                client
                    .unary(Request::new(record), path.clone(), codec)
                    .await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(seconds(now_ns() - began))
}
