//! An HTTP server on loopback that does what a script says and keeps a ledger.
//!
//! ```ignore
//! let target = HttpTarget::start(|_| Act::answer(201, r#"{"id": 1}"#)).await;
//! // ... send requests to target.base() ...
//! target.arrived(3).await;
//! assert_eq!(target.requests()[0].path, "/guests");
//! ```
//!
//! It speaks HTTP/1.1, and HTTP/2 by prior knowledge, on the same port. The
//! HTTP/1.1 side is written by hand, so that it can be as broken as a script
//! asks for. Nothing in it sleeps: what is held, is held until a test says so.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// What the server does about a request.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answers, and keeps the connection.
    Answer(Answer),
    /// Does the other thing once the latch is open.
    After(Latch, Box<Act>),
    /// Answers, then closes the connection without having said so, and opens
    /// the latch when that is done. HTTP/1.1 only.
    AnswerAndClose(Answer, Latch),
    /// Says nothing until the client goes away.
    Silence,
    /// Resets the connection; on HTTP/2, the stream.
    Reset,
    /// Closes the connection without a word; on HTTP/2, resets the stream.
    Close,
    /// Writes these bytes as they are, then does the other thing. HTTP/1.1
    /// only.
    Raw(Bytes, Box<Act>),
    /// Answers 200 with a body that ends only when the client goes away.
    Endless,
    /// Refuses the stream, which says that nothing was done. HTTP/2 only.
    RefuseStream,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers besides `content-length`.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Act {
    /// Answers with a status and a body, which is called JSON if not empty.
    pub fn answer(status: u16, body: impl Into<Bytes>) -> Act {
        Act::Answer(Answer::new(status, body))
    }

    /// Writes these bytes and closes.
    pub fn raw(bytes: impl Into<Bytes>) -> Act {
        Act::Raw(bytes.into(), Box::new(Act::Close))
    }

    /// The same with another header, where it is an answer.
    pub fn with(mut self, name: &str, value: &str) -> Act {
        if let Act::Answer(answer) = &mut self {
            answer.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// The same, once the latch is open.
    pub fn after(self, latch: &Latch) -> Act {
        Act::After(latch.clone(), Box::new(self))
    }
}

impl Answer {
    /// A status and a body, which is called JSON if not empty.
    pub fn new(status: u16, body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let mut headers = Vec::new();
        if !body.is_empty() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        Answer {
            status,
            headers,
            body,
        }
    }
}

/// Something that is waited for until it is opened, by any number. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Latch(watch::Sender<bool>);

impl Default for Latch {
    fn default() -> Latch {
        Latch(watch::channel(false).0)
    }
}

impl Latch {
    /// Lets everybody through, from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        // The sender is here, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its head was read.
    pub at: Instant,
    /// Which connection it came on, from 0 in the order of arrival.
    pub connection: usize,
    /// E.g. `POST`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// In order; the names in small letters.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(known, _)| known == name);
        named.map(|(_, value)| value.as_str())
    }
}

/// The script: what to do about each request.
type Script = dyn Fn(&Request) -> Act + Send + Sync;

/// A script that does these in the order in which requests arrive, and answers
/// 200 to those after.
pub fn in_turn(acts: impl IntoIterator<Item = Act>) -> impl Fn(&Request) -> Act + Send + Sync {
    let acts = Mutex::new(acts.into_iter().collect::<VecDeque<_>>());
    move |_| {
        let next = acts.lock().unwrap().pop_front();
        next.unwrap_or_else(|| Act::answer(200, ""))
    }
}

/// A server that does what its script says. Stops when it is dropped.
pub struct HttpTarget {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinHandle<()>,
}

struct Shared {
    script: Box<Script>,
    ledger: watch::Sender<Ledger>,
}

#[derive(Default)]
struct Ledger {
    requests: Vec<Request>,
    connections: usize,
}

impl HttpTarget {
    /// Starts one on a port of its own.
    pub async fn start(script: impl Fn(&Request) -> Act + Send + Sync + 'static) -> HttpTarget {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            ledger: watch::channel(Ledger::default()).0,
        });
        let listening = tokio::spawn(listen(listener, shared.clone()));
        HttpTarget {
            address,
            shared,
            listening,
        }
    }

    /// Its address, e.g. `http://127.0.0.1:4711`.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.ledger.borrow().requests.clone()
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> usize {
        self.shared.ledger.borrow().connections
    }

    /// Waits until so many requests have arrived.
    pub async fn arrived(&self, count: usize) {
        let mut ledger = self.shared.ledger.subscribe();
        let enough = |ledger: &Ledger| ledger.requests.len() >= count;
        let _ = ledger.wait_for(enough).await;
    }

    /// The most requests that arrived within any window of that length, its
    /// end excluded.
    pub fn max_in_any_window(&self, window: Duration) -> usize {
        let ledger = self.shared.ledger.borrow();
        let mut times: Vec<Instant> = ledger.requests.iter().map(|request| request.at).collect();
        times.sort();
        let mut first = 0;
        let mut most = 0;
        for (last, time) in times.iter().enumerate() {
            while *time - times[first] >= window {
                first += 1;
            }
            most = most.max(last - first + 1);
        }
        most
    }
}

impl Drop for HttpTarget {
    fn drop(&mut self) {
        // The connections go with it: they are in its join set.
        self.listening.abort();
    }
}

impl Shared {
    /// Notes a request and asks the script what to do about it.
    fn decide(&self, request: Request) -> Act {
        let act = (self.script)(&request);
        self.ledger
            .send_modify(|ledger| ledger.requests.push(request));
        act
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let mut number = 0;
        shared.ledger.send_modify(|ledger| {
            number = ledger.connections;
            ledger.connections += 1;
        });
        connections.spawn(serve(socket, number, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut socket: TcpStream, number: usize, shared: Arc<Shared>) {
    let _ = socket.set_nodelay(true);
    // Two letters tell the preface of HTTP/2 from POST, PUT and PATCH.
    let mut two = [0; 2];
    if socket.read_exact(&mut two).await.is_err() {
        return;
    }
    if &two == b"PR" {
        let (read, write) = socket.into_split();
        let read = std::io::Cursor::new(two).chain(read);
        let _ = http2::serve(tokio::io::join(read, write), number, &shared).await;
    } else {
        http1::serve(socket, two.to_vec(), number, shared).await;
    }
}

mod http1 {
    use super::*;

    /// Whether the connection goes on.
    enum Next {
        Keep,
        Close,
    }

    pub(super) async fn serve(
        mut socket: TcpStream,
        mut buffer: Vec<u8>,
        number: usize,
        shared: Arc<Shared>,
    ) {
        while let Some(request) = read(&mut socket, &mut buffer, number).await {
            let act = shared.decide(request);
            if let Next::Close = perform(act, &mut socket).await {
                return;
            }
        }
    }

    async fn perform(mut act: Act, socket: &mut TcpStream) -> Next {
        loop {
            act = match act {
                Act::Answer(answer) => {
                    let _ = socket.write_all(&written(&answer)).await;
                    return Next::Keep;
                }
                Act::After(latch, then) => {
                    latch.opened().await;
                    *then
                }
                Act::AnswerAndClose(answer, closed) => {
                    let _ = socket.write_all(&written(&answer)).await;
                    let _ = socket.shutdown().await;
                    closed.open();
                    return Next::Close;
                }
                Act::Silence => {
                    until_gone(socket).await;
                    return Next::Close;
                }
                Act::Reset => {
                    let _ = socket.set_zero_linger();
                    return Next::Close;
                }
                Act::Raw(bytes, then) => {
                    let _ = socket.write_all(&bytes).await;
                    *then
                }
                Act::Endless => {
                    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                    let _ = socket.write_all(head).await;
                    while socket.write_all(b"4\r\nmore\r\n").await.is_ok() {}
                    return Next::Close;
                }
                Act::Close | Act::RefuseStream => return Next::Close,
            }
        }
    }

    fn written(answer: &Answer) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Said\r\n", answer.status);
        for (name, value) in &answer.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if answer.status != 204 {
            let _ = write!(text, "content-length: {}\r\n", answer.body.len());
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&answer.body);
        bytes
    }

    async fn until_gone(socket: &mut TcpStream) {
        let mut bin = [0; 1024];
        while socket.read(&mut bin).await.is_ok_and(|n| n > 0) {}
    }

    /// The next request; `None` when the client is gone.
    async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>, number: usize) -> Option<Request> {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            more(socket, buffer).await?;
        };
        let at = Instant::now();
        let head = String::from_utf8(buffer.drain(..end).collect()).ok()?;
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(Some(0), |(_, value)| value.parse().ok())?;
        while buffer.len() < length {
            more(socket, buffer).await?;
        }
        Some(Request {
            at,
            connection: number,
            method,
            path,
            headers,
            body: buffer.drain(..length).collect::<Vec<u8>>().into(),
        })
    }

    async fn more(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
        match socket.read_buf(buffer).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }
}

mod http2 {
    use h2::server::SendResponse;
    use h2::{Reason, RecvStream};

    use super::*;

    pub(super) async fn serve(
        socket: impl AsyncRead + AsyncWrite + Unpin,
        number: usize,
        shared: &Arc<Shared>,
    ) -> Result<(), h2::Error> {
        let mut connection = h2::server::handshake(socket).await?;
        let mut streams = tokio::task::JoinSet::new();
        while let Some(accepted) = connection.accept().await {
            let (request, respond) = accepted?;
            let at = Instant::now();
            streams.spawn(one(request, respond, at, number, shared.clone()));
        }
        Ok(())
    }

    async fn one(
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        at: Instant,
        number: usize,
        shared: Arc<Shared>,
    ) -> Option<()> {
        let (head, mut stream) = request.into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.ok()?;
            let _ = stream.flow_control().release_capacity(data.len());
            body.extend_from_slice(&data);
        }
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let act = shared.decide(Request {
            at,
            connection: number,
            method: head.method.to_string(),
            path: head.uri.path_and_query()?.to_string(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body: body.into(),
        });
        perform(act, &mut respond).await
    }

    async fn perform(mut act: Act, respond: &mut SendResponse<Bytes>) -> Option<()> {
        loop {
            act = match act {
                Act::Answer(answer) | Act::AnswerAndClose(answer, _) => {
                    let mut response = http::Response::builder().status(answer.status);
                    for (name, value) in answer.headers {
                        response = response.header(name, value);
                    }
                    let mut body = respond.send_response(response.body(()).ok()?, false).ok()?;
                    body.send_data(answer.body, true).ok()?;
                    return Some(());
                }
                Act::After(latch, then) => {
                    latch.opened().await;
                    *then
                }
                Act::Silence => {
                    let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
                    return None;
                }
                Act::Endless => {
                    let head = http::Response::new(());
                    let mut body = respond.send_response(head, false).ok()?;
                    loop {
                        body.reserve_capacity(1024);
                        std::future::poll_fn(|cx| body.poll_capacity(cx))
                            .await?
                            .ok()?;
                        body.send_data(Bytes::from_static(b"more"), false).ok()?;
                    }
                }
                Act::RefuseStream => {
                    respond.send_reset(Reason::REFUSED_STREAM);
                    return None;
                }
                Act::Reset | Act::Close | Act::Raw(..) => {
                    respond.send_reset(Reason::INTERNAL_ERROR);
                    return None;
                }
            }
        }
    }
}
