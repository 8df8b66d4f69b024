//! Values of every sort, as they arrive; and names and values that mean harm.

use crate::support::postgres::Cluster;
use crate::world::{all_own, config, doing, item, message, own, send, target};
use flowgate::model::Verb::{Delete, Update};

const EVERYTHING: &str = "
    CREATE TYPE mood AS ENUM ('fine', 'not so fine');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN short AS varchar(3) CHECK (VALUE <> 'bad');
    CREATE TABLE everything (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        small smallint, large bigint, exact numeric, cents numeric(8,2), approximate double precision,
        yes boolean, words text, fixed char(4), mood mood, short short, bits bit(3),
        day date, at timestamptz, span interval, ip inet, who uuid, bytes bytea,
        doc jsonb, plain json, numbers int[], grid text[][], pair pair, pairs pair[], range int4range,
        doubled bigint GENERATED ALWAYS AS (small::bigint * 2) STORED,
        made timestamptz NOT NULL DEFAULT now()
    )";

#[tokio::test]
async fn values_of_every_sort_arrive_as_they_are() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(EVERYTHING).await;
    let target = target(config(&cluster.url(), "table = \"everything\""));
    for (column, json, expected) in [
        ("small", "-32768", "-32768"),
        ("small", "\"7\"", "7"),
        ("large", "9223372036854775807", "9223372036854775807"),
        (
            "exact",
            "12345678901234567890.123456789012345678901",
            "12345678901234567890.123456789012345678901",
        ),
        ("exact", "1e30", "1000000000000000000000000000000"),
        ("cents", "12.345", "12.35"),
        ("approximate", "0.1", "0.1"),
        (
            "approximate",
            "1.7976931348623157e308",
            "1.7976931348623157e+308",
        ),
        ("yes", "true", "true"),
        ("yes", "\"off\"", "false"),
        (
            "words",
            r#""Zoë 🎈 \"quoted\" \\ \n 'x'""#,
            "Zoë 🎈 \"quoted\" \\ \n 'x'",
        ),
        ("words", r#""\ud83c\udf88""#, "🎈"),
        ("words", "12.50", "12.50"),
        ("words", "null", "NULL"),
        ("words", "\"null\"", "null"),
        ("words", "\"\"", ""),
        ("words", r#"{"a": [1]}"#, r#"{"a": [1]}"#),
        ("fixed", "\"ab\"", "ab  "),
        ("mood", "\"not so fine\"", "not so fine"),
        ("short", "\"abc\"", "abc"),
        ("bits", "\"101\"", "101"),
        ("day", "\"2026-11-21\"", "2026-11-21"),
        (
            "at",
            "\"2026-11-21T12:00:00.123456+02:00\"",
            "2026-11-21 10:00:00.123456+00",
        ),
        ("span", "\"1 day 02:00\"", "1 day 02:00:00"),
        ("ip", "\"10.0.0.1\"", "10.0.0.1/32"),
        (
            "who",
            "\"0191E0A0-0000-7000-8000-000000000001\"",
            "0191e0a0-0000-7000-8000-000000000001",
        ),
        ("bytes", r#""\\x00ff""#, "\\x00ff"),
        (
            "doc",
            r#"{"b": 1.10, "a": [null, "x"]}"#,
            r#"{"a": [null, "x"], "b": 1.10}"#,
        ),
        ("doc", "\"text\"", "\"text\""),
        ("doc", "null", "NULL"),
        ("plain", r#"{"b": 1,  "a": 2}"#, r#"{"b": 1,  "a": 2}"#),
        ("numbers", "[1, null, 3]", "{1,NULL,3}"),
        ("numbers", "\"{4,5}\"", "{4,5}"),
        ("numbers", "[]", "{}"),
        (
            "grid",
            r#"[["a", "b,c"], ["{", "\""]]"#,
            r#"{{a,"b,c"},{"{","\""}}"#,
        ),
        ("pair", r#"{"a": 1, "b": "x y"}"#, "(1,\"x y\")"),
        ("pairs", r#"[{"a": 1}, {"b": "z"}]"#, r#"{"(1,)","(,z)"}"#),
        ("range", "\"[1,5)\"", "[1,5)"),
    ] {
        cluster.run_sql("TRUNCATE everything").await;
        let replies = send(&target, vec![item(format!(r#"{{"{column}": {json}}}"#))]).await;
        assert!(
            own(&replies[0]).starts_with("201"),
            "{column} {json}: {replies:?}"
        );
        let there = format!("SET timezone = 'UTC'; SELECT {column}::text FROM everything");
        let rows = cluster
            .connect()
            .await
            .simple_query(&there)
            .await
            .expect("a row");
        let text = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
            _ => None,
        });
        let text = text.expect("a row").unwrap_or("NULL".to_owned());
        let text = if column == "fixed" {
            format!("{text:<4}")
        } else {
            text
        };
        assert_eq!(text, expected, "{column} {json}");
    }
}

#[tokio::test]
async fn values_that_do_not_fit_are_refused_and_not_cut() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(EVERYTHING).await;
    let target = target(config(&cluster.url(), "table = \"everything\""));
    for (column, json, state) in [
        ("small", "32768", "22003"),
        ("large", "9223372036854775808", "22003"),
        ("large", "1.5", "22P02"),
        ("approximate", "1e400", "22003"),
        ("cents", "1234567", "22003"),
        ("fixed", "\"abcde\"", "22001"),
        ("short", "\"abcd\"", "22001"),
        ("short", "\"bad\"", "23514"),
        ("bits", "\"1010\"", "22026"),
        ("mood", "\"grand\"", "22P02"),
        ("at", "\"soon\"", "22007"),
        ("numbers", "[\"x\"]", "22P02"),
        ("doc", r#"{"a": "\u0000"}"#, "22P05"),
        ("who", "\"me\"", "22P02"),
    ] {
        let items = vec![
            item(r#"{"words": "before"}"#),
            item(format!(r#"{{"{column}": {json}, "words": "x"}}"#)),
            item(r#"{"words": "after"}"#),
        ];
        let replies = send(&target, items).await;
        let expected = format!("refused SQLSTATE_{state} payload.{column}");
        assert_eq!(
            own(&replies[1]),
            expected,
            "{json}: {}",
            message(&replies[1])
        );
        assert!(own(&replies[0]).starts_with("201") && own(&replies[2]).starts_with("201"));
    }
    for (column, why) in [
        ("id", "made by the database"),
        ("doubled", "computed by the database"),
    ] {
        let replies = send(&target, vec![item(format!(r#"{{"{column}": 1}}"#))]).await;
        assert_eq!(
            own(&replies[0]),
            format!("refused COLUMN_NOT_ALLOWED payload.{column}")
        );
        assert!(
            message(&replies[0]).contains(why),
            "{}",
            message(&replies[0])
        );
    }
    // A key that the database makes still finds its row.
    let rows = cluster
        .texts("SELECT id::text FROM everything ORDER BY id LIMIT 1")
        .await;
    let found = send(
        &target,
        vec![doing(Update, &rows[0], r#"{"words": "found"}"#)],
    )
    .await;
    assert_eq!(all_own(&found), [format!("200 {{\"id\": {}}}", rows[0])]);
}

#[tokio::test]
async fn rows_without_any_value_have_defaults_only() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster
        .run_sql("CREATE TABLE ticks (id serial PRIMARY KEY, n int DEFAULT 5)")
        .await;
    let target = target(config(&cluster.url(), "table = \"ticks\""));
    let replies = send(
        &target,
        vec![item("{}"), item("{}"), item(r#"{"n": null}"#)],
    )
    .await;
    assert!(all_own(&replies).iter().all(|said| said.starts_with("201")));
    let rows = "SELECT coalesce(n::text, 'NULL') FROM ticks ORDER BY id";
    assert_eq!(cluster.texts(rows).await, ["5", "5", "NULL"]);
}

#[tokio::test]
async fn no_name_and_no_value_is_more_than_itself() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let names = [
        "a\"; DROP TABLE victim; --",
        "'); DROP TABLE victim; --",
        "$1",
        "SELECT",
        "Größe µ",
        "x.c0",
        "E'\\\\'",
        "ord",
    ];
    let columns = names.map(|name| format!("\"{}\" text", name.replace('"', "\"\"")));
    cluster
        .run_sql(&format!(
            "CREATE TABLE victim (n int); CREATE SCHEMA \"we\"\"ird\";
             CREATE TABLE \"we\"\"ird\".\"T; DROP TABLE victim\" (\"I'd\" text PRIMARY KEY, {})",
            columns.join(", ")
        ))
        .await;
    let settings = "table = 'we\"ird.T; DROP TABLE victim'\noperation = \"upsert\"";
    let target = target(config(&cluster.url(), settings));
    let evil = [
        "'; DROP TABLE victim; --",
        "\"}, {\"I'd\": \"smuggled",
        "\\'; DROP TABLE victim; --",
        "{NULL,\"x\"}",
        "$1",
        "\u{2028}\u{7f}",
    ];
    for value in evil {
        let members = names.map(|name| (name.to_owned(), serde_json::Value::from(value)));
        let mut row = serde_json::Map::from_iter(members);
        row.insert("I'd".to_owned(), value.into());
        let row = serde_json::Value::Object(row).to_string();
        let replies = send(&target, vec![item(row.clone()), item(row)]).await;
        let id = serde_json::json!({"I'd": value})
            .to_string()
            .replace("\":\"", "\": \"");
        for reply in &replies {
            let said = own(reply);
            assert!(said.starts_with("200"), "{value}: {reply:?}");
            let said: serde_json::Value = serde_json::from_str(&said[4..]).expect("JSON");
            assert_eq!(said["I'd"], value, "{id}");
        }
        let client = cluster.connect().await;
        let table = "\"we\"\"ird\".\"T; DROP TABLE victim\"";
        for name in names {
            let name = name.replace('"', "\"\"");
            let sql = format!("SELECT \"{name}\" FROM {table} WHERE \"I'd\" = $1");
            let row = client.query_one(&sql, &[&value]).await.expect("the row");
            assert_eq!(row.get::<_, &str>(0), value);
        }
        let update = doing(Update, value, r#"{"$1": "changed"}"#);
        assert!(own(&send(&target, vec![update]).await[0]).starts_with("200"));
        let delete = doing(Delete, value, "");
        assert!(own(&send(&target, vec![delete]).await[0]).starts_with("200"));
        assert_eq!(
            cluster
                .count(&format!("SELECT count(*) FROM {table}"))
                .await,
            0
        );
    }
    // A name that is no column's is refused, whatever it looks like.
    for name in [
        "id\\\" = 1; DROP TABLE victim; --",
        "I'D",
        "",
        "xmin",
        "ctid",
        "*",
    ] {
        let json = format!(r#"{{"I'd": "1", "{name}": "2"}}"#);
        let replies = send(&target, vec![item(json)]).await;
        assert!(
            own(&replies[0]).starts_with("refused UNKNOWN_COLUMN"),
            "{name}: {replies:?}"
        );
    }
    assert_eq!(cluster.count("SELECT count(*) FROM victim").await, 0);
}
