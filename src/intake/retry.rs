//! Submits the failed items of a batch again, as a new one.

use std::ops::Range;

use super::{Draft, Intake, Submission, request_id_reused, store_trouble};
use crate::core::slice::{Shape, Slicer};
use crate::model::{
    Batch, BatchSpec, Code, EventKind, Failure, FailureKind, Item, Outcome, Refusal, Validation,
};
use crate::target::Key;

/// The kinds that may do better untouched.
const BY_DEFAULT: [FailureKind; 4] = [
    FailureKind::Throttled,
    FailureKind::Unreachable,
    FailureKind::Unavailable,
    FailureKind::Expired,
];

/// Items that are read and submitted together, all of which are in memory: each
/// can be as large as an item can.
const TOGETHER: u32 = 50;

/// Bytes of items that are submitted together.
const BYTES: usize = 4 * 1024 * 1024;

/// Bytes of events that are read at once.
const READ_BYTES: usize = 1024 * 1024;

/// A failed item that is submitted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Retried {
    index: u32,
    /// It keeps the key that it was sent with, or came with.
    keeps_key: bool,
}

impl Intake {
    /// Submits the items of a finished batch again that failed in one of these
    /// ways, or by default in those that may do better untouched. For the same
    /// batch and kinds, or the same `request_id`, it is the same new batch.
    ///
    /// # Errors
    ///
    /// Those of `RetryBatch`.
    pub async fn retry(
        &self,
        batch: &Batch,
        mut kinds: Vec<FailureKind>,
        request_id: Option<String>,
    ) -> Result<Batch, Refusal> {
        if !batch.state.is_final() {
            return Err(not_finished(batch));
        }
        if kinds.is_empty() {
            kinds = BY_DEFAULT.to_vec();
        }
        kinds.sort_unstable();
        kinds.dedup();
        let retried = self.retried(batch, &kinds).await?;
        if retried.is_empty() {
            return Err(nothing_to_retry(batch, &kinds));
        }
        let is_given = request_id.is_some();
        let spec = BatchSpec {
            request_id: Some(request_id.unwrap_or_else(|| default_request_id(batch, &kinds))),
            deadline_ms: None,
            // One that cannot be taken now must not keep the others out.
            validation: Validation::Item,
            ..batch.spec.clone()
        };
        // In a task of its own, as any submission: a caller that goes away
        // leaves no half of a batch.
        let (intake, source) = (self.clone(), batch.clone());
        let refilled =
            tokio::spawn(async move { intake.refill(&source, spec, &retried, is_given).await });
        refilled.await.unwrap_or_else(|panic| {
            tracing::error!(%panic, "a retry failed");
            Err(Refusal::new(
                Code::Internal,
                "INTERNAL",
                "the server made a mistake; it was logged",
            ))
        })
    }

    /// Fills a new batch with items of another one; or finds that it is filled
    /// with them. That is looked at where the caller gave the `request_id`: one
    /// that is made up says it by itself.
    async fn refill(
        &self,
        source: &Batch,
        spec: BatchSpec,
        retried: &[Retried],
        is_given: bool,
    ) -> Result<Batch, Refusal> {
        // The same retry at the same time finds what this one has filled.
        let _one = self.retries.lock().await;
        let mut submission = self.open(source.tenant.clone(), spec).await?;
        submission.takes_over();
        let batch = submission.batch().clone();
        let is_whole = batch.progress.counts.total as usize == retried.len();
        let is_filled = submission.is_repeat() && submission.is_sealed();
        if is_filled && !is_given && (is_whole || batch.stopped_by.is_some()) {
            return Ok(batch);
        }
        match self.fill(&mut submission, source, retried).await {
            Ok(()) => Ok(submission.batch().clone()),
            Err(refusal) if is_difference(&refusal) => {
                // What was sent of it first may have made its policy stop it.
                let stopped = self.stopped(&batch).await?;
                let cut = stopped.filter(|_| refusal.reason == "BATCH_SEALED");
                cut.ok_or_else(|| match submission.is_repeat() {
                    true => request_id_reused(&batch, "its items are not those that failed so"),
                    false => refusal,
                })
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// A batch as it stands, if it is stopped.
    async fn stopped(&self, batch: &Batch) -> Result<Option<Batch>, Refusal> {
        let now = self.store.batch(batch.tenant.clone(), batch.id).await;
        let now = now.map_err(store_trouble)?;
        Ok(now.filter(|now| now.stopped_by.is_some()))
    }

    /// Fills a batch, and seals it. What it holds already is compared.
    async fn fill(
        &self,
        submission: &mut Submission,
        source: &Batch,
        retried: &[Retried],
    ) -> Result<(), Refusal> {
        let mut offset = 0;
        for together in retried.chunks(TOGETHER as usize) {
            let mut messages = Slicer::new(Shape {
                items: together.len(),
                bytes: BYTES,
            });
            let drafts = self.drafts(source, together).await?;
            let mut whole: Vec<Vec<Draft>> = drafts
                .into_iter()
                .filter_map(|draft| {
                    let bytes = draft.bytes;
                    messages.push(draft, bytes)
                })
                .collect();
            whole.extend(messages.take());
            for drafts in whole {
                while !submission.has_room() {
                    submission.committed().await?;
                }
                let bytes = drafts.iter().map(|draft| draft.bytes).sum();
                let count = u32::try_from(drafts.len()).unwrap_or(u32::MAX);
                submission.append(drafts, Some(offset), bytes).await?;
                offset += count;
            }
        }
        submission.seal(Some(offset))?;
        while submission.committed().await?.is_some() {}
        Ok(())
    }

    /// The failed items that are meant, by index.
    async fn retried(&self, batch: &Batch, kinds: &[FailureKind]) -> Result<Vec<Retried>, Refusal> {
        let mut retried = Vec::new();
        let mut after = 0;
        loop {
            let events = self.store.events(batch.no, after, READ_BYTES).await;
            let events = events.map_err(store_trouble)?;
            for event in events.events {
                after = event.sequence;
                let EventKind::Results(results) = event.kind else {
                    continue;
                };
                for result in results {
                    if let Outcome::Failed(failure) = &result.outcome
                        && is_meant(failure, kinds)
                    {
                        let keeps = [FailureKind::InDoubt, FailureKind::Invalid];
                        retried.push(Retried {
                            index: result.index,
                            keeps_key: keeps.contains(&failure.kind),
                        });
                    }
                }
            }
            if !events.more {
                retried.sort_unstable();
                return Ok(retried);
            }
        }
    }

    /// Items of a batch as they came, but for their keys.
    async fn drafts(&self, source: &Batch, retried: &[Retried]) -> Result<Vec<Draft>, Refusal> {
        let mut drafts = Vec::with_capacity(retried.len());
        for run in runs(retried) {
            let count = run.end - run.start;
            let items = self.store.items(source.no, run.start, count).await;
            for item in items.map_err(store_trouble)? {
                let found = retried.binary_search_by_key(&item.index, |retried| retried.index);
                if let Ok(at) = found {
                    drafts.push(draft(source, item, retried[at].keeps_key));
                }
            }
        }
        if drafts.len() != retried.len() {
            // Its batch was thrown away meanwhile.
            let message = format!("there is no batch {} any more", source.id);
            return Err(Refusal::new(Code::NotFound, "BATCH_NOT_FOUND", message));
        }
        Ok(drafts)
    }
}

/// Ranges of indexes that are read together: those in between are read along
/// where they are few.
fn runs(retried: &[Retried]) -> Vec<Range<u32>> {
    const GAP: u32 = 8;
    let mut runs: Vec<Range<u32>> = Vec::new();
    for Retried { index, .. } in retried {
        match runs.last_mut() {
            Some(run) if *index - run.end <= GAP && *index - run.start < TOGETHER => {
                run.end = index + 1;
            }
            _ => runs.push(*index..index + 1),
        }
    }
    runs
}

/// Whether a failure is meant by these kinds. What failed admission here would
/// fail again, unless its key was in use.
fn is_meant(failure: &Failure, kinds: &[FailureKind]) -> bool {
    let is_open = failure.kind != FailureKind::Invalid || failure.retryable;
    kinds.contains(&failure.kind) && is_open
}

fn draft(source: &Batch, mut item: Item, keeps_key: bool) -> Draft {
    item.key = keeps_key.then(|| Key::of(&item, source.id).to_string());
    let payload = item
        .payload
        .as_ref()
        .map_or(0, |payload| payload.body.len());
    Draft {
        bytes: payload,
        item,
        fault: None,
    }
}

/// Whether a refusal says that a batch holds something else.
fn is_difference(refusal: &Refusal) -> bool {
    ["OFFSET_CONFLICT", "BATCH_SEALED", "SEAL_COUNT_MISMATCH"].contains(&refusal.reason)
}

/// The same for the same batch and kinds.
fn default_request_id(batch: &Batch, kinds: &[FailureKind]) -> String {
    let kinds: Vec<String> = kinds.iter().map(|kind| (*kind as u8).to_string()).collect();
    format!("flowgate-retry-{}-{}", batch.id, kinds.join("."))
}

fn not_finished(batch: &Batch) -> Refusal {
    Refusal::new(
        Code::FailedPrecondition,
        "NOT_FINISHED",
        format!(
            "batch {} is not finished, and what fails of it is not known yet; wait for its end, \
             or cancel it",
            batch.id
        ),
    )
    .with("batch_id", batch.id)
}

fn nothing_to_retry(batch: &Batch, kinds: &[FailureKind]) -> Refusal {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    Refusal::new(
        Code::FailedPrecondition,
        "NOTHING_TO_RETRY",
        format!(
            "no item of batch {} failed as {} and can be submitted again as it is; name other \
             kinds to retry those",
            batch.id,
            names.join(", ")
        ),
    )
    .with("batch_id", batch.id)
}
