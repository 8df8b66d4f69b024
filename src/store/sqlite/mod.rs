//! The embedded store: an SQLite file next to the process, with one writer.

mod columns;
mod open;
mod queue;
mod readers;
mod rows;
#[cfg(test)]
mod tests;
mod writer;

use std::future::ready;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use futures_util::FutureExt;

use self::open::Lock;
use self::readers::Readers;
use self::rows::SqliteRows;
use self::writer::Writer;
use super::ready::{ReadyAppend, ReadySettle};
use super::rows::{Done, UpkeepRows};
use super::verbs::Rescued;
use super::{
    Answer, Append, Appended, Backlog, Change, Due, Events, Lease, ListQuery, Picks, Prune,
    SafeToRepeat, Settle, Settled, Spent, Store, StoreError, Swept, TargetPause, verbs,
};
use crate::model::{Batch, BatchId, BatchNo, Item, TargetName, TenantId};

/// Threads that read: one may be held up by a long list, not both.
const READERS: usize = 2;

/// Leased chunks that are rescued in one commit.
const RESCUED_TOGETHER: usize = 64;

/// A store in an SQLite file. It is closed when it is dropped, which waits for
/// what is under way.
pub struct SqliteStore {
    writer: Writer,
    readers: Readers,
    was_used: bool,
    // `None` once it is closed. A std mutex: held to take them.
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    // Given up last.
    _lock: Lock,
}

impl SqliteStore {
    /// Opens a file, which is made if it is not there; its folder must be.
    /// Blocks for the time of a check, which reads the whole file unless that
    /// is large.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] where another process has it, or it is not a
    /// store that this version can read and write. It is then left as it is.
    pub fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        let lock = open::lock(path)?;
        let connection = open::writer(path)?;
        let was_used = open::holds_batches(&connection)?;
        let (readers, reads) = Readers::new();
        let reads = Arc::new(Mutex::new(reads));
        let mut read_threads = Vec::new();
        for _ in 0..READERS {
            let rows = SqliteRows::reading(open::reader(path)?);
            let reads = reads.clone();
            read_threads.push(spawn("store-reader", move || readers::serve(rows, &reads))?);
        }
        let (writer, verbs) = Writer::new();
        let rows = SqliteRows::writing(connection);
        let write_thread = spawn("store-writer", move || writer::serve(rows, &verbs))?;
        Ok(SqliteStore {
            writer,
            readers,
            was_used,
            threads: Mutex::new(Some(Threads {
                writer: write_thread,
                readers: read_threads,
                _lock: lock,
            })),
        })
    }

    /// Whether it held batches when it was opened: an earlier process may have
    /// sent something just before.
    pub fn was_used(&self) -> bool {
        self.was_used
    }

    /// Finishes what is under way, and gives up the file. Blocks meanwhile.
    /// Whatever comes later is answered with [`StoreError::Closed`].
    pub fn close(&self) {
        self.readers.close();
        self.writer.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(threads) = threads.take() else {
            return;
        };
        // A thread that panicked has said so; its callers were told.
        for reader in threads.readers {
            let _ = reader.join();
        }
        // It comes last, because its checkpoint waits for readers.
        let _ = threads.writer.join();
    }

    /// Has a verb done that brings so many bytes.
    fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        verb: impl FnOnce(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Answer<'static, T> {
        self.writer.run(bytes, verb)
    }

    /// Reads what is committed.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Answer<'_, T> {
        self.readers.run(read).boxed()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for SqliteStore {
    fn append(&self, part: Append) -> Answer<'static, Appended> {
        match ReadyAppend::encode(part) {
            Ok(part) => {
                let bytes = part.bytes();
                self.write(bytes, |rows| verbs::append(rows, part))
            }
            Err(mistake) => ready(Err(mistake.into())).boxed(),
        }
    }

    fn lease(&self, picks: Picks, now_ms: i64) -> Answer<'_, Vec<Lease>> {
        async move {
            let verb = move |rows: &mut _| verbs::lease(rows, &picks, now_ms);
            let picked = self.writer.run_patiently(0, verb).await?;
            let leases = picked.into_iter().map(verbs::Pick::decode);
            Ok(leases.collect::<Result<_, _>>()?)
        }
        .boxed()
    }

    fn settle(&self, part: Settle) -> Answer<'_, Settled> {
        match ReadySettle::encode(part) {
            Ok(part) => {
                let bytes = part.bytes();
                let verb = |rows: &mut _| verbs::settle(rows, part);
                self.writer.run_patiently(bytes, verb)
            }
            Err(mistake) => ready(Err(mistake.into())).boxed(),
        }
    }

    fn transition(&self, no: BatchNo, change: Change, now_ms: i64) -> Answer<'_, Option<Batch>> {
        self.write(0, move |rows| verbs::transition(rows, no, change, now_ms))
    }

    fn sweep(&self, no: BatchNo, max_chunks: usize, now_ms: i64) -> Answer<'_, Swept> {
        let verb = move |rows: &mut _| verbs::sweep(rows, no, max_chunks, now_ms);
        self.write(0, verb)
    }

    fn backlog(&self, target: TargetName) -> Answer<'_, Backlog> {
        self.read(move |rows| verbs::backlog(rows, &target))
    }

    fn rescue(&self, safe: SafeToRepeat, now_ms: i64) -> Answer<'_, usize> {
        async move {
            let mut rescued = Rescued::NONE;
            loop {
                let (safe, before) = (safe.clone(), rescued);
                let verb = move |rows: &mut _| {
                    verbs::rescue(rows, &safe, before, RESCUED_TOGETHER, now_ms)
                };
                rescued = self.write(0, verb).await?;
                if rescued.chunks == before.chunks {
                    return Ok(rescued.chunks);
                }
            }
        }
        .boxed()
    }

    fn batch(&self, tenant: TenantId, id: BatchId) -> Answer<'_, Option<Batch>> {
        self.read(move |rows| verbs::batch(rows, &tenant, id))
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Vec<Batch>> {
        self.read(move |rows| verbs::list(rows, &query))
    }

    fn events(&self, no: BatchNo, after: u64, max_bytes: usize) -> Answer<'_, Events> {
        self.read(move |rows| verbs::events(rows, no, after, max_bytes))
    }

    fn due(&self, now_ms: i64, max: usize) -> Answer<'_, Vec<Due>> {
        self.read(move |rows| verbs::due(rows, now_ms, max))
    }

    fn prune(&self, prune: Prune) -> Answer<'_, bool> {
        self.writer
            .run_patiently(0, move |rows| verbs::prune(rows, &prune))
    }

    fn spent(&self, target: TargetName, from_ms: i64) -> Answer<'_, Vec<Spent>> {
        self.read(move |rows| verbs::spent(rows, &target, from_ms))
    }

    fn pause(&self, pause: TargetPause) -> Answer<'_, bool> {
        self.write(0, move |rows| rows.pause(&pause))
    }

    fn unpause(&self, target: TargetName) -> Answer<'_, bool> {
        self.write(0, move |rows| rows.unpause(&target))
    }

    fn pauses(&self) -> Answer<'_, Vec<TargetPause>> {
        self.read(UpkeepRows::pauses)
    }

    fn items(&self, no: BatchNo, first: u32, count: u32) -> Answer<'_, Vec<Item>> {
        self.read(move |rows| verbs::items(rows, no, first, count))
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map_err(|error| StoreError::Unusable(format!("no thread for the store: {error}")))
}
