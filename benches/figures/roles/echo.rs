//! A bare tonic server that speaks the contract and keeps nothing: what gRPC
//! alone takes.

use std::pin::Pin;

use bytes::Bytes;
use flowgate::proto::batch_event::Kind;
use flowgate::proto::batch_service_server::{BatchService, BatchServiceServer};
use flowgate::proto::batch_submit_stream_request::Message as Asked;
use flowgate::proto::batch_submit_stream_response::Message as Told;
use flowgate::proto::item_result::Outcome;
use flowgate::proto::payload::Content;
use flowgate::proto::{
    Batch, BatchAccepted, BatchEvent, BatchResults, BatchSubmitRequest, BatchSubmitResponse,
    BatchSubmitStreamRequest, BatchSubmitStreamResponse, CancelBatchRequest, CancelBatchResponse,
    GetBatchRequest, GetBatchResponse, ItemResult, ListBatchResultsRequest,
    ListBatchResultsResponse, ListBatchesRequest, ListBatchesResponse, PauseBatchRequest,
    PauseBatchResponse, Payload, Progress, ResumeBatchRequest, ResumeBatchResponse,
    RetryBatchRequest, RetryBatchResponse, Success, WatchBatchRequest, WatchBatchResponse,
};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming};

use crate::worker;

/// What it says to a frame, at once.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Says {
    /// That it holds the items.
    Accepted,
    /// That, and of each item that it succeeded.
    Results,
}

/// Plays it.
pub async fn play(says: Says) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    // Settings as Flowgate's own.
    let serving = tonic::transport::Server::builder()
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .tcp_nodelay(true)
        .add_service(BatchServiceServer::new(Echo { says }).max_decoding_message_size(16 << 20))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let mut asked = worker::Asked::ready(port).await?;
    tokio::select! {
        served = serving => served?,
        _ = asked.next::<()>() => {}
    }
    Ok(())
}

struct Echo {
    says: Says,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl BatchService for Echo {
    type BatchSubmitStreamStream = Answers<BatchSubmitStreamResponse>;
    type WatchBatchStream = Answers<WatchBatchResponse>;

    async fn batch_submit_stream(
        &self,
        request: Request<Streaming<BatchSubmitStreamRequest>>,
    ) -> Result<Response<Self::BatchSubmitStreamStream>, Status> {
        let requests = request.into_inner();
        let says = self.says;
        let answers = requests.scan(0, move |held, request| {
            let answers = match request {
                Ok(request) => answers(request, held, says).into_iter().map(Ok).collect(),
                Err(status) => vec![Err(status)],
            };
            std::future::ready(Some(stream::iter(answers)))
        });
        Ok(Response::new(Box::pin(answers.flatten())))
    }

    async fn batch_submit(
        &self,
        _: Request<BatchSubmitRequest>,
    ) -> Result<Response<BatchSubmitResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn watch_batch(
        &self,
        _: Request<WatchBatchRequest>,
    ) -> Result<Response<Self::WatchBatchStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_batch(
        &self,
        _: Request<GetBatchRequest>,
    ) -> Result<Response<GetBatchResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_batches(
        &self,
        _: Request<ListBatchesRequest>,
    ) -> Result<Response<ListBatchesResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_batch_results(
        &self,
        _: Request<ListBatchResultsRequest>,
    ) -> Result<Response<ListBatchResultsResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn cancel_batch(
        &self,
        _: Request<CancelBatchRequest>,
    ) -> Result<Response<CancelBatchResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn retry_batch(
        &self,
        _: Request<RetryBatchRequest>,
    ) -> Result<Response<RetryBatchResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn resume_batch(
        &self,
        _: Request<ResumeBatchRequest>,
    ) -> Result<Response<ResumeBatchResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn pause_batch(
        &self,
        _: Request<PauseBatchRequest>,
    ) -> Result<Response<PauseBatchResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// What is said to a message: to a frame, what is held, and the results.
fn answers(
    request: BatchSubmitStreamRequest,
    held: &mut u32,
    says: Says,
) -> Vec<BatchSubmitStreamResponse> {
    let told = match request.message {
        Some(Asked::Append(append)) => {
            let first = *held;
            *held += u32::try_from(append.items.len()).unwrap_or(u32::MAX);
            match says {
                Says::Accepted => vec![accepted(*held)],
                Says::Results => vec![accepted(*held), results(first..*held)],
            }
        }
        Some(Asked::Seal(_)) => vec![finished(*held)],
        Some(Asked::Open(_)) | None => vec![accepted(0)],
    };
    let told = told.into_iter().map(|message| BatchSubmitStreamResponse {
        message: Some(message),
    });
    told.collect()
}

fn accepted(held: u32) -> Told {
    Told::Accepted(BatchAccepted {
        batch_id: "0199a0b0-0000-7000-8000-000000000000".to_owned(),
        items_held: held,
        ..BatchAccepted::default()
    })
}

fn results(indices: std::ops::Range<u32>) -> Told {
    let result = |index| ItemResult {
        index,
        outcome: Some(Outcome::Success(Success {
            target_status: 201,
            reply: Some(Payload {
                content: Some(Content::Raw(Bytes::from_static(br#"{"id":"i-1"}"#))),
                content_type: "application/json".to_owned(),
            }),
            reply_truncated: false,
        })),
        attempts: 1,
        ..ItemResult::default()
    };
    event(Kind::Results(BatchResults {
        results: indices.map(result).collect(),
    }))
}

fn finished(held: u32) -> Told {
    event(Kind::Finished(Batch {
        progress: Some(Progress {
            total: held,
            completed: held,
            succeeded: held,
            ..Progress::default()
        }),
        ..Batch::default()
    }))
}

fn event(kind: Kind) -> Told {
    Told::Event(BatchEvent {
        sequence: 1,
        kind: Some(kind),
        ..BatchEvent::default()
    })
}
