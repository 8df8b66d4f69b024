//! Files that other versions wrote: an older one is brought up to date and goes
//! on, a newer one is refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowgate::model::{BatchNo, BatchState, FailureKind, SealedBy, StoppedBy};
use flowgate::store::{Change, Lease, SafeToRepeat, SqliteStore, Store};
use rusqlite::Connection;
use tempfile::TempDir;

use super::build::*;
use super::opening::refusal;

/// A store as version 1 left it.
fn version_1() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("v1.sql")).unwrap();
    old.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .unwrap();
    (folder, path)
}

fn number(path: &Path, sql: &str) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

fn unsafe_to_repeat() -> SafeToRepeat {
    Arc::new(|_: &_, _: &_, _| false)
}

#[tokio::test]
async fn what_an_older_version_wrote_reads_the_same() {
    let (_folder, path) = version_1();
    let store = SqliteStore::open(&path).unwrap();

    let open = read(&store, 1).await;
    assert_eq!((open.state, open.sealed_by), (BatchState::Running, None));
    let counts = open.progress.counts;
    assert_eq!((counts.total, counts.succeeded, counts.queued()), (5, 2, 3));
    assert_eq!(
        story(&store, open.no).await,
        ["results 0 1", "progress 2/5"]
    );

    let running = read(&store, 2).await;
    assert_eq!(running.sealed_by, Some(SealedBy::Client));
    assert_eq!(running.spec.request_id.as_deref(), Some("import-7"));
    assert_eq!(running.spec.labels["run"], "7");
    let counts = running.progress.counts;
    assert_eq!(
        (counts.completed(), counts.in_flight, counts.queued()),
        (3, 1, 3)
    );
    let told = ["results 0 1", "progress 2/7", "results 2"];
    assert_eq!(story(&store, running.no).await, told);
    let results = results(&store, running.no).await;
    assert_eq!(results[&1], succeeded(1));
    assert_eq!(results[&2], failed(2, FailureKind::Rejected));
    let items: Vec<_> = (0..7).map(item).collect();
    assert_eq!(store.items(running.no, 0, 9).await.unwrap(), items);

    let finished = read(&store, 3).await;
    assert_eq!(finished.state, BatchState::PartiallySucceeded);
    assert_eq!(finished.finished_ms, Some(START + 80));
    let told = [
        "results 1",
        "results 0",
        "progress 2/3",
        "results 2",
        "progress 3/3",
        "finished",
    ];
    assert_eq!(story(&store, finished.no).await, told);

    let cancelling = read(&store, 4).await;
    assert_eq!(cancelling.state, BatchState::Cancelling);
    assert_eq!(cancelling.stopped_by, Some(StoppedBy::Cancel));
    let counts = cancelling.progress.counts;
    assert_eq!(
        (counts.completed(), counts.in_flight, counts.queued()),
        (2, 2, 1)
    );

    let backlog = store.backlog(target()).await.unwrap();
    assert_eq!(backlog.items, 3 + 3 + 1);
}

#[tokio::test]
async fn work_of_an_older_version_goes_on() {
    let (_folder, path) = version_1();
    let store = SqliteStore::open(&path).unwrap();
    let now = START + 10_000;
    assert_eq!(store.rescue(unsafe_to_repeat(), now).await.unwrap(), 2);

    // What was on the wire is in doubt, what had been put off goes first.
    let results_of_two = results(&store, BatchNo(2)).await;
    assert_eq!(failure(&results_of_two[&4]).0, FailureKind::InDoubt);
    let again = leased(&store, BatchNo(2), now).await;
    assert_eq!(
        (indexes(&again), &again.unanswered[..]),
        (vec![3], &[0][..])
    );
    settle(&store, all_succeeded(&again, now)).await;
    let last = leased(&store, BatchNo(2), now).await;
    assert_eq!(indexes(&last), [5, 6]);
    assert_eq!(
        settle(&store, all_succeeded(&last, now)).await,
        recorded(true, true)
    );

    // What was cancelled is not sent.
    let four = lease(&store, BatchNo(4), now).await;
    assert!(matches!(four, Lease::Stopped), "{four:?}");
    assert!(
        store
            .sweep(BatchNo(4), 9, now)
            .await
            .unwrap()
            .batch_finished
    );
    assert_eq!(read(&store, 4).await.state, BatchState::Cancelled);

    // The open one takes more.
    held(append(&store, BatchNo(1), 5, vec![chunk(5, 1)], None).await);
    // All of it again from the file.
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(read(&store, 1).await.progress.counts.total, 6);
    assert_eq!(read(&store, 2).await.state, BatchState::PartiallySucceeded);
}

#[tokio::test]
async fn open_batches_of_an_older_version_get_their_time() {
    let (_folder, path) = version_1();
    let store = SqliteStore::open(&path).unwrap();
    let due = store.due(START, 99).await.unwrap();
    let open: Vec<_> = due
        .iter()
        .filter(|due| due.is_open)
        .map(|due| due.no)
        .collect();
    assert_eq!(open, [BatchNo(1)]);

    // Those that are looked at are not due again before their time, if at all.
    store.sweep(BatchNo(4), 9, START).await.unwrap();
    for due in due {
        let until_ms = START + 60_000;
        let change = Change::KeepOpen { until_ms };
        store.transition(due.no, change, START).await.unwrap();
    }
    assert_eq!(store.due(START + 59_999, 99).await.unwrap(), []);
    let due = store.due(START + 60_000, 99).await.unwrap();
    assert_eq!(
        due.iter().map(|due| due.no).collect::<Vec<_>>(),
        [BatchNo(1)]
    );
}

/// A store as version 2 left it, in the middle of its work.
fn version_2() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("v2.sql")).unwrap();
    old.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .unwrap();
    (folder, path)
}

/// When the fixture was written.
const WRITTEN: i64 = 29_921_383 * 60_000;

#[tokio::test]
async fn what_an_older_version_was_charged_stays_charged() {
    let (_folder, path) = version_2();
    let store = SqliteStore::open(&path).unwrap();
    let spent = store.spent(target(), 0).await.unwrap();
    assert_eq!(spent.iter().map(|spent| spent.units).sum::<u64>(), 7);
    let now = WRITTEN + 120_000;
    assert_eq!(store.rescue(unsafe_to_repeat(), now).await.unwrap(), 2);
    // One had its outcome; of the others nobody knows.
    let spent = store.spent(target(), 0).await.unwrap();
    let units: u64 = spent.iter().map(|spent| spent.units).sum();
    assert!((6..=8).contains(&units), "{spent:?}");
    let results = results(&store, BatchNo(1)).await;
    assert_eq!(results.len(), 7);
    let in_doubt = (1..7).filter(|at| failure(&results[at]).0 == FailureKind::InDoubt);
    assert_eq!(in_doubt.count(), 6);
}

/// Whatever goes wrong in the middle, a version's changes are one transaction.
#[tokio::test]
async fn an_upgrade_that_fails_leaves_the_older_version() {
    let (_folder, path) = version_1();
    let old = Connection::open(&path).unwrap();
    // What the last step of the upgrade makes is there already.
    old.execute_batch("CREATE TABLE removed (in_the_way)")
        .unwrap();
    drop(old);
    let why = refusal(&path);
    assert!(why.contains("cannot be brought up to date"), "{why}");
    assert_eq!(
        number(&path, "SELECT max(version) FROM refinery_schema_history"),
        1
    );
    let due = "SELECT count(*) FROM pragma_table_info('batch') WHERE name = 'due_ms'";
    assert_eq!(number(&path, due), 0);

    let old = Connection::open(&path).unwrap();
    old.execute_batch("DROP TABLE removed").unwrap();
    drop(old);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(read(&store, 1).await.progress.counts.total, 5);
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let (_folder, path) = version_1();
    drop(SqliteStore::open(&path).unwrap());
    let newer = Connection::open(&path).unwrap();
    let sql = "INSERT INTO refinery_schema_history
        SELECT 99, 'newer', applied_on, checksum FROM refinery_schema_history WHERE version = 1";
    newer.execute(sql, []).unwrap();
    drop(newer);
    let before = std::fs::read(&path).unwrap();
    assert!(refusal(&path).contains("newer version of Flowgate (schema 99)"));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
