//! A submission that is only looked at: all of admission, and nothing after it.

use super::atomic::Together;
use super::{Draft, Intake, check, empty_batch};
use crate::model::{Atomicity, BatchSpec, ItemResult, Refusal, Validation};

/// What would become of the items of a submission at admission.
#[derive(Debug)]
pub struct Rehearsal {
    /// How many items there are.
    pub items: usize,
    /// The outcomes of those that are invalid, by index.
    pub invalid: Vec<ItemResult>,
    /// The submission would be refused for them, rather than accepted with
    /// these items failed.
    pub refused: bool,
}

impl Intake {
    /// Runs a whole batch through admission, sends and stores nothing. The keys
    /// of earlier batches are not looked up.
    ///
    /// # Errors
    ///
    /// Those of [`submit`](Intake::submit), but for invalid items: all of them
    /// are given instead.
    pub async fn rehearse(
        &self,
        spec: &BatchSpec,
        drafts: Vec<Draft>,
        message_bytes: usize,
    ) -> Result<Rehearsal, Refusal> {
        let entry = self.entry(spec)?;
        check::spec(spec)?;
        self.limits.message(message_bytes)?;
        self.limits.unary_items(drafts.len())?;
        if drafts.is_empty() {
            return Err(empty_batch());
        }
        let count = self.limits.total(0, drafts.len())?;
        if let Some(together) = Together::of(&entry, &mut spec.clone())? {
            together.check(count, message_bytes)?;
        }
        let _memory = self.memory.take(message_bytes).await;
        let items = drafts.len();
        let each = BatchSpec {
            validation: Validation::Item,
            atomicity: Atomicity::Each,
            ..spec.clone()
        };
        let admitting = self.admit_aside(&entry, &each, drafts, 0, "items", message_bytes);
        let admitted = admitting.await?;
        let results = admitted.into_iter().filter_map(|((_, result), _)| result);
        let invalid: Vec<ItemResult> = results.map(|result| *result).collect();
        // One that fails takes all with it.
        let whole = spec.validation == Validation::Batch || spec.atomicity != Atomicity::Each;
        Ok(Rehearsal {
            items,
            refused: whole && !invalid.is_empty(),
            invalid,
        })
    }
}
