//! An HTTP API on a thread of its own, that notes when each request came. It
//! owes nothing to Flowgate's limiter, so that the two can disagree.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Where the target's items go; what goes elsewhere is noted by its path.
pub const PATH: &str = "/items";

/// A request to this path is answered after [`SLOW`].
pub const SLOW_PATH: &str = "/slow";

/// How long the slow path takes.
pub const SLOW: Duration = Duration::from_secs(5);

/// The window in which it counts.
const WINDOW: Duration = Duration::from_secs(1);

/// How it answers.
#[derive(Clone, Copy, Default)]
pub struct Manner {
    /// After so long, to within a millisecond or two: so coarse are timers.
    pub delay: Duration,
    /// With 429 beyond so many in any window.
    pub limit: Option<usize>,
}

/// The API, running. Dropping it ends it.
pub struct Target {
    pub port: u16,
    ledger: Arc<Mutex<Ledger>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What came.
#[derive(Clone, Default)]
pub struct Ledger {
    /// When each request came, in order.
    pub times: Vec<Instant>,
    /// Those to another path than [`PATH`].
    pub elsewhere: Vec<(String, Instant)>,
    /// How many were answered with 429.
    pub turned_away: usize,
    /// How long all answers together took, from a request's head on.
    answering: Duration,
    /// The last window's that were not; kept only where there is a limit.
    served: VecDeque<Instant>,
}

impl Target {
    /// Starts it on a free port.
    pub fn start(manner: Manner) -> std::io::Result<Target> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let serving = {
            let _context = runtime.enter();
            serve(TcpListener::from_std(listener)?, manner, ledger.clone())
        };
        let stopped = stop.clone().cancelled_owned();
        let thread = std::thread::Builder::new()
            .name("target".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serving => {}
                        () = stopped => {}
                    }
                });
            })?;
        Ok(Target {
            port,
            ledger,
            stop,
            thread: Some(thread),
        })
    }

    /// How many requests came so far.
    pub fn requests(&self) -> usize {
        lock(&self.ledger).times.len()
    }

    /// When a request to this path first came, if one did.
    pub fn first_at(&self, path: &str) -> Option<Instant> {
        let ledger = lock(&self.ledger);
        let mut elsewhere = ledger.elsewhere.iter();
        elsewhere.find(|(at, _)| at == path).map(|(_, time)| *time)
    }

    /// What came so far.
    pub fn ledger(&self) -> Ledger {
        lock(&self.ledger).clone()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // Had it panicked, its callers would have noticed by now.
            let _ = thread.join();
        }
    }
}

impl Ledger {
    /// Notes a request; whether it is within the limit.
    fn note(&mut self, path: &str, limit: Option<usize>) -> bool {
        let now = Instant::now();
        self.times.push(now);
        if path != PATH {
            self.elsewhere.push((path.to_owned(), now));
        }
        let Some(limit) = limit else { return true };
        while self.served.front().is_some_and(|at| now - *at >= WINDOW) {
            self.served.pop_front();
        }
        let is_within = self.served.len() < limit;
        if is_within {
            self.served.push_back(now);
        } else {
            self.turned_away += 1;
        }
        is_within
    }

    /// From the first request to the last.
    pub fn span(&self) -> Duration {
        let ends = self.times.first().zip(self.times.last());
        ends.map_or(Duration::ZERO, |(first, last)| *last - *first)
    }

    /// How long an answer took, on average.
    pub fn mean_answer(&self) -> Duration {
        let answers = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        self.answering.checked_div(answers).unwrap_or_default()
    }

    /// The most in any sliding window, which is half open: two requests exactly
    /// a window apart do not share one.
    pub fn busiest(&self) -> usize {
        let (mut most, mut oldest) = (0, 0);
        for (newest, time) in self.times.iter().enumerate() {
            while *time - self.times[oldest] >= WINDOW {
                oldest += 1;
            }
            most = most.max(newest - oldest + 1);
        }
        most
    }
}

/// Held only to note a request, never over an await.
fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, manner: Manner, ledger: Arc<Mutex<Ledger>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, manner, ledger.clone()));
            }
            // Out of descriptors, say: some will be given back.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, manner: Manner, ledger: Arc<Mutex<Ledger>>) {
    // An answer is small and waited for.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let ledger = &ledger;
        async move { Ok::<_, Infallible>(answer(request, manner, ledger).await) }
    });
    // The error is the caller's having gone.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    manner: Manner,
    ledger: &Mutex<Ledger>,
) -> Response<Full<Bytes>> {
    let came = Instant::now();
    let path = request.uri().path();
    let is_within = lock(ledger).note(path, manner.limit);
    let delay = if path == SLOW_PATH {
        SLOW
    } else {
        manner.delay
    };
    // Read to its end, so that the connection can be used again.
    let _ = request.into_body().collect().await;
    if !delay.is_zero() {
        sleep(delay).await;
    }
    lock(ledger).answering += came.elapsed();
    let (status, body) = if is_within {
        (StatusCode::CREATED, r#"{"id":"i-1"}"#)
    } else {
        (StatusCode::TOO_MANY_REQUESTS, r#"{"detail":"too many"}"#)
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
