//! The rows in SQLite, over one connection.

mod keys;
mod log;
mod upkeep;

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::super::Bounds;
use super::super::rows::{BatchRow, ChunkRow, Done, Undone};
use super::columns::{encode_body, read_chunk};
use super::open::{BUSY, LONG_LOG, long_log};
use super::room::Room;
use super::trouble::not_committed;
use crate::model::BatchNo;

/// Batches that are kept decoded between transactions, a few hundred bytes
/// each; more than are usually under way.
const CACHED_BATCHES: usize = 1_024;

/// The rows of a database, for a transaction at a time.
///
/// A batch's row is needed by every verb and changed by most, so it is read
/// once, and written once for each transaction. That is right because only one
/// connection writes; one that only reads keeps nothing between transactions.
pub(super) struct SqliteRows {
    connection: Connection,
    batches: HashMap<BatchNo, Cached>,
    writes: bool,
    /// `None` where nobody asks.
    room: Option<Room>,
    /// Pages in the log from which on they are moved into the file.
    long_log: u32,
}

/// What came of moving the log into the file.
pub(super) struct Moved {
    /// Somebody reads it, so that it cannot start over.
    is_in_the_way: bool,
    /// Pages in it, and of those the ones that are in the file.
    pages: i64,
    in_file: i64,
}

impl Moved {
    /// Whether nothing is in the log any more.
    pub fn is_empty(&self) -> bool {
        !self.is_in_the_way
    }

    /// Whether all of it is in the file.
    pub fn is_all(&self) -> bool {
        self.is_empty() || self.in_file == self.pages
    }
}

struct Cached {
    row: BatchRow,
    changed: bool,
    /// What indexed columns hold: they are written only when they change.
    times: Times,
}

/// When a batch is due, and when it was finished.
type Times = (Option<i64>, Option<i64>);

fn times(row: &BatchRow) -> Times {
    (row.due_ms(), row.batch.finished_ms)
}

impl SqliteRows {
    /// Over the one connection that writes.
    pub fn writing(connection: Connection) -> SqliteRows {
        // More statements than there are, so that each is prepared once.
        connection.set_prepared_statement_cache_capacity(64);
        SqliteRows {
            connection,
            batches: HashMap::new(),
            writes: true,
            room: None,
            long_log: LONG_LOG,
        }
    }

    /// The same, within bounds.
    pub fn within(mut self, room: Room, bounds: Bounds) -> SqliteRows {
        self.room = Some(room);
        self.long_log = long_log(bounds);
        self
    }

    /// Over a connection that only reads.
    pub fn reading(connection: Connection) -> SqliteRows {
        SqliteRows {
            writes: false,
            ..SqliteRows::writing(connection)
        }
    }

    /// Begins a transaction. What a reader sees stays the same until it ends.
    pub fn begin(&mut self) -> Done<()> {
        self.run(if self.writes {
            "BEGIN IMMEDIATE"
        } else {
            "BEGIN"
        })
    }

    /// Writes what is still to be written; the next step is to commit.
    pub fn flush(&mut self) -> Done<()> {
        let changed = self.batches.values_mut().filter(|cached| cached.changed);
        for cached in changed {
            write_batch(&self.connection, &cached.row)?;
            let now = times(&cached.row);
            if cached.times != now {
                write_times(&self.connection, cached.row.batch.no, now)?;
                cached.times = now;
            }
            cached.changed = false;
        }
        Ok(())
    }

    /// Commits. Unless the disk was full, nobody knows after a failure what is on
    /// it.
    pub fn commit(&mut self) -> Done<()> {
        let committed = self.connection.prepare_cached("COMMIT");
        let committed = committed.and_then(|mut commit| commit.execute([]));
        committed.map_err(not_committed)?;
        if let Some(room) = &mut self.room {
            room.ended(true);
        }
        self.batches
            .retain(|_, cached| !cached.row.batch.state.is_final());
        if self.batches.len() > CACHED_BATCHES {
            self.batches.clear();
        }
        Ok(())
    }

    /// Ends the transaction and forgets what it read and wrote.
    pub fn rollback(&mut self) -> Done<()> {
        self.batches.clear();
        if let Some(room) = &mut self.room {
            room.ended(false);
        }
        // A failure may have ended it already.
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.run("ROLLBACK")
    }

    /// Moves what is in the log into the file, so that it is whole by itself;
    /// waits for nobody who reads it.
    pub fn checkpoint(&mut self) -> Done<Moved> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let moved = self.move_log("PRAGMA wal_checkpoint(TRUNCATE)");
        self.connection.busy_timeout(BUSY)?;
        moved
    }

    /// The same once the log is long, as far as nobody reads it; it starts over
    /// then. Not left to SQLite, which would keep its failures to itself.
    pub fn checkpoint_if_long(&mut self) -> Done<()> {
        let log = self.move_log("PRAGMA wal_checkpoint(NOOP)")?;
        if log.pages >= i64::from(self.long_log) {
            self.move_log("PRAGMA wal_checkpoint(PASSIVE)")?;
        }
        Ok(())
    }

    fn move_log(&self, pragma: &str) -> Done<Moved> {
        let mut statement = self.connection.prepare_cached(pragma)?;
        let moved = statement.query_row([], |row| {
            Ok(Moved {
                is_in_the_way: row.get(0)?,
                pages: row.get(1)?,
                in_file: row.get(2)?,
            })
        });
        Ok(moved?)
    }

    /// Items in queued chunks.
    pub fn queued_items(&self) -> Done<u64> {
        let sql = "SELECT coalesce(sum(queued), 0) FROM batch INDEXED BY batch_waiting
            WHERE queued > 0";
        let queued: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
        Ok(queued.unsigned_abs())
    }

    /// The connection itself: for what is no row.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    fn run(&self, sql: &str) -> Done<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// The first chunk that a query finds.
    fn find_chunk(&self, sql: &str, params: impl rusqlite::Params) -> Done<Option<ChunkRow>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(read_chunk).transpose()
    }

    fn find_batch(&self, sql: &str, params: impl rusqlite::Params) -> Done<Option<BatchNo>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row(params, |row| row.get(0)).optional()?;
        Ok(found.map(BatchNo))
    }
}

/// Writes what changes of a batch.
fn write_batch(connection: &Connection, row: &BatchRow) -> Done<()> {
    let sql = "UPDATE batch SET state = ?2, queued = ?3, body = ?4 WHERE no = ?1";
    let changed = connection.prepare_cached(sql)?.execute(params![
        row.batch.no.0,
        row.batch.state as u8,
        row.batch.progress.counts.queued(),
        &encode_body(row)[..],
    ])?;
    one(changed, "batch")
}

/// Writes what is indexed of that.
fn write_times(connection: &Connection, no: BatchNo, times: Times) -> Done<()> {
    let sql = "UPDATE batch SET due_ms = ?2, finished_ms = ?3 WHERE no = ?1";
    let (due_ms, finished_ms) = times;
    let changed = connection
        .prepare_cached(sql)?
        .execute(params![no.0, due_ms, finished_ms])?;
    one(changed, "batch")
}

/// A number of rows, for SQLite.
fn most(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

/// An update must find the row that was read before.
fn one(changed: usize, what: &str) -> Done<()> {
    if changed == 1 {
        return Ok(());
    }
    Err(Undone::Broken(format!(
        "an update changed {changed} rows of a {what}"
    )))
}
