//! Answers of every kind, good and broken, and what each proves of an item.

use std::time::Duration;

use bytes::Bytes;
use flowgate::config::GrpcConfig;
use h2::Reason;

use crate::backend::{Backend, Call, Step, done, failed, frame, head, status};
use crate::guests::guest;
use crate::sending::{LONG, config, items, said, send, target};

/// Answers by name, and what becomes of their item.
type Answers = Vec<(&'static str, Vec<Step>, &'static str)>;

const CUT: &str = "ok 0, cut";
const LOST: &str = "unknown CONNECTION_LOST";
const NO_STATUS: &str = "unknown NO_STATUS";
const NOT_FOUND: &str = "refused GRPC_NOT_FOUND";

/// Whether a call is for the item in the middle of three.
pub fn is_second(call: &Call) -> bool {
    call.message().windows(2).any(|bytes| bytes == b"1@")
}

/// Has the item in the middle of three get each answer: it alone has what
/// becomes of that.
async fn assert_each(answers: Answers, timeout: Duration) {
    for (name, steps, expected) in answers {
        let backend = Backend::start(move |call| match is_second(call) {
            true => steps.clone(),
            false => done(&guest("another")),
        })
        .await;
        let config = GrpcConfig {
            timeout,
            ..config(&backend.base())
        };
        let fates = send(&target(&config), items(3)).await;
        let replies: Vec<String> = fates.iter().map(|fate| said(&fate.reply)).collect();
        assert_eq!(replies, ["ok 0", expected, "ok 0"], "{name}: {fates:?}");
        let written: Vec<bool> = fates.iter().map(|fate| fate.written).collect();
        assert_eq!(written, [true; 3], "{name}");
        assert_eq!(backend.calls().len(), 3, "each was sent once: {name}");
    }
}

fn data(bytes: impl Into<Bytes>) -> Step {
    Step::Data(bytes.into())
}

/// A message of at least so many bytes.
fn large(bytes: usize) -> Step {
    data(frame(&guest(&"x".repeat(bytes))))
}

fn reset() -> Step {
    Step::Reset(Reason::INTERNAL_ERROR)
}

fn trailers(name: &'static str, value: &str) -> Step {
    Step::Trailers(vec![(name, value.to_owned())])
}

#[rustfmt::skip] // One answer, one line.
fn statuses() -> Answers {
    let whole = || data(frame(&guest("a")));
    vec![
        ("done", done(&guest("a")), "ok 0"),
        ("no message", vec![head(), status(0)], "ok 0"),
        ("an empty message", vec![head(), data(&[0; 5][..]), status(0)], "ok 0"),
        ("trailers only, done", failed(0), "ok 0"),
        ("trailers only", failed(5), NOT_FOUND),
        ("trailers", vec![head(), status(5)], NOT_FOUND),
        ("a message, and refused", vec![head(), whole(), status(5)], NOT_FOUND),
        ("busy", failed(8), "busy GRPC_RESOURCE_EXHAUSTED"),
        ("unavailable", failed(14), "fault GRPC_UNAVAILABLE"),
        ("unavailable after a head", vec![head(), status(14)], "fault GRPC_UNAVAILABLE"),
        ("too late there", failed(4), "unknown GRPC_DEADLINE_EXCEEDED"),
        ("given up there", failed(1), "unknown GRPC_CANCELLED"),
        ("no such code", failed(99), "fault GRPC_UNKNOWN"),
        ("a 503", vec![Step::Bare(503, vec![])], "fault HTTP_503"),
        ("a 502 with a page", vec![Step::Head(502, vec![]), Step::Last("<html>".into())],
            "fault HTTP_502"),
        ("a 429", vec![Step::Bare(429, vec![])], "busy HTTP_429"),
        ("a 413", vec![Step::Bare(413, vec![])], "refused HTTP_413"),
    ]
}

#[tokio::test]
async fn a_status_is_the_answer() {
    assert_each(statuses(), LONG).await;
}

#[rustfmt::skip] // One answer, one line.
fn messages() -> Answers {
    let whole = frame(&guest("a"));
    let compressed = [&[1][..], &whole[1..]].concat();
    let twice = [whole.clone(), whole.clone()].concat();
    let html = Step::Head(200, vec![("content-type", "text/html".to_owned())]);
    let pieces = whole.chunks(1).map(|piece| data(piece.to_vec()));
    let in_pieces = [head()].into_iter().chain(pieces).chain([status(0)]);
    vec![
        ("in pieces", in_pieces.collect(), "ok 0"),
        ("compressed", vec![head(), data(compressed), status(0)], CUT),
        ("two messages", vec![head(), data(twice), status(0)], CUT),
        ("garbage", vec![head(), data("garbage"), status(0)], CUT),
        ("half a message", vec![head(), data(whole.slice(..8)), status(0)], CUT),
        ("a page", vec![html, data("<html>"), status(0)], CUT),
        ("larger than is kept", vec![head(), large(2_000), status(0)], CUT),
        ("larger than is taken", vec![head(), large(5 << 20), status(0)], CUT),
        ("larger, and refused", vec![head(), large(5 << 20), status(5)], NOT_FOUND),
    ]
}

#[tokio::test]
async fn what_was_done_was_done_whatever_became_of_the_message() {
    assert_each(messages(), LONG).await;
}

#[rustfmt::skip] // One answer, one line.
fn without_a_status() -> Answers {
    let whole = || data(frame(&guest("a")));
    let half = || data(frame(&guest("a")).slice(..6));
    let (flush, refused) = (|| Step::Flush, || Step::Reset(Reason::REFUSED_STREAM));
    let done_at_once = Step::Head(200, vec![("grpc-status", "0".to_owned())]);
    let last = |bytes: &'static str| Step::Last(bytes.into());
    vec![
        ("reset at once", vec![reset()], LOST),
        ("cancelled at once", vec![Step::Reset(Reason::CANCEL)], LOST),
        ("calm down", vec![Step::Reset(Reason::ENHANCE_YOUR_CALM)], LOST),
        ("reset after the head", vec![head(), flush(), reset()], LOST),
        ("reset in the message", vec![head(), half(), flush(), reset()], LOST),
        ("reset after the message", vec![head(), whole(), flush(), reset()], LOST),
        // A refusal proves something only where nothing has come yet.
        ("refused after the head", vec![head(), flush(), refused()], LOST),
        ("no trailers", vec![head(), whole(), last("")], NO_STATUS),
        ("no status in them", vec![head(), trailers("grpc-message", "hello")], NO_STATUS),
        ("no number", vec![head(), trailers("grpc-status", "OK")], NO_STATUS),
        ("a bare head", vec![Step::Bare(200, vec![])], NO_STATUS),
        ("a page", vec![Step::Head(200, vec![]), last("<html>")], NO_STATUS),
        // The head says that it was done, and something follows.
        ("a status too early", vec![done_at_once, half(), last("")], NO_STATUS),
    ]
}

#[tokio::test]
async fn without_a_status_nobody_knows() {
    assert_each(without_a_status(), LONG).await;
}
