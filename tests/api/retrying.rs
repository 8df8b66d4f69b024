//! `RetryBatch`: what failed goes in again, as a new batch.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use flowgate::proto::{
    Batch, BatchSpec, BatchState, BatchSubmitRequest, Echo, FailureKind, FailurePolicy, Item,
    Ordering, RetryBatchRequest, StoppedBy,
};
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::batches::failure;
use crate::pausing::{hold, let_go};
use crate::support::http_target::{Act, Request};
use crate::world::{World, append, assert_refused, item, json_text, open, seal, spec};

/// One try each, so that a fault is the end.
const ONE_TRY: &str =
    "concurrency = 32\nbreaker.failures = 0\n[targets.guests.retry]\nattempts = 1";

/// A target that is in a bad mood until it is mended: of what is sent to it, 1
/// is refused, 2 meets a fault, and 3 has no answer.
struct Moody {
    world: World,
    is_mended: Arc<AtomicBool>,
}

impl Moody {
    async fn start() -> Moody {
        let is_mended = Arc::new(AtomicBool::new(false));
        let mended = is_mended.clone();
        let script = move |request: &Request| match (request.body.as_ref(), mended.load(SeqCst)) {
            (br#"{"n":1}"#, false) => Act::answer(422, r#"{"error":"no"}"#),
            (br#"{"n":2}"#, false) => Act::answer(500, ""),
            (br#"{"n":3}"#, false) => Act::Close,
            _ => Act::answer(201, r#"{"id":"g-1"}"#),
        };
        Moody {
            world: World::with(ONE_TRY, script).await,
            is_mended,
        }
    }

    /// Submits items to their end, and mends the target.
    async fn fails(&mut self, spec: BatchSpec, items: Vec<Item>) -> Batch {
        let request = BatchSubmitRequest {
            spec: Some(spec),
            items,
            wait: Some(true),
            all_failed_is_ok: true,
            ..BatchSubmitRequest::default()
        };
        let response = self.world.batches.batch_submit(request).await;
        let batch = response.expect("it is served").into_inner().batch;
        let batch = batch.expect("a batch");
        assert!(batch.finish_time.is_some(), "{batch:?}");
        self.is_mended.store(true, SeqCst);
        batch
    }

    /// The keys under which a body was sent, in order.
    fn keys(&self, body: &str) -> Vec<String> {
        let requests = self.world.target.requests();
        let sent = requests.iter().filter(|r| r.body == body.as_bytes());
        sent.map(|r| r.header("idempotency-key").expect("a key").to_owned())
            .collect()
    }
}

async fn retry(
    world: &World,
    batch_id: &str,
    kinds: &[FailureKind],
    request_id: &str,
) -> Result<Batch, Status> {
    let request = RetryBatchRequest {
        batch_id: batch_id.to_owned(),
        kinds: kinds.iter().copied().map(Into::into).collect(),
        request_id: request_id.to_owned(),
    };
    let response = world.batches.clone().retry_batch(request).await?;
    Ok(response.into_inner().batch.expect("a batch"))
}

fn four() -> Vec<Item> {
    (0..4).map(item).collect()
}

fn with_key(number: u32, key: &str) -> Item {
    Item {
        idempotency_key: key.to_owned(),
        ..item(number)
    }
}

#[tokio::test]
async fn by_default_what_may_do_better_untouched_goes_again_under_a_new_key() {
    let mut moody = Moody::start().await;
    let asked = BatchSpec {
        request_id: "thursday".to_owned(),
        labels: BTreeMap::from([("run".to_owned(), "7".to_owned())]),
        echo: Echo::All.into(),
        ordering: Ordering::Strict.into(),
        failure_policy: Some(FailurePolicy {
            stop_after: 9,
            stop_at_share: 0.0,
        }),
        deadline: Some(Timestamp {
            seconds: 4_000_000_000,
            nanos: 0,
        }),
        ..spec("guests")
    };
    let first = moody.fails(asked.clone(), four()).await;
    assert_eq!(first.progress.as_ref().expect("progress").failed, 3);
    let second = retry(&moody.world, &first.id, &[], "").await.expect("two");
    assert_ne!(second.id, first.id);
    assert!(second.sealed);
    let got = second.spec.clone().expect("a spec");
    let expected = BatchSpec {
        request_id: got.request_id.clone(),
        deadline: None,
        validation: got.validation,
        atomicity: got.atomicity,
        ..asked
    };
    assert_eq!(got, expected, "as the old one was asked for");
    assert_ne!(got.request_id, "thursday");
    let second = moody.world.finished(&second.id).await;
    assert_eq!(second.state(), BatchState::Succeeded);
    let results = moody.world.results(&second.id).await;
    assert_eq!(results.len(), 1, "the fault alone");
    assert_eq!(
        results[0].item.as_ref().expect("it").payload,
        item(2).payload
    );
    let keys = moody.keys(r#"{"n":2}"#);
    assert_eq!(
        keys,
        [
            format!("flowgate-{}-2", first.id),
            format!("flowgate-{}-0", second.id)
        ]
    );
}

#[tokio::test]
async fn asked_twice_or_at_once_it_is_the_same_batch() {
    let mut moody = Moody::start().await;
    let first = moody.fails(spec("guests"), four()).await;
    let calls: Vec<_> = (0..30)
        .map(|_| {
            let (batches, id) = (moody.world.batches.clone(), first.id.clone());
            tokio::spawn(async move {
                let request = RetryBatchRequest {
                    batch_id: id,
                    ..RetryBatchRequest::default()
                };
                let mut batches = batches;
                batches.retry_batch(request).await
            })
        })
        .collect();
    let mut ids = HashSet::new();
    for call in calls {
        let response = call.await.expect("no panic").expect("the same batch");
        ids.insert(response.into_inner().batch.expect("a batch").id);
    }
    assert_eq!(ids.len(), 1);
    let id = ids.into_iter().next().expect("one");
    moody.world.finished(&id).await;
    // Also once it is over, after a restart, and with the kinds by name, in any
    // order.
    moody.world.restart().await;
    let kinds = [
        FailureKind::Expired,
        FailureKind::Unavailable,
        FailureKind::Throttled,
        FailureKind::Unreachable,
        FailureKind::Unavailable,
    ];
    for kinds in [&[][..], &kinds] {
        let again = retry(&moody.world, &first.id, kinds, "").await;
        assert_eq!(again.expect("the same batch").id, id);
    }
    assert_eq!(moody.keys(r#"{"n":2}"#).len(), 2, "nothing is sent twice");
    // Another request_id is another batch, the same one is the same.
    let other = retry(&moody.world, &first.id, &[], "more").await;
    let other = other.expect("another batch").id;
    assert_ne!(other, id);
    let again = retry(&moody.world, &first.id, &[], "more").await;
    assert_eq!(again.expect("the same batch").id, other);
    moody.world.finished(&other).await;
    assert_eq!(moody.keys(r#"{"n":2}"#).len(), 3);
}

#[tokio::test]
async fn a_request_id_of_something_else_is_refused() {
    let mut moody = Moody::start().await;
    let unrelated = BatchSpec {
        request_id: "friday".to_owned(),
        ..spec("guests")
    };
    // Of as many items.
    moody.fails(unrelated, vec![item(8)]).await;
    moody.is_mended.store(false, SeqCst);
    let first = moody.fails(spec("guests"), four()).await;
    let refused = retry(&moody.world, &first.id, &[], "friday").await;
    let refused = refused.expect_err("that is another batch");
    let (code, reason) = (Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_refused(&refused, code, reason, "other content");
    // The failures of two batches are not the same either.
    moody.is_mended.store(false, SeqCst);
    let second = moody.fails(spec("guests"), vec![item(1), item(3)]).await;
    let kinds = [FailureKind::Rejected, FailureKind::InDoubt];
    retry(&moody.world, &first.id, &kinds[..1], "monday")
        .await
        .expect("a new batch");
    let refused = retry(&moody.world, &second.id, &kinds, "monday").await;
    let refused = refused.expect_err("those are others");
    assert_refused(&refused, code, reason, "other content");
}

#[tokio::test]
async fn what_is_in_doubt_goes_again_by_name_under_the_key_that_it_was_sent_with() {
    use FailureKind::{InDoubt, Rejected};
    let mut moody = Moody::start().await;
    let items = vec![with_key(1, "one"), with_key(3, "three"), item(3)];
    let first = moody.fails(spec("guests"), items).await;
    let kinds: Vec<_> = moody.world.results(&first.id).await;
    let kinds: Vec<_> = kinds.iter().map(|r| failure(r).kind()).collect();
    assert_eq!(kinds, [Rejected, InDoubt, InDoubt]);
    let second = retry(&moody.world, &first.id, &[InDoubt, Rejected], "").await;
    let second = second.expect("all three");
    let second = moody.world.finished(&second.id).await;
    assert_eq!(second.state(), BatchState::Succeeded);
    // Not answered from the record: it is asked for once more.
    let results = moody.world.results(&second.id).await;
    assert!(results.iter().all(|r| !r.replayed && r.attempts == 1));
    assert_eq!(
        moody.keys(r#"{"n":1}"#),
        ["one".to_owned(), format!("flowgate-{}-0", second.id)]
    );
    let (own, made_up) = ("three".to_owned(), format!("flowgate-{}-2", first.id));
    let mut keys = moody.keys(r#"{"n":3}"#);
    keys.sort_unstable();
    let mut expected = [own.clone(), own, made_up.clone(), made_up];
    expected.sort_unstable();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn what_came_too_late_or_was_given_up_goes_again() {
    let mut moody = Moody::start().await;
    hold(&mut moody.world, "guests", "").await.expect("held");
    let late = BatchSpec {
        deadline: Some(Timestamp {
            seconds: 1_000_000_000,
            nanos: 0,
        }),
        ..spec("guests")
    };
    let first = moody.fails(late, (0..120).map(item).collect()).await;
    let second = retry(&moody.world, &first.id, &[], "").await;
    let second = second.expect("they expired").id;
    // Given up now, they go again by name only.
    let request = flowgate::proto::CancelBatchRequest {
        batch_id: second.clone(),
    };
    let cancelled = moody.world.batches.cancel_batch(request).await;
    cancelled.expect("it is cancelled");
    moody.world.finished(&second).await;
    let refused = retry(&moody.world, &second, &[], "").await;
    let refused = refused.expect_err("they were cancelled");
    let code = Code::FailedPrecondition;
    assert_refused(&refused, code, "NOTHING_TO_RETRY", "EXPIRED");
    let third = retry(&moody.world, &second, &[FailureKind::Cancelled], "").await;
    let third = third.expect("they were cancelled").id;
    let_go(&mut moody.world, "guests")
        .await
        .expect("it goes on");
    let third = moody.world.finished(&third).await;
    assert_eq!(third.progress.expect("progress").succeeded, 120);
}

#[tokio::test]
async fn a_retry_is_refused_with_what_would_be_right() {
    let mut moody = Moody::start().await;
    let mut session = moody.world.stream(vec![open(spec("guests"))]).await;
    let open_one = session.accepted().await.batch_id;
    let code = Code::FailedPrecondition;
    let refused = retry(&moody.world, &open_one, &[], "").await;
    assert_refused(&refused.expect_err("open"), code, "NOT_FINISHED", "wait");
    session.send(append(vec![item(0)], None)).await;
    session.send(seal(None)).await;
    session.end().await.expect("it ends well");
    let refused = retry(&moody.world, &open_one, &[], "").await;
    let refused = refused.expect_err("nothing failed");
    assert_refused(&refused, code, "NOTHING_TO_RETRY", "name other kinds");
    // What failed admission here would fail again.
    let first = moody
        .fails(spec("guests"), vec![json_text("{"), item(1)])
        .await;
    let refused = retry(&moody.world, &first.id, &[FailureKind::Invalid], "").await;
    let refused = refused.expect_err("it is invalid");
    assert_refused(&refused, code, "NOTHING_TO_RETRY", "INVALID");
    for number in [0, 99] {
        let request = RetryBatchRequest {
            batch_id: first.id.clone(),
            kinds: vec![number],
            request_id: String::new(),
        };
        let refused = moody.world.batches.retry_batch(request).await;
        let refused = refused.expect_err("there is no such kind");
        assert_refused(&refused, Code::InvalidArgument, "INVALID_SPEC", "kinds");
    }
    let refused = retry(
        &moody.world,
        &first.id,
        &[FailureKind::Rejected],
        &"x".repeat(129),
    )
    .await;
    let refused = refused.expect_err("it is too long");
    let code = Code::InvalidArgument;
    assert_refused(&refused, code, "INVALID_SPEC", "request_id");
}

#[tokio::test]
async fn a_policy_may_stop_a_retry_before_all_of_it_is_in() {
    let mut world = World::with(ONE_TRY, |_: &Request| Act::answer(500, "")).await;
    let picky = BatchSpec {
        failure_policy: Some(FailurePolicy {
            stop_after: 1,
            stop_at_share: 0.0,
        }),
        ..spec("guests")
    };
    let mut session = world.stream(vec![open(picky)]).await;
    let first = session.accepted().await.batch_id;
    session
        .send(append((0..500).map(item).collect(), None))
        .await;
    session.send(seal(Some(500))).await;
    session.end().await.expect_err("all failed");
    let kinds = [FailureKind::Aborted, FailureKind::Unavailable];
    let second = retry(&world, &first, &kinds, "").await.expect("a batch");
    let batch = world.finished(&second.id).await;
    assert_eq!(batch.stopped_by(), StoppedBy::FailurePolicy);
    // However much of it was in by then, it is the same batch again.
    let again = retry(&world, &first, &kinds, "").await.expect("the same");
    assert_eq!(again, batch);
    let named = retry(&world, &first, &kinds, "named").await;
    let named = world.finished(&named.expect("a batch").id).await;
    let again = retry(&world, &first, &kinds, "named").await;
    assert_eq!(again.expect("the same"), named);
}

#[tokio::test]
async fn many_and_large_items_go_again_in_order() {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = mended.clone();
    let script = move |_: &Request| match is_mended.load(SeqCst) {
        true => Act::answer(200, ""),
        false => Act::answer(500, ""),
    };
    let mut world = World::with(ONE_TRY, script).await;
    // More than go together, and more bytes than a message may have.
    let large = |n: u32| json_text(&format!("[{n},\"{}\"]", "x".repeat(500_000)));
    let all: Vec<Item> = (0..1_230)
        .map(|n| if n < 30 { large(n) } else { item(n) })
        .collect();
    let mut session = world.stream(vec![open(spec("guests"))]).await;
    let first = session.accepted().await.batch_id;
    for (items, at) in [(&all[..15], 0), (&all[15..30], 15), (&all[30..], 30)] {
        session.send(append(items.to_vec(), Some(at))).await;
    }
    session.send(seal(Some(1_230))).await;
    let refused = session.end().await.expect_err("all failed");
    let code = Code::FailedPrecondition;
    assert_refused(&refused, code, "ALL_ITEMS_FAILED", "all 1230 items");
    mended.store(true, SeqCst);
    let second = retry(&world, &first, &[], "").await.expect("all of them");
    let second = world.finished(&second.id).await;
    let progress = second.progress.expect("progress");
    assert_eq!((progress.total, progress.succeeded), (1_230, 1_230));
    let sent = world.target.requests();
    let again: HashSet<_> = sent[1_230..].iter().map(|r| r.body.clone()).collect();
    assert_eq!(again.len(), 1_230, "each once");
}
