//! A batch while it runs: a bar on a terminal, plain lines elsewhere, or
//! nothing. On stderr, so that stdout has only what was asked for.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::tally::Tally;
use super::{Session, show};

/// Plain lines come at each tenth of the way, but no faster than this...
const PLAIN_FASTEST: Duration = Duration::from_secs(1);
/// ...and where less happens, at this pace.
const PLAIN_SLOWEST: Duration = Duration::from_secs(10);
const FRAME: Duration = Duration::from_millis(100);

/// Shows how far a batch has come.
#[derive(Debug)]
pub enum View {
    /// For a terminal.
    Bar(ProgressBar),
    /// For a log.
    Plain(Plain),
    /// For nobody.
    Quiet,
}

impl View {
    /// What suits the session's stderr.
    pub fn new(session: &Session) -> View {
        if session.quiet {
            View::Quiet
        } else if std::io::stderr().is_terminal() {
            View::Bar(bar(session.color))
        } else {
            View::Plain(Plain::default())
        }
    }

    /// Says something in passing.
    pub fn note(&self, text: &str) {
        match self {
            View::Bar(bar) => bar.suspend(|| eprintln!("{text}")),
            View::Plain(_) => eprintln!("{text}"),
            View::Quiet => {}
        }
    }

    /// Shows how things stand. `total` is how many items there will be, where
    /// that is known.
    pub fn show(&mut self, tally: &Tally, total: Option<u32>) {
        let figures = Figures::of(tally, total);
        match self {
            View::Bar(bar) => {
                match figures.total {
                    Some(total) => bar.set_length(u64::from(total)),
                    None => bar.unset_length(),
                }
                bar.set_position(u64::from(figures.completed()));
                bar.set_prefix(figures.pace());
                bar.set_message(figures.details());
            }
            View::Plain(plain) => {
                if plain.is_due(&figures, Instant::now()) {
                    eprintln!("{}", figures.line());
                }
            }
            View::Quiet => {}
        }
    }

    /// Takes the bar off the screen.
    pub fn end(&self) {
        if let View::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.end();
    }
}

fn bar(color: bool) -> ProgressBar {
    let template = if color {
        "{wide_bar:.green/dim} {pos}/{len}  {prefix}\n{wide_msg}"
    } else {
        "{wide_bar} {pos}/{len}  {prefix}\n{wide_msg}"
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    let bar = ProgressBar::no_length().with_style(style);
    bar.enable_steady_tick(FRAME);
    bar
}

/// What there is to show.
#[derive(Clone, Debug, Default)]
struct Figures {
    total: Option<u32>,
    succeeded: u32,
    failed: u32,
    rate: f64,
    left: Option<Duration>,
    waiting: Option<String>,
}

impl Figures {
    fn of(tally: &Tally, total: Option<u32>) -> Figures {
        let progress = &tally.progress;
        let (succeeded, failed) = (tally.succeeded_now(), tally.failed_now());
        // While it waits, the rate so far says nothing of it.
        let rate = match progress.waiting {
            None => progress.items_per_second,
            Some(_) => 0.0,
        };
        let remaining = total.map(|total| total.saturating_sub(succeeded + failed));
        // Measured against the whole file, not only what has been uploaded.
        let left = match remaining {
            Some(remaining) if rate > 0.0 => {
                Duration::try_from_secs_f64(f64::from(remaining) / rate).ok()
            }
            _ => None,
        };
        let waiting = progress.waiting.as_ref().map(|waiting| {
            let reason = super::terminal::clean(&waiting.reason);
            match waiting.until.as_ref().and_then(show::until) {
                Some(until) if !until.is_zero() => {
                    format!(" for {} more: {reason}", show::duration(until))
                }
                _ => format!(": {reason}"),
            }
        });
        Figures {
            total,
            succeeded,
            failed,
            rate,
            left,
            waiting,
        }
    }

    fn completed(&self) -> u32 {
        self.succeeded + self.failed
    }

    /// In tenths; 0 where the total is unknown.
    fn tenths(&self) -> u32 {
        let total = u64::from(self.total.unwrap_or_default());
        let tenths = u64::from(self.completed()) * 10 / total.max(1);
        if total == 0 { 0 } else { tenths.min(10) as u32 }
    }

    /// `98.7/s, 2 s left`.
    fn pace(&self) -> String {
        let mut parts = Vec::new();
        if self.rate > 0.0 {
            parts.push(show::rate(self.rate));
        }
        if let Some(left) = self.left.filter(|left| !left.is_zero()) {
            parts.push(format!("{} left", show::duration(left)));
        }
        parts.join(", ")
    }

    /// `290 succeeded, 22 failed; waiting: ...`.
    fn details(&self) -> String {
        let mut text = format!("{} succeeded, {} failed", self.succeeded, self.failed);
        if let Some(waiting) = &self.waiting {
            text.push_str("; waiting");
            text.push_str(waiting);
        }
        text
    }

    fn line(&self) -> String {
        let mut text = match self.total {
            Some(total) => format!("{} of {total}: ", self.completed()),
            None => String::new(),
        };
        text.push_str(&self.details());
        let pace = self.pace();
        if !pace.is_empty() {
            text.push_str("; ");
            text.push_str(&pace);
        }
        text
    }
}

/// When the next plain line is due.
#[derive(Debug, Default)]
pub struct Plain {
    last: Option<(Instant, u32, u32)>,
}

impl Plain {
    fn is_due(&mut self, figures: &Figures, now: Instant) -> bool {
        let (tenths, completed) = (figures.tenths(), figures.completed());
        let due = match self.last {
            None => completed > 0 || figures.waiting.is_some(),
            Some((at, before, done)) => {
                let passed = now - at;
                (tenths > before && passed >= PLAIN_FASTEST)
                    || (passed >= PLAIN_SLOWEST && (completed > done || figures.waiting.is_some()))
            }
        };
        if due {
            self.last = Some((now, tenths, completed));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Progress, Waiting};

    fn figures(succeeded: u32, rate: f64) -> Figures {
        let mut tally = Tally::new(0, 0);
        tally.progress = Progress {
            succeeded,
            failed: 2,
            items_per_second: rate,
            ..Progress::default()
        };
        Figures::of(&tally, Some(500))
    }

    #[test]
    fn a_line_has_the_counts_the_rate_and_the_time_left() {
        assert_eq!(
            figures(98, 100.0).line(),
            "100 of 500: 98 succeeded, 2 failed; 100/s, 4 s left"
        );
        assert_eq!(
            figures(98, 0.0).line(),
            "100 of 500: 98 succeeded, 2 failed"
        );
    }

    #[test]
    fn what_it_waits_for_is_shown() {
        let mut tally = Tally::new(0, 0);
        tally.progress = Progress {
            items_per_second: 98.7,
            waiting: Some(Waiting {
                reason: "the target asked to wait (429)".to_owned(),
                until: None,
            }),
            ..Progress::default()
        };
        assert_eq!(
            Figures::of(&tally, None).line(),
            "0 succeeded, 0 failed; waiting: the target asked to wait (429)"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn plain_lines_come_by_tenths_and_not_too_fast() {
        let mut plain = Plain::default();
        let mut said = Vec::new();
        for step in 0..100u32 {
            if plain.is_due(&figures(step * 5, 50.0), Instant::now()) {
                said.push(step);
            }
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        assert!(said.len() <= 11, "{said:?}");
        assert!(said.len() >= 9, "{said:?}");
    }
}
