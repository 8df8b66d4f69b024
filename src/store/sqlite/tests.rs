use uuid::Uuid;

use super::super::rows::Undone;
use super::super::{Into, NewBatch, NewChunk};
use super::*;
use crate::model::{BatchSpec, Operation};

fn submission() -> Append {
    let item = Item {
        index: 0,
        id: None,
        key: None,
        payload: None,
        operation: Operation::Target,
    };
    let new = NewBatch {
        tenant: TenantId::default(),
        id: BatchId(Uuid::from_u128(1)),
        spec: BatchSpec::new(TargetName::new("guests")),
    };
    Append {
        chunks: vec![NewChunk {
            items: vec![item],
            failed: Vec::new(),
        }],
        ..Append::new(Into::New(new), 1)
    }
}

#[tokio::test]
async fn what_a_failed_group_did_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let Appended::Held(before) = store.append(submission()).await.unwrap() else {
        panic!("not held");
    };
    let no = before.no;
    let broken = move |rows: &mut SqliteRows| {
        verbs::lease(rows, &vec![no].into(), 5)?;
        verbs::transition(rows, no, Change::Cancel, 5)?;
        Err::<(), _>(Undone::Broken("the disk is on fire".to_owned()))
    };
    let answer = store.write(0, broken).await;
    assert!(matches!(answer, Err(StoreError::Broken(_))));

    let read = store.batch(TenantId::default(), before.id).await.unwrap();
    assert_eq!(read.as_ref(), Some(&*before));
    // What the writer keeps of it is as it was, too.
    let leases = store.lease(vec![no].into(), 6).await.unwrap();
    assert!(matches!(&leases[..], [Lease::Chunk(chunk)] if chunk.epoch == 1));
}

#[tokio::test]
async fn more_batches_than_are_kept_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    let Appended::Held(first) = store.append(submission()).await.unwrap() else {
        panic!("not held");
    };
    let many = |rows: &mut SqliteRows| {
        for id in 2..3_000 {
            let mut part = submission();
            if let Into::New(new) = &mut part.into {
                new.id = BatchId(Uuid::from_u128(id));
            }
            verbs::append(rows, &ReadyAppend::encode(part)?)?;
        }
        Ok(())
    };
    store.write(0, many).await.unwrap();
    let backlog = store.backlog(TargetName::new("guests")).await.unwrap();
    assert_eq!(backlog.items, 2_999);
    store.transition(first.no, Change::Cancel, 5).await.unwrap();
    let read = store.batch(TenantId::default(), first.id).await.unwrap();
    assert_eq!(read.unwrap().state, crate::model::BatchState::Cancelling);
}

#[tokio::test]
async fn a_writer_that_panics_stops_the_store_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = SqliteStore::open(&path).unwrap();
    store.append(submission()).await.unwrap();
    let answer = store.write(0, |_| -> Done<()> { panic!("as scripted") });
    assert!(matches!(answer.await, Err(StoreError::Closed)));
    assert!(store.stopped().await.contains("its writer panicked"));
    let later = store.append(submission()).await;
    assert!(matches!(later, Err(StoreError::Closed)));
    drop(store);
    // Its log was left as it is, and is not missed.
    let store = SqliteStore::open(&path).unwrap();
    assert!(store.was_used());
}
