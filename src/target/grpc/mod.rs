//! The `grpc` target.
