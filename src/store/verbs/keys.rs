//! The keys of items across batches: a repeat of what was done is answered from
//! the record, one of what is under way is refused, and what definitely failed
//! frees its key.

use std::collections::HashSet;

use super::super::codec;
use super::super::ready::{KeyOutcome, ReadyAppend, ReadyChunk};
use super::super::rows::{Digest, Done, Kept, KeyOf, KeyRow, Rows, Undone};
use super::{Ledger, failure};
use crate::model::{Batch, FailureKind, Item, ItemResult, Outcome};

const IN_USE: (&str, &str) = (
    "KEY_IN_USE",
    "an item with this idempotency_key is under way; its outcome is not known yet: submit it \
     again later",
);

const REUSED: (&str, &str) = (
    "KEY_REUSED",
    "this idempotency_key was used for another payload or operation; use a key of its own for \
     each piece of work",
);

/// What the keys of a chunk's items lead to.
#[derive(Default)]
pub(super) struct Claims {
    /// Results of items that are not sent, with their positions.
    pub answered: Vec<(u32, ItemResult)>,
    /// The keys that this chunk's items get, and for what.
    taken: Vec<(KeyOf, u32, Digest)>,
}

/// Looks at the keys of an append's chunks, before anything is written. The
/// batch need not be there yet.
pub(super) fn claims(rows: &mut impl Rows, batch: &Batch, part: &ReadyAppend) -> Done<Vec<Claims>> {
    let (since_ms, takes_over) = (part.keys_since_ms, part.takes_over);
    let mut claimed = HashSet::new();
    let mut all = Vec::with_capacity(part.chunks.len());
    for chunk in &part.chunks {
        let mut claims = Claims::default();
        let mut items = None;
        for keyed in &chunk.keyed {
            let of = KeyOf {
                tenant: batch.tenant.clone(),
                target: batch.spec.target.clone(),
                key: keyed.key.clone(),
            };
            let record = rows.key(&of)?.filter(|row| is_kept(row, since_ms));
            let outcome = match record {
                _ if claimed.contains(&of.key) => Some(invalid(IN_USE, true)),
                None => None,
                Some(KeyRow { kept: None, .. }) => Some(invalid(IN_USE, true)),
                Some(row) if row.digest != keyed.digest => Some(invalid(REUSED, false)),
                Some(KeyRow { kept, .. }) => {
                    let kept = kept.map(|kept| recorded(&kept)).transpose()?;
                    kept.filter(|outcome| !(takes_over && is_in_doubt(outcome)))
                }
            };
            if let Some(outcome) = outcome {
                let item = item_at(chunk, &mut items, keyed.at)?;
                let result = answered(batch, item, outcome);
                claims.answered.push((keyed.at, result));
            } else {
                claimed.insert(of.key.clone());
                let index = chunk.first + keyed.at;
                claims.taken.push((of, index, keyed.digest));
            }
        }
        all.push(claims);
    }
    Ok(all)
}

impl Claims {
    /// Those that failed.
    pub fn invalid(&self) -> impl Iterator<Item = &ItemResult> {
        let results = self.answered.iter().map(|(_, result)| result);
        results.filter(|result| {
            matches!(&result.outcome,
                Outcome::Failed(failure) if failure.kind == FailureKind::Invalid)
        })
    }
}

impl<R: Rows> Ledger<'_, R> {
    /// Gives the keys to the batch's items.
    pub(super) fn take_keys(&mut self, claims: Claims) -> Done<()> {
        for (of, item, digest) in claims.taken {
            let row = KeyRow {
                digest,
                batch: self.batch.no,
                item,
                kept: None,
            };
            self.rows.put_key(&of, row)?;
        }
        Ok(())
    }

    /// Keeps what came of items with a key, or frees it.
    pub(super) fn keep_keys(&mut self, outcomes: &[KeyOutcome]) -> Done<()> {
        for outcome in outcomes {
            let of = KeyOf {
                tenant: self.batch.tenant.clone(),
                target: self.batch.spec.target.clone(),
                key: outcome.key.clone(),
            };
            let Some(row) = self.rows.key(&of)? else {
                continue;
            };
            // Answered from the record, it never had the key.
            if row.batch != self.batch.no || row.item != outcome.index {
                continue;
            }
            match &outcome.kept {
                None => self.rows.remove_key(&of)?,
                Some(result) => {
                    let kept = Kept {
                        done_ms: self.now_ms,
                        result: result.clone(),
                    };
                    let row = KeyRow {
                        kept: Some(kept),
                        ..row
                    };
                    self.rows.put_key(&of, row)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a record still counts.
fn is_kept(row: &KeyRow, since_ms: i64) -> bool {
    let kept = row.kept.as_ref();
    kept.is_none_or(|kept| kept.done_ms >= since_ms)
}

fn invalid((reason, message): (&str, &str), retryable: bool) -> Outcome {
    let mut failure = failure(FailureKind::Invalid, reason, message.to_owned());
    failure.retryable = retryable;
    Outcome::Failed(Box::new(failure))
}

fn is_in_doubt(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if failure.kind == FailureKind::InDoubt)
}

/// The outcome in a record.
fn recorded(kept: &Kept) -> Done<Outcome> {
    let results = codec::decode_results(kept.result.clone())?;
    let first = results.into_iter().next();
    first
        .map(|result| result.outcome)
        .ok_or_else(|| Undone::Broken("a key is kept without its result".to_owned()))
}

/// An item of a chunk; they are decoded only where one is needed.
fn item_at(chunk: &ReadyChunk, items: &mut Option<Vec<Item>>, at: u32) -> Done<Item> {
    if items.is_none() {
        *items = Some(codec::decode_items(chunk.items.clone())?);
    }
    let item = items.as_ref().and_then(|items| items.get(at as usize));
    item.cloned()
        .ok_or_else(|| Undone::Mistake("a key of an item that is not in its chunk".to_owned()))
}

/// The result of an item that is not sent.
fn answered(batch: &Batch, item: Item, outcome: Outcome) -> ItemResult {
    let echo = batch.spec.echo;
    let (replayed, echoed) = match &outcome {
        Outcome::Succeeded(_) => (true, echo.of_succeeded()),
        Outcome::Failed(failure) => (failure.kind != FailureKind::Invalid, echo.of_failed()),
    };
    ItemResult {
        index: item.index,
        id: item.shown_id(),
        outcome,
        attempts: 0,
        replayed,
        item: echoed.then(|| Box::new(item)),
    }
}
