//! What is done with rows.

use flowgate::model::Verb::{Create, Delete, Update};

use crate::support::postgres::{Cluster, Proxy};
use crate::world::{
    GUESTS, all_own, config, doing, guests, item, message, numbered, own, send, target, unattended,
};

const SHOWN: &str =
    "SELECT concat_ws(' ', id, email, coalesce(name, '-'), visits) FROM guests ORDER BY id";

#[tokio::test]
async fn new_rows_have_what_was_given_and_else_their_defaults() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let target = guests(&cluster, "");
    let replies = send(
        &target,
        vec![
            item(r#"{"email":"a@x","name":"A"}"#),
            item(r#"{"email":"b@x","visits":7}"#),
            item(r#"{"name":null,"email":"c@x"}"#),
            item(r#"{"visits":3,"id":99,"email":"d@x"}"#),
            item(r#"{"email":"e@x","name":"first","name":"last"}"#),
        ],
    )
    .await;
    let ids = ["201 {\"id\": 1}", "201 {\"id\": 2}"];
    let said = all_own(&replies);
    assert!(
        said.iter().all(|said| said.starts_with("201 {\"id\": ")),
        "{said:?}"
    );
    assert!(
        ids.iter().all(|id| said.contains(&(*id).to_owned())),
        "{said:?}"
    );
    let mut rows = cluster
        .texts(
            "SELECT concat_ws(' ', email, coalesce(name, '-'), visits) FROM guests ORDER BY email",
        )
        .await;
    assert_eq!(
        rows,
        ["a@x A 1", "b@x - 7", "c@x - 1", "d@x - 3", "e@x last 1"]
    );
    rows = cluster
        .texts("SELECT id::text FROM guests WHERE email = 'd@x'")
        .await;
    assert_eq!(rows, ["99"]);
    // Each reply is about its own item's row.
    for (at, email) in ["a@x", "b@x", "c@x", "d@x", "e@x"].iter().enumerate() {
        let ids = cluster
            .texts(&format!(
                "SELECT id::text FROM guests WHERE email = '{email}'"
            ))
            .await;
        assert_eq!(said[at], format!("201 {{\"id\": {}}}", ids[0]));
    }
}

#[tokio::test]
async fn a_chunk_is_one_round_trip() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let proxy = Proxy::start(&cluster).await;
    for (settings, items) in [
        ("operation = \"create\"", numbered(500)),
        (
            "operation = \"upsert\"\nkey_columns = [\"email\"]",
            numbered(500),
        ),
        (
            "operation = \"update\"\nkey_columns = [\"email\"]",
            numbered(500),
        ),
        (
            "operation = \"create\"",
            vec![
                doing(Create, "", r#"{"email":"x@x"}"#),
                doing(Create, "", r#"{"email":"y@x","visits":2}"#),
                doing(Update, "1", r#"{"name":"new"}"#),
                doing(Delete, "2", ""),
            ],
        ),
        (
            "operation = \"delete\"\nkey_columns = [\"email\"]",
            vec![item(r#"{"email":"x@x"}"#)],
        ),
    ] {
        let config = config(&proxy.url(), &format!("table = \"guests\"\n{settings}"));
        let target = unattended(config);
        // The first one prepares its statements; what it does is done once more
        // where that can be.
        let first = send(&target, items.clone()).await;
        assert!(
            all_own(&first).iter().all(|said| said.starts_with('2')),
            "{settings}"
        );
        cluster
            .run_sql("DELETE FROM guests WHERE email IN ('x@x', 'y@x')")
            .await;
        if settings.contains("create") && items.len() == 500 {
            cluster.run_sql("TRUNCATE guests RESTART IDENTITY").await;
        }
        proxy.round_trips();
        let again = send(&target, items).await;
        assert_eq!(again.len(), first.len());
        assert_eq!(proxy.round_trips(), 1, "{settings}");
    }
}

#[tokio::test]
async fn actions_of_all_sorts_go_in_one_chunk() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql("INSERT INTO guests (email) VALUES ('a@x'), ('b@x'), ('c@x')")
        .await;
    let target = guests(&cluster, "");
    let replies = send(
        &target,
        vec![
            doing(Update, "1", r#"{"name":"Ada"}"#),
            doing(Delete, "2", ""),
            doing(Create, "", r#"{"email":"d@x"}"#),
            doing(Update, "77", r#"{"name":"Nobody"}"#),
            doing(Delete, "78", ""),
            doing(Update, "3", r#"{"visits":9}"#),
            doing(Update, "3", "{}"),
        ],
    )
    .await;
    assert_eq!(
        all_own(&replies),
        [
            "200 {\"id\": 1}",
            "200 {\"id\": 2}",
            "201 {\"id\": 4}",
            "refused NOT_FOUND action.resource_id",
            "refused NOT_FOUND action.resource_id",
            "200 {\"id\": 3}",
            "200 {\"id\": 3}",
        ]
    );
    assert_eq!(
        cluster.texts(SHOWN).await,
        ["1 a@x Ada 1", "3 c@x - 9", "4 d@x - 1"]
    );
}

#[tokio::test]
async fn rows_are_found_by_the_key_columns() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    let upsert = guests(
        &cluster,
        "operation = \"upsert\"\nkey_columns = [\"email\"]",
    );
    let update = guests(
        &cluster,
        "operation = \"update\"\nkey_columns = [\"email\"]",
    );
    let delete = guests(
        &cluster,
        "operation = \"delete\"\nkey_columns = [\"email\"]",
    );
    let replies = send(
        &upsert,
        vec![
            item(r#"{"email":"a@x","name":"A"}"#),
            item(r#"{"email":"b@x","name":"B","visits":2}"#),
            // The same once more, after the others.
            item(r#"{"email":"a@x","name":"A2"}"#),
        ],
    )
    .await;
    let emails = ["200 {\"email\": \"a@x\"}", "200 {\"email\": \"b@x\"}"];
    assert_eq!(all_own(&replies), [emails[0], emails[1], emails[0]]);
    let rows = "SELECT concat_ws(' ', email, name, visits) FROM guests ORDER BY email";
    assert_eq!(cluster.texts(rows).await, ["a@x A2 1", "b@x B 2"]);
    let replies = send(
        &update,
        vec![
            item(r#"{"email":"b@x","visits":5}"#),
            item(r#"{"email":"nobody@x","visits":5}"#),
            item(r#"{"visits":5}"#),
            item(r#"{"email":null}"#),
        ],
    )
    .await;
    assert_eq!(
        all_own(&replies),
        [
            emails[1],
            "refused NOT_FOUND payload",
            "refused NO_KEY payload.email",
            "refused NO_KEY payload.email",
        ]
    );
    let replies = send(
        &delete,
        vec![
            item(r#"{"email":"a@x"}"#),
            item(r#"{"email":"a@x"}"#),
            item(r#"{"email":"b@x","visits":5}"#),
        ],
    )
    .await;
    assert_eq!(
        all_own(&replies),
        [
            emails[0],
            "refused NOT_FOUND payload",
            "refused COLUMN_NOT_ALLOWED payload.visits"
        ]
    );
    assert_eq!(cluster.texts(rows).await, ["b@x B 5"]);
}

/// Two items for one row, in words that only the database finds to be the same.
#[tokio::test]
async fn two_items_for_one_row_are_done_one_after_the_other() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql("INSERT INTO guests (email) VALUES ('a@x')")
        .await;
    let target = guests(&cluster, "operation = \"upsert\"");
    let replies = send(
        &target,
        vec![
            doing(Update, "1", r#"{"visits":2}"#),
            doing(Update, "01", r#"{"visits":3}"#),
            doing(Update, " 1", r#"{"visits":4}"#),
        ],
    )
    .await;
    assert_eq!(all_own(&replies), ["200 {\"id\": 1}"; 3]);
    assert_eq!(cluster.texts(SHOWN).await, ["1 a@x - 4"]);
    let replies = send(
        &target,
        vec![
            item(r#"{"id":1,"email":"a@x","visits":5}"#),
            item(r#"{"id":"01","email":"a@x","visits":6}"#),
        ],
    )
    .await;
    assert_eq!(all_own(&replies), ["200 {\"id\": 1}"; 2]);
    assert_eq!(cluster.texts(SHOWN).await, ["1 a@x - 6"]);
}

#[tokio::test]
async fn one_bad_row_among_many_is_named_and_the_others_are_done() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster
        .run_sql("INSERT INTO guests (email) VALUES ('taken@x')")
        .await;
    let target = guests(&cluster, "");
    for (bad, expected, says) in [
        (
            r#"{"email":"taken@x"}"#,
            "refused SQLSTATE_23505 payload.email",
            "email_is_free",
        ),
        (
            r#"{"email":"neg@x","visits":-1}"#,
            "refused SQLSTATE_23514 payload.visits",
            "visits_are_some",
        ),
        (
            r#"{"name":"No Mail"}"#,
            "refused SQLSTATE_23502 payload.email",
            "null",
        ),
        (
            r#"{"email":"many@x","visits":"many"}"#,
            "refused SQLSTATE_22P02 payload.visits",
            "many",
        ),
        (
            r#"{"email":"big@x","visits":3000000000}"#,
            "refused SQLSTATE_22003 payload.visits",
            "out of range",
        ),
        (
            r#"{"email":"long@x","name":"a name of more than twenty letters"}"#,
            "refused SQLSTATE_22001 payload.name",
            "too long",
        ),
        (
            r#"{"email":"a\u0000b"}"#,
            "refused INVALID_VALUE payload.email",
            "NUL",
        ),
        (
            r#"{"email":"x@x","age":1}"#,
            "refused UNKNOWN_COLUMN payload.age",
            "no such column",
        ),
        ("[]", "refused INVALID_PAYLOAD payload", "JSON object"),
    ] {
        cluster
            .run_sql("DELETE FROM guests WHERE email LIKE 'guest%'")
            .await;
        let mut items = numbered(500);
        items[321] = item(bad);
        let replies = send(&target, items).await;
        assert_eq!(
            own(&replies[321]),
            expected,
            "{bad}: {}",
            message(&replies[321])
        );
        assert!(
            message(&replies[321]).contains(says),
            "{}",
            message(&replies[321])
        );
        if let Some((_, rest)) = expected.split_once("SQLSTATE_") {
            let state = &rest[..5];
            assert!(
                message(&replies[321]).contains(state),
                "{}",
                message(&replies[321])
            );
        }
        let done = replies.iter().filter(|reply| own(reply).starts_with("201"));
        assert_eq!(done.count(), 499, "{bad}");
        let there = cluster
            .count("SELECT count(*) FROM guests WHERE email LIKE 'guest%'")
            .await;
        assert_eq!(there, 499, "{bad}");
    }
}

#[tokio::test]
async fn a_function_is_called_with_each_payload() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster
        .run_sql(
            "CREATE TABLE calls (n int, payload jsonb);
             CREATE FUNCTION add(p jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
             BEGIN
               IF (p->>'n')::int = 3 THEN
                 RAISE EXCEPTION 'three is not welcome' USING ERRCODE = 'P0001';
               END IF;
               INSERT INTO calls VALUES ((p->>'n')::int, p);
               RETURN jsonb_build_object('got', p->'n');
             END $$;
             CREATE SCHEMA crm;
             CREATE FUNCTION crm.nothing(p jsonb) RETURNS void LANGUAGE sql AS
               'INSERT INTO public.calls VALUES (100, p)'",
        )
        .await;
    let add = target(config(&cluster.url(), "function = \"add\""));
    let items = (0..6).map(|n| item(format!(r#"{{"n":{n}}}"#)));
    let mut items: Vec<_> = items.collect();
    items.push(doing(Create, "", "{}"));
    let replies = send(&add, items).await;
    let got = |n: u32| format!("200 {{\"got\": {n}}}");
    let refused = "refused SQLSTATE_P0001".to_owned();
    let actions = "refused OPERATION_NOT_ALLOWED action".to_owned();
    assert_eq!(
        all_own(&replies),
        [got(0), got(1), got(2), refused, got(4), got(5), actions]
    );
    assert!(message(&replies[3]).contains("three is not welcome"));
    let calls = "SELECT n::text FROM calls ORDER BY n";
    assert_eq!(cluster.texts(calls).await, ["0", "1", "2", "4", "5"]);
    let nothing = target(config(&cluster.url(), "function = \"crm.nothing\""));
    assert_eq!(all_own(&send(&nothing, vec![item("[1,2]")]).await), ["200"]);
    let there = cluster
        .texts("SELECT payload::text FROM calls WHERE n = 100")
        .await;
    assert_eq!(there, ["[1, 2]"]);
    assert_eq!(nothing.operation(), "call crm.nothing");
}
