//! The command line as its users meet it: the real program against a scripted
//! server that keeps its batches in memory.

#[path = "cli/fake.rs"]
mod fake;
#[path = "support/http_target.rs"]
#[allow(dead_code, reason = "each suite uses some of it")]
mod http_target;
#[path = "cli/lifecycle.rs"]
mod lifecycle;
#[path = "cli/validation.rs"]
mod validation;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use fake::{Fake, Script};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// What a run of the program left.
struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

fn program(server: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flowgate"));
    command
        .args(args)
        .env_clear()
        .env("FLOWGATE_SERVER", server)
        .env("COLUMNS", "90")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn finish(command: &mut Command) -> Run {
    let output = command.output().await.unwrap();
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn run(fake: &Fake, args: &[&str]) -> Run {
    finish(&mut program(&fake.address, args)).await
}

/// A folder with files.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn name(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The fake refuses what has no `@`.
const GUESTS: &str = "nr,name,email,zip\n\
    a1,Zoë,zoe@example.org,00123\n\
    a2,\"Bo\nBerg\",bo,04567\n\
    a3,Cy,cy@example.org,1\n\
    a4,Di,,2\n";

/// JSON lines that differ and are all good.
fn many(rows: usize) -> String {
    let row = |i: usize| format!("{{\"email\":\"{i}@b\"}}\n");
    (0..rows).fold(String::new(), |text, i| text + &row(i))
}

#[tokio::test]
async fn a_file_is_submitted_and_the_failed_rows_are_shown() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    let run = run(&fake, &["submit", &file, "--target", "crm"]).await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    insta::assert_snapshot!(fake.without_ids(&run.stdout), @r"
    2 succeeded, 2 failed, in 4.9 s (batch 00000000-0000-0000-0000-000000000000)

    Failures
      2  REJECTED     email: must be an e-mail address (HTTP_422)

    Failed rows
    line  nr  name     email  zip    error
    3     a2  Bo Berg  bo     04567  email: must be an e-mail address
    6     a4  Di              2      email: must be an e-mail address

    To correct them and submit them again:
      flowgate results 00000000-0000-0000-0000-000000000000 --failed -o failed.csv
    ");
    assert_eq!(
        fake.payloads(0)[0],
        r#"{"nr":"a1","name":"Zoë","email":"zoe@example.org","zip":"00123"}"#
    );
}

#[tokio::test]
async fn a_batch_of_which_all_succeed_exits_with_0() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("a.jsonl", "{\"email\":\"a@b\", \"n\":1.10}\n");
    let run = run(&fake, &["submit", &file, "-t", "crm", "--label", "run=7"]).await;
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("1 succeeded, 0 failed"));
    assert_eq!(fake.payloads(0), [r#"{"email":"a@b", "n":1.10}"#]);
    assert_eq!(fake.spec(0).labels["run"], "7");
}

#[tokio::test]
async fn the_same_command_twice_imports_once_and_new_means_it() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    let first = run(&fake, &["submit", &file, "--target", "crm"]).await;
    let second = run(&fake, &["submit", &file, "--target", "crm"]).await;
    assert_eq!(fake.batches(), 1);
    assert_eq!(second.status, 2);
    assert_eq!(second.stdout, first.stdout);
    let expected = format!("already submitted to crm as batch {}", fake.id(0));
    assert!(second.stderr.contains(&expected), "{}", second.stderr);
    assert!(second.stderr.contains("--new"), "{}", second.stderr);
    run(&fake, &["submit", &file, "--target", "crm", "--new"]).await;
    assert_eq!(fake.batches(), 2);
    run(&fake, &["submit", &file, "--target", "erp"]).await;
    assert_eq!(fake.batches(), 3);
}

#[tokio::test]
async fn a_lost_connection_is_taken_up_where_it_broke() {
    let script = Script {
        break_after_appends: vec![1, 2],
        ..Script::default()
    };
    let (fake, folder) = (Fake::start(script).await, Folder::new());
    let text = many(2_300);
    let file = folder.write("many.jsonl", &text);
    let out = folder.name("out.jsonl");
    let run = run(&fake, &["submit", &file, "-t", "crm", "--results", &out]).await;
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(
        run.stderr.contains("the connection was lost"),
        "{}",
        run.stderr
    );
    assert_eq!((fake.batches(), fake.calls()), (1, 3));
    let expected: Vec<_> = text.lines().map(str::to_owned).collect();
    assert_eq!(fake.payloads(0), expected);
    // Each result once, although the log was read in three parts.
    assert_eq!(read(&out).lines().count(), 2_300);
}

#[tokio::test]
async fn an_upload_that_was_cut_short_goes_on_with_the_same_command() {
    let script = Script {
        refuse_append: Some(1),
        ..Script::default()
    };
    let (fake, folder) = (Fake::start(script).await, Folder::new());
    let text = many(1_200);
    let file = folder.write("many.jsonl", &text);
    let first = run(&fake, &["submit", &file, "-t", "crm"]).await;
    assert_eq!(first.status, 1);
    assert!(first.stderr.contains("(INVALID_ITEMS)"), "{}", first.stderr);
    assert!(
        first.stderr.contains("items[3].id: too long"),
        "{}",
        first.stderr
    );
    let held = "500 rows were accepted and go on as batch";
    assert!(first.stderr.contains(held), "{}", first.stderr);
    assert!(
        first.stderr.contains("other 700 were not submitted"),
        "{}",
        first.stderr
    );
    let second = run(&fake, &["submit", &file, "-t", "crm"]).await;
    assert_eq!(second.status, 0, "{}", second.stderr);
    assert!(
        second.stderr.contains("going on with batch"),
        "{}",
        second.stderr
    );
    assert_eq!((fake.batches(), fake.payloads(0).len()), (1, 1_200));
}

#[tokio::test]
async fn what_failed_is_a_file_that_submit_takes_back() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    let submit = ["submit", &file, "--target", "crm", "--id-column", "nr"];
    run(&fake, &submit).await;
    for name in ["failed.csv", "failed.jsonl"] {
        let failed = folder.name(name);
        let id = fake.id(0);
        let written = run(&fake, &["results", &id, "--failed", "--output", &failed]).await;
        assert_eq!(written.status, 0, "{}", written.stderr);
        assert!(
            written.stderr.contains("2 failed items"),
            "{}",
            written.stderr
        );
        assert!(!folder.path(&format!("{name}.part")).exists());
        let corrected = read(&failed).replace("Berg", "B");
        std::fs::write(&failed, corrected).unwrap();
        let again = run(&fake, &["submit", &failed, "--target", "crm"]).await;
        assert_eq!(again.status, 2, "{}", again.stderr);
        let batch = fake.batches() - 1;
        assert_eq!(fake.ids(batch), ["a2", "a4"]);
        assert_eq!(
            fake.payloads(batch),
            [
                r#"{"nr":"a2","name":"Bo\nB","email":"bo","zip":"04567"}"#,
                r#"{"nr":"a4","name":"Di","email":"","zip":"2"}"#
            ]
        );
    }
}

#[tokio::test]
async fn every_result_can_be_written_to_a_file() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    let out = folder.name("out.csv");
    let run = run(&fake, &["submit", &file, "-t", "crm", "--results", &out]).await;
    assert_eq!(run.status, 2, "{}", run.stderr);
    insta::assert_snapshot!(read(&out), @r#"
    index,id,status,target_status,kind,error,fields,attempts,replayed,reply,item.nr,item.name,item.email,item.zip
    0,0,succeeded,201,,,,1,,"{""ok"":true}",,,,
    1,1,failed,422,REJECTED,validation failed,email: must be an e-mail address,1,,,a2,"Bo
    Berg",bo,04567
    2,2,succeeded,201,,,,1,,"{""ok"":true}",,,,
    3,3,failed,422,REJECTED,validation failed,email: must be an e-mail address,1,,,a4,Di,,2
    "#);
}

#[tokio::test]
async fn a_file_with_a_fault_is_refused_before_anything_is_sent() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    for (name, text, expected) in [
        (
            "a.csv",
            "a,b\n1,2\n3\n",
            "line 3: 1 value, but the first line names 2 columns",
        ),
        ("b.csv", "", "b.csv: it is empty"),
        ("c.jsonl", "{}\n{\n", "line 2: EOF"),
        ("d.json", "[]", "d.json: it has no rows"),
        ("e.txt", "x", "--format"),
    ] {
        let file = folder.write(name, text);
        let run = run(&fake, &["submit", &file, "-t", "crm"]).await;
        assert_eq!(run.status, 1, "{name}");
        assert!(run.stderr.contains(expected), "{name}: {}", run.stderr);
        assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    }
    assert_eq!(fake.calls(), 0);
}

#[tokio::test]
async fn no_batch_is_opened_for_an_input_without_rows() {
    let fake = Fake::start(Script::default()).await;
    for (format, expected) in [
        ("csv", "error: it is empty"),
        ("jsonl", "error: there are no rows to submit"),
    ] {
        let run = run(&fake, &["submit", "-", "--format", format, "-t", "crm"]).await;
        assert_eq!(run.status, 1);
        assert!(run.stderr.starts_with(expected), "{}", run.stderr);
    }
    assert_eq!((fake.batches(), fake.calls()), (0, 0));
}

#[tokio::test]
async fn items_come_from_stdin_and_detach_prints_the_id_alone() {
    let fake = Fake::start(Script::default()).await;
    let args = ["submit", "-", "--format", "json", "-t", "crm", "--detach"];
    let mut child = program(&fake.address, &args)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"[{\"email\":\"a@b\"}, {}]").await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, format!("{}\n", fake.id(0)));
    assert!(fake.is_sealed(0));
}

async fn interrupt(child: Child) -> Run {
    let pid = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn ctrl_c_ends_the_following_and_not_the_batch() {
    let script = Script {
        hold_results: true,
        ..Script::default()
    };
    let (fake, folder) = (Fake::start(script).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    run(&fake, &["submit", &file, "-t", "crm", "--detach"]).await;
    let id = fake.id(0);
    let child = program(&fake.address, &["watch", &id]).spawn().unwrap();
    fake.watched().await;
    let run = interrupt(child).await;
    assert_eq!(run.status, 130, "{}", run.stderr);
    assert_eq!(
        run.stderr,
        format!(
            "batch {id} goes on\n  to follow it:  flowgate watch {id}\n  \
             to hold it:    flowgate pause {id}\n  \
             to stop it:    flowgate cancel {id}\n"
        )
    );
    fake.release(4);
    assert_eq!(self::run(&fake, &["watch", &id]).await.status, 2);
}

#[tokio::test]
async fn ctrl_c_while_still_uploading_says_what_was_not_submitted() {
    let script = Script {
        hold_results: true,
        ..Script::default()
    };
    let fake = Fake::start(script).await;
    let args = ["submit", "-", "--format", "jsonl", "-t", "crm"];
    let mut child = program(&fake.address, &args)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // A whole frame, and no end.
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all("{}\n".repeat(500).as_bytes())
        .await
        .unwrap();
    fake.appended().await;
    let run = interrupt(child).await;
    assert_eq!(run.status, 130, "{}", run.stderr);
    let expected = format!("were accepted and go on as batch {}", fake.id(0));
    assert!(run.stderr.contains(&expected), "{}", run.stderr);
    assert!(
        run.stderr.contains("the rest was not submitted"),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn watch_reports_on_a_batch_from_its_first_event() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    let submitted = run(&fake, &["submit", &file, "-t", "crm"]).await;
    let watched = run(&fake, &["watch", &fake.id(0), "--max-failures", "1"]).await;
    assert_eq!(watched.status, 2);
    let first = |text: &str| text.lines().next().unwrap().to_owned();
    assert_eq!(first(&watched.stdout), first(&submitted.stdout));
    assert!(
        watched.stdout.contains("the first 1 of 2"),
        "{}",
        watched.stdout
    );
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_what_to_do() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    let unknown = run(&fake, &["submit", &file, "-t", "crn"]).await;
    assert_eq!(unknown.status, 1);
    assert_eq!(
        unknown.stderr,
        "error: no target is called `crn` (TARGET_NOT_FOUND)\n  \
         `flowgate targets` lists the targets there are\n"
    );
    for verb in ["get", "watch", "results", "cancel"] {
        let run = run(&fake, &[verb, "nope"]).await;
        assert_eq!(run.status, 1, "{verb}");
        assert!(run.stderr.contains("(BATCH_NOT_FOUND)"), "{}", run.stderr);
        assert!(run.stderr.contains("flowgate list"), "{}", run.stderr);
    }
}

#[tokio::test]
async fn without_a_server_it_says_how_to_start_one() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let run = finish(&mut program(&address, &["list"])).await;
    assert_eq!(run.status, 1);
    assert_eq!(
        run.stderr,
        format!(
            "error: no Flowgate server at http://{address}\n  start one with `flowgate serve \
             --config flowgate.toml`, or try `flowgate demo`\n"
        )
    );
}

#[tokio::test]
async fn batches_and_targets_are_listed_for_people_and_machines() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    run(&fake, &["submit", &file, "-t", "crm", "--quiet"]).await;
    let listed = run(&fake, &["list"]).await;
    insta::assert_snapshot!(fake.without_ids(&listed.stdout), @r"
    batch                                 target  state                items  succeeded  failed  created
    00000000-0000-0000-0000-000000000000  crm     PARTIALLY_SUCCEEDED  4      2          2       2026-11-21 08:00:00Z
    ");
    let got = run(&fake, &["get", &fake.id(0)]).await;
    assert!(got.stdout.contains("PARTIALLY_SUCCEEDED"), "{}", got.stdout);
    assert!(got.stdout.contains("2 (2 REJECTED)"), "{}", got.stdout);
    let targets = run(&fake, &["targets"]).await;
    insta::assert_snapshot!(targets.stdout, @r"
    target  operation     limits           queued  last second  paused
    crm     POST /guests  100/s, 100000/d  7       0            no
    erp     POST /guests  100/s, 100000/d  7       0            no
    ");
    for args in [
        &["list", "--json"][..],
        &["get", &fake.id(0), "--json"],
        &["targets", "--json"],
    ] {
        let run = run(&fake, args).await;
        serde_json::from_str::<serde_json::Value>(&run.stdout).unwrap();
        assert_eq!(run.status, 0);
    }
    let cancelled = run(&fake, &["cancel", &fake.id(0)]).await;
    assert!(
        cancelled.stdout.contains("had already finished"),
        "{}",
        cancelled.stdout
    );
}

#[tokio::test]
async fn quiet_says_nothing_on_the_way() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    let run = run(&fake, &["submit", &file, "-t", "crm", "-q"]).await;
    assert_eq!(run.stderr, "");
}

#[tokio::test]
async fn a_command_line_that_is_wrong_is_no_failed_item() {
    let fake = Fake::start(Script::default()).await;
    let typo = run(&fake, &["submti", "x"]).await;
    assert_eq!(typo.status, 1);
    assert!(typo.stderr.contains("'submit'"), "{}", typo.stderr);
    assert_eq!(run(&fake, &["submit"]).await.status, 1);
    let help = run(&fake, &["submit", "--help"]).await;
    assert_eq!(help.status, 0);
    assert!(help.stdout.contains("Exit status: 0 all succeeded"));
    let alone = run(&fake, &[]).await;
    assert!(alone.stderr.contains("Usage: flowgate"), "{}", alone.stderr);
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_it_without_a_word() {
    let folder = Folder::new();
    let config = folder.write(
        "flowgate.toml",
        "[targets.guests]\nkind = \"http\"\nurl = \"http://127.0.0.1:1\"\npath = \"/\"\n",
    );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program("http://127.0.0.1:1", &["check", &config]);
    let child = command.stdout(writer).spawn().unwrap();
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(141), Vec::new()));
}
