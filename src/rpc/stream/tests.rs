use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use tonic::codec::Codec;
use tonic_prost::ProstCodec;

use super::follow::tests::{finished_batch, rooms};
use super::*;

/// A client's side on which nothing comes, and which is not closed either.
fn silent() -> Inbound {
    let body = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
    let mut codec = ProstCodec::<proto::BatchSubmitStreamResponse, _>::default();
    Streaming::new_request(codec.decoder(), body, None, None)
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_opens_gives_up_its_place() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let rooms = rooms(&folder.path().join("store.db"));
    let (sender, _receiver) = follow::channel();
    let session = session(&rooms, TenantId::default(), silent(), &sender);
    let ended = timeout(2 * OPEN_WAIT, session).await.expect("it ends");
    assert_eq!(ended.expect_err("no open came").reason, "NOT_OPEN");
}

#[tokio::test]
async fn nothing_more_is_taken_in_once_the_call_has_ended() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let rooms = rooms(&folder.path().join("store.db"));
    let batch = finished_batch(&rooms).await;
    let submission = rooms.intake.resume(batch.clone()).expect("a submission");
    let (taken, receiver) = watch::channel(Taken::of(&batch));
    drop(receiver);
    let taking = take_in(rooms.clone(), submission, silent(), taken);
    timeout(LAST_WORDS, taking).await.expect("it ends");
}
