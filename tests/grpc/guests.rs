//! The tests' own service: its messages, what describes them, and a real
//! server of it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::{Request, Response};
use prost::Message;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::Router;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt};
use tower::Service;

/// The service.
pub const SERVICE: &str = "guests.v1.GuestService";

/// What is called for an item that says nothing.
pub const CREATE: &str = "guests.v1.GuestService/CreateGuest";

#[derive(Clone, PartialEq, Message)]
pub struct CreateGuest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub email: String,
    #[prost(int32, tag = "3")]
    pub visits: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetGuest {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Guest {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub name: String,
}

/// A guest of that name.
pub fn guest(name: &str) -> Guest {
    Guest {
        id: format!("g-{name}"),
        name: name.to_owned(),
    }
}

/// What describes the service, with all that it imports.
pub fn files() -> FileDescriptorSet {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grpc");
    protox::compile(["guests/v1/guests.proto"], [root]).expect("good descriptors")
}

pub fn pool() -> DescriptorPool {
    DescriptorPool::from_file_descriptor_set(files()).expect("good descriptors")
}

/// The same in a newer version: messages of requests have another field.
pub fn newer_files() -> FileDescriptorSet {
    let mut files = files();
    let file = files.file.iter_mut();
    let guests = file.filter(|file| file.name() == "guests/v1/guests.proto");
    for message in guests.flat_map(|file| &mut file.message_type) {
        if message.name() == "CreateGuestRequest" {
            let mut field = message.field[0].clone();
            field.name = Some("nickname".to_owned());
            field.json_name = Some("nickname".to_owned());
            field.number = Some(100);
            message.field.push(field);
        }
    }
    files
}

/// What the server does; it takes every guest that has an e-mail address.
#[derive(Clone, Default)]
pub struct Guests {
    /// Those that it has taken.
    pub taken: Arc<Mutex<Vec<CreateGuest>>>,
    /// The metadata of all calls.
    pub metadata: Arc<Mutex<Vec<tonic::metadata::MetadataMap>>>,
}

/// A server. Stops when it is dropped.
pub struct Server {
    pub base: String,
    pub port: u16,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Serves on a port, any if it is 0.
pub async fn serve(router: Router, port: u16) -> Server {
    let listener = TcpListener::bind(("127.0.0.1", port)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        let served = router.serve_with_incoming(incoming).await;
        served.expect("it serves");
    });
    Server {
        base: format!("http://127.0.0.1:{port}"),
        port,
        serving,
    }
}

impl Guests {
    /// The service alone.
    pub fn router(&self) -> Router {
        tonic::transport::Server::builder().add_service(self.clone())
    }

    fn create(&self, request: CreateGuest) -> Result<Guest, Status> {
        if request.email.is_empty() {
            let mut details = ErrorDetails::with_bad_request_violation("email", "is missing");
            details.set_error_info("EMAIL_MISSING", "guests", []);
            let message = "a guest has an e-mail address";
            return Err(Status::with_error_details(
                Code::InvalidArgument,
                message,
                details,
            ));
        }
        let guest = guest(&request.name);
        self.taken.lock().unwrap().push(request);
        Ok(guest)
    }
}

impl NamedService for Guests {
    const NAME: &'static str = SERVICE;
}

type Answering<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Service<Request<Body>> for Guests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let guests = self.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            Ok(match path.strip_prefix("/guests.v1.GuestService/") {
                Some("CreateGuest") => {
                    let codec = ProstCodec::<Guest, CreateGuest>::default();
                    let mut server = tonic::server::Grpc::new(codec);
                    server.unary(Create(guests), request).await
                }
                Some("GetGuest") => {
                    let codec = ProstCodec::<Guest, GetGuest>::default();
                    let mut server = tonic::server::Grpc::new(codec);
                    server.unary(Get(guests), request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

struct Create(Guests);

impl UnaryService<CreateGuest> for Create {
    type Response = Guest;
    type Future = Answering<Result<tonic::Response<Guest>, Status>>;

    fn call(&mut self, request: tonic::Request<CreateGuest>) -> Self::Future {
        let guests = self.0.clone();
        Box::pin(async move {
            guests
                .metadata
                .lock()
                .unwrap()
                .push(request.metadata().clone());
            guests
                .create(request.into_inner())
                .map(tonic::Response::new)
        })
    }
}

struct Get(Guests);

impl UnaryService<GetGuest> for Get {
    type Response = Guest;
    type Future = Answering<Result<tonic::Response<Guest>, Status>>;

    fn call(&mut self, request: tonic::Request<GetGuest>) -> Self::Future {
        let guests = self.0.clone();
        Box::pin(async move {
            guests
                .metadata
                .lock()
                .unwrap()
                .push(request.metadata().clone());
            let name = request.into_inner().id;
            Ok(tonic::Response::new(guest(name.trim_start_matches("g-"))))
        })
    }
}
