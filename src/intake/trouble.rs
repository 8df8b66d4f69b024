//! The store's trouble, as callers are told of it.

use std::fmt::Debug;
use std::time::Duration;

use crate::model::{Code, Refusal};
use crate::store::StoreError;

/// The store's trouble, as a caller is told of it.
#[allow(clippy::needless_pass_by_value, reason = "made for `map_err`")]
pub fn store_trouble(error: StoreError) -> Refusal {
    match error {
        StoreError::Full => no_room(),
        // Again would be no better.
        StoreError::Broken(_) | StoreError::Mistake(_) => unexpected(&error),
        StoreError::Closed | StoreError::Failed(_) | StoreError::Unusable(_) => unusable(&error),
    }
}

fn unusable(error: &StoreError) -> Refusal {
    tracing::error!(%error, "the store failed");
    let mut refusal = Refusal::new(
        Code::Unavailable,
        "STORE_UNAVAILABLE",
        "the server cannot read or write its store just now; try again later",
    );
    refusal.retry_after = Some(Duration::from_secs(1));
    refusal
}

/// The disk has room for what was taken on, and for no more.
fn no_room() -> Refusal {
    let mut refusal = Refusal::new(
        Code::ResourceExhausted,
        "STORE_FULL",
        "the server's store has no room for more items; what was accepted goes on, try again later",
    );
    refusal.retry_after = Some(Duration::from_secs(10));
    refusal
}

/// The store answered what it never should.
pub(super) fn unexpected(answer: &impl Debug) -> Refusal {
    tracing::error!(?answer, "the store answered what it never should");
    Refusal::new(
        Code::Internal,
        "INTERNAL",
        "the server made a mistake; it was logged",
    )
}
