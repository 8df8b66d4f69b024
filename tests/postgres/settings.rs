//! What a configuration may say of a database, and what is said of it.

use std::path::Path;
use std::process::Command;

use flowgate::config::{Config, TargetKind};
use tempfile::TempDir;

use crate::support::program::PROGRAM;

const LEAST: &str = "
[targets.guests]
kind = \"postgres\"
url = \"postgres://me@db.example.com/crm\"
postgres.table = \"guests\"
";

fn problems(text: &str) -> Vec<String> {
    let env = |_: &str| None;
    match Config::parse(text, Path::new("/etc/flowgate"), &env) {
        Ok(_) => panic!("this was taken:\n{text}"),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn the_least_gets_large_chunks_and_few_connections() {
    let env = |_: &str| None;
    let config = Config::parse(LEAST, Path::new("/"), &env).expect("it is right");
    let target = &config.targets[0];
    assert_eq!((target.chunk_items, target.concurrency), (500, 8));
    let TargetKind::Postgres(postgres) = &target.kind else {
        panic!("{target:?}");
    };
    // Encrypted, unless it is this machine.
    assert!(postgres.connect.tls.is_some());
    let local = LEAST.replace("db.example.com", "localhost");
    let config = Config::parse(&local, Path::new("/"), &env).expect("it is right");
    let TargetKind::Postgres(postgres) = &config.targets[0].kind else {
        panic!("{config:?}");
    };
    assert!(postgres.connect.tls.is_none());
}

#[test]
fn what_is_wrong_is_told_with_what_would_be_right() {
    for (lines, says) in [
        ("postgres.function = \"add\"", "keep one of the two"),
        (
            "postgres.operation = \"rows\"",
            "`create`, `update`, `upsert`, `delete`",
        ),
        ("postgres.operation = \"updat\"", "did you mean `update`?"),
        ("postgres.keep_keys = \"1h\"", "there is no `dedupe_table`"),
        ("postgres.dedupe_table = \"a.b.c\"", "one dot too many"),
        ("postgres.key_columns = [\"a\", \"a\"]", "given twice"),
        ("postgres.key_columns = [\"\"]", "a name is empty"),
        (
            "postgres.password = { env = \"PGPASSWORD\" }",
            "PGPASSWORD is not set",
        ),
        ("postgres.sslmode = \"prefer\"", "`disable`, `require`"),
        (
            "postgres.sslmode = \"disable\"\nca = \"ca.pem\"",
            "this is for TLS",
        ),
        ("postgres.tabel = \"x\"", "did you mean `table`?"),
        ("path = \"/guests\"", "has no such key"),
        ("idempotency_header = \"X\"", "has no such key"),
        ("chunk_items = 10001", "from 1 to 10000"),
    ] {
        let said = problems(&format!("{LEAST}{lines}\n"));
        assert!(
            said.iter().any(|line| line.contains(says)),
            "{lines}: {said:#?}"
        );
    }
    let said = problems(&LEAST.replace("postgres.table = \"guests\"", ""));
    assert!(said[0].contains("`table` is missing"), "{said:#?}");
    let said = problems(&LEAST.replace("me@", "me:hunter2@"));
    assert!(said[0].contains("password = { env"), "{said:#?}");
    assert!(!said.concat().contains("hunter2"), "{said:#?}");
}

/// What `flowgate check` prints.
fn check(text: &str) -> String {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("flowgate.toml");
    std::fs::write(&path, text).expect("the folder can be written to");
    let output = Command::new(PROGRAM)
        .arg("check")
        .arg(&path)
        .env("PGPASSWORD", "hunter2")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn check_says_what_it_comes_to_and_not_the_password() {
    let said = check(include_str!("../../examples/postgres.toml"));
    assert!(!said.contains("hunter2"), "{said}");
    let (_, target) = said.split_once("target guests").expect("the target");
    insta::assert_snapshot!(format!("target guests{}", target.trim_end()), @r"
    target guests: create rows of guests
      limits        none
      cost          1 a request
      chunks        up to 500 items
      concurrency   up to 8 requests under way
      tries         up to 10, up to 200ms apart at first and 30s at last, for 1h
      when down     after 10 failed requests in a row, one item is tried after 1s, and at last every 30s
      database      flowgate at localhost:5432, as flowgate
      password      set, from the environment variable PGPASSWORD
      TLS           none: the connection is not encrypted
      time-outs     10s a statement, 5s a connection
      rows          found by the primary key
      columns       all that items name
      sent again    after no answer: every item, for 1d: flowgate_keys knows what was done
    ");
    let said = check(&format!("{LEAST}postgres.key_columns = [\"email\"]\n"));
    assert!(said.contains("found by email"), "{said}");
    assert!(
        said.contains("required; trusts the public authorities"),
        "{said}"
    );
    assert!(
        said.contains("update, delete, and upsert with its key"),
        "{said}"
    );
}
