//! Batches whose items stand or fall together: what a target takes of them.

use crate::core::slice::Shape;
use crate::model::{Atomicity, BatchSpec, Code, Item, Refusal, Validation};
use crate::target::Entry;

/// The most bytes of items in such a batch: all of it is in memory at once, and
/// has to fit one request.
const BYTES: usize = 10 * 1024 * 1024;

/// How large an all-or-nothing batch for a target may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Together {
    items: u32,
}

impl Together {
    /// For a batch that is asked for so; `None` where its items stand each for
    /// itself. An invalid item refuses its message then, whatever the caller
    /// said of that.
    pub(super) fn of(entry: &Entry, spec: &mut BatchSpec) -> Result<Option<Together>, Refusal> {
        if spec.atomicity == Atomicity::Each {
            return Ok(None);
        }
        spec.validation = Validation::Batch;
        let Some(items) = entry.atomic_items() else {
            return Err(not_supported(entry));
        };
        Ok(Some(Together { items }))
    }

    /// One chunk.
    pub(super) fn shape(self) -> Shape {
        Shape {
            items: self.items as usize,
            bytes: BYTES,
        }
    }

    /// Checks what the batch would hold.
    pub(super) fn check(self, items: u32, bytes: usize) -> Result<(), Refusal> {
        let (what, has, most) = match (items > self.items, bytes > BYTES) {
            (true, _) => ("items", items as usize, self.items as usize),
            (_, true) => ("bytes", bytes, BYTES),
            _ => return Ok(()),
        };
        let message = format!(
            "the batch has {has} {what}, and {most} are the most that this target does all or \
             none of; split it, or leave `atomicity` out"
        );
        Err(Refusal::new(
            Code::FailedPrecondition,
            "ALL_OR_NOTHING_TOO_LARGE",
            message,
        )
        .with("limit", most)
        .with("got", has)
        .with("of", what))
    }
}

/// About how many bytes an item takes in such a batch.
pub(super) fn bytes(item: &Item) -> usize {
    item.payload
        .as_ref()
        .map_or(0, |payload| payload.body.len())
}

fn not_supported(entry: &Entry) -> Refusal {
    let kind = entry.config.kind.name();
    Refusal::new(
        Code::FailedPrecondition,
        "ALL_OR_NOTHING_NOT_SUPPORTED",
        format!(
            "the target `{}` (`{kind}`) cannot do all of a batch or none of it; leave `atomicity` \
             out: each item stands for itself then. A `postgres` target can, and an `http_batch` \
             one that is configured as `atomic`",
            entry.config.name
        ),
    )
    .with("target", &entry.config.name)
}
