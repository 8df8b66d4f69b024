//! The calls of the fake server.

use std::pin::Pin;
use std::sync::Arc;

use flowgate::proto::batch_service_server::BatchService;
use flowgate::proto::target_service_server::TargetService;
use flowgate::proto::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt};

use super::{Held, Shared};

/// A call that is refused, as Flowgate says it.
pub fn refusal(code: Code, reason: &str, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, "flowgate", []);
    Status::with_error_details(code, message, details)
}

/// Both services.
pub struct Service(pub Arc<Shared>);

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn said(message: batch_submit_stream_response::Message) -> BatchSubmitStreamResponse {
    BatchSubmitStreamResponse {
        message: Some(message),
    }
}

#[tonic::async_trait]
impl BatchService for Service {
    async fn batch_submit(
        &self,
        _: Request<BatchSubmitRequest>,
    ) -> Result<Response<BatchSubmitResponse>, Status> {
        Err(Status::unimplemented("the command line streams"))
    }

    type BatchSubmitStreamStream = Answers<BatchSubmitStreamResponse>;

    async fn batch_submit_stream(
        &self,
        request: Request<Streaming<BatchSubmitStreamRequest>>,
    ) -> Result<Response<Self::BatchSubmitStreamStream>, Status> {
        let (outbound, answers) = mpsc::channel(4);
        let shared = self.0.clone();
        let call = {
            let mut state = shared.state();
            state.calls += 1;
            state.calls - 1
        };
        tokio::spawn(async move {
            let inbound = request.into_inner();
            if let Err(status) = converse(shared, call, inbound, &outbound).await {
                let _ = outbound.send(Err(status)).await;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    type WatchBatchStream = Answers<WatchBatchResponse>;

    async fn watch_batch(
        &self,
        request: Request<WatchBatchRequest>,
    ) -> Result<Response<Self::WatchBatchStream>, Status> {
        let request = request.into_inner();
        let batch = self.0.state().find(&request.batch_id)?;
        self.0.state().watches += 1;
        self.0.changed.send_replace(());
        let (outbound, answers) = mpsc::channel(4);
        let wrap = |event| WatchBatchResponse {
            message: Some(watch_batch_response::Message::Event(event)),
        };
        tokio::spawn(self.0.clone().follow(batch, request.cursor, outbound, wrap));
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn get_batch(
        &self,
        request: Request<GetBatchRequest>,
    ) -> Result<Response<GetBatchResponse>, Status> {
        let state = self.0.state();
        let batch = state.find(&request.into_inner().batch_id)?;
        let batch = Some(state.batches[batch].batch());
        Ok(Response::new(GetBatchResponse { batch }))
    }

    async fn list_batches(
        &self,
        _: Request<ListBatchesRequest>,
    ) -> Result<Response<ListBatchesResponse>, Status> {
        let state = self.0.state();
        Ok(Response::new(ListBatchesResponse {
            batches: state.batches.iter().rev().map(Held::batch).collect(),
            next_page_token: String::new(),
        }))
    }

    /// One result a page, so that whoever reads them has to turn it.
    async fn list_batch_results(
        &self,
        request: Request<ListBatchResultsRequest>,
    ) -> Result<Response<ListBatchResultsResponse>, Status> {
        let request = request.into_inner();
        let state = self.0.state();
        let batch = state.find(&request.batch_id)?;
        let wanted = |result: &&ItemResult| match request.view() {
            ResultView::Failed => result.item.is_some(),
            ResultView::Succeeded => result.item.is_none(),
            _ => true,
        };
        let all: Vec<_> = state.batches[batch].results.iter().filter(wanted).collect();
        let from: usize = request.page_token.parse().unwrap_or(0);
        let more = from + 1 < all.len();
        Ok(Response::new(ListBatchResultsResponse {
            results: all.get(from).map(|r| (*r).clone()).into_iter().collect(),
            next_page_token: if more {
                (from + 1).to_string()
            } else {
                String::new()
            },
        }))
    }

    async fn cancel_batch(
        &self,
        request: Request<CancelBatchRequest>,
    ) -> Result<Response<CancelBatchResponse>, Status> {
        let state = self.0.state();
        let batch = state.find(&request.into_inner().batch_id)?;
        let batch = Some(state.batches[batch].batch());
        Ok(Response::new(CancelBatchResponse { batch }))
    }

    async fn pause_batch(
        &self,
        request: Request<PauseBatchRequest>,
    ) -> Result<Response<PauseBatchResponse>, Status> {
        let batch = self.0.pause(&request.into_inner().batch_id, true)?;
        Ok(Response::new(PauseBatchResponse { batch: Some(batch) }))
    }

    async fn resume_batch(
        &self,
        request: Request<ResumeBatchRequest>,
    ) -> Result<Response<ResumeBatchResponse>, Status> {
        let batch = self.0.pause(&request.into_inner().batch_id, false)?;
        Ok(Response::new(ResumeBatchResponse { batch: Some(batch) }))
    }

    async fn retry_batch(
        &self,
        request: Request<RetryBatchRequest>,
    ) -> Result<Response<RetryBatchResponse>, Status> {
        let batch = self.0.retry(&request.into_inner())?;
        Ok(Response::new(RetryBatchResponse { batch: Some(batch) }))
    }
}

async fn converse(
    shared: Arc<Shared>,
    call: usize,
    mut inbound: Streaming<BatchSubmitStreamRequest>,
    outbound: &mpsc::Sender<Result<BatchSubmitStreamResponse, Status>>,
) -> Result<(), Status> {
    use batch_submit_stream_request::Message as Said;
    use batch_submit_stream_response::Message as Answer;
    let breaks_after = shared.script.break_after_appends.get(call).copied();
    let mut appends = 0;
    let mut batch = None;
    while let Some(request) = inbound.next().await {
        match (request?.message, batch) {
            (Some(Said::Open(open)), None) => {
                let (opened, cursor) = shared.open(open)?;
                batch = Some(opened);
                let accepted = shared.accepted(opened);
                let _ = outbound.send(Ok(said(Answer::Accepted(accepted)))).await;
                let wrap = |event| said(Answer::Event(event));
                tokio::spawn(
                    shared
                        .clone()
                        .follow(opened, cursor, outbound.clone(), wrap),
                );
                continue;
            }
            (Some(Said::Append(append)), Some(batch)) => {
                shared.append(batch, append)?;
                appends += 1;
                if breaks_after == Some(appends) {
                    return Err(Status::unavailable("the fake is gone"));
                }
            }
            (Some(Said::Seal(seal)), Some(batch)) => shared.seal(batch, seal.count),
            (message, _) => panic!("{message:?}"),
        }
        if let Some(batch) = batch {
            let accepted = shared.accepted(batch);
            let _ = outbound.send(Ok(said(Answer::Accepted(accepted)))).await;
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl TargetService for Service {
    async fn list_targets(
        &self,
        _: Request<ListTargetsRequest>,
    ) -> Result<Response<ListTargetsResponse>, Status> {
        let targets = ["crm", "erp"].map(|name| self.0.target(name));
        let targets = targets.into_iter().collect::<Result<_, _>>()?;
        Ok(Response::new(ListTargetsResponse { targets }))
    }

    async fn get_target(
        &self,
        request: Request<GetTargetRequest>,
    ) -> Result<Response<GetTargetResponse>, Status> {
        let target = Some(self.0.target(&request.into_inner().name)?);
        Ok(Response::new(GetTargetResponse { target }))
    }

    async fn pause_target(
        &self,
        request: Request<PauseTargetRequest>,
    ) -> Result<Response<PauseTargetResponse>, Status> {
        let request = request.into_inner();
        let target = Some(self.0.hold(&request.name, Some(request.reason))?);
        Ok(Response::new(PauseTargetResponse { target }))
    }

    async fn resume_target(
        &self,
        request: Request<ResumeTargetRequest>,
    ) -> Result<Response<ResumeTargetResponse>, Status> {
        let target = Some(self.0.hold(&request.into_inner().name, None)?);
        Ok(Response::new(ResumeTargetResponse { target }))
    }
}
