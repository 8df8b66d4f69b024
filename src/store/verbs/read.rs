//! Reads: they change nothing.

use super::super::codec;
use super::super::rows::{Done, EventRow, Rows};
use super::super::{Backlog, ListQuery};
use crate::model::{Batch, BatchId, BatchNo, Event, Item, TargetName, TenantId};

/// Batches that are looked at together while some are left out for their
/// labels.
const PAGE: usize = 256;

/// See [`Store::batch`](super::super::Store::batch).
pub(in crate::store) fn batch(
    rows: &mut impl Rows,
    tenant: &TenantId,
    id: BatchId,
) -> Done<Option<Batch>> {
    match rows.batch_by_id(tenant, id)? {
        Some(no) => Ok(rows.batch(no)?.map(|row| row.batch)),
        None => Ok(None),
    }
}

/// See [`Store::list`](super::super::Store::list).
pub(in crate::store) fn list(rows: &mut impl Rows, query: &ListQuery) -> Done<Vec<Batch>> {
    let labelled = |batch: &Batch| {
        let mut wanted = query.labels.iter();
        wanted.all(|(name, value)| batch.spec.labels.get(name) == Some(value))
    };
    let size = if query.labels.is_empty() {
        query.max
    } else {
        PAGE
    };
    let mut found = Vec::new();
    let mut before = query.before;
    while found.len() < query.max {
        let page = rows.page(query, before, size)?;
        let is_last = page.len() < size;
        before = page.last().map(|row| row.batch.no);
        let batches = page.into_iter().map(|row| row.batch);
        found.extend(batches.filter(labelled));
        if is_last {
            break;
        }
    }
    found.truncate(query.max);
    Ok(found)
}

/// See [`Store::backlog`](super::super::Store::backlog).
pub(in crate::store) fn backlog(rows: &mut impl Rows, target: &TargetName) -> Done<Backlog> {
    let mut backlog = Backlog::default();
    for (tenant, no, queued) in rows.waiting(target)? {
        backlog.batches.push((tenant, no));
        backlog.items += u64::from(queued);
    }
    Ok(backlog)
}

/// See [`Store::events`](super::super::Store::events).
pub(in crate::store) fn events(
    rows: &mut impl Rows,
    no: BatchNo,
    after: u64,
    max_bytes: usize,
) -> Done<Vec<Event>> {
    let events = rows.events(no, after, max_bytes)?;
    events.into_iter().map(EventRow::decode).collect()
}

/// See [`Store::items`](super::super::Store::items).
pub(in crate::store) fn items(
    rows: &mut impl Rows,
    no: BatchNo,
    first: u32,
    count: u32,
) -> Done<Vec<Item>> {
    let end = first.saturating_add(count);
    let mut next = first;
    let mut found = Vec::new();
    while next < end {
        let Some(chunk) = rows.original(no, next)? else {
            break;
        };
        let items = codec::decode_items(rows.chunk_items(chunk.no)?)?;
        let wanted = items
            .into_iter()
            .filter(|item| (next..end).contains(&item.index));
        found.extend(wanted);
        next = chunk.first.unwrap_or(next) + chunk.count;
    }
    Ok(found)
}
