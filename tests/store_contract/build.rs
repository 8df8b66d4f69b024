//! What the tests submit, and short ways to say it.

use std::collections::BTreeMap;

use bytes::Bytes;
use flowgate::model::{
    Batch, BatchId, BatchNo, BatchSpec, ChunkNo, Event, EventKind, Failure, FailureKind, Form,
    Item, ItemResult, Operation, Outcome, Payload, Success, TargetName, TenantId,
};
use flowgate::store::{
    Again, Append, Appended, Into, Lease, Leased, NewBatch, NewChunk, Seal, Settle, Settled, Store,
};
use uuid::Uuid;

/// The time at which nothing has happened yet.
pub const START: i64 = 1_700_000_000_000;

pub fn tenant() -> TenantId {
    TenantId::default()
}

pub fn target() -> TargetName {
    TargetName::new("guests")
}

pub fn spec() -> BatchSpec {
    BatchSpec::new(target())
}

/// A batch of the default tenant, with an id made of a number.
pub fn new(id: u128) -> NewBatch {
    NewBatch {
        tenant: tenant(),
        id: BatchId(Uuid::from_u128(id)),
        spec: spec(),
    }
}

pub fn item(index: u32) -> Item {
    Item {
        index,
        id: Some(format!("guest-{index}")),
        key: None,
        payload: Some(Payload {
            form: Form::JsonText,
            content_type: None,
            body: Bytes::from(format!("{{\"row\":{index}}}")),
        }),
        operation: Operation::Target,
    }
}

/// A chunk of so many items from an index.
pub fn chunk(first: u32, count: u32) -> NewChunk {
    NewChunk {
        items: (first..first + count).map(item).collect(),
        failed: Vec::new(),
    }
}

/// The same, with keys: the one of each index.
pub fn keyed(first: u32, count: u32, key: impl Fn(u32) -> Option<String>) -> NewChunk {
    let mut chunk = chunk(first, count);
    for item in &mut chunk.items {
        item.key = key(item.index);
    }
    chunk
}

/// A chunk, of which the items with these indexes failed admission.
pub fn chunk_failing(first: u32, count: u32, failing: &[u32]) -> NewChunk {
    let failed = failing.iter().map(|index| ItemResult {
        attempts: 0,
        ..failed(*index, FailureKind::Invalid)
    });
    NewChunk {
        failed: failed.collect(),
        ..chunk(first, count)
    }
}

/// Chunks of so many items each.
pub fn chunks(sizes: &[u32]) -> Vec<NewChunk> {
    let mut first = 0;
    let mut made = Vec::new();
    for size in sizes {
        made.push(chunk(first, *size));
        first += size;
    }
    made
}

pub fn succeeded(index: u32) -> ItemResult {
    ItemResult {
        index,
        id: format!("guest-{index}"),
        outcome: Outcome::Succeeded(Success {
            status: 201,
            ..Success::default()
        }),
        attempts: 1,
        replayed: false,
        item: None,
    }
}

pub fn failed(index: u32, kind: FailureKind) -> ItemResult {
    ItemResult {
        outcome: Outcome::Failed(Box::new(Failure {
            kind,
            reason: "WHY".to_owned(),
            message: "in words".to_owned(),
            violations: Vec::new(),
            status: None,
            reply: None,
            truncated: false,
            retryable: false,
        })),
        ..succeeded(index)
    }
}

/// Opens a batch with chunks, sealed.
pub async fn submit(store: &dyn Store, new: NewBatch, chunks: Vec<NewChunk>) -> Batch {
    held(append_new(store, new, chunks, Some(Seal::Unchecked)).await)
}

/// Opens a batch with chunks, and leaves it open.
pub async fn open(store: &dyn Store, new: NewBatch, chunks: Vec<NewChunk>) -> Batch {
    held(append_new(store, new, chunks, None).await)
}

pub async fn append_new(
    store: &dyn Store,
    new: NewBatch,
    chunks: Vec<NewChunk>,
    seal: Option<Seal>,
) -> Appended {
    let part = Append {
        chunks,
        seal,
        ..Append::new(Into::New(new), START)
    };
    store.append(part).await.unwrap()
}

pub async fn append(
    store: &dyn Store,
    no: BatchNo,
    held: u32,
    chunks: Vec<NewChunk>,
    seal: Option<Seal>,
) -> Appended {
    let part = Append {
        chunks,
        seal,
        ..Append::new(Into::Open { no, held }, START)
    };
    store.append(part).await.unwrap()
}

pub fn held(appended: Appended) -> Batch {
    match appended {
        Appended::Held(batch) => *batch,
        other => panic!("not held: {other:?}"),
    }
}

/// Leases the next chunk of a batch.
pub async fn lease(store: &dyn Store, no: BatchNo, now_ms: i64) -> Lease {
    let mut leases = store.lease(vec![no].into(), now_ms).await.unwrap();
    assert_eq!(leases.len(), 1);
    leases.remove(0)
}

/// Leases the next chunk of a batch, which there must be.
pub async fn leased(store: &dyn Store, no: BatchNo, now_ms: i64) -> Leased {
    match lease(store, no, now_ms).await {
        Lease::Chunk(leased) => *leased,
        other => panic!("not a chunk: {other:?}"),
    }
}

/// A settle of a leased chunk that says nothing yet.
pub fn part(leased: &Leased, now_ms: i64) -> Settle {
    Settle {
        chunk: leased.chunk,
        epoch: leased.epoch,
        results: Vec::new(),
        keys: Vec::new(),
        sent: 0,
        again: Vec::new(),
        release: None,
        now_ms,
    }
}

/// The keys of those of a leased chunk's items that have results.
pub fn keys_of(leased: &Leased, results: &[(u32, ItemResult)]) -> Vec<(u32, String)> {
    let items = leased.items.iter();
    let items = items.filter(|(at, _)| results.iter().any(|(of, _)| of == at));
    items
        .filter_map(|(at, item)| Some((*at, item.key.clone()?)))
        .collect()
}

/// A settle in which every item of a leased chunk succeeded.
pub fn all_succeeded(leased: &Leased, now_ms: i64) -> Settle {
    let results = leased.items.iter();
    let keys = leased.items.iter();
    let keys = keys.filter_map(|(at, item)| Some((*at, item.key.clone()?)));
    Settle {
        keys: keys.collect(),
        results: results
            .map(|(at, item)| (*at, succeeded(item.index)))
            .collect(),
        ..part(leased, now_ms)
    }
}

/// A settle in which every item of a leased chunk failed so.
pub fn all_failed(leased: &Leased, kind: FailureKind, now_ms: i64) -> Settle {
    let results = leased.items.iter();
    let keys = leased.items.iter();
    let keys = keys.filter_map(|(at, item)| Some((*at, item.key.clone()?)));
    Settle {
        keys: keys.collect(),
        results: results
            .map(|(at, item)| (*at, failed(item.index, kind)))
            .collect(),
        ..part(leased, now_ms)
    }
}

/// Those of a leased chunk's items that have these positions, to be sent
/// again.
pub fn again(leased: &Leased, positions: &[u32], unanswered: bool, due_ms: i64) -> Again {
    let items = leased.items.iter();
    Again {
        items: items
            .filter(|(at, _)| positions.contains(at))
            .cloned()
            .collect(),
        unanswered,
        faulted: false,
        tried: true,
        due_ms,
    }
}

pub async fn settle(store: &dyn Store, part: Settle) -> Settled {
    store.settle(part).await.unwrap()
}

pub fn recorded(chunk_finished: bool, batch_finished: bool) -> Settled {
    Settled::Recorded {
        chunk_finished,
        batch_finished,
        stopped: false,
        tripped: false,
    }
}

/// A batch of the default tenant as it stands.
pub async fn read(store: &dyn Store, id: u128) -> Batch {
    let id = BatchId(Uuid::from_u128(id));
    store.batch(tenant(), id).await.unwrap().unwrap()
}

/// All events of a batch.
pub async fn log(store: &dyn Store, no: BatchNo) -> Vec<Event> {
    let events = store.events(no, 0, usize::MAX).await.unwrap().events;
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert!(sequences.iter().copied().eq(1..=events.len() as u64));
    events
}

/// What happened, in short: `results 0 1`, `progress 2/3`, `finished`.
pub async fn story(store: &dyn Store, no: BatchNo) -> Vec<String> {
    let events = log(store, no).await;
    let told = events.into_iter().map(|event| match event.kind {
        EventKind::Results(results) => {
            let indexes = results.iter().map(|result| format!(" {}", result.index));
            format!("results{}", indexes.collect::<String>())
        }
        EventKind::Progress(progress) => {
            let counts = progress.counts;
            format!("progress {}/{}", counts.completed(), counts.total)
        }
        EventKind::Finished => "finished".to_owned(),
    });
    told.collect()
}

/// The results in a batch's log, by index.
pub async fn results(store: &dyn Store, no: BatchNo) -> BTreeMap<u32, ItemResult> {
    let mut found = BTreeMap::new();
    for event in log(store, no).await {
        if let EventKind::Results(results) = event.kind {
            for result in results {
                let old = found.insert(result.index, result);
                assert_eq!(old, None, "a second outcome for an item");
            }
        }
    }
    found
}

/// How an item failed: kind, reason and attempts.
pub fn failure(result: &ItemResult) -> (FailureKind, &str, u32) {
    match &result.outcome {
        Outcome::Failed(failure) => (failure.kind, &failure.reason, result.attempts),
        Outcome::Succeeded(_) => panic!("it succeeded: {result:?}"),
    }
}

/// The indexes of a leased chunk's items.
pub fn indexes(leased: &Leased) -> Vec<u32> {
    leased.items.iter().map(|(_, item)| item.index).collect()
}

/// No chunk has this number.
pub const NO_CHUNK: ChunkNo = ChunkNo(i64::MAX);
