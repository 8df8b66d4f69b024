//! The end of a run: everything is read once more, from its beginning.

use std::time::Duration;

use tokio::time::timeout;

use crate::checker::Fact;
use crate::front::Front;

/// Whether nothing is left to be done.
pub async fn is_there(front: &Front) -> bool {
    for tenant in ["ada", "bob"] {
        for batch in front.list(tenant).await {
            let counts = batch.progress.counts;
            // Those that nobody seals are sealed when their time is up.
            if !batch.state.is_final() || !counts.all_done() {
                return false;
            }
        }
    }
    true
}

/// Reads all batches of all tenants, as they stand and event by event; and says
/// who waits still.
pub async fn look(front: &Front) {
    for tenant in ["ada", "bob"] {
        for batch in front.list(tenant).await {
            let Some(batch) = front.read_at_the_end(tenant, batch.id).await else {
                continue;
            };
            let last = batch.last_sequence;
            if last == 0 {
                continue;
            }
            let reading = front.follow(&batch, 0, |told| told.sequence < last);
            // What does not come at once will not come.
            let _ = timeout(Duration::from_mins(1), reading).await;
        }
    }
    let sim = &front.process.sim;
    for (job, plan) in sim.jobs.iter().zip(&sim.plan.jobs) {
        if !job.is_over() {
            front.process.saw(Fact::Stuck(plan.name.clone()));
        }
    }
    for operator in &sim.operators {
        if !operator.is_over() {
            front.process.saw(Fact::Stuck("an operator".to_owned()));
        }
    }
}
