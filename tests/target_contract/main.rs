//! What every kind of target owes its lane, whatever its downstream does.
//!
//! A kind is a row of [`kinds`]; a fault is a row of a table. Sockets are real,
//! so time is too: where a time-out has to pass, it is short, and the server
//! would be silent for ever. No outcome depends on how fast the machine is.

#[path = "../support/mod.rs"]
mod support;
mod tls;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flowgate::config::{ConnectConfig, HttpConfig, Protocol};
use flowgate::limiter::{Gate, GateSpec};
use flowgate::model::{BatchId, Chunk, Cost, Form, Item, Operation, Pace, Payload, Refusal, Reply};
use flowgate::target::{Ahead, Each, Http, Incoming, Permit, Single, Target, wire};
use futures_util::future::BoxFuture;
use http::{HeaderName, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use support::http_target::{Act, Answer, HttpTarget, Latch, in_turn};

/// Long enough that no test waits for it.
const LONG: Duration = Duration::from_mins(1);
/// The time-out of those tests that wait for one.
const SHORT: Duration = Duration::from_millis(200);

fn config(base: &str) -> HttpConfig {
    HttpConfig {
        connect: ConnectConfig {
            connect_timeout: LONG,
            idle_timeout: LONG,
            ..ConnectConfig::to(base.parse().unwrap())
        },
        method: Method::POST,
        path: "/guests".to_owned(),
        actions: BTreeMap::new(),
        allow_calls: true,
        allow_headers: Vec::new(),
        headers: Vec::new(),
        idempotency_header: Some(HeaderName::from_static("idempotency-key")),
        key_window: Duration::from_hours(24),
        repeatable: false,
        idempotent_methods: true,
        timeout: LONG,
        reply_limit: 1000,
        busy_503: true,
        max_retry_after: LONG,
    }
}

/// The same, reached otherwise.
fn connecting(mut config: HttpConfig, change: impl FnOnce(&mut ConnectConfig)) -> HttpConfig {
    change(&mut config.connect);
    config
}

fn speaking(protocol: Protocol, config: HttpConfig) -> HttpConfig {
    connecting(config, |connect| connect.protocol = protocol)
}

fn target(config: &HttpConfig) -> Arc<dyn Target> {
    Arc::new(Each::new(Http::new(config).expect("a good configuration")))
}

/// The kinds of target that the table of faults is run over.
fn kinds(base: &str, timeout: Duration) -> Vec<(&'static str, Arc<dyn Target>)> {
    [("http/1.1", Protocol::Http1), ("http/2", Protocol::Http2)]
        .map(|(name, protocol)| {
            let config = HttpConfig {
                timeout,
                ..config(base)
            };
            (name, target(&speaking(protocol, config)))
        })
        .into()
}

fn batch() -> BatchId {
    BatchId::parse("0191e0a0-0000-7000-8000-000000000001").expect("an id")
}

fn items(count: u32) -> Vec<Item> {
    let item = |index| Item {
        index,
        id: None,
        key: None,
        payload: Some(Payload {
            form: Form::JsonText,
            content_type: None,
            body: Bytes::from(format!(r#"{{"n": {index}}}"#)),
        }),
        operation: Operation::Target,
    };
    (0..count).map(item).collect()
}

/// A chunk on its way.
struct Sending {
    incoming: Incoming,
    stop: CancellationToken,
    ahead: Arc<Ahead>,
    items: u32,
}

fn start(target: &Arc<dyn Target>, items: Vec<Item>, concurrency: u32) -> Sending {
    let gate = Gate::new(GateSpec {
        limits: Vec::new(),
        pace: Pace::Window,
        transit: Duration::ZERO,
        concurrency: vec![concurrency],
        spent: Vec::new(),
    });
    let stop = CancellationToken::new();
    let ahead = Ahead::new(0, Arc::new(Notify::new()));
    let count = u32::try_from(items.len()).unwrap();
    let (wire, incoming) = wire(gate, 0, Cost::ITEM, count, ahead.clone(), stop.clone());
    let chunk = Chunk {
        batch: batch(),
        items: items.into(),
        is_atomic: false,
    };
    tokio::spawn(target.clone().send(chunk, wire));
    Sending {
        incoming,
        stop,
        ahead,
        items: count,
    }
}

/// What became of an item.
#[derive(Debug)]
struct Fate {
    reply: Option<Reply>,
    written: bool,
}

impl Sending {
    /// Waits for the end, and that no item has two replies.
    async fn finish(mut self) -> Vec<Fate> {
        let mut replies: Vec<Option<Reply>> = (0..self.items).map(|_| None).collect();
        while let Some((index, reply)) = self.incoming.next().await {
            let before = replies[index as usize].replace(reply);
            assert!(before.is_none(), "two replies for item {index}");
        }
        let written = |index| self.incoming.written(index);
        let fates = (0u32..).zip(replies).map(|(index, reply)| Fate {
            written: written(index),
            reply,
        });
        let fates = fates.collect();
        drop(self.incoming);
        assert_eq!(self.ahead.items(), 0, "the count of what is ahead adds up");
        fates
    }
}

/// Sends some items, each of which must have its reply.
async fn send(target: &Arc<dyn Target>, items: Vec<Item>) -> Vec<Reply> {
    let fates = start(target, items, 1000).finish().await;
    let reply = |fate: Fate| fate.reply.expect("a reply");
    fates.into_iter().map(reply).collect()
}

/// Sends one item.
async fn send_one(target: &Arc<dyn Target>) -> Reply {
    send(target, items(1)).await.remove(0)
}

/// The kind of a reply, and its reason or status.
fn said(reply: &Reply) -> (&'static str, String) {
    match reply {
        Reply::Ok(answer) if answer.truncated => ("ok, cut", answer.status.to_string()),
        Reply::Ok(answer) => ("ok", answer.status.to_string()),
        Reply::RolledBack(cause) => ("rolled back", cause.reason.clone()),
        Reply::Refused(cause) => ("refused", cause.reason.clone()),
        Reply::Busy(cause) => ("busy", cause.reason.clone()),
        Reply::Fault(cause) => ("fault", cause.reason.clone()),
        Reply::Unsent(cause) => ("unsent", cause.reason.clone()),
        Reply::Unknown(cause) => ("unknown", cause.reason.clone()),
    }
}

fn is(reply: &Reply, kind: &str, reason: &str) -> bool {
    said(reply) == (kind, reason.to_owned())
}

fn own(reply: &Reply) -> String {
    let (kind, reason) = said(reply);
    format!("{kind} {reason}")
}

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

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for (name, kind) in kinds(&base, LONG) {
        let fates = start(&kind, items(3), 1000).finish().await;
        for fate in fates {
            let reply = fate.reply.expect("a reply");
            assert!(is(&reply, "unsent", "CONNECT_FAILED"), "{name}: {reply:?}");
            assert!(!fate.written, "{name}");
        }
    }
}

#[tokio::test]
async fn a_failed_tls_handshake_proves_that_nothing_was_sent() {
    // Speaks HTTP where TLS is expected.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut hello = [0; 16];
            let _ = socket.read_exact(&mut hello).await;
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    for protocol in [Protocol::Auto, Protocol::Http1, Protocol::Http2] {
        let config = speaking(protocol, config(&base));
        let fate = start(&target(&config), items(1), 1)
            .finish()
            .await
            .remove(0);
        let reply = fate.reply.expect("a reply");
        assert!(is(&reply, "unsent", "CONNECT_FAILED"), "{reply:?}");
        assert!(!fate.written);
    }
    answering.abort();
}

#[tokio::test]
async fn a_connection_that_takes_too_long_proves_that_nothing_was_sent() {
    // Accepts, and never says a word of TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let config = connecting(config(&base), |connect| connect.connect_timeout = SHORT);
    // All share the one attempt: it takes one time-out, not twenty.
    let replies = send(&target(&config), items(20)).await;
    for reply in replies {
        assert!(is(&reply, "unsent", "CONNECT_TIMEOUT"), "{reply:?}");
    }
    let first = listener.accept().await;
    assert!(first.is_ok());
    let second = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(second.is_err(), "a second attempt");
}

#[tokio::test]
async fn a_connection_reset_before_it_reads_loses_or_returns_the_item() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let resetting = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let _ = socket.set_zero_linger();
        }
    });
    for fate in start(&target(&config(&base)), items(20), 1000)
        .finish()
        .await
    {
        // Which of the two depends on whether the reset came before the write.
        let reply = fate.reply.expect("a reply");
        match said(&reply).0 {
            "unsent" => assert!(!fate.written),
            "unknown" => assert!(fate.written),
            other => panic!("{other}: {reply:?}"),
        }
    }
    resetting.abort();
}

#[tokio::test]
async fn a_stream_that_http_2_refuses_was_not_acted_on() {
    let server = HttpTarget::start(in_turn([Act::RefuseStream])).await;
    let config = speaking(Protocol::Http2, config(&server.base()));
    let target = target(&config);
    let reply = send_one(&target).await;
    assert!(is(&reply, "unsent", "STREAM_REFUSED"), "{reply:?}");
    assert_eq!(own(&send_one(&target).await), "ok 200");
    assert_eq!(server.connections(), 1, "the connection is still good");
}

/// Frames of HTTP/2, as a server writes them by hand.
mod frames {
    /// SETTINGS, empty.
    pub const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    pub const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7];
    /// What a client makes of that.
    pub const PONG: [u8; 17] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7];
    /// HEADERS: stream 1 is answered with 200 and ends.
    pub const OK_1: [u8; 10] = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];

    /// The beginning of HEADERS on stream 1, after the length.
    pub fn is_headers_1(bytes: &[u8]) -> bool {
        matches!(bytes, [1, _, 0, 0, 0, 1])
    }

    /// GOAWAY: nothing after this stream was taken; there is no error.
    pub fn goaway(last: u8) -> [u8; 17] {
        [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, last, 0, 0, 0, 0]
    }
}

/// Reads until so many bytes in a row are these.
async fn read_until(socket: &mut TcpStream, length: usize, these: impl Fn(&[u8]) -> bool) {
    let mut seen = Vec::new();
    while !seen.windows(length).any(&these) {
        assert_ne!(socket.read_buf(&mut seen).await.unwrap(), 0, "closed");
    }
}

#[tokio::test]
async fn a_stream_that_a_goaway_leaves_out_was_not_acted_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = speaking(
        Protocol::Http2,
        config(&format!("http://{}", listener.local_addr().unwrap())),
    );
    let going = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&frames::SETTINGS).await.unwrap();
        read_until(&mut socket, 6, frames::is_headers_1).await;
        socket.write_all(&frames::goaway(0)).await.unwrap();
        socket
    });
    let reply = send_one(&target(&config)).await;
    assert!(is(&reply, "unsent", "STREAM_REFUSED"), "{reply:?}");
    drop(going.await.unwrap());
}

#[tokio::test]
async fn an_item_that_a_connection_gives_back_goes_out_on_another() {
    for comes_back in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = speaking(
            Protocol::Http2,
            config(&format!("http://{}", listener.local_addr().unwrap())),
        );
        let target = target(&config);
        let first = start(&target, items(1), 1);
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&frames::SETTINGS).await.unwrap();
        read_until(&mut socket, 6, frames::is_headers_1).await;
        // Takes no more but what it has; the pong says that the client knows.
        socket.write_all(&frames::goaway(1)).await.unwrap();
        socket.write_all(&frames::PING).await.unwrap();
        read_until(&mut socket, 17, |bytes| bytes == frames::PONG).await;

        let fate = if comes_back {
            let second = start(&target, items(1), 1);
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(&frames::SETTINGS).await.unwrap();
            read_until(&mut socket, 6, frames::is_headers_1).await;
            socket.write_all(&frames::OK_1).await.unwrap();
            second.finish().await.remove(0)
        } else {
            drop(listener);
            start(&target, items(1), 1).finish().await.remove(0)
        };
        let expected = if comes_back {
            ("ok 200", true)
        } else {
            ("unsent CONNECT_FAILED", false)
        };
        let reply = own(&fate.reply.expect("a reply"));
        assert_eq!((reply.as_str(), fate.written), expected);

        socket.write_all(&frames::OK_1).await.unwrap();
        let fate = first.finish().await.remove(0);
        assert_eq!(own(&fate.reply.expect("a reply")), "ok 200");
    }
}

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
async fn one_slow_item_does_not_hold_back_its_siblings() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let slow = Latch::default();
        let server = HttpTarget::start({
            let slow = slow.clone();
            move |request| match &request.body[..] {
                br#"{"n": 0}"# => Act::answer(200, "{}").after(&slow),
                _ => Act::answer(200, "{}"),
            }
        })
        .await;
        let config = speaking(protocol, config(&server.base()));
        let mut sending = start(&target(&config), items(50), 1000);
        for _ in 1..50 {
            let (index, reply) = sending.incoming.next().await.expect("a reply");
            assert_ne!(index, 0, "{protocol:?}");
            assert_eq!(own(&reply), "ok 200");
        }
        slow.open();
        assert_eq!(sending.incoming.next().await.expect("a reply").0, 0);
        assert!(sending.incoming.next().await.is_none());
    }
}

#[tokio::test]
async fn after_a_stop_what_is_written_has_its_reply_and_the_rest_is_untouched() {
    let held = Latch::default();
    let server = HttpTarget::start({
        let held = held.clone();
        move |_| Act::answer(200, "{}").after(&held)
    })
    .await;
    let target = target(&config(&server.base()));
    let sending = start(&target, items(5), 2);
    server.arrived(2).await;
    sending.stop.cancel();
    held.open();
    let fates = sending.finish().await;
    let ended: Vec<bool> = fates.iter().map(|fate| fate.reply.is_some()).collect();
    let written: Vec<bool> = fates.iter().map(|fate| fate.written).collect();
    assert_eq!(ended, [true, true, false, false, false]);
    assert_eq!(written, ended);
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn items_go_out_in_order_and_one_at_a_time_where_that_is_the_limit() {
    let server = HttpTarget::start(|_| Act::answer(200, "{}")).await;
    for (_, kind) in kinds(&server.base(), LONG) {
        start(&kind, items(20), 1).finish().await;
    }
    let bodies: Vec<Bytes> = server.requests().into_iter().map(|r| r.body).collect();
    let sent: Vec<Bytes> = items(20)
        .into_iter()
        .filter_map(|item| Some(item.payload?.body))
        .collect();
    assert_eq!(bodies, [sent.clone(), sent].concat());
    assert_eq!(server.connections(), 2, "connections are kept");
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

#[tokio::test]
async fn http_2_carries_many_requests_on_one_connection() {
    let all_there = Latch::default();
    let server = HttpTarget::start({
        let all_there = all_there.clone();
        move |_| Act::answer(200, "{}").after(&all_there)
    })
    .await;
    let config = speaking(Protocol::Http2, config(&server.base()));
    let target = target(&config);
    let sending = start(&target, items(64), 1000);
    // None is answered before all of them have arrived.
    server.arrived(64).await;
    all_there.open();
    for fate in sending.finish().await {
        assert_eq!(own(&fate.reply.expect("a reply")), "ok 200");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_key_is_the_items_own_or_the_same_on_every_try() {
    let server = HttpTarget::start(|_| Act::answer(200, "{}")).await;
    let target = target(&config(&server.base()));
    let mut both = items(2);
    both[0].key = Some("my-key".to_owned());
    for _ in 0..2 {
        start(&target, both.clone(), 1).finish().await;
    }
    let keys: Vec<Option<String>> = server
        .requests()
        .iter()
        .map(|request| request.header("idempotency-key").map(str::to_owned))
        .collect();
    let made_up = format!("flowgate-{}-1", batch());
    let expected = ["my-key", &made_up, "my-key", &made_up].map(|key| Some(key.to_owned()));
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn what_is_safe_to_repeat_follows_the_configuration_and_the_method() {
    let call = |method: &str| Item {
        operation: Operation::Http(flowgate::model::HttpCall {
            method: method.to_owned(),
            ..Default::default()
        }),
        ..items(1).remove(0)
    };
    let plain = HttpConfig {
        idempotency_header: None,
        ..config("http://127.0.0.1")
    };
    let target_with = |change: fn(&mut HttpConfig)| {
        let mut config = HttpConfig {
            idempotency_header: None,
            ..config("http://127.0.0.1")
        };
        change(&mut config);
        target(&config)
    };
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(
            target(&plain).repeatable_for(&call(method)),
            Duration::MAX,
            "{method}"
        );
        let strict = target_with(|config| config.idempotent_methods = false);
        assert_eq!(
            strict.repeatable_for(&call(method)),
            Duration::ZERO,
            "{method}"
        );
    }
    for method in ["", "POST", "PATCH"] {
        assert_eq!(
            target(&plain).repeatable_for(&call(method)),
            Duration::ZERO,
            "{method}"
        );
        let repeatable = target_with(|config| config.repeatable = true);
        assert_eq!(
            repeatable.repeatable_for(&call(method)),
            Duration::MAX,
            "{method}"
        );
        let keyed = target_with(|config| {
            config.idempotency_header = Some(HeaderName::from_static("key"));
        });
        assert_eq!(
            keyed.repeatable_for(&call(method)),
            Duration::from_hours(24),
            "{method}"
        );
    }
}

/// Panics at item 1 before it writes, and at item 2 after.
struct Panics;

impl Single for Panics {
    fn admit(&self, _item: &Item) -> Result<(), Refusal> {
        Ok(())
    }

    fn operation(&self) -> String {
        "none".to_owned()
    }

    fn repeatable_for(&self, _item: &Item) -> Duration {
        Duration::ZERO
    }

    fn honours_keys(&self) -> bool {
        false
    }

    fn call<'a>(
        &'a self,
        item: &'a Item,
        _key: flowgate::target::Key<'a>,
        mut permit: Permit,
    ) -> BoxFuture<'a, Reply> {
        Box::pin(async move {
            assert_ne!(item.index, 1, "on purpose");
            permit.written();
            assert_ne!(item.index, 2, "on purpose");
            Reply::Ok(flowgate::model::Answer::default())
        })
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_item_only() {
    let target: Arc<dyn Target> = Arc::new(Each::new(Panics));
    let fates: Vec<String> = send(&target, items(4)).await.iter().map(own).collect();
    assert_eq!(
        fates,
        ["ok 0", "unsent INTERNAL", "unknown INTERNAL", "ok 0"]
    );
}
