//! The server around the services: its layers, its limits, its end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::BoxError;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::error::Overloaded;
use tower_http::classify::{GrpcCode, GrpcErrorsAsFailures, SharedClassifier};
use tower_http::trace::TraceLayer;

use super::connections::connections;
use super::{Face, Rooms, status};
use crate::proto;
use crate::proto::batch_service_server::BatchServiceServer;
use crate::proto::target_service_server::TargetServiceServer;

/// The largest message that is read at all. The contract's limit is lower and
/// is checked by the handler, which can say what would be right.
const MAX_DECODED: usize = 16 * 1024 * 1024;

/// Flow-control windows: 64 KiB, the default, cost a sixth of the throughput.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// How often a silent connection is asked whether it is still there, and how
/// long it has to answer.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's headers.
const MAX_HEADERS: u32 = 16 * 1024;

/// Streams that a client may reset before the connection is closed on it: a
/// guard against floods of resets.
const MAX_RESETS: usize = 256;

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct ServeSpec {
    /// Calls under way at once; one more is refused.
    pub max_calls: usize,
    /// Connections open at once; one more waits.
    pub max_connections: usize,
    /// Streams on one connection.
    pub max_streams: u32,
}

/// Serves until `shutdown`, then until every call has ended.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    rooms: Rooms,
    listener: TcpListener,
    spec: ServeSpec,
    shutdown: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let (health_reporter, health) = tonic_health::server::health_reporter();
    report_health(&health_reporter, ServingStatus::Serving).await;
    let drain = rooms.drain.clone();
    let reporter = health_reporter.clone();
    tokio::spawn(async move {
        drain.cancelled().await;
        report_health(&reporter, ServingStatus::NotServing).await;
    });
    let shutdown = async move {
        shutdown.await;
        end_health_watches(health_reporter).await;
    };
    let face = Face(Arc::new(rooms));
    let layers = ServiceBuilder::new()
        .layer(TraceLayer::new(SharedClassifier::new(faults())))
        .map_result(mend)
        .load_shed()
        .layer(GlobalConcurrencyLimitLayer::new(spec.max_calls));
    Server::builder()
        .max_concurrent_streams(spec.max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .http2_max_header_list_size(MAX_HEADERS)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_RESETS))
        .layer(layers)
        .add_service(health)
        .add_service(
            reflection()
                .build_v1()
                .expect("the contract describes itself"),
        )
        .add_service(
            reflection()
                .build_v1alpha()
                .expect("the contract describes itself"),
        )
        .add_service(BatchServiceServer::new(face.clone()).max_decoding_message_size(MAX_DECODED))
        .add_service(TargetServiceServer::new(face))
        .serve_with_incoming_shutdown(connections(listener, spec.max_connections), shutdown)
        .await
}

/// What is asked about: the server as a whole, and each of its services.
const HEALTH_NAMES: [&str; 3] = [
    "",
    BatchServiceServer::<Face>::NAME,
    TargetServiceServer::<Face>::NAME,
];

async fn report_health(reporter: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
        reporter.set_service_status(name, status).await;
    }
}

/// Ends the calls that watch the health; by themselves they would go on for as
/// long as their connections.
async fn end_health_watches(mut reporter: HealthReporter) {
    for name in HEALTH_NAMES {
        reporter.clear_service_status(name).await;
    }
}

/// Which answers are logged as errors: those that are the server's fault. What
/// a caller got wrong, the caller is told.
fn faults() -> GrpcErrorsAsFailures {
    let told = [
        GrpcCode::Cancelled,
        GrpcCode::InvalidArgument,
        GrpcCode::NotFound,
        GrpcCode::AlreadyExists,
        GrpcCode::ResourceExhausted,
        GrpcCode::FailedPrecondition,
        GrpcCode::OutOfRange,
        GrpcCode::Unimplemented,
    ];
    let none = GrpcErrorsAsFailures::new();
    told.into_iter()
        .fold(none, GrpcErrorsAsFailures::with_success)
}

fn reflection<'a>() -> tonic_reflection::server::Builder<'a> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// Says what tower and tonic refuse by themselves as the contract says it.
fn mend(result: Result<http::Response<Body>, BoxError>) -> Result<http::Response<Body>, BoxError> {
    let refused = match &result {
        Ok(response) => Status::from_header_map(response.headers()),
        Err(error) => error
            .is::<Overloaded>()
            .then(|| Status::resource_exhausted("overloaded")),
    };
    match refused.as_ref().and_then(status::mend) {
        Some(refusal) => Ok(status::status(&refusal).into_http()),
        None => result,
    }
}
