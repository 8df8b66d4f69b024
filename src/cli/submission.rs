//! A submission under way: rows go up while results come down, over as many
//! connections as it takes.

use std::io::Write as _;

use anyhow::{anyhow, bail};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::follow::{Ended, Live, Stop, Tries, ask, conclude, ended_early, quiet};
use super::handover::Handover;
use super::plan::Plan;
use super::record::{self, Recorder};
use super::source::{self, Lines};
use super::stops::Deadline;
use super::submit::Args;
use super::tally::Tally;
use super::upload::Upload;
use super::view::View;
use super::{Ending, Problem, Session, problem, show};
use crate::proto::batch_service_client::BatchServiceClient;
use crate::proto::batch_submit_stream_request::Message as Say;
use crate::proto::batch_submit_stream_response::Message as Hear;
use crate::proto::{
    Atomicity, BatchAccepted, BatchOpen, BatchResume, BatchSpec, BatchSubmitStreamRequest,
    CancelBatchRequest, Ordering, batch_open::How,
};

/// A submission under way.
pub struct Submission {
    args: Args,
    request_id: String,
    upload: Upload,
    live: Live,
    /// The rows of the file, where they were counted.
    rows: Option<u32>,
    /// From the first `accepted` on.
    batch_id: Option<String>,
    /// The batch was sealed before this began.
    found_sealed: bool,
    tries: Tries,
}

impl Submission {
    /// Opens the files and begins to read; nothing is sent yet.
    pub fn begin(args: Args, plan: Plan, session: &Session) -> anyhow::Result<Submission> {
        let Plan {
            shape,
            request_id,
            checked,
        } = plan;
        let format = Some(shape.format);
        let total = checked.as_ref().map(|checked| checked.count);
        let upload = if checked.is_some() {
            Upload::start(source::open(&args.file)?, shape)
        } else {
            Upload::start(std::io::stdin(), shape)
        };
        let (lines, columns) = match checked {
            Some(checked) => (checked.lines, checked.columns),
            None => (Lines::default(), None),
        };
        let recorder = match &args.results {
            None => None,
            Some(path) => {
                let form = record::form_of(path)?;
                Some(Recorder::new(record::create(path)?, form, columns)?)
            }
        };
        Ok(Submission {
            live: Live {
                tally: Tally::new(0, args.shown.rows()),
                view: View::new(session),
                total,
                recorder,
                lines,
                format,
            },
            args,
            request_id,
            upload,
            rows: total,
            batch_id: None,
            found_sealed: false,
            tries: Tries::default(),
        })
    }

    /// Talks to the server, over as many connections as it takes: the channel
    /// makes a new one for the next call after one was lost.
    pub async fn run(
        &mut self,
        client: &mut BatchServiceClient<Channel>,
        stop: &mut Stop,
    ) -> anyhow::Result<Ended> {
        tokio::select! {
            first = self.upload.first() => first?,
            () = stop.pressed() => return Ok(Ended::Interrupted),
        }
        loop {
            let lost = match self.converse(client, stop).await? {
                Ended::Broken(lost) => lost,
                ended => return Ok(ended),
            };
            // Its policy or deadline stopped it, or somebody cancelled it: what
            // it holds is followed to its end.
            let is_cut = problem::reason(&lost).as_deref() == Some("BATCH_SEALED");
            if is_cut && !self.upload.is_sealed() {
                self.look(client).await;
            }
            if !(is_cut && self.upload.is_sealed())
                && let Err(ended) = self.tries.wait(lost, &self.live.view, stop).await
            {
                return Ok(ended);
            }
            self.upload.reconnected();
        }
    }

    /// One connection: sends and listens at the same time.
    async fn converse(
        &mut self,
        client: &mut BatchServiceClient<Channel>,
        stop: &mut Stop,
    ) -> anyhow::Result<Ended> {
        // One message ahead: the window in `upload` is the buffer.
        let (outbound, requests) = mpsc::channel(1);
        outbound.send(message(Say::Open(self.open()))).await?;
        let opened = tokio::select! {
            opened = client.batch_submit_stream(ReceiverStream::new(requests)) => opened,
            () = stop.pressed() => return Ok(Ended::Interrupted),
        };
        let mut answers = match opened {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(Ended::Broken(status)),
        };
        // Nothing is sent before the first `accepted`: it says what is held.
        let mut attached = false;
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                answer = answers.message() => {
                    let answer = match answer {
                        Ok(Some(answer)) => answer.message,
                        Ok(None) => return Ok(Ended::Broken(ended_early())),
                        Err(status) => return Ok(Ended::Broken(status)),
                    };
                    attached = true;
                    if let Some(ended) = self.heard(answer, client).await? {
                        return Ok(ended);
                    }
                }
                sent = send_next(&mut self.upload, &outbound, self.live.total), if attached => {
                    sent?;
                    continue;
                }
                () = quiet(heard_at), if attached => self.look(client).await,
                () = stop.pressed() => return Ok(Ended::Interrupted),
            }
            if self.args.detach && self.upload.is_sealed() {
                return Ok(Ended::Detached);
            }
            heard_at = Instant::now();
        }
    }

    /// How this connection begins: with the batch, once it is known which.
    fn open(&self) -> BatchOpen {
        let how = match &self.batch_id {
            Some(batch_id) => How::Resume(BatchResume {
                batch_id: batch_id.clone(),
                cursor: self.live.tally.cursor,
            }),
            None => How::Spec(BatchSpec {
                target: self.args.target.clone(),
                request_id: self.request_id.clone(),
                labels: self.args.labels.iter().cloned().collect(),
                ordering: match self.args.stops.ordered {
                    true => Ordering::Strict.into(),
                    false => Ordering::Parallel.into(),
                },
                atomicity: match self.args.stops.all_or_nothing {
                    true => Atomicity::AllOrNothing.into(),
                    false => Atomicity::Each.into(),
                },
                deadline: self.args.stops.deadline.map(Deadline::timestamp),
                failure_policy: self.args.stops.policy(),
                ..BatchSpec::default()
            }),
        };
        BatchOpen {
            how: Some(how),
            // Told in the report, not as an error of the call.
            all_failed_is_ok: true,
        }
    }

    /// Handles a message.
    async fn heard(
        &mut self,
        message: Option<Hear>,
        client: &mut BatchServiceClient<Channel>,
    ) -> anyhow::Result<Option<Ended>> {
        match message {
            Some(Hear::Accepted(accepted)) => {
                if self.batch_id.is_none() {
                    self.attached(&accepted, client).await?;
                }
                // Only what is new ends a row of tries: a server may take the
                // call each time and then refuse what comes.
                if accepted.items_held > self.upload.held() {
                    self.tries.heard();
                }
                self.upload.accepted(&accepted);
            }
            Some(Hear::Event(event)) => {
                self.tries.heard();
                return Ok(self.live.event(&event)?.then_some(Ended::Finished));
            }
            Some(Hear::Heartbeat(heartbeat)) => self.live.heartbeat(heartbeat),
            None => {}
        }
        Ok(None)
    }

    /// The first word on this batch: a new one, or one from an earlier run.
    async fn attached(
        &mut self,
        accepted: &BatchAccepted,
        client: &mut BatchServiceClient<Channel>,
    ) -> anyhow::Result<()> {
        let id = &accepted.batch_id;
        self.batch_id = Some(id.clone());
        let most = accepted
            .limits
            .as_ref()
            .map_or(0, |limits| limits.max_items);
        match self.live.total {
            Some(total) if most > 0 && total > most => {
                let request = CancelBatchRequest {
                    batch_id: id.clone(),
                };
                client.cancel_batch(request).await.map_err(Problem::from)?;
                bail!(
                    "the file has {}, and a batch takes at most {most}: split it; nothing was sent",
                    show::count(total, "row")
                );
            }
            _ => {}
        }
        if accepted.sealed {
            self.found_sealed = true;
            self.live.total = Some(accepted.items_held);
        }
        let said = Handover {
            held: accepted.items_held,
            ..self.handover(id)
        };
        self.live.view.note(&said.begins(accepted.sealed));
        Ok(())
    }

    fn handover<'a>(&'a self, batch_id: &'a str) -> Handover<'a> {
        Handover {
            args: &self.args,
            batch_id,
            rows: self.rows,
            held: self.upload.held(),
        }
    }

    /// Looks how things stand while nothing is heard.
    async fn look(&mut self, client: &mut BatchServiceClient<Channel>) {
        let Some(batch_id) = &self.batch_id else {
            return;
        };
        if let Some(batch) = ask(client, batch_id).await {
            let progress = batch.progress;
            if batch.sealed {
                let held = progress.as_ref().map_or(0, |progress| progress.total);
                self.live.total = Some(held);
                self.upload.seal_with(held);
            }
            if let Some(progress) = progress {
                self.live.figures(progress);
            }
        }
    }

    /// What is said at the end, and how it counts.
    pub fn conclude(
        mut self,
        ended: anyhow::Result<Ended>,
        session: &Session,
    ) -> anyhow::Result<Ending> {
        let Some(batch_id) = self.batch_id.clone() else {
            // Nothing came of it on the server, as far as is known.
            if let Ended::Broken(status) = ended? {
                return Err(Problem::of(&status).into());
            }
            eprintln!("stopped before anything was known to be submitted");
            return Ok(Ending::Interrupted);
        };
        if self.upload.is_sealed() || matches!(ended, Ok(Ended::Finished)) {
            return self.handed_in(&batch_id, ended?, session);
        }
        self.live.leave()?;
        let unfinished = self.handover(&batch_id).unfinished(&self.request_id);
        match ended {
            Ok(Ended::Broken(status)) => Err(anyhow!("{}\n  {unfinished}", Problem::of(&status))),
            Ok(_) => {
                eprintln!("{unfinished}");
                Ok(Ending::Interrupted)
            }
            Err(error) => Err(anyhow!("{error:#}\n  {unfinished}")),
        }
    }

    /// What is said at the end of a batch that takes no more.
    fn handed_in(
        mut self,
        batch_id: &str,
        ended: Ended,
        session: &Session,
    ) -> anyhow::Result<Ending> {
        if let Some(batch) = &self.live.tally.finished {
            let held = batch.progress.as_ref().map_or(0, |progress| progress.total);
            self.upload.seal_with(held);
        }
        let handover = self.handover(batch_id);
        let left_out = self
            .is_left_out()
            .then(|| handover.left_out(&self.live.lines));
        let ended = match ended {
            // It may be stopped and over before all was read.
            Ended::Finished if self.args.detach => Ended::Detached,
            ended => ended,
        };
        if matches!(ended, Ended::Detached) {
            self.live.view.end();
            writeln!(std::io::stdout(), "{batch_id}")?;
        }
        let ending = conclude(ended, batch_id, self.live, session)?;
        let Some(left_out) = left_out else {
            return Ok(ending);
        };
        eprintln!("{left_out}");
        Ok(match ending {
            Ending::Succeeded | Ending::Detached => Ending::Incomplete,
            other => other,
        })
    }

    /// Whether the batch was sealed before all of the file was in it: by its
    /// policy or deadline, by the server, or by somebody else.
    fn is_left_out(&self) -> bool {
        match self.rows {
            Some(rows) => self.upload.is_sealed() && self.upload.held() < rows,
            // What would have come from stdin this time is not known.
            None => self.upload.is_sealed() && !self.found_sealed && !self.upload.is_whole(),
        }
    }
}

fn message(message: Say) -> BatchSubmitStreamRequest {
    BatchSubmitStreamRequest {
        message: Some(message),
    }
}

/// Sends the next message, once there is room for it. May be dropped at any
/// time: room is taken before the message is.
async fn send_next(
    upload: &mut Upload,
    outbound: &mpsc::Sender<BatchSubmitStreamRequest>,
    expected: Option<u32>,
) -> anyhow::Result<()> {
    let Ok(room) = outbound.reserve().await else {
        // The call is over; the answers say why.
        return std::future::pending().await;
    };
    let next = upload.next().await?;
    if let (Say::Seal(seal), Some(expected)) = (&next, expected)
        && seal.count != Some(expected)
    {
        bail!("the file was changed while it was read");
    }
    room.send(message(next));
    Ok(())
}
