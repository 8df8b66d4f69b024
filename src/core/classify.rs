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
    /// For how long after it was first sent sending it again, though it may
    /// have been done, does no harm; zero for not at all.
    pub repeatable_for: Duration,
    /// Whether an answer to a repeat is about the item, by its key.
    pub honours_keys: bool,
    /// An earlier send had no answer.
    pub unanswered: bool,
    /// An earlier send was answered with a fault of the target's own.
    pub faulted: bool,
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
        /// A send had no answer: the item may have been done.
        unanswered: bool,
        /// A send was answered with a fault: the item may have been done.
        faulted: bool,
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
    let next = item.tried_for + delay;
    let may_try = item.attempts < policy.attempts && next < policy.patience;
    let is_safe = next < item.repeatable_for;
    let again = |unanswered, faulted| Verdict::Again {
        delay,
        unanswered: item.unanswered || unanswered,
        faulted: item.faulted || faulted,
    };
    // Without a key, an answer to a repeat may be about what the earlier send
    // did: a conflict with itself, or nothing left to delete.
    let rejected = match item.honours_keys || !(item.unanswered || item.faulted) {
        true => FailureKind::Rejected,
        false => FailureKind::InDoubt,
    };
    let faulted = match item.honours_keys || !item.unanswered {
        true => FailureKind::Unavailable,
        false => FailureKind::InDoubt,
    };
    match reply {
        Reply::Ok(answer) => Verdict::Done(Outcome::Succeeded(Success {
            status: answer.status,
            reply: answer.body,
            truncated: answer.truncated,
        })),
        Reply::Refused(cause) => failed(rejected, *cause),
        Reply::RolledBack(cause) => failed(item.undone(FailureKind::Aborted), *cause),
        Reply::Busy(cause) if item.tried_for < policy.patience => Verdict::Throttled {
            retry_after: cause.retry_after,
        },
        Reply::Busy(cause) => failed(item.undone(FailureKind::Throttled), *cause),
        Reply::Unsent(_) if may_try => again(false, false),
        Reply::Unsent(cause) => failed(item.undone(FailureKind::Unreachable), *cause),
        Reply::Fault(_) if may_try && is_safe => again(false, true),
        Reply::Fault(cause) => failed(faulted, *cause),
        Reply::Unknown(_) if may_try && is_safe => again(true, false),
        Reply::Unknown(cause) => failed(FailureKind::InDoubt, *cause),
    }
}

impl Standing {
    /// The kind of failure of an item whose last send did nothing: this one,
    /// unless an earlier send may have done something, which then is what
    /// counts.
    fn undone(&self, kind: FailureKind) -> FailureKind {
        undone(self.unanswered, self.faulted).unwrap_or(kind)
    }
}

/// The kind of failure of an item that is not sent again after such sends;
/// `None` where none of them can have had an effect.
pub fn undone(unanswered: bool, faulted: bool) -> Option<FailureKind> {
    match (unanswered, faulted) {
        (true, _) => Some(FailureKind::InDoubt),
        (false, true) => Some(FailureKind::Unavailable),
        (false, false) => None,
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
        FailureKind::Throttled
        | FailureKind::Unreachable
        | FailureKind::Unavailable
        | FailureKind::Expired => true,
        FailureKind::Invalid
        | FailureKind::Rejected
        | FailureKind::InDoubt
        | FailureKind::Cancelled
        | FailureKind::Aborted => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 3,
        base: Duration::from_millis(100),
        max: Duration::from_secs(1),
        patience: Duration::from_mins(1),
    };

    /// A first try of an item that is not safe to repeat.
    const FIRST: Standing = Standing {
        attempts: 1,
        repeatable_for: Duration::ZERO,
        honours_keys: false,
        unanswered: false,
        faulted: false,
        tried_for: Duration::ZERO,
    };

    /// What the verdict is, in short.
    fn verdict(reply: &str, item: Standing) -> String {
        let cause = Box::<Cause>::default();
        let reply = match reply {
            "ok" => Reply::Ok(Answer::default()),
            "refused" => Reply::Refused(cause),
            "rolled back" => Reply::RolledBack(cause),
            "busy" => Reply::Busy(cause),
            "fault" => Reply::Fault(cause),
            "unsent" => Reply::Unsent(cause),
            _ => Reply::Unknown(cause),
        };
        match classify(reply, item, &POLICY, 1.0) {
            Verdict::Done(Outcome::Succeeded(_)) => "succeeded".to_owned(),
            Verdict::Done(Outcome::Failed(failure)) => failure.kind.name().to_owned(),
            Verdict::Throttled { .. } => "waits".to_owned(),
            Verdict::Again {
                delay,
                unanswered,
                faulted,
            } => {
                let marks = [(unanswered, " unanswered"), (faulted, " faulted")];
                let marks = marks.into_iter().filter(|(is, _)| *is);
                let marks: String = marks.map(|(_, name)| name).collect();
                format!("again in {} ms{marks}", delay.as_millis())
            }
        }
    }

    #[test]
    fn what_a_reply_leads_to() {
        let safe = Standing {
            repeatable_for: Duration::MAX,
            ..FIRST
        };
        let keyed = Standing {
            honours_keys: true,
            ..safe
        };
        let forgetful = Standing {
            repeatable_for: Duration::from_millis(50),
            ..keyed
        };
        let last = |item| Standing {
            attempts: 3,
            ..item
        };
        let unanswered = |item| Standing {
            unanswered: true,
            attempts: 2,
            ..item
        };
        let faulted = |item| Standing {
            faulted: true,
            attempts: 2,
            ..item
        };
        let late = |item| Standing {
            tried_for: Duration::from_mins(2),
            ..item
        };
        for (reply, item, expected) in [
            ("ok", FIRST, "succeeded"),
            ("refused", FIRST, "REJECTED"),
            ("rolled back", FIRST, "ABORTED"),
            ("rolled back", unanswered(safe), "IN_DOUBT"),
            ("rolled back", faulted(safe), "UNAVAILABLE"),
            ("busy", FIRST, "waits"),
            ("busy", last(FIRST), "waits"),
            ("busy", late(FIRST), "THROTTLED"),
            ("unsent", FIRST, "again in 100 ms"),
            ("unsent", last(FIRST), "UNREACHABLE"),
            ("unsent", late(FIRST), "UNREACHABLE"),
            // Only what is safe goes again after it may have been done.
            ("fault", FIRST, "UNAVAILABLE"),
            ("fault", safe, "again in 100 ms faulted"),
            ("fault", last(safe), "UNAVAILABLE"),
            ("unknown", FIRST, "IN_DOUBT"),
            ("unknown", safe, "again in 100 ms unanswered"),
            ("unknown", last(safe), "IN_DOUBT"),
            // Nor does anything go again once its key is forgotten.
            ("unknown", forgetful, "IN_DOUBT"),
            ("fault", forgetful, "UNAVAILABLE"),
            // Without a key, an answer to a repeat may be about the first send.
            ("refused", unanswered(safe), "IN_DOUBT"),
            ("refused", faulted(safe), "IN_DOUBT"),
            ("refused", unanswered(keyed), "REJECTED"),
            ("refused", faulted(keyed), "REJECTED"),
            ("fault", last(unanswered(safe)), "IN_DOUBT"),
            ("fault", last(unanswered(keyed)), "UNAVAILABLE"),
            ("fault", last(faulted(safe)), "UNAVAILABLE"),
            // What was proven undone last may have been done before.
            ("unsent", unanswered(keyed), "again in 200 ms unanswered"),
            ("unsent", last(unanswered(keyed)), "IN_DOUBT"),
            ("unsent", faulted(safe), "again in 200 ms faulted"),
            ("unsent", last(faulted(safe)), "UNAVAILABLE"),
            ("busy", late(unanswered(keyed)), "IN_DOUBT"),
            ("busy", late(faulted(keyed)), "UNAVAILABLE"),
            (
                "unknown",
                faulted(safe),
                "again in 200 ms unanswered faulted",
            ),
            ("ok", unanswered(safe), "succeeded"),
        ] {
            assert_eq!(verdict(reply, item), expected, "{reply} {item:?}");
        }
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        let delays: Vec<u128> = [1, 2, 3, 4, 5, 40]
            .map(|attempts| backoff(attempts, &POLICY).as_millis())
            .into();
        assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000]);
    }
}
