//! What a piece of a batch is refused for.

use super::super::{Admitted, atomic, first_difference, store_trouble};
use super::Submission;
use crate::model::{Batch, Code, Item, Refusal};

impl Submission {
    /// Checks that all of it can still be done or none, with these.
    pub(super) async fn stand_together(
        &mut self,
        end: u32,
        fresh: &[(Admitted, usize)],
    ) -> Result<(), Refusal> {
        let Some(together) = self.together else {
            return Ok(());
        };
        let held = if let Some(held) = self.held_bytes {
            held
        } else {
            let held = self.intake.store.items(self.batch.no, 0, self.held).await;
            held.map_err(store_trouble)?.iter().map(atomic::bytes).sum()
        };
        let more: usize = fresh.iter().map(|((item, _), _)| atomic::bytes(item)).sum();
        together.check(end, held + more)?;
        self.held_bytes = Some(held + more);
        Ok(())
    }

    /// Items that are held already have to be the same.
    pub(super) async fn same_as_held(
        &mut self,
        first: u32,
        repeats: Vec<Item>,
    ) -> Result<(), Refusal> {
        self.flush();
        while self.committed().await?.is_some() {}
        let count = u32::try_from(repeats.len()).unwrap_or(u32::MAX);
        let held = self.intake.store.items(self.batch.no, first, count).await;
        match first_difference(&held.map_err(store_trouble)?, &repeats) {
            None => Ok(()),
            Some(index) => Err(conflict(
                &self.batch,
                &format!("item {index} is held already, with other content"),
            )),
        }
    }
}

pub(super) fn gap(batch: &Batch, first: u32, taken: u32) -> Refusal {
    Refusal::new(
        Code::OutOfRange,
        "OFFSET_GAP",
        format!("the append begins at {first}, and the next item is {taken}"),
    )
    .with("batch_id", batch.id)
    .with("items_held", taken)
}

pub(super) fn conflict(batch: &Batch, message: &str) -> Refusal {
    Refusal::new(Code::AlreadyExists, "OFFSET_CONFLICT", message)
        .with("batch_id", batch.id)
        .with("items_held", batch.progress.counts.total)
}

pub(super) fn sealed(batch: &Batch, held: u32) -> Refusal {
    Refusal::new(
        Code::FailedPrecondition,
        "BATCH_SEALED",
        format!(
            "batch {} is sealed with {held} items and takes no more; open another one",
            batch.id
        ),
    )
    .with("batch_id", batch.id)
    .with("items_held", held)
}

pub(super) fn wrong_count(said: u32, taken: u32) -> Refusal {
    Refusal::new(
        Code::InvalidArgument,
        "SEAL_COUNT_MISMATCH",
        format!("the seal says {said} items, and the batch holds {taken}; it stays open"),
    )
    .with("count", said)
    .with("items_held", taken)
}
