//! The configuration: what it takes, what it says of what it does not, and
//! that its reference tells the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use flowgate::config::{
    Config, KeyDefault, Loaded, Protocol, StoreConfig, TargetConfig, TargetKind, reference,
    reference_markdown,
};
use flowgate::model::{Pace, Verb};
use http::Method;
use secrecy::ExposeSecret;

/// The least that a configuration with a limit says.
const MINIMAL: &str = r#"
[targets.guests]
kind = "http"
url = "https://api.example.com/v1"
path = "/guests"
limits = ["100/s"]
"#;

/// The same for a database.
const MINIMAL_POSTGRES: &str = r#"
[targets.guests]
kind = "postgres"
url = "postgres://me@localhost/crm"
postgres.table = "guests"
"#;

fn no_env(_: &str) -> Option<String> {
    None
}

fn parse(text: &str) -> Config {
    match Config::parse(text, Path::new("/etc/flowgate"), &no_env) {
        Ok(config) => config,
        Err(error) => panic!("{error}"),
    }
}

/// What is said of a text, one line for each problem.
fn problems(text: &str) -> Vec<String> {
    match Config::parse(text, Path::new("/etc/flowgate"), &no_env) {
        Ok(_) => panic!("this was taken:\n{text}"),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

/// The minimal configuration with these lines in the target's table.
fn with(lines: &str) -> String {
    format!("{MINIMAL}{lines}\n")
}

fn http(target: &TargetConfig) -> &flowgate::config::HttpConfig {
    match &target.kind {
        TargetKind::Http(http) => http,
        other => panic!("{} is no http", other.name()),
    }
}

#[test]
fn the_least_that_is_said_gets_the_stated_defaults() {
    let config = parse(MINIMAL);
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:50051");
    let path = Path::new("/etc/flowgate/flowgate.db").to_owned();
    let (max_size, reserve) = (None, 256 << 20);
    assert_eq!(
        config.store,
        StoreConfig::Sqlite {
            path,
            max_size,
            reserve
        }
    );
    assert_eq!(config.quotas.len(), 1);
    assert_eq!(config.quotas[0].name, "guests");
    assert_eq!(config.quotas[0].pace, Pace::Window);
    assert_eq!(config.quotas[0].transit, Duration::from_millis(50));
    let target = &config.targets[0];
    assert_eq!((target.chunk_items, target.concurrency), (50, 50));
    assert_eq!(target.retry.attempts, 10);
    let http = http(target);
    assert_eq!(http.connect.base, "https://api.example.com/v1");
    assert_eq!((&http.method, &http.path[..]), (&Method::POST, "/guests"));
    let actions = BTreeMap::from([
        (Verb::Create, (Method::POST, "/guests".to_owned())),
        (Verb::Update, (Method::PATCH, "/guests/{id}".to_owned())),
        (Verb::Delete, (Method::DELETE, "/guests/{id}".to_owned())),
    ]);
    assert_eq!(http.actions, actions);
    assert_eq!(http.connect.protocol, Protocol::Auto);
    assert_eq!(http.reply_limit, 64 * 1024);
}

#[test]
fn a_store_leaves_a_part_of_its_size_free() {
    for (lines, expected) in [
        ("", (None, 256 << 20)),
        ("reserve = \"2GiB\"", (None, 2 << 30)),
        ("max_size = \"64MiB\"", (Some(64 << 20), 16 << 20)),
        ("max_size = \"20GiB\"", (Some(20 << 30), 256 << 20)),
        (
            "max_size = \"64MiB\"\nreserve = \"1MiB\"",
            (Some(64 << 20), 1 << 20),
        ),
    ] {
        let config = parse(&with(&format!("[store]\n{lines}")));
        let StoreConfig::Sqlite {
            max_size, reserve, ..
        } = config.store
        else {
            panic!("not in a file");
        };
        assert_eq!((max_size, reserve), expected, "{lines}");
    }
}

#[test]
fn chunk_and_concurrency_follow_from_the_limits() {
    for (limits, chunk_items, concurrency) in [
        (r#"["1000/s"]"#, 50, 256),
        (r#"["200/s"]"#, 50, 100),
        (r#"["30/s"]"#, 15, 15),
        (r#"["5/s"]"#, 2, 10),
        (r#"["30/m"]"#, 1, 10),
        (r#"["100/s", "100000/d"]"#, 50, 50),
        (r#"["100/s", "20/d"]"#, 20, 50),
        ("[]", 50, 64),
    ] {
        let config = parse(&MINIMAL.replace(r#"["100/s"]"#, limits));
        let target = &config.targets[0];
        assert_eq!(
            (target.chunk_items, target.concurrency),
            (chunk_items, concurrency),
            "{limits}"
        );
    }
}

#[test]
fn targets_share_a_named_quota() {
    let config = parse(
        r#"
        [quotas.crm]
        limits = ["100/s", "100000/d"]
        pace = "smooth"
        [targets.a]
        kind = "http"
        url = "https://a.example.com"
        path = "/a"
        quota = "crm"
        [targets.b]
        kind = "http"
        url = "https://b.example.com"
        path = "/b"
        quota = "crm"
        [targets.c]
        kind = "http"
        url = "https://c.example.com"
        path = "/c"
        limits = ["1/s"]
        "#,
    );
    let quotas: Vec<&str> = config.quotas.iter().map(|quota| &quota.name[..]).collect();
    assert_eq!(quotas, ["crm", "c"]);
    let drawn: Vec<&str> = config
        .targets
        .iter()
        .map(|target| &target.quota[..])
        .collect();
    assert_eq!(drawn, ["crm", "crm", "c"]);
    assert_eq!(config.quotas[0].limits.len(), 2);
    assert_eq!(config.quotas[0].pace, Pace::Smooth);
}

#[test]
fn an_action_can_be_changed_or_switched_off() {
    let config = parse(&with(
        r#"
        [targets.guests.actions]
        create = { method = "PUT", path = "/guests/new" }
        update = { path = "/people/{id}/edit" }
        delete = { enabled = false }
        "#,
    ));
    let actions = BTreeMap::from([
        (Verb::Create, (Method::PUT, "/guests/new".to_owned())),
        (
            Verb::Update,
            (Method::PATCH, "/people/{id}/edit".to_owned()),
        ),
    ]);
    assert_eq!(http(&config.targets[0]).actions, actions);
}

/// What is added to the minimal configuration, whose last line is the sixth,
/// and what is said of it.
#[rustfmt::skip] // One mistake, one line; what is said of it, the next.
const MISTAKES: &[(&str, &str)] = &[
    ("limit = \"100/s\"",
        "configuration:7: targets.guests.limit: there is no such key; did you mean `limits`?"),
    ("[store]\nmax_size = \"1MiB\"",
        "configuration:8: store.max_size: `1MiB` is too little; write at least `64MiB`"),
    ("[store]\nmax_size = \"64\"",
        "configuration:8: store.max_size: `64` is not a size; write a whole number with its unit: `B`, `KiB`, `MiB` or `GiB`"),
    ("[store]\nmax_size = \"1GiB\"\nreserve = \"600MiB\"",
        "configuration:9: store.reserve: `600MiB` is too much; write at most `512MiB`"),
    ("[store]\nreserve = \"1KiB\"",
        "configuration:8: store.reserve: `1KiB` is too little; write at least `1MiB`"),
    ("[store]\nmemory = true\nmax_size = \"1GiB\"",
        "configuration:9: store.max_size: this is for a store in a file; take it out, or `memory = true`"),
    ("[store]\nmemory = true\nreserve = \"1GiB\"",
        "configuration:9: store.reserve: this is for a store in a file; take it out, or `memory = true`"),
    ("colour = 1",
        "configuration:7: targets.guests.colour: there is no such key; there are `kind`, `url`"),
    ("timeout = 30",
        "configuration:7: targets.guests.timeout: this is a number; write a duration in quotes with its unit"),
    ("timeout = \"30\"",
        "configuration:7: targets.guests.timeout: `30` is not a duration; write a whole number with its unit"),
    ("timeout = \"0s\"",
        "configuration:7: targets.guests.timeout: `0s` is too short; write at least `1ms`"),
    ("reply_limit = \"64KB\"",
        "configuration:7: targets.guests.reply_limit: `64KB` is not a size"),
    ("reply_limit = \"2MiB\"",
        "configuration:7: targets.guests.reply_limit: `2MiB` is too much; write at most `1MiB`"),
    ("chunk_items = 0",
        "configuration:7: targets.guests.chunk_items: 0 does not do; write a number from 1 to 1000"),
    ("chunk_items = 51",
        "configuration:7: targets.guests.chunk_items: with these limits a chunk has at most 50 items"),
    ("concurrency = -1",
        "configuration:7: targets.guests.concurrency: this does not fit; write a whole number"),
    ("repeatable = \"yes\"",
        "configuration:7: targets.guests.repeatable: this is a text; write `true` or `false`"),
    ("method = \"post\"",
        "configuration:7: targets.guests.method: `post` is not known here; did you mean `POST`?"),
    ("protocol = \"quic\"",
        "configuration:7: targets.guests.protocol: `quic` is not known here; write one of `auto`, `http1`, `http2`"),
    ("pace = \"smoth\"",
        "configuration:7: targets.guests.pace: `smoth` is not known here; did you mean `smooth`?"),
    ("transit = \"2m\"",
        "configuration:7: targets.guests.transit: this is too long; write at most `1m`"),
    ("url = \"https://a.example.com\"",
        "configuration:7: this name is given twice"),
    ("quota = \"crm\"",
        "targets.guests.limits: this belongs to the quota `crm`; keep one of `limits` and `quota`"),
    ("quota = \"crm\"",
        "configuration:7: targets.guests.quota: there are no quotas; add `[quotas.crm]`"),
    ("allow_headers = [\"X-A\", \"Host\"]",
        "configuration:7: targets.guests.allow_headers[1]: items cannot be let to set `host`"),
    ("allow_headers = [\"Cookie\"]",
        "configuration:7: targets.guests.allow_headers[0]: items cannot be let to set `cookie`"),
    ("ca = \"nope.pem\"",
        "configuration:7: targets.guests.ca: /etc/flowgate/nope.pem cannot be read: "),
    ("ca = 1",
        "configuration:7: targets.guests.ca: this is a number; write a text in quotes"),
    ("idempotency_header = \"Content-Type\"",
        "configuration:7: targets.guests.idempotency_header: `content-type` has another use"),
    ("key_window = \"1h\"",
        "configuration:7: targets.guests.key_window: this says how long the target knows a key, and there is no"),
    ("[store]\nkeep_batches = \"0s\"",
        "configuration:8: store.keep_batches: `0s` is too short; write at least `1s`"),
    ("[store]\nkeep_keys = \"1 day\"",
        "configuration:8: store.keep_keys: `1 day` is not a duration"),
    ("[server]\nopen_timeout = \"10ms\"",
        "configuration:8: server.open_timeout: `10ms` is too short; write at least `1s`"),
    ("headers = \"x\"",
        "configuration:7: targets.guests.headers: this is a text; write a table"),
    ("headers.X-A = 1",
        "configuration:7: targets.guests.headers.X-A: this is a number; write a text in quotes, { env"),
    ("headers.\"X A\" = \"1\"",
        "configuration:7: targets.guests.headers.\"X A\": this is not a header's name"),
    ("headers.Host = \"a\"",
        "configuration:7: targets.guests.headers.Host: this header follows from the request"),
    ("headers.X-A = { env = \"NOPE\" }",
        "configuration:7: targets.guests.headers.X-A: the environment variable NOPE is not set"),
    ("headers.X-A = { file = \"nope\" }",
        "targets.guests.headers.X-A: /etc/flowgate/nope cannot be read"),
    ("headers.X-A = { evn = \"A\" }",
        "targets.guests.headers.X-A.evn: there is no such key; did you mean `env`?"),
    ("headers.X-A = { env = \"A\", file = \"b\" }",
        "targets.guests.headers.X-A: keep one of `env` and `file`"),
    ("headers.X-A = {}",
        "targets.guests.headers.X-A: write where the value is"),
    ("actions.update.path = \"/x\"",
        "configuration:7: targets.guests.actions.update.path: `{id}` must be there once"),
    ("actions.delete.enabeld = false",
        "targets.guests.actions.delete.enabeld: there is no such key; did you mean `enabled`?"),
    ("retry.attempts = 0",
        "configuration:7: targets.guests.retry.attempts: 0 does not do; write a number from 1 to 100"),
    ("retry.base = \"1m\"",
        "configuration:7: targets.guests.retry: `base` is longer than `max`"),
    ("[server]\nlisten = \"localhost\"",
        "configuration:8: server.listen: this is not an address; write an IP address and a port"),
    ("[sever]",
        "configuration:7: sever: there is no such key; did you mean `server`?"),
    ("[store]\nmemory = true\npath = \"a\"",
        "configuration:8: store.memory: keep one of `memory = true` and `path`"),
    ("[quotas.crm]",
        "configuration:7: quotas.crm: `limits` is missing"),
    ("[quotas.guests]\nlimits = [\"1/s\"]",
        "configuration:2: targets.guests: there is a quota of this name too"),
    ("[targets.guests]",
        "configuration:7: this name is given twice"),
    ("[targets.\"a b\"]",
        "configuration:7: targets.\"a b\": this name does not do"),
    ("timeout = ",
        "configuration:7: this is not TOML"),
];

#[test]
fn each_mistake_is_told_with_its_line_its_key_and_what_would_be_right() {
    for (lines, says) in MISTAKES {
        let said = problems(&with(lines));
        let is_told = said.iter().any(|line| line.contains(says));
        assert!(is_told, "{lines}: {said:#?}");
    }
}

#[test]
fn a_bad_limit_is_told_with_its_place_in_the_list() {
    let said = problems(&MINIMAL.replace(
        r#"["100/s"]"#,
        "[\n  \"100/s\",\n  \"5 per minute\",\n  \"1/999d\",\n]",
    ));
    assert_eq!(said.len(), 2, "{said:#?}");
    assert!(said[0].starts_with("configuration:8: targets.guests.limits[1]: `5 per minute` is not a limit; write a count and a window"));
    assert!(said[1].starts_with(
        "configuration:9: targets.guests.limits[2]: the window of `1/999d` is too long"
    ));
}

#[test]
fn a_quota_that_is_not_there_is_told_with_those_that_are() {
    let quotas = "[quotas.crm]\nlimits = [\"1/s\"]\n[quotas.mail]\nlimits = [\"1/s\"]\n";
    let target = MINIMAL.replace(r#"limits = ["100/s"]"#, "quota = \"QUOTA\"");
    let of = |quota: &str| problems(&format!("{quotas}{}", target.replace("QUOTA", quota)));
    assert_eq!(
        of("crn"),
        ["configuration:10: targets.guests.quota: there is no quota `crn`; did you mean `crm`?"]
    );
    assert_eq!(
        of("shop"),
        [
            "configuration:10: targets.guests.quota: there is no quota `shop`; there are `crm`, `mail`"
        ]
    );
}

#[test]
fn what_a_target_lacks_is_told_at_its_table() {
    let said = problems("\n[targets.guests]\n");
    assert_eq!(said.len(), 3, "{said:#?}");
    for (line, key) in said.iter().zip(["kind", "url", "path"]) {
        let says = format!("configuration:2: targets.guests: `{key}` is missing; write ");
        assert!(line.starts_with(&says), "{line}");
    }
    assert_eq!(
        problems(""),
        ["configuration: targets: there are no targets; add at least one `[targets.NAME]`"]
    );
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let said = problems(
        r#"[server]
listen = 50051
drian = "30s"

[quotas.crm]
limits = "100/s"

[targets.guests]
kind = "htp"
ulr = "https://api.example.com"
path = "guests"
limits = ["100"]
chunk_items = "many"
timeout = "soon"
"#,
    );
    let places: Vec<&str> = said
        .iter()
        .map(|line| line.split(": ").nth(1).unwrap())
        .collect();
    assert_eq!(
        places,
        [
            "server.listen",
            "server.drian",
            "quotas.crm.limits",
            "targets.guests.kind",
            "targets.guests.ulr",
            "targets.guests.path",
            "targets.guests.limits[0]",
            "targets.guests.chunk_items",
            "targets.guests.timeout",
        ],
        "{said:#?}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("no/such/flowgate.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("no/such/flowgate.toml: cannot be read: "),
        "{error}"
    );
}

#[test]
fn secrets_come_from_the_environment_a_file_or_the_text() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "from-a-file\n").unwrap();
    let text = with(
        r#"
        [targets.guests.headers]
        Authorization = { env = "GUEST_API_KEY", prefix = "Bearer " }
        X-Api-Key = { file = "key" }
        X-Source = "in-the-text"
        "#,
    );
    let env = |name: &str| (name == "GUEST_API_KEY").then(|| "from-env".to_owned());
    let loaded = Loaded::parse(&text, folder.path(), &env).unwrap();
    let headers: Vec<(&str, &str)> = http(&loaded.config.targets[0])
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    assert_eq!(
        headers,
        [
            ("authorization", "Bearer from-env"),
            ("x-api-key", "from-a-file"),
            ("x-source", "in-the-text"),
        ]
    );
    let shown = format!("{loaded:?}");
    for secret in ["from-env", "from-a-file", "in-the-text"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// A certificate in PEM, and the key that it goes with.
fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::default();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn the_certificates_to_trust_come_from_a_file_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let ((one, key), (other, _)) = (certificate(), certificate());
    std::fs::write(
        folder.path().join("ca.pem"),
        format!("One:\n{one}{key}{other}"),
    )
    .unwrap();
    let load = |text: &str| Config::parse(text, folder.path(), &no_env);
    let config = load(&with("ca = \"ca.pem\"")).unwrap();
    assert_eq!(http(&config.targets[0]).connect.ca.len(), 2);
    let config = load(MINIMAL).unwrap();
    assert!(http(&config.targets[0]).connect.ca.is_empty());
}

#[test]
fn a_file_of_certificates_that_does_not_do_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, key) = certificate();
    let cut = &whole[..whole.len() / 2];
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let https = "https://api.example.com/v1";
    for (url, file, says) in [
        (https, "", "there is no certificate in "),
        (https, &key[..], "there is no certificate in "),
        (https, cut, "a section of it is cut or garbled"),
        (https, &format!("{whole}{garbled}"), "certificate 2 in "),
        ("http://api.example.com", &whole, "`url` is without TLS"),
    ] {
        std::fs::write(folder.path().join("ca.pem"), file).unwrap();
        let text = with("ca = \"ca.pem\"").replace(https, url);
        let error = Config::parse(&text, folder.path(), &no_env).unwrap_err();
        assert_eq!(error.problems().len(), 1, "{error}");
        let said = error.to_string();
        let starts = said.starts_with("configuration:7: targets.guests.ca: ");
        assert!(starts && said.contains(says), "{says}: {said}");
    }
}

#[test]
fn no_error_shows_a_secret() {
    let env = |_: &str| Some("hunter2\n".to_owned());
    for lines in [
        "headers.Authorization = { env = \"KEY\" }",
        "headers.Authorization = \"hunter2\\n\"",
        "headers.Authorization = \"hunter2",
        "headers.Authorization = { env = \"sk-hunter2\" }",
        "headers.Authorization = [\"hunter2\"]",
        "headers = \"hunter2\"",
        "retry = \"hunter2\"",
        "timeout = [\"hunter2\"]",
        "[targets.b]\nurl = \"https://me:hunter2@b.example.com\"",
        "[targets.b]\nurl = \"https://b.example.com?key=hunter2\"",
    ] {
        let error = Config::parse(&with(lines), Path::new(""), &env).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{lines}: {error}"
        );
    }
}

#[rustfmt::skip] // One mistake, one line; what is said of it, the next.
const BATCH_MISTAKES: &[(&str, &str)] = &[
    ("batch.preset = \"resent\"",
        "targets.guests.batch.preset: `resent` is not known here; did you mean `resend`?"),
    ("batch.max_items = 0",
        "targets.guests.batch.max_items: 0 does not do; write a number from 1 to 1000"),
    ("batch.results = \"data\"",
        "targets.guests.batch.results: this is not a JSON pointer; write e.g. `/error/code`"),
    ("batch.results = \"/a~b\"",
        "targets.guests.batch.results: in a JSON pointer, write `~0` for `~`"),
    ("batch.wrap = '[1]'",
        "targets.guests.batch.wrap: this is not a JSON object"),
    ("batch.wrap = '{\"a\": 1}'",
        "targets.guests.batch.items: there is something else at `` already: that is where the array of the items goes"),
    ("batch = { wrap = '{\"a\": 1}', items = \"/a\" }",
        "targets.guests.batch.items: there is something else at `/a` already"),
    ("batch.format = \"entries\"",
        "targets.guests.batch: `entry_payload` is missing; write where an item's payload goes"),
    ("batch = { format = \"entries\", entry_payload = \"/a\", entry_id = \"/a/b\" }",
        "targets.guests.batch: there is something else at `/a` already"),
    ("batch.entry_key = \"/key\"",
        "targets.guests.batch.entry_key: this is for `format = \"entries\"`; leave it out"),
    ("batch.item_path = \"/x\"",
        "targets.guests.batch.item_path: this is for `format = \"requests\"`; leave it out"),
    ("batch.entry = '{}'",
        "targets.guests.batch.entry: an item's payload is the element itself"),
    ("batch.preset = \"graph\"",
        "targets.guests.batch: there is nothing that items could do; write `item_path`, or `allow_calls = true`"),
    ("batch = { preset = \"graph\", item_path = \"/u\", entry = '{\"id\": 1}' }",
        "targets.guests.batch.entry: `id` is each request's own; leave it out"),
    ("allow_calls = true",
        "targets.guests.allow_calls: this is for items that are requests of their own"),
    ("actions.create.path = \"/x\"",
        "targets.guests.actions: this is for items that are requests of their own"),
    ("batch.join = \"id\"",
        "targets.guests.batch.join: write where a result has the id of its item"),
    ("batch = { result_status = \"/s\", result_error = \"/e\" }",
        "targets.guests.batch.result_error: where each result has a status, that decides"),
    ("batch.failure_index = \"/i\"",
        "targets.guests.batch.failure_index: this is of no use without `failures`; write both"),
    ("batch.max_bytes = \"1GiB\"",
        "targets.guests.batch.max_bytes: `1GiB` is too much; write at most `64MiB`"),
    ("batch.content_type = \"a\\nb\"",
        "targets.guests.batch.content_type: this is not a media type"),
    ("chunk_items = 101",
        "targets.guests.chunk_items: "),
    ("batch.resullts = \"/a\"",
        "targets.guests.batch.resullts: there is no such key; did you mean `results`?"),
];

#[test]
fn each_mistake_of_a_batch_is_told_with_what_would_be_right() {
    for (lines, says) in BATCH_MISTAKES {
        let text = format!("{}{lines}\n", minimal_for("targets.NAME.batch.items"));
        let said = problems(&text);
        let is_told = said.iter().any(|line| line.contains(says));
        assert!(is_told, "{lines}: {said:#?}");
    }
    let said = problems(&with("batch.max_items = 3"));
    assert!(
        said[0].contains("a target of the kind `http` has no such key"),
        "{said:?}"
    );
}

#[test]
fn a_chunk_is_a_request_of_the_target_and_costs_one() {
    let text = format!(
        "{}batch.max_items = 70\n",
        minimal_for("targets.NAME.batch.items")
    );
    let target = &parse(&text).targets[0];
    assert_eq!((target.chunk_items, target.concurrency), (70, 16));
    assert_eq!(target.cost, flowgate::model::Cost::REQUEST);
}

#[test]
fn the_example_of_batch_endpoints_is_taken() {
    let env = |_: &str| Some("secret".to_owned());
    let text = include_str!("../examples/http_batch.toml");
    let config = Config::parse(text, Path::new(""), &env);
    assert!(config.is_ok(), "{config:?}");
}

#[test]
fn the_example_is_taken_and_says_when_its_secret_is_missing() {
    let text = include_str!("../examples/flowgate.toml");
    let config = parse(text);
    assert_eq!(config.targets.len(), 3);
    let with_secret = text.replacen("#Authorization", "Authorization", 1);
    let said = problems(&with_secret);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("the environment variable GUEST_API_KEY is not set"));
    let env = |_: &str| Some("secret".to_owned());
    assert!(Config::parse(&with_secret, Path::new(""), &env).is_ok());
}

/// A quota by name, and a target that draws on it.
fn shared() -> String {
    let target = MINIMAL.replace(r#"limits = ["100/s"]"#, r#"quota = "guests""#);
    format!("quotas.guests.limits = [\"100/s\"]\n{target}")
}

/// The least that a target is told of the kind that a key belongs to. It ends in
/// the target's own table.
fn minimal_for(path: &str) -> &'static str {
    let of_table = |kind| match kind {
        "batch" => "http_batch",
        "grpc" => "grpc",
        "postgres" => "postgres",
        _ => "http",
    };
    let kind = of_table(path.split('.').nth(2).unwrap_or_default());
    match kind {
        "http" => MINIMAL,
        "grpc" => {
            r#"
[targets.guests]
kind = "grpc"
url = "https://guests.example.com"
limits = ["100/s"]
grpc.method = "shop.v1.GuestService/CreateGuest"
"#
        }
        "http_batch" => {
            "[targets.guests]\nkind = \"http_batch\"\nurl = \"https://api.example.com/v1\"\n\
             path = \"/batch\"\nlimits = [\"100/s\"]\n"
        }
        "postgres" => MINIMAL_POSTGRES,
        other => panic!("no least of the kind {other} is known here"),
    }
}

/// What a key makes sense with only.
fn needed(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "keep_keys")) if path.contains("postgres") => {
            "postgres.dedupe_table = \"flowgate_keys\"\n"
        }
        Some((_, "key_window")) => "idempotency_header = \"Idempotency-Key\"\n",
        Some((_, "base")) if path.contains("cost") => "cost.per_item = 1\n",
        Some((_, "per_item")) => "cost.base = 1\n",
        _ => "",
    }
}

/// A configuration in which a key of the reference is given: `NAME` is the
/// target or quota `guests`, or the header `X-A`.
fn given(stated: &str, value: &str) -> String {
    let path = stated
        .replace("headers.NAME", "headers.X-A")
        .replace("NAME", "guests");
    if let Some(key) = path.strip_prefix("targets.guests.") {
        let minimal = minimal_for(stated);
        return format!("{minimal}{}{key} = {value}\n", needed(&path));
    }
    let is_quota = path.starts_with("quotas.");
    let rest = if is_quota {
        shared()
    } else {
        MINIMAL.to_owned()
    };
    format!("{path} = {value}\n{rest}")
}

#[test]
fn the_reference_states_the_defaults_that_hold() {
    for key in reference() {
        let KeyDefault::Is(value) = key.default else {
            continue;
        };
        let without = if key.path.starts_with("quotas.") {
            parse(&shared())
        } else {
            parse(&format!("{}{}\n", minimal_for(key.path), needed(key.path)))
        };
        let with = parse(&given(key.path, value));
        let stated = format!("{} = {value}", key.path);
        assert_eq!(format!("{with:?}"), format!("{without:?}"), "{stated}");
    }
}

#[test]
fn the_reference_has_the_keys_that_are_taken_and_no_other() {
    let mut stated: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for key in reference() {
        let (table, name) = key.path.rsplit_once('.').unwrap();
        stated.entry(table).or_default().insert(name.to_owned());
    }
    // These hold nothing but tables, or names of one's own choice.
    stated.remove("targets.NAME.headers");
    let mut tables: BTreeSet<String> = BTreeSet::new();
    for (table, names) in &stated {
        // An unknown key is told with those that there are.
        let said = problems(&given(&format!("{table}.zzzzzzzz"), "1"));
        let line = said.iter().find(|line| line.contains("zzzzzzzz")).unwrap();
        let (_, known) = line.split_once("there are ").unwrap();
        let mut known: BTreeSet<String> = known
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        known.retain(|name| {
            let is_table = [
                "headers", "actions", "retry", "breaker", "batch", "grpc", "postgres",
            ]
            .contains(&name.as_str());
            if is_table {
                tables.insert(format!("{table}.{name}"));
            }
            !is_table
        });
        assert_eq!(&known, names, "[{table}]");
    }
    assert_eq!(
        tables.into_iter().collect::<Vec<_>>(),
        [
            "targets.NAME.actions",
            "targets.NAME.batch",
            "targets.NAME.breaker",
            "targets.NAME.grpc",
            "targets.NAME.headers",
            "targets.NAME.postgres",
            "targets.NAME.retry"
        ]
    );
}

#[test]
fn the_readme_has_the_reference_as_it_is() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (_, rest) = readme
        .split_once("<!-- config reference: begin -->\n")
        .expect("a begin marker");
    let (section, _) = rest
        .split_once("<!-- config reference: end -->")
        .expect("an end marker");
    assert!(
        section.trim() == reference_markdown().trim(),
        "paste the output of `flowgate check --reference` between the markers"
    );
}
