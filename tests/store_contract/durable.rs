//! What the store in a file does besides: it lasts, and it is one process's.

use std::path::PathBuf;
use std::sync::Arc;

use flowgate::store::{Append, Appended, Into, SqliteStore, Store, StoreError};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::build::*;
use super::opening::refusal;

pub fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    let batch = submit(&store, new(1), chunks(&[2, 3, 1])).await;
    let held = leased(&store, batch.no, START).await;
    settle(&store, all_succeeded(&held, START + 1_000)).await;
    let held = leased(&store, batch.no, START).await;
    let before = (read(&store, 1).await, log(&store, batch.no).await);
    drop(store);

    let store = SqliteStore::open(&path).unwrap();
    let after = (read(&store, 1).await, log(&store, batch.no).await);
    assert_eq!(after, before);
    assert_eq!(store.items(batch.no, 0, 9).await.unwrap().len(), 6);
    // The lease outlived the process too.
    let answer = settle(&store, all_succeeded(&held, START + 2_000)).await;
    assert_eq!(answer, recorded(true, false));
}

#[tokio::test]
async fn closing_leaves_one_whole_file() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    submit(&store, new(1), chunks(&[2])).await;
    store.close();
    let answer = store.append(Append {
        chunks: Vec::new(),
        seal: None,
        ..Append::new(Into::New(new(2)), START)
    });
    assert!(matches!(answer.await, Err(StoreError::Closed)));
    let answer = store.backlog(target()).await;
    assert!(matches!(answer, Err(StoreError::Closed)));
    let moved = folder.path().join("moved.db");
    std::fs::copy(&path, &moved).unwrap();
    assert_eq!(read(&SqliteStore::open(&moved).unwrap(), 1).await.no.0, 1);
}

#[tokio::test]
async fn a_file_is_open_once() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    assert!(refusal(&path).contains("in use by another process"));
    // That hurt nobody, and the file is free once it is closed.
    submit(&store, new(1), chunks(&[2])).await;
    store.close();
    read(&SqliteStore::open(&path).unwrap(), 1).await;
}

#[tokio::test]
async fn concurrent_appends_are_all_there_after_reopening() {
    let (_folder, path) = folder();
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    let mut appends = JoinSet::new();
    for id in 0..64 {
        let store = store.clone();
        appends.spawn(async move { submit(&*store, new(id), chunks(&[50])).await });
    }
    let batches = appends.join_all().await;
    drop(store);

    let store = SqliteStore::open(&path).unwrap();
    for batch in batches {
        let id = batch.id.0.as_u128();
        assert_eq!(read(&store, id).await, batch);
        assert_eq!(store.items(batch.no, 0, 99).await.unwrap().len(), 50);
    }
    assert_eq!(store.backlog(target()).await.unwrap().items, 64 * 50);
}

#[tokio::test]
async fn what_is_refused_hurts_nobody_in_the_same_commit() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    let one = submit(&store, new(1), chunks(&[2])).await;
    let two = submit(&store, new(2), chunks(&[2])).await;
    let held_one = leased(&store, one.no, START).await;
    let held_two = leased(&store, two.no, START).await;
    let mut stale = all_succeeded(&held_one, START);
    stale.epoch += 1;
    let mut mistaken = all_succeeded(&held_one, START);
    mistaken.results.push((0, succeeded(0)));
    // They are all handed over before the first of them is answered.
    let (first, stale, mistaken, second, third) = tokio::join!(
        store.settle(all_succeeded(&held_two, START)),
        store.settle(stale),
        store.settle(mistaken),
        store.settle(all_succeeded(&held_one, START)),
        append_new(&store, new(3), chunks(&[1]), None),
    );
    assert_eq!(first.unwrap(), recorded(true, true));
    assert_eq!(stale.unwrap(), flowgate::store::Settled::Stale);
    assert!(matches!(mistaken, Err(StoreError::Mistake(_))));
    assert_eq!(second.unwrap(), recorded(true, true));
    assert!(matches!(third, Appended::Held(_)));
    for no in [one.no, two.no] {
        let told = ["results 0 1", "progress 2/2", "finished"];
        assert_eq!(story(&store, no).await, told);
    }
}

#[tokio::test]
async fn that_it_was_used_shows_when_nothing_of_it_is_left() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    assert!(!store.was_used());
    let batch = submit(&store, new(1), chunks(&[1])).await;
    let held = leased(&store, batch.no, START).await;
    settle(&store, all_succeeded(&held, START)).await;
    let all = flowgate::store::Prune {
        batches_before_ms: START + 1,
        max: 100,
        ..flowgate::store::Prune::default()
    };
    while store.prune(all).await.unwrap() {}
    drop(store);
    // What was sent for it a moment ago still counts against the limits.
    assert!(SqliteStore::open(&path).unwrap().was_used());
}
