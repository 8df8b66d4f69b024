//! A lease on its way to the disk, and what is heard meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::model::{BatchNo, TenantId};
use crate::store::{Lease, Picks, Store, StoreError};
use crate::time::wall_ms;

/// A lease on its way to the disk.
pub(super) struct Leasing {
    pub picks: Vec<(BatchNo, usize)>,
    pub answer: BoxFuture<'static, Result<Vec<Lease>, StoreError>>,
    /// Let go of these when they are there: all, or of some batches.
    pub let_go_all: bool,
    pub let_go: Vec<BatchNo>,
    /// Batches that got more meanwhile, and for which slot: whatever the lease
    /// says of them, it may have looked before.
    pub heard: HashMap<BatchNo, (TenantId, usize)>,
}

impl Leasing {
    /// Has a chunk leased for each pick: its batch, and the slot of its target.
    pub fn begin(store: &Arc<dyn Store>, picks: Vec<(BatchNo, usize)>, charged: bool) -> Leasing {
        let store = store.clone();
        let leased = Picks {
            batches: picks.iter().map(|&(no, _)| no).collect(),
            charged,
        };
        Leasing {
            picks,
            answer: Box::pin(async move { store.lease(leased, wall_ms()).await }),
            let_go_all: false,
            let_go: Vec::new(),
            heard: HashMap::new(),
        }
    }
}
