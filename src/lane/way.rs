//! How a run gets wires.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::limiter::Gate;
use crate::model::Cost;
use crate::target::{Ahead, Incoming, Wire, wire};

/// How a run gets wires.
pub(super) struct Way {
    pub gate: Gate,
    pub slot: usize,
    pub cost: Cost,
    pub ahead: Arc<Ahead>,
    /// Cancelled to return to the queue what is not written; and by the run
    /// itself when it has ended.
    pub stop: CancellationToken,
}

impl Way {
    /// A wire for so many items: from now on they are ahead.
    pub fn wire(&self, items: usize) -> (Wire, Incoming) {
        wire(
            self.gate.clone(),
            self.slot,
            self.cost,
            u32::try_from(items).unwrap_or(u32::MAX),
            self.ahead.clone(),
            self.stop.clone(),
        )
    }
}
