use std::time::Duration;

use super::*;
use crate::config::ConnectConfig;
use crate::model::Payload;

fn config() -> HttpConfig {
    HttpConfig {
        connect: ConnectConfig::to(Uri::from_static("https://api.example:8443/v1/")),
        method: Method::POST,
        path: "/guests?notify=0".to_owned(),
        actions: BTreeMap::from([
            (Verb::Create, (Method::POST, "/guests".to_owned())),
            (Verb::Update, (Method::PATCH, "/guests/{id}".to_owned())),
        ]),
        allow_calls: true,
        allow_headers: vec![HeaderName::from_static("x-tenant")],
        headers: vec![(http::header::AUTHORIZATION, "Bearer s3cret".into())],
        idempotency_header: Some(HeaderName::from_static("idempotency-key")),
        key_window: Duration::from_hours(24),
        repeatable: false,
        idempotent_methods: true,
        timeout: Duration::from_secs(1),
        reply_limit: 1024,
        busy_503: true,
        max_retry_after: Duration::from_mins(1),
    }
}

fn item(operation: Operation) -> Item {
    Item {
        index: 0,
        id: None,
        key: None,
        payload: None,
        operation,
    }
}

fn act(verb: Verb, id: &str) -> Item {
    item(Operation::Action(Action {
        verb,
        resource_id: id.to_owned(),
    }))
}

fn call(method: &str, path: &str) -> Item {
    item(Operation::Http(HttpCall {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: BTreeMap::new(),
    }))
}

fn rendered(item: &Item, version: Version) -> Request<Full<Bytes>> {
    let requests = Requests::new(&config()).expect("a good configuration");
    let plan = requests.plan(item).expect("a good item");
    requests.render(&plan, "k-1", version).expect("a request")
}

/// Method and target of the request, as HTTP/1.1 writes them.
fn line(item: &Item) -> String {
    let request = rendered(item, Version::HTTP_11);
    format!("{} {}", request.method(), request.uri())
}

#[test]
fn an_operation_becomes_a_method_and_a_path_below_the_base() {
    for (item, expected) in [
        (item(Operation::Target), "POST /v1/guests?notify=0"),
        (act(Verb::Create, ""), "POST /v1/guests"),
        (act(Verb::Update, "a/..b?x"), "PATCH /v1/guests/a%2F..b%3Fx"),
        (call("", ""), "POST /v1/guests?notify=0"),
        (call("DELETE", ""), "DELETE /v1/guests?notify=0"),
        (call("GET", "/rooms?free=1"), "GET /v1/rooms?free=1"),
    ] {
        assert_eq!(line(&item), expected);
    }
}

#[test]
fn a_request_carries_what_its_target_says_and_what_its_item_has() {
    let mut item = item(Operation::Http(HttpCall {
        headers: BTreeMap::from([("X-Tenant".to_owned(), "acme".to_owned())]),
        ..HttpCall::default()
    }));
    item.payload = Some(Payload {
        form: Form::Raw,
        content_type: Some("text/csv".to_owned()),
        body: Bytes::from_static(b"a,b"),
    });
    let request = rendered(&item, Version::HTTP_11);
    for (name, value) in [
        ("host", "api.example:8443"),
        ("authorization", "Bearer s3cret"),
        (
            "user-agent",
            concat!("flowgate/", env!("CARGO_PKG_VERSION")),
        ),
        ("accept", "application/json, */*;q=0.1"),
        ("x-tenant", "acme"),
        ("content-type", "text/csv"),
        ("idempotency-key", "k-1"),
    ] {
        assert_eq!(request.headers()[name], value);
    }
    assert!(request.headers()["authorization"].is_sensitive());
    assert!(!format!("{request:?}").contains("s3cret"));
}

#[test]
fn http_2_has_a_whole_address_and_no_host() {
    let request = rendered(&item(Operation::Target), Version::HTTP_2);
    assert_eq!(request.uri(), "https://api.example:8443/v1/guests?notify=0");
    assert!(!request.headers().contains_key("host"));
}

#[test]
fn an_item_without_a_payload_has_no_content_type() {
    let request = rendered(&item(Operation::Target), Version::HTTP_11);
    assert!(!request.headers().contains_key("content-type"));
}

#[test]
fn what_cannot_be_sent_is_refused_with_what_would_be_right() {
    let with_header = |names: &[&str]| {
        let headers = names
            .iter()
            .map(|name| ((*name).to_owned(), "1".to_owned()));
        item(Operation::Http(HttpCall {
            headers: headers.collect(),
            ..HttpCall::default()
        }))
    };
    let mut bad_key = item(Operation::Target);
    bad_key.key = Some("a\r\nb".to_owned());
    let mut bad_type = item(Operation::Target);
    bad_type.payload = Some(Payload {
        form: Form::Raw,
        content_type: Some("text/plain\r\nhost: evil".to_owned()),
        body: Bytes::new(),
    });
    let requests = Requests::new(&config()).expect("a good configuration");
    for (item, reason, field) in [
        (
            act(Verb::Delete, "1"),
            "OPERATION_NOT_SUPPORTED",
            "action.verb",
        ),
        (
            act(Verb::Update, ""),
            "INVALID_RESOURCE_ID",
            "action.resource_id",
        ),
        (
            act(Verb::Update, ".."),
            "INVALID_RESOURCE_ID",
            "action.resource_id",
        ),
        (
            act(Verb::Create, "1"),
            "INVALID_RESOURCE_ID",
            "action.resource_id",
        ),
        (call("post", ""), "INVALID_METHOD", "http.method"),
        (call("CONNECT", ""), "INVALID_METHOD", "http.method"),
        (
            call("GET /x HTTP/1.1\r\n", ""),
            "INVALID_METHOD",
            "http.method",
        ),
        (call("", "/../admin"), "INVALID_PATH", "http.path"),
        (
            with_header(&["x-other"]),
            "HEADER_NOT_ALLOWED",
            "http.headers[x-other]",
        ),
        (
            with_header(&["X-Tenant", "x-tenant"]),
            "INVALID_HEADER",
            "http.headers[x-tenant]",
        ),
        (bad_key, "INVALID_IDEMPOTENCY_KEY", "idempotency_key"),
        (bad_type, "INVALID_CONTENT_TYPE", "payload.content_type"),
    ] {
        let refused = requests.plan(&item).err().expect(reason);
        assert_eq!(refused.code, crate::model::Code::InvalidArgument);
        assert_eq!(refused.reason, reason);
        assert_eq!(refused.violations[0].field, field);
        assert!(!refused.message.is_empty());
    }
}

#[test]
fn a_target_that_allows_no_calls_takes_none() {
    let closed = HttpConfig {
        allow_calls: false,
        actions: BTreeMap::new(),
        ..config()
    };
    let requests = Requests::new(&closed).expect("a good configuration");
    for item in [call("GET", "/"), act(Verb::Create, "")] {
        let refused = requests.plan(&item).err().expect("a refusal");
        assert_eq!(refused.reason, "OPERATION_NOT_SUPPORTED");
    }
}

#[test]
fn a_configuration_that_cannot_work_is_refused_without_its_secrets() {
    let bases = [
        "/v1",
        "ftp://api.example",
        "https://api.example/?a=1",
        "https://u:p@api.example",
    ];
    for base in bases {
        let base = Uri::from_static(base);
        assert!(
            Requests::new(&HttpConfig {
                connect: ConnectConfig::to(base),
                ..config()
            })
            .is_err()
        );
    }
    for path in ["guests", "/guests/{id}", "/../guests", "//guests", "/a b"] {
        let path = path.to_owned();
        assert!(Requests::new(&HttpConfig { path, ..config() }).is_err());
    }
    let actions = BTreeMap::from([(Verb::Update, (Method::PUT, "/../{id}".to_owned()))]);
    assert!(
        Requests::new(&HttpConfig {
            actions,
            ..config()
        })
        .is_err()
    );
    for (name, value) in [
        ("host", "x"),
        ("content-length", "1"),
        ("x-key", "s3cret\n"),
    ] {
        let headers = vec![(HeaderName::from_static(name), value.into())];
        let error = Requests::new(&HttpConfig {
            headers,
            ..config()
        })
        .err();
        let error = error.expect(name);
        assert!(error.contains(name) && !error.contains("s3cret"), "{error}");
    }
}
