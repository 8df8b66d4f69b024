//! One request from its first statement to its replies.

use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use super::bisect::{self, Outcome};
use super::fault::{About, Gone, Trouble};
use super::groups::Group;
use super::job::{Fate, Fates, Job, Part, missing, refused};
use super::keys;
use super::session::Session;
use crate::model::{Cause, Reply};
use crate::target::{Hints, Permit, Said, Together};

/// How often a transaction that another got in the way of is tried at once.
const RIVALS: u32 = 3;

/// One request.
pub(super) struct Run<'r> {
    inner: &'r Inner,
    job: Job<'r>,
    session: Session,
    /// By the items' places.
    replies: Vec<Option<Reply>>,
    /// Something was committed: the request as a whole is not undone any more.
    is_committed: bool,
    /// What was known of the table was read anew for this request.
    is_fresh: bool,
    rivals: u32,
}

/// What follows from a failure.
enum Next {
    /// The same again, at once.
    Again,
    /// Nothing was done: this is the reply to all that have none yet.
    Ends(Reply),
    /// Nothing was done, and smaller requests may do better; else this.
    Splits(Box<Cause>, Reply),
    /// It may have been done.
    Lost(Gone),
}

/// Sends a request, and says what became of each item.
pub(super) async fn run(inner: &Inner, request: Together<'_>, permit: &mut Permit) -> Said {
    let mut session = match inner.pool.take().await {
        Ok(session) => session,
        Err(unreachable) if unreachable.is_busy => {
            return Said::All(Reply::Busy(unreachable.gone.cause()));
        }
        Err(unreachable) => return Said::All(Reply::Unsent(unreachable.gone.cause())),
    };
    let known = match inner.known(&mut session).await {
        Ok(known) => known,
        Err(reply) => return Said::All(reply),
    };
    let run = Run {
        inner,
        job: Job::new(&inner.config, &request, known),
        session,
        replies: vec![None; request.items.len()],
        is_committed: false,
        is_fresh: false,
        rivals: 0,
    };
    match request.is_atomic {
        false => run.each(permit).await,
        true => run.all(permit).await,
    }
}

impl Run<'_> {
    /// Each item for itself.
    async fn each(mut self, permit: &mut Permit) -> Said {
        let mut pending: Vec<usize> = (0..self.replies.len()).collect();
        let mut is_written = false;
        while !pending.is_empty() {
            let (groups, wrong) = self.job.groups(&pending, false);
            if wrong
                .iter()
                .any(|(_, wrong)| wrong.reason == "UNKNOWN_COLUMN")
                && self.learns(false).await
            {
                continue;
            }
            pending = groups
                .iter()
                .flat_map(|group| &group.rows)
                .map(|row| row.at)
                .collect();
            for (at, refusal) in wrong {
                self.replies[at] = Some(refused(refusal));
            }
            if groups.is_empty() {
                break;
            }
            if !is_written {
                permit.written();
                is_written = true;
            }
            self.job.write(&groups);
            let done = self.attempt(&groups).await;
            if !matches!(done, Err(Trouble::Lost(_) | Trouble::Undone(_))) {
                permit.answered(Hints::default());
            }
            match done {
                Ok(fates) => {
                    self.is_committed = true;
                    pending = self.settle(fates);
                }
                Err(trouble) => match self.after(trouble).await {
                    Next::Again => {}
                    Next::Lost(gone) => return self.lost(&pending, gone).await,
                    Next::Splits(cause, _) if !self.is_committed && self.replies.len() > 1 => {
                        self.inner.pool.put(self.session);
                        return Said::TooLarge(cause);
                    }
                    Next::Ends(reply) | Next::Splits(_, reply) => {
                        for at in pending {
                            self.replies[at] = Some(reply.clone());
                        }
                        break;
                    }
                },
            }
        }
        self.told().await
    }

    /// In one round trip; where an item is at fault, under savepoints.
    async fn attempt(&mut self, groups: &[Group<'_>]) -> Result<Fates, Trouble> {
        let parts: Vec<Part<'_>> = groups
            .iter()
            .map(|group| Part {
                shape: &group.shape,
                rows: &group.rows,
            })
            .collect();
        let ready = self.job.ready(&mut self.session, &parts).await?;
        // One statement is a transaction of its own.
        let (begin, end) = match parts.len() {
            1 => (None, None),
            _ => (Some("BEGIN"), Some("COMMIT")),
        };
        match self.session.all(begin, &ready, end).await {
            Ok(told) => {
                let told = parts.iter().zip(&told);
                Ok(told
                    .flat_map(|(part, told)| self.job.fates(part, told))
                    .collect())
            }
            Err(Trouble::Refused(complaint)) if complaint.about() == About::Item => {
                drop(ready);
                bisect::each(&mut self.session, &self.job, groups, true).await
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// All or none.
    async fn all(mut self, permit: &mut Permit) -> Said {
        let places: Vec<usize> = (0..self.replies.len()).collect();
        permit.written();
        loop {
            let (groups, wrong) = self.job.groups(&places, true);
            if wrong
                .iter()
                .any(|(_, wrong)| wrong.reason == "UNKNOWN_COLUMN")
                && self.learns(false).await
            {
                continue;
            }
            if let Some((at, refusal)) = wrong.into_iter().next() {
                self.inner.pool.put(self.session);
                return Said::Each(rolled_back(&self.job, at, refused(refusal)));
            }
            self.job.write(&groups);
            let done = bisect::all(&mut self.session, &self.job, &groups).await;
            if !matches!(done, Err(Trouble::Lost(_) | Trouble::Undone(_))) {
                permit.answered(Hints::default());
            }
            match done {
                Ok(Outcome::Done(fates)) => {
                    self.settle(fates);
                    return self.told().await;
                }
                Ok(Outcome::Culprit(at, cause)) => return self.culprit(at, cause).await,
                Err(trouble) => match self.after(trouble).await {
                    Next::Again => {}
                    Next::Lost(gone) => return self.lost(&places, gone).await,
                    Next::Ends(reply) | Next::Splits(_, reply) => {
                        self.put_back();
                        return Said::All(reply);
                    }
                },
            }
        }
    }

    /// One item is at fault, and nothing was done; unless it was done before,
    /// at the very same time.
    async fn culprit(mut self, at: usize, cause: Box<Cause>) -> Said {
        if let Some(dedupe) = &self.inner.config.dedupe {
            let key = self.job.keys[at].0.as_str();
            let name = &self.inner.config.name;
            let found = keys::lookup(&mut self.session, dedupe, name, &[key]).await;
            if !found.is_ok_and(|found| found.is_empty()) {
                return Said::All(Reply::Unsent(Box::new(Cause {
                    reason: "DONE_BY_ANOTHER".to_owned(),
                    message: "an earlier try was under way at the same time".to_owned(),
                    ..Cause::default()
                })));
            }
        }
        let said = rolled_back(&self.job, at, Reply::Refused(cause));
        self.put_back();
        Said::Each(said)
    }

    /// What follows from a failure.
    async fn after(&mut self, trouble: Trouble) -> Next {
        let complaint = match trouble {
            Trouble::Undone(gone) => return Next::Ends(Reply::Unsent(gone.cause())),
            Trouble::Lost(gone) => return Next::Lost(gone),
            Trouble::Refused(complaint) => complaint,
        };
        let cause = complaint.cause(self.job.table());
        match complaint.about() {
            About::Schema if !self.is_fresh && self.learns(true).await => Next::Again,
            About::Schema => Next::Ends(Reply::Fault(cause)),
            About::Rival if self.rivals < RIVALS => {
                self.rivals += 1;
                sleep(Duration::from_millis(fastrand::u64(1..20))).await;
                Next::Again
            }
            About::Rival => Next::Ends(Reply::Unsent(cause)),
            About::Server => {
                // Another connection may lead to another server.
                self.session.give_up();
                Next::Ends(Reply::Unsent(cause))
            }
            About::Load => Next::Ends(Reply::Busy(cause)),
            About::Time => Next::Splits(cause.clone(), Reply::Unsent(cause)),
            About::Item => Next::Splits(cause.clone(), Reply::Refused(cause)),
        }
    }

    /// Reads anew what is known of the table, once for a request; whether it
    /// was.
    async fn learns(&mut self, is_wrong: bool) -> bool {
        if self.is_fresh || !(is_wrong || self.inner.may_have_changed()) {
            return false;
        }
        self.is_fresh = true;
        self.session.forget();
        let learnt = self.inner.learn(&mut self.session).await;
        let is_learnt = learnt.is_ok();
        if let Ok(known) = learnt {
            self.job.learn(known);
        }
        is_learnt
    }

    /// Takes down what was done; what has to come again.
    fn settle(&mut self, fates: Fates) -> Vec<usize> {
        let mut again = Vec::new();
        for (at, fate) in fates {
            self.replies[at] = match fate {
                Fate::Done(reply) => Some(self.job.done(at, reply)),
                Fate::Missing => Some(Reply::Refused(missing(&self.job.items[at]))),
                Fate::Refused(cause) => Some(Reply::Refused(cause)),
                Fate::Known => None,
                Fate::Again => {
                    again.push(at);
                    None
                }
            };
        }
        again
    }

    /// The replies. What was not done now may have been done before: the dedupe
    /// table says so.
    async fn told(mut self) -> Said {
        let Some(dedupe) = &self.inner.config.dedupe else {
            return Said::Each(self.put_back());
        };
        let unsure = |reply: &Option<Reply>| matches!(reply, None | Some(Reply::Refused(_)));
        let unsure: Vec<usize> = (0..self.replies.len())
            .filter(|at| unsure(&self.replies[*at]))
            .collect();
        if !unsure.is_empty() {
            let asked: Vec<&str> = unsure.iter().map(|at| &*self.job.keys[*at].0).collect();
            let name = &self.inner.config.name;
            match keys::lookup(&mut self.session, dedupe, name, &asked).await {
                Ok(found) => {
                    for at in unsure {
                        if let Some(reply) = self.recorded(at, &found) {
                            self.replies[at] = Some(reply);
                        }
                    }
                }
                Err(_) => {
                    for at in unsure {
                        self.replies[at] = Some(Reply::Unknown(not_looked_up()));
                    }
                }
            }
        }
        Said::Each(self.put_back())
    }

    /// The reply to an item that the dedupe table knows.
    fn recorded(
        &self,
        at: usize,
        found: &std::collections::HashMap<String, keys::Record>,
    ) -> Option<Reply> {
        let (key, fingerprint) = &self.job.keys[at];
        let record = found.get(key)?;
        if record.fingerprint == *fingerprint {
            return Some(self.job.done(at, record.reply.clone()));
        }
        Some(Reply::Refused(Box::new(Cause {
            reason: "KEY_REUSED".to_owned(),
            message: "another item was done under this key; give this one a key of its own"
                .to_owned(),
            ..Cause::default()
        })))
    }

    /// The connection is gone, and what was under way may have been done: the
    /// dedupe table says what was. That a key is not there proves nothing yet:
    /// the server may not have got to the end.
    async fn lost(mut self, pending: &[usize], gone: Gone) -> Said {
        let looked_up = match &self.inner.config.dedupe {
            None => None,
            Some(dedupe) => match self.inner.pool.take().await {
                Err(_) => None,
                Ok(mut session) => {
                    let asked: Vec<&str> =
                        pending.iter().map(|at| &*self.job.keys[*at].0).collect();
                    let name = &self.inner.config.name;
                    let found = keys::lookup(&mut session, dedupe, name, &asked).await.ok();
                    if found.is_some() {
                        self.inner.pool.put(session);
                    }
                    found
                }
            },
        };
        let unknown = Reply::Unknown(gone.cause());
        for at in pending {
            let recorded = looked_up
                .as_ref()
                .and_then(|found| self.recorded(*at, found));
            self.replies[*at] = Some(recorded.unwrap_or_else(|| unknown.clone()));
        }
        Said::Each(self.replies)
    }

    /// Gives the connection back, if it works; the replies.
    fn put_back(self) -> Vec<Option<Reply>> {
        self.inner.pool.put(self.session);
        self.replies
    }
}

fn not_looked_up() -> Box<Cause> {
    Box::new(Cause {
        reason: "CONNECTION_LOST".to_owned(),
        message: "whether an earlier try was done could not be looked up".to_owned(),
        ..Cause::default()
    })
}

/// The replies to an all-or-nothing request of which one item is refused.
fn rolled_back(job: &Job<'_>, culprit: usize, reply: Reply) -> Vec<Option<Reply>> {
    let why = match &reply {
        Reply::Refused(cause) => cause.message.as_str(),
        _ => "it cannot be done",
    };
    let index = job.items[culprit].index;
    let other = Reply::RolledBack(Box::new(Cause {
        reason: "ROLLED_BACK".to_owned(),
        message: format!("nothing of the batch was done, because of item {index}: {why}"),
        ..Cause::default()
    }));
    let mut replies = vec![Some(other); job.items.len()];
    replies[culprit] = Some(reply);
    replies
}
