//! Answers of HTTP, whole and broken, and what each proves.

use crate::support::http_target::{Act, HttpTarget};
use crate::world::*;

#[tokio::test]
async fn every_fault_hits_its_own_item_only_and_has_its_reply() {
    // Of three items, the one in the middle meets the fault.
    for (act, http1, http2) in [
        (Act::answer(201, "{}"), "ok 201", "ok 201"),
        (
            Act::answer(422, "{}"),
            "refused HTTP_422",
            "refused HTTP_422",
        ),
        (Act::answer(302, ""), "refused HTTP_302", "refused HTTP_302"),
        (Act::answer(429, ""), "busy HTTP_429", "busy HTTP_429"),
        (Act::answer(500, "{}"), "fault HTTP_500", "fault HTTP_500"),
        (Act::answer(503, ""), "fault HTTP_503", "fault HTTP_503"),
        (
            Act::answer(503, "").with("retry-after", "1"),
            "busy HTTP_503",
            "busy HTTP_503",
        ),
        (
            Act::Reset,
            "unknown CONNECTION_LOST",
            "unknown CONNECTION_LOST",
        ),
        (
            Act::Close,
            "unknown CONNECTION_LOST",
            "unknown CONNECTION_LOST",
        ),
        (Act::Endless, "ok, cut 200", "ok, cut 200"),
        (
            Act::answer(200, vec![b'x'; 100_000]),
            "ok, cut 200",
            "ok, cut 200",
        ),
        (
            Act::answer(422, vec![b'x'; 100_000]),
            "refused HTTP_422",
            "refused HTTP_422",
        ),
    ] {
        let target = HttpTarget::start({
            let act = act.clone();
            move |request| match &request.body[..] {
                br#"{"n": 1}"# => act.clone(),
                _ => Act::answer(200, "{}"),
            }
        })
        .await;
        for ((name, kind), expected) in kinds(&target.base(), LONG).into_iter().zip([http1, http2])
        {
            let replies = send(&kind, items(3)).await;
            let fates: Vec<String> = replies.iter().map(own).collect();
            assert_eq!(fates, ["ok 200", expected, "ok 200"], "{name}: {act:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_broken_is_sorted_by_its_head() {
    let reset = |bytes: &'static str| Act::Raw(bytes.into(), Box::new(Act::Reset));
    for (act, expected) in [
        (Act::raw("SSH-2.0-OpenSSH_9.2\r\n"), "unknown BAD_RESPONSE"),
        (Act::raw("\0\x01\x02\x03\r\n\r\n"), "unknown BAD_RESPONSE"),
        (Act::raw("HTTP/1.1 abc\r\n\r\n"), "unknown BAD_RESPONSE"),
        (Act::raw("HTTP/1.1 20"), "unknown CONNECTION_LOST"),
        (
            Act::raw("HTTP/1.1 201 Created\r\ncontent-le"),
            "unknown CONNECTION_LOST",
        ),
        (reset("HTTP/1.1 201 Cre"), "unknown CONNECTION_LOST"),
        (
            Act::raw(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            ),
            "unknown BAD_RESPONSE",
        ),
        (
            Act::raw("HTTP/1.1 100 Continue\r\n\r\n"),
            "unknown CONNECTION_LOST",
        ),
        (
            Act::raw(
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n",
            ),
            "ok 201",
        ),
        (
            Act::raw("HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n{\"id"),
            "ok, cut 201",
        ),
        (
            Act::raw("HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{\"id\r\nzz"),
            "ok, cut 201",
        ),
        (
            Act::raw("HTTP/1.1 422 No\r\ncontent-length: 10\r\n\r\n{\"id"),
            "refused HTTP_422",
        ),
        (
            Act::raw("HTTP/1.1 500 No\r\ncontent-length: 10\r\n\r\n{\"id"),
            "fault HTTP_500",
        ),
        (Act::raw("HTTP/1.0 200 OK\r\n\r\nuntil the end"), "ok 200"),
    ] {
        let server = HttpTarget::start({
            let act = act.clone();
            move |_| act.clone()
        })
        .await;
        let target = target(&config(&server.base()));
        assert_eq!(own(&send_one(&target).await), expected, "{act:?}");
        assert_eq!(server.requests().len(), 1, "sent once: {act:?}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_unknown_unless_its_head_has_come() {
    let head = "HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n{\"id";
    for (act, http1, http2) in [
        (Act::Silence, "unknown TIMEOUT", "unknown TIMEOUT"),
        (
            Act::Raw("HTTP/1.1 2".into(), Box::new(Act::Silence)),
            "unknown TIMEOUT",
            "unknown CONNECTION_LOST",
        ),
        (
            Act::Raw(head.into(), Box::new(Act::Silence)),
            "ok, cut 201",
            "unknown CONNECTION_LOST",
        ),
    ] {
        let server = HttpTarget::start(move |_| act.clone()).await;
        for ((name, kind), expected) in kinds(&server.base(), SHORT).into_iter().zip([http1, http2])
        {
            assert_eq!(own(&send_one(&kind).await), expected, "{name}");
        }
    }
}
