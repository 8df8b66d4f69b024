//! The embedded store: an SQLite file next to the process, with one writer.

mod columns;
mod examine;
mod lock;
mod open;
mod queue;
mod readers;
mod room;
mod rows;
#[cfg(test)]
mod tests;
mod trouble;
mod wal;
mod writer;

use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use futures_util::FutureExt;
use tokio::time::sleep;

use self::lock::{Left, Lock};
use self::readers::Readers;
use self::rows::SqliteRows;
use self::trouble::Stop;
use self::writer::{Verb, Writer};
use super::ready::{ReadyAppend, ReadySettle};
use super::rows::{Done, UpkeepRows};
use super::verbs::Rescued;
use super::{
    Answer, Append, Appended, Backlog, Bounds, Change, Due, Events, Lease, ListQuery, Picks, Prune,
    SafeToRepeat, Settle, Settled, Spent, Store, StoreError, Swept, TargetPause, pause, verbs,
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
    stop: Stop,
    was_used: bool,
    // `None` once it is closed. A std mutex: held to take them.
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    // Given up last.
    _lock: Arc<Lock>,
}

impl SqliteStore {
    /// Opens a file, as [`open_within`](Self::open_within), with as much room as
    /// there is.
    ///
    /// # Errors
    ///
    /// Likewise.
    pub fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_within(path, Bounds::default())
    }

    /// Opens a file, which is made if it is not there; its folder must be.
    /// Blocks for the time of a check, which reads the whole file unless that
    /// is large.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unusable`] where another process has it, or it is not a
    /// store that this version can read and write. It is then left as it is.
    pub fn open_within(path: &Path, bounds: Bounds) -> Result<SqliteStore, StoreError> {
        let path = &open::one_name(path);
        examine::no_folder(path)?;
        let lock = Arc::new(Lock::take(path)?);
        let rows = open::writer(path, lock.left(), bounds)?;
        let was_used = open::held_batches(rows.connection())?;
        let stop = Stop::new(path);
        let (readers, reads) = Readers::new(stop.clone());
        let reads = Arc::new(Mutex::new(reads));
        let mut read_threads = Vec::new();
        for _ in 0..READERS {
            let rows = SqliteRows::reading(open::reader(path)?);
            let reads = reads.clone();
            read_threads.push(spawn("store-reader", move || readers::serve(rows, &reads))?);
        }
        lock.leave(Left::Open)
            .map_err(|error| open::unwritable(path, &error))?;
        let (writer, verbs) = Writer::new();
        let (held, stopped) = (lock.clone(), stop.clone());
        let write_thread = spawn("store-writer", move || write(rows, &verbs, &held, &stopped))?;
        Ok(SqliteStore {
            writer,
            readers,
            stop,
            was_used,
            threads: Mutex::new(Some(Threads {
                writer: write_thread,
                readers: read_threads,
                _lock: lock,
            })),
        })
    }

    /// Waits until the store has to stop, and says why and what to do: the disk
    /// failed, or what is on it is damaged. It is not closed then.
    pub async fn stopped(&self) -> String {
        self.stop.said().await
    }

    /// Whether it held batches when it was opened, or before: an earlier process
    /// may have sent something just now.
    pub fn was_used(&self) -> bool {
        self.was_used
    }

    /// Finishes what is under way, and gives up the file. Blocks meanwhile.
    /// Whatever comes later is answered with [`StoreError::Closed`].
    pub fn close(&self) {
        self.readers.close();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(threads) = threads.take() else {
            return;
        };
        // A thread that panicked has said so; its callers were told.
        for reader in threads.readers {
            let _ = reader.join();
        }
        // It comes last: the log goes with the last connection, if that is one
        // that writes.
        self.writer.close();
        let _ = threads.writer.join();
    }

    /// Has a verb done that brings so many bytes.
    fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        verb: impl FnMut(&mut SqliteRows) -> Done<T> + Send + 'static,
    ) -> Answer<'static, T> {
        self.writer.run(bytes, verb)
    }

    /// Has what is known of a chunk recorded, once.
    fn record(&self, part: &Arc<ReadySettle>) -> Answer<'static, Settled> {
        let (part, bytes) = (part.clone(), part.bytes());
        self.writer
            .run_patiently(bytes, move |rows| verbs::settle(rows, &part))
    }

    /// Rescues up to `together` chunks more.
    fn rescue_some(
        &self,
        safe: &SafeToRepeat,
        before: Rescued,
        together: usize,
        now_ms: i64,
    ) -> Answer<'static, Rescued> {
        let safe = safe.clone();
        self.write(0, move |rows| {
            verbs::rescue(rows, &safe, before, together, now_ms)
        })
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
            Ok(part) => self.write(part.bytes(), move |rows| verbs::append(rows, &part)),
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
        let part = match ReadySettle::encode(part) {
            Ok(part) => Arc::new(part),
            Err(mistake) => return ready(Err(mistake.into())).boxed(),
        };
        let first = self.record(&part);
        async move {
            let mut answer = first.await;
            let mut failures = 0;
            while answer.as_ref().is_err_and(StoreError::is_passing) {
                failures += 1;
                sleep(pause(failures)).await;
                answer = self.record(&part).await;
            }
            answer
        }
        .boxed()
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
            let mut together = RESCUED_TOGETHER;
            loop {
                let before = rescued;
                rescued = match self.rescue_some(&safe, before, together, now_ms).await {
                    // One of them is; nobody else shall stay behind for it.
                    Err(StoreError::Broken(_)) if together > 1 => {
                        together = 1;
                        continue;
                    }
                    Err(StoreError::Broken(why)) => {
                        tracing::error!(why, "a chunk cannot be taken up; it stays as it is");
                        let pass = move |rows: &mut _| verbs::pass_leased(rows, before);
                        self.write(0, pass).await?
                    }
                    rescued => rescued?,
                };
                if rescued.last == before.last {
                    return Ok(rescued.chunks);
                }
                together = RESCUED_TOGETHER;
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

/// The writer's thread. Only where it ends in order is the store left so, and
/// the log goes.
fn write(mut rows: SqliteRows, verbs: &Receiver<Box<dyn Verb>>, lock: &Lock, stop: &Stop) {
    let served = catch_unwind(AssertUnwindSafe(|| writer::serve(&mut rows, verbs, stop)));
    match served {
        Ok(false) => {}
        Ok(true) => {
            // In this order: a log that is gone is missed while it is open.
            let left = lock.leave(Left::Closed);
            if left.is_ok() {
                let _ = open::keep_log(rows.connection(), false);
            }
        }
        Err(_) => stop.say("its writer panicked, which is a bug"),
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map_err(|error| StoreError::Unusable(format!("no thread for the store: {error}")))
}
