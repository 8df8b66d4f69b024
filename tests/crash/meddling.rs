//! What somebody else does to a batch, or to its target, while it is under way.
//! What was answered holds over crashes.

use std::time::Duration;

use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::target_service_client::TargetServiceClient;
use flowgate::proto::{
    Batch, BatchState, CancelBatchRequest, GetBatchRequest, GetTargetRequest, PauseBatchRequest,
    PauseTargetRequest, ResumeBatchRequest, ResumeTargetRequest,
};
use tokio::time::sleep;
use tonic::transport::Channel;

use crate::checker::Fact;
use crate::client::Gone;
use crate::notes::Notes;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The batch is held for a while.
    Hold,
    /// Its target is.
    HoldTarget(&'static str),
    /// The batch is cancelled.
    Cancel,
}

/// How long something is held.
const WHILE: Duration = Duration::from_millis(40);

/// Somebody who meddles.
#[derive(Clone, Copy, Debug)]
pub struct Meddler {
    what: What,
    /// When, from the moment at which the batch's id is known.
    after: Duration,
    /// It was done, and answered.
    did: bool,
    /// What was held is to go on: that may be so already.
    undoes: bool,
    /// And that was answered.
    undid: bool,
}

impl Meddler {
    pub fn new(what: What, after: Duration) -> Meddler {
        Meddler {
            what,
            after,
            did: false,
            undoes: false,
            undid: false,
        }
    }

    /// Does it, or goes on where the last life ended.
    pub async fn go(&mut self, notes: &Notes, channel: Channel, id: &str) -> Result<(), Gone> {
        if self.did && !self.undoes {
            self.still_holds(channel.clone(), id).await?;
        }
        if !self.did {
            sleep(self.after).await;
            self.act(notes, channel.clone(), id).await?;
            notes.event();
            self.did = true;
        }
        if !self.undid && self.what != What::Cancel {
            sleep(WHILE).await;
            self.undoes = true;
            self.undo(notes, channel, id).await?;
            notes.event();
        }
        self.undid = self.what != What::Cancel;
        Ok(())
    }

    async fn act(&self, notes: &Notes, channel: Channel, id: &str) -> Result<(), Gone> {
        let batch_id = id.to_owned();
        let mut batches = BatchServiceClient::new(channel.clone());
        let held = match self.what {
            What::Hold => {
                let answer = batches.pause_batch(PauseBatchRequest { batch_id }).await;
                let answer = answer.map_err(|status| Gone::by(&status))?.into_inner();
                let is_held = state(answer.batch) == BatchState::Paused;
                is_held.then(|| id.to_owned())
            }
            What::HoldTarget(name) => {
                let request = PauseTargetRequest {
                    name: name.to_owned(),
                    reason: "somebody meddles".to_owned(),
                };
                let mut targets = TargetServiceClient::new(channel);
                let answer = targets.pause_target(request).await;
                answer.map_err(|status| Gone::by(&status))?;
                Some(name.to_owned())
            }
            What::Cancel => {
                let answer = batches.cancel_batch(CancelBatchRequest { batch_id }).await;
                answer.map_err(|status| Gone::by(&status))?;
                None
            }
        };
        if let Some(what) = held {
            notes.saw(Fact::Held { what, on: true });
        }
        Ok(())
    }

    async fn undo(&self, notes: &Notes, channel: Channel, id: &str) -> Result<(), Gone> {
        let off = |what: &str| {
            notes.saw(Fact::Held {
                what: what.to_owned(),
                on: false,
            });
            what.to_owned()
        };
        if let What::HoldTarget(name) = self.what {
            let request = ResumeTargetRequest { name: off(name) };
            let mut targets = TargetServiceClient::new(channel);
            let answer = targets.resume_target(request).await;
            answer.map_err(|status| Gone::by(&status))?;
        } else {
            let request = ResumeBatchRequest { batch_id: off(id) };
            let mut batches = BatchServiceClient::new(channel);
            let answer = batches.resume_batch(request).await;
            answer.map_err(|status| Gone::by(&status))?;
        }
        Ok(())
    }

    /// What was answered before a crash is so after it.
    async fn still_holds(&self, channel: Channel, id: &str) -> Result<(), Gone> {
        if let What::HoldTarget(name) = self.what {
            let name = name.to_owned();
            let mut targets = TargetServiceClient::new(channel);
            let answer = targets.get_target(GetTargetRequest { name }).await;
            let answer = answer.map_err(|status| Gone::by(&status))?.into_inner();
            let status = answer.target.and_then(|target| target.status);
            let status = status.expect("a target has a status");
            assert!(status.held_since.is_some(), "it was held: {status:?}");
            return Ok(());
        }
        let batch_id = id.to_owned();
        let mut batches = BatchServiceClient::new(channel);
        let answer = batches.get_batch(GetBatchRequest { batch_id }).await;
        let answer = answer.map_err(|status| Gone::by(&status))?.into_inner();
        let now = state(answer.batch);
        let gone = match self.what {
            What::Cancel => [BatchState::Running, BatchState::Paused],
            _ => [BatchState::Running, BatchState::Cancelling],
        };
        assert!(
            !gone.contains(&now),
            "{:?} was done, and is not: {now:?}",
            self.what
        );
        Ok(())
    }
}

fn state(batch: Option<Batch>) -> BatchState {
    batch.expect("a batch").state()
}
