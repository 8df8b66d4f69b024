//! What only targets of the kind `http_batch` have.

use serde::Deserialize;

/// `[targets.NAME.batch]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct HttpBatch {}
