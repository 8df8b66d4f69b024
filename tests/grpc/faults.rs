//! What becomes of items where connections fail, and time runs out.

use std::time::Duration;

use bytes::Bytes;
use flowgate::config::GrpcConfig;
use flowgate::model::Form;
use h2::Reason;
use tokio::net::TcpListener;

use crate::answers::is_second;
use crate::backend::{Backend, Step, done, frame, head};
use crate::guests::guest;
use crate::sending::{
    SHORT, body, cause, config, item, items, said, send, send_one, start, target,
};
use crate::support::http_target::Latch;

fn trailers(entries: &[(&'static str, &str)]) -> Step {
    let entry = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
    Step::Trailers(entries.iter().map(entry).collect())
}

#[tokio::test]
async fn a_connection_that_is_cut_loses_what_is_under_way_on_it_and_no_more() {
    let held = Latch::default();
    let steps = vec![head(), Step::Until(held.clone()), Step::Flush, Step::Cut];
    let backend = Backend::start(move |_| steps.clone()).await;
    let target = target(&config(&backend.base()));
    let sending = start(&target, items(3), 1000);
    backend.arrived(3).await;
    held.open();
    for fate in sending.finish().await {
        assert_eq!(said(&fate.reply), "unknown CONNECTION_LOST");
        assert!(fate.written);
    }
    assert_eq!(backend.connections(), 1);
    // The next goes out on a new one.
    send(&target, items(1)).await;
    assert_eq!((backend.connections(), backend.calls().len()), (2, 4));
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_unknown_unless_its_status_has_come() {
    let whole = frame(&guest("a"));
    for (name, steps) in [
        ("silence", vec![Step::Hang]),
        ("a head", vec![head(), Step::Hang]),
        ("a message", vec![head(), Step::Data(whole), Step::Hang]),
    ] {
        // Only this one: another item could be too slow on a slow machine.
        let backend = Backend::start(move |_| steps.clone()).await;
        let config = GrpcConfig {
            timeout: SHORT,
            ..config(&backend.base())
        };
        let fate = send_one(&target(&config), items(1).remove(0)).await;
        assert_eq!(said(&fate.reply), "unknown TIMEOUT", "{name}");
        assert_eq!(
            backend.calls()[0].header("grpc-timeout"),
            Some("200000u"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_reply_without_end_has_one() {
    let megabyte = Bytes::from(vec![0; 1 << 20]);
    let pieces = std::iter::repeat_n(Step::Data(megabyte), 70);
    let steps: Vec<Step> = [head()]
        .into_iter()
        .chain(pieces)
        .chain([Step::Hang])
        .collect();
    let backend = Backend::start(move |_| steps.clone()).await;
    let fate = send_one(&target(&config(&backend.base())), items(1).remove(0)).await;
    assert_eq!(said(&fate.reply), "unknown REPLY_TOO_LARGE");
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for fate in send(&target(&config(&base)), items(3)).await {
        assert_eq!(said(&fate.reply), "unsent CONNECT_FAILED");
        assert!(!fate.written);
    }
}

#[tokio::test]
async fn what_does_not_speak_http_2_is_lost_or_unsent_and_never_done() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut hello = [0; 16];
            let _ = socket.read_exact(&mut hello).await;
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for fate in send(&target(&config(&base)), items(3)).await {
        let said = said(&fate.reply);
        let expected = if fate.written { "unknown" } else { "unsent" };
        assert!(said.starts_with(expected), "{said}");
    }
    answering.abort();
}

#[tokio::test]
async fn a_stream_that_is_refused_was_not_acted_on() {
    let backend = Backend::start(|call| match is_second(call) {
        true => vec![Step::Reset(Reason::REFUSED_STREAM)],
        false => done(&guest("a")),
    })
    .await;
    let target = target(&config(&backend.base()));
    let replies = send(&target, items(3)).await;
    let replies: Vec<String> = replies.iter().map(|fate| said(&fate.reply)).collect();
    assert_eq!(replies, ["ok 0", "unsent STREAM_REFUSED", "ok 0"]);
    assert_eq!(backend.connections(), 1, "the connection is still good");
}

#[tokio::test]
async fn a_service_that_goes_away_finishes_what_it_has_and_the_rest_goes_elsewhere() {
    let (going, held) = (Latch::default(), Latch::default());
    let steps = {
        let (going, held) = (going.clone(), held.clone());
        let mut steps = vec![Step::Until(going), Step::GoAway, Step::Until(held)];
        steps.extend(done(&guest("a")));
        steps
    };
    let backend = Backend::start(move |_| steps.clone()).await;
    let target = target(&config(&backend.base()));
    let first = start(&target, items(5), 1000);
    backend.arrived(5).await;
    going.open();
    // Until the client knows of it, more goes out on the first connection; none
    // of that is lost.
    let mut more = Vec::new();
    while backend.connections() < 2 {
        more.push(start(&target, items(1), 1000));
        backend.arrived(5 + more.len()).await;
    }
    held.open();
    let mut fates = first.finish().await;
    for sending in more {
        fates.extend(sending.finish().await);
    }
    for fate in fates {
        assert_eq!(said(&fate.reply), "ok 0");
    }
}

#[tokio::test]
async fn a_hundred_items_at_once_share_a_connection() {
    let all_there = Latch::default();
    let mut steps = vec![Step::Until(all_there.clone())];
    steps.extend(done(&guest("a")));
    let backend = Backend::start(move |_| steps.clone()).await;
    let target = target(&config(&backend.base()));
    let sending = start(&target, items(100), 1000);
    // None is answered before all of them have arrived.
    backend.arrived(100).await;
    all_there.open();
    for fate in sending.finish().await {
        assert_eq!(said(&fate.reply), "ok 0");
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_pause_that_the_service_asks_for_is_told() {
    for (code, busy_unavailable, expected, pause) in [
        (
            "8",
            false,
            "busy GRPC_RESOURCE_EXHAUSTED",
            Some(Duration::from_millis(70)),
        ),
        (
            "14",
            true,
            "busy GRPC_UNAVAILABLE",
            Some(Duration::from_millis(70)),
        ),
        ("14", false, "fault GRPC_UNAVAILABLE", None),
    ] {
        let steps = [("grpc-status", code), ("grpc-retry-pushback-ms", "70")];
        let steps = vec![head(), trailers(&steps)];
        let backend = Backend::start(move |_| steps.clone()).await;
        let config = GrpcConfig {
            busy_unavailable,
            ..config(&backend.base())
        };
        let fate = send_one(&target(&config), items(1).remove(0)).await;
        assert_eq!(said(&fate.reply), expected);
        assert_eq!(cause(&fate.reply).retry_after, pause);
    }
}

#[tokio::test]
async fn a_reply_is_cut_to_what_is_kept() {
    let backend = Backend::start(|_| done(&guest(&"x".repeat(2_000)))).await;
    let target = target(&config(&backend.base()));
    let fate = send_one(&target, item(0, r#"{"email": "a@example.com"}"#)).await;
    let (form, text) = body(&fate.reply).expect("what is kept");
    assert_eq!((form, text.len()), (Form::Raw, 1_000));
    assert!(text.starts_with(r#"{"id":"g-xxx"#), "{text}");
}
