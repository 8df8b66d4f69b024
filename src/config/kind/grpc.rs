//! What a target of the kind `grpc` is told.

/// A gRPC service.
#[derive(Debug)]
pub struct GrpcConfig {}
