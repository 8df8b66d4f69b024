//! How much may be submitted.

use std::time::Duration;

use crate::model::{Code, Refusal};

/// How much may be submitted. The defaults are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Items of a unary submission.
    pub unary_items: usize,
    /// Items of a batch.
    pub batch_items: u32,
    /// Bytes of a message.
    pub message_bytes: usize,
    /// Bytes of an item.
    pub item_bytes: usize,
    /// Bytes of messages between their callers and the disk, over all
    /// submissions; one more waits.
    pub intake_memory: usize,
    /// How long the key of an item is kept, from its outcome.
    pub keep_keys: Duration,
    /// How long a batch stays open without a stream that fills it.
    pub open_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            unary_items: 1_000,
            batch_items: 1_000_000,
            message_bytes: 10 * 1024 * 1024,
            item_bytes: 1024 * 1024,
            intake_memory: 64 * 1024 * 1024,
            keep_keys: Duration::from_hours(24),
            open_timeout: Duration::from_mins(10),
        }
    }
}

impl Limits {
    pub(super) fn message(&self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= self.message_bytes {
            return Ok(());
        }
        Err(too_large(
            format!(
                "the message has {bytes} bytes, and {} are the most; split it or use \
                 BatchSubmitStream",
                self.message_bytes
            ),
            "bytes",
            bytes,
            self.message_bytes,
        ))
    }

    pub(super) fn unary_items(&self, items: usize) -> Result<(), Refusal> {
        if items <= self.unary_items {
            return Ok(());
        }
        Err(too_large(
            format!(
                "the batch has {items} items, and BatchSubmit takes {} at most; split it or use \
                 BatchSubmitStream",
                self.unary_items
            ),
            "items",
            items,
            self.unary_items,
        ))
    }

    /// What a batch would hold with so many more items.
    pub(super) fn total(&self, held: u32, more: usize) -> Result<u32, Refusal> {
        let total = held as usize + more;
        match u32::try_from(total) {
            Ok(total) if total <= self.batch_items => Ok(total),
            _ => Err(too_large(
                format!(
                    "the batch would have {total} items, and {} are the most; split it into \
                     several batches",
                    self.batch_items
                ),
                "items",
                total,
                self.batch_items as usize,
            )),
        }
    }

    pub(super) fn item(&self, place: usize, bytes: usize, at: &str) -> Result<(), Refusal> {
        if bytes <= self.item_bytes {
            return Ok(());
        }
        Err(too_large(
            format!(
                "{at}[{place}] has {bytes} bytes, and {} are the most for an item",
                self.item_bytes
            ),
            "item_bytes",
            bytes,
            self.item_bytes,
        )
        .field(format!("{at}[{place}]"), "too large"))
    }
}

fn too_large(message: String, what: &str, came: usize, limit: usize) -> Refusal {
    Refusal::new(Code::InvalidArgument, "BATCH_TOO_LARGE", message)
        .with(what, came)
        .with(&format!("max_{what}"), limit)
}
