//! A gRPC service that is as broken as a script asks for: HTTP/2 by hand, one
//! step of an answer after the other. Nothing in it sleeps.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::{BufMut, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Ping, Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::http_target::Latch;

/// Headers, or trailers.
pub type Entries = Vec<(&'static str, String)>;

/// A part of an answer.
#[derive(Clone, Debug)]
pub enum Step {
    /// A head, after which more comes.
    Head(u16, Entries),
    /// A head that is all.
    Bare(u16, Entries),
    /// A piece of a body.
    Data(Bytes),
    /// The last piece of a body, and the end, without trailers.
    Last(Bytes),
    /// The end.
    Trailers(Entries),
    /// Waits until the client has all that was said so far.
    Flush,
    /// Ends the stream alone.
    Reset(Reason),
    /// Ends the connection.
    Cut,
    /// Takes no more calls on the connection.
    GoAway,
    /// Waits.
    Until(Latch),
    /// Says nothing until the client goes away.
    Hang,
}

/// A call that came in.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    /// As it was framed.
    pub body: Bytes,
}

impl Call {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Its message, without the frame.
    pub fn message(&self) -> Bytes {
        self.body.slice(5..)
    }
}

/// The service. Stops when it is dropped.
pub struct Backend {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    count: watch::Receiver<usize>,
    connections: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

type Script = dyn Fn(&Call) -> Vec<Step> + Send + Sync;

/// What a connection's calls share.
struct Shared {
    script: Arc<Script>,
    calls: Arc<Mutex<Vec<Call>>>,
    count: watch::Sender<usize>,
}

/// What a call asks of its connection.
enum Ask {
    Cut,
    GoAway,
    Flush(Latch),
}

impl Backend {
    pub async fn start(script: impl Fn(&Call) -> Vec<Step> + Send + Sync + 'static) -> Backend {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (count, counted) = watch::channel(0);
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let shared = Arc::new(Shared {
            script: Arc::new(script),
            calls: calls.clone(),
            count,
        });
        let connections = Arc::<AtomicUsize>::default();
        let address = listener.local_addr().expect("an address");
        let opened = connections.clone();
        let serving = tokio::spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                opened.fetch_add(1, Relaxed);
                serving.spawn(connection(socket, shared.clone()));
            }
        });
        Backend {
            address,
            calls,
            count: counted,
            connections,
            serving,
        }
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// Waits until so many calls have come.
    pub async fn arrived(&self, calls: usize) {
        let mut count = self.count.clone();
        count.wait_for(|n| *n >= calls).await.expect("it serves");
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn connection(socket: TcpStream, shared: Arc<Shared>) -> Result<(), h2::Error> {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1_000);
    let mut connection = builder.handshake::<_, Bytes>(socket).await?;
    let pings = connection.ping_pong().expect("nobody else has taken them");
    let pings = Arc::new(tokio::sync::Mutex::new(pings));
    let (ask, mut asked) = mpsc::unbounded_channel();
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(accepted) = accepted else { break };
                let (request, respond) = accepted?;
                calls.spawn(call(request, respond, shared.clone(), ask.clone()));
            }
            Some(ask) = asked.recv() => match ask {
                Ask::Cut => break,
                Ask::GoAway => connection.graceful_shutdown(),
                Ask::Flush(done) => {
                    let pings = pings.clone();
                    calls.spawn(async move {
                        // It is answered in its turn.
                        pings.lock().await.ping(Ping::opaque()).await?;
                        done.open();
                        Ok(())
                    });
                }
            },
        }
    }
    Ok(())
}

async fn call(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
    ask: mpsc::UnboundedSender<Ask>,
) -> Result<(), h2::Error> {
    let (head, mut incoming) = request.into_parts();
    let mut body = BytesMut::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let call = Call {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body: body.freeze(),
    };
    let steps = (shared.script)(&call);
    shared.calls.lock().unwrap().push(call);
    shared.count.send_modify(|count| *count += 1);
    let mut stream: Option<SendStream<Bytes>> = None;
    for step in steps {
        match step {
            Step::Head(status, entries) => {
                stream = Some(respond.send_response(response(status, entries), false)?);
            }
            Step::Bare(status, entries) => {
                respond.send_response(response(status, entries), true)?;
            }
            Step::Data(data) => stream.as_mut().expect("a head").send_data(data, false)?,
            Step::Last(data) => stream.as_mut().expect("a head").send_data(data, true)?,
            Step::Trailers(entries) => {
                stream
                    .as_mut()
                    .expect("a head")
                    .send_trailers(map(entries))?;
            }
            Step::Reset(reason) => match &mut stream {
                Some(stream) => stream.send_reset(reason),
                None => respond.send_reset(reason),
            },
            Step::Flush => {
                let done = Latch::default();
                let _ = ask.send(Ask::Flush(done.clone()));
                done.opened().await;
            }
            Step::Cut => {
                let _ = ask.send(Ask::Cut);
            }
            Step::GoAway => {
                let _ = ask.send(Ask::GoAway);
            }
            Step::Until(latch) => latch.opened().await,
            Step::Hang => std::future::pending().await,
        }
    }
    Ok(())
}

fn response(status: u16, entries: Entries) -> Response<()> {
    let mut response = Response::builder().status(status).body(()).unwrap();
    *response.headers_mut() = map(entries);
    response
}

fn map(entries: Entries) -> HeaderMap {
    let entry = |(name, value): (&'static str, String)| {
        let value = HeaderValue::try_from(value).expect("a value");
        (HeaderName::from_static(name), value)
    };
    entries.into_iter().map(entry).collect()
}

/// A message in its frame.
pub fn frame(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(&message);
    frame.freeze()
}

/// The head of an answer as it should be.
pub fn head() -> Step {
    Step::Head(200, vec![("content-type", "application/grpc".to_owned())])
}

/// The end of an answer as it should be.
pub fn status(code: u16) -> Step {
    Step::Trailers(vec![("grpc-status", code.to_string())])
}

/// A whole answer with a message.
pub fn done(message: &impl Message) -> Vec<Step> {
    vec![head(), Step::Data(frame(message)), status(0)]
}

/// A whole answer without one.
pub fn failed(code: u16) -> Vec<Step> {
    let entries = vec![
        ("content-type", "application/grpc".to_owned()),
        ("grpc-status", code.to_string()),
    ];
    vec![Step::Bare(200, entries)]
}
