//! What a run can see. All of it is optional but for the ledger of the targets
//! and the transcripts of the clients: an invariant that is about facts which
//! nobody saw holds.
//!
//! Two names are given by whoever writes the run, and carried through the
//! service so that everything can be traced back to what was submitted:
//!
//! - a **tag** names an item for ever: it stands in the payload. Submitting the
//!   same again (the same `request_id`, the same offset, the same key in another
//!   batch, a `RetryBatch`) has the same tags; what is meant to be another piece
//!   of work has others.
//! - a **name** names a batch before it has an id: put it into a label. What
//!   can only be one batch has one name; a submission without a `request_id`
//!   that is tried again, because nobody knows what became of it, gets another.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

/// Nanoseconds on a clock that all facts of a run share and that never jumps.
pub type Nanos = u64;

/// A run as it was seen.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub quotas: Vec<Quota>,
    pub targets: Vec<Target>,
    /// In the order in which they happened, as far as the run can tell: the
    /// order of leases, writes and settles counts; the rest goes by time.
    pub facts: Vec<Seen>,
}

impl Run {
    pub fn saw(&mut self, at: Nanos, what: Fact) {
        self.facts.push(Seen { at, what });
    }
}

/// Limits that one or several targets draw on together.
#[derive(Clone, Debug, Default)]
pub struct Quota {
    pub name: String,
    pub limits: Vec<Limit>,
}

/// At most `count` requests in any window of `per`, as the target sees them.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub count: u32,
    pub per: Nanos,
}

#[derive(Clone, Debug, Default)]
pub struct Target {
    pub name: String,
    /// The name of its quota.
    pub quota: String,
}

/// A fact, and when it was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Nanos,
    pub what: Fact,
}

#[derive(Clone, Debug)]
pub enum Fact {
    // What a client did and was told: its transcript.
    Submitted(Submitted),
    Accepted(Accepted),
    Followed(Followed),
    Told(Told),
    Read(Read),
    // What a target saw: its ledger.
    Arrived(Arrived),
    // What only a run inside the process can see.
    Leased(Leased),
    /// The first byte of a request for the item with this tag was written.
    Wrote {
        tag: String,
    },
    Settled(Settled),
    Recorded(Recorded),
    /// The process was started on what an earlier one left, and put back or to
    /// rest all that was leased.
    Rescued,
    Memory(Memory),
    /// Nothing more of a batch (by its id) or for a target (by its name) is to be
    /// sent: on, once that was acknowledged; off, when somebody asks that it goes
    /// on.
    Held {
        what: String,
        on: bool,
    },
    /// The batch of this name stops at so many failures.
    StopsAfter {
        name: String,
        failures: u32,
    },
    /// Somebody who is named still waits, though the faults have stopped and
    /// everything had its time.
    Stuck(String),
    /// The service broke: it panicked, or refused what was right.
    Trouble(String),
    /// The process was killed, or ended. For whoever reads the facts.
    Stopped(String),
}

/// A client handed in items, all of a batch or some. Recorded before any
/// answer.
#[derive(Clone, Debug, Default)]
pub struct Submitted {
    pub name: String,
    pub tenant: String,
    pub target: String,
    pub request_id: Option<String>,
    /// The index of the first item in its batch.
    pub first: u32,
    pub items: Vec<ItemSent>,
    /// Strictly in order: an item is sent only after the outcome of the one
    /// before it is recorded.
    pub strict: bool,
    /// Nothing is sent after it.
    pub deadline: Option<Nanos>,
}

/// An item as a client handed it in.
#[derive(Clone, Debug, Default)]
pub struct ItemSent {
    pub tag: String,
    /// Its own idempotency key, where it has one.
    pub key: Option<String>,
    /// Of its payload, as the target gets it: see [`digest`].
    pub body: u64,
}

/// The service said that it holds items of a batch: `accepted` in a stream, or
/// the answer to a unary submission.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    pub name: String,
    pub tenant: String,
    /// The `request_id` of the submission that was answered.
    pub request_id: Option<String>,
    /// The public id.
    pub batch: String,
    /// It holds the items with the indexes below this.
    pub held: u32,
}

/// A reader begins to follow a batch.
#[derive(Clone, Debug, Default)]
pub struct Followed {
    /// A number of its own for each reading from one cursor.
    pub reader: u32,
    pub batch: String,
    /// The cursor: the next event has the sequence after it.
    pub after: u64,
}

/// A logged event that a reader was given. Heartbeats have no sequence: they
/// are none.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub reader: u32,
    /// Who reads.
    pub tenant: String,
    pub batch: String,
    pub sequence: u64,
    /// Of the whole event, as it was given: see [`digest`].
    pub bytes: u64,
    pub outcomes: Vec<Outcome>,
    /// Where it says how far the batch has come.
    pub counts: Option<Counts>,
    /// It is the last event of the batch.
    pub finished: bool,
    /// The tenants whose data stands in it, as far as the run can tell: put the
    /// tenant's name into payloads and replies.
    pub owners: Vec<String>,
}

/// What was concluded about an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub index: u32,
    pub ended: Ended,
    /// Answered from an earlier submission with the same key.
    pub replayed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    Succeeded,
    /// The kind by its name in the contract, without its prefix: `REJECTED`.
    Failed(String),
}

/// How many items of a batch are where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u32,
    pub succeeded: u32,
    /// By kind, as in [`Ended::Failed`]; kinds without any may be left out.
    pub failed: BTreeMap<String, u32>,
    pub in_flight: u32,
    pub queued: u32,
}

/// Somebody asked for a batch as it stands.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Read {
    /// Who asked.
    pub tenant: String,
    /// The public id that was asked for.
    pub batch: String,
    /// It was there; the rest says what it was.
    pub found: bool,
    /// From its label.
    pub name: String,
    pub sealed: bool,
    /// Its state is final.
    pub finished: bool,
    pub last_sequence: u64,
    pub counts: Counts,
    /// From here on nothing is to happen any more: the faults have stopped, and
    /// everything had its time. A run reads every batch once so, and follows it
    /// from its beginning.
    pub at_the_end: bool,
}

/// A request arrived at a target.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    pub target: String,
    /// From the payload.
    pub tag: String,
    /// The idempotency key that came with it, where one did.
    pub key: Option<String>,
    /// Of the payload: see [`digest`].
    pub body: u64,
    /// The target did what was asked. Not where it knew the key, and answered
    /// from its record.
    pub acted: bool,
    /// Sending the item to this target again does no harm: it honours keys, or
    /// the operation may be repeated.
    pub safe: bool,
    /// What it answered, for whoever reads the facts.
    pub answer: String,
}

/// Items were leased, and that is durable.
#[derive(Clone, Debug, Default)]
pub struct Leased {
    /// Names the chunk.
    pub chunk: i64,
    pub epoch: u32,
    /// The public id.
    pub batch: String,
    pub tags: Vec<String>,
}

/// Somebody settled items of a chunk, or tried to.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    pub chunk: i64,
    /// Of the lease under which it was asked for.
    pub epoch: u32,
    /// It is recorded, and durable; otherwise the answer was that somebody else
    /// holds the chunk.
    pub recorded: bool,
    /// The items that have an outcome now.
    pub ended: Vec<String>,
    /// The items that wait to be sent again.
    pub again: Vec<String>,
    /// What is left of the chunk is leased no more.
    pub released: bool,
}

/// Outcomes became durable.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    pub batch: String,
    pub outcomes: Vec<Outcome>,
}

/// How much of something is held in memory, and how much may be.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub what: String,
    pub used: u64,
    pub budget: u64,
}

/// The same for the same bytes, in any run.
pub fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}
