//! Targets of the kind `http_batch`.

use super::Check;
use crate::config::key::KeyPath;
use crate::config::{HttpBatchConfig, file};

impl Check<'_> {
    pub(super) fn http_batch(
        &mut self,
        at: &KeyPath,
        _target: &str,
        _file: &mut file::Target,
    ) -> Option<HttpBatchConfig> {
        self.fault(at, "targets of this kind are not there yet");
        None
    }
}
