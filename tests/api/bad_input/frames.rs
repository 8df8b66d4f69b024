//! Bytes that are no message.

use super::*;

/// Posts bytes as a gRPC request's body, and reads the status from what comes
/// back.
async fn post(world: &World, method: &str, body: &[u8], encoding: Option<&str>) -> Status {
    let address = world.server.as_ref().expect("a server").address();
    let socket = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let io = hyper_util::rt::TokioIo::new(socket);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    let mut request = http::Request::post(format!(
        "http://{address}/flowgate.v1.BatchService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let request = request
        .body(Full::new(Bytes::copy_from_slice(body)))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    if let Some(status) = Status::from_header_map(response.headers()) {
        return status;
    }
    let body = response
        .into_body()
        .collect()
        .await
        .expect("the whole answer");
    let trailers = body.trailers().expect("trailers");
    Status::from_header_map(trailers).expect("a status")
}

/// A gRPC frame: flag, length, message.
fn frame(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![flag];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let mut world = World::start().await;
    let garbage = b"\xff\xff\xff\xff garbage";
    let length = u32::try_from(garbage.len()).expect("small");
    for method in ["BatchSubmit", "BatchSubmitStream"] {
        let status = post(&world, method, &frame(0, length, garbage), None).await;
        assert_refused(
            &status,
            Code::InvalidArgument,
            "INVALID_MESSAGE",
            "cannot be read",
        );
        let status = post(&world, method, &frame(0, 500, b"cut in half"), None).await;
        assert_refused(
            &status,
            Code::InvalidArgument,
            "INVALID_MESSAGE",
            "cannot be read",
        );
        let status = post(&world, method, &frame(0, u32::MAX, b""), None).await;
        assert_refused(
            &status,
            Code::InvalidArgument,
            "BATCH_TOO_LARGE",
            "split the batch",
        );
        // Compression is not offered: a small message cannot become a large one.
        let status = post(&world, method, &frame(1, 2, b"\x1f\x8b"), Some("gzip")).await;
        assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
        assert!(status.message().contains("gzip"), "{status:?}");
        let status = post(&world, method, &frame(1, 2, b"\x1f\x8b"), None).await;
        assert_refused(
            &status,
            Code::InvalidArgument,
            "INVALID_MESSAGE",
            "compressed",
        );
    }
    world.is_unhurt().await;
}
