//! What only targets of the kind `grpc` have.

use serde::Deserialize;

/// `[targets.NAME.grpc]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Grpc {
    pub(in crate::config) method: Option<String>,
    pub(in crate::config) allow_methods: Option<Vec<String>>,
    pub(in crate::config) descriptors: Option<String>,
    pub(in crate::config) idempotent_methods: Option<Vec<String>>,
    pub(in crate::config) busy_unavailable: Option<bool>,
}
