//! What a target's reply leads to: an outcome, or another try.

use std::time::Duration;

use crate::model::{Answer, Cause, Failure, FailureKind, Outcome, Reply, Success};

/// How often and how long a target's items are tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The most sends of one item that may have reached the target, or were
    /// proven not to; at least 1. Throttled sends do not count.
    pub attempts: u32,
    /// The first delay's upper bound; each next one is twice that.
    pub base: Duration,
    /// No delay is longer.
    pub max: Duration,
    /// No new try begins later than this after the item was first taken up.
    pub patience: Duration,
}

/// What is known about an item besides the reply.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Sends so far, this one included.
    pub attempts: u32,
    /// Whether sending it again, though it may have been done, does no harm.
    pub safe_to_repeat: bool,
    /// Whether an answer to a repeat is about the item, by its key.
    pub honours_keys: bool,
    /// An earlier send had no answer.
    pub unanswered: bool,
    /// How long it has been tried.
    pub tried_for: Duration,
}

/// What a reply leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The end.
    Done(Outcome),
    /// Another try.
    Again {
        /// Not before that long from now.
        delay: Duration,
        /// The item may have been done.
        unanswered: bool,
    },
    /// Back to the queue without an attempt used up; the whole lane waits.
    Throttled {
        /// How long the target asked for, where it did.
        retry_after: Option<Duration>,
    },
}

/// What a reply leads to. `jitter` is a random number from 0 to 1: a delay is
/// that share of its upper bound ("full jitter"), so that what failed together
/// does not come back together.
pub fn classify(reply: Reply, item: Standing, policy: &RetryPolicy, jitter: f64) -> Verdict {
    let delay = backoff(item.attempts, policy).mul_f64(jitter);
    let may_try = item.attempts < policy.attempts && item.tried_for + delay < policy.patience;
    // Once sent without an answer, it may have been done, whatever ended it.
    let undone = |kind| match item.unanswered {
        true => FailureKind::InDoubt,
        false => kind,
    };
    // Without a key, an answer to a repeat may be about what the earlier send
    // did: a conflict with itself, or nothing left to delete.
    let answered = |kind| match item.honours_keys {
        true => kind,
        false => undone(kind),
    };
    match reply {
        Reply::Ok(answer) => Verdict::Done(Outcome::Succeeded(Success {
            status: answer.status,
            reply: answer.body,
            truncated: answer.truncated,
        })),
        Reply::Refused(cause) => failed(answered(FailureKind::Rejected), *cause),
        Reply::Busy(cause) if item.tried_for < policy.patience => Verdict::Throttled {
            retry_after: cause.retry_after,
        },
        Reply::Busy(cause) => failed(undone(FailureKind::Throttled), *cause),
        Reply::Unsent(_) if may_try => Verdict::Again {
            delay,
            unanswered: item.unanswered,
        },
        Reply::Unsent(cause) => failed(undone(FailureKind::Unreachable), *cause),
        Reply::Fault(_) if may_try && item.safe_to_repeat => Verdict::Again {
            delay,
            unanswered: item.unanswered,
        },
        Reply::Fault(cause) => failed(answered(FailureKind::Unavailable), *cause),
        Reply::Unknown(_) if may_try && item.safe_to_repeat => Verdict::Again {
            delay,
            unanswered: true,
        },
        Reply::Unknown(cause) => failed(FailureKind::InDoubt, *cause),
    }
}

/// The upper bound of the delay after so many sends.
fn backoff(attempts: u32, policy: &RetryPolicy) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    policy.base.saturating_mul(1 << doublings).min(policy.max)
}

fn failed(kind: FailureKind, cause: Cause) -> Verdict {
    let Answer {
        status,
        body,
        truncated,
    } = cause.answer.clone().unwrap_or_default();
    Verdict::Done(Outcome::Failed(Box::new(Failure {
        kind,
        reason: cause.reason,
        message: cause.message,
        violations: cause.violations,
        status: cause.answer.map(|_| status),
        reply: body,
        truncated,
        retryable: is_retryable(kind),
    })))
}

/// Whether an item that failed so may do better untouched.
pub fn is_retryable(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Throttled | FailureKind::Unreachable | FailureKind::Unavailable => true,
        FailureKind::Invalid
        | FailureKind::Rejected
        | FailureKind::InDoubt
        | FailureKind::Cancelled => false,
    }
}
