//! A bare loop that writes to SQLite what a batch service has to: what the disk
//! and the database alone take. As fast as it can be done with one blob a
//! chunk, the log written ahead, and a sync for each group of 64 chunks.

use std::time::Duration;

use anyhow::Context;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::clock::now_ns;
use crate::worker;

/// How much is written.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Job {
    /// How many chunks.
    pub chunks: u32,
    /// How large the blob of a chunk's items is, in bytes.
    pub items_bytes: usize,
    /// How large the blob of its results is, if they are written too: they and
    /// its progress, in a second commit.
    pub results_bytes: Option<usize>,
}

/// What came of it.
#[derive(Serialize, Deserialize)]
pub struct Written {
    /// How long it took.
    pub took_s: f64,
    /// How long each commit took, in milliseconds.
    pub commits_ms: Vec<f64>,
}

/// Chunks that are in flight, and so share a commit.
const GROUP: u32 = 64;

/// Plays it.
pub async fn play() -> anyhow::Result<()> {
    let mut asked = worker::Asked::ready(0).await?;
    while let Some(job) = asked.next().await? {
        asked.answer(write(job)).await?;
    }
    Ok(())
}

fn write(job: Job) -> anyhow::Result<Written> {
    let folder = tempfile::TempDir::new()?;
    let mut connection = open(&folder.path().join("loop.db"))?;
    let items = vec![b'x'; job.items_bytes];
    let results = vec![b'y'; job.results_bytes.unwrap_or_default()];
    let mut commits_ms = Vec::new();
    let began = now_ns();
    for first in (0..job.chunks).step_by(GROUP as usize) {
        let group = first..job.chunks.min(first + GROUP);
        let transaction = connection.transaction()?;
        let mut insert = transaction.prepare_cached("INSERT INTO chunk VALUES (?1, 1, 0, ?2)")?;
        for no in group.clone() {
            insert.execute(params![no, items])?;
        }
        drop(insert);
        commits_ms.push(commit(transaction)?);
        if job.results_bytes.is_none() {
            continue;
        }
        let transaction = connection.transaction()?;
        let mut done = transaction.prepare_cached("UPDATE chunk SET state = 1 WHERE no = ?1")?;
        let mut event = transaction.prepare_cached("INSERT INTO event VALUES (1, ?1, ?2)")?;
        let mut progress = transaction.prepare_cached("UPDATE batch SET done = ?1 WHERE no = 1")?;
        for no in group {
            done.execute([no])?;
            event.execute(params![2 * no, results])?;
            event.execute(params![
                2 * no + 1,
                &b"progress, in the counts of so many items"[..]
            ])?;
            progress.execute([no])?;
        }
        drop((done, event, progress));
        commits_ms.push(commit(transaction)?);
    }
    Ok(Written {
        took_s: crate::clock::seconds(now_ns() - began),
        commits_ms,
    })
}

fn commit(transaction: rusqlite::Transaction<'_>) -> anyhow::Result<f64> {
    let began = now_ns();
    transaction.commit()?;
    Ok((now_ns() - began) as f64 / 1e6)
}

fn open(path: &std::path::Path) -> anyhow::Result<Connection> {
    let connection = Connection::open(path).context("SQLite does not open a file")?;
    connection.busy_timeout(Duration::from_secs(1))?;
    let _: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |r| r.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -32_768)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_096)?;
    connection.execute_batch(
        "CREATE TABLE batch (no INTEGER PRIMARY KEY, done INTEGER NOT NULL);
         INSERT INTO batch VALUES (1, 0);
         CREATE TABLE chunk (no INTEGER PRIMARY KEY, batch INTEGER NOT NULL,
                             state INTEGER NOT NULL, items BLOB NOT NULL);
         CREATE TABLE event (batch INTEGER NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL,
                             PRIMARY KEY (batch, sequence)) WITHOUT ROWID;",
    )?;
    Ok(connection)
}
