//! `BatchSubmitStream`: two tasks for a call. One takes in, one tells; neither
//! waits for the other, so a client that does not read results can still
//! submit.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tonic::{Request, Status, Streaming};

use super::follow::{self, Teller};
use super::{Outgoing, Rooms, status, tenant, wire};
use crate::intake::Submission;
use crate::model::{Batch, Code, Refusal, TenantId};
use crate::proto;
use crate::proto::batch_submit_stream_request::Message as Asked;
use crate::proto::batch_submit_stream_response::Message as Answered;

/// How long a stream may take to say `open`: it holds a place among those that
/// are open, which others may need.
const OPEN_WAIT: Duration = Duration::from_secs(30);

type Inbound = Streaming<proto::BatchSubmitStreamRequest>;
type Outbound = follow::Sender<proto::BatchSubmitStreamResponse>;

/// How long a repeat may take, once it was told everything, to finish saying
/// what it has to say.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) fn batch_submit_stream(
    rooms: &Arc<Rooms>,
    request: Request<Inbound>,
) -> Result<Outgoing<proto::BatchSubmitStreamResponse>, Refusal> {
    let place = follow::stream_place(rooms)?;
    let tenant = tenant(&request);
    let inbound = request.into_inner();
    let (sender, receiver) = follow::channel();
    let rooms = rooms.clone();
    // The response goes back at once: a client's call returns only then.
    tokio::spawn(async move {
        let _place = place;
        if let Err(refusal) = session(&rooms, tenant, inbound, &sender).await {
            let _ = sender.send(Err(status::status(&refusal))).await;
        }
    });
    Ok(follow::outgoing(receiver))
}

/// One call, from `open` to its end.
async fn session(
    rooms: &Arc<Rooms>,
    tenant: TenantId,
    mut inbound: Inbound,
    outbound: &Outbound,
) -> Result<(), Refusal> {
    let opened = tokio::select! {
        opened = open(rooms, tenant, &mut inbound) => opened?,
        () = rooms.drain.cancelled() => return Err(status::shutting_down()),
    };
    let Opened {
        submission,
        cursor,
        all_failed_is_ok,
    } = opened;
    let batch = submission.batch().clone();
    let is_repeat = submission.is_repeat();
    let (intake, mut taken) = watch::channel(Taken::of(&batch));
    tokio::spawn(take_in(rooms.clone(), submission, inbound, intake));
    let mut teller = Teller::new(rooms.clone(), batch, cursor);
    if tell(&mut teller, &mut taken, outbound).await? == Told::All && is_repeat {
        said_the_same(&mut taken).await?;
    }
    match teller.all_failed().await? {
        Some(refusal) if !all_failed_is_ok => Err(refusal),
        _ => Ok(()),
    }
}

/// A repeat may be told the whole log before it has said what it has to say;
/// that must still be seen to be the same.
async fn said_the_same(taken: &mut watch::Receiver<Taken>) -> Result<(), Refusal> {
    let said = taken.wait_for(|taken| taken.is_complete || taken.refusal.is_some());
    match timeout(LAST_WORDS, said).await {
        Ok(Ok(taken)) => taken.refusal.clone().map_or(Ok(()), Err),
        // It ended its side without a word, or has nothing to say.
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}

/// What `open` came to.
struct Opened {
    submission: Submission,
    cursor: u64,
    all_failed_is_ok: bool,
}

async fn open(rooms: &Rooms, tenant: TenantId, inbound: &mut Inbound) -> Result<Opened, Refusal> {
    use proto::batch_open::How;
    let first = timeout(OPEN_WAIT, inbound.message());
    let open = match first.await.map_err(|_| not_open())? {
        Ok(Some(request)) => match request.message {
            Some(Asked::Open(open)) => open,
            Some(Asked::Append(_) | Asked::Seal(_)) | None => return Err(not_open()),
        },
        Ok(None) => return Err(not_open()),
        Err(broken) => return Err(unreadable(&broken)),
    };
    let all_failed_is_ok = open.all_failed_is_ok;
    let (submission, cursor) = match open.how {
        Some(How::Spec(spec)) => {
            let spec = wire::spec(Some(spec))?;
            (rooms.intake.open(tenant, spec).await?, 0)
        }
        Some(How::Resume(resume)) => {
            let batch = rooms.batch(&tenant, &resume.batch_id).await?;
            follow::check_cursor(&batch, resume.cursor)?;
            (rooms.intake.resume(batch)?, resume.cursor)
        }
        None => {
            let message = "open says neither `spec` nor `resume`; give one of them";
            return Err(Refusal::new(Code::InvalidArgument, "INVALID_SPEC", message)
                .field("open", "needs spec or resume"));
        }
    };
    Ok(Opened {
        submission,
        cursor,
        all_failed_is_ok,
    })
}

/// What has been taken in so far, for the task that tells.
#[derive(Clone, Debug)]
struct Taken {
    batch: String,
    held: u32,
    sealed: bool,
    /// The client has said all, and it was right.
    is_complete: bool,
    /// Why no more is taken in.
    refusal: Option<Refusal>,
}

impl Taken {
    fn of(batch: &Batch) -> Taken {
        Taken {
            batch: batch.id.to_string(),
            held: batch.progress.counts.total,
            sealed: batch.sealed_by.is_some(),
            is_complete: false,
            refusal: None,
        }
    }
}

/// Takes in what the client sends until it ends its side. Runs to its end even
/// if the client goes away: what is on its way to the disk the lane must hear
/// of.
async fn take_in(
    rooms: Arc<Rooms>,
    mut submission: Submission,
    mut inbound: Inbound,
    taken: watch::Sender<Taken>,
) {
    let ended = take_messages(&rooms, &mut submission, &mut inbound, &taken).await;
    // Whatever ended it, what came before is kept.
    submission.flush();
    let kept = loop {
        match submission.committed().await {
            Ok(Some(batch)) => publish(&taken, batch),
            Ok(None) => break Ok(()),
            Err(refusal) => break Err(refusal),
        }
    };
    let ended = ended.and(kept);
    let ended = ended.and_then(|()| match submission.is_sealed() {
        true => Ok(()),
        false => Err(not_sealed(submission.batch())),
    });
    if let Err(refusal) = ended {
        taken.send_modify(|taken| taken.refusal = Some(refusal));
    }
}

async fn take_messages(
    rooms: &Rooms,
    submission: &mut Submission,
    inbound: &mut Inbound,
    taken: &watch::Sender<Taken>,
) -> Result<(), Refusal> {
    loop {
        let flush_due = submission.flush_due();
        let message = tokio::select! {
            () = rooms.drain.cancelled() => return Err(status::shutting_down()),
            // The call has ended, and its place is another's.
            () = taken.closed() => return Ok(()),
            committed = submission.committed(), if submission.is_committing() => {
                committed?;
                publish(taken, submission.batch());
                continue;
            }
            () = async { if let Some(due) = flush_due { sleep_until(due).await } },
                if flush_due.is_some() => {
                submission.flush();
                continue;
            }
            message = inbound.message(), if submission.has_room() => message,
        };
        match message {
            Ok(Some(request)) => {
                let seals = matches!(request.message, Some(Asked::Seal(_)));
                take(submission, request).await?;
                if seals {
                    taken.send_modify(|taken| taken.is_complete = true);
                }
            }
            Ok(None) => return Ok(()),
            Err(broken) => return Err(unreadable(&broken)),
        }
        // An append that had to compare with what is held has seen commits.
        publish(taken, submission.batch());
    }
}

async fn take(
    submission: &mut Submission,
    request: proto::BatchSubmitStreamRequest,
) -> Result<(), Refusal> {
    match request.message {
        Some(Asked::Append(append)) => {
            let bytes = append.encoded_len();
            let drafts = wire::drafts(append.items);
            submission.append(drafts, append.offset, bytes).await
        }
        Some(Asked::Seal(seal)) => submission.seal(seal.count),
        Some(Asked::Open(_)) => Err(Refusal::new(
            Code::FailedPrecondition,
            "ALREADY_OPEN",
            "this stream has its batch already; open another stream for another one",
        )),
        None => Err(Refusal::new(
            Code::InvalidArgument,
            "INVALID_MESSAGE",
            "the message is none of open, append and seal",
        )),
    }
}

/// Publishes what is held, if that has changed.
fn publish(taken: &watch::Sender<Taken>, batch: &Batch) {
    let now = Taken::of(batch);
    taken.send_if_modified(|taken| {
        let changed = (taken.held, taken.sealed) != (now.held, now.sealed);
        if changed {
            taken.held = now.held;
            taken.sealed = now.sealed;
        }
        changed
    });
}

/// How far the telling came.
#[derive(PartialEq, Eq)]
enum Told {
    /// To the end of the log.
    All,
    /// Until the client had gone.
    Some,
}

/// Tells what is accepted and what is recorded, until the batch has finished,
/// the taking in was refused, or the client has gone.
async fn tell(
    teller: &mut Teller,
    taken: &mut watch::Receiver<Taken>,
    outbound: &Outbound,
) -> Result<Told, Refusal> {
    let drain = teller.drain();
    let mut last_said = None;
    let mut taking = true;
    loop {
        // Before anything else at first: it has the batch's id.
        if taking {
            let now = taken.borrow_and_update().clone();
            let (said, refusal) = ((now.held, now.sealed), now.refusal.clone());
            if last_said.replace(said) != Some(said)
                && !send(outbound, Answered::Accepted(accepted(now, teller))).await
            {
                return Ok(Told::Some);
            }
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
        }
        let message = tokio::select! {
            () = drain.cancelled() => return Err(status::shutting_down()),
            () = outbound.closed() => return Ok(Told::Some),
            changed = taken.changed(), if taking => {
                // Without a sender, what was said is the last word.
                taking = changed.is_ok();
                continue;
            }
            told = teller.next() => match told? {
                Some(follow::Told::Event(event)) => Answered::Event(*event),
                Some(follow::Told::Heartbeat(beat)) => Answered::Heartbeat(beat),
                None => return Ok(Told::All),
            },
        };
        if !send(outbound, message).await {
            return Ok(Told::Some);
        }
    }
}

async fn send(outbound: &Outbound, message: Answered) -> bool {
    let message = proto::BatchSubmitStreamResponse {
        message: Some(message),
    };
    outbound.send(Ok(message)).await.is_ok()
}

fn accepted(taken: Taken, teller: &Teller) -> proto::BatchAccepted {
    let limits = teller.limits();
    let bytes = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    proto::BatchAccepted {
        batch_id: taken.batch,
        items_held: taken.held,
        sealed: taken.sealed,
        limits: Some(proto::SubmitLimits {
            max_items: limits.batch_items,
            max_message_bytes: bytes(limits.message_bytes),
            max_item_bytes: bytes(limits.item_bytes),
        }),
    }
}

fn not_open() -> Refusal {
    Refusal::new(
        Code::FailedPrecondition,
        "NOT_OPEN",
        "the first message of the stream has to be `open`, within 30 s",
    )
}

fn not_sealed(batch: &Batch) -> Refusal {
    let held = batch.progress.counts.total;
    Refusal::new(
        Code::FailedPrecondition,
        "NOT_SEALED",
        format!(
            "the stream ended without `seal`; batch {} is open and holds {held} items: resume it, \
             append the rest and seal it",
            batch.id
        ),
    )
    .with("batch_id", batch.id)
    .with("items_held", held)
}

/// A message that tonic could not read, or a connection that broke.
fn unreadable(broken: &Status) -> Refusal {
    status::mend(broken)
        .unwrap_or_else(|| Refusal::new(Code::Unavailable, "CONNECTION_LOST", broken.message()))
}

#[cfg(test)]
mod tests;
