//! Admission on a thread of its own, where it takes long: whoever waits for the
//! runtime meanwhile (lanes that keep to a limit) is not held up.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Admitted, Draft, Intake};
use crate::model::{BatchSpec, Code, Refusal};
use crate::target::Entry;

/// Items are checked against a schema at some 40 MB/s: of so many bytes it is
/// felt.
const LARGE: usize = 64 * 1024;

/// One at a time, so that the runtime always has a core for itself.
static TURN: Semaphore = Semaphore::const_new(1);

impl Intake {
    /// As [`admit`](Intake::admit), for a message of so many bytes.
    pub(super) async fn admit_aside(
        &self,
        entry: &Arc<Entry>,
        spec: &BatchSpec,
        drafts: Vec<Draft>,
        first: u32,
        at: &'static str,
        bytes: usize,
    ) -> Result<Vec<(Admitted, usize)>, Refusal> {
        if entry.config.schema.is_none() || bytes < LARGE {
            return self.admit(entry, spec, drafts, first, at);
        }
        // Never closed, so that there is always one to be had.
        let turn = TURN.acquire().await;
        let (intake, entry, spec) = (self.clone(), entry.clone(), spec.clone());
        let admitting = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            intake.admit(&entry, &spec, drafts, first, at)
        });
        admitting.await.unwrap_or_else(|panic| {
            tracing::error!(%panic, "an admission failed");
            let message = "the server made a mistake; it was logged";
            Err(Refusal::new(Code::Internal, "INTERNAL", message))
        })
    }
}
