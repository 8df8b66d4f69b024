//! What only targets of the kind `grpc` have.

use serde::Deserialize;

/// `[targets.NAME.grpc]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Grpc {}
