//! The gRPC face: the contract's messages to what the rooms do, and back.
//! Only this module knows tonic's server.

mod batches;
mod connections;
mod follow;
mod page;
mod server;
mod status;
mod stream;
mod submit;
mod targets;
mod wire;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::feed::Feed;
use crate::intake::Intake;
use crate::model::{Batch, BatchId, Code, LaneStatus, Refusal, TenantId};
use crate::observe::Board;
use crate::proto;
use crate::proto::batch_service_server::BatchService;
use crate::proto::target_service_server::TargetService;
use crate::store::Store;
use crate::target::Catalog;

pub use server::{ServeSpec, serve};

/// What the calls are served from.
pub struct Rooms {
    /// Where batches come in.
    pub intake: Intake,
    /// Where they are followed.
    pub feed: Feed,
    /// Where they live.
    pub store: Arc<dyn Store>,
    /// The targets that there are.
    pub catalog: Catalog,
    /// How they are doing.
    pub board: Board,
    /// Cancelled when the server goes away: calls end with a status that says
    /// how to go on.
    pub drain: CancellationToken,
    /// How long a stream is silent before a heartbeat.
    pub heartbeat: Duration,
    /// A place for each open stream: tower's limits let go of a call when its
    /// stream begins, not when it ends.
    pub streams: Arc<Semaphore>,
}

impl Rooms {
    /// The tenant's batch of that id.
    async fn batch(&self, tenant: &TenantId, id: &str) -> Result<Batch, Refusal> {
        let id = BatchId::parse(id).ok_or_else(|| {
            let message = "batch_id is a UUID, as `accepted` and BatchSubmit give it";
            Refusal::new(Code::InvalidArgument, "INVALID_BATCH_ID", message)
                .field("batch_id", "must be a UUID")
        })?;
        let found = self.store.batch(tenant.clone(), id).await;
        let found = found.map_err(crate::intake::store_trouble)?;
        found.ok_or_else(|| batch_not_found(&id.to_string()))
    }

    /// How a batch's target is doing.
    fn lane(&self, batch: &Batch) -> LaneStatus {
        self.board.read(&batch.spec.target)
    }

    fn tell(&self, batch: &Batch) -> proto::Batch {
        wire::batch(batch, Some(&self.lane(batch)))
    }
}

/// There is no such batch, or none any more.
fn batch_not_found(id: &str) -> Refusal {
    let message = format!("there is no batch {id}; ListBatches gives those that there are");
    Refusal::new(Code::NotFound, "BATCH_NOT_FOUND", message).with("batch_id", id)
}

/// Who calls. Everybody is the same tenant while there is no authentication.
fn tenant<T>(_request: &Request<T>) -> TenantId {
    TenantId::default()
}

/// The services, over the rooms. Cheap to clone.
#[derive(Clone)]
struct Face(Arc<Rooms>);

/// What a streaming call answers.
type Outgoing<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Answers a unary call.
fn answer<T>(result: Result<T, Refusal>) -> Result<Response<T>, Status> {
    match result {
        Ok(message) => Ok(Response::new(message)),
        Err(refusal) => Err(status::status(&refusal)),
    }
}

#[tonic::async_trait]
impl BatchService for Face {
    async fn batch_submit(
        &self,
        request: Request<proto::BatchSubmitRequest>,
    ) -> Result<Response<proto::BatchSubmitResponse>, Status> {
        answer(submit::batch_submit(&self.0, request).await)
    }

    type BatchSubmitStreamStream = Outgoing<proto::BatchSubmitStreamResponse>;

    async fn batch_submit_stream(
        &self,
        request: Request<Streaming<proto::BatchSubmitStreamRequest>>,
    ) -> Result<Response<Self::BatchSubmitStreamStream>, Status> {
        answer(stream::batch_submit_stream(&self.0, request))
    }

    type WatchBatchStream = Outgoing<proto::WatchBatchResponse>;

    async fn watch_batch(
        &self,
        request: Request<proto::WatchBatchRequest>,
    ) -> Result<Response<Self::WatchBatchStream>, Status> {
        answer(follow::watch_batch(&self.0, request).await)
    }

    async fn get_batch(
        &self,
        request: Request<proto::GetBatchRequest>,
    ) -> Result<Response<proto::GetBatchResponse>, Status> {
        answer(batches::get_batch(&self.0, request).await)
    }

    async fn list_batches(
        &self,
        request: Request<proto::ListBatchesRequest>,
    ) -> Result<Response<proto::ListBatchesResponse>, Status> {
        answer(batches::list_batches(&self.0, request).await)
    }

    async fn list_batch_results(
        &self,
        request: Request<proto::ListBatchResultsRequest>,
    ) -> Result<Response<proto::ListBatchResultsResponse>, Status> {
        answer(batches::list_batch_results(&self.0, request).await)
    }

    async fn cancel_batch(
        &self,
        request: Request<proto::CancelBatchRequest>,
    ) -> Result<Response<proto::CancelBatchResponse>, Status> {
        answer(batches::cancel_batch(&self.0, request).await)
    }

    async fn pause_batch(
        &self,
        request: Request<proto::PauseBatchRequest>,
    ) -> Result<Response<proto::PauseBatchResponse>, Status> {
        answer(batches::pause_batch(&self.0, request).await)
    }

    async fn resume_batch(
        &self,
        request: Request<proto::ResumeBatchRequest>,
    ) -> Result<Response<proto::ResumeBatchResponse>, Status> {
        answer(batches::resume_batch(&self.0, request).await)
    }

    async fn retry_batch(
        &self,
        request: Request<proto::RetryBatchRequest>,
    ) -> Result<Response<proto::RetryBatchResponse>, Status> {
        answer(batches::retry_batch(&self.0, request).await)
    }
}

#[tonic::async_trait]
impl TargetService for Face {
    async fn list_targets(
        &self,
        _request: Request<proto::ListTargetsRequest>,
    ) -> Result<Response<proto::ListTargetsResponse>, Status> {
        answer(targets::list_targets(&self.0).await)
    }

    async fn get_target(
        &self,
        request: Request<proto::GetTargetRequest>,
    ) -> Result<Response<proto::GetTargetResponse>, Status> {
        answer(targets::get_target(&self.0, &request.into_inner().name).await)
    }

    async fn pause_target(
        &self,
        request: Request<proto::PauseTargetRequest>,
    ) -> Result<Response<proto::PauseTargetResponse>, Status> {
        answer(targets::pause_target(&self.0, request.into_inner()).await)
    }

    async fn resume_target(
        &self,
        request: Request<proto::ResumeTargetRequest>,
    ) -> Result<Response<proto::ResumeTargetResponse>, Status> {
        answer(targets::resume_target(&self.0, &request.into_inner().name).await)
    }
}
