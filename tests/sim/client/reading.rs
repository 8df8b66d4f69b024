//! Following a batch, from anywhere, and asking for it as it stands.

use std::time::Duration;

use flowgate::model::BatchId;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Client, PAUSE, known};
use crate::checker::{Ended, Told};
use crate::front::Reading;

impl Client<'_> {
    /// Its own reading, from where it was to the end.
    pub(super) async fn read(&self, mut id: watch::Receiver<Option<BatchId>>) {
        let Some(id) = known(&mut id).await else {
            return;
        };
        loop {
            let cursor = self.state().cursor;
            let heard = |told: &Told| {
                let mut state = self.state();
                state.cursor = told.sequence;
                for outcome in &told.outcomes {
                    if let Ended::Failed(kind) = &outcome.ended {
                        state.failed.insert(outcome.index, kind.clone());
                    }
                }
            };
            match self.reading(id, cursor, heard).await {
                Reading::Finished | Reading::NotFound => return,
                Reading::Broken => self.wait(PAUSE).await,
            }
        }
    }

    /// A reading from somewhere, as far as it likes.
    pub(super) async fn watch(&self, mut id: watch::Receiver<Option<BatchId>>) {
        if self.state().watched >= self.plan.watches {
            return;
        }
        let Some(id) = known(&mut id).await else {
            return;
        };
        self.wait(self.dice.ms(0..=2_000)).await;
        let most = u32::try_from(self.state().cursor).expect("a short log");
        let cursor = u64::from(self.dice.number(0..=most));
        self.reading(id, cursor, |_| ()).await;
        self.state().watched += 1;
    }

    /// Somebody else asks for it by its id.
    pub(super) async fn snoop(&self, mut id: watch::Receiver<Option<BatchId>>) {
        let Some(id) = known(&mut id).await else {
            return;
        };
        self.wait(self.dice.ms(0..=500)).await;
        let other = match self.plan.tenant.as_str() {
            "ada" => "bob",
            _ => "ada",
        };
        let _ = self.front.read(other, id).await;
        self.front.list(other).await;
    }

    /// Reads until it is finished, or breaks off.
    pub(super) async fn reading(
        &self,
        id: BatchId,
        cursor: u64,
        mut heard: impl FnMut(&Told),
    ) -> Reading {
        let batch = match self.front.read(&self.plan.tenant, id).await {
            Ok(Some(batch)) => batch,
            Ok(None) => return Reading::NotFound,
            Err(_) => return Reading::Broken,
        };
        let breaks_at = match self.dice.chance(self.plan.breaks * 4) {
            true => cursor + u64::from(self.dice.number(1..=5)),
            false => u64::MAX,
        };
        let following = self.front.follow(&batch, cursor, |told| {
            heard(told);
            told.sequence < breaks_at
        });
        let patience = match self.dice.chance(self.plan.breaks) {
            true => self.dice.ms(0..=2_000),
            false => Duration::from_hours(10),
        };
        let read = timeout(patience, following).await;
        read.unwrap_or(Reading::Broken)
    }
}
