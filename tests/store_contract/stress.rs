//! The store in a file when things go wrong around it: no room, a batch that is
//! broken, a file that is taken away or damaged under its hands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use flowgate::model::{
    Batch, BatchNo, BatchState, Form, Outcome, Payload, Success, TargetName, TenantId,
};
use flowgate::store::{
    Append, Appended, Bounds, Change, Into, Lease, Leased, NewBatch, NewChunk, Prune, SafeToRepeat,
    Seal, Settle, Settled, SqliteStore, Store, StoreError,
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::build::*;
use super::durable::folder;

const KIB: u64 = 1 << 10;

/// A store that may have so much, and leaves so much of it free.
fn within(max: u64, reserve: u64) -> (TempDir, PathBuf, SqliteStore) {
    let (folder, path) = folder();
    let bounds = Bounds {
        max_bytes: Some(max),
        reserve_bytes: reserve,
    };
    let store = SqliteStore::open_within(&path, bounds).unwrap();
    (folder, path, store)
}

fn payload(bytes: usize) -> Payload {
    Payload {
        form: Form::Raw,
        content_type: None,
        body: Bytes::from(vec![b'x'; bytes]),
    }
}

/// A chunk of items with so large payloads.
fn large(count: u32, bytes: usize) -> NewChunk {
    let mut chunk = chunk(0, count);
    for item in &mut chunk.items {
        item.payload = Some(payload(bytes));
    }
    chunk
}

/// A settle in which each succeeded, with so large replies.
fn replied(leased: &Leased, bytes: usize) -> Settle {
    let mut part = all_succeeded(leased, START);
    for (_, result) in &mut part.results {
        result.outcome = Outcome::Succeeded(Success {
            status: 200,
            reply: Some(payload(bytes)),
            ..Success::default()
        });
    }
    part
}

async fn try_submit(
    store: &SqliteStore,
    new: NewBatch,
    chunk: NewChunk,
) -> Result<Batch, StoreError> {
    let part = Append {
        chunks: vec![chunk],
        seal: Some(Seal::Unchecked),
        ..Append::new(Into::New(new), START)
    };
    store.append(part).await.map(held)
}

/// Submits such chunks until there is no room for one more.
async fn fill(store: &SqliteStore, chunk: impl Fn() -> NewChunk) -> Vec<Batch> {
    let mut batches = Vec::new();
    loop {
        let id = 1_000 + batches.len() as u128;
        match try_submit(store, new(id), chunk()).await {
            Ok(batch) => batches.push(batch),
            Err(StoreError::Full) => return batches,
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// Throws away every batch that is finished.
async fn prune(store: &SqliteStore) {
    let all = Prune {
        batches_before_ms: i64::MAX,
        max: 256,
        ..Prune::default()
    };
    while store.prune(all).await.unwrap() {}
}

/// The bytes of a store's file and log.
fn size(path: &Path) -> u64 {
    let log = path.with_extension("db-wal");
    path.metadata().unwrap().len() + log.metadata().unwrap().len()
}

#[tokio::test]
async fn new_work_is_refused_before_there_is_no_room_for_what_becomes_of_the_old() {
    let (_folder, path, store) = within(4 << 20, 1 << 20);
    let open = open(&store, new(1), Vec::new()).await;
    let batches = fill(&store, || large(8, 8 << 10)).await;
    assert!(batches.len() > 20, "{}", batches.len());

    // No more of an open batch, and no new one without items.
    let more = Append {
        chunks: vec![large(8, 8 << 10)],
        ..Append::new(
            Into::Open {
                no: open.no,
                held: 0,
            },
            START,
        )
    };
    assert!(matches!(store.append(more).await, Err(StoreError::Full)));
    // Everything else goes on: to the end.
    held(append(&store, open.no, 0, Vec::new(), None).await);
    let cancelled = store.transition(open.no, Change::Cancel, START).await;
    assert_eq!(cancelled.unwrap().unwrap().state, BatchState::Cancelled);
    for batch in &batches {
        let leased = leased(&store, batch.no, START).await;
        assert_eq!(
            settle(&store, replied(&leased, 1 << 10)).await,
            recorded(true, true)
        );
    }
    assert!(size(&path) <= 4 << 20, "{}", size(&path));

    // Still no room, until the old ones are thrown away.
    let again = try_submit(&store, new(2), large(8, 8 << 10)).await;
    assert!(matches!(again, Err(StoreError::Full)), "{again:?}");
    prune(&store).await;
    let again = fill(&store, || large(8, 8 << 10)).await;
    assert!(
        again.len() + 5 > batches.len(),
        "{} of {}",
        again.len(),
        batches.len()
    );
}

/// Outcomes may take more than their items did.
#[tokio::test]
async fn room_is_kept_for_the_outcomes_of_the_smallest_items() {
    let (_folder, _, store) = within(4 << 20, 128 * KIB);
    let tiny = || chunk(0, 50);
    let batches = fill(&store, tiny).await;
    let items = batches.len() * 50;
    assert!(items > 2_000, "{items}");
    for batch in &batches {
        let leased = leased(&store, batch.no, START).await;
        let settled = replied(&leased, 300);
        let settled = tokio::time::timeout(PATIENCE, store.settle(settled)).await;
        let settled = settled.expect("there is room").unwrap();
        assert_eq!(settled, recorded(true, true));
    }
}

/// Longer than anything here takes unless it waits for what never comes.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

#[tokio::test]
async fn what_is_held_already_is_answered_without_room() {
    let (_folder, _, store) = within(2 << 20, 512 * KIB);
    let mut named = new(7);
    named.spec.request_id = Some("import".to_owned());
    let first = try_submit(&store, named.clone(), large(1, 1 << 10))
        .await
        .unwrap();
    fill(&store, || large(4, 16 << 10)).await;
    let repeat = Append {
        chunks: vec![large(1, 1 << 10)],
        ..Append::new(Into::New(named), START)
    };
    let repeat = store.append(repeat).await.unwrap();
    assert!(matches!(repeat, Appended::Exists(batch) if batch.no == first.no));
}

/// Each try of an item needs it again, and the last one's room.
#[tokio::test]
async fn trying_again_does_not_use_up_the_room() {
    let (_folder, path, store) = within(4 << 20, 512 * KIB);
    let batch = try_submit(&store, new(1), large(1, 256 << 10))
        .await
        .unwrap();
    for time in 0..60 {
        let leased = leased(&store, batch.no, START + time).await;
        let again = vec![again(&leased, &[0], true, START + time)];
        let part = Settle {
            again,
            ..part(&leased, START + time)
        };
        let settled = tokio::time::timeout(PATIENCE, store.settle(part)).await;
        settled.expect("there is room").unwrap();
    }
    assert!(size(&path) <= 4 << 20, "{}", size(&path));
    let last = leased(&store, batch.no, START + 60).await;
    assert_eq!(last.items[0].1.payload, Some(payload(256 << 10)));
    assert_eq!(
        settle(&store, all_succeeded(&last, START)).await,
        recorded(true, true)
    );
    let items = store.items(batch.no, 0, 9).await.unwrap();
    assert_eq!(items[0].payload, Some(payload(256 << 10)));
}

#[tokio::test]
async fn an_outcome_waits_until_there_is_room_for_it() {
    let (_folder, _, store) = within(1 << 20, 0);
    let store = Arc::new(store);
    let done = try_submit(&store, new(1), large(1, 400 << 10))
        .await
        .unwrap();
    let held = leased(&*store, done.no, START).await;
    settle(&*store, all_succeeded(&held, START)).await;
    let batch = try_submit(&store, new(2), large(1, 10)).await.unwrap();
    let held = leased(&*store, batch.no, START).await;

    let other = try_submit(&store, new(3), large(1, 10)).await.unwrap();

    // More than there is; whatever else comes with it is done.
    let waiting = {
        let (store, part) = (store.clone(), replied(&held, 800 << 10));
        tokio::spawn(async move { store.settle(part).await })
    };
    tokio::task::yield_now().await;
    for change in [Change::Pause, Change::Resume] {
        store.transition(other.no, change, START).await.unwrap();
    }
    assert!(!waiting.is_finished());
    assert_eq!(read(&*store, 2).await.progress.counts.in_flight, 1);

    prune(&store).await;
    let settled = tokio::time::timeout(PATIENCE, waiting).await;
    assert_eq!(settled.unwrap().unwrap().unwrap(), recorded(true, true));
    let told = ["results 0", "progress 1/1", "finished"];
    assert_eq!(story(&*store, batch.no).await, told);
}

#[tokio::test]
async fn an_outcome_that_waits_is_told_when_the_store_is_closed() {
    let (_folder, _, store) = within(1 << 20, 0);
    let store = Arc::new(store);
    let batch = try_submit(&store, new(2), large(1, 10)).await.unwrap();
    let held = leased(&*store, batch.no, START).await;
    let waiting = {
        let (store, part) = (store.clone(), replied(&held, 1_500 << 10));
        tokio::spawn(async move { store.settle(part).await })
    };
    tokio::task::yield_now().await;
    store.close();
    let settled = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(matches!(settled.unwrap().unwrap(), Err(StoreError::Closed)));
}

/// A store with two batches, of which the first has lost its queued chunks.
async fn with_a_broken_batch() -> (TempDir, SqliteStore) {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    submit(&store, new(1), chunks(&[2, 2])).await;
    submit(&store, new(2), chunks(&[2, 2])).await;
    store.close();
    let damage = Connection::open(&path).unwrap();
    damage
        .execute_batch("DELETE FROM chunk WHERE batch = 1")
        .unwrap();
    drop(damage);
    let store = SqliteStore::open(&path).unwrap();
    (folder, store)
}

#[tokio::test]
async fn a_broken_batch_is_nobody_elses_trouble() {
    let (_folder, store) = with_a_broken_batch().await;
    let both = vec![BatchNo(1), BatchNo(2)];
    let (leases, appended, cancelled) = tokio::join!(
        store.lease(both.into(), START),
        try_submit(&store, new(3), chunk(0, 2)),
        store.transition(BatchNo(2), Change::Cancel, START),
    );
    assert!(
        matches!(&leases, Err(StoreError::Broken(why)) if why.contains("batch 1")),
        "{leases:?}"
    );
    assert!(appended.is_ok() && cancelled.is_ok());
    let held = leased(&store, BatchNo(3), START).await;
    assert_eq!((held.epoch, indexes(&held)), (1, vec![0, 1]));
}

#[tokio::test]
async fn a_broken_chunk_stays_behind_when_the_others_are_rescued() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    for id in 1..=3 {
        let batch = submit(&store, new(id), chunks(&[2])).await;
        leased(&store, batch.no, START).await;
    }
    store.close();
    let damage = Connection::open(&path).unwrap();
    let sql = "UPDATE chunk_items SET items = x'ff' WHERE chunk = 2 << 32";
    assert_eq!(damage.execute(sql, []).unwrap(), 1);
    drop(damage);
    let store = SqliteStore::open(&path).unwrap();
    let safe: SafeToRepeat = Arc::new(|_: &TargetName, _: &_, _| true);
    assert_eq!(store.rescue(safe, START).await.unwrap(), 2);
    for no in [1, 3] {
        assert!(matches!(
            lease(&store, BatchNo(no), START).await,
            Lease::Chunk(_)
        ));
    }
    assert_eq!(read(&store, 2).await.progress.counts.in_flight, 2);
}

#[tokio::test]
async fn a_file_that_is_taken_away_is_noticed_before_anything_is_acknowledged() {
    for (ending, with) in [("db", None), ("db", Some("another file")), ("db-wal", None)] {
        let (_folder, path) = folder();
        let store = SqliteStore::open(&path).unwrap();
        submit(&store, new(1), chunks(&[2])).await;
        std::fs::remove_file(path.with_extension(ending)).unwrap();
        if let Some(text) = with {
            std::fs::write(path.with_extension(ending), text).unwrap();
        }
        let answer = try_submit(&store, new(2), chunk(0, 2)).await;
        assert!(matches!(answer, Err(StoreError::Closed)), "{answer:?}");
        let why = store.stopped().await;
        let how = if with.is_some() {
            "replaced"
        } else {
            "removed"
        };
        let what = format!("was {how} while it was in use");
        assert!(why.contains(&what) && why.contains("put back"), "{why}");
        let later = store.transition(BatchNo(1), Change::Cancel, START).await;
        assert!(matches!(later, Err(StoreError::Closed)));
    }
}

#[tokio::test]
async fn damage_that_is_met_while_it_runs_ends_it() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    for id in 1..=4 {
        submit(&store, new(id), chunks(&[50])).await;
    }
    store.close();
    let store = SqliteStore::open(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    for page in bytes.chunks_mut(4_096).skip(1) {
        page[..64].fill(0x55);
    }
    std::fs::write(&path, &bytes).unwrap();
    let found = store.items(BatchNo(1), 0, 50).await;
    assert!(matches!(found, Err(StoreError::Closed)), "{found:?}");
    let why = store.stopped().await;
    for word in ["is damaged", "backup", ".recover", path.to_str().unwrap()] {
        assert!(why.contains(word), "{why}");
    }
    // Nothing more is written, into a file that is damaged.
    let answer = try_submit(&store, new(9), chunk(0, 2)).await;
    assert!(matches!(answer, Err(StoreError::Closed)), "{answer:?}");
    store.close();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn another_tenant_is_told_of_no_room_too() {
    let (_folder, _, store) = within(1 << 20, 256 * KIB);
    fill(&store, || large(4, 16 << 10)).await;
    let theirs = NewBatch {
        tenant: TenantId::new("other"),
        ..new(2)
    };
    let answer = try_submit(&store, theirs, large(4, 16 << 10)).await;
    assert!(matches!(answer, Err(StoreError::Full)));
    assert!(matches!(
        store.settle(part_of_nothing()).await,
        Ok(Settled::Stale)
    ));
}

fn part_of_nothing() -> Settle {
    Settle {
        chunk: NO_CHUNK,
        epoch: 1,
        results: Vec::new(),
        keys: Vec::new(),
        sent: 0,
        again: Vec::new(),
        release: None,
        now_ms: START,
    }
}
