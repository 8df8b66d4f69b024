use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;

/// A connection on which the other side has said so much.
async fn connection(said: &[u8]) -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let mut client = TcpStream::connect(address).await.expect("a connection");
    client.write_all(said).await.expect("it is sent");
    let mut taken = std::pin::pin!(connections(listener, 1));
    let accepted = tokio_stream::StreamExt::next(&mut taken).await;
    (accepted.expect("one").expect("it is accepted"), client)
}

/// Reads all that comes, and how that ends.
async fn read_all(connection: &mut Connection) -> io::Result<usize> {
    let mut all = Vec::new();
    connection.read_to_end(&mut all).await
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_greet_is_dropped() {
    for said in [&b""[..], b"PRI * HTTP/2.0\r\n"] {
        let start = Instant::now();
        let (mut connection, _client) = connection(said).await;
        let end = timeout(3 * GREETING_WAIT, read_all(&mut connection)).await;
        let error = end.expect("it ends").expect_err("nothing more came");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= GREETING_WAIT, "{:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_greeted_may_be_silent() {
    let (mut connection, client) = connection(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let silent = timeout(3 * GREETING_WAIT, read_all(&mut connection)).await;
    assert!(silent.is_err(), "{silent:?}");
    drop(client);
}
