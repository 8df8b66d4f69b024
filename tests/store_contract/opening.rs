//! What is found where a store should be, and is none or not as a store is left,
//! is refused, with what to do; and left as it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flowgate::model::BatchId;
use flowgate::store::{SqliteStore, Store, StoreError};
use tempfile::TempDir;
use uuid::Uuid;

use super::build::*;
use super::durable::folder;

/// Why a file is refused.
pub fn refusal(path: &Path) -> String {
    match SqliteStore::open(path) {
        Err(StoreError::Unusable(why)) => why,
        Err(other) => panic!("another error: {other:?}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn what_is_not_a_database_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    let garbage = b"name,email\nAda,ada@example.com\n".repeat(100);
    std::fs::write(&path, &garbage).unwrap();
    assert!(refusal(&path).contains("is not a database"));
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

#[tokio::test]
async fn a_damaged_store_is_refused_and_left_alone() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    submit(&store, new(1), chunks(&[50, 50, 50])).await;
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    for page in bytes.chunks_mut(4_096).skip(1) {
        page[..64].fill(0x55);
    }
    std::fs::write(&path, &bytes).unwrap();
    let why = refusal(&path);
    assert!(
        why.contains("is damaged") && why.contains("backup"),
        "{why}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (folder, _) = folder();
    let path = folder.path().join("missing").join("store.db");
    let why = refusal(&path);
    assert!(why.contains("missing") && why.contains("folder"), "{why}");
}

/// The name of a file beside a store's.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What a process that is killed leaves: a copy of its files as they lie there.
fn killed(path: &Path) -> (TempDir, PathBuf) {
    let (folder, image) = folder();
    for ending in ["", "-wal", ".lock"] {
        std::fs::copy(beside(path, ending), beside(&image, ending)).unwrap();
    }
    (folder, image)
}

/// A killed process's store: batches 1 and 2 are in its file, 3 to 8 in its log.
async fn with_a_log() -> (TempDir, PathBuf) {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    for id in 1..=2 {
        submit(&store, new(id), chunks(&[50])).await;
    }
    store.close();
    let store = SqliteStore::open(&path).unwrap();
    for id in 3..=8 {
        submit(&store, new(id), chunks(&[50])).await;
    }
    killed(&path)
}

/// A store that was closed.
async fn closed() -> (TempDir, PathBuf) {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    for id in 1..=8 {
        submit(&store, new(id), chunks(&[50])).await;
    }
    store.close();
    (folder, path)
}

/// The ids of the batches that are there, of 1 to 9.
async fn held_ids(path: &Path) -> Vec<u128> {
    let store = SqliteStore::open(path).unwrap();
    let mut ids = Vec::new();
    for id in 1..=9 {
        let found = store.batch(tenant(), BatchId(Uuid::from_u128(id))).await;
        ids.extend(found.unwrap().map(|_| id));
    }
    ids
}

/// What is in the file and its log; `None` for what is not there.
fn bytes(path: &Path) -> [Option<Vec<u8>>; 2] {
    ["", "-wal"].map(|ending| std::fs::read(beside(path, ending)).ok())
}

/// Why it is refused, for which nothing is changed, and which says so with these
/// words.
fn refused(path: &Path, words: &[&str]) {
    let before = bytes(path);
    let why = refusal(path);
    for word in words {
        assert!(why.contains(word), "`{word}` is not in: {why}");
    }
    assert!(why.contains(path.to_str().unwrap()), "{why}");
    assert!(bytes(path) == before, "something was changed");
}

/// Changes a file's bytes.
fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    how(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

/// Where the frames of a log begin, and which are the last of a commit.
fn frames(log: &[u8]) -> Vec<(usize, bool)> {
    let frames = (32..log.len()).step_by(24 + 4_096);
    frames
        .filter(|at| log[at + 8..at + 16] == log[16..24])
        .map(|at| (at, log[at + 4..at + 8] != [0; 4]))
        .collect()
}

#[tokio::test]
async fn what_a_killed_process_leaves_is_all_there() {
    let (_folder, path) = with_a_log().await;
    assert_eq!(held_ids(&path).await, [1, 2, 3, 4, 5, 6, 7, 8]);
    // And again, after it was closed in order.
    assert!(!beside(&path, "-wal").exists());
    assert_eq!(held_ids(&path).await.len(), 8);
}

#[tokio::test]
async fn a_store_whose_file_is_gone_is_not_made_anew() {
    for (folder, path) in [with_a_log().await, closed().await] {
        let log_is_there = beside(&path, "-wal").exists();
        std::fs::remove_file(&path).unwrap();
        refused(&path, &["is gone", "Put it back", ".lock"]);
        assert_eq!(refusal(&path).contains("its log"), log_is_there);
        assert!(!path.exists());
        // What it says to do is what helps.
        for ending in ["-wal", "-shm", ".lock"] {
            let _ = std::fs::remove_file(beside(&path, ending));
        }
        assert_eq!(held_ids(&path).await, [0_u128; 0]);
        drop(folder);
    }
}

#[tokio::test]
async fn a_store_that_was_cut_to_nothing_is_not_made_anew() {
    for (_folder, path) in [with_a_log().await, closed().await] {
        std::fs::write(&path, b"").unwrap();
        refused(&path, &["is empty", "held a store", "backup"]);
    }
}

#[tokio::test]
async fn a_log_without_its_file_is_refused_wherever_it_comes_from() {
    let (_folder, path) = with_a_log().await;
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(beside(&path, ".lock")).unwrap();
    refused(&path, &["is gone", "its log"]);
}

#[tokio::test]
async fn an_empty_file_that_never_held_a_store_becomes_one() {
    let (_folder, path) = folder();
    std::fs::write(&path, b"").unwrap();
    assert_eq!(held_ids(&path).await, [0_u128; 0]);
}

#[tokio::test]
async fn a_store_that_was_cut_in_half_is_refused() {
    for (_folder, path) in [with_a_log().await, closed().await] {
        let half = path.metadata().unwrap().len() / 2 / 4_096 * 4_096;
        change(&path, |bytes| {
            bytes.truncate(usize::try_from(half).unwrap());
        });
        refused(&path, &["is damaged", "backup", ".recover"]);
    }
}

#[tokio::test]
async fn a_store_that_ends_in_the_middle_of_a_page_is_refused() {
    let (_folder, path) = closed().await;
    change(&path, |bytes| bytes.truncate(bytes.len() - 1_000));
    refused(&path, &["is damaged", "middle of a page"]);
}

#[tokio::test]
async fn a_store_whose_header_is_damaged_is_not_taken_for_something_else() {
    for (_folder, path) in [with_a_log().await, closed().await] {
        change(&path, |bytes| bytes[..100].fill(0));
        refused(&path, &["is damaged", "it is not a database any more"]);
    }
    let (_folder, path) = closed().await;
    change(&path, |bytes| bytes.truncate(50));
    refused(&path, &["is damaged"]);
}

#[tokio::test]
async fn a_damaged_page_is_found_and_the_log_left_beside_it() {
    let (_folder, path) = with_a_log().await;
    change(&path, |bytes| {
        for page in bytes.chunks_mut(4_096).skip(1) {
            page[..64].fill(0x55);
        }
    });
    refused(&path, &["is damaged", "nothing was changed"]);
}

#[tokio::test]
async fn a_log_that_does_not_begin_as_one_is_refused() {
    let (_folder, path) = with_a_log().await;
    change(&beside(&path, "-wal"), |log| log[..32].fill(0x55));
    refused(&path, &["log", "is damaged", "does not begin as a log"]);
}

#[tokio::test]
async fn a_log_with_a_hole_in_it_is_refused() {
    let (_folder, path) = with_a_log().await;
    let log = beside(&path, "-wal");
    let whole = std::fs::read(&log).unwrap();
    // In each frame of the second commit and of the third: its page, the mark
    // of its log, its number, its sum.
    let commits = frames(&whole);
    let from = commits.iter().position(|(_, ends)| *ends).unwrap() + 1;
    for (at, _) in &commits[from..from + 3] {
        for (offset, length) in [(100, 16), (8, 8), (0, 4), (16, 8)] {
            change(&log, |log| {
                log[at + offset..at + offset + length].fill(0x55);
            });
            refused(
                &path,
                &["log", "committed in it is damaged", "backup of both"],
            );
            std::fs::write(&log, &whole).unwrap();
        }
    }
    assert_eq!(held_ids(&path).await.len(), 8);
}

/// A crash of the machine leaves the last commit in parts.
#[tokio::test]
async fn a_log_whose_last_commit_is_torn_is_taken_without_it() {
    let (_folder, path) = with_a_log().await;
    let log = beside(&path, "-wal");
    let whole = std::fs::read(&log).unwrap();
    let commits = frames(&whole);
    let last = commits.len() - 1;
    let before = commits[..last].iter().rposition(|(_, ends)| *ends).unwrap();
    for (at, _) in &commits[before + 1..] {
        let (_folder, path) = killed(&path);
        let log = beside(&path, "-wal");
        change(&log, |log| log[at + 24..at + 600].fill(0));
        assert_eq!(held_ids(&path).await, [1, 2, 3, 4, 5, 6, 7]);
    }
    change(&log, |log| log.truncate(commits[last].0 + 100));
    assert_eq!(held_ids(&path).await, [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn a_log_that_is_gone_is_missed() {
    let (_folder, path) = with_a_log().await;
    std::fs::remove_file(beside(&path, "-wal")).unwrap();
    refused(&path, &["-wal, is gone", "Put it back", ".lock away"]);
    std::fs::remove_file(beside(&path, ".lock")).unwrap();
    assert_eq!(held_ids(&path).await, [1, 2]);
}

#[tokio::test]
async fn a_backup_is_not_mixed_with_the_log_of_what_it_replaces() {
    let (_folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    submit(&store, new(1), chunks(&[50])).await;
    store.close();
    let backup = std::fs::read(&path).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    for id in 2..=8 {
        submit(&store, new(id), chunks(&[50])).await;
    }
    let (_folder, path) = killed(&path);
    let newer = std::fs::read(&path).unwrap();
    std::fs::write(&path, &backup).unwrap();
    let words = ["not of the same time", "Put the other one back", "-wal"];
    refused(&path, &words);

    // Either of the two that it says helps.
    std::fs::write(&path, &newer).unwrap();
    let (_folder, whole) = killed(&path);
    assert_eq!(held_ids(&whole).await.len(), 8);
    std::fs::write(&path, &backup).unwrap();
    for ending in ["-wal", ".lock"] {
        std::fs::remove_file(beside(&path, ending)).unwrap();
    }
    assert_eq!(held_ids(&path).await, [1]);
}

#[tokio::test]
async fn the_log_of_another_store_is_refused() {
    let (_one, path) = with_a_log().await;
    let (_two, other) = with_a_log().await;
    std::fs::copy(beside(&other, "-wal"), beside(&path, "-wal")).unwrap();
    refused(&path, &["not of the same time"]);
}

/// A backup needs no file but its own.
#[tokio::test]
async fn a_file_that_is_brought_alone_is_taken() {
    let (_folder, path) = closed().await;
    let (_folder, moved) = folder();
    std::fs::copy(&path, &moved).unwrap();
    assert_eq!(held_ids(&moved).await.len(), 8);
}

#[test]
fn a_folder_is_refused_and_nothing_put_beside_it() {
    let (folder, path) = folder();
    std::fs::create_dir(&path).unwrap();
    assert!(refusal(&path).contains("is a folder"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn another_programs_database_is_left_as_it_was() {
    let (folder, path) = folder();
    let other = rusqlite::Connection::open(&path).unwrap();
    let sql = "PRAGMA journal_mode = WAL; CREATE TABLE guest (name)";
    other.execute_batch(sql).unwrap();
    drop(other);
    refused(&path, &["of another program"]);
    let files = std::fs::read_dir(folder.path()).unwrap();
    let names: BTreeSet<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["store.db", "store.db.lock"].map(Into::into).into());
}

#[tokio::test]
async fn a_store_is_the_same_by_any_name() {
    let (folder, path) = folder();
    let store = SqliteStore::open(&path).unwrap();
    submit(&store, new(1), chunks(&[2])).await;
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(refusal(&link).contains("in use by another process"));
    store.close();
    assert_eq!(held_ids(&link).await, [1]);
    assert_eq!(held_ids(&path).await, [1]);
}

/// A tool that copies it, or somebody who looks.
#[tokio::test]
async fn a_store_that_another_program_reads_can_be_opened_and_closed() {
    for (_folder, path) in [with_a_log().await, closed().await] {
        let other = rusqlite::Connection::open(&path).unwrap();
        other
            .execute_batch("BEGIN; SELECT count(*) FROM batch")
            .unwrap();
        let store = SqliteStore::open(&path).unwrap();
        submit(&store, new(9), chunks(&[50])).await;
        let (_folder, image) = killed(&path);
        assert_eq!(held_ids(&image).await.len(), 9);
        store.close();
        let (_folder, image) = killed(&path);
        assert_eq!(held_ids(&image).await.len(), 9);
        drop(other);
    }
}
