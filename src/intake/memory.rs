//! Memory for what is between its callers and the disk: a budget for all
//! submissions together, so that a slow disk slows its callers and does not
//! fill the machine.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What there is to give. Cheap to clone.
#[derive(Clone)]
pub(super) struct Memory {
    free: Arc<Semaphore>,
    all: u32,
}

/// Some of it; dropped, it is given back.
#[derive(Default)]
pub(super) struct Taken(Option<OwnedSemaphorePermit>);

impl Memory {
    /// So many bytes.
    pub fn new(bytes: usize) -> Memory {
        let all = u32::try_from(bytes).unwrap_or(u32::MAX);
        let free = Arc::new(Semaphore::new(all as usize));
        Memory { free, all }
    }

    /// Takes so many bytes, if they are free; of a request for more than there
    /// is, all.
    pub fn try_take(&self, bytes: usize) -> Option<Taken> {
        let taken = self.free.clone().try_acquire_many_owned(self.most(bytes));
        Some(Taken(Some(taken.ok()?)))
    }

    /// The same, when they are free: first come, first served.
    pub async fn take(&self, bytes: usize) -> Taken {
        // It fails only where it was closed, and nobody does that.
        Taken(
            self.free
                .clone()
                .acquire_many_owned(self.most(bytes))
                .await
                .ok(),
        )
    }

    fn most(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.all)
    }
}

impl Taken {
    /// Takes so many bytes of it apart; all, where it has no more.
    pub fn split_off(&mut self, bytes: usize) -> Taken {
        let Some(taken) = &mut self.0 else {
            return Taken(None);
        };
        Taken(taken.split(bytes.min(taken.num_permits())))
    }

    /// Adds some more.
    pub fn add(&mut self, more: Taken) {
        match (&mut self.0, more.0) {
            (Some(taken), Some(more)) => taken.merge(more),
            (none, more) => *none = more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_is_given_back() {
        let memory = Memory::new(10);
        let mut taken = memory.take(4).await;
        taken.add(memory.try_take(5).expect("free"));
        assert!(memory.try_take(2).is_none());
        assert!(memory.try_take(1).is_some());
        drop(taken.split_off(3));
        assert!(memory.try_take(5).is_none() && memory.try_take(4).is_some());
        drop(taken);
        // More than there is counts as all of it, and waits its turn.
        let all = memory.take(1_000).await;
        assert!(memory.try_take(1).is_none());
        let waiting = tokio::spawn(async move { memory.take(1).await });
        drop(all);
        waiting.await.expect("taken");
    }
}
