//! The keys of items: who has one, and what came of it.

use bytes::Bytes;

use super::Done;
use crate::model::{BatchNo, TargetName, TenantId};

/// Stands for what was asked for under a key.
pub(in crate::store) type Digest = [u8; 16];

/// Which key is meant: it is the tenant's, for a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::store) struct KeyOf {
    pub tenant: TenantId,
    pub target: TargetName,
    pub key: String,
}

/// A key, as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct KeyRow {
    /// Of what was asked for under it.
    pub digest: Digest,
    /// Whose item has it, and which.
    pub batch: BatchNo,
    pub item: u32,
    /// What came of it; `None` while that is open.
    pub kept: Option<Kept>,
}

/// What came of an item, kept to answer repeats.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct Kept {
    /// When that was recorded.
    pub done_ms: i64,
    /// The result, encoded.
    pub result: Bytes,
}

/// Access to the keys.
pub(in crate::store) trait KeyRows {
    /// A key.
    fn key(&mut self, of: &KeyOf) -> Done<Option<KeyRow>>;

    /// Adds a key, or changes it.
    fn put_key(&mut self, of: &KeyOf, row: KeyRow) -> Done<()>;

    /// Takes a key away.
    fn remove_key(&mut self, of: &KeyOf) -> Done<()>;

    /// Takes up to `max` keys away that were done before; how many it were.
    fn remove_keys(&mut self, before_ms: i64, max: usize) -> Done<usize>;
}
