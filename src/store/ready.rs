//! What the verbs write, checked as far as it can be by itself and encoded on
//! the caller's own task: the writer, which serves everybody, only copies
//! bytes.

use bytes::Bytes;

use std::collections::HashMap;

use super::codec;
use super::rows::{Digest, Done, Undone};
use super::{Again, Append, Into, NewChunk, Seal, Settle};
use crate::core::slice::{Shape, Slicer};
use crate::model::{ChunkNo, FailureKind, Form, ItemResult, Outcome, Payload, Violation};

/// An [`Append`], encoded.
pub(super) struct ReadyAppend {
    pub into: Into,
    pub chunks: Vec<ReadyChunk>,
    pub seal: Option<Seal>,
    pub keys_since_ms: i64,
    pub open_until_ms: i64,
    pub all_valid: bool,
    pub takes_over: bool,
    pub now_ms: i64,
}

/// A [`NewChunk`], encoded.
pub(super) struct ReadyChunk {
    /// The index of its first item.
    pub first: u32,
    pub count: u32,
    pub items: Bytes,
    /// `None` where no item failed admission.
    pub failed: Option<Outcomes>,
    /// The items with a key that did not.
    pub keyed: Vec<Keyed>,
}

/// An item with a key.
pub(super) struct Keyed {
    /// Its position in the chunk.
    pub at: u32,
    pub key: String,
    /// Of what is asked for.
    pub digest: Digest,
}

/// A [`Settle`], encoded.
pub(super) struct ReadySettle {
    pub chunk: ChunkNo,
    pub epoch: u32,
    /// `None` where there are none.
    pub outcomes: Option<Outcomes>,
    pub again: Vec<ReadyAgain>,
    pub sent: i64,
    pub release: Option<i64>,
    pub now_ms: i64,
}

/// An [`Again`], encoded.
pub(super) struct ReadyAgain {
    /// The items' positions in the chunk that they leave, in the order of
    /// their new ones.
    pub positions: Vec<u32>,
    pub items: Bytes,
    pub unanswered: bool,
    pub faulted: bool,
    pub tried: bool,
    pub due_ms: i64,
}

/// Outcomes of items of one chunk: the body of an event, and what it does to
/// the counts.
pub(super) struct Outcomes {
    /// For each item its position in the chunk, and its index.
    pub places: Vec<(u32, u32)>,
    pub succeeded: u32,
    /// By place of the kind.
    pub failed: [u32; FailureKind::ALL.len()],
    /// Each an event: several, where one would be too large to be told.
    pub bodies: Vec<Bytes>,
    /// What becomes of the keys of those items that have one.
    pub keys: Vec<KeyOutcome>,
}

/// What becomes of the key of an item that has its outcome.
pub(super) struct KeyOutcome {
    /// The item's.
    pub index: u32,
    pub key: String,
    /// The result, to answer repeats with; `None` where the key is free again,
    /// because the item definitely failed.
    pub kept: Option<Bytes>,
}

/// The most bytes of results in an event, as they are told: clients take
/// messages of 4 MiB, the contract promises 3, and a single result may be
/// larger than this.
const EVENT_BYTES: usize = 2 * 1024 * 1024;

impl Outcomes {
    /// Encodes results, each with its item's position, of which some have a
    /// key; `None` for none.
    pub fn encode(results: Vec<(u32, ItemResult)>, keys: Vec<(u32, String)>) -> Option<Outcomes> {
        if results.is_empty() {
            return None;
        }
        let mut succeeded = 0;
        let mut failed = [0; FailureKind::ALL.len()];
        for (_, result) in &results {
            match &result.outcome {
                Outcome::Succeeded(_) => succeeded += 1,
                Outcome::Failed(failure) => failed[failure.kind.place()] += 1,
            }
        }
        let keys = key_outcomes(&results, keys);
        let places = results.iter().map(|(at, result)| (*at, result.index));
        let places = places.collect();
        let mut events: Slicer<ItemResult> = Slicer::new(Shape {
            items: usize::MAX,
            bytes: EVENT_BYTES,
        });
        let mut bodies = Vec::new();
        for (_, result) in results {
            let bytes = told_bytes(&result);
            bodies.extend(events.push(result, bytes).map(codec::encode_results));
        }
        bodies.extend(events.take().map(codec::encode_results));
        Some(Outcomes {
            places,
            succeeded,
            failed,
            bodies,
            keys,
        })
    }

    fn bytes(&self) -> usize {
        self.bodies.iter().map(Bytes::len).sum()
    }
}

/// What becomes of keys, by position, with these results.
fn key_outcomes(results: &[(u32, ItemResult)], keys: Vec<(u32, String)>) -> Vec<KeyOutcome> {
    if keys.is_empty() {
        return Vec::new();
    }
    let results: HashMap<u32, &ItemResult> = results.iter().map(|(at, r)| (*at, r)).collect();
    let outcomes = keys.into_iter().filter_map(|(at, key)| {
        let result = *results.get(&at)?;
        let is_kept = match &result.outcome {
            Outcome::Succeeded(_) => true,
            Outcome::Failed(failure) => failure.kind == FailureKind::InDoubt,
        };
        let kept = is_kept.then(|| {
            let kept = ItemResult {
                item: None,
                ..result.clone()
            };
            codec::encode_results([kept])
        });
        Some(KeyOutcome {
            index: result.index,
            key,
            kept,
        })
    });
    outcomes.collect()
}

/// About how many bytes a result takes when it is told.
fn told_bytes(result: &ItemResult) -> usize {
    /// What a result takes besides texts and bodies.
    const FRAME: usize = 256;
    let (reply, texts) = match &result.outcome {
        Outcome::Succeeded(success) => (&success.reply, 0),
        Outcome::Failed(failure) => {
            let named = |v: &Violation| v.field.len() + v.description.len() + 16;
            let named: usize = failure.violations.iter().map(named).sum();
            (&failure.reply, failure.message.len() + named)
        }
    };
    let item = result.item.as_ref().and_then(|item| item.payload.as_ref());
    let bodies = [reply.as_ref(), item].into_iter().flatten();
    let bodies: usize = bodies.map(told_payload_bytes).sum();
    FRAME + result.id.len() + texts + bodies
}

/// About how many bytes a payload takes when it is told: as a `Struct`, up to
/// so many times those of its text.
fn told_payload_bytes(payload: &Payload) -> usize {
    const STRUCT: usize = 6;
    match payload.form {
        Form::Json => payload.body.len() * STRUCT,
        Form::JsonText | Form::Raw => payload.body.len(),
    }
}

impl ReadyAppend {
    /// Encodes it.
    pub fn encode(part: Append) -> Done<ReadyAppend> {
        let chunks = part.chunks.into_iter().map(ReadyChunk::encode);
        Ok(ReadyAppend {
            into: part.into,
            chunks: chunks.collect::<Done<_>>()?,
            seal: part.seal,
            keys_since_ms: part.keys_since_ms,
            open_until_ms: part.open_until_ms,
            all_valid: part.all_valid,
            takes_over: part.takes_over,
            now_ms: part.now_ms,
        })
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let chunk = |chunk: &ReadyChunk| {
            chunk.items.len() + chunk.failed.as_ref().map_or(0, Outcomes::bytes)
        };
        self.chunks.iter().map(chunk).sum()
    }
}

impl ReadyChunk {
    fn encode(chunk: NewChunk) -> Done<ReadyChunk> {
        let Some(first) = chunk.items.first().map(|item| item.index) else {
            return Err(mistake("a chunk without items"));
        };
        let consecutive = chunk
            .items
            .windows(2)
            .all(|pair| pair[0].index.checked_add(1) == Some(pair[1].index));
        if !consecutive {
            return Err(mistake("the items of a chunk are not consecutive"));
        }
        let count = count(chunk.items.len())?;
        let keyed = keyed(&chunk);
        let failed = chunk.failed.into_iter().map(|result| {
            let position = result.index.checked_sub(first);
            position
                .map(|position| (position, result))
                .ok_or_else(|| mistake("a failed item that is not in its chunk"))
        });
        Ok(ReadyChunk {
            first,
            count,
            failed: Outcomes::encode(failed.collect::<Done<_>>()?, Vec::new()),
            keyed,
            items: codec::encode_items(chunk.items),
        })
    }
}

/// The items of a chunk that have a key and did not fail admission.
fn keyed(chunk: &NewChunk) -> Vec<Keyed> {
    let keyed = (0..).zip(&chunk.items).filter_map(|(at, item)| {
        let key = item.key.clone()?;
        let has_failed = chunk.failed.iter().any(|failed| failed.index == item.index);
        (!has_failed).then(|| Keyed {
            at,
            key,
            digest: codec::digest(item),
        })
    });
    keyed.collect()
}

impl ReadySettle {
    /// Encodes it.
    pub fn encode(part: Settle) -> Done<ReadySettle> {
        let again = part.again.into_iter().map(ReadyAgain::encode);
        Ok(ReadySettle {
            chunk: part.chunk,
            epoch: part.epoch,
            again: again.collect::<Done<_>>()?,
            outcomes: Outcomes::encode(part.results, part.keys),
            sent: part.sent,
            release: part.release,
            now_ms: part.now_ms,
        })
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        let again: usize = self.again.iter().map(|again| again.items.len()).sum();
        again + self.outcomes.as_ref().map_or(0, Outcomes::bytes)
    }
}

impl ReadyAgain {
    fn encode(again: Again) -> Done<ReadyAgain> {
        if again.items.is_empty() {
            return Err(mistake("a retry of no items"));
        }
        let (positions, items): (Vec<_>, Vec<_>) = again.items.into_iter().unzip();
        Ok(ReadyAgain {
            positions,
            items: codec::encode_items(items),
            unanswered: again.unanswered,
            faulted: again.faulted,
            tried: again.tried,
            due_ms: again.due_ms,
        })
    }
}

/// The length of a list of items.
pub(super) fn count(length: usize) -> Done<u32> {
    u32::try_from(length).map_err(|_| mistake("more than 4,294,967,295 items"))
}

/// The caller's mistake.
pub(super) fn mistake(what: &str) -> Undone {
    Undone::Mistake(what.to_owned())
}
