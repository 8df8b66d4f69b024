//! All or nothing.

use flowgate::model::Reply;
use flowgate::model::Verb::{Create, Delete, Update};

use crate::support::postgres::{Cluster, Cut, Proxy};
use crate::world::{
    GUESTS, all_own, config, doing, guests, item, message, numbered, own, send_all, unattended,
};

const ROWS: &str = "SELECT concat_ws(' ', id, email, visits) FROM guests ORDER BY id";

#[tokio::test]
async fn all_are_done_in_order_or_none_is() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let target = guests(&cluster, "");
    let replies = send_all(
        &target,
        vec![
            doing(Create, "", r#"{"id":1,"email":"a@x"}"#),
            doing(Update, "1", r#"{"visits":5}"#),
            doing(Create, "", r#"{"id":2,"email":"b@x"}"#),
            doing(Delete, "1", ""),
            doing(Create, "", r#"{"id":1,"email":"again@x"}"#),
            doing(Update, "1", r#"{"visits":6}"#),
            doing(Update, "01", r#"{"visits":7}"#),
        ],
    )
    .await;
    let one = |status: u16| format!("{status} {{\"id\": 1}}");
    assert_eq!(
        all_own(&replies),
        [
            one(201),
            one(200),
            "201 {\"id\": 2}".to_owned(),
            one(200),
            one(201),
            one(200),
            one(200)
        ]
    );
    assert_eq!(cluster.texts(ROWS).await, ["1 again@x 7", "2 b@x 1"]);
}

#[tokio::test]
async fn the_culprit_is_named_and_nothing_is_done() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql(
            "CREATE TABLE rooms (n int PRIMARY KEY);
             ALTER TABLE guests ADD room int REFERENCES rooms DEFERRABLE INITIALLY DEFERRED;
             INSERT INTO guests (id, email) VALUES (1000, 'taken@x')",
        )
        .await;
    let target = guests(&cluster, "");
    for (bad, expected) in [
        (
            item(r#"{"email":"taken@x"}"#),
            "refused SQLSTATE_23505 payload.email",
        ),
        (
            item(r#"{"email":"a@x","visits":"x"}"#),
            "refused SQLSTATE_22P02 payload.visits",
        ),
        (
            item(r#"{"email":"a@x","age":1}"#),
            "refused UNKNOWN_COLUMN payload.age",
        ),
        (
            doing(Update, "77", r#"{"visits":2}"#),
            "refused NOT_FOUND action.resource_id",
        ),
        (
            doing(Delete, "77", ""),
            "refused NOT_FOUND action.resource_id",
        ),
        // Found only in the end, when all is there.
        (
            item(r#"{"email":"a@x","room":7}"#),
            "refused SQLSTATE_23503 payload.room",
        ),
    ] {
        let mut items = numbered(100);
        items[37] = bad;
        let replies = send_all(&target, items).await;
        assert_eq!(own(&replies[37]), expected, "{}", message(&replies[37]));
        for (at, reply) in replies.iter().enumerate().filter(|(at, _)| *at != 37) {
            assert!(matches!(reply, Reply::RolledBack(_)), "{at}: {reply:?}");
            assert!(message(reply).contains("item 37"), "{}", message(reply));
        }
        assert_eq!(cluster.texts(ROWS).await, ["1000 taken@x 1"], "{expected}");
    }
}

#[tokio::test]
async fn ten_thousand_are_done_together() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let target = guests(&cluster, "");
    assert_eq!(target.atomic_items(), Some(10_000));
    let mut items = numbered(10_000);
    items[9_876] = item(r#"{"email":"a@x","visits":-1}"#);
    let replies = send_all(&target, items).await;
    assert_eq!(
        own(&replies[9_876]),
        "refused SQLSTATE_23514 payload.visits"
    );
    assert_eq!(cluster.count("SELECT count(*) FROM guests").await, 0);
    let replies = send_all(&target, numbered(10_000)).await;
    assert!(all_own(&replies).iter().all(|said| said.starts_with("201")));
    assert_eq!(cluster.count("SELECT count(*) FROM guests").await, 10_000);
}

#[tokio::test]
async fn it_is_one_round_trip_and_two_where_rows_must_be_there() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let proxy = Proxy::start(&cluster).await;
    let target = unattended(config(&proxy.url(), "table = \"guests\""));
    let update = || doing(Update, "1", r#"{"visits":2}"#);
    send_all(&target, numbered(20)).await;
    send_all(&target, vec![update()]).await;
    cluster.run_sql("TRUNCATE guests RESTART IDENTITY").await;
    proxy.round_trips();
    let replies = send_all(&target, numbered(20)).await;
    assert!(all_own(&replies).iter().all(|said| said.starts_with("201")));
    assert_eq!(proxy.round_trips(), 1);
    let replies = send_all(&target, vec![update()]).await;
    assert_eq!(all_own(&replies), ["200 {\"id\": 1}"]);
    assert_eq!(proxy.round_trips(), 2);
}

#[tokio::test]
async fn a_lost_commit_is_unknown_for_all_and_a_lost_statement_undone_for_all() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql("INSERT INTO guests (id, email) VALUES (1, 'a@x'), (2, 'b@x')")
        .await;
    let proxy = Proxy::start(&cluster).await;
    let target = unattended(config(&proxy.url(), "table = \"guests\""));
    let items = || {
        vec![
            doing(Update, "1", r#"{"visits":2}"#),
            doing(Update, "2", r#"{"visits":2}"#),
        ]
    };
    for (text, cut, expected, visits) in [
        ("COMMIT\0", Cut::After, "unknown CONNECTION_LOST", "2"),
        ("COMMIT\0", Cut::Before, "unknown CONNECTION_LOST", "1"),
        // The statement is through, but nobody said that it should count.
        ("BEGIN", Cut::After, "unsent CONNECTION_LOST", "1"),
    ] {
        cluster.run_sql("UPDATE guests SET visits = 1").await;
        proxy.cut(text, 0, cut);
        let replies = send_all(&target, items()).await;
        assert!(proxy.has_cut());
        assert_eq!(all_own(&replies), [expected; 2], "{text} {cut:?}");
        let there = cluster
            .texts("SELECT visits::text FROM guests ORDER BY id")
            .await;
        assert_eq!(there, [visits, visits], "{text} {cut:?}");
    }
}
