//! Submitting again what has failed.

use std::time::Duration;

use flowgate::model::{Batch, BatchId, FailureKind, Refusal};

use super::{Again, Client, PAUSE, is_for_now};
use crate::checker::{Accepted, Fact, ItemSent, Submitted};
use crate::facts::AGAIN;
use crate::front::Reading;
use crate::plan::{ItemPlan, Safety};

/// The kinds that may do better untouched.
const BY_DEFAULT: [&str; 4] = ["THROTTLED", "UNREACHABLE", "UNAVAILABLE", "EXPIRED"];

impl Client<'_> {
    /// Submits again what has failed for no fault of its own, once the batch is
    /// finished, and follows that to its end.
    pub(super) async fn retry(&self) {
        let state = self.state().clone();
        let Some(id) = state.id.filter(|_| self.plan.retries) else {
            return;
        };
        if state.again.is_over {
            return;
        }
        while self.state().again.id.is_none() {
            match self.retry_once(id).await {
                Ok(true) => {}
                Ok(false) => {
                    self.state().again.is_over = true;
                    return;
                }
                Err(_) => self.wait(PAUSE).await,
            }
        }
        loop {
            let Again { id, cursor, .. } = self.state().again.clone();
            let Some(id) = id else {
                return;
            };
            let heard = |told: &crate::checker::Told| self.state().again.cursor = told.sequence;
            match self.reading(id, cursor, heard).await {
                Reading::Finished | Reading::NotFound => break,
                Reading::Broken => self.wait(PAUSE).await,
            }
        }
        self.state().again.is_over = true;
    }

    /// Whether there is a batch of what failed.
    async fn retry_once(&self, id: BatchId) -> Result<bool, Refusal> {
        let Some(batch) = self.front.read(&self.plan.tenant, id).await? else {
            return Ok(false);
        };
        let items = self.to_be_retried();
        self.front.largest(self.bytes_of(&items));
        if !self.state().again.was_submitted && !items.is_empty() {
            self.note_retry(items.clone());
        }
        let at_once = self.dice.chance(300);
        let twins = if at_once { 2 } else { 1 };
        let asked = (0..twins).map(|_| self.ask_to_retry(&batch));
        let mut answers = futures_util::future::join_all(asked).await;
        answers.sort_by_key(|answer| matches!(answer, Err(refusal) if is_for_now(refusal)));
        match answers.swap_remove(0) {
            Ok(retried) => {
                let held = retried.progress.counts.total;
                if held as usize != items.len() {
                    self.trouble(&format!("{} are to go again, {held} do", items.len()));
                }
                self.front.process.saw(Fact::Accepted(Accepted {
                    name: self.name_again(),
                    tenant: self.plan.tenant.clone(),
                    request_id: Some(format!("{AGAIN}{}", self.plan.name)),
                    batch: retried.id.to_string(),
                    held,
                }));
                self.state().again.id = Some(retried.id);
                Ok(true)
            }
            Err(refusal) if refusal.reason == "NOTHING_TO_RETRY" && items.is_empty() => Ok(false),
            Err(refusal) if is_for_now(&refusal) => Err(refusal),
            Err(refusal) => {
                self.trouble(&format!("its retry was refused: {refusal}"));
                Ok(false)
            }
        }
    }

    async fn ask_to_retry(&self, batch: &Batch) -> Result<Batch, Refusal> {
        let kinds = match self.takes_doubts() {
            true => BY_DEFAULT.iter().chain(&["IN_DOUBT"]),
            false => [].iter().chain(&[]),
        };
        let all = FailureKind::ALL.into_iter();
        let kinds = kinds.filter_map(|name| all.clone().find(|kind| kind.name() == *name));
        let request_id = format!("{AGAIN}{}", self.plan.name);
        let intake = &self.front.intake;
        let retried = intake.retry(batch, kinds.collect(), Some(request_id)).await;
        self.front.process.alive().await;
        retried
    }

    /// Whether what is in doubt goes again too: the target knows it by its key.
    fn takes_doubts(&self) -> bool {
        let target = &self.front.process.sim.plan.targets[self.plan.target];
        target.safety == Safety::Keys && target.key_window >= Duration::from_hours(1)
    }

    /// The items that failed so that they go again, with new keys.
    fn to_be_retried(&self) -> Vec<ItemSent> {
        let failed = self.state().failed.clone();
        let again = failed.iter();
        let doubts = self.takes_doubts();
        let again = again.filter(|(_, kind)| match kind.as_str() {
            "IN_DOUBT" => doubts,
            kind => BY_DEFAULT.contains(&kind),
        });
        again
            .map(|(index, _)| ItemSent {
                key: None,
                ..self.sent(&self.plan.items[*index as usize])
            })
            .collect()
    }

    /// What items come to in a message.
    fn bytes_of(&self, items: &[ItemSent]) -> usize {
        let is_among = |item: &&ItemPlan| items.iter().any(|sent| sent.tag == item.tag);
        let plans = self.plan.items.iter().filter(is_among);
        plans.map(|item| self.body(item).len()).sum()
    }

    fn note_retry(&self, items: Vec<ItemSent>) {
        self.state().again.was_submitted = true;
        let sim = &self.front.process.sim;
        self.front.process.saw(Fact::Submitted(Submitted {
            name: self.name_again(),
            tenant: self.plan.tenant.clone(),
            target: sim.plan.targets[self.plan.target].name.clone(),
            request_id: Some(format!("{AGAIN}{}", self.plan.name)),
            first: 0,
            items,
            strict: self.plan.strict,
            deadline: None,
        }));
    }

    fn name_again(&self) -> String {
        format!("{AGAIN}{}", self.plan.name)
    }
}
