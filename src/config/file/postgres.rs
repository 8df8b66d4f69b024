//! What only targets of the kind `postgres` have.

use serde::Deserialize;

/// `[targets.NAME.postgres]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Postgres {}
