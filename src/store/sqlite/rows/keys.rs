//! The keys of items, in SQLite.

use bytes::Bytes;
use rusqlite::params;

use super::super::super::rows::{Done, Kept, KeyOf, KeyRow, KeyRows};
use super::super::columns::broken;
use super::{SqliteRows, most};
use crate::model::BatchNo;

impl KeyRows for SqliteRows {
    fn key(&mut self, of: &KeyOf) -> Done<Option<KeyRow>> {
        let sql = "SELECT digest, batch, item, done_ms, result FROM item_key
            WHERE tenant = ?1 AND target = ?2 AND key = ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query([of.tenant.as_str(), of.target.as_str(), &of.key])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let digest = row.get_ref(0)?.as_blob()?;
        let result: Option<Vec<u8>> = row.get(4)?;
        let done_ms: Option<i64> = row.get(3)?;
        Ok(Some(KeyRow {
            digest: digest
                .try_into()
                .map_err(|_| broken("a digest that is none"))?,
            batch: BatchNo(row.get(1)?),
            item: row.get(2)?,
            kept: done_ms.map(|done_ms| Kept {
                done_ms,
                result: Bytes::from(result.unwrap_or_default()),
            }),
        }))
    }

    fn put_key(&mut self, of: &KeyOf, row: KeyRow) -> Done<()> {
        let sql = "INSERT OR REPLACE INTO item_key
            (tenant, target, key, digest, batch, item, done_ms, result)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.connection.prepare_cached(sql)?.execute(params![
            of.tenant.as_str(),
            of.target.as_str(),
            of.key,
            &row.digest[..],
            row.batch.0,
            row.item,
            row.kept.as_ref().map(|kept| kept.done_ms),
            row.kept.as_ref().map(|kept| &kept.result[..]),
        ])?;
        Ok(())
    }

    fn remove_key(&mut self, of: &KeyOf) -> Done<()> {
        let sql = "DELETE FROM item_key WHERE tenant = ?1 AND target = ?2 AND key = ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute([of.tenant.as_str(), of.target.as_str(), &of.key])?;
        Ok(())
    }

    fn remove_keys(&mut self, before_ms: i64, max: usize) -> Done<usize> {
        let sql = "DELETE FROM item_key WHERE (tenant, target, key) IN
            (SELECT tenant, target, key FROM item_key INDEXED BY item_key_done
             WHERE done_ms IS NOT NULL AND done_ms < ?1 ORDER BY done_ms LIMIT ?2)";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.execute(params![before_ms, most(max)])?)
    }
}
