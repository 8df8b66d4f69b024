//! Items whose keys are written together with what they do.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use flowgate::model::Verb::{Create, Delete, Update};
use flowgate::model::{Item, Reply};
use flowgate::target::Target;

use crate::support::patience::within;
use crate::support::postgres::{Cluster, Cut, Proxy};
use crate::support::program::PROGRAM;
use crate::world::{
    GUESTS, all_own, config, doing, guests, item, message, numbered, own, send, sent, target,
};

const DEDUPE: &str = "dedupe_table = \"flowgate_keys\"";

/// A server with guests, and a table for keys that `flowgate prepare` has made.
async fn prepared() -> Option<Cluster> {
    let cluster = Cluster::start().await?;
    cluster.run_sql(GUESTS).await;
    let said = prepare(&cluster, &[]);
    assert!(said.contains("flowgate_keys is there"), "{said}");
    Some(cluster)
}

fn prepare(cluster: &Cluster, arguments: &[&str]) -> String {
    let text = format!(
        "[targets.guests]\nkind = \"postgres\"\nurl = \"{}\"\n\
         [targets.guests.postgres]\ntable = \"guests\"\n{DEDUPE}\n",
        cluster.url()
    );
    let path = cluster.file("flowgate.toml", &text);
    let output = Command::new(PROGRAM)
        .arg("prepare")
        .arg(path)
        .args(arguments)
        .output();
    let output = output.expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    said
}

fn with_key(mut item: Item, key: &str) -> Item {
    item.key = Some(key.to_owned());
    item
}

#[tokio::test]
async fn prepare_shows_what_it_would_do_and_does_it_once() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let said = prepare(&cluster, &["--dry-run"]);
    assert!(
        said.contains("CREATE TABLE IF NOT EXISTS \"flowgate_keys\""),
        "{said}"
    );
    let there = "SELECT count(*) FROM pg_class WHERE relname = 'flowgate_keys'";
    assert_eq!(cluster.count(there).await, 0);
    prepare(&cluster, &[]);
    prepare(&cluster, &[]);
    assert_eq!(cluster.count(there).await, 1);
    // What it shows is what it does.
    cluster.run_sql("DROP TABLE flowgate_keys").await;
    cluster.run_sql(&said).await;
    assert_eq!(cluster.count(there).await, 1);
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_was_and_does_nothing() {
    let Some(cluster) = prepared().await else {
        return;
    };
    cluster
        .run_sql("INSERT INTO guests (id, email) VALUES (100, 'c@x'), (101, 'd@x')")
        .await;
    cluster
        .run_sql(
            "CREATE TABLE calls (n int);
             CREATE FUNCTION add(p jsonb) RETURNS int LANGUAGE sql AS
             'INSERT INTO calls VALUES ((p->>''n'')::int) RETURNING n'",
        )
        .await;
    let table = guests(&cluster, DEDUPE);
    let items = || {
        vec![
            item(r#"{"email":"a@x"}"#),
            with_key(item(r#"{"email":"b@x","visits":3}"#), "mine"),
            doing(Update, "100", r#"{"visits":4}"#),
            doing(Delete, "101", ""),
            doing(Update, "77", r#"{"visits":4}"#),
            item(r#"{"email":"c@x"}"#),
        ]
    };
    let first = send(&table, items()).await;
    // What a failed try takes of a sequence stays taken.
    let id = async |email| {
        let sql = format!("SELECT id::text FROM guests WHERE email = '{email}'");
        format!("201 {{\"id\": {}}}", cluster.texts(&sql).await[0])
    };
    assert_eq!(
        all_own(&first),
        [
            &*id("a@x").await,
            &*id("b@x").await,
            "200 {\"id\": 100}",
            "200 {\"id\": 101}",
            "refused NOT_FOUND action.resource_id",
            "refused SQLSTATE_23505 payload.email",
        ]
    );
    cluster
        .run_sql("UPDATE guests SET visits = 50 WHERE id = 100")
        .await;
    assert_eq!(all_own(&send(&table, items()).await), all_own(&first));
    let rows = "SELECT concat_ws(' ', email, visits) FROM guests ORDER BY email";
    assert_eq!(cluster.texts(rows).await, ["a@x 1", "b@x 3", "c@x 50"]);
    // One that failed has left no key: it may come again.
    cluster
        .run_sql("INSERT INTO guests (id, email) VALUES (77, 'e@x')")
        .await;
    let again = send(&table, items()).await;
    assert_eq!(own(&again[4]), "200 {\"id\": 77}");
    let call = target(config(
        &cluster.url(),
        &format!("function = \"add\"\n{DEDUPE}"),
    ));
    let items = || vec![item(r#"{"n":1}"#), item(r#"{"n":2}"#)];
    for _ in 0..2 {
        assert_eq!(
            all_own(&sent(&call, items(), 2, false).await),
            ["200 1", "200 2"]
        );
    }
    assert_eq!(cluster.count("SELECT count(*) FROM calls").await, 2);
}

#[tokio::test]
async fn a_key_stands_for_one_item_only() {
    let Some(cluster) = prepared().await else {
        return;
    };
    let target = guests(&cluster, DEDUPE);
    let first = with_key(item(r#"{"email":"a@x"}"#), "k");
    let other = with_key(item(r#"{"email":"b@x"}"#), "k");
    assert_eq!(
        all_own(&send(&target, vec![first]).await),
        ["201 {\"id\": 1}"]
    );
    assert_eq!(
        all_own(&send(&target, vec![other]).await),
        ["refused KEY_REUSED"]
    );
    assert_eq!(cluster.count("SELECT count(*) FROM guests").await, 1);
}

/// The target, whose connection is cut at a statement that mentions this.
async fn cut_at(
    target: &Arc<dyn Target>,
    proxy: &Proxy,
    text: &str,
    cut: Cut,
    items: Vec<Item>,
) -> Vec<Reply> {
    proxy.cut(text, 0, cut);
    let replies = send(target, items).await;
    assert!(proxy.has_cut(), "{text} {cut:?}");
    replies
}

#[tokio::test]
async fn a_lost_answer_is_looked_up() {
    let Some(cluster) = prepared().await else {
        return;
    };
    let proxy = Proxy::start(&cluster).await;
    let target = target(config(
        &proxy.url(),
        &format!("table = \"guests\"\n{DEDUPE}"),
    ));
    let good = || numbered(20);
    // With one that is at fault, it is a transaction with a COMMIT of its own.
    let bad = || {
        let mut items = numbered(20);
        items[7] = item(r#"{"email":null,"name":"No Mail"}"#);
        items
    };
    for (items, text, cut, is_done) in [
        (good(), "guest.3@example.net", Cut::After, true),
        (good(), "guest.3@example.net", Cut::Before, false),
        (bad(), "COMMIT\0", Cut::After, true),
        (bad(), "COMMIT\0", Cut::Before, false),
    ] {
        let is_good = !text.contains("COMMIT");
        cluster
            .run_sql("TRUNCATE guests, flowgate_keys RESTART IDENTITY")
            .await;
        let replies = cut_at(&target, &proxy, text, cut, items.clone()).await;
        let there = cluster.count("SELECT count(*) FROM guests").await;
        let done = if is_good { 20 } else { 19 };
        assert_eq!(there, if is_done { done } else { 0 });
        for (at, reply) in replies.iter().enumerate() {
            let expected = match (is_done, is_good || at != 7) {
                (true, true) => "201",
                _ => "unknown CONNECTION_LOST",
            };
            assert!(own(reply).starts_with(expected), "{at}: {reply:?}");
        }
        // Nothing is done twice, whatever was known.
        let again = send(&target, items).await;
        assert_eq!(cluster.count("SELECT count(*) FROM guests").await, done);
        for (at, reply) in again.iter().enumerate() {
            let expected = match is_good || at != 7 {
                true => "201",
                false => "refused SQLSTATE_23502 payload.email",
            };
            assert!(own(reply).starts_with(expected), "{at}: {reply:?}");
        }
    }
}

/// The server goes on with what it was told when the connection was lost: the
/// repeat meets it half done.
#[tokio::test]
async fn a_repeat_waits_for_what_is_still_under_way() {
    let Some(cluster) = prepared().await else {
        return;
    };
    cluster
        .run_sql(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END';
             CREATE TRIGGER wait AFTER INSERT OR UPDATE OR DELETE ON guests
             FOR EACH ROW EXECUTE FUNCTION wait()",
        )
        .await;
    for (settings, item) in [
        ("", item(r#"{"email":"held@x"}"#)),
        (
            "operation = \"upsert\"\nkey_columns = [\"email\"]",
            item(r#"{"email":"held@x"}"#),
        ),
        ("", doing(Update, "7", r#"{"visits":2}"#)),
        ("", doing(Delete, "7", "")),
    ] {
        cluster
            .run_sql("TRUNCATE guests, flowgate_keys RESTART IDENTITY")
            .await;
        cluster
            .run_sql("INSERT INTO guests (id, email) VALUES (7, 'seven@x')")
            .await;
        let target = guests(&cluster, &format!("{settings}\n{DEDUPE}"));
        let holder = cluster.connect().await;
        let hold = holder.batch_execute("SELECT pg_advisory_lock(1)").await;
        hold.expect("a lock");
        let waits = async |count: i64| {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            let wait = async {
                while cluster.count(waiting).await < count {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            within("somebody waits", wait).await;
        };
        let send = || {
            let (target, items) = (target.clone(), vec![item.clone()]);
            tokio::spawn(async move { sent(&target, items, 3, false).await })
        };
        let first = send();
        waits(1).await;
        let second = send();
        waits(2).await;
        let release = holder.batch_execute("SELECT pg_advisory_unlock(1)").await;
        release.expect("it was held");
        let first = within("the first", first).await.expect("replies");
        let second = within("the second", second).await.expect("replies");
        assert_eq!(all_own(&first), all_own(&second), "{settings} {item:?}");
        assert!(own(&first[0]).starts_with('2'), "{first:?}");
        let made = "SELECT count(*) FROM guests WHERE email = 'held@x'";
        assert!(cluster.count(made).await <= 1);
        assert_eq!(cluster.count("SELECT count(*) FROM flowgate_keys").await, 1);
    }
}

#[tokio::test]
async fn old_keys_are_thrown_away_and_young_ones_are_kept() {
    let Some(cluster) = prepared().await else {
        return;
    };
    cluster
        .run_sql(
            "INSERT INTO flowgate_keys (target, key, fingerprint, done_at)
             SELECT t, n || t, '', now() - make_interval(hours => h)
             FROM generate_series(1, 2500) n, (VALUES ('guests', 2), ('guests', 0), ('others', 2)) v(t, h)
             ON CONFLICT DO NOTHING;
             INSERT INTO flowgate_keys (target, key, fingerprint) VALUES ('guests', 'young', '')",
        )
        .await;
    let target = guests(&cluster, &format!("{DEDUPE}\nkeep_keys = \"1h\""));
    let gone = async {
        let old = "SELECT count(*) FROM flowgate_keys WHERE target = 'guests'";
        while cluster.count(old).await > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("old keys go", gone).await;
    let left = "SELECT target || count(*) FROM flowgate_keys GROUP BY target ORDER BY 1";
    assert_eq!(cluster.texts(left).await, ["guests1", "others2500"]);
    drop(target);
}

#[tokio::test]
async fn without_its_table_nothing_is_done() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let target = guests(&cluster, DEDUPE);
    let replies = send(&target, vec![doing(Create, "", r#"{"email":"a@x"}"#)]).await;
    assert_eq!(own(&replies[0]), "fault SQLSTATE_42P01");
    assert!(
        message(&replies[0]).contains("flowgate_keys"),
        "{replies:?}"
    );
    assert_eq!(cluster.count("SELECT count(*) FROM guests").await, 0);
}

#[tokio::test]
async fn with_keys_it_is_one_round_trip_too() {
    let Some(cluster) = prepared().await else {
        return;
    };
    let proxy = Proxy::start(&cluster).await;
    let settings = format!("table = \"guests\"\n{DEDUPE}");
    let target = crate::world::unattended(config(&proxy.url(), &settings));
    sent(&target, numbered(500), 1, false).await;
    cluster.run_sql("TRUNCATE guests").await;
    proxy.round_trips();
    let replies = sent(&target, numbered(500), 2, false).await;
    assert!(all_own(&replies).iter().all(|said| said.starts_with("201")));
    assert_eq!(proxy.round_trips(), 1);
}
