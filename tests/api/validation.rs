//! What items have to look like: a schema for a target, and batches that are
//! only looked at.

use flowgate::proto::item::Operation;
use flowgate::proto::{
    Action, ActionVerb, Batch, BatchSpec, BatchSubmitRequest, BatchSubmitResponse, Echo,
    FailureKind, GetTargetRequest, HttpCall, Item, ItemResult, ListBatchesRequest,
    ListTargetsRequest, Payload, ResultView, ValidationMode, ValidationReport, item_result,
    payload::Content,
};
use prost::Message as _;
use prost_types::{ListValue, Struct, Value, value};
use tonic::Code;
use tonic_types::{RpcStatusExt, StatusExt};

use crate::support::http_target::Act;
use crate::world::{
    Settings, World, append, assert_refused, item, json_text, open, seal, spec, submit,
};

const GUEST: &str = r#"{
    "type": "object",
    "required": ["email"],
    "additionalProperties": false,
    "properties": {
        "email": {"type": "string", "format": "email"},
        "age": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"type": "string"}},
        "price": {"type": "number"},
        "first name": {"type": "string"}
    }
}"#;

/// A world whose target has that schema, and these further settings.
async fn world(settings: &str) -> World {
    let target = format!("schema = \"guest.json\"\n{settings}");
    let settings = Settings {
        target: &target,
        files: &[("guest.json", GUEST)],
        ..Settings::default()
    };
    World::configured(settings, |_| Act::answer(201, r#"{"id":"g-1"}"#)).await
}

fn guest(number: usize) -> Item {
    json_text(&format!(r#"{{"email":"g{number}@example.org"}}"#))
}

fn of(content: Content, content_type: &str) -> Item {
    Item {
        payload: Some(Payload {
            content: Some(content),
            content_type: content_type.to_owned(),
        }),
        ..Item::default()
    }
}

fn raw(text: &str, content_type: &str) -> Item {
    of(Content::Raw(text.to_owned().into()), content_type)
}

fn json(fields: &[(&str, value::Kind)]) -> Item {
    let field = |(name, kind): &(&str, value::Kind)| {
        let kind = Some(kind.clone());
        ((*name).to_owned(), Value { kind })
    };
    let fields = fields.iter().map(field).collect();
    of(Content::Json(Struct { fields }), "")
}

fn action(verb: ActionVerb, item: Item) -> Item {
    let resource_id = match verb {
        ActionVerb::Create => String::new(),
        _ => "7".to_owned(),
    };
    let verb = verb.into();
    Item {
        operation: Some(Operation::Action(Action { verb, resource_id })),
        ..item
    }
}

fn call(method: &str, path: &str, item: Item) -> Item {
    Item {
        operation: Some(Operation::Http(HttpCall {
            method: method.to_owned(),
            path: path.to_owned(),
            ..HttpCall::default()
        })),
        ..item
    }
}

/// What is said of an item: its reason, and the fields at fault.
fn said(result: &ItemResult) -> (String, Vec<String>) {
    let Some(item_result::Outcome::Failure(failure)) = &result.outcome else {
        return (String::new(), Vec::new());
    };
    assert_eq!(failure.kind(), FailureKind::Invalid);
    assert_eq!((result.attempts, failure.retryable), (0, false));
    let error = failure.error.as_ref().expect("an error");
    assert_eq!(error.code, Code::InvalidArgument as i32);
    assert!(
        error.encoded_len() <= 4_096,
        "{} bytes",
        error.encoded_len()
    );
    let reason = error.get_details_error_info().expect("a reason").reason;
    let bad = error.get_details_bad_request();
    let fields = bad.map_or_else(Vec::new, |bad| {
        let field = |v: &tonic_types::FieldViolation| format!("{} {}", v.field, v.description);
        bad.field_violations.iter().map(field).collect()
    });
    (reason, fields)
}

async fn submitted(world: &mut World, request: BatchSubmitRequest) -> BatchSubmitResponse {
    let response = world.batches.batch_submit(request).await;
    response.expect("it is taken").into_inner()
}

/// Only looks at these items.
fn look(items: Vec<Item>) -> BatchSubmitRequest {
    BatchSubmitRequest {
        validate_only: true,
        ..submit(items)
    }
}

async fn batches(world: &mut World) -> Vec<Batch> {
    let request = ListBatchesRequest::default();
    let listed = world.batches.list_batches(request).await;
    listed.expect("a list").into_inner().batches
}

fn report(items: u32, invalid: u32) -> ValidationReport {
    ValidationReport {
        items,
        valid: items - invalid,
        invalid,
        ..ValidationReport::default()
    }
}

/// Items, and what the schema says of each: nothing where they fit.
fn cases() -> Vec<(Item, &'static str, &'static [&'static str])> {
    use value::Kind::{ListValue as List, NumberValue as Number, StringValue as Text};
    let text = |text: &str| Text(text.to_owned());
    let list = List(ListValue {
        values: vec![Value {
            kind: Some(Number(1.0)),
        }],
    });
    let violation = "SCHEMA_VIOLATION";
    vec![
        (guest(1), "", &[]),
        (
            json(&[("email", text("a@example.org")), ("age", Number(41.0))]),
            "",
            &[],
        ),
        (
            raw(r#"{"email":"a@example.org"}"#, "application/json"),
            "",
            &[],
        ),
        (
            raw(
                r#"{"email":"a@example.org"}"#,
                "application/vnd.guest+json; charset=utf-8",
            ),
            "",
            &[],
        ),
        (json_text("{}"), violation, &["payload.email is missing"]),
        (
            json(&[("email", text("a")), ("tags", list)]),
            violation,
            &[
                "payload.email is not an e-mail address, like name@example.org",
                "payload.tags[0] is a number, and must be a text",
            ],
        ),
        (
            json(&[("email", text("a@example.org")), ("age", Number(1.5))]),
            violation,
            &["payload.age is a number, and must be a whole number"],
        ),
        (
            json_text(r#"{"mail":"a@example.org","first name":7}"#),
            violation,
            &[
                "payload[\"first name\"] is a number, and must be a text",
                "payload.mail is not known here; did you mean `email`?",
                "payload.email is missing",
            ],
        ),
        (
            json_text(r#"{"email":"a@example.org","email":"b@example.org"}"#),
            violation,
            &["payload.email is given twice; keep one of them"],
        ),
        (
            json_text(r#"{"email":"a@example.org","price":1e999}"#),
            violation,
            &[
                "payload.json_text has a number beyond 1.8e308, which cannot be compared with the \
               target's schema",
            ],
        ),
        (
            raw("{}", "application/json"),
            violation,
            &["payload.email is missing"],
        ),
        (
            raw("email\na@example.org\n", "text/csv"),
            violation,
            &[
                "payload.content_type is text/csv, and the target's schema asks for JSON: use \
               `json` or `json_text`, or the content type application/json",
            ],
        ),
        (
            raw(r#"{"email":"a@example.org"}"#, ""),
            violation,
            &[
                "payload.content_type is application/octet-stream, and the target's schema asks \
               for JSON: use `json` or `json_text`, or the content type application/json",
            ],
        ),
        (
            Item::default(),
            violation,
            &["payload is missing; the target's schema asks for one"],
        ),
        (
            raw("{\"email\":", "application/json"),
            "INVALID_JSON",
            &["payload.raw is not JSON: EOF while parsing a value at line 1 column 9"],
        ),
        (
            json_text("{"),
            "INVALID_JSON",
            &["payload.json_text is not JSON: EOF while parsing an object at line 1 column 1"],
        ),
        (
            action(ActionVerb::Create, json_text("{}")),
            violation,
            &["payload.email is missing"],
        ),
        (action(ActionVerb::Update, json_text("{}")), "", &[]),
        (action(ActionVerb::Delete, Item::default()), "", &[]),
        (
            call("", "", json_text("{}")),
            violation,
            &["payload.email is missing"],
        ),
        (call("PATCH", "/guests/7", json_text("{}")), "", &[]),
    ]
}

#[tokio::test]
async fn items_that_do_not_fit_the_schema_fail_alone_with_every_violation_and_its_path() {
    let mut world = world("").await;
    let items: Vec<Item> = cases().into_iter().map(|(item, ..)| item).collect();
    let response = submitted(&mut world, submit(items)).await;
    for ((item, reason, fields), result) in cases().iter().zip(&response.results) {
        let (found_reason, found) = said(result);
        assert_eq!(found_reason, *reason, "{item:?}");
        assert_eq!(found, *fields, "{item:?}");
    }
    let fit = cases()
        .iter()
        .filter(|(_, reason, _)| reason.is_empty())
        .count();
    assert_eq!(world.target.requests().len(), fit, "the others go");
}

#[tokio::test]
async fn updates_and_calls_are_checked_where_the_operator_says_so() {
    let mut world = world("schema_for = [\"update\", \"call\"]").await;
    let items = vec![
        json_text("{}"),
        action(ActionVerb::Create, json_text("{}")),
        action(ActionVerb::Update, json_text("{}")),
        action(ActionVerb::Delete, Item::default()),
        call("PATCH", "/guests/7", json_text("{}")),
    ];
    let response = submitted(&mut world, look(items)).await;
    let invalid: Vec<u32> = response.results.iter().map(|result| result.index).collect();
    assert_eq!(invalid, [2, 4]);
}

#[tokio::test]
async fn a_batch_can_ask_to_be_refused_for_what_does_not_fit() {
    let mut world = world("").await;
    let mut items: Vec<Item> = (0..13).map(guest).collect();
    items[12] = json_text(r#"{"email":"x","tags":["a","b","c",4]}"#);
    let batch = BatchSpec {
        validation: ValidationMode::Batch.into(),
        ..spec("guests")
    };
    let request = BatchSubmitRequest {
        spec: Some(batch.clone()),
        ..submit(items.clone())
    };
    let status = world.batches.batch_submit(request).await.expect_err("no");
    let says = "1 item is invalid; nothing of the message was accepted";
    assert_refused(&status, Code::InvalidArgument, "INVALID_ITEMS", says);
    let bad = status.get_error_details().bad_request().cloned();
    let fields: Vec<String> = bad
        .expect("fields")
        .field_violations
        .into_iter()
        .map(|v| v.field)
        .collect();
    // Every one of them, not only the first of each item.
    assert_eq!(
        fields,
        ["items[12].payload.email", "items[12].payload.tags[3]"]
    );

    let first = vec![open(batch), append(items, None)];
    let mut stream = world.stream(first).await;
    let status = stream.end().await.expect_err("refused");
    assert_refused(&status, Code::InvalidArgument, "INVALID_ITEMS", says);
    let bad = status.get_error_details().bad_request().cloned();
    let first = &bad.expect("fields").field_violations[0].field;
    assert_eq!(first, "append.items[12].payload.email");
    assert!(world.target.requests().is_empty());
}

#[tokio::test]
async fn the_error_of_an_item_is_small_however_much_is_wrong_with_it() {
    let mut world = world("").await;
    let long = |n: usize| format!("\"{}{n}\":1", "\u{20ac}\\n".repeat(500));
    let object = format!("{{{}}}", (0..200).map(long).collect::<Vec<_>>().join(","));
    let list = format!(
        r#"{{"email":"a@b.org","tags":[{}]}}"#,
        vec!["1"; 100_000].join(",")
    );
    let items = vec![json_text(&object), json_text(&list)];
    let response = submitted(&mut world, look(items)).await;
    let (_, fields) = said(&response.results[0]);
    assert!(fields.len() > 3 && fields.len() < 20, "{}", fields.len());
    let (_, fields) = said(&response.results[1]);
    assert_eq!(fields.len(), 20);
    let Some(item_result::Outcome::Failure(failure)) = &response.results[1].outcome else {
        panic!("it is invalid");
    };
    let message = &failure.error.as_ref().expect("an error").message;
    assert_eq!(
        message,
        "the payload breaks the target's schema in 100000 places, of which the first 20 are named"
    );
}

#[tokio::test]
async fn all_that_is_wrong_with_an_item_is_told_at_once() {
    let mut world = world("").await;
    let mut wrong = call("BREW", "", json_text(r#"{"email":"x"}"#));
    wrong.id = "a\nb".to_owned();
    wrong.idempotency_key = "a b".to_owned();
    // Its own operation but for the header, so that the schema is for it.
    if let Some(Operation::Http(call)) = &mut wrong.operation {
        call.method = String::new();
        call.headers = [("host".to_owned(), "elsewhere.example".to_owned())].into();
    }
    let response = submitted(
        &mut world,
        look(vec![wrong, call("BREW", "", json_text("{"))]),
    )
    .await;
    let (reason, fields) = said(&response.results[0]);
    assert_eq!(reason, "INVALID_ITEM_ID");
    let fields: Vec<&str> = fields
        .iter()
        .filter_map(|field| field.split(' ').next())
        .collect();
    assert_eq!(
        fields,
        [
            "id",
            "idempotency_key",
            "payload.email",
            "http.headers[host]"
        ]
    );
    // A target is not asked what it thinks of something that is not JSON.
    let (reason, fields) = said(&response.results[1]);
    assert_eq!(
        (&reason[..], fields.len()),
        ("INVALID_JSON", 1),
        "{fields:?}"
    );
}

#[tokio::test]
async fn what_fits_is_sent_as_it_came() {
    let mut world = world("").await;
    // A parser would round the one and shorten the other.
    let exact = "{ \"price\":123456789012345678901234567890,\n \"email\":\"a@b.org\" }";
    let short = r#"{"email":"a\u0040b.org","price":1.10}"#;
    let response = submitted(&mut world, submit(vec![json_text(exact), json_text(short)])).await;
    let progress = response
        .batch
        .and_then(|batch| batch.progress)
        .expect("progress");
    assert_eq!(progress.succeeded, 2);
    let mut bodies: Vec<_> = world
        .target
        .requests()
        .into_iter()
        .map(|r| r.body)
        .collect();
    bodies.sort();
    assert_eq!(bodies, [exact, short]);
}

#[tokio::test]
async fn a_batch_that_is_only_looked_at_leaves_nothing() {
    let mut world = world("").await;
    let clean = submitted(&mut world, look((0..3).map(guest).collect())).await;
    assert_eq!(clean.validation, Some(report(3, 0)));
    assert!(clean.batch.is_none() && clean.results.is_empty());

    // As it would end, and each of them.
    let items: Vec<Item> = cases().into_iter().map(|(item, ..)| item).collect();
    let looked = submitted(&mut world, look(items.clone())).await;
    let really = submitted(&mut world, submit(items)).await;
    let is_invalid = |result: &ItemResult| !said(result).0.is_empty();
    let invalid: Vec<ItemResult> = really.results.into_iter().filter(is_invalid).collect();
    assert_eq!(looked.results, invalid);
    let (count, wrong) = (cases().len(), invalid.len());
    let want = report(u32::try_from(count).unwrap(), u32::try_from(wrong).unwrap());
    assert_eq!(looked.validation, Some(want));

    assert_eq!(
        batches(&mut world).await.len(),
        1,
        "only the one that was meant"
    );
    let sent = count - wrong;
    assert_eq!(world.target.requests().len(), sent);
}

#[tokio::test]
async fn every_invalid_item_is_reported_and_how_many_more_there_are() {
    let mut world = world("").await;
    let many = (0..1_000)
        .map(|n| json_text(&format!(r#"{{"n":{n}}}"#)))
        .collect();
    let looked = submitted(&mut world, look(many)).await;
    assert_eq!(looked.validation, Some(report(1_000, 1_000)));
    let indexes: Vec<u32> = looked.results.iter().map(|result| result.index).collect();
    assert_eq!(indexes, (0..1_000).collect::<Vec<_>>());

    // Given back whole, they would be more than clients take in a message.
    let large = format!(r#"{{"n":"{}"}}"#, "x".repeat(40_000));
    let many: Vec<Item> = (0..200).map(|_| json_text(&large)).collect();
    let looked = submitted(&mut world, look(many.clone())).await;
    let found = looked.validation.expect("a report");
    assert_eq!((found.items, found.invalid), (200, 200));
    assert!(found.omitted > 0 && looked.encoded_len() <= 3 << 20);
    assert_eq!(looked.results.len(), (200 - found.omitted) as usize);
    let summary = BatchSubmitRequest {
        view: ResultView::Summary.into(),
        ..look(many.clone())
    };
    let looked = submitted(&mut world, summary).await;
    assert_eq!(looked.validation, Some(report(200, 200)));
    assert!(looked.results.is_empty());
    let unechoed = BatchSubmitRequest {
        spec: Some(BatchSpec {
            echo: Echo::None.into(),
            ..spec("guests")
        }),
        ..look(many)
    };
    assert_eq!(submitted(&mut world, unechoed).await.results.len(), 200);
    assert!(batches(&mut world).await.is_empty());
}

#[tokio::test]
async fn a_look_says_whether_the_whole_batch_would_be_refused() {
    let mut world = world("").await;
    let mut request = look(vec![guest(1), json_text("{}")]);
    request.spec = Some(BatchSpec {
        validation: ValidationMode::Batch.into(),
        ..spec("guests")
    });
    let looked = submitted(&mut world, request.clone()).await;
    let want = ValidationReport {
        refused: true,
        ..report(2, 1)
    };
    assert_eq!(looked.validation, Some(want));
    assert_eq!(looked.results[0].index, 1);
    request.items.pop();
    let looked = submitted(&mut world, request).await;
    assert_eq!(looked.validation, Some(report(1, 0)));

    // What is wrong with the message as a whole ends the call, as it would
    // without.
    let twice = |mut item: Item| {
        item.id = "a".to_owned();
        item
    };
    for (request, reason) in [
        (look(Vec::new()), "EMPTY_BATCH"),
        (
            look(vec![twice(guest(1)), twice(guest(2))]),
            "DUPLICATE_ITEM_ID",
        ),
        (look(vec![item(1); 1_001]), "BATCH_TOO_LARGE"),
    ] {
        let status = world.batches.batch_submit(request).await.expect_err(reason);
        assert_refused(&status, Code::InvalidArgument, reason, "");
    }
    let mut request = look(vec![guest(1)]);
    request.spec = Some(spec("gusts"));
    let status = world.batches.batch_submit(request).await.expect_err("no");
    assert_refused(&status, Code::NotFound, "TARGET_NOT_FOUND", "gusts");
}

#[tokio::test]
async fn a_look_does_not_ask_what_was_submitted_before() {
    let mut world = world("").await;
    let known = BatchSpec {
        request_id: "r-1".to_owned(),
        ..spec("guests")
    };
    let mut request = submit(vec![guest(1)]);
    request.spec = Some(known);
    request.items[0].idempotency_key = "k-1".to_owned();
    submitted(&mut world, request.clone()).await;
    request.items[0].payload = guest(2).payload;
    request.validate_only = true;
    let looked = submitted(&mut world, request).await;
    assert_eq!(looked.validation, Some(report(1, 0)));
}

#[tokio::test]
async fn streams_and_retries_are_checked_as_well() {
    let mut world = world("").await;
    let first = vec![
        open(spec("guests")),
        append(vec![guest(1), json_text("{}")], None),
        seal(None),
    ];
    let mut stream = world.stream(first).await;
    let accepted = stream.accepted().await;
    stream.end().await.expect("it ends well");
    let results = world.results(&accepted.batch_id).await;
    assert_eq!(said(&results[1]).1, ["payload.email is missing"]);
    assert_eq!(world.target.requests().len(), 1);
}

#[tokio::test]
async fn a_target_tells_its_schema_to_who_asks_for_it() {
    let mut world = world("").await;
    let request = GetTargetRequest {
        name: "guests".to_owned(),
    };
    let target = world.targets.get_target(request).await;
    let target = target
        .expect("it is there")
        .into_inner()
        .target
        .expect("a target");
    assert_eq!(target.item_schema, GUEST);
    assert_eq!(target.item_schema_for, ["target", "create"]);
    let listed = world.targets.list_targets(ListTargetsRequest {}).await;
    let listed = listed.expect("a list").into_inner().targets;
    assert_eq!(listed[0].item_schema, "");
    assert_eq!(listed[0].item_schema_for, ["target", "create"]);

    let mut plain = World::start().await;
    let request = GetTargetRequest {
        name: "guests".to_owned(),
    };
    let target = plain.targets.get_target(request).await;
    let target = target
        .expect("it is there")
        .into_inner()
        .target
        .expect("a target");
    assert!(target.item_schema.is_empty() && target.item_schema_for.is_empty());
    // Nor is anything asked of what is sent to it.
    let items = vec![
        json_text(r#"{"a":1,"a":2}"#),
        raw("x", "text/plain"),
        Item::default(),
    ];
    let looked = submitted(&mut plain, look(items)).await;
    assert_eq!(looked.validation, Some(report(3, 0)));
}
