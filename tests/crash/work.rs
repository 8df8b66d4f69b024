//! What is submitted: batches of items, each of which asks the target for
//! something.

use flowgate::proto::{Item, Payload, payload};

use crate::checker::{ItemSent, digest};

/// What an item asks the target for. It does it, unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// It is done.
    Ok,
    /// Done, and answered late.
    Slow,
    /// Refused for its data: not done.
    Refuse,
    /// Told to wait at first: not done; then done.
    Wait,
    /// Always a fault, and never done.
    Fault,
    /// A fault at first, and not done; then done.
    FaultOnce,
    /// Done, and answered with a fault.
    FaultDone,
    /// The connection ends without an answer at first, and it is not done; then
    /// done.
    Lost,
    /// Done, and the connection ends without an answer.
    TornSilent,
    /// Done, and the connection is reset.
    TornReset,
    /// Done, and the answer is cut in its head.
    TornHead,
    /// Done, and the answer is cut in its body.
    TornBody,
    /// Done and answered, and the connection ends without having said so.
    TornAfter,
}

impl Ask {
    const ALL: [(Ask, &'static str); 13] = [
        (Ask::Ok, "ok"),
        (Ask::Slow, "slow"),
        (Ask::Refuse, "refuse"),
        (Ask::Wait, "wait"),
        (Ask::Fault, "fault"),
        (Ask::FaultOnce, "fault-once"),
        (Ask::FaultDone, "fault-done"),
        (Ask::Lost, "lost"),
        (Ask::TornSilent, "torn-silent"),
        (Ask::TornReset, "torn-reset"),
        (Ask::TornHead, "torn-head"),
        (Ask::TornBody, "torn-body"),
        (Ask::TornAfter, "torn-after"),
    ];

    fn word(self) -> &'static str {
        let known = Ask::ALL.iter().find(|(ask, _)| *ask == self);
        known.expect("each has a word").1
    }

    pub fn of(word: &str) -> Ask {
        let known = Ask::ALL.iter().find(|(_, known)| *known == word);
        known
            .unwrap_or_else(|| panic!("nothing is asked by {word}"))
            .0
    }
}

/// An item.
#[derive(Clone, Debug)]
pub struct Piece {
    pub tag: String,
    pub ask: Ask,
    /// Bytes that say nothing.
    pub filler: usize,
    /// Its own idempotency key, where it has one.
    pub key: Option<String>,
}

impl Piece {
    fn body(&self) -> String {
        let (tag, ask) = (&self.tag, self.ask.word());
        let filler = "x".repeat(self.filler);
        format!(r#"{{"tag":"{tag}","ask":"{ask}","filler":"{filler}"}}"#)
    }

    /// As it is submitted.
    pub fn item(&self) -> Item {
        Item {
            payload: Some(Payload {
                content: Some(payload::Content::JsonText(self.body())),
                content_type: String::new(),
            }),
            idempotency_key: self.key.clone().unwrap_or_default(),
            ..Item::default()
        }
    }

    /// As it is noted.
    pub fn sent(&self) -> ItemSent {
        ItemSent {
            tag: self.tag.clone(),
            key: self.key.clone(),
            body: digest(self.body().as_bytes()),
        }
    }
}

/// A batch.
#[derive(Clone, Debug)]
pub struct Work {
    /// Its label, and its `request_id`.
    pub name: String,
    pub target: &'static str,
    pub pieces: Vec<Piece>,
    pub terms: Terms,
    /// How an item may end besides as it would by itself.
    pub also: &'static [&'static str],
}

/// What a batch asks for besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// One item after the other.
    pub strict: bool,
    /// It stops at so many failures.
    pub stop_after: u32,
    /// These are what failed in another batch.
    pub again: bool,
}

impl Work {
    /// A batch of these.
    pub fn of(name: &str, target: &'static str, asks: impl IntoIterator<Item = Ask>) -> Work {
        let piece = |(n, ask)| Piece {
            tag: format!("{name}-{n}"),
            ask,
            filler: 0,
            key: None,
        };
        Work {
            name: name.to_owned(),
            target,
            pieces: (0..).zip(asks).map(piece).collect(),
            terms: Terms::default(),
            also: &[],
        }
    }

    /// The same, under these terms, so that items may end in these ways too.
    pub fn under(mut self, terms: Terms, also: &'static [&'static str]) -> Work {
        self.terms = terms;
        self.also = also;
        self
    }

    /// The same, each item with a key of its own.
    pub fn with_keys(mut self) -> Work {
        for piece in &mut self.pieces {
            piece.key = Some(format!("key-{}", piece.tag));
        }
        self
    }

    /// The same work once more, as another batch.
    pub fn named(mut self, name: &str) -> Work {
        name.clone_into(&mut self.name);
        self
    }

    /// The same, with so many bytes more in each item.
    pub fn of_size(mut self, filler: usize) -> Work {
        for piece in &mut self.pieces {
            piece.filler = filler;
        }
        self
    }

    /// A batch of so many, most of which are done at once.
    pub fn mixed(name: &str, target: &'static str, count: usize, rng: &mut fastrand::Rng) -> Work {
        // Whether an answer that ends its connection unsaid meets the next
        // request is a matter of luck, which only a target that knows keys
        // makes good.
        let rare = match target {
            SAFE => &RARE[..],
            _ => &RARE[1..],
        };
        let ask = |_| match rng.u8(..3) {
            0 => rare[rng.usize(..rare.len())],
            _ => Ask::Ok,
        };
        Work::of(name, target, (0..count).map(ask).collect::<Vec<_>>())
    }
}

/// The target that knows an item by its key.
pub const SAFE: &str = "safe";
/// The target that does an item as often as it comes.
pub const PLAIN: &str = "plain";

/// What is asked for now and then. Not to wait: each is a second for all.
const RARE: [Ask; 11] = [
    Ask::TornAfter,
    Ask::Slow,
    Ask::Refuse,
    Ask::Fault,
    Ask::FaultOnce,
    Ask::FaultDone,
    Ask::Lost,
    Ask::TornSilent,
    Ask::TornReset,
    Ask::TornHead,
    Ask::TornBody,
];
