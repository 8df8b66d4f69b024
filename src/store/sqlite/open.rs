//! Opens a file, or says why not and what to do. What is not a store of this
//! program and in order is left as it is.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::super::StoreError;

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
const BUSY: Duration = Duration::from_secs(5);

/// A store's file, to this process alone while it is held.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Keeps every other process from the store.
pub(super) fn lock(path: &Path) -> Result<Lock, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".lock");
    let beside = PathBuf::from(beside);
    let opened = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside);
    let file = opened.map_err(|error| unwritable(&beside, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(StoreError::Unusable(format!(
            "{} is in use by another process: stop that one, or give this one a file of its own",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(unwritable(&beside, &error)),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unusable(format!(
        "{} cannot be opened: {error}; the store needs a folder that is there, on a local disk, \
         and that it may write to",
        path.display()
    ))
}

/// Opens the connection that writes, and brings the schema up to date.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::Unusable(format!(
            "SQLite {} can lose what was committed: build with 3.51.3 or later",
            rusqlite::version()
        )));
    }
    let mut connection = Connection::open(path).map_err(|error| unusable(path, &error))?;
    check(&connection, path)?;
    let mode = prepare(&connection).map_err(|error| unusable(path, &error))?;
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
    Ok(connection)
}

/// Whether there is any batch.
pub(super) fn holds_batches(connection: &Connection) -> Result<bool, StoreError> {
    let query = "SELECT EXISTS (SELECT 1 FROM batch)";
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
        let count = "SELECT count(*) FROM sqlite_schema";
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
fn prepare(connection: &Connection) -> Result<String, rusqlite::Error> {
    keep_plans(connection)?;
    // Every commit is on the disk when it returns.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -32_768)?; // KiB
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Pages, of 4 KiB: a checkpoint for each 16 MiB of log, so that a page that
    // is written again and again is moved into the file once.
    connection.pragma_update(None, "wal_autocheckpoint", 4_096)?;
    // Bytes: what a burst has made of the log is given back.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
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

fn unusable(path: &Path, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Unusable(format!(
            "{} is not a database: give the store a file of its own, or one that is not there yet",
            path.display()
        )),
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, &error.to_string()),
        _ => StoreError::Unusable(format!(
            "{} cannot be opened: {error}; the store needs a file on a local disk that it may \
             read and write",
            path.display()
        )),
    }
}

fn damaged(path: &Path, damage: &str) -> StoreError {
    StoreError::Unusable(format!(
        "{} is damaged: {damage}; nothing was changed. Put a backup in its place; or keep a copy, \
         and see what `sqlite3 FILE .recover` can save",
        path.display()
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
        _ => format!("the schema of {path} cannot be brought up to date: {error}"),
    })
}
