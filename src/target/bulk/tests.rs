use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::limiter::{Gate, GateSpec};
use crate::model::{Answer, Cost, Form, Operation, Pace, Payload};
use crate::target::{Ahead, wire};

/// What a downstream does with a request: some items, by their indexes.
type Script = dyn Fn(&[u32], &CancellationToken) -> Said + Send + Sync;

/// A downstream that does as a script says, and notes what it was sent.
struct Scripted {
    script: Box<Script>,
    sent: Mutex<Vec<Vec<u32>>>,
    stop: CancellationToken,
}

/// Fits three items of ten bytes.
const BOUNDS: Bounds = Bounds {
    items: 100,
    bytes: 35,
};

impl Many for Scripted {
    fn admit(&self, _: &Item) -> Result<(), Refusal> {
        Ok(())
    }

    fn operation(&self) -> String {
        "none".to_owned()
    }

    fn repeatable_for(&self, _: &Item) -> Duration {
        Duration::ZERO
    }

    fn honours_keys(&self) -> bool {
        false
    }

    fn bounds(&self) -> Bounds {
        BOUNDS
    }

    fn atomic_items(&self) -> Option<u32> {
        Some(100)
    }

    fn bytes(&self, item: &Item) -> usize {
        item.payload
            .as_ref()
            .map_or(1, |payload| payload.body.len())
    }

    fn call<'a>(&'a self, request: Together<'a>, permit: &'a mut Permit) -> BoxFuture<'a, Said> {
        let indexes: Vec<u32> = request.items.iter().map(|item| item.index).collect();
        self.sent.lock().unwrap().push(indexes.clone());
        assert!(!indexes.contains(&1000), "on purpose, before it is written");
        permit.written();
        assert!(!indexes.contains(&1001), "on purpose, after it is written");
        let said = (self.script)(&indexes, &self.stop);
        async move { said }.boxed()
    }
}

fn item(index: u32, bytes: usize) -> Item {
    Item {
        index,
        id: None,
        key: None,
        payload: Some(Payload {
            form: Form::Raw,
            content_type: None,
            body: Bytes::from(vec![0; bytes]),
        }),
        operation: Operation::Target,
    }
}

/// So many that all fit one request.
fn items(count: u32) -> Vec<Item> {
    (0..count).map(|n| item(n, 0)).collect()
}

/// What became of each item, and what was sent.
async fn ran(
    items: Vec<Item>,
    is_atomic: bool,
    script: impl Fn(&[u32], &CancellationToken) -> Said + Send + Sync + 'static,
) -> (Vec<String>, Vec<Vec<u32>>) {
    let gate = Gate::new(GateSpec {
        limits: Vec::new(),
        pace: Pace::Window,
        transit: Duration::ZERO,
        concurrency: vec![1],
        spent: Vec::new(),
    });
    let stop = CancellationToken::new();
    let ahead = Ahead::new(0, Arc::new(Notify::new()));
    let count = u32::try_from(items.len()).unwrap();
    let (wire, mut incoming) = wire(gate, 0, Cost::REQUEST, count, ahead.clone(), stop.clone());
    let target = Arc::new(Bulk::new(Scripted {
        script: Box::new(script),
        sent: Mutex::default(),
        stop,
    }));
    let chunk = Chunk {
        batch: BatchId::parse("0191e0a0-0000-7000-8000-000000000001").unwrap(),
        items: items.into(),
        is_atomic,
    };
    target.clone().send(chunk, wire).await;
    let mut fates: Vec<Option<String>> = vec![None; count as usize];
    while let Some((at, reply)) = incoming.next().await {
        let before = fates[at as usize].replace(shown(&reply));
        assert_eq!(before, None, "two replies for item {at}");
    }
    let fate = |(at, fate): (u32, Option<String>)| match fate {
        Some(fate) => fate,
        None if incoming.written(at) => "written".to_owned(),
        None => "back".to_owned(),
    };
    let fates = (0..).zip(fates).map(fate).collect();
    drop(incoming);
    assert_eq!(ahead.items(), 0, "the count of what is ahead adds up");
    let sent = target.many.sent.lock().unwrap().clone();
    (fates, sent)
}

fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Ok(_) => "ok".to_owned(),
        Reply::Refused(cause) => format!("refused {}", cause.reason),
        Reply::RolledBack(_) => "rolled back".to_owned(),
        Reply::Unknown(cause) => format!("unknown {}", cause.reason),
        Reply::Unsent(cause) => format!("unsent {}", cause.reason),
        other => format!("{other:?}"),
    }
}

fn ok() -> Reply {
    Reply::Ok(Answer::default())
}

fn cause() -> Box<Cause> {
    Box::new(Cause {
        reason: "BAD".to_owned(),
        ..Cause::default()
    })
}

#[allow(clippy::unnecessary_wraps, reason = "as it stands among others")]
fn refused() -> Option<Reply> {
    Some(Reply::Refused(cause()))
}

/// Nothing of a request is done that has one of these.
fn refuses(bad: &'static [u32]) -> impl Fn(&[u32], &CancellationToken) -> Said + Send + Sync {
    move |sent, _| match sent.iter().any(|n| bad.contains(n)) {
        true => Said::Refused(cause()),
        false => Said::All(ok()),
    }
}

#[tokio::test]
async fn requests_hold_what_they_may_and_a_large_item_goes_alone() {
    let bytes = [10, 10, 10, 10, 40, 10, 30, 5, 1];
    let sized = (0..).zip(bytes).map(|(n, bytes)| item(n, bytes)).collect();
    let (fates, sent) = ran(sized, false, |_, _| Said::All(ok())).await;
    assert_eq!(fates, ["ok"; 9]);
    let expected = [
        vec![0, 1, 2],
        vec![3],
        vec![4],
        vec![5],
        vec![6, 7],
        vec![8],
    ];
    assert_eq!(sent, expected);
    let (_, sent) = ran(items_of_bytes(5, 30), true, |_, _| Said::All(ok())).await;
    assert_eq!(sent.len(), 1, "all or nothing is one request");
    let (_, sent) = ran(items(250), false, |_, _| Said::All(ok())).await;
    let lengths: Vec<usize> = sent.iter().map(Vec::len).collect();
    assert_eq!(lengths, [100, 100, 50]);
}

fn items_of_bytes(count: u32, bytes: usize) -> Vec<Item> {
    (0..count).map(|n| item(n, bytes)).collect()
}

#[tokio::test]
async fn what_was_not_said_of_an_item_is_unknown_and_what_is_too_much_is_nobodys() {
    for (replies, expected) in [
        (
            vec![Some(ok()), None, refused()],
            ["ok", "unknown MISSING_ENTRY", "refused BAD"],
        ),
        (
            vec![Some(ok())],
            ["ok", "unknown MISSING_ENTRY", "unknown MISSING_ENTRY"],
        ),
        (vec![], ["unknown MISSING_ENTRY"; 3]),
        (
            vec![Some(ok()), Some(ok()), Some(ok()), refused()],
            ["ok"; 3],
        ),
    ] {
        let (fates, _) = ran(items(3), false, move |_, _| Said::Each(replies.clone())).await;
        assert_eq!(fates, expected);
    }
}

#[tokio::test]
async fn a_refused_request_goes_in_halves_until_what_is_wrong_is_alone() {
    let (fates, sent) = ran(items(8), false, refuses(&[5])).await;
    let mut expected = ["ok"; 8];
    expected[5] = "refused BAD";
    assert_eq!(fates, expected);
    let shown: Vec<String> = sent
        .iter()
        .map(|n| format!("{}-{}", n[0], n[n.len() - 1]))
        .collect();
    assert_eq!(shown, ["0-7", "0-3", "4-7", "4-5", "4-4", "5-5", "6-7"]);
    // All are bad, or there is only one.
    let (fates, sent) = ran(items(3), false, refuses(&[0, 1, 2])).await;
    assert_eq!((fates, sent.len()), (vec!["refused BAD".to_owned(); 3], 5));
    let (fates, sent) = ran(items(1), false, refuses(&[0])).await;
    assert_eq!((fates, sent.len()), (vec!["refused BAD".to_owned()], 1));
}

#[tokio::test]
async fn all_or_nothing_is_never_sent_in_part() {
    for said in [Said::Refused as fn(_) -> _, Said::TooLarge] {
        let (fates, sent) = ran(items(4), true, move |_, _| said(cause())).await;
        assert_eq!(fates, ["refused BAD"; 4]);
        assert_eq!(sent.len(), 1);
    }
    let culprit = || Said::Culprits(vec![None, refused(), None, None]);
    let (fates, sent) = ran(items(4), true, move |_, _| culprit()).await;
    assert_eq!(
        fates,
        ["rolled back", "refused BAD", "rolled back", "rolled back"]
    );
    assert_eq!(sent.len(), 1);
}

#[tokio::test]
async fn those_that_are_named_are_left_out_and_the_others_go_again() {
    let names = |bad: &'static [u32]| {
        move |sent: &[u32], _: &CancellationToken| match sent.iter().any(|n| bad.contains(n)) {
            true => {
                let reply = |n: &u32| bad.contains(n).then(refused).flatten();
                Said::Culprits(sent.iter().map(reply).collect())
            }
            false => Said::All(ok()),
        }
    };
    let (fates, sent) = ran(items(7), false, names(&[0, 3, 4])).await;
    assert_eq!(
        fates,
        [
            "refused BAD",
            "ok",
            "ok",
            "refused BAD",
            "refused BAD",
            "ok",
            "ok"
        ]
    );
    assert_eq!(sent[1..], [vec![1, 2], vec![5, 6]]);
    let (fates, sent) = ran(items(2), false, names(&[0, 1])).await;
    assert_eq!((fates, sent.len()), (vec!["refused BAD".to_owned(); 2], 1));
    // It names nobody: that must not go on for ever.
    let nobody = |sent: &[u32], _: &CancellationToken| Said::Culprits(vec![None; sent.len()]);
    let (fates, sent) = ran(items(2), false, nobody).await;
    assert_eq!((&fates[0][..], sent.len()), ("unknown MISSING_ENTRY", 1));
}

#[tokio::test]
async fn what_is_stopped_between_halves_goes_back() {
    // The second half finds the lane stopped.
    let (fates, sent) = ran(items(8), false, |sent, stop| {
        if sent.len() == 8 {
            return Said::TooLarge(cause());
        }
        stop.cancel();
        Said::All(ok())
    })
    .await;
    assert_eq!(
        fates,
        ["ok", "ok", "ok", "ok", "back", "back", "back", "back"]
    );
    assert_eq!(sent.len(), 2);
    let (fates, _) = ran(items(4), false, |_, stop| {
        stop.cancel();
        Said::Culprits(vec![None, refused(), None, None])
    })
    .await;
    assert_eq!(fates, ["back", "refused BAD", "back", "back"]);
}

#[tokio::test]
async fn a_panic_ends_its_own_request_only() {
    for (index, expected) in [(1000, "unsent INTERNAL"), (1001, "unknown INTERNAL")] {
        let mut items = items_of_bytes(3, 30);
        items[1].index = index;
        let (fates, _) = ran(items, false, |_, _| Said::All(ok())).await;
        assert_eq!(fates, ["ok", expected, "ok"]);
    }
}

#[tokio::test]
async fn a_half_that_is_answered_otherwise_is_told_so() {
    let (fates, _) = ran(items(4), false, |sent, _| match sent {
        [0, 1] => Said::All(Reply::Unknown(cause())),
        [2, 3] => Said::Each(vec![None, Some(ok())]),
        _ => Said::TooLarge(cause()),
    })
    .await;
    assert_eq!(
        fates,
        ["unknown BAD", "unknown BAD", "unknown MISSING_ENTRY", "ok"]
    );
}
