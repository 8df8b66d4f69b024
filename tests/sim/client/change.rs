//! Cancelling a batch, and holding it for a while.

use flowgate::model::{Batch, BatchId, BatchState, Refusal};
use flowgate::store::Change;
use tokio::sync::watch;

use super::{Client, PAUSE, known};
use crate::checker::Fact;

impl Client<'_> {
    /// Cancels it when it is time.
    pub(super) async fn cancel(&self, mut id: watch::Receiver<Option<BatchId>>) {
        let Some(after) = self.plan.cancel else {
            return;
        };
        let Some(id) = known(&mut id).await else {
            return;
        };
        self.wait(after).await;
        self.cancel_until_done(id).await;
    }

    pub(super) async fn cancel_until_done(&self, id: BatchId) {
        if !self.state().cancelled {
            self.change_until_done(id, Change::Cancel).await;
            self.state().cancelled = true;
        }
    }

    /// Holds it when it is time, and lets it go on after a while.
    pub(super) async fn pause(&self, mut id: watch::Receiver<Option<BatchId>>) {
        let Some((after, lasts)) = self.plan.pause else {
            return;
        };
        let Some(id) = known(&mut id).await else {
            return;
        };
        let what = id.to_string();
        if !self.state().paused {
            self.wait(after).await;
            self.state().paused = true;
            let batch = self.change_until_done(id, Change::Pause).await;
            if batch.is_some_and(|batch| batch.state == BatchState::Paused) {
                let what = what.clone();
                self.front.process.saw(Fact::Held { what, on: true });
            }
        }
        if !self.state().resumed {
            self.wait(lasts).await;
            self.front.process.saw(Fact::Held { what, on: false });
            self.change_until_done(id, Change::Resume).await;
            self.state().resumed = true;
        }
    }

    /// Has something happen to the batch, as often as that takes; `None` where it
    /// is not there.
    async fn change_until_done(&self, id: BatchId, change: Change) -> Option<Batch> {
        loop {
            match self.change(id, change).await {
                Ok(changed) => return changed,
                Err(_) => self.wait(PAUSE).await,
            }
        }
    }

    async fn change(&self, id: BatchId, change: Change) -> Result<Option<Batch>, Refusal> {
        let Some(batch) = self.front.read(&self.plan.tenant, id).await? else {
            return Ok(None);
        };
        let changed = self.front.intake.change(&batch, change).await;
        self.front.process.alive().await;
        changed.map(Some)
    }
}
