//! Targets of the kind `postgres`.

use super::Check;
use crate::config::key::KeyPath;
use crate::config::{PostgresConfig, file};

impl Check<'_> {
    pub(super) fn postgres(
        &mut self,
        at: &KeyPath,
        _target: &str,
        _file: &mut file::Target,
    ) -> Option<PostgresConfig> {
        self.fault(at, "targets of this kind are not there yet");
        None
    }
}
