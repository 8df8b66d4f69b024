//! What a [`Worker`](crate::worker::Worker) can be.

pub mod at_once;
pub mod client;
pub mod direct;
pub mod echo;
pub mod grpc;
pub mod post;
pub mod sqlite;
pub mod target;
pub mod unnest;

use serde::{Deserialize, Serialize};

/// What a worker can be.
#[derive(Serialize, Deserialize)]
pub enum Role {
    /// An HTTP API with a ledger. Answers [`target::Question`].
    Target(target::Manner),
    /// A client of Flowgate or of what looks like it. Answers [`client::Job`].
    Client {
        /// Where the server listens.
        port: u16,
    },
    /// A bare tonic server that speaks the contract and keeps nothing.
    Echo(echo::Says),
    /// A bare HTTP client, with hyper-util's pool. Answers [`direct::Job`].
    Direct {
        /// Where the target listens.
        port: u16,
    },
    /// A gRPC service. Answers `()` with what [`grpc::Came`].
    GrpcService,
    /// A bare tonic client. Answers [`grpc::Job`].
    GrpcDirect {
        /// Where the service listens.
        port: u16,
    },
    /// A bare loop that writes to SQLite. Answers [`sqlite::Job`].
    Sqlite,
    /// A loop that writes to PostgreSQL. Answers [`unnest::Job`].
    Unnest {
        /// Where the server's socket is.
        folder: std::path::PathBuf,
    },
    /// Flowgate's rooms around a target that costs nothing.
    AtOnce(at_once::Keeps),
    /// The loop from the blog posts. Answers [`post::Job`].
    Post {
        /// Where the target listens.
        port: u16,
    },
}

impl Role {
    /// Plays it until nobody asks any more.
    pub async fn play(self) -> anyhow::Result<()> {
        match self {
            Role::Target(manner) => target::play(manner).await,
            Role::Client { port } => client::play(port).await,
            Role::Echo(says) => echo::play(says).await,
            Role::Direct { port } => direct::play(port).await,
            Role::GrpcService => grpc::serve().await,
            Role::GrpcDirect { port } => grpc::call(port).await,
            Role::Sqlite => sqlite::play().await,
            Role::Unnest { folder } => unnest::play(folder).await,
            Role::AtOnce(keeps) => at_once::play(keeps).await,
            Role::Post { port } => post::play(port).await,
        }
    }
}
