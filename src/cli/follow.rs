//! Following a batch to its end, over as many connections as that takes.

use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::record::Recorder;
use super::report::{Page, ending, report};
use super::source::{Format, Lines};
use super::tally::Tally;
use super::terminal::{self, Paint};
use super::view::View;
use super::{Ending, Problem, Session, problem};
use crate::proto::batch_service_client::BatchServiceClient;
use crate::proto::{
    Batch, BatchEvent, GetBatchRequest, Heartbeat, Progress, WatchBatchRequest, batch_event,
    watch_batch_response::Message,
};

/// When nothing has been heard for so long the figures are asked for: what the
/// batch waits for is not in its log.
const QUIET: Duration = Duration::from_secs(2);
/// Tries in a row to get a lost connection back, before giving up.
const TRIES: u32 = 6;
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// How a conversation with the server came to an end.
#[derive(Debug)]
pub enum Ended {
    /// The batch has finished.
    Finished,
    /// All was handed in, and no more was asked for.
    Detached,
    /// Ctrl-C.
    Interrupted,
    /// The connection broke, or the call was refused.
    Broken(Status),
}

/// What is known of a batch and where it is shown.
#[derive(Debug)]
pub struct Live {
    /// What its events add up to.
    pub tally: Tally,
    /// The screen.
    pub view: View,
    /// How many items there will be, where that is known.
    pub total: Option<u32>,
    /// Where results are written.
    pub recorder: Option<Recorder>,
    /// The lines of the file that the items came from.
    pub lines: Lines,
    /// How that file was written, where there is one.
    pub format: Option<Format>,
}

impl Live {
    /// Takes the next event of the log; true once it is the last.
    pub fn event(&mut self, event: &BatchEvent) -> anyhow::Result<bool> {
        if event.sequence > self.tally.cursor
            && let (Some(recorder), Some(batch_event::Kind::Results(results))) =
                (&mut self.recorder, &event.kind)
        {
            for result in &results.results {
                recorder.add(result).context("cannot write the results")?;
            }
        }
        self.tally.event(event);
        self.view.show(&self.tally, self.total());
        Ok(self.tally.finished.is_some())
    }

    /// Takes live figures.
    pub fn heartbeat(&mut self, heartbeat: Heartbeat) {
        if let Some(progress) = heartbeat.progress {
            self.figures(progress);
        }
    }

    /// Takes live figures.
    pub fn figures(&mut self, progress: Progress) {
        self.tally.progress = progress;
        self.view.show(&self.tally, self.total());
    }

    fn total(&self) -> Option<u32> {
        self.total
            .or(Some(self.tally.progress.total).filter(|total| *total > 0))
    }

    /// Prints the report on a batch that has finished.
    pub fn finish(mut self, session: &Session) -> anyhow::Result<Ending> {
        self.view.end();
        if let Some(recorder) = &mut self.recorder {
            recorder.flush().context("cannot write the results")?;
        }
        let batch = self.tally.finished.take().context("it has not finished")?;
        let page = Page {
            width: terminal::width(),
            paint: Paint::stdout(session.color),
            failed_file: match self.format {
                Some(Format::Csv) => "failed.csv",
                _ => "failed.jsonl",
            },
        };
        let text = report(&self.tally, &batch, &self.lines, page);
        std::io::stdout().write_all(text.as_bytes())?;
        Ok(ending(&batch))
    }

    /// Keeps what was written so far when the end is not awaited.
    pub fn leave(&mut self) -> anyhow::Result<()> {
        self.view.end();
        match &mut self.recorder {
            Some(recorder) => recorder.flush().context("cannot write the results"),
            None => Ok(()),
        }
    }
}

/// Ctrl-C, once.
pub struct Stop(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Stop {
    /// From now on Ctrl-C does not end the process by itself.
    pub fn on_ctrl_c() -> Stop {
        Stop(Box::pin(async {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        }))
    }

    /// Waits for it. Not to be asked again after that.
    pub async fn pressed(&mut self) {
        (&mut self.0).await;
    }
}

/// The tries to get a lost connection back.
#[derive(Debug, Default)]
pub struct Tries(u32);

impl Tries {
    /// Something was heard: the next loss is a new one.
    pub fn heard(&mut self) {
        self.0 = 0;
    }

    /// How long to wait before the next try; none when it is time to give up.
    pub fn next(&mut self, lost: &Status) -> Option<Duration> {
        if self.0 >= TRIES || !problem::is_passing(lost) {
            return None;
        }
        let doubled = FIRST_DELAY * (1 << self.0);
        self.0 += 1;
        let asked = problem::retry_delay(lost).unwrap_or_default();
        Some(doubled.max(asked).min(LONGEST_DELAY))
    }

    /// Waits for the next try. Otherwise the reason to give up, or Ctrl-C.
    pub async fn wait(&mut self, lost: Status, view: &View, stop: &mut Stop) -> Result<(), Ended> {
        let Some(delay) = self.next(&lost) else {
            return Err(Ended::Broken(lost));
        };
        if self.0 == 1 {
            let why = match lost.code() {
                Code::ResourceExhausted => "the server is busy",
                _ => "the connection was lost",
            };
            view.note(&format!("{why}; trying again"));
        }
        tokio::select! {
            () = sleep(delay) => Ok(()),
            () = stop.pressed() => Err(Ended::Interrupted),
        }
    }
}

/// When to ask for figures, unless something is heard before.
pub async fn quiet(since: Instant) {
    sleep_until(since + QUIET).await;
}

/// The batch as it stands, where the server says so soon.
pub async fn ask(client: &mut BatchServiceClient<Channel>, batch_id: &str) -> Option<Batch> {
    let request = GetBatchRequest {
        batch_id: batch_id.to_owned(),
    };
    let answer = timeout(QUIET, client.get_batch(request)).await.ok()?;
    answer.ok()?.into_inner().batch
}

/// Follows a batch from the cursor to its end.
pub async fn follow(
    session: &Session,
    batch_id: &str,
    live: &mut Live,
    stop: &mut Stop,
) -> anyhow::Result<Ended> {
    let mut tries = Tries::default();
    // The channel makes a new connection for the next call after one was lost.
    let mut client = session.server.batches().await?;
    loop {
        let lost = match watch(&mut client, batch_id, live, &mut tries, stop).await? {
            Ended::Broken(lost) => lost,
            ended => return Ok(ended),
        };
        if let Err(ended) = tries.wait(lost, &live.view, stop).await {
            return Ok(ended);
        }
    }
}

async fn watch(
    client: &mut BatchServiceClient<Channel>,
    batch_id: &str,
    live: &mut Live,
    tries: &mut Tries,
    stop: &mut Stop,
) -> anyhow::Result<Ended> {
    let request = WatchBatchRequest {
        batch_id: batch_id.to_owned(),
        cursor: live.tally.cursor,
        summary_only: false,
    };
    let opened = tokio::select! {
        opened = client.watch_batch(request) => opened,
        () = stop.pressed() => return Ok(Ended::Interrupted),
    };
    let mut events = match opened {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(Ended::Broken(status)),
    };
    let mut heard_at = Instant::now();
    loop {
        tokio::select! {
            message = events.message() => match message {
                Ok(Some(message)) => {
                    tries.heard();
                    match message.message {
                        Some(Message::Event(event)) if live.event(&event)? => {
                            return Ok(Ended::Finished);
                        }
                        Some(Message::Heartbeat(heartbeat)) => live.heartbeat(heartbeat),
                        Some(Message::Event(_)) | None => {}
                    }
                }
                Ok(None) => return Ok(Ended::Broken(ended_early())),
                Err(status) => return Ok(Ended::Broken(status)),
            },
            () = quiet(heard_at) => {
                if let Some(progress) = ask(client, batch_id).await.and_then(|b| b.progress) {
                    live.figures(progress);
                }
            }
            () = stop.pressed() => return Ok(Ended::Interrupted),
        }
        heard_at = Instant::now();
    }
}

/// The server ended a stream before the batch's last event.
pub fn ended_early() -> Status {
    Status::unavailable("the stream ended early")
}

/// Comes to the end of following: the report, or what to do next.
pub fn conclude(
    ended: Ended,
    batch_id: &str,
    mut live: Live,
    session: &Session,
) -> anyhow::Result<Ending> {
    match ended {
        Ended::Finished => live.finish(session),
        Ended::Detached => Ok(Ending::Detached),
        Ended::Interrupted => {
            live.leave()?;
            eprintln!("{}", goes_on(batch_id));
            Ok(Ending::Interrupted)
        }
        Ended::Broken(status) => {
            live.leave()?;
            let problem = Problem::of(&status);
            Err(anyhow!(if problem::is_passing(&status) {
                problem.advise(format!(
                    "batch {batch_id} goes on; `flowgate watch {batch_id}` follows it"
                ))
            } else {
                problem
            }))
        }
    }
}

/// What to tell someone who stops following.
pub fn goes_on(batch_id: &str) -> String {
    format!(
        "batch {batch_id} goes on\n  to follow it:  flowgate watch {batch_id}\n  \
         to hold it:    flowgate pause {batch_id}\n  \
         to stop it:    flowgate cancel {batch_id}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_end_and_begin_anew_once_something_was_heard() {
        let lost = Status::unavailable("gone");
        let mut tries = Tries::default();
        let delays: Vec<_> = std::iter::from_fn(|| tries.next(&lost)).collect();
        assert_eq!(delays.len(), TRIES as usize);
        assert_eq!(delays[0], FIRST_DELAY);
        assert!(delays.is_sorted());
        tries.heard();
        assert_eq!(tries.next(&lost), Some(FIRST_DELAY));
    }

    #[test]
    fn a_refusal_is_not_tried_again() {
        assert_eq!(Tries::default().next(&Status::not_found("no")), None);
    }
}
