//! What a target of the kind `http_batch` is told.

/// An HTTP API that takes many items a request.
#[derive(Debug)]
pub struct HttpBatchConfig {}
