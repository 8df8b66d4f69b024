//! Finds which items are at fault, by trying ever smaller parts of a request
//! under savepoints of one transaction.

use tokio::time::Instant;
use tokio_postgres::Row as Told;

use super::fault::{About, Complaint, Trouble};
use super::groups::Group;
use super::job::{Fate, Fates, Job, Part, missing};
use super::session::{Params, Session};
use super::sql;
use crate::model::{Cause, Violation};

const BEGIN: &str = "BEGIN";
/// What the table checks only in the end is checked at once, so that it is
/// known whose fault it is.
const BEGIN_STRICTLY: &str = "BEGIN; SET CONSTRAINTS ALL IMMEDIATE";
const MARK: &str = "SAVEPOINT flowgate";
const KEEP: &str = "RELEASE SAVEPOINT flowgate";
const UNDO: &str = "ROLLBACK TO SAVEPOINT flowgate";

/// What became of items that are done all or none.
pub(super) enum Outcome {
    Done(Fates),
    /// This one is at fault, and nothing was done.
    Culprit(usize, Box<Cause>),
}

/// Does what can be done, each item for itself; those at fault are refused.
/// `whole`: all of it was tried already, and failed.
pub(super) async fn each(
    session: &mut Session,
    job: &Job<'_>,
    groups: &[Group<'_>],
    whole: bool,
) -> Result<Fates, Trouble> {
    session
        .simply(BEGIN_STRICTLY)
        .await
        .map_err(Trouble::before_commit)?;
    match each_within(session, job, groups, whole).await {
        Ok(fates) => session.simply("COMMIT").await.map(|()| fates),
        Err(trouble) => Err(rolled_back(session, trouble).await),
    }
}

async fn each_within(
    session: &mut Session,
    job: &Job<'_>,
    groups: &[Group<'_>],
    whole: bool,
) -> Result<Fates, Trouble> {
    let by = Instant::now() + job.config.timeout;
    let mut fates = Fates::new();
    let mut waiting: Vec<Part<'_>> = parts(groups).rev().collect();
    if whole
        && waiting.len() == 1
        && let Some(part) = waiting.pop()
    {
        halve(&mut waiting, part);
    }
    while let Some(part) = waiting.pop() {
        in_time(by)?;
        match tried(session, job, part, Some(KEEP)).await {
            Ok(told) => fates.extend(job.fates(&part, &told)),
            Err(Trouble::Refused(complaint)) if complaint.about() == About::Item => {
                session.simply(UNDO).await?;
                if part.rows.len() > 1 {
                    halve(&mut waiting, part);
                } else {
                    let cause = named(session, job, &part, &complaint).await?;
                    fates.push((part.rows[0].at, Fate::Refused(cause)));
                }
            }
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(fates)
}

/// Does all or none. In the good case it is one round trip; two where a row
/// may not be there, which is known only afterwards.
pub(super) async fn all(
    session: &mut Session,
    job: &Job<'_>,
    groups: &[Group<'_>],
) -> Result<Outcome, Trouble> {
    let parts: Vec<Part<'_>> = parts(groups).collect();
    let ready = job.ready(session, &parts).await?;
    let is_sure = groups.iter().all(|group| group.shape.task.makes());
    let end = is_sure.then_some("COMMIT");
    let told = match session.all(Some(BEGIN), &ready, end).await {
        Ok(told) => told,
        Err(trouble) => {
            let trouble = match end {
                Some(_) => trouble,
                None => rolled_back(session, trouble.before_commit()).await,
            };
            return match trouble {
                Trouble::Refused(complaint) if complaint.about() == About::Item => {
                    drop(ready);
                    one_by_one(session, job, groups, false).await
                }
                trouble => Err(trouble),
            };
        }
    };
    let fates = parts
        .iter()
        .zip(&told)
        .flat_map(|(part, told)| job.fates(part, told));
    let fates: Fates = fates.collect();
    drop(ready);
    if is_sure {
        return Ok(Outcome::Done(fates));
    }
    if !fates.iter().all(|(_, fate)| is_done(fate)) {
        session
            .simply("ROLLBACK")
            .await
            .map_err(Trouble::before_commit)?;
        return one_by_one(session, job, groups, false).await;
    }
    committed(session, job, groups, fates, false).await
}

/// Commits; where that is refused, looks for who is at fault.
async fn committed(
    session: &mut Session,
    job: &Job<'_>,
    groups: &[Group<'_>],
    fates: Fates,
    is_strict: bool,
) -> Result<Outcome, Trouble> {
    match session.simply("COMMIT").await {
        Ok(()) => Ok(Outcome::Done(fates)),
        Err(Trouble::Refused(complaint)) if complaint.about() == About::Item && !is_strict => {
            Box::pin(one_by_one(session, job, groups, true)).await
        }
        Err(trouble) => Err(trouble),
    }
}

/// Does all or none, and names the first that cannot be done after those
/// before it.
async fn one_by_one(
    session: &mut Session,
    job: &Job<'_>,
    groups: &[Group<'_>],
    is_strict: bool,
) -> Result<Outcome, Trouble> {
    let begin = if is_strict { BEGIN_STRICTLY } else { BEGIN };
    session
        .simply(begin)
        .await
        .map_err(Trouble::before_commit)?;
    let fates = match within(session, job, groups).await {
        Ok(Outcome::Done(fates)) => fates,
        Ok(culprit) => {
            session
                .simply("ROLLBACK")
                .await
                .map_err(Trouble::before_commit)?;
            return Ok(culprit);
        }
        Err(trouble) => return Err(rolled_back(session, trouble).await),
    };
    committed(session, job, groups, fates, is_strict).await
}

async fn within(
    session: &mut Session,
    job: &Job<'_>,
    groups: &[Group<'_>],
) -> Result<Outcome, Trouble> {
    let by = Instant::now() + job.config.timeout;
    let mut done = Fates::new();
    let mut waiting: Vec<Part<'_>> = parts(groups).rev().collect();
    while let Some(part) = waiting.pop() {
        in_time(by)?;
        let at = part.rows[0].at;
        let is_one = part.rows.len() == 1;
        match tried(session, job, part, None).await {
            Ok(told) => {
                let fates = job.fates(&part, &told);
                if fates.iter().all(|(_, fate)| is_done(fate)) {
                    session.simply(KEEP).await?;
                    done.extend(fates);
                    continue;
                }
                if is_one {
                    return Ok(Outcome::Culprit(at, missing(&job.items[at])));
                }
            }
            Err(Trouble::Refused(complaint)) if complaint.about() == About::Item => {
                if is_one {
                    session.simply(UNDO).await?;
                    let cause = named(session, job, &part, &complaint).await?;
                    return Ok(Outcome::Culprit(at, cause));
                }
            }
            Err(trouble) => return Err(trouble),
        }
        session.simply(UNDO).await?;
        halve(&mut waiting, part);
    }
    Ok(Outcome::Done(done))
}

/// Tries a part under a savepoint.
async fn tried(
    session: &mut Session,
    job: &Job<'_>,
    part: Part<'_>,
    end: Option<&str>,
) -> Result<Vec<Told>, Trouble> {
    let ready = job.ready(session, &[part]).await?;
    let told = session.all(Some(MARK), &ready, end).await?;
    Ok(told.into_iter().flatten().collect())
}

/// The cause of what a single item failed of. Where the server does not say
/// which column it was, each value is tried for its column alone.
async fn named(
    session: &mut Session,
    job: &Job<'_>,
    part: &Part<'_>,
    complaint: &Complaint,
) -> Result<Box<Cause>, Trouble> {
    let mut cause = complaint.cause(job.table());
    let Some(table) = job.table().filter(|_| cause.violations.is_empty()) else {
        return Ok(cause);
    };
    let row = &part.rows[0];
    let columns = part.shape.columns.iter().map(|at| &table.columns[*at]);
    let values = columns
        .zip(&row.values)
        .map(|(column, value)| (format!("payload.{}", column.name), column, value.as_deref()));
    let id = row.id.zip(table.keys.first());
    let id = id.map(|(id, key)| {
        (
            "action.resource_id".to_owned(),
            &table.columns[*key],
            Some(id),
        )
    });
    for (field, column, value) in values.chain(id) {
        let Some(value) = value else { continue };
        let params = Params {
            lists: Vec::new(),
            last: Some(value),
        };
        let ready = session.ready(&sql::probe(column), params, true).await?;
        match session.all(Some(MARK), &[ready], Some(UNDO)).await {
            Err(Trouble::Refused(said)) if said.about() == About::Item => {
                cause.violations.push(Violation {
                    field,
                    description: said.message.clone(),
                });
            }
            Ok(_) | Err(Trouble::Refused(_)) => {}
            Err(trouble) => return Err(trouble),
        }
    }
    Ok(cause)
}

fn parts<'g>(groups: &'g [Group<'g>]) -> impl DoubleEndedIterator<Item = Part<'g>> {
    groups.iter().map(|group| Part {
        shape: &group.shape,
        rows: &group.rows,
    })
}

/// Two halves, the first of which comes next. A single row stays as it is.
fn halve<'p>(waiting: &mut Vec<Part<'p>>, part: Part<'p>) {
    let (first, second) = part.rows.split_at(part.rows.len().div_ceil(2));
    for rows in [second, first] {
        if !rows.is_empty() {
            waiting.push(Part { rows, ..part });
        }
    }
}

fn is_done(fate: &Fate) -> bool {
    matches!(fate, Fate::Done(_) | Fate::Known)
}

/// The locks of what went well so far are not held for longer than a statement
/// may take.
fn in_time(by: Instant) -> Result<(), Trouble> {
    if Instant::now() < by {
        return Ok(());
    }
    Err(Trouble::Refused(Box::new(Complaint {
        state: "57014".to_owned(),
        message: "finding the items at fault took too long, and was given up".to_owned(),
        ..Complaint::default()
    })))
}

/// Ends the transaction, of which nothing is kept.
async fn rolled_back(session: &Session, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Refused(_) => match session.simply("ROLLBACK").await {
            Ok(()) => trouble,
            Err(gone) => gone.before_commit(),
        },
        gone => gone.before_commit(),
    }
}
