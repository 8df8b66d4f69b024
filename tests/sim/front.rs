//! The way in and out of a process: does as the gRPC face does, without the
//! wire. Notes what clients ask and are told.

use std::sync::Arc;

use flowgate::feed::Feed;
use flowgate::intake::{Draft, Intake, Submission};
use flowgate::model::{Batch, BatchId, BatchNo, BatchSpec, Code, Refusal, TenantId};
use flowgate::store::{ListQuery, Store};
use tokio::sync::{mpsc, watch};

use crate::checker::{Fact, Followed, Read, Told};
use crate::facts;
use crate::sim::Process;

/// Cheap to clone.
#[derive(Clone)]
pub struct Front {
    pub process: Arc<Process>,
    pub store: Arc<dyn Store>,
    pub intake: Intake,
    pub feed: Feed,
}

/// What a stream's client says.
pub enum Said {
    Append(Vec<Draft>, Option<u32>),
    Seal(Option<u32>),
}

/// What a stream has taken in, and whether it goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    pub batch: BatchId,
    pub held: u32,
    pub sealed: bool,
    pub refusal: Option<Refusal>,
}

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// With the last event.
    Finished,
    /// There is no such batch.
    NotFound,
    /// It broke off, or the store failed.
    Broken,
}

impl Front {
    /// A unary submission. It goes on when its caller does not.
    pub async fn submit(
        &self,
        tenant: TenantId,
        spec: BatchSpec,
        drafts: Vec<Draft>,
    ) -> Result<Batch, Refusal> {
        let bytes = self.message(&drafts);
        let intake = self.intake.clone();
        let submitting =
            tokio::spawn(async move { intake.submit(tenant, spec, drafts, bytes).await });
        let submitted = submitting.await.unwrap_or_else(|_| Err(broken()));
        self.process.alive().await;
        submitted
    }

    /// Opens a stream; what is sent to it is taken in, also when its client has
    /// gone.
    pub fn stream(&self, submission: Submission) -> (mpsc::Sender<Said>, watch::Receiver<Taken>) {
        let (sender, said) = mpsc::channel(2);
        let (taken, told) = watch::channel(Taken::of(submission.batch()));
        tokio::spawn(self.clone().take_in(submission, said, taken));
        (sender, told)
    }

    async fn take_in(
        self,
        mut submission: Submission,
        mut said: mpsc::Receiver<Said>,
        taken: watch::Sender<Taken>,
    ) {
        let ended = self.take(&mut submission, &mut said, &taken).await;
        submission.flush();
        let kept = loop {
            match submission.committed().await {
                Ok(Some(batch)) => publish(&taken, batch),
                Ok(None) => break Ok(()),
                Err(refusal) => break Err(refusal),
            }
        };
        if let Err(refusal) = ended.and(kept) {
            taken.send_modify(|taken| taken.refusal = Some(refusal));
        }
    }

    async fn take(
        &self,
        submission: &mut Submission,
        said: &mut mpsc::Receiver<Said>,
        taken: &watch::Sender<Taken>,
    ) -> Result<(), Refusal> {
        loop {
            let flush_due = submission.flush_due();
            let flush = async {
                if let Some(due) = flush_due {
                    tokio::time::sleep_until(due).await;
                }
            };
            let message = tokio::select! {
                biased;
                () = taken.closed() => return Ok(()),
                committed = submission.committed(), if submission.is_committing() => {
                    committed?;
                    publish(taken, submission.batch());
                    continue;
                }
                () = flush, if flush_due.is_some() => {
                    submission.flush();
                    continue;
                }
                message = said.recv(), if submission.has_room() => message,
            };
            match message {
                Some(Said::Append(drafts, offset)) => {
                    let bytes = self.message(&drafts);
                    submission.append(drafts, offset, bytes).await?;
                }
                Some(Said::Seal(count)) => submission.seal(count)?,
                None => return Ok(()),
            }
            publish(taken, submission.batch());
        }
    }

    /// The bytes of a message.
    fn message(&self, drafts: &[Draft]) -> usize {
        let bytes = drafts.iter().map(|draft| draft.bytes).sum();
        self.largest(bytes);
        bytes
    }

    /// There is a message of so many bytes: what is larger than all memory is
    /// taken in alone.
    pub fn largest(&self, bytes: usize) {
        let mut state = self.process.sim.state();
        state.largest_message = state.largest_message.max(bytes);
    }

    /// A batch as it stands.
    pub async fn read(&self, tenant: &str, id: BatchId) -> Result<Option<Batch>, Refusal> {
        self.read_and_note(tenant, id, false).await
    }

    pub async fn read_at_the_end(&self, tenant: &str, id: BatchId) -> Option<Batch> {
        self.read_and_note(tenant, id, true).await.ok().flatten()
    }

    async fn read_and_note(
        &self,
        tenant: &str,
        id: BatchId,
        at_the_end: bool,
    ) -> Result<Option<Batch>, Refusal> {
        let found = self.store.batch(TenantId::new(tenant), id).await;
        self.process.alive().await;
        let found = found.map_err(|_| broken())?;
        let read = match &found {
            Some(batch) => facts::read(tenant, batch),
            None => Read {
                tenant: tenant.to_owned(),
                batch: id.to_string(),
                ..Read::default()
            },
        };
        self.process.saw(Fact::Read(Read { at_the_end, ..read }));
        Ok(found)
    }

    /// All batches of a tenant.
    pub async fn list(&self, tenant: &str) -> Vec<Batch> {
        let query = ListQuery {
            tenant: TenantId::new(tenant),
            target: None,
            states: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            before: None::<BatchNo>,
            max: 1_000,
        };
        let found = self.store.list(query).await.unwrap_or_default();
        self.process.alive().await;
        for batch in &found {
            self.process.saw(Fact::Read(facts::read(tenant, batch)));
        }
        found
    }

    /// Follows a batch from a cursor; `heard` is given each event, and says
    /// whether to go on.
    pub async fn follow(
        &self,
        batch: &Batch,
        cursor: u64,
        mut heard: impl FnMut(&Told) -> bool,
    ) -> Reading {
        let process = &self.process;
        if cursor > batch.last_sequence {
            let last = batch.last_sequence;
            let what = format!("the cursor {cursor} was told, and {last} is the last event");
            process.saw(Fact::Trouble(what));
            return Reading::NotFound;
        }
        let reader = process.sim.reader();
        process.saw(Fact::Followed(Followed {
            reader,
            batch: batch.id.to_string(),
            after: cursor,
        }));
        let mut follower = self.feed.follow(batch, cursor);
        loop {
            let next = follower.next().await;
            process.alive().await;
            match next {
                Ok(Some(event)) => {
                    let told = facts::told(reader, batch, &event);
                    let goes_on = heard(&told);
                    process.saw(Fact::Told(told));
                    if !goes_on {
                        return Reading::Broken;
                    }
                }
                Ok(None) => return Reading::Finished,
                Err(_) => return Reading::Broken,
            }
        }
    }
}

impl Taken {
    fn of(batch: &Batch) -> Taken {
        Taken {
            batch: batch.id,
            held: batch.progress.counts.total,
            sealed: batch.sealed_by.is_some(),
            refusal: None,
        }
    }
}

fn publish(taken: &watch::Sender<Taken>, batch: &Batch) {
    let now = Taken::of(batch);
    taken.send_if_modified(|taken| {
        let changed = *taken != now;
        *taken = now;
        changed
    });
}

/// What a caller is told when the process has no more to say.
pub fn broken() -> Refusal {
    Refusal::new(Code::Unavailable, "STORE_UNAVAILABLE", "try again")
}
