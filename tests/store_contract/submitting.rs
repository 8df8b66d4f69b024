//! Appends, and reads of what they made.

use std::collections::BTreeMap;

use bytes::Bytes;
use flowgate::model::{
    Action, BatchId, BatchNo, BatchState, Echo, EventKind, FailureKind, Form, HttpCall, Item,
    Operation, Payload, SealedBy, TargetName, TenantId, Validation, Verb,
};
use flowgate::store::{
    Append, Appended, Change, Into, ListQuery, NewBatch, NewChunk, Seal, StoreError,
};
use uuid::Uuid;

use super::Any;
use super::build::*;

pub async fn a_batch_reads_back_as_it_was_submitted(store: Any) {
    let mut new = new(7);
    new.spec.request_id = Some("import 7".to_owned());
    new.spec.labels = BTreeMap::from([("fair".to_owned(), "Köln".to_owned())]);
    new.spec.validation = Validation::Batch;
    new.spec.echo = Echo::All;
    let batch = submit(&*store, new.clone(), chunks(&[2, 1])).await;

    assert_eq!(read(&*store, 7).await, batch);
    assert_eq!(
        (batch.tenant, batch.id, batch.spec),
        (new.tenant, new.id, new.spec)
    );
    assert_eq!(batch.state, BatchState::Running);
    assert_eq!(batch.sealed_by, Some(SealedBy::Client));
    assert_eq!(batch.progress.counts.total, 3);
    assert_eq!(batch.progress.counts.queued(), 3);
    assert_eq!((batch.created_ms, batch.started_ms), (START, None));
    assert_eq!((batch.last_sequence, batch.finished_ms), (0, None));
}

pub async fn items_of_every_shape_read_back_as_they_were(store: Any) {
    let payload = |form, content_type: Option<&str>, body: &'static [u8]| Payload {
        form,
        content_type: content_type.map(str::to_owned),
        body: Bytes::from_static(body),
    };
    let action = |verb, resource_id: &str| {
        Operation::Action(Action {
            verb,
            resource_id: resource_id.to_owned(),
        })
    };
    let call = HttpCall {
        method: "PUT".to_owned(),
        path: "/guests/7?x=ä".to_owned(),
        headers: BTreeMap::from([
            ("x-b".to_owned(), "2".to_owned()),
            ("x-a".to_owned(), String::new()),
        ]),
    };
    let shapes = [
        (None, None, Operation::Target),
        (
            Some(payload(Form::Json, None, b"{}")),
            Some("k-1"),
            action(Verb::Create, ""),
        ),
        (
            Some(payload(Form::Raw, Some(""), b"\x00\xff")),
            Some(""),
            action(Verb::Update, "7"),
        ),
        (
            Some(payload(Form::Raw, None, b"")),
            None,
            action(Verb::Delete, "Zoë"),
        ),
        (
            Some(payload(Form::JsonText, None, b"{\"a\":1.0}")),
            None,
            Operation::Http(call),
        ),
        (None, None, Operation::Http(HttpCall::default())),
    ];
    let items: Vec<Item> = (0..)
        .zip(shapes)
        .map(|(index, (payload, key, operation))| Item {
            index,
            id: key.map(str::to_owned),
            key: key.map(str::to_owned),
            payload,
            operation,
        })
        .collect();
    let chunk = NewChunk {
        items: items.clone(),
        failed: Vec::new(),
    };
    let batch = submit(&*store, new(1), vec![chunk]).await;

    assert_eq!(store.items(batch.no, 0, 100).await.unwrap(), items);
    let leased = leased(&*store, batch.no, START).await;
    assert!(leased.items.into_iter().map(|(_, item)| item).eq(items));
}

pub async fn appends_are_done_in_the_order_of_the_calls(store: Any) {
    let batch = open(&*store, new(1), vec![]).await;
    let under_way = (0..200).map(|held| {
        store.append(Append {
            chunks: vec![chunk(held, 1)],
            seal: None,
            ..Append::new(Into::Open { no: batch.no, held }, START)
        })
    });
    let under_way: Vec<_> = under_way.collect();
    // Whichever answer is waited for first, and whether any is.
    for answer in under_way.into_iter().rev().step_by(3) {
        held(answer.await.unwrap());
    }
    let items = store.items(batch.no, 0, 1_000).await.unwrap();
    assert!(items.iter().map(|item| item.index).eq(0..200));
}

pub async fn a_known_request_id_is_answered_with_its_batch(store: Any) {
    let with_request = |id| {
        let mut new = new(id);
        new.spec.request_id = Some("once".to_owned());
        new
    };
    let first = submit(&*store, with_request(1), chunks(&[2])).await;
    // Under an id of its own, or the same one.
    for id in [2, 1] {
        let again = append_new(&*store, with_request(id), chunks(&[1]), None).await;
        assert_eq!(again, Appended::Exists(Box::new(first.clone())));
    }
    assert_eq!(read(&*store, 1).await, first);
    let other = BatchId(Uuid::from_u128(2));
    assert_eq!(store.batch(tenant(), other).await.unwrap(), None);
    // Without one, every batch is its own.
    submit(&*store, new(3), chunks(&[1])).await;
    submit(&*store, new(4), chunks(&[1])).await;
}

pub async fn a_request_id_is_a_tenants_own(store: Any) {
    for (id, name) in [(1, "one"), (2, "two")] {
        let mut new = new(id);
        new.tenant = TenantId::new(name);
        new.spec.request_id = Some("once".to_owned());
        held(append_new(&*store, new, chunks(&[1]), None).await);
    }
}

pub async fn an_append_that_names_another_offset_does_nothing(store: Any) {
    let batch = open(&*store, new(1), chunks(&[2])).await;
    for offset in [0, 1, 3] {
        let answer = append(&*store, batch.no, offset, vec![chunk(offset, 1)], None).await;
        assert_eq!(answer, Appended::Moved(Box::new(batch.clone())));
    }
    let batch = held(append(&*store, batch.no, 2, vec![chunk(2, 1)], None).await);
    assert_eq!(batch.progress.counts.total, 3);
    assert_eq!(store.items(batch.no, 0, 100).await.unwrap().len(), 3);
}

pub async fn an_append_after_the_seal_does_nothing(store: Any) {
    let sealed = submit(&*store, new(1), chunks(&[2])).await;
    let answer = append(&*store, sealed.no, 2, vec![chunk(2, 1)], None).await;
    assert_eq!(answer, Appended::Sealed(Box::new(sealed)));

    let open = open(&*store, new(2), chunks(&[2])).await;
    store
        .transition(open.no, Change::Cancel, START)
        .await
        .unwrap();
    let cancelled = read(&*store, 2).await;
    let answer = append(&*store, open.no, 2, vec![chunk(2, 1)], None).await;
    assert_eq!(answer, Appended::Sealed(Box::new(cancelled)));
}

pub async fn a_seal_with_a_wrong_count_does_nothing(store: Any) {
    let batch = open(&*store, new(1), chunks(&[2])).await;
    let answer = append(&*store, batch.no, 2, vec![chunk(2, 1)], Some(Seal::At(4))).await;
    assert_eq!(answer, Appended::WrongCount(Box::new(batch.clone())));
    assert_eq!(read(&*store, 1).await, batch);

    let batch = held(append(&*store, batch.no, 2, vec![chunk(2, 1)], Some(Seal::At(3))).await);
    assert_eq!(batch.sealed_by, Some(SealedBy::Client));

    let answer = append_new(&*store, new(2), chunks(&[2]), Some(Seal::At(1))).await;
    assert!(matches!(answer, Appended::WrongCount(_)));
    let id = BatchId(Uuid::from_u128(2));
    assert_eq!(store.batch(tenant(), id).await.unwrap(), None);
}

pub async fn a_batch_of_nothing_is_not_sealed(store: Any) {
    let answer = append_new(&*store, new(1), Vec::new(), Some(Seal::Unchecked)).await;
    assert!(matches!(answer, Appended::WrongCount(_)));

    let batch = open(&*store, new(2), Vec::new()).await;
    let answer = append(&*store, batch.no, 0, Vec::new(), Some(Seal::At(0))).await;
    assert_eq!(answer, Appended::WrongCount(Box::new(batch)));
}

pub async fn items_that_do_not_follow_on_are_refused(store: Any) {
    let batch = open(&*store, new(1), chunks(&[2])).await;
    let gap_in_a_chunk = NewChunk {
        items: vec![item(2), item(4)],
        failed: Vec::new(),
    };
    let empty = NewChunk {
        items: Vec::new(),
        failed: Vec::new(),
    };
    let elsewhere = NewChunk {
        failed: vec![failed(1, FailureKind::Invalid)],
        ..chunk(2, 2)
    };
    let twice = chunk_failing(2, 2, &[3, 3]);
    let wrong = [
        vec![chunk(3, 1)],
        vec![chunk(1, 1)],
        vec![chunk(2, 1), chunk(4, 1)],
        vec![gap_in_a_chunk],
        vec![empty],
        vec![elsewhere],
        vec![twice],
    ];
    for chunks in wrong {
        let part = Append {
            chunks,
            seal: None,
            ..Append::new(
                Into::Open {
                    no: batch.no,
                    held: 2,
                },
                START,
            )
        };
        let answer = store.append(part).await;
        assert!(matches!(answer, Err(StoreError::Mistake(_))), "{answer:?}");
    }
    assert_eq!(read(&*store, 1).await, batch);
}

pub async fn an_item_that_failed_admission_has_its_outcome_at_once(store: Any) {
    let batch = submit(&*store, new(1), vec![chunk_failing(0, 3, &[1])]).await;
    assert_eq!(story(&*store, batch.no).await, ["results 1"]);
    let counts = batch.progress.counts;
    assert_eq!((counts.completed(), counts.queued()), (1, 2));
    assert_eq!(counts.failed[FailureKind::Invalid.place()], 1);
    assert_eq!(results(&*store, batch.no).await[&1].attempts, 0);

    let leased = leased(&*store, batch.no, START).await;
    assert_eq!(leased.items, [(0, item(0)), (2, item(2))]);
    assert_eq!(store.items(batch.no, 0, 9).await.unwrap().len(), 3);
}

pub async fn a_chunk_of_failures_is_finished_at_once(store: Any) {
    let chunks = vec![chunk_failing(0, 2, &[0, 1]), chunk(2, 1)];
    let batch = submit(&*store, new(1), chunks).await;
    assert_eq!(
        story(&*store, batch.no).await,
        ["results 0 1", "progress 2/3"]
    );
    assert_eq!(batch.progress.counts.chunks_finished, 1);
    assert_eq!(indexes(&leased(&*store, batch.no, START).await), [2]);
}

pub async fn a_batch_of_failures_is_finished_at_once(store: Any) {
    let batch = submit(&*store, new(1), vec![chunk_failing(0, 2, &[0, 1])]).await;
    assert_eq!(batch.state, BatchState::Failed);
    assert_eq!(batch.finished_ms, Some(START));
    let told = ["results 0 1", "progress 2/2", "finished"];
    assert_eq!(story(&*store, batch.no).await, told);
    assert_eq!(batch.last_sequence, 3);
}

pub async fn a_seal_after_the_last_outcome_finishes_the_batch(store: Any) {
    let batch = open(&*store, new(1), vec![chunk_failing(0, 1, &[0])]).await;
    assert_eq!(batch.state, BatchState::Running);
    let batch = held(append(&*store, batch.no, 1, Vec::new(), Some(Seal::Unchecked)).await);
    assert_eq!(batch.state, BatchState::Failed);
    let log = log(&*store, batch.no).await;
    assert_eq!(log.last().unwrap().kind, EventKind::Finished);
}

pub async fn nobody_sees_another_tenants_batch(store: Any) {
    submit(&*store, new(1), chunks(&[1])).await;
    let other = TenantId::new("other");
    let id = BatchId(Uuid::from_u128(1));
    assert_eq!(store.batch(other.clone(), id).await.unwrap(), None);
    let listed = store.list(ListQuery {
        tenant: other,
        ..everything()
    });
    assert_eq!(listed.await.unwrap(), []);
}

fn everything() -> ListQuery {
    ListQuery {
        tenant: tenant(),
        target: None,
        states: Vec::new(),
        labels: BTreeMap::new(),
        before: None,
        max: 100,
    }
}

pub async fn batches_are_listed_the_newest_first_and_filtered(store: Any) {
    // 0 to 599: every third for another target, every fifth labelled, every
    // second finished.
    let fair = BTreeMap::from([("fair".to_owned(), "Köln".to_owned())]);
    let elsewhere = TargetName::new("elsewhere");
    let mut numbers = Vec::new();
    for id in 0..600_u32 {
        let mut new = NewBatch { ..new(id.into()) };
        if id % 3 == 0 {
            new.spec.target = elsewhere.clone();
        }
        if id % 5 == 0 {
            new.spec.labels.clone_from(&fair);
        }
        let failing: &[u32] = if id % 2 == 0 { &[0] } else { &[] };
        let batch = submit(&*store, new, vec![chunk_failing(0, 1, failing)]).await;
        numbers.push(batch.no);
    }
    let expect = |keep: &dyn Fn(usize) -> bool, max: usize| -> Vec<BatchNo> {
        let kept = (0..600).rev().filter(|id| keep(*id));
        kept.map(|id| numbers[id]).take(max).collect()
    };
    let queries = [
        (everything(), expect(&|_| true, 100)),
        (
            ListQuery {
                target: Some(elsewhere),
                states: vec![BatchState::Failed, BatchState::Cancelled],
                ..everything()
            },
            expect(&|id| id % 6 == 0, 100),
        ),
        (
            ListQuery {
                labels: fair.clone(),
                states: vec![BatchState::Running],
                max: 1_000,
                ..everything()
            },
            expect(&|id| id % 10 == 5, 1_000),
        ),
        (
            ListQuery {
                labels: fair,
                before: Some(numbers[300]),
                max: 7,
                ..everything()
            },
            expect(&|id| id % 5 == 0 && id < 300, 7),
        ),
        (
            ListQuery {
                before: Some(numbers[0]),
                ..everything()
            },
            Vec::new(),
        ),
    ];
    for (query, expected) in queries {
        let listed = store.list(query.clone()).await.unwrap();
        let listed: Vec<_> = listed.into_iter().map(|batch| batch.no).collect();
        assert_eq!(listed, expected, "{query:?}");
    }
}

pub async fn items_are_read_in_part(store: Any) {
    let batch = submit(&*store, new(1), chunks(&[3, 2, 4])).await;
    submit(&*store, new(2), chunks(&[3])).await;
    // What is sent again is no item of its own.
    let leased = leased(&*store, batch.no, START).await;
    let mut part = part(&leased, START);
    part.again = vec![again(&leased, &[1], false, 0)];
    settle(&*store, part).await;

    let table = [
        (0, 9),
        (0, 2),
        (2, 2),
        (3, 2),
        (4, 100),
        (8, 1),
        (9, 1),
        (100, u32::MAX),
    ];
    for (first, count) in table {
        let items = store.items(batch.no, first, count).await.unwrap();
        let expected: Vec<_> = (first..first.saturating_add(count).min(9))
            .map(item)
            .collect();
        assert_eq!(items, expected, "{count} from {first}");
    }
}
