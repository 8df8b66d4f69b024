//! What the lane does while the store cannot lease: it waits and asks again; and
//! where what is kept of one batch is broken, the others go on.

use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::{Lane, Seat};
use crate::model::BatchNo;
use crate::store::{Lease, StoreError, pause};

/// How long a batch is left alone whose chunks the store cannot read: somebody
/// may mend it.
const BROKEN: Duration = Duration::from_mins(1);

/// How leases fail.
#[derive(Default)]
pub(super) struct Failing {
    /// How often the last ones did, because the store cannot write.
    times: u32,
    /// When to ask again.
    again_at: Option<Instant>,
    /// So many picks are leased each by itself: one of them is broken.
    one_by_one: usize,
}

impl Failing {
    /// When to ask again, if that is not now.
    pub fn again_at(&self) -> Option<Instant> {
        self.again_at.filter(|at| *at > Instant::now())
    }

    /// Whether the pick that was made just now is to be leased by itself.
    pub fn is_one_by_one(&mut self) -> bool {
        let is = self.one_by_one > 0;
        self.one_by_one = self.one_by_one.saturating_sub(1);
        is
    }
}

impl Lane {
    /// A lease came to this.
    pub(super) fn answered(
        &mut self,
        leases: Result<Vec<Lease>, StoreError>,
    ) -> Result<(), StoreError> {
        match leases {
            Ok(leases) => {
                self.failing.times = 0;
                self.leased_all(leases);
                Ok(())
            }
            Err(error @ (StoreError::Closed | StoreError::Unusable(_))) => Err(error),
            Err(error) => {
                self.not_leased(&error);
                Ok(())
            }
        }
    }

    /// Nothing was leased.
    fn not_leased(&mut self, error: &StoreError) {
        let Some(leasing) = self.leasing.take() else {
            return;
        };
        self.seats.iter_mut().for_each(Seat::lease_ends);
        for &(no, slot) in &leasing.picks {
            let chunk_items = self.seats[slot].entry.config.chunk_items;
            self.turns.give_back(no, chunk_items);
        }
        if error.is_passing() {
            self.failing.times += 1;
            self.failing.again_at = Some(Instant::now() + pause(self.failing.times));
            return;
        }
        let mut picked: Vec<BatchNo> = leasing.picks.iter().map(|(no, _)| *no).collect();
        picked.dedup();
        if let [no] = picked[..] {
            tracing::error!(%error, batch = no.0, "a batch cannot be sent; others go on");
            self.turns.put_off(no, Instant::now() + BROKEN);
        } else {
            self.failing.one_by_one = leasing.picks.len();
        }
    }

    /// A run has ended.
    pub(super) fn ended(
        &mut self,
        ended: Result<Result<(), StoreError>, JoinError>,
    ) -> Result<(), StoreError> {
        // A run cancels its own token when it ends.
        self.stops.retain(|(_, _, stop)| !stop.is_cancelled());
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ (StoreError::Closed | StoreError::Unusable(_)))) => Err(error),
            Ok(Err(error)) => {
                tracing::error!(%error, "what became of a chunk cannot be recorded; it stays leased");
                Ok(())
            }
            Err(panic) => {
                tracing::error!(%panic, "a chunk's run failed; its items stay leased");
                Ok(())
            }
        }
    }
}
