//! Admission: what is refused, what is accepted, and how it becomes chunks.
//! Knows nothing of who asks (that is [`rpc`](crate::rpc)'s) nor of what becomes
//! of the items (the lanes').
//!
//! All ways to submit end in one [`Append`].

mod aside;
mod atomic;
mod attached;
mod change;
mod check;
mod limits;
mod memory;
mod rehearsal;
mod retry;
mod schema;
mod submission;
mod trouble;

use std::sync::Arc;

use crate::core::slice::{Shape, Slicer};
use crate::model::{
    Batch, BatchId, BatchSpec, Code, Failure, FailureKind, Item, ItemResult, Outcome, Refusal,
    TargetName, TenantId, Validation,
};
use crate::store::{Append, Appended, Into, NewBatch, NewChunk, Seal, Store};
use crate::target::{Catalog, Entry};
use crate::time::{millis, wall_ms};
use crate::wake::Wake;

use self::atomic::Together;
use self::attached::Attached;
use self::memory::Memory;
use self::trouble::unexpected;

pub use attached::Attachment;
pub use limits::Limits;
pub use rehearsal::Rehearsal;
pub use submission::Submission;
pub use trouble::store_trouble;

/// The most bytes of items in a chunk: one chunk is held in memory whole while
/// it is sent.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// An item as it came, before admission.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The item; its index is set at admission.
    pub item: Item,
    /// What it took in the message.
    pub bytes: usize,
    /// What could not be read of it; it fails with that.
    pub fault: Option<Box<Refusal>>,
}

/// Where batches come in. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    store: Arc<dyn Store>,
    wake: Wake,
    catalog: Catalog,
    limits: Limits,
    memory: Memory,
    attached: Attached,
    /// Held while failed items are submitted again.
    retries: Arc<tokio::sync::Mutex<()>>,
}

/// An item that went through admission, with its outcome if it failed there.
/// Boxed, because few do and each is moved several times.
type Admitted = (Item, Option<Box<ItemResult>>);

impl Intake {
    /// An intake for these targets.
    pub fn new(store: Arc<dyn Store>, wake: Wake, catalog: Catalog, limits: Limits) -> Intake {
        Intake {
            store,
            wake,
            catalog,
            memory: Memory::new(limits.intake_memory),
            attached: Attached::default(),
            retries: Arc::default(),
            limits,
        }
    }

    /// What may be submitted.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Submits a whole batch: it is durable and sealed when this returns.
    ///
    /// # Errors
    ///
    /// Those of `BatchSubmit` that concern the batch and its items.
    pub async fn submit(
        &self,
        tenant: TenantId,
        mut spec: BatchSpec,
        drafts: Vec<Draft>,
        message_bytes: usize,
    ) -> Result<Batch, Refusal> {
        let entry = self.entry(&spec)?;
        check::spec(&spec)?;
        let together = Together::of(&entry, &mut spec)?;
        self.limits.message(message_bytes)?;
        self.limits.unary_items(drafts.len())?;
        if drafts.is_empty() {
            return Err(empty_batch());
        }
        let count = self.limits.total(0, drafts.len())?;
        if let Some(together) = together {
            together.check(count, message_bytes)?;
        }
        let _memory = self.memory.take(message_bytes).await;
        let admitting = self.admit_aside(&entry, &spec, drafts, 0, "items", message_bytes);
        let admitted = admitting.await?;
        let items: Vec<Item> = match spec.request_id {
            // Only a repeat has to be compared with what is held.
            Some(_) => admitted.iter().map(|((item, _), _)| item.clone()).collect(),
            None => Vec::new(),
        };
        let mut slicer = slicer(&entry, together);
        let mut chunks: Vec<NewChunk> = admitted
            .into_iter()
            .filter_map(|(admitted, bytes)| slicer.push(admitted, bytes))
            .map(new_chunk)
            .collect();
        chunks.extend(slicer.take().map(new_chunk));
        let part = Append {
            chunks,
            seal: Some(Seal::At(count)),
            ..self.part(new_batch(tenant, spec.clone()), &spec)
        };
        match self.store.append(part).await.map_err(store_trouble)? {
            Appended::Held(batch) => {
                self.announce(&batch, true);
                Ok(*batch)
            }
            Appended::Exists(batch) => {
                self.same_content(&batch, &spec, &items).await?;
                Ok(*batch)
            }
            Appended::Invalid(results) => Err(check::invalid_keys(&results, "items")),
            other => Err(unexpected(&other)),
        }
    }

    /// Opens a batch that is to be filled piece by piece; or, with a known
    /// `request_id`, attaches to the one that has it.
    ///
    /// # Errors
    ///
    /// Those of `BatchSubmitStream` that concern `open`.
    pub async fn open(&self, tenant: TenantId, mut spec: BatchSpec) -> Result<Submission, Refusal> {
        let entry = self.entry(&spec)?;
        check::spec(&spec)?;
        let together = Together::of(&entry, &mut spec)?;
        let part = self.part(new_batch(tenant, spec.clone()), &spec);
        match self.store.append(part).await.map_err(store_trouble)? {
            Appended::Held(batch) => Ok(Submission::new(self.clone(), entry, *batch, 0, together)),
            Appended::Exists(batch) => {
                same_spec(&batch, &spec)?;
                Ok(Submission::repeat(self.clone(), entry, *batch, together))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Goes on with a batch.
    ///
    /// # Errors
    ///
    /// Those of `BatchSubmitStream` that concern `resume`.
    pub fn resume(&self, batch: Batch) -> Result<Submission, Refusal> {
        let entry = self.entry(&batch.spec)?;
        let held = batch.progress.counts.total;
        let together = Together::of(&entry, &mut batch.spec.clone())?;
        Ok(Submission::new(self.clone(), entry, batch, held, together))
    }

    /// An append to a batch that brings nothing yet.
    fn part(&self, into: Into, spec: &BatchSpec) -> Append {
        let now_ms = wall_ms();
        Append {
            keys_since_ms: now_ms - millis(self.limits.keep_keys),
            open_until_ms: now_ms + millis(self.limits.open_timeout),
            all_valid: spec.validation == Validation::Batch,
            ..Append::new(into, now_ms)
        }
    }

    /// Runs the items of one message through admission; the first gets the
    /// index `first`. Returns each with its size. `at` is the path of the list
    /// in the message.
    fn admit(
        &self,
        entry: &Entry,
        spec: &BatchSpec,
        drafts: Vec<Draft>,
        first: u32,
        at: &str,
    ) -> Result<Vec<(Admitted, usize)>, Refusal> {
        check::no_duplicates(&drafts, at)?;
        let mut admitted = Vec::with_capacity(drafts.len());
        let mut faults = Vec::new();
        for (place, (draft, index)) in drafts.into_iter().zip(first..).enumerate() {
            self.limits.item(place, draft.bytes, at)?;
            let mut item = draft.item;
            item.index = index;
            let fault = match draft.fault {
                Some(fault) => Err(*fault),
                None => check::item(&item, entry.config.schema.as_ref(), &*entry.target),
            };
            let failed = fault.err().map(|fault| {
                let result = invalid(spec, &item, &fault);
                faults.push((place, fault));
                Box::new(result)
            });
            admitted.push(((item, failed), draft.bytes));
        }
        match spec.validation {
            Validation::Batch if !faults.is_empty() => Err(check::invalid_items(&faults, at)),
            _ => Ok(admitted),
        }
    }

    fn entry(&self, spec: &BatchSpec) -> Result<Arc<Entry>, Refusal> {
        if spec.target.as_str().is_empty() {
            return Err(check::invalid_spec(
                "target",
                "name the target; ListTargets gives the names",
            ));
        }
        let found = self.catalog.get(&spec.target);
        found.cloned().ok_or_else(|| target_not_found(&spec.target))
    }

    /// A repeat under the same `request_id` has to be the same.
    async fn same_content(
        &self,
        batch: &Batch,
        spec: &BatchSpec,
        items: &[Item],
    ) -> Result<(), Refusal> {
        same_spec(batch, spec)?;
        let total = batch.progress.counts.total;
        if batch.sealed_by.is_none() || total as usize != items.len() {
            return Err(request_id_reused(
                batch,
                &format!(
                    "it holds {total} items, this submission has {}",
                    items.len()
                ),
            ));
        }
        let held = self.store.items(batch.no, 0, total).await;
        match first_difference(&held.map_err(store_trouble)?, items) {
            None => Ok(()),
            Some(index) => Err(request_id_reused(batch, &format!("items[{index}] differs"))),
        }
    }

    /// Tells whoever waits for what an append brought; it is `logged` where it
    /// may have brought events too.
    fn announce(&self, batch: &Batch, logged: bool) {
        if batch.stopped_by.is_some() {
            // Its items failed here, and its policy takes no more; or it came
            // after its deadline.
            self.wake.stop(&batch.spec.target, batch.no);
        } else {
            self.wake.work(&batch.spec.target, &batch.tenant, batch.no);
        }
        if logged {
            self.wake.recorded(batch.no);
        }
    }
}

/// There is no such target.
pub fn target_not_found(name: &TargetName) -> Refusal {
    Refusal::new(
        Code::NotFound,
        "TARGET_NOT_FOUND",
        format!("there is no target named `{name}`; ListTargets gives the names"),
    )
    .with("target", name)
}

fn new_batch(tenant: TenantId, spec: BatchSpec) -> Into {
    Into::New(NewBatch {
        tenant,
        id: BatchId::at(wall_ms()),
        spec,
    })
}

fn slicer(entry: &Entry, together: Option<Together>) -> Slicer<Admitted> {
    Slicer::new(together.map_or_else(
        || Shape {
            items: entry.config.chunk_items.max(1) as usize,
            bytes: CHUNK_BYTES,
        },
        Together::shape,
    ))
}

fn new_chunk(admitted: Vec<Admitted>) -> NewChunk {
    let mut failed = Vec::new();
    let items = admitted
        .into_iter()
        .map(|(item, result)| {
            failed.extend(result.map(|result| *result));
            item
        })
        .collect();
    NewChunk { items, failed }
}

/// The outcome of an item that failed admission.
fn invalid(spec: &BatchSpec, item: &Item, fault: &Refusal) -> ItemResult {
    let kind = FailureKind::Invalid;
    ItemResult {
        index: item.index,
        id: item.shown_id(),
        outcome: Outcome::Failed(Box::new(Failure {
            kind,
            reason: fault.reason.to_owned(),
            message: fault.message.clone(),
            violations: fault.violations.clone(),
            status: None,
            reply: None,
            truncated: false,
            retryable: false,
        })),
        attempts: 0,
        replayed: false,
        item: spec.echo.of_failed().then(|| Box::new(item.clone())),
    }
}

/// The index of the first item that is not the same in both.
fn first_difference(held: &[Item], items: &[Item]) -> Option<u32> {
    let differing = held.iter().zip(items).find(|(a, b)| a != b);
    differing.map(|(_, item)| item.index)
}

/// What of the spec is content: where the items go, and in which order.
fn same_spec(batch: &Batch, spec: &BatchSpec) -> Result<(), Refusal> {
    if batch.spec.target != spec.target {
        let theirs = format!("it was for the target `{}`", batch.spec.target);
        return Err(request_id_reused(batch, &theirs));
    }
    if batch.spec.ordering != spec.ordering {
        return Err(request_id_reused(batch, "its ordering was another"));
    }
    if batch.spec.atomicity != spec.atomicity {
        return Err(request_id_reused(batch, "its atomicity was another"));
    }
    Ok(())
}

fn request_id_reused(batch: &Batch, difference: &str) -> Refusal {
    Refusal::new(
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        format!(
            "this request_id belongs to batch {}, which has other content: {difference}; use a \
             request_id of its own for each batch",
            batch.id
        ),
    )
    .with("batch_id", batch.id)
}

fn empty_batch() -> Refusal {
    Refusal::new(
        Code::InvalidArgument,
        "EMPTY_BATCH",
        "the batch has no items; submit at least one",
    )
}
