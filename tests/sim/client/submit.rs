//! Bringing a batch in, and what it means where that is refused.

use std::time::Duration;

use flowgate::model::{BatchId, Refusal, TenantId};
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Client, PAUSE, is_for_now};
use crate::front::{Taken, broken};
use crate::plan::How;

impl Client<'_> {
    /// Brings its items in.
    pub(super) async fn submit(&self, known: &watch::Sender<Option<BatchId>>) {
        let state = self.state().clone();
        if !state.was_submitted {
            self.state().was_submitted = true;
            self.note_submitted();
        } else if state.id.is_none() && self.plan.request_id.is_none() {
            // Nobody knows what became of it, and to submit it again would be
            // to do it twice.
            self.state().is_said = true;
        }
        while !self.state().is_said {
            let went_on = match &self.plan.how {
                How::Unary { twins } => self.submit_whole(*twins, known).await,
                How::Stream { frame, offsets } => self.stream(*frame, *offsets, known).await,
            };
            match went_on {
                Ok(()) => self.state().is_said = true,
                Err(refusal) => self.refused(&refusal).await,
            }
        }
        let state = self.state().clone();
        if let Some(id) = state.id.filter(|_| state.gave_up) {
            self.cancel_until_done(id).await;
        }
    }

    /// What a refusal means for the job.
    async fn refused(&self, refusal: &Refusal) {
        let plan = self.plan;
        let retries = plan.request_id.is_some() || self.state().id.is_some();
        // Its own stream before this one may still be taking in.
        let is_in_its_own_way = refusal.reason == "OFFSET_CONFLICT" && plan.breaks > 0;
        if is_for_now(refusal) && retries || is_in_its_own_way {
            return self.wait(PAUSE).await;
        }
        self.state().is_said = true;
        let has_bad = plan
            .items
            .iter()
            .any(|item| item.bad.is_some() || item.is_shared);
        let may_stop = plan.cancel.is_some() || plan.deadline.is_some() || plan.stops_after > 0;
        let expected = match refusal.reason {
            "INVALID_ITEMS" => has_bad,
            "REQUEST_ID_REUSED" => plan.contested,
            "BATCH_SEALED" => may_stop,
            _ => is_for_now(refusal),
        };
        self.state().gave_up = refusal.reason == "INVALID_ITEMS";
        if !expected {
            self.trouble(&format!("it was refused: {refusal}"));
        }
    }

    async fn submit_whole(
        &self,
        twins: u32,
        known: &watch::Sender<Option<BatchId>>,
    ) -> Result<(), Refusal> {
        let called = (0..twins).map(|_| self.submit_once(known));
        let called = futures_util::future::join_all(called).await;
        // All are the same: one that was answered is enough, and none may be
        // told anything else.
        let refused =
            |answer: &Result<(), Refusal>| matches!(answer, Err(refusal) if !is_for_now(refusal));
        match called.iter().find(|answer| refused(answer)) {
            Some(answer) => answer.clone(),
            None if called.iter().any(Result::is_ok) => Ok(()),
            None => Err(broken()),
        }
    }

    async fn submit_once(&self, known: &watch::Sender<Option<BatchId>>) -> Result<(), Refusal> {
        let tenant = TenantId::new(&self.plan.tenant);
        let drafts = self.drafts(0..usize::MAX);
        let submitting = self.front.submit(tenant, self.spec(), drafts);
        let patience = match self.dice.chance(self.plan.breaks) {
            true => self.dice.ms(0..=50),
            false => Duration::from_hours(1),
        };
        let submitted = timeout(patience, submitting).await;
        let batch = submitted.unwrap_or_else(|_| Err(broken()))?;
        self.accepted(&Taken {
            batch: batch.id,
            held: batch.progress.counts.total,
            sealed: true,
            refusal: None,
        });
        known.send_if_modified(|id| id.replace(batch.id) != Some(batch.id));
        Ok(())
    }
}
