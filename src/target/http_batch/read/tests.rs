use http::HeaderValue;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use std::time::Duration;

use super::super::tests::{configured, item, with};
use super::*;

/// Results in the order of the items.
const PLACES: &str = "results = \"/r\"\nresult_error = \"/e\"\nresult_code = \"/e/c\"\nresult_message = \"/e/m\"\nresult_field = \"/e/f\"\nbusy_codes = [\"Slow\"]\nfault_codes = [\"Bug\"]\nfailures = \"/f\"\nfailure_index = \"/i\"";
/// Results with a status, in the order of the items.
const STATUSES: &str =
    "results = \"/r\"\nresult_status = \"/s\"\nfailures = \"/f\"\nfailure_index = \"/i\"";
/// Results with an id and a status.
const GRAPH: &str = "preset = \"graph\"\nitem_path = \"/u\"";
/// Two lists.
const SQS: &str = "preset = \"sqs\"";

fn reader(config: &HttpBatchConfig) -> Reader {
    let reading = Reading {
        busy_503: true,
        max_retry_after: Duration::from_hours(1),
    };
    Reader::new(config, reading)
}

fn items() -> Vec<Item> {
    (5..8).map(|index| item(index, "{}")).collect()
}

fn read_with(
    config: &HttpBatchConfig,
    status: u16,
    headers: &HeaderMap,
    body: &str,
    truncated: bool,
    is_atomic: bool,
) -> Read {
    reader(config).read(Came {
        items: &items(),
        is_atomic,
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Body {
            bytes: Bytes::copy_from_slice(body.as_bytes()),
            truncated,
        },
        now_ms: 0,
    })
}

fn read(config: &HttpBatchConfig, status: u16, body: &str) -> Read {
    read_with(config, status, &HeaderMap::new(), body, false, false)
}

fn reply_shown(reply: &Reply) -> String {
    match reply {
        Reply::Ok(answer) if answer.truncated => format!("ok {} cut", answer.status),
        Reply::Ok(answer) => format!("ok {}", answer.status),
        Reply::Refused(cause) => format!("refused {}", cause.reason),
        Reply::RolledBack(cause) => format!("rolled back {}", cause.reason),
        Reply::Busy(cause) => format!("busy {}", cause.reason),
        Reply::Fault(cause) => format!("fault {}", cause.reason),
        Reply::Unsent(cause) => format!("unsent {}", cause.reason),
        Reply::Unknown(cause) => format!("unknown {}", cause.reason),
    }
}

fn shown(read: &Read) -> String {
    let each = |replies: &[Option<Reply>]| {
        let shown = replies.iter().map(|reply| match reply {
            Some(reply) => reply_shown(reply),
            None => "-".to_owned(),
        });
        shown.collect::<Vec<_>>().join(", ")
    };
    let said = match &read.said {
        Said::Each(replies) => each(replies),
        Said::All(reply) => format!("all {}", reply_shown(reply)),
        Said::TooLarge(_) => "too large".to_owned(),
        Said::Refused(_) => "whole refused".to_owned(),
        Said::Culprits(replies) => format!("culprits {}", each(replies)),
    };
    let odd = [
        (read.oddities.invented, "invented"),
        (read.oddities.contradictory, "contradictory"),
        (read.oddities.missing, "missing"),
    ];
    let odd = odd.into_iter().filter(|(n, _)| *n > 0);
    odd.fold(said, |said, (n, what)| format!("{said}; {n} {what}"))
}

#[rustfmt::skip] // One answer, one row.
const ANSWERS: &[(&str, u16, &str, &str)] = &[
    // In the order of the items.
    (PLACES, 200, r#"{"r": [{}, {"e": null}, {"e": 0}]}"#, "ok 200, ok 200, ok 200"),
    (PLACES, 207, r#"{"r": [{}, {"e": {"c": "NoSuchUser"}}, {}]}"#, "ok 207, refused NO_SUCH_USER, ok 207"),
    (PLACES, 200, r#"{"r": [{"e": {"c": "Slow"}}, {"e": {"c": "Bug"}}, {"e": "x"}]}"#, "busy SLOW, fault BUG, refused REFUSED"),
    (PLACES, 200, r#"{"r": [{}, null, {}]}"#, "ok 200, -, ok 200; 1 missing"),
    // One more or less could be anybody's.
    (PLACES, 200, r#"{"r": [{}, {}]}"#, "all unknown UNREADABLE_ANSWER"),
    (PLACES, 200, r#"{"r": [{}, {}, {}, {}]}"#, "all unknown UNREADABLE_ANSWER"),
    (PLACES, 200, r#"{"r": []}"#, "all unknown UNREADABLE_ANSWER"),
    // Failures by their index.
    (PLACES, 200, r#"{"f": [{"i": 1, "e": {"c": "X"}}]}"#, "-, refused X, -; 2 missing"),
    (PLACES, 200, r#"{"r": [{}, {}, {}], "f": [{"i": 1}]}"#, "ok 200, unknown CONTRADICTORY_ENTRIES, ok 200; 1 contradictory"),
    (PLACES, 200, r#"{"f": [{"i": 3}, {"i": -1}, {"i": "a"}, {}]}"#, "-, -, -; 4 invented; 3 missing"),
    // In a list of failures nothing is a success.
    (STATUSES, 200, r#"{"f": [{"i": 0, "s": 200}, {"i": 1, "s": 404}, {"i": 2, "s": 429}]}"#, "-, refused HTTP_404, busy HTTP_429; 1 missing"),
    // No shape of an answer.
    (PLACES, 200, "", "all unknown UNREADABLE_ANSWER"),
    (PLACES, 200, "<html>", "all unknown UNREADABLE_ANSWER"),
    (PLACES, 200, r#"{"r": {}}"#, "all unknown UNREADABLE_ANSWER"),
    (PLACES, 200, "[{}, {}, {}]", "all unknown UNREADABLE_ANSWER"),
    (PLACES, 200, r#"{"r": [{}, {}, {}]} x"#, "all unknown UNREADABLE_ANSWER"),
    (PLACES, 204, "", "all unknown UNREADABLE_ANSWER"),
    ("join = \"none\"", 204, "", "all ok 204"),
    ("join = \"none\"", 202, "queued", "all ok 202"),
    // By id, in any order.
    (GRAPH, 200, r#"{"responses": [{"id": "7", "status": 204}, {"id": "5", "status": 201}, {"id": 6, "status": "404"}]}"#, "ok 201, refused HTTP_404, ok 204"),
    (GRAPH, 200, r#"{"responses": [{"id": "5", "status": 429}, {"id": "6", "status": 503}, {"id": "7", "status": 503, "headers": {"Retry-After": "1"}}]}"#, "busy HTTP_429, fault HTTP_503, busy HTTP_503"),
    (GRAPH, 200, r#"{"responses": [{"id": "5", "status": 200}]}"#, "ok 200, -, -; 2 missing"),
    (GRAPH, 200, r#"{"responses": [{"id": "9", "status": 200}, {"id": "05", "status": 200}, {"status": 200}, {"id": null}]}"#, "-, -, -; 4 invented; 3 missing"),
    (GRAPH, 200, r#"{"responses": [{"id": "5", "status": 200}, {"id": "5", "status": 201}]}"#, "ok 200, -, -; 2 missing"),
    (GRAPH, 200, r#"{"responses": [{"id": "5", "status": 200}, {"id": "5", "status": 404}, {"id": "5", "status": 200}]}"#, "unknown CONTRADICTORY_ENTRIES, -, -; 2 contradictory; 2 missing"),
    (GRAPH, 200, r#"{"responses": [{"id": "5"}, {"id": "6", "status": "fine"}, {"id": "7", "status": 102}]}"#, "-, -, -; 3 missing"),
    (GRAPH, 200, r#"{"responses": [{"id": "5", "status": 70000}, {"id": "6", "status": 999}, {"id": "7", "status": 2.5}]}"#, "-, -, -; 3 missing"),
    (GRAPH, 200, r#"{"responses": [{"id": "5", "status": 400, "body": {"error": {"code": "BadName", "message": "m"}}}, {"id": "6", "status": 302}, {"id": "7", "status": 200, "body": {"error": {"code": "x"}}}]}"#, "refused BAD_NAME, refused HTTP_302, ok 200"),
    // In two lists.
    (SQS, 200, r#"{"Successful": [{"Id": "6"}, {"Id": "5"}], "Failed": [{"Id": "7", "Code": "InvalidMessageContents", "SenderFault": true}]}"#, "ok 200, ok 200, refused INVALID_MESSAGE_CONTENTS"),
    (SQS, 200, r#"{"Failed": [{"Id": "5", "Code": "InternalError", "SenderFault": false}, {"Id": "6", "Code": "ThrottlingException", "SenderFault": true}]}"#, "fault INTERNAL_ERROR, busy THROTTLING_EXCEPTION, -; 1 missing"),
    (SQS, 200, r#"{"Successful": [{"Id": "5"}], "Failed": [{"Id": "5", "Code": "X"}]}"#, "unknown CONTRADICTORY_ENTRIES, -, -; 1 contradictory; 2 missing"),
    (SQS, 200, "{}", "all unknown UNREADABLE_ANSWER"),
    (SQS, 200, r#"{"Successful": null, "Failed": null}"#, "all unknown UNREADABLE_ANSWER"),
    // The whole request.
    (GRAPH, 413, "", "too large"),
    (GRAPH, 429, "", "all busy HTTP_429"),
    (GRAPH, 503, "", "all fault HTTP_503"),
    (GRAPH, 500, "", "all fault HTTP_500"),
    (GRAPH, 408, "", "all fault HTTP_408"),
    (GRAPH, 401, "", "all refused HTTP_401"),
    (GRAPH, 404, "", "all refused HTTP_404"),
    (GRAPH, 302, "", "all refused HTTP_302"),
    (GRAPH, 400, "", "all refused HTTP_400"),
    (GRAPH, 422, "{}", "all refused HTTP_422"),
    (SQS, 400, r#"{"__type": "com.amazonaws.sqs#BatchRequestTooLong"}"#, "whole refused"),
    (SQS, 400, r#"{"__type": "com.amazonaws.sqs#RequestThrottled"}"#, "all busy HTTP_400"),
    (SQS, 403, r#"{"__type": "ThrottlingException"}"#, "all busy HTTP_403"),
    // A refusal that names items.
    (PLACES, 422, r#"{"f": [{"i": 1, "e": {"c": "X"}}]}"#, "refused HTTP_422, refused X, refused HTTP_422"),
    (PLACES, 422, r#"{"f": [{"i": 4}]}"#, "all refused HTTP_422"),
    (PLACES, 422, r#"{"r": [{}, {"e": {"c": "X"}}, {}]}"#, "refused HTTP_422, refused X, refused HTTP_422"),
    (PLACES, 422, r#"{"r": [{}, {}, {}]}"#, "all refused HTTP_422"),
    (PLACES, 422, r#"{"r": ["a is missing"]}"#, "all refused HTTP_422"),
    (GRAPH, 400, r#"{"responses": [{"id": "5", "status": 200}, {"id": "6", "status": 400}]}"#, "ok 200, refused HTTP_400, -"),
    (SQS, 400, r#"{"Failed": [{"Id": "6", "Code": "X", "SenderFault": true}]}"#, "culprits -, refused X, -"),
];

#[test]
fn an_answer_says_of_each_item_what_it_proves_and_no_more() {
    for (lines, status, body, expected) in ANSWERS {
        let read = read(&configured(lines), *status, body);
        assert_eq!(&shown(&read), expected, "{status} {body}");
    }
}

#[test]
fn of_an_answer_that_is_cut_what_came_counts_if_it_says_whose_it_is() {
    let ids = r#"{"responses": [{"id": "6", "status": 201}, {"id": "5", "sta"#;
    let places = r#"{"r": [{}, {"e": "x"}, {"#;
    for (lines, body, truncated, expected) in [
        (GRAPH, ids, true, "-, ok 201, -; 2 missing"),
        (GRAPH, ids, false, "all unknown UNREADABLE_ANSWER"),
        (PLACES, places, true, "all unknown UNREADABLE_ANSWER"),
        (PLACES, places, false, "all unknown UNREADABLE_ANSWER"),
        (
            PLACES,
            r#"{"r": [{}, {}, {}, {}"#,
            true,
            "all unknown UNREADABLE_ANSWER",
        ),
        (PLACES, r#"{"r""#, true, "all unknown UNREADABLE_ANSWER"),
        (
            GRAPH,
            "{\"responses\": [{\"id\": \"6\", \"status\": 201, \"x\": \"\u{e9}\"}, ",
            true,
            "-, ok 201, -; 2 missing",
        ),
    ] {
        let read = read_with(
            &configured(lines),
            200,
            &HeaderMap::new(),
            body,
            truncated,
            false,
        );
        assert_eq!(shown(&read), expected, "{body}");
    }
}

#[test]
fn all_or_none_are_done_where_the_target_says_so() {
    let atomic = |lines: &str| configured(&format!("{lines}\natomic = true"));
    let odata = "preset = \"odata\"\nitem_path = \"/u\"";
    for (lines, status, body, expected) in [
        (
            PLACES,
            422,
            r#"{"f": [{"i": 1, "e": {"c": "X"}}]}"#,
            "culprits -, refused X, -",
        ),
        (PLACES, 422, "{}", "whole refused"),
        (
            odata,
            200,
            r#"{"responses": [{"id": "5", "status": 424}, {"id": "6", "status": 400}]}"#,
            "rolled back HTTP_424, refused HTTP_400, rolled back ANOTHER_REFUSED",
        ),
        (
            odata,
            200,
            r#"{"responses": [{"id": "5", "status": 200}, {"id": "6", "status": 200}]}"#,
            "ok 200, ok 200, -; 1 missing",
        ),
    ] {
        let read = read_with(&atomic(lines), status, &HeaderMap::new(), body, false, true);
        assert_eq!(shown(&read), expected, "{status} {body}");
    }
}

fn cause(read: &Read, place: usize) -> &Cause {
    let reply = match &read.said {
        Said::Each(replies) | Said::Culprits(replies) => replies[place].as_ref().unwrap(),
        Said::All(reply) => reply,
        Said::TooLarge(cause) | Said::Refused(cause) => return cause,
    };
    match reply {
        Reply::Refused(cause)
        | Reply::Busy(cause)
        | Reply::Fault(cause)
        | Reply::Unknown(cause) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_failure_has_its_message_its_fields_and_what_was_answered() {
    let body = r#"{"r": [{"e": {"c": "Bad", "m": "is  no\u0007mail", "f": "to.email"}}, {}, {"e": {"m": ""}, "errors": [{"field": "name", "message": "is missing"}]}]}"#;
    let said = read(&configured(PLACES), 200, body);
    let first = cause(&said, 0);
    assert_eq!(
        (&first.reason[..], &first.message[..]),
        ("BAD", "is no mail")
    );
    assert_eq!(first.violations[0].field, "payload.to.email");
    let answer = first
        .answer
        .as_ref()
        .and_then(|answer| answer.body.as_ref());
    assert!(answer.unwrap().body.starts_with(b"{\"e\": {\"c\""));
    let third = cause(&said, 2);
    assert_eq!(third.violations[0].field, "payload.name");

    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = r#"{"title": "bad", "errors": [{"field": "name", "message": "is missing"}]}"#;
    let said = read_with(&configured(PLACES), 422, &headers, body, false, false);
    let whole = cause(&said, 0);
    assert_eq!(
        whole.message,
        "the target refused the whole request, and named no item: bad"
    );
    assert!(whole.violations.is_empty(), "they are not of every item");
    let said = read(&configured(PLACES), 403, "");
    assert!(cause(&said, 0).message.contains("credentials"));
}

#[test]
fn a_pause_is_that_of_the_result_in_both_forms() {
    let config = configured(GRAPH);
    for (after, expected) in [
        ("\"7\"", Some(7)),
        ("7", Some(7)),
        ("[\"7\"]", Some(7)),
        ("\"Thu, 01 Jan 1970 00:00:09 GMT\"", Some(9)),
        ("\"soon\"", None),
        ("{}", None),
    ] {
        let body = format!(
            r#"{{"responses": [{{"id": "5", "status": 429, "headers": {{"Retry-After": {after}}}}}]}}"#
        );
        let said = read(&config, 200, &body);
        let expected = expected.map(Duration::from_secs);
        assert_eq!(cause(&said, 0).retry_after, expected, "{after}");
    }
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("3"));
    let said = read_with(&config, 429, &headers, "", false, false);
    assert_eq!(cause(&said, 0).retry_after, Some(Duration::from_secs(3)));
}

#[test]
fn a_reply_is_its_items_part_in_its_form_and_not_longer_than_is_kept() {
    let config = with("reply_limit = \"30B\"", GRAPH);
    let body = r#"{"responses": [{"id": "5", "status": 200, "body": {"a": 1}}, {"id": "6", "status": 200, "body": "a text that is longer than is kept"}, {"id": "7", "status": 204, "body": null}]}"#;
    let Said::Each(replies) = read(&config, 200, body).said else {
        panic!("of each");
    };
    let answers: Vec<&Answer> = replies
        .iter()
        .map(|reply| match reply {
            Some(Reply::Ok(answer)) => answer,
            other => panic!("{other:?}"),
        })
        .collect();
    let first = answers[0].body.as_ref().unwrap();
    assert_eq!(
        (&first.body[..], first.form),
        (&b"{\"a\": 1}"[..], Form::JsonText)
    );
    let second = answers[1].body.as_ref().unwrap();
    assert_eq!((second.body.len(), second.form), (30, Form::Raw));
    assert!(answers[1].truncated);
    assert_eq!(answers[2].body, None);
}

#[test]
fn what_is_about_all_items_is_kept_short_with_each() {
    let long = "x".repeat(100_000);
    let said = read(&configured(PLACES), 500, &long);
    let answer = cause(&said, 0).answer.as_ref().unwrap();
    assert_eq!(answer.body.as_ref().unwrap().body.len(), SHARED);
    assert!(answer.truncated);
}
