//! Opens a file, or says why not and what to do. What is not a store of this
//! program and in order is left as it is.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::rows::{Done, Undone};
use super::super::{Bounds, StoreError};
use super::examine::{examine, no_database};
use super::lock::Left;
use super::room::Room;
use super::rows::SqliteRows;
use super::trouble::told;

mod schema {
    refinery::embed_migrations!("src/store/schema");
}

/// Before this one, SQLite could lose a transaction when its log starts over.
const OLDEST_SQLITE: i32 = 3_051_003;

/// "FLOW"; the schema sets it.
const APPLICATION_ID: i32 = 0x464C_4F57;

/// The largest file that is checked as a whole, since that reads all of it:
/// about a second on an ordinary disk. Of larger ones, what is read is checked.
const CHECKED_BYTES: u64 = 512 << 20;

/// How long one connection waits for another: for the moments in which the log
/// starts over. Nobody else writes.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// Pages in the log before they are moved into the file: 16 MiB, so that a page
/// that is written again and again is moved once.
pub(super) const LONG_LOG: u32 = 4_096;

/// The log is given back to the disk beyond this, which a burst makes of it.
const LOG_BYTES: u64 = 64 << 20;

/// What SQLite makes pages of.
const PAGE_BYTES: u64 = 4_096;

/// How long the log gets: of a small store, a small part.
pub(super) fn long_log(bounds: Bounds) -> u32 {
    let most = bounds.max_bytes.map(|bytes| bytes / PAGE_BYTES / 32);
    let most = most.and_then(|pages| u32::try_from(pages).ok());
    most.unwrap_or(LONG_LOG).clamp(16, LONG_LOG)
}

/// A file beside the store's.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(ending);
    beside.into()
}

/// The name of a store that all its names come to: what is beside it is beside
/// that one.
pub(super) fn one_name(path: &Path) -> PathBuf {
    if let Ok(path) = path.canonicalize() {
        return path;
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// Opens the connection that writes, and brings the schema up to date. `left`
/// says how the store was left.
pub(super) fn writer(path: &Path, left: Left, bounds: Bounds) -> Result<SqliteRows, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::Unusable(format!(
            "SQLite {} can lose what was committed: build with 3.51.3 or later",
            rusqlite::version()
        )));
    }
    examine(path, left)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let has_log = beside(path, "-wal")
        .metadata()
        .is_ok_and(|log| log.len() > 0);
    let opened = Connection::open_with_flags(path, flags);
    let mut connection = opened.map_err(|error| unusable(path, &error))?;
    // Of what is refused, the log stays where it is.
    keep_log(&connection, has_log).map_err(|error| unusable(path, &error))?;
    check(&connection, path)?;
    let mode = prepare(&connection, bounds).map_err(|error| unusable(path, &error))?;
    if mode != "wal" {
        return Err(StoreError::Unusable(format!(
            "{} is where SQLite cannot share memory (its journal is {mode}): put it on a local disk",
            path.display()
        )));
    }
    schema::migrations::runner()
        .set_grouped(true)
        .run(&mut connection)
        .map_err(|error| migration(path, &error))?;
    let within = |connection: Connection| {
        let mut rows = SqliteRows::writing(connection);
        mark(&mut rows)?;
        // From now on it goes only when the store is closed in order.
        keep_log(rows.connection(), true)?;
        let queued = rows.queued_items()?;
        let room = Room::new(path, bounds, queued)?;
        Ok(rows.within(room, bounds))
    };
    within(connection).map_err(|undone: Undone| match undone {
        Undone::DiskFull => no_room(path),
        undone => cannot(path, undone.why()),
    })
}

/// Gives the file a number of its own for this run, in the file before anything
/// is in the log: both have it from then on, and a log that lies beside another
/// file is known by it.
fn mark(rows: &mut SqliteRows) -> Done<()> {
    let marked = rows.checkpoint().and_then(|moved| {
        if !moved.is_empty() {
            // Another program reads it, and both stay what they are.
            return Ok(());
        }
        let connection = rows.connection();
        let old: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let new = std::iter::repeat_with(|| fastrand::i32(1..)).find(|new| *new != old);
        // The checkpoint syncs it.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "user_version", new)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if !rows.checkpoint()?.is_all() {
            // It came to the log only: there, let it be followed by what the
            // file has.
            let connection = rows.connection();
            connection.pragma_update(None, "user_version", old)?;
        }
        Ok(())
    });
    match marked {
        // Nothing came of it.
        Err(Undone::DiskFull) => Ok(()),
        marked => marked,
    }
}

/// Whether there is or was any batch.
pub(super) fn held_batches(connection: &Connection) -> Result<bool, StoreError> {
    // Also of those that were thrown away: numbers are given once.
    let query = "SELECT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'batch')";
    connection
        .query_row(query, [], |row| row.get(0))
        .map_err(|error| StoreError::Failed(error.to_string()))
}

/// Opens a connection that reads, once there is one that writes.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "cache_size", -4_096)?; // KiB
        keep_plans(&connection)?;
        Ok(connection)
    };
    open().map_err(|error| unusable(path, &error))
}

/// Refuses what is not a store, or not in order, before anything is written.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let facts = || {
        connection.busy_timeout(BUSY)?;
        let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        // Its history is there before all else: a crash may have come then.
        let count = "SELECT count(*) FROM sqlite_schema
            WHERE tbl_name <> 'refinery_schema_history'";
        let tables: u32 = connection.query_row(count, [], |row| row.get(0))?;
        Ok((id, tables))
    };
    let (id, tables) = facts().map_err(|error| unusable(path, &error))?;
    if tables > 0 && id != APPLICATION_ID {
        return Err(StoreError::Unusable(format!(
            "{} is a database of another program: give the store a file of its own",
            path.display()
        )));
    }
    let size = std::fs::metadata(path).map_or(0, |file| file.len());
    if size > CHECKED_BYTES {
        return Ok(());
    }
    let verdict = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    let verdict: String = verdict.map_err(|error| unusable(path, &error))?;
    match verdict.as_str() {
        "ok" => Ok(()),
        damage => Err(damaged(path, damage)),
    }
}

/// Sets how the connection works, and says what journal it keeps.
fn prepare(connection: &Connection, bounds: Bounds) -> Result<String, rusqlite::Error> {
    keep_plans(connection)?;
    // Every commit is on the disk when it returns.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -32_768)?; // KiB
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The writer looks after it.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    let mut log_bytes = LOG_BYTES;
    if let Some(max) = bounds.max_bytes {
        let pages = i64::try_from(max / PAGE_BYTES).unwrap_or(i64::MAX);
        // Never less than the file has.
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        log_bytes = log_bytes.min(max / 8);
    }
    let log_bytes = i64::try_from(log_bytes).unwrap_or(i64::MAX);
    connection.pragma_update_and_check(None, "journal_size_limit", log_bytes, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
}

/// Plans are made once for a statement. Left alone, SQLite makes a new one
/// whenever a bound value changes that could change the plan, which is at every
/// use, and none of ours depends on a value.
fn keep_plans(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map(drop)
}

/// Whether the log stays as it is when the last connection is closed.
pub(super) fn keep_log(connection: &Connection, keep: bool) -> Result<(), rusqlite::Error> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep)
        .map(drop)
}

fn unusable(path: &Path, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => no_database(path),
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, &error.to_string()),
        Some(ErrorCode::DiskFull) => no_room(path),
        _ => cannot(path, &told(error)),
    }
}

fn cannot(path: &Path, why: &str) -> StoreError {
    StoreError::Unusable(format!(
        "{} cannot be opened: {why}; the store needs a file on a local disk that it may read and \
         write",
        path.display()
    ))
}

pub(super) fn unwritable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unusable(format!(
        "{} cannot be opened: {error}; the store needs a folder that is there, on a local disk, \
         and a file in it, both of which it may write to",
        path.display()
    ))
}

fn no_room(path: &Path) -> StoreError {
    StoreError::Unusable(format!(
        "{} cannot be opened, because its disk is full: make room on it, and start again",
        path.display()
    ))
}

pub(super) fn damaged(path: &Path, damage: &str) -> StoreError {
    StoreError::Unusable(format!(
        "{path} is damaged: {damage}; nothing was changed. Keep a copy. Take {path}-wal, {path}-shm \
         and {path}.lock away, where they are there, and put a backup in its place; or see what \
         `sqlite3 FILE .recover` can save",
        path = path.display()
    ))
}

fn migration(path: &Path, error: &refinery::Error) -> StoreError {
    let path = path.display();
    StoreError::Unusable(match error.kind() {
        refinery::error::Kind::MissingVersion(version) => format!(
            "{path} was written by a newer version of Flowgate (schema {}): use that one",
            version.version()
        ),
        refinery::error::Kind::DivergentVersion(..) => format!(
            "{path} was written by a build of Flowgate from before its first release, and nothing \
             was changed: finish what is in it with that one, or give the store a new file"
        ),
        _ => format!(
            "the schema of {path} cannot be brought up to date, and was left as it is: {error}"
        ),
    })
}
