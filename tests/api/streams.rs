//! Submitting piece by piece, following, and going on after a disconnect.

use std::collections::BTreeSet;

use flowgate::proto::batch_submit_stream_response::Message;
use flowgate::proto::{
    BatchEvent, BatchSpec, BatchState, WatchBatchRequest, batch_event, watch_batch_response,
};
use prost::Message as _;
use tonic::Code;

use crate::support::http_target::{Act, Latch};
use crate::world::{World, append, assert_refused, item, open, resume, seal, spec};

/// The events among messages.
fn events(messages: Vec<Message>) -> Vec<BatchEvent> {
    let events = messages.into_iter().filter_map(|message| match message {
        Message::Event(event) => Some(event),
        _ => None,
    });
    events.collect()
}

/// The indexes of the results among events, which come once each.
fn indexes(events: &[BatchEvent]) -> BTreeSet<u32> {
    let mut seen = BTreeSet::new();
    for event in events {
        if let Some(batch_event::Kind::Results(results)) = &event.kind {
            for result in &results.results {
                assert!(seen.insert(result.index), "{} is told twice", result.index);
            }
        }
    }
    seen
}

/// All events of a batch after a cursor.
async fn watch(world: &mut World, batch_id: &str, cursor: u64) -> Vec<BatchEvent> {
    let request = WatchBatchRequest {
        batch_id: batch_id.to_owned(),
        cursor,
        summary_only: false,
    };
    let mut stream = world
        .batches
        .watch_batch(request)
        .await
        .expect("a stream")
        .into_inner();
    let mut events = Vec::new();
    while let Some(response) = stream.message().await.expect("no error") {
        if let Some(watch_batch_response::Message::Event(event)) = response.message {
            events.push(event);
        }
    }
    events
}

#[tokio::test]
async fn items_flow_in_while_results_flow_out() {
    let mut world = World::start().await;
    let mut session = world.stream(vec![open(spec("guests"))]).await;
    let accepted = session.accepted().await;
    assert_eq!((accepted.items_held, accepted.sealed), (0, false));
    assert_eq!(accepted.limits.expect("limits").max_items, 1_000_000);
    session
        .send(append((0..70).map(item).collect(), Some(0)))
        .await;
    // All results of what was sent so far, before the rest is.
    let mut early = Vec::new();
    while indexes(&early).len() < 70 {
        let message = session.next().await.expect("more").expect("no error");
        early.extend(events(vec![message]));
    }
    session
        .send(append((70..100).map(item).collect(), None))
        .await;
    session.send(seal(Some(100))).await;
    let (messages, end) = session.rest().await;
    end.expect("it ends well");
    let mut held = messages.iter().filter_map(|message| match message {
        Message::Accepted(accepted) => Some((accepted.items_held, accepted.sealed)),
        _ => None,
    });
    assert_eq!(held.next_back(), Some((100, true)));
    early.extend(events(messages));
    let sequences: Vec<u64> = early.iter().map(|event| event.sequence).collect();
    assert_eq!(
        sequences,
        (1..=early.len() as u64).collect::<Vec<_>>(),
        "no gaps"
    );
    assert_eq!(indexes(&early).len(), 100);
    let Some(batch_event::Kind::Finished(batch)) = early.last().and_then(|e| e.kind.clone()) else {
        panic!("the last event is not `finished`");
    };
    assert_eq!(batch.state(), BatchState::Succeeded);
    // The log says the same again, from any cursor, with the same bytes.
    let again = watch(&mut world, &batch.id, 0).await;
    assert_eq!(again, early);
    for cursor in 1..=early.len() {
        let rest = watch(&mut world, &batch.id, cursor as u64).await;
        let bytes = |events: &[BatchEvent]| -> Vec<Vec<u8>> {
            events.iter().map(prost::Message::encode_to_vec).collect()
        };
        assert_eq!(bytes(&rest), bytes(&early[cursor..]), "after {cursor}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_resumes_where_it_was() {
    let latch = Latch::default();
    let held = latch.clone();
    let mut world = World::with("", move |request| match request.body.as_ref() {
        br#"{"n":0}"# => Act::answer(200, ""),
        _ => Act::answer(200, "").after(&held),
    })
    .await;
    let mut session = world.stream(vec![open(spec("guests"))]).await;
    let batch_id = session.accepted().await.batch_id;
    session
        .send(append((0..30).map(item).collect(), Some(0)))
        .await;
    let first = loop {
        if let Message::Event(event) = session.next().await.expect("more").expect("no error") {
            break event;
        }
    };
    world.target.arrived(30).await;
    drop(session);
    // The batch goes on; what was not accepted is sent again, and a bit more.
    latch.open();
    let mut session = world.stream(vec![resume(&batch_id, first.sequence)]).await;
    assert_eq!(session.accepted().await.items_held, 30);
    session
        .send(append((20..60).map(item).collect(), Some(20)))
        .await;
    session.send(seal(Some(60))).await;
    let (messages, end) = session.rest().await;
    end.expect("it ends well");
    let mut all = vec![first];
    all.extend(events(messages));
    assert_eq!(indexes(&all).len(), 60);
    assert_eq!(all, watch(&mut world, &batch_id, 0).await);
    assert_eq!(world.target.requests().len(), 60, "nothing is sent twice");
}

#[tokio::test]
async fn a_half_close_without_a_seal_keeps_what_was_sent_and_says_how_to_go_on() {
    let mut world = World::start().await;
    let mut session = world.stream(vec![open(spec("guests"))]).await;
    let batch_id = session.accepted().await.batch_id;
    session.send(append((0..7).map(item).collect(), None)).await;
    session.half_close();
    let (_, end) = session.rest().await;
    let status = end.expect_err("it is not sealed");
    assert_refused(&status, Code::FailedPrecondition, "NOT_SEALED", &batch_id);
    let details = tonic_types::StatusExt::get_error_details(&status);
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.metadata["batch_id"], batch_id);
    assert_eq!(info.metadata["items_held"], "7");
    let mut session = world
        .stream(vec![resume(&batch_id, 0), seal(Some(7))])
        .await;
    let (messages, end) = session.rest().await;
    end.expect("it ends well");
    assert_eq!(indexes(&events(messages)).len(), 7);
}

#[tokio::test]
async fn opening_with_a_known_request_id_is_the_same_batch() {
    let mut world = World::start().await;
    let spec = BatchSpec {
        request_id: "tuesday".to_owned(),
        ..spec("guests")
    };
    let first: Vec<_> = vec![
        open(spec.clone()),
        append((0..60).map(item).collect(), None),
        seal(None),
    ];
    let mut ids = BTreeSet::new();
    for _ in 0..3 {
        // A client that knows nothing of the earlier try, and says the same.
        let mut session = world.stream(first.clone()).await;
        ids.insert(session.accepted().await.batch_id);
        let (messages, end) = session.rest().await;
        end.expect("it ends well");
        assert_eq!(indexes(&events(messages)).len(), 60);
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(world.target.requests().len(), 60, "nothing is sent twice");
    // One that says less, or something else, is told.
    let short = vec![
        open(spec.clone()),
        append((0..10).map(item).collect(), None),
        seal(None),
    ];
    let (_, end) = world.stream(short).await.rest().await;
    let status = end.expect_err("other content");
    assert_refused(
        &status,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        "holds 60 items",
    );
    let other = vec![open(spec), append((5..10).map(item).collect(), None)];
    let (_, end) = world.stream(other).await.rest().await;
    let status = end.expect_err("other content");
    assert_refused(&status, Code::AlreadyExists, "OFFSET_CONFLICT", "item 0");
}

#[tokio::test]
async fn what_was_told_and_what_was_accepted_outlive_the_server() {
    let latch = Latch::default();
    let held = latch.clone();
    let mut world = World::with("concurrency = 10", move |request| {
        let body = std::str::from_utf8(&request.body).unwrap_or_default();
        let number: u32 = body[5..body.len() - 1].parse().unwrap_or(0);
        match number {
            0..20 => Act::answer(200, ""),
            _ => Act::answer(200, "").after(&held),
        }
    })
    .await;
    let mut session = world.stream(vec![open(spec("guests"))]).await;
    let batch_id = session.accepted().await.batch_id;
    session
        .send(append((0..200).map(item).collect(), Some(0)))
        .await;
    let mut before = Vec::new();
    while indexes(&before).len() < 20 {
        before.extend(events(vec![
            session.next().await.expect("more").expect("no error"),
        ]));
    }
    // Ten wait for their answers, and get them while the server drains.
    world.target.arrived(30).await;
    let opener = tokio::spawn(async move {
        let (messages, end) = session.rest().await;
        latch.open();
        (messages, end)
    });
    world.restart().await;
    let (messages, end) = opener.await.expect("no panic");
    let status = end.expect_err("the server went away");
    assert_refused(&status, Code::Unavailable, "SHUTTING_DOWN", "resume");
    before.extend(events(messages));
    let cursor = before.last().expect("an event").sequence;
    let mut session = world
        .stream(vec![resume(&batch_id, cursor), seal(Some(200))])
        .await;
    let (messages, end) = session.rest().await;
    end.expect("it ends well");
    before.extend(events(messages));
    assert_eq!(indexes(&before).len(), 200);
    assert_eq!(watch(&mut world, &batch_id, 0).await, before);
    assert_eq!(world.target.requests().len(), 200, "nothing is sent twice");
}

#[tokio::test]
async fn a_client_that_reads_nothing_can_still_submit_and_slows_nobody() {
    let mut world = World::start().await;
    let mut session = world.stream(vec![open(spec("guests"))]).await;
    let batch_id = session.accepted().await.batch_id;
    for first in (0..5_000).step_by(500) {
        session
            .send(append(
                (first..first + 500).map(item).collect(),
                Some(first),
            ))
            .await;
    }
    session.send(seal(Some(5_000))).await;
    // Nothing of the stream was read since; somebody else follows to the end.
    let events = watch(&mut world, &batch_id, 0).await;
    assert_eq!(indexes(&events).len(), 5_000);
}

#[tokio::test]
async fn no_message_is_too_large_for_a_generated_client() {
    // Nothing is answered until all have arrived: the results come together.
    let latch = Latch::default();
    let held = latch.clone();
    let large = format!("\"{}\"", "x".repeat(300_000));
    let reply = large.clone();
    let mut world = World::with("reply_limit = \"512KiB\"\nconcurrency = 40", move |_| {
        Act::answer(200, reply.clone()).after(&held)
    })
    .await;
    let spec = BatchSpec {
        echo: flowgate::proto::Echo::All.into(),
        ..spec("guests")
    };
    let items: Vec<_> = (0..12).map(|_| crate::world::json_text(&large)).collect();
    let mut session = world
        .stream(vec![open(spec), append(items, None), seal(None)])
        .await;
    world.target.arrived(12).await;
    latch.open();
    let (messages, end) = session.rest().await;
    end.expect("every message can be read");
    for message in &messages {
        assert!(message.encoded_len() <= 3 * 1024 * 1024);
    }
    let events = events(messages);
    assert_eq!(indexes(&events).len(), 12);
    let Some(batch_event::Kind::Finished(batch)) = events.last().and_then(|e| e.kind.clone())
    else {
        panic!("the last event is not `finished`");
    };
    // By page too, and in what a unary call answers with.
    let mut seen = 0;
    let mut page_token = String::new();
    loop {
        let request = flowgate::proto::ListBatchResultsRequest {
            batch_id: batch.id.clone(),
            page_size: 1_000,
            page_token,
            ..Default::default()
        };
        let page = world.batches.list_batch_results(request).await;
        let page = page.expect("it can be read").into_inner();
        assert!(page.encoded_len() <= 3 * 1024 * 1024 + 1024);
        seen += page.results.len();
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, 12);
}

#[tokio::test]
async fn repeating_an_earlier_append_is_harmless_to_the_seal() {
    let mut world = World::start().await;
    let say = vec![
        open(spec("guests")),
        append(vec![item(0), item(1)], Some(0)),
        append(vec![item(2), item(3)], Some(2)),
        append(vec![item(0), item(1)], Some(0)),
        seal(Some(4)),
    ];
    let (messages, end) = world.stream(say).await.rest().await;
    end.expect("it ends well");
    assert_eq!(indexes(&events(messages)).len(), 4);
}
