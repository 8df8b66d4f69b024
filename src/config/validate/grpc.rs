//! Targets of the kind `grpc`.

use super::Check;
use crate::config::key::KeyPath;
use crate::config::{GrpcConfig, file};

impl Check<'_> {
    pub(super) fn grpc(
        &mut self,
        at: &KeyPath,
        _target: &str,
        _file: &mut file::Target,
    ) -> Option<GrpcConfig> {
        self.fault(at, "targets of this kind are not there yet");
        None
    }
}
