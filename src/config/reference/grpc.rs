//! The keys that only targets of the kind `grpc` have.

use super::Key;

#[rustfmt::skip] // One key, one paragraph.
pub(super) const KEYS: &[Key] = &[];
