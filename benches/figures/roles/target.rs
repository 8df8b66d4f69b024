//! An HTTP API that notes when each request came. It owes nothing to
//! Flowgate's limiter, so that the two can disagree.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use crate::clock::{now_ns, seconds};
use crate::worker;

/// Where items go; what goes elsewhere is noted by its path.
pub const PATH: &str = "/items";

/// A request to this path is answered after [`SLOW`].
pub const SLOW_PATH: &str = "/slow";

/// How long the slow path takes.
pub const SLOW: Duration = Duration::from_secs(5);

/// The window in which it counts.
const WINDOW_NS: u64 = 1_000_000_000;

/// Connections that may wait to be accepted, if the system allows as many.
/// Requests on one beyond that would come 200 ms after they were sent, and count
/// against whoever sent them.
const BACKLOG: u32 = 16_384;

/// How it answers.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub struct Manner {
    /// After so long, to within a millisecond or two: so coarse are timers.
    pub delay_ms: u64,
    /// With 429 beyond so many in any second.
    pub limit: Option<usize>,
    /// With the time on the machine's clock, in nanoseconds, as the body.
    pub tells_time: bool,
    /// With an array of as many results as the request's array has items.
    pub answers_each: bool,
}

/// What it can be asked.
#[derive(Serialize, Deserialize)]
pub enum Question {
    /// What came to a path, since it was last [`Forget`](Question::Forget)ted.
    /// Answered with [`Came`].
    Ledger {
        /// Below the target; e.g. [`PATH`].
        path: String,
        /// By how many requests [`Came::use_of`] compares: a limit's worth.
        worth: usize,
    },
    /// How many requests came in all. Answered with a number.
    Count,
    /// When a path was first asked for, in nanoseconds, if it was.
    First {
        /// The path.
        path: String,
    },
    /// Begins a new ledger. Answered with `()`.
    Forget,
}

/// What came to a path.
#[derive(Debug, Serialize, Deserialize)]
pub struct Came {
    /// How many requests.
    pub requests: usize,
    /// Answers of 429.
    pub turned_away: usize,
    /// From the first request to the last.
    pub span_s: f64,
    /// The most in any sliding second, which is half open: two requests
    /// exactly a second apart do not share one.
    pub busiest: usize,
    /// How long an answer took, on average, in milliseconds.
    pub answer_ms: f64,
    /// The mean rate a second, over the whole while: each request compared
    /// with the one that came some multiple of `worth` later, averaged over one
    /// worth, so that it does not matter how they are bunched. `None` where
    /// there are fewer than two worths.
    pub rate: Option<f64>,
}

/// What came to a path.
#[derive(Default)]
struct Ledger {
    times: Vec<u64>,
    turned_away: usize,
    answering_ns: u64,
    /// The last second's that were served; kept only where there is a limit.
    served: VecDeque<u64>,
}

/// All that the target knows. One thread has it, so nothing is locked.
struct Api {
    manner: Manner,
    ledgers: RefCell<HashMap<String, Ledger>>,
}

/// Plays it.
pub async fn play(manner: Manner) -> anyhow::Result<()> {
    let api = Rc::new(Api {
        manner,
        ledgers: RefCell::default(),
    });
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(BACKLOG)?;
    let port = listener.local_addr()?.port();
    let asked = worker::Asked::ready(port).await?;
    LocalSet::new()
        .run_until(async {
            tokio::select! {
                () = serve(listener, api.clone()) => Ok(()),
                answered = answer_all(asked, &api) => answered,
            }
        })
        .await
}

async fn answer_all(mut asked: worker::Asked, api: &Api) -> anyhow::Result<()> {
    while let Some(question) = asked.next().await? {
        match question {
            Question::Ledger { path, worth } => {
                let came = match api.ledgers.borrow().get(&path) {
                    Some(ledger) => ledger.came(worth),
                    None => Ledger::default().came(worth),
                };
                asked.answer(Ok(came)).await?;
            }
            Question::Count => {
                let count: usize = api.ledgers.borrow().values().map(|l| l.times.len()).sum();
                asked.answer(Ok(count)).await?;
            }
            Question::First { path } => {
                asked.answer(Ok(api.first(&path))).await?;
            }
            Question::Forget => {
                api.ledgers.borrow_mut().clear();
                asked.answer(Ok(())).await?;
            }
        }
    }
    Ok(())
}

impl Ledger {
    /// Notes a request; whether it is within the limit.
    fn note(&mut self, now: u64, limit: Option<usize>) -> bool {
        self.times.push(now);
        let Some(limit) = limit else { return true };
        while self.served.front().is_some_and(|at| now - *at >= WINDOW_NS) {
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

    fn came(&self, worth: usize) -> Came {
        let ends = self.times.first().zip(self.times.last());
        let requests = self.times.len();
        Came {
            requests,
            turned_away: self.turned_away,
            span_s: ends.map_or(0.0, |(first, last)| seconds(last - first)),
            busiest: self.busiest(),
            answer_ms: self.answering_ns as f64 / 1e6 / requests.max(1) as f64,
            rate: self.rate(worth),
        }
    }

    fn busiest(&self) -> usize {
        let (mut most, mut oldest) = (0, 0);
        for (newest, time) in self.times.iter().enumerate() {
            while time - self.times[oldest] >= WINDOW_NS {
                oldest += 1;
            }
            most = most.max(newest - oldest + 1);
        }
        most
    }

    fn rate(&self, worth: usize) -> Option<f64> {
        let worths = (self.times.len() / worth.max(1)).checked_sub(1)?;
        let apart = worths * worth;
        let later = self
            .times
            .get(apart..)
            .filter(|later| apart > 0 && !later.is_empty())?;
        let lags = self.times.iter().zip(later).map(|(a, b)| seconds(b - a));
        Some(apart as f64 * later.len() as f64 / lags.sum::<f64>())
    }
}

async fn serve(listener: TcpListener, api: Rc<Api>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                spawn_local(connection(stream, api.clone()));
            }
            // Out of descriptors, say: some will be given back.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, api: Rc<Api>) {
    // An answer is small and waited for.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let api = &api;
        async move { Ok::<_, Infallible>(answer(request, api).await) }
    });
    // The error is the caller's having gone.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, api: &Api) -> Response<Full<Bytes>> {
    let came = now_ns();
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let is_within = api.with(path, |ledger| ledger.note(came, api.manner.limit));
    // Read to its end, so that the connection can be used again.
    let asked = body.collect().await;
    let delay = match path {
        SLOW_PATH => SLOW,
        _ => Duration::from_millis(api.manner.delay_ms),
    };
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let now = now_ns();
    api.with(path, |ledger| ledger.answering_ns += now - came);
    let (status, body) = match is_within {
        true if api.manner.answers_each => {
            let asked = asked.map(Collected::to_bytes).unwrap_or_default();
            let items: Vec<&RawValue> = serde_json::from_slice(&asked).unwrap_or_default();
            let results = vec![r#"{"id":"i-1"}"#; items.len()].join(",");
            (StatusCode::OK, Bytes::from(format!("[{results}]")))
        }
        true if api.manner.tells_time => (StatusCode::CREATED, Bytes::from(now.to_string())),
        true => (StatusCode::CREATED, Bytes::from_static(br#"{"id":"i-1"}"#)),
        false => (
            StatusCode::TOO_MANY_REQUESTS,
            Bytes::from_static(br#"{"detail":"too many"}"#),
        ),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

impl Api {
    /// When a path was first asked for.
    fn first(&self, path: &str) -> Option<u64> {
        self.ledgers.borrow().get(path)?.times.first().copied()
    }

    fn with<T>(&self, path: &str, what: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledgers = self.ledgers.borrow_mut();
        match ledgers.get_mut(path) {
            Some(ledger) => what(ledger),
            None => what(ledgers.entry(path.to_owned()).or_default()),
        }
    }
}
