//! Reads: they change nothing.

use super::super::codec;
use super::super::rows::{BatchRow, Done, EventRow, Rows, Undone, chunk_no};
use super::super::{Backlog, Events, ListQuery};
use crate::model::{Batch, BatchId, BatchNo, Item, TargetName, TenantId};

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
) -> Done<Events> {
    let (events, more) = rows.events(no, after, max_bytes)?;
    let events = events.into_iter().map(EventRow::decode);
    Ok(Events {
        events: events.collect::<Done<_>>()?,
        more,
    })
}

/// See [`Store::items`](super::super::Store::items).
pub(in crate::store) fn items(
    rows: &mut impl Rows,
    no: BatchNo,
    first: u32,
    count: u32,
) -> Done<Vec<Item>> {
    let Some(row) = rows.batch(no)? else {
        return Ok(Vec::new());
    };
    let wanted = first..first.saturating_add(count);
    let mut found = Vec::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    for place in came_in(rows, &row, first)?..row.chunks.came {
        let items = codec::decode_items(rows.chunk_items(chunk_no(no, place))?)?;
        let is_last = items.last().is_none_or(|last| last.index >= wanted.end - 1);
        let items = items.into_iter();
        found.extend(items.filter(|item| wanted.contains(&item.index)));
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// The place of the chunk that the item with this index came in; past the last
/// place where it did not come.
fn came_in(rows: &mut impl Rows, row: &BatchRow, index: u32) -> Done<u32> {
    let (mut low, mut high) = (0, row.chunks.came);
    while low < high {
        let middle = low + (high - low) / 2;
        let chunk = rows.chunk(chunk_no(row.batch.no, middle))?;
        let end = chunk.and_then(|chunk| Some(chunk.first? + chunk.count));
        let end = end.ok_or_else(|| Undone::Broken(format!("chunk {middle} is not there")))?;
        if end <= index {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
