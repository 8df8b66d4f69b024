//! The way of a file into a batch: frames are read on a thread of their own,
//! sent, and kept until the server holds them, so that a lost connection costs
//! nothing and memory stays within a few frames.

use std::collections::VecDeque;
use std::io::Read;
use std::thread;

use anyhow::{Context, bail};
use prost::Message as _;
use tokio::sync::mpsc;

use super::source::{self, Shape};
use crate::proto::batch_submit_stream_request::Message;
use crate::proto::{BatchAccepted, BatchAppend, BatchSeal};

/// Items in a frame, at most.
const FRAME_ITEMS: usize = 500;
/// A frame is full once it has so many bytes.
const FRAME_BYTES: usize = 1024 * 1024;
/// Frames that were sent and not yet accepted: enough to keep the server busy
/// while it groups its commits, and the bound on what is held here.
const WINDOW: usize = 16;
/// Frames that were read and not yet sent.
const AHEAD: usize = 2;

/// What is still to be sent of a file.
#[derive(Debug)]
pub struct Upload {
    frames: mpsc::Receiver<anyhow::Result<BatchAppend>>,
    /// Not yet accepted, the oldest first; the first `sent` were sent over
    /// this connection.
    window: VecDeque<BatchAppend>,
    sent: usize,
    /// Items that the server holds.
    held: u32,
    /// Items that were read.
    read: u32,
    at_end: bool,
    seal_sent: bool,
    sealed: bool,
}

impl Upload {
    /// Begins to read.
    pub fn start(input: impl Read + Send + 'static, shape: Shape) -> Upload {
        let (sender, frames) = mpsc::channel(AHEAD);
        // Not a blocking task of the runtime: it would hold up the exit while
        // it waits for a terminal's input.
        thread::spawn(move || {
            if let Err(error) = read_frames(input, &shape, &sender) {
                // Nobody is left to tell when this fails.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Upload {
            frames,
            window: VecDeque::new(),
            sent: 0,
            held: 0,
            read: 0,
            at_end: false,
            seal_sent: false,
            sealed: false,
        }
    }

    /// Waits for the first frame, so that no batch is opened for an input that
    /// has no row or begins with a fault.
    pub async fn first(&mut self) -> anyhow::Result<()> {
        if self.window.is_empty()
            && let Some(frame) = self.frames.recv().await
        {
            let frame = frame?;
            self.read = end(&frame);
            self.window.push_back(frame);
        }
        Ok(())
    }

    /// A new connection: what was not accepted goes again.
    pub fn reconnected(&mut self) {
        self.sent = 0;
        self.seal_sent = false;
    }

    /// Notes what the server holds.
    pub fn accepted(&mut self, accepted: &BatchAccepted) {
        self.held = self.held.max(accepted.items_held);
        if accepted.sealed {
            self.seal();
        }
        while self.window.front().is_some_and(|f| end(f) <= self.held) {
            self.window.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
    }

    /// Notes that the server has the whole batch.
    pub fn seal(&mut self) {
        self.sealed = true;
        self.window.clear();
        self.sent = 0;
    }

    /// Notes that the server takes no more, and what it has.
    pub fn seal_with(&mut self, held: u32) {
        self.held = self.held.max(held);
        self.seal();
    }

    /// Whether all that there was to read is held.
    pub fn is_whole(&self) -> bool {
        self.at_end && self.read <= self.held
    }

    /// Whether the server has the whole batch.
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Items that the server holds.
    pub fn held(&self) -> u32 {
        self.held
    }

    /// The next message to send; waits while there is none, for ever once
    /// there will be none. May be dropped at any time without losing one.
    pub async fn next(&mut self) -> anyhow::Result<Message> {
        loop {
            if self.sealed || self.seal_sent {
                return std::future::pending().await;
            }
            if let Some(frame) = self.window.get(self.sent) {
                self.sent += 1;
                return Ok(Message::Append(frame.clone()));
            }
            if self.at_end {
                self.seal_sent = true;
                return Ok(Message::Seal(BatchSeal {
                    count: Some(self.read),
                }));
            }
            if self.window.len() >= WINDOW {
                return std::future::pending().await;
            }
            match self.frames.recv().await {
                Some(frame) => {
                    let frame = frame?;
                    self.read = end(&frame);
                    if self.read > self.held {
                        self.window.push_back(frame);
                    }
                }
                None => self.at_end = true,
            }
        }
    }
}

/// The index after a frame's last item.
fn end(frame: &BatchAppend) -> u32 {
    let items = u32::try_from(frame.items.len()).unwrap_or(u32::MAX);
    frame.offset.unwrap_or_default().saturating_add(items)
}

fn read_frames(
    input: impl Read,
    shape: &Shape,
    frames: &mpsc::Sender<anyhow::Result<BatchAppend>>,
) -> anyhow::Result<()> {
    let mut frame = BatchAppend {
        items: Vec::new(),
        offset: Some(0),
    };
    let mut bytes = 0;
    let send = |frame: &mut BatchAppend| {
        let next = BatchAppend {
            items: Vec::new(),
            offset: Some(end(frame)),
        };
        frames
            .blocking_send(Ok(std::mem::replace(frame, next)))
            .ok()
            .context("nobody takes the rows any more")
    };
    source::read(input, shape, &mut |row| {
        // With the few bytes that say what and how long it is.
        let size = row.item.encoded_len() + 8;
        if !frame.items.is_empty() && bytes + size > FRAME_BYTES {
            send(&mut frame)?;
            bytes = 0;
        }
        bytes += size;
        frame.items.push(row.item);
        if frame.items.len() == FRAME_ITEMS {
            send(&mut frame)?;
            bytes = 0;
        }
        Ok(())
    })?;
    if !frame.items.is_empty() {
        send(&mut frame)?;
    }
    if frame.offset == Some(0) {
        bail!("there are no rows to submit");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::source::testing::shape;
    use super::*;
    use crate::cli::source::Format;
    use futures_util::FutureExt as _;
    use std::io::Cursor;

    fn upload(rows: usize) -> Upload {
        let text = "{}\n".repeat(rows);
        Upload::start(Cursor::new(text), shape(Format::Jsonl))
    }

    fn accepted(items_held: u32, sealed: bool) -> BatchAccepted {
        BatchAccepted {
            items_held,
            sealed,
            ..BatchAccepted::default()
        }
    }

    async fn append(upload: &mut Upload) -> (u32, usize) {
        match upload.next().await.unwrap() {
            Message::Append(append) => (append.offset.unwrap(), append.items.len()),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn frames_are_bounded_and_carry_their_offset() {
        let mut upload = upload(1_200);
        assert_eq!(append(&mut upload).await, (0, 500));
        assert_eq!(append(&mut upload).await, (500, 500));
        assert_eq!(append(&mut upload).await, (1_000, 200));
        let last = upload.next().await.unwrap();
        assert_eq!(last, Message::Seal(BatchSeal { count: Some(1_200) }));
    }

    #[tokio::test]
    async fn large_items_make_small_frames() {
        let item = format!("{{\"n\":\"{}\"}}\n", "x".repeat(400_000));
        let text = item.repeat(5);
        let mut upload = Upload::start(Cursor::new(text), shape(Format::Jsonl));
        assert_eq!(append(&mut upload).await, (0, 2));
        assert_eq!(append(&mut upload).await, (2, 2));
        assert_eq!(append(&mut upload).await, (4, 1));
    }

    #[tokio::test]
    async fn after_a_reconnect_only_what_was_not_accepted_goes_again() {
        let mut upload = upload(1_200);
        append(&mut upload).await;
        append(&mut upload).await;
        upload.accepted(&accepted(500, false));
        upload.reconnected();
        assert_eq!(append(&mut upload).await, (500, 500));
        assert_eq!(append(&mut upload).await, (1_000, 200));
    }

    #[tokio::test]
    async fn rows_that_the_server_had_before_are_passed_over() {
        let mut upload = upload(1_200);
        upload.accepted(&accepted(700, false));
        // The frame that is held in part goes whole: the server skips what it
        // has, and notices if it differs.
        assert_eq!(append(&mut upload).await, (500, 500));
        assert_eq!(append(&mut upload).await, (1_000, 200));
    }

    #[tokio::test]
    async fn no_more_than_a_window_is_under_way() {
        let mut upload = upload(FRAME_ITEMS * (WINDOW + 4));
        for _ in 0..WINDOW {
            append(&mut upload).await;
        }
        // The reader has more: it is the window that holds it back.
        while upload.frames.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(upload.next().now_or_never().is_none());
        upload.accepted(&accepted(500, false));
        append(&mut upload).await;
    }

    #[tokio::test]
    async fn a_row_that_cannot_be_read_is_told_after_those_before_it() {
        let text = "{}\n{\n";
        let mut upload = Upload::start(Cursor::new(text), shape(Format::Jsonl));
        let error = upload.next().await.unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2: "), "{error:#}");
    }
}
