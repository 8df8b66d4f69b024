//! What the head of an answer says to the next request: a pause that a target
//! asks for begins with the head, not with the end of the body.

use std::sync::Arc;
use std::time::Duration;

use flowgate::config::Protocol;
use flowgate::target::Target;
use futures_util::FutureExt;
use tokio::time::Instant;

use crate::support::http_target::{Act, HttpTarget, Latch, in_turn};
use crate::support::patience::within;
use crate::world::*;

#[tokio::test]
async fn a_retry_after_holds_back_what_is_not_written_from_the_head_on() {
    let head = "HTTP/1.1 429 No\r\nretry-after: 30\r\ncontent-length: 4\r\n\r\n";
    let read = Latch::default();
    let rest = Act::raw("done").after(&read);
    let server = HttpTarget::start(in_turn([Act::Raw(head.into(), Box::new(rest))])).await;
    let target: Arc<dyn Target> = target(&config(&server.base()));
    let gate = gate(1000);

    let first = start_at(&gate, &target, items(1));
    // The lane reads this too, to tell when it goes on.
    let is_held = || gate.due(0) > Instant::now() + Duration::from_secs(20);
    let pausing = async {
        while !is_held() {
            tokio::task::yield_now().await;
        }
    };
    within("a pause, before the answer has ended", pausing).await;
    let next = gate.permit(0, 1).now_or_never();
    assert!(next.is_none(), "another may be written");

    read.open();
    let fates = first.finish().await;
    let reply = fates[0].reply.as_ref().expect("a reply");
    assert_eq!(own(reply), "busy HTTP_429");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn the_next_request_is_written_when_the_pause_is_over() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let busy = Act::answer(429, "").with("retry-after", "1");
        let server = HttpTarget::start(in_turn([busy])).await;
        let target = target(&speaking(protocol, config(&server.base())));
        let gate = gate(1);
        let mut said = Vec::new();
        for fate in start_at(&gate, &target, items(2)).finish().await {
            said.push(own(&fate.reply.expect("a reply")));
        }
        assert_eq!(said, ["busy HTTP_429", "ok 200"]);
        let requests = server.requests();
        let pause = requests[1].at - requests[0].at;
        assert!(pause >= Duration::from_secs(1), "{protocol:?}: {pause:?}");
    }
}
