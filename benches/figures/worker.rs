//! Processes of the bench's own: whatever is not the server under test runs in
//! one, so that nothing shares its runtime, its allocator or its locks.
//!
//! A worker is this same program, started with its role as JSON. It says one
//! line when it is ready; then it answers each line that it is asked with one
//! line, and ends when nobody asks any more.

use std::process::Stdio;

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::roles::Role;

/// What tells this program, as its first argument, that it is a worker.
pub const WORKER: &str = "--worker";

/// A worker's first line.
#[derive(Serialize, Deserialize)]
pub struct Ready {
    /// Where it listens, if it does.
    pub port: u16,
}

/// A worker, seen from the bench. Dropping it kills it.
pub struct Worker {
    child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Where it listens, if it does.
    pub port: u16,
}

impl Worker {
    /// Starts one, and waits until it is ready.
    pub async fn start(role: &Role) -> anyhow::Result<Worker> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(WORKER)
            .arg(serde_json::to_string(role)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("a worker does not start")?;
        let questions = child.stdin.take().context("no stdin")?;
        let answers = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let mut worker = Worker {
            child,
            questions,
            answers,
            port: 0,
        };
        worker.port = worker.answer::<Ready>().await?.port;
        Ok(worker)
    }

    /// Its process.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().context("a worker ended")
    }

    /// Asks, and waits for the answer.
    pub async fn ask<A: DeserializeOwned>(
        &mut self,
        question: &impl Serialize,
    ) -> anyhow::Result<A> {
        self.tell(question).await?;
        self.answer().await
    }

    /// Asks; the answer is for [`answer`](Self::answer).
    pub async fn tell(&mut self, question: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(question)?;
        line.push(b'\n');
        self.questions.write_all(&line).await?;
        Ok(())
    }

    /// Waits for the answer to what was asked first and not answered yet.
    pub async fn answer<A: DeserializeOwned>(&mut self) -> anyhow::Result<A> {
        match self.answers.next_line().await? {
            Some(line) => {
                let answer: Result<A, String> =
                    serde_json::from_str(&line).with_context(|| line.clone())?;
                answer.map_err(anyhow::Error::msg)
            }
            None => bail!("a worker ended: {}", self.child.wait().await?),
        }
    }
}

/// The other end: what a role reads its questions from and answers to.
pub struct Asked {
    lines: Lines<BufReader<tokio::io::Stdin>>,
}

impl Asked {
    /// Says that the role is ready.
    pub async fn ready(port: u16) -> anyhow::Result<Asked> {
        say(&Ok(Ready { port })).await?;
        Ok(Asked {
            lines: BufReader::new(tokio::io::stdin()).lines(),
        })
    }

    /// The next question; `None` when there will be no more.
    pub async fn next<Q: DeserializeOwned>(&mut self) -> anyhow::Result<Option<Q>> {
        let line = self.lines.next_line().await?;
        Ok(line
            .map(|line: String| serde_json::from_str(&line))
            .transpose()?)
    }

    /// Answers the last question, with what came of it.
    pub async fn answer(&mut self, answer: anyhow::Result<impl Serialize>) -> anyhow::Result<()> {
        say(&answer.map_err(|error| format!("{error:#}"))).await
    }
}

async fn say(what: &Result<impl Serialize, String>) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    let mut out = tokio::io::stdout();
    out.write_all(&line).await?;
    out.flush().await?;
    Ok(())
}
