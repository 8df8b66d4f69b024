//! A server that speaks the contract, keeps its batches in memory and does as
//! its script says.
#![allow(
    clippy::cast_possible_truncation,
    clippy::wildcard_imports,
    reason = "the batches of tests are small, and a server needs most of the contract"
)]

#[path = "held.rs"]
mod held;
#[path = "life.rs"]
mod life;
#[path = "outcome.rs"]
mod outcome;
#[path = "service.rs"]
mod service;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use flowgate::proto::batch_service_server::BatchServiceServer;
use flowgate::proto::target_service_server::TargetServiceServer;
use flowgate::proto::*;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use held::Held;
use outcome::text;
use service::{Service, refusal};

/// What goes otherwise than well.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// The first call breaks after so many appends, unanswered; the next ones
    /// likewise.
    pub break_after_appends: Vec<usize>,
    /// This append of all is refused, from 0.
    pub refuse_append: Option<usize>,
    /// No result until [`Fake::release`].
    pub hold_results: bool,
    /// The first answer to a retry is lost; what was asked for is done.
    pub lose_retry: bool,
}

/// The server.
pub struct Fake {
    /// Where it listens.
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Script,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    batches: Vec<Held>,
    calls: usize,
    appends: usize,
    watches: usize,
    retries: usize,
    /// The targets that an operator holds, and why.
    holds: BTreeMap<String, String>,
}

impl Fake {
    pub async fn start(script: Script) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            script,
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let server = tonic::transport::Server::builder()
            .add_service(BatchServiceServer::new(Service(shared.clone())))
            .add_service(TargetServiceServer::new(Service(shared.clone())))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        Fake { address, shared }
    }

    /// Gives so many results of each batch.
    pub fn release(&self, results: usize) {
        let mut state = self.shared.state();
        state.batches.iter_mut().for_each(|b| b.process(results));
        drop(state);
        self.shared.changed.send_replace(());
    }

    pub fn batches(&self) -> usize {
        self.shared.state().batches.len()
    }

    pub fn calls(&self) -> usize {
        self.shared.state().calls
    }

    pub fn id(&self, batch: usize) -> String {
        self.shared.state().batches[batch].id.clone()
    }

    pub fn spec(&self, batch: usize) -> BatchSpec {
        self.shared.state().batches[batch].spec.clone()
    }

    pub fn is_sealed(&self, batch: usize) -> bool {
        self.shared.state().batches[batch].is_sealed()
    }

    pub fn ids(&self, batch: usize) -> Vec<String> {
        let state = self.shared.state();
        let items = &state.batches[batch].items;
        items.iter().map(|item| item.id.clone()).collect()
    }

    pub fn payloads(&self, batch: usize) -> Vec<String> {
        let state = self.shared.state();
        state.batches[batch].items.iter().map(text).collect()
    }

    /// A text in which the batches' ids are all the same.
    pub fn without_ids(&self, text: &str) -> String {
        let state = self.shared.state();
        state.batches.iter().fold(text.to_owned(), |text, batch| {
            text.replace(&batch.id, "00000000-0000-0000-0000-000000000000")
        })
    }

    /// Waits until something was appended.
    pub async fn appended(&self) {
        self.until(|state| state.appends > 0).await;
    }

    /// Waits until a batch is watched.
    pub async fn watched(&self) {
        self.until(|state| state.watches > 0).await;
    }

    async fn until(&self, reached: impl Fn(&State) -> bool) {
        let mut changes = self.shared.changed.subscribe();
        while !reached(&self.shared.state()) {
            changes.changed().await.unwrap();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn open(&self, open: BatchOpen) -> Result<(usize, u64), Status> {
        let mut state = self.state();
        match open.how {
            Some(batch_open::How::Resume(resume)) => {
                Ok((state.find(&resume.batch_id)?, resume.cursor))
            }
            Some(batch_open::How::Spec(spec)) => {
                if !["crm", "erp"].contains(&spec.target.as_str()) {
                    let message = format!("no target is called `{}`", spec.target);
                    return Err(refusal(Code::NotFound, "TARGET_NOT_FOUND", message));
                }
                let same = |batch: &Held| batch.spec.request_id == spec.request_id;
                if let Some(known) = state.batches.iter().position(same) {
                    return Ok((known, 0));
                }
                state.batches.push(Held::new(spec));
                Ok((state.batches.len() - 1, 0))
            }
            None => Err(refusal(Code::InvalidArgument, "INVALID_MESSAGE", "empty")),
        }
    }

    fn append(&self, batch: usize, append: BatchAppend) -> Result<(), Status> {
        let mut state = self.state();
        state.appends += 1;
        if self.script.refuse_append == Some(state.appends - 1) {
            let mut details = ErrorDetails::new();
            details
                .set_error_info("INVALID_ITEMS", "flowgate", [])
                .add_bad_request_violation("items[3].id", "too long");
            let code = Code::InvalidArgument;
            return Err(Status::with_error_details(code, "1 bad item", details));
        }
        let batch = &mut state.batches[batch];
        if batch.is_sealed() {
            let message = format!("batch {} is sealed", batch.id);
            return Err(refusal(Code::FailedPrecondition, "BATCH_SEALED", message));
        }
        let offset = append.offset.unwrap() as usize;
        assert!(offset <= batch.items.len(), "a gap");
        let known = batch.items.len() - offset;
        for (held, again) in batch.items[offset..].iter().zip(&append.items) {
            assert_eq!(held, again, "an item that changed");
        }
        batch.items.extend(append.items.into_iter().skip(known));
        if !self.script.hold_results {
            batch.process(usize::MAX);
        }
        drop(state);
        self.changed.send_replace(());
        Ok(())
    }

    fn seal(&self, batch: usize, count: Option<u32>) {
        let mut state = self.state();
        let batch = &mut state.batches[batch];
        assert_eq!(count, Some(batch.items.len() as u32));
        batch.sealed_by = SealedBy::Client;
        batch.process(0);
        drop(state);
        self.changed.send_replace(());
    }

    fn accepted(&self, batch: usize) -> BatchAccepted {
        let state = self.state();
        let batch = &state.batches[batch];
        BatchAccepted {
            batch_id: batch.id.clone(),
            items_held: batch.items.len() as u32,
            sealed: batch.is_sealed(),
            limits: Some(SubmitLimits {
                max_items: 1_000_000,
                max_message_bytes: 10 << 20,
                max_item_bytes: 1 << 20,
            }),
        }
    }

    /// Sends a batch's events after a cursor, to its last.
    async fn follow<T>(
        self: Arc<Self>,
        batch: usize,
        mut cursor: u64,
        outbound: mpsc::Sender<Result<T, Status>>,
        wrap: impl Fn(BatchEvent) -> T,
    ) {
        let mut changes = self.changed.subscribe();
        loop {
            let events: Vec<_> = {
                let state = self.state();
                let log = &state.batches[batch].log;
                log.iter().skip(cursor as usize).cloned().collect()
            };
            for event in events {
                cursor = event.sequence;
                let last = matches!(event.kind, Some(batch_event::Kind::Finished(_)));
                if outbound.send(Ok(wrap(event))).await.is_err() || last {
                    return;
                }
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = outbound.closed() => return,
            }
        }
    }
}

impl State {
    fn find(&self, id: &str) -> Result<usize, Status> {
        self.batches
            .iter()
            .position(|batch| batch.id == id)
            .ok_or_else(|| {
                let message = format!("no batch has the id `{id}`");
                refusal(Code::NotFound, "BATCH_NOT_FOUND", message)
            })
    }
}
