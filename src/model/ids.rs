//! Who and which.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// An authenticated caller; part of every key. `default` while authentication
/// is off.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant of the given name.
    pub fn new(name: &str) -> TenantId {
        TenantId(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantId {
    fn default() -> Self {
        TenantId::new("default")
    }
}

/// The name of a target, as the configuration gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetName(Arc<str>);

impl TargetName {
    /// The target of the given name, which need not exist.
    pub fn new(name: &str) -> TargetName {
        TargetName(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The public id of a batch: a UUID of version 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub Uuid);

impl BatchId {
    /// A new one, at the given time.
    pub fn at(wall_ms: i64) -> BatchId {
        let ms = wall_ms.max(0).unsigned_abs();
        let stamp = uuid::Timestamp::from_unix(
            uuid::NoContext,
            ms / 1_000,
            u32::try_from(ms % 1_000).unwrap_or(0) * 1_000_000,
        );
        BatchId(Uuid::new_v7(stamp))
    }

    /// Reads the form that [`Display`](fmt::Display) writes; `None` for
    /// anything else.
    pub fn parse(text: &str) -> Option<BatchId> {
        let id = Uuid::try_parse(text).ok()?;
        (text.len() == 36).then_some(BatchId(id))
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// A batch's number in its store, in order of arrival. Rows are keyed by it
/// because random keys halve the store's speed; it is never told outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchNo(pub i64);

/// A chunk's number in its store; a batch's chunks are numbered side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkNo(pub i64);
