//! A guest API, as a trade show's provider might run it: `POST /guests` over
//! HTTP on loopback, 100 requests a second and no more. It has a thread and a
//! runtime of its own, so that what it measures is not disturbed by those who
//! call it. Knows nothing of Flowgate.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::arrivals::{Arrivals, Tally};
use super::register::{FieldFault, Register, Verdict};

/// What callers must bring: `Authorization: Bearer demo`.
pub const API_KEY: &str = "demo";

/// A record is a few hundred bytes; more is a mistake.
const MAX_BODY_BYTES: usize = 64 << 10;

/// The API, running. Dropping it ends it.
pub struct GuestApi {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    arrivals: Arrivals,
    register: Register,
}

impl GuestApi {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    ///
    /// There is no port, or no thread.
    pub fn start() -> std::io::Result<GuestApi> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let serving = {
            let _context = runtime.enter();
            serve(TcpListener::from_std(listener)?, state.clone())
        };
        let stopped = stop.clone().cancelled_owned();
        let thread = std::thread::Builder::new()
            .name("guest-api".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serving => {}
                        () = stopped => {}
                    }
                });
            })?;
        Ok(GuestApi {
            address,
            state,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What reached it so far.
    pub fn tally(&self) -> Tally {
        lock(&self.state).arrivals.tally()
    }

    /// How many guests are registered.
    pub fn guests(&self) -> usize {
        lock(&self.state).register.len()
    }
}

impl Drop for GuestApi {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // Had it panicked, its callers would have noticed by now.
            let _ = thread.join();
        }
    }
}

/// Held only for the length of a look-up, never over an await.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, state.clone()));
            }
            // Out of descriptors, say: some will be given back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<Mutex<State>>) {
    // An answer is small and waited for.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let state = state.clone();
        async move { Ok::<_, Infallible>(answer(request, &state).await) }
    });
    // The error is the caller's having gone.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, state: &Mutex<State>) -> Response<Full<Bytes>> {
    let (within, number) = {
        let mut state = lock(state);
        let within = state.arrivals.arrive(Instant::now());
        (within, state.arrivals.tally().requests)
    };
    let (head, body) = request.into_parts();
    // Read in any case: an answer before the end of the request would close
    // the connection.
    let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
    if !within {
        let text = "More than 100 requests in a second.";
        let response = problem(StatusCode::TOO_MANY_REQUESTS, text, &[]);
        return with_header(response, header::RETRY_AFTER, "1");
    }
    tokio::time::sleep(work(number)).await;
    if head.uri.path() != "/guests" {
        return problem(StatusCode::NOT_FOUND, "There is only /guests.", &[]);
    }
    if head.method != Method::POST {
        let response = problem(StatusCode::METHOD_NOT_ALLOWED, "POST a guest.", &[]);
        return with_header(response, header::ALLOW, "POST");
    }
    let credentials = head.headers.get(header::AUTHORIZATION);
    if credentials.is_none_or(|given| given != format!("Bearer {API_KEY}").as_str()) {
        let text = "The API key is missing or wrong.";
        return problem(StatusCode::UNAUTHORIZED, text, &[]);
    }
    let Ok(body) = body else {
        let text = "A guest has at most 64 KiB.";
        return problem(StatusCode::PAYLOAD_TOO_LARGE, text, &[]);
    };
    verdict(&lock(state).register.register(&body.to_bytes()))
}

/// How long a request takes: 1 to 5 ms, another time for each.
fn work(number: usize) -> Duration {
    Duration::from_millis(1 + (number as u64 * 7) % 5)
}

fn verdict(verdict: &Verdict) -> Response<Full<Bytes>> {
    match verdict {
        Verdict::Created(id) => respond(
            StatusCode::CREATED,
            "application/json",
            &json!({ "id": id }),
        ),
        Verdict::Unreadable => problem(StatusCode::BAD_REQUEST, "A guest is a JSON object.", &[]),
        Verdict::Invalid(faults) => {
            let text = "The record has fields at fault.";
            problem(StatusCode::UNPROCESSABLE_ENTITY, text, faults)
        }
        Verdict::Duplicate(id) => {
            let text = format!("This e-mail address is registered already, as {id}.");
            let fault = FieldFault {
                field: "email",
                detail: "is registered already",
            };
            problem(StatusCode::CONFLICT, &text, &[fault])
        }
    }
}

/// An error in the form of RFC 9457.
fn problem(status: StatusCode, detail: &str, faults: &[FieldFault]) -> Response<Full<Bytes>> {
    let mut body = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
    });
    if !faults.is_empty() {
        let error = |fault: &FieldFault| json!({ "pointer": format!("#/{}", fault.field), "detail": fault.detail });
        body["errors"] = faults.iter().map(error).collect();
    }
    respond(status, "application/problem+json", &body)
}

fn respond(
    status: StatusCode,
    media_type: &'static str,
    body: &serde_json::Value,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    with_header(response, header::CONTENT_TYPE, media_type)
}

fn with_header(
    mut response: Response<Full<Bytes>>,
    name: HeaderName,
    value: &'static str,
) -> Response<Full<Bytes>> {
    let value = HeaderValue::from_static(value);
    response.headers_mut().insert(name, value);
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    const GUEST: &str =
        r#"{"name":"Δέσποινα","town":"Βόλος","email":"d@example.com","visit_date":"2026-11-03"}"#;

    /// Sends a request on a connection of its own; the whole answer as text.
    fn send(api: &GuestApi, first_line: &str, key: &str, body: &str) -> String {
        let mut stream = std::net::TcpStream::connect(api.address()).unwrap();
        let length = body.len();
        write!(
            stream,
            "{first_line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_answers_as_an_http_api_does() {
        let api = GuestApi::start().unwrap();
        let bad = GUEST.replace("d@example.com", " d@example.com");
        for (first_line, key, body, status, says) in [
            (
                "POST /guests",
                "demo",
                GUEST,
                "201 Created",
                r#"{"id":"g-0001"}"#,
            ),
            (
                "POST /guests",
                "demo",
                GUEST,
                "409 Conflict",
                r##""pointer":"#/email""##,
            ),
            ("POST /guests", "demo", &bad, "422 ", "has spaces around it"),
            ("POST /guests", "demo", "?", "400 ", "JSON object"),
            ("POST /guests", "", GUEST, "401 ", "API key"),
            ("GET /guests", "demo", "", "405 ", "allow: POST"),
            ("POST /", "demo", GUEST, "404 ", "/guests"),
        ] {
            let answer = send(&api, first_line, key, body);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
            assert!(answer.contains(says), "{answer}");
        }
        assert_eq!(api.guests(), 1);
        let tally = api.tally();
        assert_eq!((tally.requests, tally.turned_away), (7, 0));
        assert!(tally.busiest <= 7);
    }
}
