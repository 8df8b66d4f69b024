//! The keys that only targets of the kind `http_batch` have.

use super::Key;

#[rustfmt::skip] // One key, one paragraph.
pub(super) const KEYS: &[Key] = &[];
