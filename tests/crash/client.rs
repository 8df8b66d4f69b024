//! Clients that go on with the same batch, whatever becomes of the server.

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::watch_batch_response::Message as Watched;
use flowgate::proto::{
    BatchSpec, BatchSubmitRequest, FailurePolicy, GetBatchRequest, Ordering, RetryBatchRequest,
    WatchBatchRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::checker::{Accepted, Ended, Fact, Followed, Submitted};
use crate::meddling::Meddler;
use crate::notes::Notes;
use crate::oracle;
use crate::stream;
use crate::told::{TENANT, is_last, read, told};
use crate::work::{PLAIN, SAFE, Terms, Work};

/// Why a call is to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The server is gone, or says that it goes, or has no room.
    Away,
    /// Somebody else fills the same batch.
    Shared,
}

impl Gone {
    /// By what a call ended with. To refuse what is right is a fault, and not
    /// taken for that.
    pub fn by(status: &Status) -> Gone {
        // Shown where the test fails.
        eprintln!("  a call ended: {status:?}");
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.as_str());
        match reason {
            _ if status.code() == Code::ResourceExhausted => Gone::Away,
            None | Some("SHUTTING_DOWN" | "STORE_UNAVAILABLE" | "CONNECTION_LOST") => Gone::Away,
            // It met another one that had just sealed it.
            Some("BATCH_SEALED") => Gone::Shared,
            Some("OFFSET_CONFLICT") if status.message().contains("another stream") => Gone::Shared,
            Some(_) => panic!("it was refused: {status:?}"),
        }
    }
}

/// How a client submits.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// All at once.
    Unary,
    /// In parts of so many.
    Stream(usize),
}

/// A client of one batch.
pub struct Client {
    pub work: Work,
    how: How,
    notes: Notes,
    rng: fastrand::Rng,
    knows: Knows,
    meddler: Option<Meddler>,
    /// Whether it asks for what failed to be done again.
    retries: bool,
    /// The batch in which that is.
    again: Option<(String, Work)>,
}

/// What a client knows of its batch.
#[derive(Clone, Debug, Default)]
pub struct Knows {
    /// Its id, once it was told.
    pub batch: Option<String>,
    /// How many items were accepted.
    pub held: u32,
    /// The last event that was told.
    pub cursor: u64,
    /// That was the last of all.
    pub is_over: bool,
}

impl Client {
    pub fn new(work: Work, how: How, notes: Notes, seed: u64) -> Client {
        Client {
            work,
            how,
            notes,
            rng: fastrand::Rng::with_seed(seed),
            knows: Knows::default(),
            meddler: None,
            retries: false,
            again: None,
        }
    }

    /// The same, with somebody who meddles.
    pub fn with(mut self, meddler: Meddler) -> Client {
        self.meddler = Some(meddler);
        self
    }

    /// The same; at the end it asks for what failed to be done again.
    pub fn and_retries(mut self) -> Client {
        self.retries = true;
        self
    }

    /// Its batches: their ids, and what was submitted in them.
    pub fn batches(&self) -> Vec<(String, Work)> {
        let batch = self.knows.batch.clone().expect("it knows its batch");
        let own = (batch, self.work.clone());
        std::iter::once(own).chain(self.again.clone()).collect()
    }

    /// Submits what it has, or goes on, and follows to the end of the batch.
    pub async fn go(&mut self, channel: Channel) -> Result<(), Gone> {
        let done = self.submit_all(channel.clone()).await;
        match (done, self.knows.batch.clone()) {
            // What somebody cancelled, or its policy stopped, takes no more.
            (Err(Gone::Shared), Some(batch)) if !self.work.also.is_empty() => {
                follow(&self.notes, channel.clone(), &batch, 0).await?;
            }
            (done, _) => done?,
        }
        if self.retries {
            self.retry(channel).await?;
        }
        Ok(())
    }

    async fn submit_all(&mut self, channel: Channel) -> Result<(), Gone> {
        // Some other reader's place, anywhere in what was told.
        let from = self.rng.u64(..=self.knows.cursor);
        match self.how {
            How::Unary => self.submit(channel, from).await,
            How::Stream(part) => {
                // Either way is right, and nothing is lost or done twice by it.
                let resumes = self.knows.batch.is_some() && self.rng.bool();
                let call = stream::Call {
                    work: &self.work,
                    notes: &self.notes,
                    part,
                    resumes,
                };
                call.go(channel, &mut self.knows, &mut self.meddler, from)
                    .await
            }
        }
    }

    async fn submit(&mut self, channel: Channel, from: u64) -> Result<(), Gone> {
        submitted(&self.notes, &self.work, 0, self.work.pieces.len());
        let request = BatchSubmitRequest {
            spec: Some(spec(&self.work)),
            items: self
                .work
                .pieces
                .iter()
                .map(super::work::Piece::item)
                .collect(),
            all_failed_is_ok: true,
            ..BatchSubmitRequest::default()
        };
        let mut client = BatchServiceClient::new(channel.clone());
        let response = client.batch_submit(request).await;
        self.notes.event();
        let response = response.map_err(|status| Gone::by(&status))?.into_inner();
        let batch = response.batch.expect("a batch");
        let held = batch.progress.as_ref().map_or(0, |progress| progress.total);
        accepted(&self.notes, &self.work, &batch.id, held);
        self.knows.held = held;
        self.knows.batch = Some(batch.id.clone());
        let last = follow(&self.notes, channel, &batch.id, from).await?;
        self.knows.cursor = last;
        Ok(())
    }
}

impl Client {
    /// Asks for what the target failed at to be done again, as often as it takes
    /// to hear of it, and follows that.
    async fn retry(&mut self, channel: Channel) -> Result<(), Gone> {
        let name = format!("{}-again", self.work.name);
        let run = self.notes.run();
        let outcomes = oracle::outcomes(&run);
        let failed = Ended::Failed("UNAVAILABLE".to_owned());
        let again = Work {
            pieces: (0..)
                .zip(&self.work.pieces)
                .filter(|(n, _)| outcomes.get(&(self.work.name.clone(), *n)) == Some(&failed))
                .map(|(_, piece)| piece.clone())
                .collect(),
            terms: Terms {
                again: true,
                ..self.work.terms
            },
            name,
            ..self.work.clone()
        };
        if again.pieces.is_empty() {
            return Ok(());
        }
        submitted(&self.notes, &again, 0, again.pieces.len());
        let request = RetryBatchRequest {
            batch_id: self.knows.batch.clone().expect("it knows its batch"),
            ..RetryBatchRequest::default()
        };
        let mut client = BatchServiceClient::new(channel.clone());
        let response = client.retry_batch(request).await;
        self.notes.event();
        let response = response.map_err(|status| Gone::by(&status))?.into_inner();
        let batch = response.batch.expect("a batch");
        let held = batch.progress.as_ref().map_or(0, |progress| progress.total);
        assert_eq!(held as usize, again.pieces.len(), "those that failed");
        accepted(&self.notes, &again, &batch.id, held);
        self.again = Some((batch.id.clone(), again));
        follow(&self.notes, channel, &batch.id, 0).await?;
        Ok(())
    }
}

/// Four clients, of both targets and in all ways, with so many items at most.
pub fn clients(notes: &Notes, rng: &mut fastrand::Rng, most: usize) -> Vec<Client> {
    let plans = [
        ("a", SAFE, How::Stream(rng.usize(1..=12)), most),
        ("b", PLAIN, How::Stream(rng.usize(1..=12)), most),
        ("c", SAFE, How::Unary, most / 2),
        ("d", PLAIN, How::Unary, most / 2),
    ];
    let mut clients = Vec::new();
    for (name, target, how, count) in plans {
        let work = Work::mixed(name, target, count, rng);
        clients.push(Client::new(work, how, notes.clone(), rng.u64(..)));
    }
    clients
}

/// What is asked for a batch.
pub fn spec(work: &Work) -> BatchSpec {
    BatchSpec {
        target: work.target.to_owned(),
        request_id: work.name.clone(),
        labels: [("name".to_owned(), work.name.clone())].into(),
        ordering: match work.terms.strict {
            true => Ordering::Strict.into(),
            false => Ordering::Unspecified.into(),
        },
        failure_policy: Some(FailurePolicy {
            stop_after: work.terms.stop_after,
            stop_at_share: 0.0,
        }),
        ..BatchSpec::default()
    }
}

/// Notes that items are handed in.
pub fn submitted(notes: &Notes, work: &Work, first: usize, count: usize) {
    let pieces = &work.pieces[first..first + count];
    notes.saw(Fact::Submitted(Submitted {
        name: work.name.clone(),
        tenant: TENANT.to_owned(),
        target: work.target.to_owned(),
        request_id: Some(work.name.clone()),
        first: u32::try_from(first).expect("few items"),
        items: pieces.iter().map(super::work::Piece::sent).collect(),
        strict: work.terms.strict,
        deadline: None,
    }));
}

/// Notes that so many items are held.
pub fn accepted(notes: &Notes, work: &Work, batch: &str, held: u32) {
    notes.saw(Fact::Accepted(Accepted {
        name: work.name.clone(),
        tenant: TENANT.to_owned(),
        request_id: Some(work.name.clone()),
        batch: batch.to_owned(),
        held,
    }));
}

/// Notes that somebody begins to read; the number of the reader.
pub fn followed(notes: &Notes, batch: &str, after: u64) -> u32 {
    let reader = notes.reader();
    notes.saw(Fact::Followed(Followed {
        reader,
        batch: batch.to_owned(),
        after,
    }));
    reader
}

/// Follows a batch from an event to its last, which is returned.
pub async fn follow(notes: &Notes, channel: Channel, batch: &str, after: u64) -> Result<u64, Gone> {
    let request = WatchBatchRequest {
        batch_id: batch.to_owned(),
        cursor: after,
        summary_only: false,
    };
    let mut client = BatchServiceClient::new(channel);
    let response = client.watch_batch(request).await;
    let mut stream = response.map_err(|status| Gone::by(&status))?.into_inner();
    let reader = followed(notes, batch, after);
    let mut last = after;
    // From the last event on there is nothing to tell.
    let mut ended = true;
    loop {
        let message = stream.message().await;
        notes.event();
        let Some(message) = message.map_err(|status| Gone::by(&status))? else {
            assert!(ended, "the call ended before the batch {batch}");
            return Ok(last);
        };
        if let Some(Watched::Event(event)) = message.message {
            notes.saw(told(reader, batch, &event));
            last = event.sequence;
            ended = is_last(&event);
        }
    }
}

/// Reads a batch as it stands.
pub async fn look(notes: &Notes, channel: Channel, batch: &str, name: &str, last: u64) {
    let batch_id = batch.to_owned();
    let mut client = BatchServiceClient::new(channel);
    let response = client.get_batch(GetBatchRequest { batch_id }).await;
    let found = response.expect("it is there").into_inner();
    let found = found.batch.expect("a batch");
    notes.saw(read(&found, name, last));
}
