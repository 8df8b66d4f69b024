//! Connections that are kept between requests, and those that must not be.

use std::io::{Read, Write};
use std::time::Duration;

use flowgate::config::Protocol;
use flowgate::model::Reply;

use crate::support::http_target::{Act, Answer, HttpTarget, Latch, in_turn};
use crate::world::*;

#[tokio::test]
async fn a_closing_that_the_runtime_has_not_seen_yet_loses_no_item() {
    // A server on a thread of its own, so that the test can wait for its
    // closing without giving this thread's runtime a chance to see it.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (close, may_close) = std::sync::mpsc::channel();
    let (closed, is_closed) = std::sync::mpsc::channel();
    let serving = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut socket, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(br#"{"n": 0}"#) {
                let mut bytes = [0; 1024];
                let count = Read::read(&mut socket, &mut bytes).unwrap();
                assert_ne!(count, 0, "closed");
                seen.extend_from_slice(&bytes[..count]);
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            Write::write_all(&mut socket, answer).unwrap();
            may_close.recv().unwrap();
            drop(socket);
            closed.send(()).unwrap();
        }
    });
    let target = target(&config(&base));
    for _ in 0..2 {
        assert_eq!(own(&send_one(&target).await), "ok 200");
        close.send(()).unwrap();
        is_closed.recv().unwrap();
    }
    serving.join().unwrap();
}

#[tokio::test]
async fn a_connection_that_closed_while_idle_loses_no_item() {
    let closings: Vec<Latch> = (0..20).map(|_| Latch::default()).collect();
    let server = HttpTarget::start({
        let answer = Answer::new(200, "{}");
        let act = |closed: &Latch| Act::AnswerAndClose(answer.clone(), closed.clone());
        in_turn(closings.iter().map(act).collect::<Vec<_>>())
    })
    .await;
    let target = target(&config(&server.base()));
    for closed in closings {
        assert_eq!(own(&send_one(&target).await), "ok 200");
        closed.opened().await;
    }
    assert_eq!(own(&send_one(&target).await), "ok 200");
    assert_eq!(server.connections(), 21);
}

#[tokio::test]
async fn a_connection_idle_for_too_long_is_not_used() {
    let server = HttpTarget::start(|_| Act::answer(200, "{}")).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let before = server.connections();
        let target = target(&connecting(config(&server.base()), |connect| {
            connect.protocol = protocol;
            connect.idle_timeout = Duration::ZERO;
        }));
        for _ in 0..3 {
            assert_eq!(own(&send_one(&target).await), "ok 200");
        }
        assert_eq!(server.connections() - before, 3);
    }
}

#[tokio::test]
async fn a_connection_with_an_unread_rest_is_not_used_again() {
    let server = HttpTarget::start(in_turn([Act::answer(200, vec![b'x'; 5000])])).await;
    let target = target(&config(&server.base()));
    let Reply::Ok(answer) = send_one(&target).await else {
        panic!("not done");
    };
    assert!(answer.truncated);
    assert_eq!(answer.body.expect("a body").body.len(), 1000);
    assert_eq!(own(&send_one(&target).await), "ok 200");
    assert_eq!(server.connections(), 2);
}
