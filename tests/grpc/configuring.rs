//! The configuration of `grpc` targets: what it takes, and what it says of what
//! it does not.

use std::path::Path;
use std::time::Duration;

use flowgate::config::{Config, GrpcConfig, Protocol, TargetKind};
use prost::Message;
use tempfile::TempDir;

use crate::guests;
use crate::support::program::PROGRAM;

const MINIMAL: &str = r#"
[targets.guests]
kind = "grpc"
url = "https://guests.example.com"
grpc.method = "guests.v1.GuestService/CreateGuest"
"#;

fn parse(text: &str, folder: &Path) -> Result<GrpcConfig, String> {
    let config = Config::parse(text, folder, &|_| None).map_err(|error| error.to_string())?;
    let target = config.targets.into_iter().next().expect("a target");
    match target.kind {
        TargetKind::Grpc(grpc) => Ok(*grpc),
        other => panic!("{}", other.name()),
    }
}

fn with(lines: &str) -> String {
    format!("{MINIMAL}{lines}\n")
}

/// A folder with descriptors in it.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let whole = guests::files();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("guests.binpb"), whole.encode_to_vec()).unwrap();
    let mut cut = whole.clone();
    cut.file
        .retain(|file| file.name().contains("guests/v1/guests"));
    std::fs::write(path("without-imports.binpb"), cut.encode_to_vec()).unwrap();
    std::fs::write(path("text.binpb"), "syntax = \"proto3\";").unwrap();
    std::fs::write(path("empty.binpb"), "").unwrap();
    folder
}

#[test]
fn the_least_that_is_said_gets_the_stated_defaults() {
    let config = parse(MINIMAL, Path::new("")).unwrap();
    assert_eq!(config.method.to_string(), guests::CREATE);
    assert_eq!(config.connect.protocol, Protocol::Http2);
    assert_eq!(config.timeout, Duration::from_secs(30));
    assert!(config.descriptors.is_none() && config.allow_methods.is_empty());
    assert!(!config.busy_unavailable && !config.repeatable);
    let with_slash = MINIMAL.replace(".com\"", ".com:443/\"");
    assert!(parse(&with_slash, Path::new("")).is_ok());
}

#[test]
fn everything_that_can_be_said_is_taken() {
    let text = with(
        r#"
        timeout = "5s"
        allow_headers = ["x-tenant", "x-trace-bin"]
        idempotency_header = "idempotency-key"
        key_window = "1h"
        grpc.allow_methods = ["guests.v1.GuestService/*", "guests.v1.GuestService/GetGuest"]
        grpc.idempotent_methods = ["guests.v1.GuestService/CreateGuest"]
        grpc.descriptors = "guests.binpb"
        grpc.busy_unavailable = true
        headers.authorization = "Bearer x"
        "#,
    );
    let folder = folder();
    let config = parse(&text, folder.path()).unwrap();
    assert_eq!(config.allow_methods.len(), 2);
    assert_eq!(config.idempotent_methods.len(), 1);
    let pool = config.descriptors.expect("descriptors");
    assert!(pool.get_service_by_name(guests::SERVICE).is_some());
}

#[rustfmt::skip] // One mistake, one line; what is said of it, the next.
const MISTAKES: &[(&str, &str)] = &[
    ("grpc.method = \"CreateGuest\"",
        "targets.guests.grpc.method: `CreateGuest` is not a method; write the service with its package, and the method, e.g. `shop.v1.GuestService/CreateGuest`"),
    ("grpc.method = \"/guests.v1.GuestService/CreateGuest\"",
        "targets.guests.grpc.method: `/guests.v1.GuestService/CreateGuest` is not a method"),
    ("grpc.allow_methods = [\"guests.v1.GuestService/*\", \"x\"]",
        "targets.guests.grpc.allow_methods[1]: `x` is neither a method nor all of a service's"),
    ("grpc.idempotent_methods = [\"*\"]",
        "targets.guests.grpc.idempotent_methods[0]: `*` is neither a method"),
    ("grpc.descriptors = \"nope.binpb\"",
        "nope.binpb cannot be read"),
    ("grpc.descriptors = \"text.binpb\"",
        "text.binpb is no whole descriptor set"),
    ("grpc.descriptors = \"without-imports.binpb\"",
        "without-imports.binpb is no whole descriptor set"),
    ("grpc.descriptors = \"empty.binpb\"",
        "targets.guests.grpc.method: the descriptors have no service `guests.v1.GuestService`; they have none at all"),
    ("grpc.descriptors = \"guests.binpb\"\ngrpc.method = \"guests.v1.GuestServce/CreateGuest\"",
        "the descriptors have no service `guests.v1.GuestServce`; did you mean `guests.v1.GuestService`?"),
    ("grpc.descriptors = \"guests.binpb\"\ngrpc.method = \"guests.v1.GuestService/CreateGest\"",
        "the descriptors have no method `CreateGest` in `guests.v1.GuestService`; did you mean `CreateGuest`?"),
    ("grpc.descriptors = \"guests.binpb\"\ngrpc.method = \"guests.v1.GuestService/WatchGuests\"",
        "`guests.v1.GuestService/WatchGuests` is a stream; only methods with one message each way"),
    ("grpc.descriptors = \"guests.binpb\"\ngrpc.allow_methods = [\"a.B/*\"]",
        "targets.guests.grpc.allow_methods[0]: the descriptors have no service `a.B`"),
    ("grpc.descriptors = \"guests.binpb\"\ngrpc.idempotent_methods = [\"guests.v1.GuestService/X\"]",
        "targets.guests.grpc.idempotent_methods[0]: the descriptors have no method `X`"),
    ("url = \"https://guests.example.com/v1\"",
        "targets.guests.url: a gRPC service is at no path; write scheme, host and port only"),
    ("idempotency_header = \"key-bin\"",
        "targets.guests.idempotency_header: a key is text, and `-bin` says that it is not"),
    ("allow_headers = [\"grpc-timeout\"]",
        "targets.guests.allow_headers[0]: items cannot be let to set `grpc-timeout`"),
    ("headers.te = \"x\"",
        "targets.guests.headers.te: this header follows from the request"),
    ("headers.x-token-bin = \"no base64!\"",
        "targets.guests.headers.x-token-bin: a name that ends with `-bin` has a value in base64"),
    ("protocol = \"http1\"", "targets.guests.protocol: "),
    ("path = \"/guests\"", "targets.guests.path: "),
    ("busy_503 = true", "targets.guests.busy_503: "),
];

#[test]
fn each_mistake_is_told_with_its_key_and_what_would_be_right() {
    let folder = folder();
    for (lines, says) in MISTAKES {
        // A key that is given twice is another mistake.
        let keys: Vec<&str> = lines
            .lines()
            .filter_map(|line| line.split(" = ").next())
            .collect();
        let is_given = |line: &&str| keys.iter().any(|key| line.starts_with(&format!("{key} =")));
        let rest: Vec<&str> = MINIMAL.lines().filter(|line| !is_given(line)).collect();
        let text = format!("{}\n{lines}\n", rest.join("\n"));
        let said = parse(&text, folder.path()).err().unwrap_or_default();
        assert!(said.contains(says), "{lines}: {said}");
    }
    let without = MINIMAL.replace("grpc.method", "#");
    let said = parse(&without, folder.path()).expect_err("no method");
    assert!(
        said.contains("targets.guests: `grpc.method` is missing; write e.g."),
        "{said}"
    );
}

#[test]
fn the_example_is_taken() {
    let config = parse(include_str!("../../examples/grpc.toml"), Path::new("")).unwrap();
    assert_eq!(
        config.method.to_string(),
        "shop.v1.GuestService/CreateGuest"
    );
}

#[test]
fn check_says_what_it_comes_to_and_no_secret() {
    let folder = folder();
    let path = folder.path().join("flowgate.toml");
    let text = with(
        r#"
        allow_headers = ["x-tenant"]
        grpc.allow_methods = ["guests.v1.GuestService/*"]
        grpc.idempotent_methods = ["guests.v1.GuestService/CreateGuest"]
        grpc.descriptors = "guests.binpb"
        headers.authorization = "Bearer s3cret"
        "#,
    );
    std::fs::write(&path, text).unwrap();
    let mut check = std::process::Command::new(PROGRAM);
    let checked = check.arg("check").arg(&path).output().expect("it runs");
    let said = String::from_utf8(checked.stdout).unwrap();
    for line in [
        "target guests: guests.v1.GuestService/CreateGuest at https://guests.example.com\n",
        "  messages      as the file of descriptors has them\n",
        "  methods       guests.v1.GuestService/* as well\n",
        "  metadata      items may set x-tenant\n",
        "  trusts        the public authorities\n",
        "no answer: guests.v1.GuestService/CreateGuest, and methods whose descriptor",
        "authorization: set, from the configuration\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
}
