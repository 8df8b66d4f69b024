//! The kinds of downstream, and what each is told.

mod connect;
mod grpc;
mod http;
mod http_batch;
mod postgres;

pub use connect::{ConnectConfig, Identity, Protocol};
pub use grpc::{GrpcConfig, GrpcMethod, GrpcMethods};
pub use http::HttpConfig;
pub use http_batch::{Element, Embed, HttpBatchConfig, Join, Results, Slot, SubRequest, Urls};
pub use postgres::{
    Dedupe, PostgresAddress, PostgresConfig, PostgresConnect, PostgresTable, PostgresTls,
    PostgresWork, RowOperation, SqlName, quoted,
};

/// The kinds of downstream.
#[derive(Debug)]
pub enum TargetKind {
    /// An HTTP API that takes one item a request.
    Http(Box<HttpConfig>),
    /// An HTTP API that takes many items a request.
    HttpBatch(Box<HttpBatchConfig>),
    /// A gRPC service.
    Grpc(Box<GrpcConfig>),
    /// A `PostgreSQL` database.
    Postgres(Box<PostgresConfig>),
}

impl TargetKind {
    /// The word in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            TargetKind::Http(_) => "http",
            TargetKind::HttpBatch(_) => "http_batch",
            TargetKind::Grpc(_) => "grpc",
            TargetKind::Postgres(_) => "postgres",
        }
    }
}
