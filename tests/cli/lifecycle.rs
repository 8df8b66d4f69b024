//! Holding batches and targets, stopping them early, and submitting failures
//! again, from the command line.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::fake::{Fake, Script};
use super::{Folder, GUESTS, Run, finish, interrupt, many, program, read, run};

/// One is good, one is refused, two fail for no fault of theirs the first time.
const ORDERS: &str = "nr,email\n1,a@b\n2,nobody\n3,busy-c@d\n4,busy-e@f\n";

fn held() -> Script {
    Script {
        hold_results: true,
        ..Script::default()
    }
}

/// Submits a file without waiting for it.
async fn detach(fake: &Fake, folder: &Folder, text: &str) -> String {
    let file = folder.write("file.csv", text);
    let run = run(fake, &["submit", &file, "-t", "crm", "--detach"]).await;
    assert_eq!(run.status, 0, "{}", run.stderr);
    run.stdout.trim().to_owned()
}

fn assert_says(run: &Run, status: i32, stdout: &str, stderr: &str) {
    assert_eq!(run.status, status, "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains(stdout), "{}", run.stdout);
    assert!(run.stderr.contains(stderr), "{}", run.stderr);
}

#[tokio::test]
async fn a_batch_is_paused_and_says_so_wherever_it_is_looked_at() {
    let (fake, folder) = (Fake::start(held()).await, Folder::new());
    let id = detach(&fake, &folder, GUESTS).await;
    let paused = run(&fake, &["pause", &id]).await;
    insta::assert_snapshot!(fake.without_ids(&paused.stdout), @r"
    batch 00000000-0000-0000-0000-000000000000 is paused: 0 succeeded, 0 failed so far, 4 waiting, 0 on the wire
      `flowgate resume 00000000-0000-0000-0000-000000000000` lets it go on
    ");
    let again = run(&fake, &["pause", &id]).await;
    assert_eq!((again.status, again.stdout), (0, paused.stdout));
    let list = run(&fake, &["list", "--state", "paused"]).await;
    assert_says(&list, 0, "PAUSED", "");
    let got = run(&fake, &["get", &id]).await;
    assert_says(&got, 0, "waiting     the batch is paused", "");
    // A follower is told, and sees the end once it goes on.
    let mut child = program(&fake.address, &["watch", &id]).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let waits = loop {
        let line = said.next_line().await.unwrap().expect("more to come");
        if line.contains("waiting") {
            break line;
        }
    };
    assert_eq!(
        waits,
        "0 of 4: 0 succeeded, 0 failed; waiting: the batch is paused"
    );
    let resumed = run(&fake, &["resume", &id]).await;
    assert_says(&resumed, 0, "goes on: 0 succeeded, 0 failed so far", "");
    assert_says(&resumed, 0, &format!("`flowgate watch {id}`"), "");
    fake.release(4);
    let ended = child.wait_with_output().await.unwrap();
    assert_eq!(ended.status.code(), Some(2));
}

#[tokio::test]
async fn what_is_over_is_neither_paused_nor_resumed_and_a_wrong_id_is_told() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let id = detach(&fake, &folder, GUESTS).await;
    for verb in ["pause", "resume"] {
        let run = run(&fake, &[verb, &id]).await;
        let says = format!("batch {id} had already finished: 2 succeeded, 2 failed");
        assert_says(&run, 0, &says, "");
        let unknown = self::run(&fake, &[verb, "nope"]).await;
        assert_says(&unknown, 1, "", "(BATCH_NOT_FOUND)");
        assert_says(&unknown, 1, "", "flowgate list");
        let unknown = self::run(&fake, &[verb, "--target", "crn"]).await;
        assert_says(&unknown, 1, "", "`flowgate targets` lists");
        let neither = self::run(&fake, &[verb]).await;
        assert_says(&neither, 1, "", "<ID|--target <NAME>>");
        let both = self::run(&fake, &[verb, &id, "--target", "crm"]).await;
        assert_says(&both, 1, "", "cannot be used with");
    }
    let reason = run(&fake, &["pause", &id, "--reason", "x"]).await;
    assert_says(&reason, 1, "", "cannot be used with '--reason");
}

#[tokio::test]
async fn a_target_is_held_for_everybody_and_says_why() {
    let (fake, folder) = (Fake::start(held()).await, Folder::new());
    let id = detach(&fake, &folder, GUESTS).await;
    let args = ["pause", "--target", "crm", "--reason", "upgrade"];
    let first = run(&fake, &args).await;
    insta::assert_snapshot!(first.stdout, @r"
    target crm is held since 2026-11-21 08:00:00Z: 7 items waiting, 0 requests on the wire
      its batches say: an operator holds the target: upgrade
      `flowgate resume --target crm` lets it go on
    ");
    let second = run(&fake, &["pause", "-t", "crm", "--reason", "mine"]).await;
    let says = "the target: upgrade (it was held before, and the first reason stays)";
    assert_says(&second, 0, says, "");
    let targets = run(&fake, &["targets"]).await;
    insta::assert_snapshot!(targets.stdout, @r"
    target  operation     limits           queued  last second  paused
    crm     POST /guests  100/s, 100000/d  7       0            since 2026-11-21 08:00:00Z: an operator holds the target: upgrade
    erp     POST /guests  100/s, 100000/d  7       0            no
    ");
    let one = run(&fake, &["targets", "crm"]).await;
    assert_says(&one, 0, "paused        since 2026-11-21 08:00:00Z", "");
    let json = run(&fake, &["targets", "crm", "--json"]).await;
    assert_says(&json, 0, r#""held_since": "2026-11-21T08:00:00Z""#, "");
    let list = run(&fake, &["list"]).await;
    assert_says(&list, 0, "waits: an operator holds the target: upgrade", "");
    // A batch that is let go on says that this is not all.
    let resumed = run(&fake, &["resume", &id]).await;
    assert_says(&resumed, 0, "it waits: an operator holds the target", "");
    let let_go = run(&fake, &["resume", "--target", "crm"]).await;
    assert_says(&let_go, 0, "target crm goes on: 7 items waiting", "");
    let list = run(&fake, &["list"]).await;
    assert!(!list.stdout.contains("remarks"), "{}", list.stdout);
}

#[tokio::test]
async fn failures_go_in_again_and_typing_it_twice_submits_nothing_twice() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("orders.csv", ORDERS);
    let submitted = run(&fake, &["submit", &file, "-t", "crm"]).await;
    assert_eq!(submitted.status, 2, "{}", submitted.stderr);
    let steps = submitted.stdout.split_once("To submit those").unwrap().1;
    insta::assert_snapshot!(fake.without_ids(steps), @r"
     again that may do better as they are:
      flowgate retry 00000000-0000-0000-0000-000000000000
    To correct them and submit them again:
      flowgate results 00000000-0000-0000-0000-000000000000 --failed --kind rejected -o failed.csv
    ");
    let id = fake.id(0);
    let retried = run(&fake, &["retry", &id]).await;
    let new = fake.id(1);
    // The new batch's id comes first.
    let first = format!("batch {new}: 2 items of batch {id}, again\n");
    assert!(retried.stderr.starts_with(&first), "{}", retried.stderr);
    assert_says(&retried, 0, "2 succeeded, 0 failed", "");
    assert_eq!(
        fake.payloads(1),
        [
            r#"{"nr":"3","email":"busy-c@d"}"#,
            r#"{"nr":"4","email":"busy-e@f"}"#
        ]
    );
    let again = run(&fake, &["retry", &id]).await;
    assert_says(&again, 0, &new, "nothing is submitted again");
    assert_eq!(fake.batches(), 2);
    let more = ["retry", &id, "--request-id", "more", "--detach"];
    let more = run(&fake, &more).await;
    assert_eq!(
        (more.status, more.stdout),
        (0, format!("{}\n", fake.id(2))),
        "{}",
        more.stderr
    );
    let kinds = ["retry", &id, "--kind", "rejected", "--kind", "unavailable"];
    assert_says(&run(&fake, &kinds).await, 2, "2 succeeded, 1 failed", "");
}

#[tokio::test]
async fn a_retry_that_cannot_be_says_what_can() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let id = detach(&fake, &folder, GUESTS).await;
    let nothing = run(&fake, &["retry", &id]).await;
    assert_eq!(nothing.status, 1);
    insta::assert_snapshot!(fake.without_ids(&nothing.stderr), @r"
    error: nothing failed so (NOTHING_TO_RETRY)
      To correct them and submit them again:
        flowgate results 00000000-0000-0000-0000-000000000000 --failed -o failed.jsonl
    ");
    let good = detach(&fake, &folder, "email\na@b\n").await;
    let nothing = run(&fake, &["retry", &good]).await;
    assert_says(&nothing, 1, "", "none of its items failed");
    let unknown = run(&fake, &["retry", "nope"]).await;
    assert_says(&unknown, 1, "", "(BATCH_NOT_FOUND)");
    let kind = run(&fake, &["retry", &id, "--kind", "lost"]).await;
    assert_says(&kind, 1, "", "the kinds are invalid, rejected");
}

#[tokio::test]
async fn a_batch_that_is_not_over_is_not_retried() {
    let (fake, folder) = (Fake::start(held()).await, Folder::new());
    let id = detach(&fake, &folder, GUESTS).await;
    let run = run(&fake, &["retry", &id]).await;
    assert_says(&run, 1, "", "(NOT_FINISHED)");
    assert_says(&run, 1, "", "`flowgate watch` follows it");
}

#[tokio::test]
async fn ctrl_c_while_a_retry_is_followed_leaves_it_running() {
    let (fake, folder) = (Fake::start(held()).await, Folder::new());
    let id = detach(&fake, &folder, ORDERS).await;
    fake.release(4);
    let child = program(&fake.address, &["retry", &id]).spawn().unwrap();
    fake.watched().await;
    let run = interrupt(child).await;
    let new = fake.id(1);
    assert_eq!(run.status, 130, "{}", run.stderr);
    let says = format!("batch {new} goes on\n  to follow it:  flowgate watch {new}\n");
    assert!(run.stderr.contains(&says), "{}", run.stderr);
    fake.release(2);
    let rest = self::run(&fake, &["retry", &id]).await;
    assert_says(&rest, 0, "2 succeeded, 0 failed", "");
    assert_eq!(fake.batches(), 2);
}

#[tokio::test]
async fn a_retry_whose_answer_is_lost_is_asked_for_again() {
    let script = Script {
        lose_retry: true,
        ..Script::default()
    };
    let (fake, folder) = (Fake::start(script).await, Folder::new());
    let id = detach(&fake, &folder, ORDERS).await;
    let run = run(&fake, &["retry", &id]).await;
    let lost = "the connection was lost; trying again";
    assert_says(&run, 0, "2 succeeded, 0 failed", lost);
    assert_eq!(fake.batches(), 2);
}

#[tokio::test]
async fn a_batch_is_asked_for_with_an_order_a_deadline_and_a_policy() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("guests.csv", GUESTS);
    let args = ["submit", &file, "-t", "crm"];
    let stops = [
        "--ordered",
        "--deadline",
        "2030-01-31T12:00:00Z",
        "--stop-after",
        "30",
        "--stop-at-share",
        "90%",
    ];
    run(&fake, &[&args[..], &stops].concat()).await;
    let got = run(&fake, &["get", &fake.id(0)]).await;
    for line in [
        "order       strict\n",
        "deadline    2030-01-31 12:00:00Z\n",
        "stops       at 30 failures or 90 % failing\n",
    ] {
        assert!(got.stdout.contains(line), "{}", got.stdout);
    }
    let json = run(&fake, &["get", &fake.id(0), "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json["ordering"], "STRICT");
    assert_eq!(json["deadline"], "2030-01-31T12:00:00Z");
    assert_eq!(json["failure_policy"]["stop_at_share"], 0.9);
    assert_eq!(json["sealed_by"], "CLIENT");
    assert!(json["stopped_by"].is_null());
    // The order is part of what a batch is, what stops it is not.
    run(&fake, &args).await;
    run(&fake, &[&args[..], &["--stop-after", "1"]].concat()).await;
    assert_eq!(fake.batches(), 2);
    for (option, value) in [
        ("--deadline", "soon"),
        ("--stop-after", "0"),
        ("--stop-at-share", "10"),
    ] {
        let run = run(&fake, &[&args[..], &[option, value]].concat()).await;
        assert_says(&run, 1, "", option);
    }
}

#[tokio::test]
async fn a_batch_that_its_policy_stopped_says_so_and_what_of_the_file_is_not_in_it() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let text = "{}\n".repeat(4) + &many(1_196);
    let file = folder.write("many.jsonl", &text);
    let args = ["submit", &file, "-t", "crm", "--stop-after", "3"];
    let first = run(&fake, &[&args[..], &["--max-failures", "0"]].concat()).await;
    let stopped = "Stopped by its failure policy (at 3 failures): 497 not sent";
    let cut = "was sealed with 500 rows: the other 700, from line 501 on, are not in it";
    assert_says(&first, 2, stopped, cut);
    assert_says(&first, 2, "--kind aborted\n", "");
    assert_eq!(fake.payloads(0).len(), 500);
    let list = run(&fake, &["list"]).await;
    assert_says(&list, 0, "stopped by its failure policy", "");
    // The same command shows the same.
    let second = run(&fake, &[&args[..], &["--max-failures", "0"]].concat()).await;
    assert_says(&second, 2, stopped, cut);
    assert_eq!(second.stdout, first.stdout);
    // Only the id, and no success where not all is handed in.
    let detached = run(&fake, &[&args[..], &["--detach"]].concat()).await;
    assert_eq!(detached.stdout, format!("{}\n", fake.id(0)));
    assert_says(&detached, 1, "", cut);
}

#[tokio::test]
async fn what_is_read_from_stdin_is_cut_short_too() {
    let fake = Fake::start(Script::default()).await;
    let args = ["submit", "-", "--format", "jsonl", "-t", "crm"];
    let mut command = program(&fake.address, &args);
    command.args(["--stop-after", "1", "--max-failures", "0"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all("{}\n".repeat(600).as_bytes())
        .await
        .unwrap();
    // Its end never comes.
    let run = finish_of(child).await;
    let cut = "was sealed with 500 rows: the rest is not in it";
    assert_says(&run, 2, "Stopped by its failure policy", cut);
    drop(stdin);
}

async fn finish_of(child: tokio::process::Child) -> Run {
    let output = child.wait_with_output().await.unwrap();
    Run {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn what_was_answered_from_the_record_is_counted_and_written() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let file = folder.write("orders.csv", "nr,email\nknown,a@b\nnew,c@d\n");
    let out = folder.name("out.jsonl");
    let args = ["submit", &file, "-t", "crm", "--key-column", "nr"];
    let run = run(&fake, &[&args[..], &["--results", &out]].concat()).await;
    let says = "1 not sent: earlier items had the same keys, and theirs are the outcomes";
    assert_says(&run, 0, says, "");
    let written = read(&out);
    let replayed: Vec<bool> = written
        .lines()
        .map(|line| line.contains(r#""attempts":0,"replayed":true"#))
        .collect();
    assert_eq!(replayed, [true, false], "{written}");
}

#[tokio::test]
async fn results_are_chosen_by_kind() {
    let (fake, folder) = (Fake::start(Script::default()).await, Folder::new());
    let id = detach(&fake, &folder, ORDERS).await;
    let out = folder.name("fix.csv");
    let args = ["results", &id, "--failed", "--kind", "rejected", "-o", &out];
    let run = run(&fake, &args).await;
    assert_says(&run, 0, "", "1 failed item written");
    insta::assert_snapshot!(read(&out), @r"
    nr,email,$error
    2,nobody,REJECTED email: must be an e-mail address
    ");
    let args = ["results", &id, "--kind", "unavailable"];
    let listed = finish(&mut program(&fake.address, &args)).await;
    assert_eq!(listed.stdout.lines().count(), 2, "{}", listed.stdout);
    assert!(listed.stdout.contains(r#""kind":"UNAVAILABLE""#));
}
