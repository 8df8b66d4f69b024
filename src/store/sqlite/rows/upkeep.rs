//! What is kept beside the logs, in SQLite, and what is thrown away.

use rusqlite::params;

use super::super::super::TargetPause;
use super::super::super::rows::{Done, UpkeepRows};
use super::{SqliteRows, most};
use crate::model::{Batch, BatchNo, Held, TargetName};

impl SqliteRows {
    fn numbers(&self, sql: &str, params: impl rusqlite::Params) -> Done<Vec<BatchNo>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let numbers = statement.query_map(params, |row| row.get(0).map(BatchNo))?;
        Ok(numbers.collect::<Result<_, _>>()?)
    }
}

impl UpkeepRows for SqliteRows {
    fn due(&mut self, now_ms: i64, max: usize) -> Done<Vec<BatchNo>> {
        let sql = "SELECT no FROM batch WHERE due_ms IS NOT NULL AND due_ms <= ?1
            ORDER BY due_ms, no LIMIT ?2";
        self.numbers(sql, params![now_ms, most(max)])
    }

    fn finished(&mut self, before_ms: i64, max: usize) -> Done<Vec<BatchNo>> {
        let sql = "SELECT no FROM batch WHERE finished_ms IS NOT NULL AND finished_ms < ?1
            ORDER BY finished_ms, no LIMIT ?2";
        self.numbers(sql, params![before_ms, most(max)])
    }

    fn remove_batch(&mut self, batch: &Batch) -> Done<()> {
        self.batches.remove(&batch.no);
        let sql = "DELETE FROM batch WHERE no = ?1";
        let removed = self.connection.prepare_cached(sql)?.execute([batch.no.0])?;
        super::one(removed, "batch")?;
        let sql = "INSERT INTO removed (batch) VALUES (?1)";
        self.connection.prepare_cached(sql)?.execute([batch.no.0])?;
        Ok(())
    }

    fn clear_out(&mut self, max: usize) -> Done<usize> {
        let first = self.numbers("SELECT batch FROM removed ORDER BY batch LIMIT 1", [])?;
        let Some(no) = first.first() else {
            return Ok(0);
        };
        // The upper half of a number is its batch's.
        let (from, to) = (no.0 << 32, (no.0 + 1) << 32);
        // Rows with bodies can be megabytes each, and all their pages are read.
        let few = max.div_ceil(16);
        for (table, key, most_rows) in [
            ("chunk_items", "chunk", few),
            ("event", "no", few),
            ("chunk", "no", max),
        ] {
            let sql = format!(
                "DELETE FROM {table} WHERE {key} IN (SELECT {key} FROM {table}
                 WHERE {key} >= ?1 AND {key} < ?2 ORDER BY {key} LIMIT ?3)"
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let taken = statement.execute(params![from, to, most(most_rows)])?;
            if taken > 0 {
                return Ok(taken);
            }
        }
        let sql = "DELETE FROM removed WHERE batch = ?1";
        Ok(self.connection.prepare_cached(sql)?.execute([no.0])?)
    }

    fn charge(&mut self, target: &TargetName, minute: i64, units: i64) -> Done<()> {
        let sql = "INSERT INTO charge (target, minute, units) VALUES (?1, ?2, ?3)
            ON CONFLICT (target, minute) DO UPDATE SET units = units + excluded.units";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(params![target.as_str(), minute, units])?;
        Ok(())
    }

    fn charges(&mut self, target: &TargetName, from_minute: i64) -> Done<Vec<(i64, u64)>> {
        let sql = "SELECT minute, units FROM charge
            WHERE target = ?1 AND minute >= ?2 AND units > 0 ORDER BY minute";
        let mut statement = self.connection.prepare_cached(sql)?;
        let charges = statement.query_map(params![target.as_str(), from_minute], |row| {
            let units: i64 = row.get(1)?;
            Ok((row.get(0)?, units.unsigned_abs()))
        })?;
        Ok(charges.collect::<Result<_, _>>()?)
    }

    fn remove_charges(&mut self, before_minute: i64, max: usize) -> Done<usize> {
        // A row for each target and minute: there are few, and old ones go soon.
        let sql = "DELETE FROM charge WHERE (target, minute) IN
            (SELECT target, minute FROM charge WHERE minute < ?1 LIMIT ?2)";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.execute(params![before_minute, most(max)])?)
    }

    fn pauses(&mut self) -> Done<Vec<TargetPause>> {
        let sql = "SELECT target, since_ms, reason FROM target_pause ORDER BY target";
        let mut statement = self.connection.prepare_cached(sql)?;
        let pauses = statement.query_map([], |row| {
            let target: String = row.get(0)?;
            Ok(TargetPause {
                target: TargetName::new(&target),
                held: Held {
                    since_ms: row.get(1)?,
                    reason: row.get(2)?,
                },
            })
        })?;
        Ok(pauses.collect::<Result<_, _>>()?)
    }

    fn pause(&mut self, pause: &TargetPause) -> Done<bool> {
        let sql = "INSERT OR IGNORE INTO target_pause (target, since_ms, reason)
            VALUES (?1, ?2, ?3)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let added = statement.execute(params![
            pause.target.as_str(),
            pause.held.since_ms,
            pause.held.reason
        ])?;
        Ok(added > 0)
    }

    fn unpause(&mut self, target: &TargetName) -> Done<bool> {
        let sql = "DELETE FROM target_pause WHERE target = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.execute([target.as_str()])? > 0)
    }
}
