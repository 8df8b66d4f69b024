//! Wake-ups within the process. A wake-up says that something may have
//! happened, never what: whoever is woken reads the store. So that none is
//! missed, subscribe before you read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::model::{BatchNo, Held, TargetName, TenantId};

/// The wake-ups of one process. Cheap to clone.
#[derive(Clone, Default)]
pub struct Wake {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    // std mutexes: held for a map access, never across an await.
    batches: Mutex<HashMap<BatchNo, watch::Sender<()>>>,
    lanes: Mutex<HashMap<TargetName, mpsc::UnboundedSender<Nudge>>>,
}

/// What a lane is told. Unbounded, because a nudge is a few words, is sent at
/// most once for each commit, and the lane takes all of them each time it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// A batch may have chunks for this target.
    Work(TargetName, TenantId, BatchNo),
    /// A batch was stopped or paused: let go of what is not written yet.
    Stop(BatchNo),
    /// An operator holds a target, or lets it go on.
    Hold(TargetName, Option<Held>),
}

impl Wake {
    /// Wake-ups from now on for what is recorded about a batch.
    pub fn follow(&self, no: BatchNo) -> Subscription {
        let receiver = lock(&self.shared.batches)
            .entry(no)
            .or_insert_with(|| watch::channel(()).0)
            .subscribe();
        Subscription {
            no,
            receiver: Some(receiver),
            wake: self.clone(),
        }
    }

    /// Something was recorded about a batch.
    pub fn recorded(&self, no: BatchNo) {
        if let Some(sender) = lock(&self.shared.batches).get(&no) {
            sender.send_replace(());
        }
    }

    /// Makes a lane the one that drives these targets; it reads its nudges
    /// from what this returns.
    pub fn drive(
        &self,
        targets: impl IntoIterator<Item = TargetName>,
    ) -> mpsc::UnboundedReceiver<Nudge> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut lanes = lock(&self.shared.lanes);
        for target in targets {
            lanes.insert(target, sender.clone());
        }
        receiver
    }

    /// A batch may have chunks for a target.
    pub fn work(&self, target: &TargetName, tenant: &TenantId, no: BatchNo) {
        self.nudge(target, Nudge::Work(target.clone(), tenant.clone(), no));
    }

    /// A batch was stopped or paused. Whether there is a lane to hear of it.
    pub fn stop(&self, target: &TargetName, no: BatchNo) -> bool {
        self.nudge(target, Nudge::Stop(no))
    }

    /// An operator holds a target, or lets it go on.
    pub fn hold(&self, target: &TargetName, held: Option<Held>) {
        self.nudge(target, Nudge::Hold(target.clone(), held));
    }

    fn nudge(&self, target: &TargetName, nudge: Nudge) -> bool {
        let lanes = lock(&self.shared.lanes);
        let lane = lanes.get(target);
        if let Some(lane) = lane {
            // A lane that has stopped reads the store when it starts again.
            let _ = lane.send(nudge);
        }
        lane.is_some()
    }
}

/// Wake-ups for one batch.
pub struct Subscription {
    no: BatchNo,
    // `None` only while it is being dropped.
    receiver: Option<watch::Receiver<()>>,
    wake: Wake,
}

impl Subscription {
    /// Waits until something was recorded since the last call, or since the
    /// subscription was made. Safe to cancel.
    pub async fn wait(&mut self) {
        if let Some(receiver) = &mut self.receiver {
            // The sender lives in the map for as long as there is a receiver.
            let _ = receiver.changed().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut batches = lock(&self.wake.shared.batches);
        self.receiver = None;
        if batches
            .get(&self.no)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            batches.remove(&self.no);
        }
    }
}

/// Locks, also after a panic elsewhere: what is guarded is always whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
