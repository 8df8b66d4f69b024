//! The logs in SQLite: batches, their chunks and their events.

use bytes::Bytes;
use rusqlite::{named_params, params};

use super::super::super::ListQuery;
use super::super::super::codec;
use super::super::super::rows::{BatchRow, ChunkRow, Done, EventRow, RowKind, Rows};
use super::super::columns::{
    BATCH, CHUNK, EVENT, broken, encode_body, event_no, read_batch, read_chunk, read_event,
};
use super::{Cached, SqliteRows, most, one};
use crate::model::{Batch, BatchId, BatchNo, ChunkNo, Counts, TargetName, TenantId};

impl Rows for SqliteRows {
    fn has_room(&mut self, bytes: usize) -> Done<bool> {
        match &mut self.room {
            Some(room) => room.grants(&self.connection, bytes as u64),
            None => Ok(true),
        }
    }

    fn batch(&mut self, no: BatchNo) -> Done<Option<BatchRow>> {
        if let Some(cached) = self.batches.get(&no) {
            return Ok(Some(cached.row.clone()));
        }
        let sql = format!("SELECT {BATCH}, due_ms, finished_ms FROM batch WHERE no = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([no.0])?;
        let Some(found) = rows.next()? else {
            return Ok(None);
        };
        let row = read_batch(found)?;
        let cached = Cached {
            // As they are, which is not as they should be where an older version
            // wrote the rest.
            times: (found.get("due_ms")?, found.get("finished_ms")?),
            row: row.clone(),
            changed: false,
        };
        self.batches.insert(no, cached);
        Ok(Some(row))
    }

    fn batch_by_id(&mut self, tenant: &TenantId, id: BatchId) -> Done<Option<BatchNo>> {
        let sql = "SELECT no FROM batch WHERE tenant = ?1 AND id = ?2";
        self.find_batch(sql, params![tenant.as_str(), id.0.as_bytes()])
    }

    fn batch_by_request(&mut self, tenant: &TenantId, request_id: &str) -> Done<Option<BatchNo>> {
        let sql = "SELECT no FROM batch WHERE tenant = ?1 AND request_id = ?2";
        self.find_batch(sql, params![tenant.as_str(), request_id])
    }

    fn insert_batch(&mut self, row: &BatchRow) -> Done<BatchNo> {
        let batch = &row.batch;
        let sql = "INSERT INTO batch
            (tenant, id, request_id, target, created_ms, spec, state, queued, body)
            VALUES (:tenant, :id, :request_id, :target, :created_ms, :spec, :state, :queued, :body)";
        let no = self.connection.prepare_cached(sql)?.insert(named_params! {
            ":tenant": batch.tenant.as_str(),
            ":id": batch.id.0.as_bytes(),
            ":request_id": batch.spec.request_id,
            ":target": batch.spec.target.as_str(),
            ":created_ms": batch.created_ms,
            ":spec": &codec::encode_spec(&batch.spec)[..],
            ":state": batch.state as u8,
            ":queued": batch.progress.counts.queued(),
            ":body": &encode_body(row)[..],
        })?;
        let no = BatchNo(no);
        if let Some(room) = &mut self.room {
            room.counted(&Counts::default(), &batch.progress.counts);
        }
        let mut row = row.clone();
        row.batch.no = no;
        let cached = Cached {
            row,
            changed: false,
            times: (None, None),
        };
        self.batches.insert(no, cached);
        Ok(no)
    }

    fn update_batch(&mut self, row: BatchRow) -> Done<()> {
        let no = row.batch.no;
        // It was read or inserted in this transaction.
        let cached = self.batches.get_mut(&no);
        let cached = cached.ok_or_else(|| broken("a batch that is changed unread"))?;
        if let Some(room) = &mut self.room {
            let counts = |row: &BatchRow| row.batch.progress.counts;
            room.counted(&counts(&cached.row), &counts(&row));
        }
        cached.row = row;
        cached.changed = true;
        Ok(())
    }

    fn page(
        &mut self,
        query: &ListQuery,
        before: Option<BatchNo>,
        max: usize,
    ) -> Done<Vec<BatchRow>> {
        // Which index serves depends on whether there is a target.
        let target = query.target.as_ref().map(TargetName::as_str);
        let by_target = if target.is_some() {
            "target = :target"
        } else {
            ":target IS NULL"
        };
        let sql = format!(
            "SELECT {BATCH} FROM batch WHERE tenant = :tenant AND {by_target} AND no < :before
            AND (:states = 0 OR (:states >> state) & 1) ORDER BY no DESC LIMIT :max"
        );
        let states = query.states.iter();
        let states = states.fold(0_i64, |set, state| set | 1 << (*state as u8));
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(named_params! {
            ":tenant": query.tenant.as_str(),
            ":target": target,
            ":before": before.map_or(i64::MAX, |no| no.0),
            ":states": states,
            ":max": most(max),
        })?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read_batch(row)?);
        }
        Ok(found)
    }

    fn waiting(&mut self, target: &TargetName) -> Done<Vec<(TenantId, BatchNo, u32)>> {
        let sql = "SELECT tenant, no, queued FROM batch
            WHERE target = ?1 AND queued > 0 ORDER BY no";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([target.as_str()])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let tenant = TenantId::new(row.get_ref(0)?.as_str()?);
            found.push((tenant, BatchNo(row.get(1)?), row.get(2)?));
        }
        Ok(found)
    }

    fn chunk(&mut self, no: ChunkNo) -> Done<Option<ChunkRow>> {
        let sql = format!("SELECT {CHUNK} FROM chunk WHERE no = ?1");
        self.find_chunk(&sql, [no.0])
    }

    fn chunk_items(&mut self, no: ChunkNo) -> Done<Bytes> {
        let sql = "SELECT items FROM chunk_items WHERE chunk = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let items: Vec<u8> = statement.query_row([no.0], |row| row.get(0))?;
        Ok(items.into())
    }

    // Parameters of what is done for each chunk have numbers: to look names up
    // takes as long as to bind them.
    fn insert_chunk(&mut self, row: ChunkRow, items: &Bytes) -> Done<()> {
        let sql = "INSERT INTO chunk
            (no, tenant, batch, first, count, state, epoch, attempt, since_ms, due_ms, done,
                unanswered, faulted, charged_minute, charged_units)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![
            row.no.0,
            row.tenant.as_str(),
            row.batch.0,
            row.first,
            row.count,
            row.state as u8,
            row.epoch,
            row.attempt,
            row.since_ms,
            row.due_ms,
            row.done.as_bytes(),
            row.unanswered.as_bytes(),
            row.faulted.as_bytes(),
            row.charged.map(|charged| charged.minute),
            row.charged.map_or(0, |charged| charged.units),
        ])?;
        let sql = "INSERT INTO chunk_items (chunk, tenant, items) VALUES (?1, ?2, ?3)";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![row.no.0, row.tenant.as_str(), &items[..]])?;
        Ok(())
    }

    fn update_chunk(&mut self, row: ChunkRow) -> Done<()> {
        let sql = "UPDATE chunk SET state = ?2, epoch = ?3, attempt = ?4, since_ms = ?5,
            due_ms = ?6, done = ?7, unanswered = ?8, faulted = ?9, charged_minute = ?10,
            charged_units = ?11
            WHERE no = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        let changed = statement.execute(params![
            row.no.0,
            row.state as u8,
            row.epoch,
            row.attempt,
            row.since_ms,
            row.due_ms,
            row.done.as_bytes(),
            row.unanswered.as_bytes(),
            row.faulted.as_bytes(),
            row.charged.map(|charged| charged.minute),
            row.charged.map_or(0, |charged| charged.units),
        ])?;
        one(changed, "chunk")?;
        if row.is_done_trying() {
            let sql = "DELETE FROM chunk_items WHERE chunk = ?1";
            self.connection.prepare_cached(sql)?.execute([row.no.0])?;
        }
        Ok(())
    }

    fn queued(&mut self, batch: &Batch, due_ms: i64) -> Done<Option<ChunkRow>> {
        let sql = format!(
            "SELECT {CHUNK} FROM chunk
            WHERE batch = ?2 AND state = 0 AND due_ms >= ?3 AND tenant = ?1
            ORDER BY due_ms, no LIMIT 1"
        );
        self.find_chunk(&sql, params![batch.tenant.as_str(), batch.no.0, due_ms])
    }

    fn leased(&mut self, after: ChunkNo, max: usize) -> Done<Vec<ChunkRow>> {
        // Reads all of the table: once, at the start of a process, so that no
        // lease and no settle has an index to keep.
        let sql =
            format!("SELECT {CHUNK} FROM chunk WHERE no > ?1 AND state = 1 ORDER BY no LIMIT ?2");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([after.0, most(max)])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read_chunk(row)?);
        }
        Ok(found)
    }

    fn insert_event(&mut self, batch: &Batch, row: EventRow) -> Done<()> {
        if let (Some(room), RowKind::Results) = (&mut self.room, row.kind) {
            room.wrote_outcomes(row.body.len());
        }
        let sql = "INSERT INTO event (no, tenant, at_ms, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)";
        self.connection.prepare_cached(sql)?.execute(params![
            event_no(batch.no, row.sequence),
            batch.tenant.as_str(),
            row.at_ms,
            row.kind as u8,
            &row.body[..],
        ])?;
        Ok(())
    }

    fn events(
        &mut self,
        batch: BatchNo,
        after: u64,
        max_bytes: usize,
    ) -> Done<(Vec<EventRow>, bool)> {
        let sql = format!(
            "SELECT {EVENT} FROM event WHERE no > ?1 AND no <= ?2
            AND tenant = (SELECT tenant FROM batch WHERE no = ?3) ORDER BY no"
        );
        let mut statement = self.connection.prepare_cached(&sql)?;
        let (after, last) = (event_no(batch, after), event_no(batch, u64::MAX));
        let mut rows = statement.query([after, last, batch.0])?;
        let mut bytes = 0;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            bytes += row.get_ref(3)?.as_blob()?.len();
            if bytes > max_bytes && !found.is_empty() {
                return Ok((found, true));
            }
            found.push(read_event(row)?);
        }
        Ok((found, false))
    }
}
