//! Notes outcomes as they become durable, of batches where that has to come
//! before something else.

use flowgate::model::{Batch, BatchNo, EventKind, TenantId};
use flowgate::store::{ListQuery, Store};

use crate::checker::{Fact, Recorded};
use crate::disk::Now;
use crate::facts;
use crate::sim::Process;

/// Notes what a verb has just recorded.
pub fn note(process: &Process) {
    let jobs = process.sim.plan.jobs.iter();
    let matter = jobs.filter(|job| job.strict || job.stops_after > 0);
    let names: Vec<&str> = matter.map(|job| job.name.as_str()).collect();
    if names.is_empty() {
        return;
    }
    for tenant in ["ada", "bob"] {
        let query = ListQuery {
            tenant: TenantId::new(tenant),
            target: None,
            states: Vec::new(),
            labels: std::collections::BTreeMap::new(),
            before: None,
            max: 1_000,
        };
        let batches = process.sim.store.list(query).now().expect("the batches");
        for batch in batches.iter().filter(|batch| matters(batch, &names)) {
            note_batch(process, batch);
        }
    }
}

fn matters(batch: &Batch, names: &[&str]) -> bool {
    let name = batch.spec.labels.get("name");
    name.is_some_and(|name| names.contains(&name.as_str()))
}

fn note_batch(process: &Process, batch: &Batch) {
    let after = process.sim.state().noted.get(&batch.no).copied();
    let after = after.unwrap_or(0);
    if after == batch.last_sequence {
        return;
    }
    process
        .sim
        .state()
        .noted
        .insert(batch.no, batch.last_sequence);
    for event in events(process, batch.no, after) {
        let EventKind::Results(results) = event.kind else {
            continue;
        };
        process.saw(Fact::Recorded(Recorded {
            batch: batch.id.to_string(),
            outcomes: results.iter().map(facts::outcome).collect(),
        }));
    }
}

fn events(process: &Process, no: BatchNo, after: u64) -> Vec<flowgate::model::Event> {
    let events = process.sim.store.events(no, after, usize::MAX).now();
    events.expect("the events").events
}
