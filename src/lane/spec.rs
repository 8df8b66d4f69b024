//! What a lane starts from, and what it owes to those who sent before it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::QuotaConfig;
use crate::limiter::{Gate, GateSpec, Spent};
use crate::model::{Limit, Pause};
use crate::store::{Store, StoreError};
use crate::target::Entry;
use crate::time::{millis, wall_ms, wall_ms_at};

/// Windows up to this long are waited out after a restart; what was sent in
/// longer ones is charged in the store.
const WAITED_OUT: Duration = Duration::from_secs(10);

/// Who waits for less does not wonder what for.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// Where a lane starts from.
pub struct LaneSpec {
    /// The targets that draw on the quota; at least one.
    pub targets: Vec<Arc<Entry>>,
    /// Nothing is sent before: after a restart, what was sent before it still
    /// counts.
    pub hold_until: Option<Instant>,
    /// What is leased is charged in the store, because the quota has limits
    /// that are longer than a restart can wait out.
    pub charged: bool,
    /// What was charged by those before it.
    pub spent: Vec<Spent>,
    /// For the delays of retries; the same seed gives the same delays.
    pub seed: u64,
}

impl LaneSpec {
    /// What a lane for these targets starts from, so that no limit of their
    /// quota is refilled; `restarted` where somebody may have sent something
    /// just now. What leases of theirs are left must be rescued before.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn read(
        store: &dyn Store,
        targets: Vec<Arc<Entry>>,
        restarted: bool,
        seed: u64,
    ) -> Result<LaneSpec, StoreError> {
        let quota = &targets[0].quota;
        let charged = quota.limits.iter().any(is_long);
        let mut spent = Vec::new();
        if charged {
            let longest = quota.limits.iter().map(|limit| limit.per).max();
            let back = millis(longest.unwrap_or_default() + quota.transit);
            for target in &targets {
                let now_ms = wall_ms();
                let name = target.config.name.clone();
                // Charges go by the target's name: one that draws on another
                // quota now has brought what it was sent.
                let minutes = store.spent(name, now_ms.saturating_sub(back)).await?;
                spent.extend(minutes.iter().map(|minute| Spent {
                    age: since(minute.until_ms, now_ms),
                    units: minute.units,
                }));
            }
        }
        Ok(LaneSpec {
            hold_until: restarted.then(|| Instant::now() + waited_out(quota)),
            charged,
            spent,
            seed,
            targets,
        })
    }

    /// The gate of its quota.
    pub(super) fn gate(&self) -> Gate {
        let quota = &self.targets[0].quota;
        let targets = self.targets.iter();
        let gate = Gate::new(GateSpec {
            limits: quota.limits.clone(),
            pace: quota.pace,
            transit: quota.transit,
            concurrency: targets.map(|target| target.config.concurrency).collect(),
            spent: self.spent.clone(),
        });
        if let Some(until) = self.hold_until {
            gate.hold_until(until);
        }
        gate
    }
}

fn is_long(limit: &Limit) -> bool {
    limit.per > WAITED_OUT
}

/// How long ago that was; not at all, where the clock was ahead then, or the
/// minute is not over.
fn since(ms: i64, now_ms: i64) -> Duration {
    Duration::from_millis(now_ms.saturating_sub(ms).max(0).unsigned_abs())
}

/// How long the windows that are waited out go back.
fn waited_out(quota: &QuotaConfig) -> Duration {
    let short = quota.limits.iter().filter(|limit| !is_long(limit));
    let longest = short.map(|limit| limit.per).max();
    longest.map_or(Duration::ZERO, |per| per + quota.transit)
}

/// A long limit that is used up, as a pause is told: nobody would guess why
/// nothing is sent for minutes or hours.
pub(super) fn used_up(gate: &Gate) -> Option<Pause> {
    let (limit, until) = gate.used_up()?;
    let wait = until.duration_since(Instant::now());
    (is_long(&limit) && wait >= WORTH_TELLING).then(|| Pause {
        until_ms: wall_ms_at(until),
        reason: format!("the limit {limit} is used up"),
    })
}
