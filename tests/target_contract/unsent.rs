//! Connections that do not come to be: nothing was sent.

use std::time::Duration;

use flowgate::config::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::world::*;

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
