//! The order in which a chunk's items go out, and who waits for whom.

use bytes::Bytes;
use flowgate::config::Protocol;

use crate::support::http_target::{Act, HttpTarget, Latch};
use crate::world::*;

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
