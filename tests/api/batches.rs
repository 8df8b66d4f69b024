//! Unary submissions, and what is asked about batches and targets.

use std::collections::BTreeMap;
use std::time::Duration;

use flowgate::proto::{
    Action, ActionVerb, BatchState, BatchSubmitRequest, CancelBatchRequest, Echo, FailureKind,
    GetBatchRequest, GetTargetRequest, HttpCall, Item, ItemResult, ListBatchResultsRequest,
    ListBatchesRequest, ListTargetsRequest, Payload, ResultView, WatchBatchRequest, item,
    item_result, payload, watch_batch_response,
};
use prost_types::{Struct, Value, value};
use tonic::{Code, Request};

use crate::support::http_target::{Act, Latch};
use crate::world::{World, assert_refused, item, json_text, spec, submit};

pub fn failure(result: &ItemResult) -> &flowgate::proto::Failure {
    match result.outcome.as_ref().expect("an outcome") {
        item_result::Outcome::Failure(failure) => failure,
        item_result::Outcome::Success(_) => panic!("{result:?} succeeded"),
    }
}

pub fn success(result: &ItemResult) -> &flowgate::proto::Success {
    match result.outcome.as_ref().expect("an outcome") {
        item_result::Outcome::Success(success) => success,
        item_result::Outcome::Failure(_) => panic!("{result:?} failed"),
    }
}

#[tokio::test]
async fn a_bad_item_hurts_no_other_and_says_which_field() {
    let mut world = World::with("", |request| {
        if request.body.as_ref() == br#"{"n":2}"# {
            return Act::answer(422, r#"{"errors":{"email":["is missing"]}}"#);
        }
        Act::answer(201, r#"{"id":"g-1"}"#)
    })
    .await;
    let items = vec![item(1), item(2), item(3)];
    let response = world.batches.batch_submit(submit(items)).await;
    let response = response.expect("it is served").into_inner();
    let batch = response.batch.expect("a batch");
    assert_eq!(batch.state(), BatchState::PartiallySucceeded);
    assert!(batch.sealed && batch.finish_time.is_some() && batch.start_time.is_some());
    let results = response.results;
    assert_eq!(
        results.iter().map(|r| r.index).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(success(&results[0]).target_status, 201);
    let failed = failure(&results[1]);
    assert_eq!(failed.kind(), FailureKind::Rejected);
    assert_eq!((failed.target_status, failed.retryable), (422, false));
    let error = failed.error.as_ref().expect("an error");
    assert_eq!(error.message, "email: is missing");
    assert_eq!(error.details.len(), 2, "an ErrorInfo and a BadRequest");
    // A failure carries its item, and the reply comes in the item's form.
    assert_eq!(results[1].item, Some(item(2)));
    let reply = failed
        .reply
        .as_ref()
        .and_then(|reply| reply.content.clone());
    let said = r#"{"errors":{"email":["is missing"]}}"#.to_owned();
    assert_eq!(reply, Some(payload::Content::JsonText(said)));
    // Each request had the same kind of key, made up from its batch and index.
    let key = format!("flowgate-{}-1", batch.id);
    let keyed = world
        .target
        .requests()
        .into_iter()
        .filter(|r| r.header("idempotency-key") == Some(&key));
    assert_eq!(keyed.count(), 1);
}

#[tokio::test]
async fn a_batch_of_which_all_fail_is_an_error_unless_that_is_ok() {
    let mut world = World::with("", |_| Act::answer(409, r#"{"error":"is there already"}"#)).await;
    let status = world
        .batches
        .batch_submit(submit(vec![item(1), item(2)]))
        .await;
    let status = status.expect_err("all failed");
    assert_refused(
        &status,
        Code::FailedPrecondition,
        "ALL_ITEMS_FAILED",
        "all 2 items",
    );
    let request = BatchSubmitRequest {
        all_failed_is_ok: true,
        ..submit(vec![item(1), item(2)])
    };
    let response = world.batches.batch_submit(request).await.expect("it is ok");
    let batch = response.into_inner().batch.expect("a batch");
    assert_eq!(batch.state(), BatchState::Failed);
}

#[tokio::test]
async fn a_call_answers_before_its_deadline_with_the_batch_as_it_stands() {
    let latch = Latch::default();
    let held = latch.clone();
    let mut world = World::with("", move |_| Act::answer(201, "").after(&held)).await;
    let mut request = Request::new(submit(vec![item(1)]));
    request.set_timeout(Duration::from_millis(1_500));
    let response = world
        .batches
        .batch_submit(request)
        .await
        .expect("no error that hides the id");
    let batch = response.into_inner().batch.expect("a batch");
    assert_eq!(batch.state(), BatchState::Running);
    latch.open();
    // The batch goes on without its caller.
    let batch = world.finished(&batch.id).await;
    assert_eq!(batch.state(), BatchState::Succeeded);
}

#[tokio::test]
async fn a_caller_that_does_not_wait_gets_the_id_at_once() {
    let latch = Latch::default();
    let held = latch.clone();
    let mut world = World::with("", move |_| Act::answer(201, "").after(&held)).await;
    for (count, wait) in [(1, Some(false)), (101, None)] {
        let request = BatchSubmitRequest {
            wait,
            ..submit((0..count).map(item).collect())
        };
        let response = world
            .batches
            .batch_submit(request)
            .await
            .expect("at once")
            .into_inner();
        let batch = response.batch.expect("a batch");
        assert_eq!((batch.state(), batch.sealed), (BatchState::Running, true));
        assert_eq!(batch.progress.expect("progress").total, count);
    }
    latch.open();
}

#[tokio::test]
async fn the_same_request_a_hundred_times_at_once_is_one_batch() {
    let world = World::start().await;
    let request = BatchSubmitRequest {
        spec: Some(flowgate::proto::BatchSpec {
            request_id: "monday".to_owned(),
            ..spec("guests")
        }),
        ..submit((0..20).map(item).collect())
    };
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let mut batches = world.batches.clone();
            let request = request.clone();
            tokio::spawn(async move { batches.batch_submit(request).await })
        })
        .collect();
    let mut ids = Vec::new();
    for call in calls {
        let response = call
            .await
            .expect("no panic")
            .expect("the same batch")
            .into_inner();
        assert_eq!(response.results.len(), 20);
        ids.push(response.batch.expect("a batch").id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.target.requests().len(), 20, "nothing is sent twice");
    // And with other content it is an error that says which batch it was.
    let mut other = request.clone();
    other.items[7] = item(700);
    let status = world
        .batches
        .clone()
        .batch_submit(other)
        .await
        .expect_err("other content");
    assert_refused(&status, Code::AlreadyExists, "REQUEST_ID_REUSED", &ids[0]);
    assert!(
        status.message().contains("items[7] differs"),
        "{}",
        status.message()
    );
    // What has no part in the content may differ.
    let mut same = request;
    same.view = ResultView::Summary.into();
    same.spec.as_mut().expect("a spec").labels = BTreeMap::from([("a".into(), "b".into())]);
    let response = world
        .batches
        .clone()
        .batch_submit(same)
        .await
        .expect("the same batch");
    assert_eq!(response.into_inner().batch.expect("a batch").id, ids[0]);
}

#[tokio::test]
async fn payloads_go_out_as_they_came_and_replies_come_back_in_their_form() {
    let mut world = World::with("", |request| {
        Act::answer(200, request.body.clone()).with("content-type", "application/json")
    })
    .await;
    let fields = BTreeMap::from([
        (
            "n".to_owned(),
            Value {
                kind: Some(value::Kind::NumberValue(3.0)),
            },
        ),
        (
            "a".to_owned(),
            Value {
                kind: Some(value::Kind::NullValue(0)),
            },
        ),
    ]);
    let exact = r#"{"z": 1.000000000000000000001, "a": 12345678901234567890}"#;
    let contents = [
        payload::Content::Json(Struct {
            fields: fields.clone(),
        }),
        payload::Content::JsonText(exact.to_owned()),
        payload::Content::Raw(b"\x00\xff".to_vec().into()),
    ];
    let items: Vec<Item> = contents
        .iter()
        .map(|content| Item {
            payload: Some(Payload {
                content: Some(content.clone()),
                content_type: String::new(),
            }),
            ..Item::default()
        })
        .collect();
    let request = BatchSubmitRequest {
        spec: Some(flowgate::proto::BatchSpec {
            echo: Echo::All.into(),
            ..spec("guests")
        }),
        items: items.clone(),
        ..BatchSubmitRequest::default()
    };
    let response = world
        .batches
        .batch_submit(request)
        .await
        .expect("it is served")
        .into_inner();
    for (result, (item, content)) in response.results.iter().zip(items.iter().zip(contents)) {
        let reply = success(result).reply.as_ref().expect("a reply");
        assert_eq!(reply.content.as_ref(), Some(&content));
        assert_eq!(result.item.as_ref(), Some(item), "echoed");
    }
    let mut bodies: Vec<_> = world
        .target
        .requests()
        .into_iter()
        .map(|r| r.body)
        .collect();
    bodies.sort();
    let mut want = vec![&b"\x00\xff"[..], exact.as_bytes(), br#"{"a":null,"n":3}"#];
    want.sort_unstable();
    assert_eq!(bodies, want);
}

#[tokio::test]
async fn actions_and_calls_become_requests_below_the_base() {
    let mut world = World::start().await;
    let action = |verb: ActionVerb, id: &str| Item {
        operation: Some(item::Operation::Action(Action {
            verb: verb.into(),
            resource_id: id.to_owned(),
        })),
        ..json_text("{}")
    };
    let call = Item {
        operation: Some(item::Operation::Http(HttpCall {
            method: "PUT".to_owned(),
            path: "/rooms/7?now=1".to_owned(),
            headers: BTreeMap::from([("X-Source".to_owned(), "test".to_owned())]),
        })),
        ..json_text("{}")
    };
    let items = vec![
        action(ActionVerb::Create, ""),
        action(ActionVerb::Update, "a/b"),
        action(ActionVerb::Delete, "7"),
        call,
    ];
    let response = world
        .batches
        .batch_submit(submit(items))
        .await
        .expect("it is served");
    let progress = response.into_inner().batch.expect("a batch").progress;
    assert_eq!(progress.expect("progress").succeeded, 4);
    let mut seen: Vec<String> = world
        .target
        .requests()
        .into_iter()
        .map(|request| {
            let source = request.header("x-source").unwrap_or("-");
            format!("{} {} {source}", request.method, request.path)
        })
        .collect();
    seen.sort();
    let want = [
        "DELETE /v1/guests/7 -",
        "PATCH /v1/guests/a%2Fb -",
        "POST /v1/guests -",
        "PUT /v1/rooms/7?now=1 test",
    ];
    assert_eq!(seen, want);
}

#[tokio::test]
async fn results_come_by_page_and_by_view() {
    let mut world = World::with("", |request| match request.body.ends_with(b"5}") {
        true => Act::answer(400, ""),
        false => Act::answer(200, ""),
    })
    .await;
    let response = world
        .batches
        .batch_submit(submit((0..100).map(item).collect()))
        .await;
    let id = response
        .expect("it is served")
        .into_inner()
        .batch
        .expect("a batch")
        .id;
    for (view, want) in [
        (ResultView::All, 100),
        (ResultView::Failed, 10),
        (ResultView::Succeeded, 90),
        (ResultView::Summary, 0),
    ] {
        let mut seen = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListBatchResultsRequest {
                batch_id: id.clone(),
                view: view.into(),
                page_size: 7,
                page_token,
            };
            let page = world
                .batches
                .list_batch_results(request)
                .await
                .expect("a page")
                .into_inner();
            assert!(page.results.len() <= 7);
            seen.extend(page.results.iter().map(|result| result.index));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), want, "{view:?}: each once");
    }
}

#[tokio::test]
async fn batches_are_listed_the_newest_first_and_filtered() {
    let mut world = World::start().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let request = BatchSubmitRequest {
            spec: Some(flowgate::proto::BatchSpec {
                labels: BTreeMap::from([("even".to_owned(), (number % 2 == 0).to_string())]),
                ..spec("guests")
            }),
            ..submit(vec![item(number)])
        };
        let response = world
            .batches
            .batch_submit(request)
            .await
            .expect("it is served");
        ids.push(response.into_inner().batch.expect("a batch").id);
    }
    ids.reverse();
    let mut list = async |request: ListBatchesRequest| {
        let mut seen = Vec::new();
        let mut request = request;
        loop {
            let page = world
                .batches
                .list_batches(request.clone())
                .await
                .expect("a page")
                .into_inner();
            seen.extend(page.batches.into_iter().map(|batch| batch.id));
            request.page_token = page.next_page_token;
            if request.page_token.is_empty() {
                return seen;
            }
        }
    };
    let all = ListBatchesRequest {
        page_size: 2,
        ..ListBatchesRequest::default()
    };
    assert_eq!(list(all.clone()).await, ids);
    let even = ListBatchesRequest {
        labels: BTreeMap::from([("even".to_owned(), "true".to_owned())]),
        ..all.clone()
    };
    assert_eq!(list(even).await, [&ids[0][..], &ids[2], &ids[4]]);
    let running = ListBatchesRequest {
        states: vec![BatchState::Running.into()],
        ..all.clone()
    };
    assert!(list(running).await.is_empty());
    let elsewhere = ListBatchesRequest {
        target: "rooms".to_owned(),
        ..all
    };
    assert!(list(elsewhere).await.is_empty());
}

#[tokio::test]
async fn cancelling_is_idempotent_and_says_what_became_of_each_item() {
    let latch = Latch::default();
    let held = latch.clone();
    let script = move |_: &_| Act::answer(200, "").after(&held);
    let mut world = World::with("limits = [\"10/h\"]", script).await;
    let batch_id = world.detach(50).await;
    world.target.arrived(10).await;
    let cancel = CancelBatchRequest {
        batch_id: batch_id.clone(),
    };
    let response = world
        .batches
        .cancel_batch(cancel.clone())
        .await
        .expect("it is cancelled");
    let batch = response.into_inner().batch.expect("a batch");
    assert_eq!(batch.state(), BatchState::Cancelling);
    latch.open();
    let batch = world.finished(&batch_id).await;
    assert_eq!(batch.state(), BatchState::Cancelled);
    let progress = batch.progress.clone().expect("progress");
    assert_eq!((progress.succeeded, progress.failed), (10, 40));
    assert_eq!(progress.failed_by_kind[0].kind(), FailureKind::Cancelled);
    let again = world
        .batches
        .cancel_batch(cancel)
        .await
        .expect("no error")
        .into_inner();
    assert_eq!(again.batch, Some(batch.clone()));
    let get = GetBatchRequest { batch_id };
    let read = world
        .batches
        .get_batch(get)
        .await
        .expect("it is there")
        .into_inner();
    assert_eq!(read.batch, Some(batch));
}

#[tokio::test]
async fn targets_say_what_they_take_and_how_they_are_doing() {
    let settings = "limits = [\"100/s\", \"5000/m\"]\nmax_retry_after = \"1h\"";
    let script = |_: &_| Act::answer(429, "").with("retry-after", "600");
    let mut world = World::with(settings, script).await;
    let listed = world
        .targets
        .list_targets(ListTargetsRequest {})
        .await
        .expect("a list");
    let targets = listed.into_inner().targets;
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].operation, "POST /guests");
    assert_eq!(
        targets[0].quota.as_ref().expect("a quota").limits,
        ["100/s", "5000/m"]
    );
    let batch_id = world.detach(500).await;
    world.target.arrived(1).await;
    // It waits for the target, and both the target and the batch say so.
    let status = loop {
        let request = GetTargetRequest {
            name: "guests".to_owned(),
        };
        let target = world
            .targets
            .get_target(request)
            .await
            .expect("it is there")
            .into_inner();
        let status = target.target.expect("a target").status.expect("a status");
        if status.paused_until.is_some() && status.in_flight == 0 && status.queued_items == 500 {
            break status;
        }
    };
    assert!(
        status.pause_reason.contains("429"),
        "{}",
        status.pause_reason
    );
    let request = WatchBatchRequest {
        batch_id,
        ..WatchBatchRequest::default()
    };
    let mut events = world
        .batches
        .watch_batch(request)
        .await
        .expect("a stream")
        .into_inner();
    let beat = events
        .message()
        .await
        .expect("no error")
        .expect("a heartbeat")
        .message;
    let Some(watch_batch_response::Message::Heartbeat(beat)) = beat else {
        panic!("nothing was recorded, and still {beat:?}");
    };
    let progress = beat.progress.expect("progress");
    assert_eq!((progress.queued, progress.total), (500, 500));
    assert!(progress.waiting.expect("it waits").until.is_some());
}

#[tokio::test]
async fn the_services_describe_themselves_and_say_that_they_serve() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    use tonic_reflection::pb::{v1, v1alpha};

    let world = World::start().await;
    let mut health = HealthClient::new(world.channel.clone());
    for service in ["", "flowgate.v1.BatchService", "flowgate.v1.TargetService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let response = health.check(request).await.expect("it is known");
        assert_eq!(response.into_inner().status(), ServingStatus::Serving);
    }
    let services = [
        "flowgate.v1.BatchService",
        "flowgate.v1.TargetService",
        "grpc.health.v1.Health",
    ];
    // What grpcurl asks first, in both versions of the protocol; and that the
    // details of errors can be printed.
    let mut client =
        v1::server_reflection_client::ServerReflectionClient::new(world.channel.clone());
    for ask in [
        v1::server_reflection_request::MessageRequest::ListServices(String::new()),
        v1::server_reflection_request::MessageRequest::FileContainingSymbol(
            "google.rpc.BadRequest".to_owned(),
        ),
    ] {
        let request = v1::ServerReflectionRequest {
            host: String::new(),
            message_request: Some(ask),
        };
        let responses = client
            .server_reflection_info(tokio_stream::once(request))
            .await;
        let response = responses.expect("a stream").into_inner().message().await;
        let response = response
            .expect("no error")
            .expect("an answer")
            .message_response;
        match response.expect("an answer") {
            v1::server_reflection_response::MessageResponse::ListServicesResponse(list) => {
                for service in services {
                    assert!(
                        list.service.iter().any(|known| known.name == service),
                        "{service}"
                    );
                }
            }
            v1::server_reflection_response::MessageResponse::FileDescriptorResponse(file) => {
                assert!(!file.file_descriptor_proto.is_empty());
            }
            other => panic!("{other:?}"),
        }
    }
    let mut client =
        v1alpha::server_reflection_client::ServerReflectionClient::new(world.channel.clone());
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
                "flowgate.v1.BatchService".to_owned(),
            ),
        ),
    };
    let responses = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let response = responses.expect("a stream").into_inner().message().await;
    let response = response
        .expect("no error")
        .expect("an answer")
        .message_response;
    assert!(matches!(
        response,
        Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_))
    ));
}
