//! The unary calls on batches that are there.

use tonic::Request;

use super::{Rooms, page, status, tenant, wire};
use crate::intake::store_trouble;
use crate::model::{BatchNo, BatchState, FailureKind, Refusal, TargetName, TenantId};
use crate::proto;
use crate::store::{Change, ListQuery};

pub(super) async fn get_batch(
    rooms: &Rooms,
    request: Request<proto::GetBatchRequest>,
) -> Result<proto::GetBatchResponse, Refusal> {
    let tenant = tenant(&request);
    let batch = rooms.batch(&tenant, &request.get_ref().batch_id).await?;
    Ok(proto::GetBatchResponse {
        batch: Some(rooms.tell(&batch)),
    })
}

pub(super) async fn cancel_batch(
    rooms: &Rooms,
    request: Request<proto::CancelBatchRequest>,
) -> Result<proto::CancelBatchResponse, Refusal> {
    let tenant = tenant(&request);
    let batch = change(rooms, tenant, &request.get_ref().batch_id, Change::Cancel).await?;
    Ok(proto::CancelBatchResponse { batch: Some(batch) })
}

pub(super) async fn pause_batch(
    rooms: &Rooms,
    request: Request<proto::PauseBatchRequest>,
) -> Result<proto::PauseBatchResponse, Refusal> {
    let tenant = tenant(&request);
    let batch = change(rooms, tenant, &request.get_ref().batch_id, Change::Pause).await?;
    Ok(proto::PauseBatchResponse { batch: Some(batch) })
}

pub(super) async fn resume_batch(
    rooms: &Rooms,
    request: Request<proto::ResumeBatchRequest>,
) -> Result<proto::ResumeBatchResponse, Refusal> {
    let tenant = tenant(&request);
    let batch = change(rooms, tenant, &request.get_ref().batch_id, Change::Resume).await?;
    Ok(proto::ResumeBatchResponse { batch: Some(batch) })
}

/// Has something happen to a batch; as it stands then.
async fn change(
    rooms: &Rooms,
    tenant: TenantId,
    id: &str,
    change: Change,
) -> Result<proto::Batch, Refusal> {
    let batch = rooms.batch(&tenant, id).await?;
    if batch.state.is_final() {
        return Ok(rooms.tell(&batch));
    }
    rooms.intake.change(&batch, change).await?;
    // Read again: what was queued may have come to rest meanwhile.
    let batch = rooms.batch(&tenant, id).await?;
    Ok(rooms.tell(&batch))
}

pub(super) async fn retry_batch(
    rooms: &Rooms,
    request: Request<proto::RetryBatchRequest>,
) -> Result<proto::RetryBatchResponse, Refusal> {
    let tenant = tenant(&request);
    if rooms.drain.is_cancelled() {
        return Err(status::shutting_down());
    }
    let request = request.into_inner();
    let batch = rooms.batch(&tenant, &request.batch_id).await?;
    let kinds = request.kinds.into_iter().map(|kind| {
        let known = FailureKind::ALL.into_iter().find(|k| *k as i32 == kind);
        known.ok_or_else(|| wire::unknown_value("kinds", kind))
    });
    let kinds = kinds.collect::<Result<Vec<_>, _>>()?;
    let request_id = (!request.request_id.is_empty()).then_some(request.request_id);
    let batch = rooms.intake.retry(&batch, kinds, request_id).await?;
    Ok(proto::RetryBatchResponse {
        batch: Some(rooms.tell(&batch)),
    })
}

pub(super) async fn list_batches(
    rooms: &Rooms,
    request: Request<proto::ListBatchesRequest>,
) -> Result<proto::ListBatchesResponse, Refusal> {
    let tenant = tenant(&request);
    let request = request.into_inner();
    let size = page_size(request.page_size, 50);
    let states = request.states.into_iter().map(|state| {
        let known = BatchState::ALL.into_iter().find(|s| *s as i32 == state);
        known.ok_or_else(|| wire::unknown_value("states", state))
    });
    let query = ListQuery {
        tenant,
        target: (!request.target.is_empty()).then(|| TargetName::new(&request.target)),
        states: states.collect::<Result<_, _>>()?,
        labels: request.labels,
        before: before(&request.page_token)?,
        // One more tells whether there is a next page.
        max: size + 1,
    };
    let mut batches = rooms.store.list(query).await.map_err(store_trouble)?;
    let more = batches.len() > size;
    batches.truncate(size);
    let next_page_token = match batches.last() {
        Some(last) if more => format!("b{}", last.no.0),
        _ => String::new(),
    };
    Ok(proto::ListBatchesResponse {
        batches: batches.iter().map(|batch| rooms.tell(batch)).collect(),
        next_page_token,
    })
}

fn before(token: &str) -> Result<Option<BatchNo>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let number = token.strip_prefix('b').and_then(|n| n.parse().ok());
    let right = "the next_page_token of a call with the same filters";
    let no = number.ok_or_else(|| page::invalid_page_token(right))?;
    Ok(Some(BatchNo(no)))
}

pub(super) async fn list_batch_results(
    rooms: &Rooms,
    request: Request<proto::ListBatchResultsRequest>,
) -> Result<proto::ListBatchResultsResponse, Refusal> {
    let tenant = tenant(&request);
    let request = request.into_inner();
    let batch = rooms.batch(&tenant, &request.batch_id).await?;
    let view = page::view(request.view)?;
    let size = page_size(request.page_size, 100);
    let store = rooms.store.as_ref();
    let page = page::results(store, batch.no, view, &request.page_token, size).await?;
    Ok(proto::ListBatchResultsResponse {
        results: page.results,
        next_page_token: page.next,
    })
}

/// What a page holds at most: 0 stands for the default, and 1,000 are the most.
fn page_size(asked: u32, default: usize) -> usize {
    match asked as usize {
        0 => default,
        asked => asked.min(1_000),
    }
}
