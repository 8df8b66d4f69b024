//! What callers, operators and time do to a batch that is there.

use super::{Attachment, Intake, store_trouble};
use crate::model::{Batch, BatchNo, BatchState, Code, Held, Refusal, TargetName};
use crate::store::{Change, StoreError, TargetPause};
use crate::sweep::sweep;
use crate::time::wall_ms;

impl Intake {
    /// Cancels a batch, pauses it or lets it go on. It is recorded, and the
    /// lane has heard of it, whether or not the caller still waits.
    ///
    /// # Errors
    ///
    /// When the batch is not there any more, or the store fails.
    pub async fn change(&self, batch: &Batch, change: Change) -> Result<Batch, Refusal> {
        let (intake, no) = (self.clone(), batch.no);
        let changed = tokio::spawn(async move { intake.apply(no, change).await });
        let changed = changed.await.unwrap_or(Err(StoreError::Closed));
        changed.map_err(store_trouble)?.ok_or_else(|| gone(batch))
    }

    /// Has something happen to a batch, and tells those whom it concerns.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn apply(&self, no: BatchNo, change: Change) -> Result<Option<Batch>, StoreError> {
        let changed = self.store.transition(no, change, wall_ms()).await?;
        let Some(batch) = &changed else {
            return Ok(None);
        };
        let target = &batch.spec.target;
        let is_stopped = batch.stopped_by.is_some() && !batch.state.is_final();
        if is_stopped || batch.state == BatchState::Paused {
            let has_lane = self.wake.stop(target, no);
            if is_stopped && !has_lane {
                // Its target is configured no more: nobody else would.
                sweep(&*self.store, &self.wake, no).await?;
            }
        } else if !batch.state.is_final() {
            self.wake.work(target, &batch.tenant, no);
        }
        self.wake.recorded(no);
        Ok(changed)
    }

    /// Holds a target, or lets it go on.
    ///
    /// # Errors
    ///
    /// `INVALID_REASON`; and when the store fails.
    pub async fn hold(&self, target: &TargetName, reason: Option<String>) -> Result<(), Refusal> {
        if let Some(reason) = &reason {
            super::check::reason(reason)?;
        }
        let (intake, target) = (self.clone(), target.clone());
        let held = tokio::spawn(async move {
            let Some(reason) = reason else {
                intake.store.unpause(target.clone()).await?;
                intake.wake.hold(&target, None);
                return Ok(());
            };
            let since_ms = wall_ms();
            let held = Held { since_ms, reason };
            let pause = TargetPause { target, held };
            if intake.store.pause(pause.clone()).await? {
                intake.wake.hold(&pause.target, Some(pause.held));
            }
            Ok(())
        });
        let held = held.await.unwrap_or(Err(StoreError::Closed));
        held.map_err(store_trouble)
    }

    /// Whether somebody in this process fills a batch.
    pub fn attachment(&self, no: BatchNo) -> Attachment {
        self.attached.read(no)
    }

    /// Forgets who filled batches long ago.
    pub fn forget_attachments(&self) {
        self.attached.forget(self.limits.open_timeout);
    }
}

/// A batch that was there a moment ago.
fn gone(batch: &Batch) -> Refusal {
    let message = format!("there is no batch {} any more", batch.id);
    Refusal::new(Code::NotFound, "BATCH_NOT_FOUND", message).with("batch_id", batch.id)
}
