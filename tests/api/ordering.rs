//! Strict order.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use flowgate::proto::{
    BatchSpec, BatchSubmitRequest, ItemResult, ListBatchResultsRequest, Ordering,
};
use tonic::Code;

use crate::stopping::{detach, number, progress, strict};
use crate::support::http_target::{Act, Latch, Request};
use crate::world::{World, append, assert_refused, item, open, seal, submit};

#[tokio::test]
async fn in_strict_order_each_item_waits_for_the_outcome_of_the_one_before_it() {
    // The third is answered with a fault first, the fifth is told to wait, the
    // seventh is refused, and the ninth has no answer at first.
    let tries = AtomicUsize::new(0);
    let script = move |request: &Request| {
        let first = tries.fetch_add(1, SeqCst);
        match (number(request), first) {
            (3, 3) => Act::answer(500, ""),
            (5, 6) => Act::answer(429, "").with("retry-after", "0"),
            (7, _) => Act::answer(422, ""),
            (9, 11) => Act::Close,
            _ => Act::answer(200, ""),
        }
    };
    let settings = "concurrency = 8\n[targets.guests.retry]\nbase = \"20ms\"\nmax = \"20ms\"";
    let mut world = World::with(settings, script).await;
    let id = detach(&mut world, strict(), 120).await;
    let batch = world.finished(&id).await;
    assert_eq!(
        (progress(&batch).succeeded, progress(&batch).failed),
        (119, 1)
    );
    let sent: Vec<u32> = world.target.requests().iter().map(number).collect();
    let mut expected: Vec<u32> = (0..120).collect();
    for again in [9, 5, 3] {
        expected.insert(again as usize, again);
    }
    assert_eq!(sent, expected);
    let results: Vec<ItemResult> = logged(&mut world, &id).await;
    let order: Vec<u32> = results.iter().map(|result| result.index).collect();
    assert_eq!(order, (0..120).collect::<Vec<_>>(), "recorded in order");
    assert_eq!((results[3].attempts, results[9].attempts), (2, 2));
}

/// The results in the order in which they were recorded.
async fn logged(world: &mut World, batch_id: &str) -> Vec<ItemResult> {
    let request = ListBatchResultsRequest {
        batch_id: batch_id.to_owned(),
        page_size: 1_000,
        ..ListBatchResultsRequest::default()
    };
    let page = world.batches.list_batch_results(request).await;
    page.expect("a page").into_inner().results
}

#[tokio::test]
async fn in_strict_order_no_two_items_are_under_way_together() {
    let latch = Latch::default();
    let held = latch.clone();
    let script = move |request: &Request| match number(request) {
        0 => Act::answer(200, "").after(&held),
        _ => Act::answer(200, ""),
    };
    let mut world = World::with("", script).await;
    let mut session = world.stream(vec![open(strict())]).await;
    let id = session.accepted().await.batch_id;
    session
        .send(append((0..60).map(item).collect(), None))
        .await;
    session.send(seal(Some(60))).await;
    world.target.arrived(1).await;
    // Others are not held up, and it has sent no more meanwhile.
    world.is_unhurt().await;
    let sent = world.target.requests();
    assert_eq!(sent.iter().filter(|r| number(r) == 0).count(), 1);
    assert_eq!(sent.len(), 3);
    latch.open();
    session.end().await.expect("it ends well");
    assert_eq!(progress(&world.get(&id).await).succeeded, 60);
    // The order is part of what a request is.
    let in_order = BatchSpec {
        request_id: "wednesday".to_owned(),
        ..strict()
    };
    let request = BatchSubmitRequest {
        spec: Some(in_order),
        ..submit(vec![item(1)])
    };
    let served = world.batches.batch_submit(request.clone()).await;
    served.expect("it is served");
    let mut other = request;
    other.spec.as_mut().expect("a spec").ordering = Ordering::Parallel.into();
    let refused = world.batches.batch_submit(other).await;
    let refused = refused.expect_err("another order");
    let (code, reason) = (Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_refused(&refused, code, reason, "ordering");
}
