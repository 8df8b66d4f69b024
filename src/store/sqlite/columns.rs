//! What the columns hold: from rows and errors of SQLite to the store's own.

use bytes::Bytes;
use rusqlite::Row;
use uuid::Uuid;

use super::super::bits::Bits;
use super::super::codec::{self, BatchBody};
use super::super::rows::{BatchRow, Charged, ChunkRow, Done, EventRow, RowKind, Undone};
use crate::core::lifecycle::ChunkState;
use crate::core::rate;
use crate::model::{Batch, BatchId, BatchNo, BatchState, ChunkNo, StoppedBy, TenantId};

/// The columns of a batch that are read.
pub(super) const BATCH: &str = "no, tenant, id, created_ms, spec, state, body";
/// The columns of a chunk.
pub(super) const CHUNK: &str = "no, tenant, batch, first, count, state, epoch, attempt, since_ms, due_ms, \
                     done, unanswered, faulted, charged_minute, charged_units";
/// The columns of an event that are read.
pub(super) const EVENT: &str = "no, at_ms, kind, body";

/// What changes of a batch, but for its state.
pub(super) fn encode_body(row: &BatchRow) -> Bytes {
    codec::encode_body(&BatchBody {
        sealed_by: row.batch.sealed_by,
        stopped_by: row.batch.stopped_by,
        open_until_ms: row.open_until_ms,
        counts: row.batch.progress.counts,
        pace: row.pace,
        chunks: row.chunks,
        last_sequence: row.batch.last_sequence,
        started_ms: row.batch.started_ms,
        finished_ms: row.batch.finished_ms,
    })
}

/// A row of [`BATCH`].
pub(super) fn read_batch(row: &Row<'_>) -> Done<BatchRow> {
    let id = Uuid::from_slice(row.get_ref(2)?.as_blob()?);
    let state: u8 = row.get(5)?;
    let state = BatchState::ALL.into_iter().find(|s| *s as u8 == state);
    let body = codec::decode_body(row.get::<_, Vec<u8>>(6)?.into())?;
    // Version 1 of the schema did not say what stopped a batch: only a cancel did.
    let is_cancelled = matches!(state, Some(BatchState::Cancelling | BatchState::Cancelled));
    let stopped_by = body.stopped_by;
    let stopped_by = stopped_by.or(is_cancelled.then_some(StoppedBy::Cancel));
    Ok(BatchRow {
        batch: Batch {
            no: BatchNo(row.get(0)?),
            tenant: TenantId::new(row.get_ref(1)?.as_str()?),
            id: BatchId(id.map_err(|_| broken("an id that is not a UUID"))?),
            spec: codec::decode_spec(row.get::<_, Vec<u8>>(4)?.into())?,
            state: state.ok_or_else(|| broken("an unknown state of a batch"))?,
            sealed_by: body.sealed_by,
            stopped_by,
            progress: rate::progress(body.counts, body.sealed_by.is_some(), body.pace.as_ref()),
            last_sequence: body.last_sequence,
            created_ms: row.get(3)?,
            started_ms: body.started_ms,
            finished_ms: body.finished_ms,
        },
        pace: body.pace,
        chunks: body.chunks,
        open_until_ms: body.open_until_ms,
    })
}

/// A row of [`CHUNK`].
pub(super) fn read_chunk(row: &Row<'_>) -> Done<ChunkRow> {
    let state: u8 = row.get(5)?;
    let state = ChunkState::ALL.into_iter().find(|s| *s as u8 == state);
    Ok(ChunkRow {
        no: ChunkNo(row.get(0)?),
        tenant: TenantId::new(row.get_ref(1)?.as_str()?),
        batch: BatchNo(row.get(2)?),
        first: row.get(3)?,
        count: row.get(4)?,
        state: state.ok_or_else(|| broken("an unknown state of a chunk"))?,
        epoch: row.get(6)?,
        attempt: row.get(7)?,
        since_ms: row.get(8)?,
        due_ms: row.get(9)?,
        done: Bits::from_bytes(row.get_ref(10)?.as_blob()?),
        unanswered: Bits::from_bytes(row.get_ref(11)?.as_blob()?),
        faulted: Bits::from_bytes(row.get_ref(12)?.as_blob()?),
        charged: match row.get(13)? {
            Some(minute) => Some(Charged {
                minute,
                units: row.get(14)?,
            }),
            None => None,
        },
    })
}

/// A row of [`EVENT`].
pub(super) fn read_event(row: &Row<'_>) -> Done<EventRow> {
    let kind: u8 = row.get(2)?;
    let kinds = [RowKind::Results, RowKind::Progress, RowKind::Finished];
    let kind = kinds.into_iter().find(|k| *k as u8 == kind);
    Ok(EventRow {
        sequence: u64::from(lower_half(row.get(0)?)),
        at_ms: row.get(1)?,
        kind: kind.ok_or_else(|| broken("an unknown kind of event"))?,
        body: Bytes::copy_from_slice(row.get_ref(3)?.as_blob()?),
    })
}

/// The number of a batch's event: the batch's in the upper half, the sequence
/// in the lower one. A sequence beyond that is beyond every event.
pub(super) fn event_no(batch: BatchNo, sequence: u64) -> i64 {
    batch.0 << 32 | i64::from(u32::try_from(sequence).unwrap_or(u32::MAX))
}

fn lower_half(no: i64) -> u32 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "masked"
    )]
    let half = (no & i64::from(u32::MAX)) as u32;
    half
}

pub(super) fn broken(what: &str) -> Undone {
    Undone::Broken(format!("the database holds {what}"))
}

impl From<rusqlite::types::FromSqlError> for Undone {
    fn from(error: rusqlite::types::FromSqlError) -> Self {
        Undone::Broken(error.to_string())
    }
}
