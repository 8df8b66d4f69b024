//! What is said when something else than an item is at fault.

use std::sync::Arc;
use std::time::Duration;

use flowgate::model::Verb::Update;
use flowgate::target::Target;
use rustix::process::Signal;

use crate::support::patience::within;
use crate::support::postgres::{Cluster, Cut, Proxy};
use crate::world::{
    GUESTS, all_own, config, config_with, doing, guests, item, message, numbered, own, send, target,
};

#[tokio::test]
async fn a_lost_connection_is_unknown_unless_nothing_can_have_been_done() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let proxy = Proxy::start(&cluster).await;
    let target = target(config(&proxy.url(), "table = \"guests\""));
    let bad = || {
        let mut items = numbered(9);
        items[4] = item(r#"{"email":null,"name":"No Mail"}"#);
        items
    };
    for (items, text, cut, expected, there) in [
        (
            numbered(9),
            "guest.3@example.net",
            Cut::Before,
            "unknown CONNECTION_LOST",
            0,
        ),
        (
            numbered(9),
            "guest.3@example.net",
            Cut::After,
            "unknown CONNECTION_LOST",
            9,
        ),
        // Under savepoints, before anything was told to count.
        (bad(), "SAVEPOINT", Cut::After, "unsent CONNECTION_LOST", 0),
        (bad(), "SAVEPOINT", Cut::Before, "unsent CONNECTION_LOST", 0),
        (bad(), "COMMIT\0", Cut::Before, "unknown CONNECTION_LOST", 0),
        (bad(), "COMMIT\0", Cut::After, "unknown CONNECTION_LOST", 8),
    ] {
        cluster.run_sql("TRUNCATE guests").await;
        proxy.cut(text, 0, cut);
        let replies = send(&target, items.clone()).await;
        assert!(proxy.has_cut(), "{text} {cut:?}");
        assert_eq!(
            all_own(&replies),
            vec![expected; items.len()],
            "{text} {cut:?}"
        );
        assert_eq!(
            cluster.count("SELECT count(*) FROM guests").await,
            there,
            "{text} {cut:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_down_was_sent_nothing_and_is_used_when_it_is_back() {
    let Some(mut cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let target = guests(&cluster, "");
    for signal in [Signal::INT, Signal::QUIT] {
        assert!(own(&send(&target, numbered(1)).await[0]).starts_with("201"));
        cluster.stop(signal).await;
        let replies = send(&target, numbered(3)).await;
        assert_eq!(all_own(&replies), ["unsent CONNECT_FAILED"; 3]);
        cluster.run().await;
        cluster.run_sql("TRUNCATE guests").await;
    }
    assert!(own(&send(&target, numbered(1)).await[0]).starts_with("201"));
}

#[tokio::test]
async fn a_server_that_stops_says_so_before_it_has_done_anything() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql("INSERT INTO guests (email) VALUES ('a@x')")
        .await;
    let target = guests(&cluster, "");
    let holder = cluster.connect().await;
    holder
        .batch_execute("BEGIN; UPDATE guests SET visits = 2")
        .await
        .expect("a lock");
    let sending = tokio::spawn({
        let target = target.clone();
        async move { send(&target, vec![doing(Update, "1", r#"{"visits":3}"#)]).await }
    });
    let ends = async {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE application_name = 'flowgate' AND wait_event_type = 'Lock'";
        while cluster.count(end).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("it waits, and is ended", ends).await;
    let replies = within("the replies", sending).await.expect("replies");
    assert_eq!(all_own(&replies), ["unsent SQLSTATE_57P01"]);
    holder.batch_execute("COMMIT").await.expect("it ends");
    assert_eq!(
        cluster.texts("SELECT visits::text FROM guests").await,
        ["2"]
    );
}

#[tokio::test]
async fn a_row_that_is_held_is_late_and_the_others_are_not() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql("INSERT INTO guests (email) SELECT n || '@x' FROM generate_series(1, 8) n")
        .await;
    let config = config_with(&cluster.url(), "timeout = \"300ms\"", "table = \"guests\"");
    let target = target(config);
    let holder = cluster.connect().await;
    holder
        .batch_execute("BEGIN; UPDATE guests SET visits = 2 WHERE id = 5")
        .await
        .expect("a lock");
    let items = (1..=8).map(|n| doing(Update, &n.to_string(), r#"{"visits":3}"#));
    let replies = send(&target, items.collect()).await;
    for (at, reply) in replies.iter().enumerate() {
        let expected = match at {
            4 => "unsent SQLSTATE_57014".to_owned(),
            at => format!("200 {{\"id\": {}}}", at + 1),
        };
        assert_eq!(own(reply), expected, "{reply:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let proxy = Proxy::start(&cluster).await;
    let config = config_with(&proxy.url(), "timeout = \"500ms\"", "table = \"guests\"");
    let target = target(config);
    assert!(own(&send(&target, numbered(1)).await[0]).starts_with("201"));
    proxy.cut("quiet@x", 0, Cut::Silent);
    let replies = send(&target, vec![item(r#"{"email":"quiet@x"}"#)]).await;
    assert_eq!(all_own(&replies), ["unknown TIMEOUT"]);
    // The connection that did not answer is not used again.
    let replies = send(&target, vec![item(r#"{"email":"next@x"}"#)]).await;
    assert!(own(&replies[0]).starts_with("201"), "{replies:?}");
}

#[tokio::test]
async fn what_another_transaction_spoils_is_tried_again() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster
        .run_sql(
            "CREATE SEQUENCE tries; CREATE TABLE calls (n int);
             CREATE FUNCTION rival(p jsonb) RETURNS void LANGUAGE plpgsql AS $$
             BEGIN
               INSERT INTO calls VALUES (1);
               IF nextval('tries') <= (p->>'spoilt')::int THEN
                 RAISE EXCEPTION 'could not serialize' USING ERRCODE = p->>'state';
               END IF;
             END $$",
        )
        .await;
    let target = target(config(&cluster.url(), "function = \"rival\""));
    for (state, spoilt, expected, calls) in [
        ("40001", 3, "200", 1),
        ("40P01", 2, "200", 1),
        ("40001", 1000, "unsent SQLSTATE_40001", 0),
        ("53100", 1000, "busy SQLSTATE_53100", 0),
        ("25006", 1000, "unsent SQLSTATE_25006", 0),
        ("55P03", 1000, "unsent SQLSTATE_55P03", 0),
        ("42P07", 1000, "fault SQLSTATE_42P07", 0),
    ] {
        cluster
            .run_sql("TRUNCATE calls; ALTER SEQUENCE tries RESTART")
            .await;
        let json = format!(r#"{{"state":"{state}","spoilt":{spoilt}}}"#);
        let replies = send(&target, vec![item(json)]).await;
        assert_eq!(own(&replies[0]), expected, "{replies:?}");
        assert_eq!(cluster.count("SELECT count(*) FROM calls").await, calls);
    }
}

/// Two chunks that want the same rows in opposite order.
#[tokio::test]
async fn deadlocks_are_sorted_out() {
    let Some(cluster) = Cluster::with(&["deadlock_timeout=10ms"]).await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql("INSERT INTO guests (email) SELECT n || '@x' FROM generate_series(1, 2) n")
        .await;
    let target = guests(&cluster, "");
    let one = |id: &str| doing(Update, id, r#"{"visits":3}"#);
    // Two shapes, so that the order is that of the items.
    let other = |id: &str| doing(Update, id, r#"{"name":"x"}"#);
    let mut running = tokio::task::JoinSet::new();
    for n in 0..40 {
        let (first, second) = if n % 2 == 0 { ("1", "2") } else { ("2", "1") };
        let (target, items) = (target.clone(), vec![one(first), other(second)]);
        running.spawn(async move { send(&target, items).await });
    }
    while let Some(replies) = running.join_next().await {
        for reply in replies.expect("replies") {
            let said = own(&reply);
            let is_known = said.starts_with("200") || said == "unsent SQLSTATE_40P01";
            assert!(is_known, "{reply:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_full_is_busy() {
    let settings = [
        "max_connections=4",
        "superuser_reserved_connections=0",
        "max_wal_senders=0",
    ];
    let Some(cluster) = Cluster::with(&settings).await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let mut held = Vec::new();
    while let Some(client) = cluster.connection().await {
        held.push(client);
    }
    let target = guests(&cluster, "");
    let replies = send(&target, numbered(2)).await;
    assert_eq!(all_own(&replies), ["busy SQLSTATE_53300"; 2]);
    drop(held);
    let served = async {
        while own(&send(&target, numbered(1)).await[0]).starts_with("busy") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("it is served", served).await;
}

/// Sends until it is taken as this: the table is looked at again only so often.
async fn until(target: &Arc<dyn Target>, json: &str, expected: &str) {
    let mut last = String::new();
    let comes = async {
        while !last.starts_with(expected) {
            last = own(&send(target, vec![item(json)]).await[0]);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(expected, comes).await;
}

#[tokio::test]
async fn a_table_may_change() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster
        .run_sql("CREATE TABLE guests (id bigserial PRIMARY KEY, email text)")
        .await;
    let target = guests(&cluster, "");
    let warm = || vec![item(r#"{"email":"1"}"#)];
    assert!(own(&send(&target, warm()).await[0]).starts_with("201"));
    cluster
        .run_sql("ALTER TABLE guests ALTER email TYPE int USING email::int")
        .await;
    assert!(own(&send(&target, warm()).await[0]).starts_with("201"));
    cluster.run_sql("ALTER TABLE guests ADD age int").await;
    until(&target, r#"{"age":7}"#, "201").await;
    assert!(target.admit(&item(r#"{"age":7}"#)).is_ok());
    cluster.run_sql("ALTER TABLE guests DROP age").await;
    let replies = send(&target, vec![item(r#"{"age":7}"#)]).await;
    assert_eq!(own(&replies[0]), "refused UNKNOWN_COLUMN payload.age");
    cluster
        .run_sql("ALTER TABLE guests RENAME TO visitors")
        .await;
    let replies = send(&target, warm()).await;
    assert!(own(&replies[0]).starts_with("fault"), "{replies:?}");
    cluster
        .run_sql("ALTER TABLE visitors RENAME TO guests")
        .await;
    until(&target, r#"{"email":2}"#, "201").await;
}

#[tokio::test]
async fn an_unknown_column_is_refused_at_once_when_the_table_is_known() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let target = guests(&cluster, "columns = [\"email\", \"name\"]");
    send(&target, numbered(1)).await;
    for (json, field) in [
        (r#"{"email":"a@x","age":1}"#, "payload.age"),
        (r#"{"email":"a@x","visits":1}"#, "payload.visits"),
        ("[1]", "payload"),
    ] {
        let refused = target.admit(&item(json)).expect_err(json);
        assert_eq!(refused.violations[0].field, field);
    }
    assert!(target.admit(&item(r#"{"email":"a@x"}"#)).is_ok());
}

#[tokio::test]
async fn rights_are_the_operators_affair_and_policies_are_the_items() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql(
            "CREATE ROLE clerk LOGIN; GRANT SELECT ON guests TO clerk;
             GRANT USAGE ON SEQUENCE guests_id_seq TO clerk",
        )
        .await;
    let url = cluster.url().replace("postgres@", "clerk@");
    let target = target(config(&url, "table = \"guests\""));
    let replies = send(&target, numbered(3)).await;
    assert_eq!(all_own(&replies), ["fault SQLSTATE_42501"; 3]);
    assert!(
        message(&replies[0]).contains("permission denied"),
        "{replies:?}"
    );
    cluster
        .run_sql(
            "GRANT INSERT ON guests TO clerk;
             ALTER TABLE guests ENABLE ROW LEVEL SECURITY;
             CREATE POLICY see ON guests FOR SELECT USING (true);
             CREATE POLICY few ON guests FOR INSERT WITH CHECK (visits < 10)",
        )
        .await;
    let mut items = numbered(5);
    items[3] = item(r#"{"email":"a@x","visits":10}"#);
    let replies = send(&target, items).await;
    assert_eq!(own(&replies[3]), "refused SQLSTATE_42501");
    assert_eq!(cluster.count("SELECT count(*) FROM guests").await, 4);
}

#[tokio::test]
async fn what_is_checked_only_in_the_end_hits_its_own_item() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql(
            "CREATE TABLE rooms (n int PRIMARY KEY);
             ALTER TABLE guests ADD room int REFERENCES rooms DEFERRABLE INITIALLY DEFERRED",
        )
        .await;
    let target = guests(&cluster, "");
    let mut items = numbered(50);
    items[20] = item(r#"{"email":"a@x","room":7}"#);
    let replies = send(&target, items).await;
    assert_eq!(own(&replies[20]), "refused SQLSTATE_23503 payload.room");
    assert_eq!(cluster.count("SELECT count(*) FROM guests").await, 49);
}
