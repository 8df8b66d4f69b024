//! What HTTP/2 proves besides its answers: refused streams and GOAWAY.

use flowgate::config::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::http_target::{Act, HttpTarget, Latch, in_turn};
use crate::world::*;

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
