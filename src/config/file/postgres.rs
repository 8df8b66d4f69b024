//! What only targets of the kind `postgres` have.

use serde::Deserialize;

use crate::config::secret::SecretSource;

/// `[targets.NAME.postgres]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Postgres {
    pub(in crate::config) password: Option<SecretSource>,
    pub(in crate::config) sslmode: Option<String>,
    pub(in crate::config) table: Option<String>,
    pub(in crate::config) operation: Option<String>,
    pub(in crate::config) key_columns: Option<Vec<String>>,
    pub(in crate::config) columns: Option<Vec<String>>,
    pub(in crate::config) function: Option<String>,
    pub(in crate::config) idempotent_operations: Option<bool>,
    pub(in crate::config) dedupe_table: Option<String>,
    pub(in crate::config) keep_keys: Option<String>,
}
