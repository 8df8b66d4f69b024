//! What has to be done because time passes, and nobody asks: deadlines, batches
//! that were left open, and what is old enough to be thrown away.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::Retention;
use crate::intake::{Attachment, Intake};
use crate::store::{Change, Due, Prune, Store, StoreError};
use crate::time::{millis, wall_ms};

/// How often it looks: a batch is told to be expired at most so much late. That
/// nothing is sent after a deadline is the lanes' affair, and exact.
const EVERY: Duration = Duration::from_secs(1);

/// Batches that are looked at together.
const TOGETHER: usize = 256;

/// How many such lists it goes through before it begins anew.
const PAGES: usize = 64;

/// Rows that are thrown away in one commit: few enough that nobody waits for it.
const ROWS: usize = 256;

/// The pause between two such commits, which leaves the disk to others.
const BETWEEN: Duration = Duration::from_millis(20);

/// For how long charges can count: the longest window that a limit can have.
const CHARGES: Duration = Duration::from_hours(32 * 24);

/// Does what is due.
pub struct Keeper {
    store: Arc<dyn Store>,
    intake: Intake,
    retention: Retention,
}

impl Keeper {
    /// A keeper that has not started.
    pub fn new(store: Arc<dyn Store>, intake: Intake, retention: Retention) -> Keeper {
        Keeper {
            store,
            intake,
            retention,
        }
    }

    /// Does what is due until `drain` is cancelled. What fails is tried again
    /// when it looks the next time.
    pub async fn keep(self, drain: CancellationToken) {
        let looks = async {
            loop {
                note(self.look().await);
                sleep(EVERY).await;
            }
        };
        let prunes = async {
            loop {
                note(self.prune().await);
                sleep(EVERY).await;
            }
        };
        // Side by side: a deadline does not wait for what is thrown away.
        tokio::select! {
            () = drain.cancelled() => {}
            () = looks => {}
            () = prunes => {}
        }
    }

    async fn look(&self) -> Result<(), StoreError> {
        self.intake.forget_attachments();
        for _ in 0..PAGES {
            let due = self.store.due(wall_ms(), TOGETHER).await?;
            for due in &due {
                self.attend(due).await?;
            }
            if due.len() < TOGETHER {
                break;
            }
        }
        Ok(())
    }

    async fn prune(&self) -> Result<(), StoreError> {
        while self.store.prune(self.old()).await? {
            sleep(BETWEEN).await;
        }
        Ok(())
    }

    /// Does what is to be done about one batch. It is not due any more then.
    async fn attend(&self, due: &Due) -> Result<(), StoreError> {
        let timeout = self.intake.limits().open_timeout;
        let change = match self.intake.attachment(due.no) {
            _ if due.is_expired => Change::Expire,
            Attachment::Left(since) if due.is_open && since >= timeout => Change::Abandon,
            Attachment::Left(since) => keep_open(timeout.saturating_sub(since)),
            Attachment::Open => keep_open(timeout),
        };
        self.intake.apply(due.no, change).await?;
        Ok(())
    }

    /// What is old by now.
    fn old(&self) -> Prune {
        let now_ms = wall_ms();
        Prune {
            batches_before_ms: now_ms.saturating_sub(millis(self.retention.batches)),
            keys_before_ms: now_ms.saturating_sub(millis(self.retention.keys)),
            charges_before_ms: now_ms - millis(CHARGES),
            max: ROWS,
        }
    }
}

fn keep_open(more: Duration) -> Change {
    Change::KeepOpen {
        until_ms: wall_ms() + millis(more.max(EVERY)),
    }
}

fn note(done: Result<(), StoreError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "what is due could not be done; it is tried again");
    }
}
