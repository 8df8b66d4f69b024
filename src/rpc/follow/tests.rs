use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::*;
use crate::config::{Config, TargetKind};
use crate::feed::Feed;
use crate::intake::Intake;
use crate::model::{
    BatchId, BatchSpec, Failure, FailureKind, Item, ItemResult, Operation, Outcome, TargetName,
    TenantId,
};
use crate::observe::Board;
use crate::store::{Append, Appended, Into, NewBatch, NewChunk, Seal, SqliteStore, Store};
use crate::target::{Catalog, Each, Entry, Http};
use crate::wake::Wake;

/// A store in a file, which answers no sooner than the next poll, with rooms
/// around it.
pub(in crate::rpc) fn rooms(file: &std::path::Path) -> Arc<Rooms> {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(file).expect("a store"));
    let wake = Wake::default();
    let catalog = Catalog::new([guests()]);
    Arc::new(Rooms {
        intake: Intake::new(
            store.clone(),
            wake.clone(),
            catalog.clone(),
            Limits::default(),
        ),
        feed: Feed::new(store.clone(), wake),
        store,
        catalog,
        board: Board::new([].into()),
        drain: CancellationToken::new(),
        heartbeat: Duration::from_mins(1),
        streams: Arc::new(Semaphore::new(1)),
    })
}

/// A target that is never sent anything.
fn guests() -> Entry {
    let text = "[targets.guests]\nkind = \"http\"\nurl = \"http://127.0.0.1\"\npath = \"/\"";
    let config = Config::parse(text, std::path::Path::new("."), &|_| None);
    let mut config = config.unwrap_or_else(|error| panic!("{error}"));
    let target = config.targets.remove(0);
    let TargetKind::Http(http) = &target.kind else {
        panic!("it is http");
    };
    Entry {
        target: Arc::new(Each::new(Http::new(http).expect("a target"))),
        quota: config.quotas.remove(0),
        config: target,
    }
}

/// A batch of one item, which failed at admission: finished at once.
pub(in crate::rpc) async fn finished_batch(rooms: &Rooms) -> Batch {
    let item = Item {
        index: 0,
        id: None,
        key: None,
        payload: None,
        operation: Operation::Target,
    };
    let failed = ItemResult {
        index: 0,
        id: String::new(),
        outcome: Outcome::Failed(Box::new(Failure {
            kind: FailureKind::Invalid,
            reason: "INVALID".to_owned(),
            message: String::new(),
            violations: Vec::new(),
            status: None,
            reply: None,
            truncated: false,
            retryable: false,
        })),
        attempts: 0,
        replayed: false,
        item: None,
    };
    let part = Append {
        chunks: vec![NewChunk {
            items: vec![item],
            failed: vec![failed],
        }],
        seal: Some(Seal::Unchecked),
        ..Append::new(
            Into::New(NewBatch {
                tenant: TenantId::default(),
                id: BatchId::at(1),
                spec: BatchSpec::new(TargetName::new("guests")),
            }),
            1,
        )
    };
    match rooms.store.append(part).await.expect("the store") {
        Appended::Held(batch) => *batch,
        other => panic!("{other:?}"),
    }
}

/// Polls a future so many times, and then drops it.
async fn give_up_after<T>(polls: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    std::future::poll_fn(|cx| {
        polled += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn the_last_event_is_told_however_often_the_telling_was_interrupted() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let rooms = rooms(&folder.path().join("store.db"));
    let batch = finished_batch(&rooms).await;
    for polls in 1..5 {
        let mut teller = Teller::new(rooms.clone(), batch.clone(), batch.last_sequence - 1);
        let told = match give_up_after(polls, teller.next()).await {
            Some(told) => told,
            None => teller.next().await,
        };
        let Ok(Some(Told::Event(event))) = told else {
            panic!("given up after {polls} polls, `finished` was lost");
        };
        assert!(matches!(
            event.kind,
            Some(proto::batch_event::Kind::Finished(_))
        ));
        assert!(matches!(teller.next().await, Ok(None)));
    }
}
