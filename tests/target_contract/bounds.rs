//! Answers without end, and how much of one is read: what a server could write
//! before its client had enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use flowgate::config::{HttpConfig, Protocol};
use flowgate::model::Reply;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::support::http_target::{Act, HttpTarget};
use crate::support::patience::within;
use crate::world::*;

/// What the systems' buffers hold on both sides, and what a client reads.
const ENOUGH: usize = 16 << 20;

/// A server that writes something, and then something else until it can no
/// more.
struct Torrent {
    base: String,
    written: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Torrent {
    /// Begins when a request has come whose body is that of an item, and rests
    /// after each piece.
    async fn start(first: Vec<u8>, again: Vec<u8>, rest: Duration) -> Torrent {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let written = Arc::new(AtomicUsize::new(0));
        let count = written.clone();
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            // Another connection would be a second try.
            drop(listener);
            asked(&mut socket).await;
            let mut next = &first;
            while let Ok(bytes @ 1..) = socket.write(next).await {
                count.fetch_add(bytes, Relaxed);
                // Not at a fault with the first: it is small.
                next = &again;
                if !rest.is_zero() {
                    tokio::time::sleep(rest).await;
                }
            }
        });
        Torrent {
            base,
            written,
            serving,
        }
    }

    /// What becomes of an item there; the reply, once the server has been left.
    async fn drain(self, protocol: Protocol, timeout: Duration) -> Reply {
        let config = HttpConfig {
            timeout,
            ..config(&self.base)
        };
        let target = target(&speaking(protocol, config));
        let reply = within("a reply", send_one(&target)).await;
        drop(target);
        within("the end of the connection", self.serving)
            .await
            .expect("the server does not panic");
        let written = self.written.load(Relaxed);
        assert!(written < ENOUGH, "{written} bytes were taken: {reply:?}");
        reply
    }
}

/// Waits for the end of an item's payload.
async fn asked(socket: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(br#"{"n": 0}"#) {
        assert_ne!(socket.read_buf(&mut seen).await.unwrap(), 0, "closed");
    }
}

#[tokio::test]
async fn an_answer_without_an_end_is_read_to_a_bound() {
    let head = "HTTP/1.1 200 OK\r\n";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let long = "x".repeat(10_000);
    for (what, first, again, expected) in [
        (
            "a line of the head",
            format!("{head}a: "),
            long.clone(),
            "unknown BAD_RESPONSE",
        ),
        (
            "a head",
            head.to_owned(),
            "a: b\r\n".repeat(1000),
            "unknown BAD_RESPONSE",
        ),
        (
            "a status line",
            "HTTP/1.1 200 ".to_owned(),
            long.clone(),
            "unknown BAD_RESPONSE",
        ),
        ("a body", format!("{head}\r\n"), long.clone(), "ok, cut 200"),
        (
            "a body of a length",
            format!("{head}content-length: 1000000000000\r\n\r\n"),
            long.clone(),
            "ok, cut 200",
        ),
        (
            "chunks",
            chunked.to_owned(),
            format!("2710\r\n{long}\r\n"),
            "ok, cut 200",
        ),
        (
            "a chunk",
            format!("{chunked}ffffffffff\r\n"),
            long.clone(),
            "ok, cut 200",
        ),
        (
            "a chunk's extension",
            format!("{chunked}4;a="),
            long.clone(),
            "ok, cut 200",
        ),
        (
            "trailers",
            format!("{chunked}0\r\n"),
            "a: b\r\n".repeat(1000),
            "ok, cut 200",
        ),
        (
            "a trailer",
            format!("{chunked}0\r\na: "),
            long.clone(),
            "ok, cut 200",
        ),
    ] {
        let server = Torrent::start(first.into(), again.into(), Duration::ZERO).await;
        let reply = server.drain(Protocol::Http1, LONG).await;
        assert_eq!(own(&reply), expected, "{what}: {reply:?}");
    }
}

/// A frame of HTTP/2 on stream 1.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags, 0, 0, 0, 1];
    frame.extend_from_slice(payload);
    frame
}

/// A header that is in no table, as HPACK has it.
fn header(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0, u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(u8::try_from(value.len()).unwrap());
    bytes.extend_from_slice(value.as_bytes());
    bytes
}

const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

#[tokio::test]
async fn a_head_without_an_end_on_http_2_is_read_to_a_bound() {
    let first = [&SETTINGS[..], &frame(HEADERS, 0, &[0x88])].concat();
    for more in [header("a", "b").repeat(1000), Vec::new()] {
        let again = frame(CONTINUATION, 0, &more);
        let server = Torrent::start(first.clone(), again, Duration::ZERO).await;
        let reply = server.drain(Protocol::Http2, LONG).await;
        assert_eq!(said(&reply).0, "unknown", "{reply:?}");
    }
}

#[tokio::test]
async fn an_answer_that_only_trickles_has_the_time_of_any_other() {
    let head = "HTTP/1.1 200 OK\r\n";
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let early = "HTTP/1.1 103 Early Hints\r\na: b\r\n\r\n";
    let rest = Duration::from_millis(1);
    for (what, first, again, expected) in [
        ("a head", head.to_owned(), "a", "unknown TIMEOUT"),
        ("a body", format!("{head}\r\n"), "a", "ok, cut 200"),
        // Zeros before the size of a chunk, which are kept by nobody.
        ("a chunk's size", chunked, "0", "ok, cut 200"),
        (
            "informational heads",
            early.to_owned(),
            early,
            "unknown TIMEOUT",
        ),
    ] {
        let server = Torrent::start(first.into(), again.into(), rest).await;
        let reply = server.drain(Protocol::Http1, SHORT).await;
        assert_eq!(own(&reply), expected, "{what}: {reply:?}");
    }
    let early = frame(HEADERS, END_HEADERS, &header(":status", "103"));
    let first = [&SETTINGS[..], &early].concat();
    let server = Torrent::start(first, early, rest).await;
    let reply = server.drain(Protocol::Http2, SHORT).await;
    assert_eq!(own(&reply), "unknown TIMEOUT");
}

#[tokio::test]
async fn a_hundred_informational_heads_come_before_an_answer() {
    let early = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
    let last = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";
    let server = HttpTarget::start(move |_| Act::raw(format!("{early}{last}"))).await;
    let reply = send_one(&target(&config(&server.base()))).await;
    assert_eq!(own(&reply), "ok 201");
}

#[tokio::test]
async fn nothing_is_unpacked() {
    // A kilobyte that is said to be a gigabyte, packed.
    let packed = vec![b'\x1f'; 900];
    let server = HttpTarget::start({
        let packed = packed.clone();
        move |_| Act::answer(200, packed.clone()).with("content-encoding", "gzip")
    })
    .await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let target = target(&speaking(protocol, config(&server.base())));
        let Reply::Ok(answer) = send_one(&target).await else {
            panic!("not done");
        };
        assert_eq!(answer.body.expect("a body").body, packed);
    }
    for request in server.requests() {
        assert_eq!(request.header("accept-encoding"), None);
    }
}
