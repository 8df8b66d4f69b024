//! A batch that is brought in piece by piece.

use flowgate::intake::Submission;
use flowgate::model::{BatchId, Refusal, TenantId};
use tokio::sync::{mpsc, watch};

use super::Client;
use crate::front::{Said, broken};

impl Client<'_> {
    /// A stream, from its opening to its end, or until it breaks.
    pub(super) async fn stream(
        &self,
        frame: u32,
        offsets: bool,
        known: &watch::Sender<Option<BatchId>>,
    ) -> Result<(), Refusal> {
        let Some((submission, begins)) = self.open().await? else {
            return Ok(());
        };
        let (sender, mut taken) = self.front.stream(submission);
        let mut speaker = std::pin::pin!(self.speak(sender, frame, offsets, begins));
        let mut speaks = true;
        loop {
            let now = taken.borrow_and_update().clone();
            self.front.process.alive().await;
            self.accepted(&now);
            known.send_if_modified(|id| id.replace(now.batch) != Some(now.batch));
            if let Some(refusal) = now.refusal {
                return Err(refusal);
            }
            tokio::select! {
                biased;
                changed = taken.changed() => if changed.is_err() {
                    // It was taken in as far as it came.
                    let (held, all) = (self.state().held, self.plan.items.len());
                    return match held as usize == all && now.sealed {
                        true => Ok(()),
                        false => Err(broken()),
                    };
                },
                whole = &mut speaker, if speaks => {
                    speaks = false;
                    if !whole {
                        return Err(broken());
                    }
                }
            }
        }
    }

    /// Opens the batch, or goes on with it, and where; `None` where it is gone.
    async fn open(&self) -> Result<Option<(Submission, u32)>, Refusal> {
        let again = self.plan.request_id.is_some() && self.dice.chance(200);
        let Some(id) = self.state().id.filter(|_| !again) else {
            let tenant = TenantId::new(&self.plan.tenant);
            let opened = self.front.intake.open(tenant, self.spec()).await;
            self.front.process.alive().await;
            return Ok(Some((opened?, 0)));
        };
        let Some(batch) = self.front.read(&self.plan.tenant, id).await? else {
            return Ok(None);
        };
        let held = batch.progress.counts.total;
        Ok(Some((self.front.intake.resume(batch)?, held)))
    }

    /// Says all there is from an item on, and seals it; false where it broke
    /// off.
    async fn speak(
        &self,
        sender: mpsc::Sender<Said>,
        frame: u32,
        offsets: bool,
        begins: u32,
    ) -> bool {
        let all = u32::try_from(self.plan.items.len()).expect("a small batch");
        let mut next = match offsets {
            // Some of it for the second time.
            true => {
                begins
                    - self
                        .dice
                        .number(0..=begins)
                        .min(self.dice.number(0..=begins))
            }
            false => begins,
        };
        while next < all {
            self.wait(self.dice.ms(0..=40)).await;
            if self.dice.chance(self.plan.breaks) {
                return false;
            }
            let end = all.min(next + self.dice.number(1..=frame));
            let drafts = self.drafts(next as usize..end as usize);
            let offset = offsets.then_some(next);
            if sender.send(Said::Append(drafts, offset)).await.is_err() {
                return true;
            }
            next = end;
        }
        let count = self.dice.chance(500).then_some(all);
        let _ = sender.send(Said::Seal(count)).await;
        true
    }
}
