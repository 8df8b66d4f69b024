//! The target: does what each item asks for, and notes what came and what it
//! did about it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::checker::{Arrived, Fact, digest};
use crate::notes::Notes;
use crate::support::http_target::{Act, Answer, Latch, Request};
use crate::work::{Ask, SAFE};

/// The header in which an item's key comes.
pub const KEY: &str = "idempotency-key";

/// How late a slow answer is: some requests later, on any machine.
const SLOW: Duration = Duration::from_millis(30);

/// What the target remembers.
pub struct Ledger {
    notes: Notes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often each item came.
    tries: HashMap<String, u32>,
    /// What was done under which key.
    records: HashMap<String, u16>,
}

impl Ledger {
    pub fn new(notes: Notes) -> Ledger {
        Ledger {
            notes,
            state: Mutex::default(),
        }
    }

    /// What is done about a request.
    pub fn answer(&self, request: &Request) -> Act {
        // It has arrived; and who sent it may be gone from here on.
        self.notes.event();
        let body: serde_json::Value = serde_json::from_slice(&request.body).expect("JSON");
        let tag = body["tag"].as_str().expect("a tag");
        let ask = Ask::of(body["ask"].as_str().expect("a word"));
        let target = request.path.trim_start_matches('/');
        let key = request.header(KEY);
        let mut state = self.state.lock().unwrap();
        let tries = state.tries.entry(tag.to_owned()).or_default();
        *tries += 1;
        let first = *tries == 1;
        let record = key.filter(|_| target == SAFE);
        let known = record.and_then(|key| state.records.get(key).copied());
        let (acted, act) = match known {
            Some(status) => (false, Act::answer(status, r#"{"record":true}"#)),
            None => asked(ask, first),
        };
        if acted && let Some(key) = record {
            state.records.insert(key.to_owned(), 201);
        }
        drop(state);
        self.notes.saw(Fact::Arrived(Arrived {
            target: target.to_owned(),
            tag: tag.to_owned(),
            key: key.map(str::to_owned),
            body: digest(&request.body),
            acted,
            safe: target == SAFE,
            answer: format!("{ask:?}"),
        }));
        // It is done, and nobody has been told yet.
        self.notes.event();
        act
    }
}

/// Whether it is done, and what is answered.
fn asked(ask: Ask, first: bool) -> (bool, Act) {
    let done = || Act::answer(201, r#"{"id":"1"}"#);
    let fault = || Act::answer(500, r#"{"message":"broken"}"#);
    match ask {
        Ask::Slow => (true, done().after(&soon())),
        Ask::Refuse => (false, Act::answer(422, r#"{"message":"no"}"#)),
        Ask::Wait if first => (false, Act::answer(429, "").with("retry-after", "1")),
        Ask::Fault => (false, fault()),
        Ask::FaultOnce if first => (false, fault()),
        Ask::FaultDone => (true, fault()),
        Ask::Lost if first => (false, Act::Close),
        Ask::TornSilent => (true, Act::Close),
        Ask::TornReset => (true, Act::Reset),
        Ask::TornHead => (true, Act::raw("HTTP/1.1 20")),
        Ask::TornBody => {
            let cut = "HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n{\"id";
            (true, Act::raw(cut))
        }
        Ask::TornAfter => {
            let answer = Answer::new(201, r#"{"id":"1"}"#);
            (true, Act::AnswerAndClose(answer, Latch::default()))
        }
        Ask::Ok | Ask::Wait | Ask::FaultOnce | Ask::Lost => (true, done()),
    }
}

/// A latch that opens a little later.
fn soon() -> Latch {
    let latch = Latch::default();
    let opens = latch.clone();
    tokio::spawn(async move {
        tokio::time::sleep(SLOW).await;
        opens.open();
    });
    latch
}
