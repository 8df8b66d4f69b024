//! What the demo plays on: the guest API, a folder for the store and the list,
//! and the configuration; and what it says in the end.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;

use super::arrivals::{LIMIT, Tally};
use super::guest_api::{API_KEY, GuestApi};
use super::{Args, GUESTS};
use crate::cli::submit;
use crate::config::Config;

/// The name of the target that the guests go to.
pub const TARGET: &str = "guests";

/// Of the built-in list, so many rows are good and become guests; the others
/// have the faults that spreadsheets have.
const GOOD_GUESTS: usize = 412;

/// The demo's surroundings. Dropping it ends the guest API and removes the
/// folder.
pub struct Stage {
    /// The API that the guests go to.
    pub api: GuestApi,
    /// The list to submit.
    pub file: PathBuf,
    is_own_file: bool,
    _folder: Folder,
}

impl Stage {
    /// Starts the guest API and lays out the rest; the configuration is for
    /// the server to start with.
    ///
    /// # Errors
    ///
    /// There is no port or no room for temporary files.
    pub fn set_up(args: &Args) -> anyhow::Result<(Stage, Config)> {
        let api = GuestApi::start().context("the guest API cannot start")?;
        let folder = Folder::create().context("there is no room for temporary files")?;
        let file = if let Some(file) = &args.file {
            file.clone()
        } else {
            let file = folder.0.join("guests.csv");
            std::fs::write(&file, GUESTS)?;
            file
        };
        let text = configuration(api.address());
        let key = |name: &str| (name == "GUEST_API_KEY").then(|| API_KEY.to_owned());
        let config = Config::parse(&text, &folder.0, &key)?;
        let stage = Stage {
            api,
            file,
            is_own_file: args.file.is_some(),
            _folder: folder,
        };
        Ok((stage, config))
    }

    /// What is about to happen.
    pub fn introduction(&self) -> String {
        let list = if self.is_own_file {
            self.file.display().to_string()
        } else {
            "500 guests of a trade show, some with the faults that spreadsheets have".to_owned()
        };
        format!(
            "A guest API on http://{} takes {LIMIT} requests a second and\nanswers any more with \
             429. Flowgate is in front of it. What goes in:\n{list}.\n",
            self.api.address()
        )
    }

    /// The list, as a person would type it.
    pub fn shown_file(&self) -> String {
        match self.is_own_file {
            true => self.file.display().to_string(),
            false => "guests.csv".to_owned(),
        }
    }

    /// What `flowgate submit` is told.
    pub fn submission(&self, shown: usize) -> submit::Args {
        let mut args = submit::Args::new(&self.file, TARGET);
        args.shown.max_failures = shown;
        args
    }

    /// What the guest API saw, and whether all was as it should be.
    pub fn report(&self) -> Report {
        Report::of(&self.api.tally(), self.api.guests(), self.is_own_file)
    }

    /// What to type while the servers are left running.
    pub fn tour(&self, flowgate: SocketAddr) -> String {
        let api = self.api.address();
        // As it was started: it need not be installed.
        let program = std::env::args().next();
        let program = program.unwrap_or_else(|| "flowgate".to_owned());
        format!(
            r#"Flowgate listens on {flowgate} and the guest API on {api}. In another terminal:

  {program} targets --server {flowgate}
  {program} list --server {flowgate}
  grpcurl -plaintext {flowgate} list
  grpcurl -plaintext -d '{{"spec": {{"target": "{TARGET}"}}, "items": [{{"payload": {{"json":
    {{"name": "Ada", "town": "London", "email": "ada@example.org", "visit_date": "2026-11-03"}}}}}}]}}' \
    {flowgate} flowgate.v1.BatchService/BatchSubmit

Ctrl-C ends both.
"#
        )
    }
}

/// What Flowgate is told in the demo: as in a file of one's own.
fn configuration(api: SocketAddr) -> String {
    format!(
        r#"
[server]
listen = "127.0.0.1:0"

[store]
path = "flowgate.db"

[targets.{TARGET}]
kind = "http"
url = "http://{api}"
path = "/guests"
limits = ["{LIMIT}/s"]
chunk_items = 50

[targets.{TARGET}.headers]
Authorization = {{ env = "GUEST_API_KEY", prefix = "Bearer " }}
"#
    )
}

/// What the demo says in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// For people.
    pub text: String,
    /// Whether all was as it should be.
    pub as_expected: bool,
}

impl Report {
    fn of(tally: &Tally, guests: usize, is_own_file: bool) -> Report {
        let rows = GUESTS.lines().count() - 1;
        let mut text = format!(
            "The guest API saw {} requests in {:.2} s from the first to the last:\nat most {} in \
             any second, of {LIMIT} allowed.\n",
            tally.requests,
            tally.duration().as_secs_f64(),
            tally.busiest,
        );
        let turned_away = match tally.turned_away {
            0 => "none".to_owned(),
            some => some.to_string(),
        };
        let _ = writeln!(
            text,
            "It answered {turned_away} with 429 Too Many Requests, and has {guests} guests now."
        );
        let is_paced = tally.turned_away == 0 && tally.busiest <= LIMIT;
        let is_whole = is_own_file || (tally.requests == rows && guests == GOOD_GUESTS);
        if !is_paced {
            text.push_str("This should not have happened: the limit was exceeded.\n");
        }
        if !is_whole {
            let _ = writeln!(
                text,
                "This should not have happened: {rows} requests and {GOOD_GUESTS} guests were due."
            );
        }
        Report {
            text,
            as_expected: is_paced && is_whole,
        }
    }
}

/// A temporary folder, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn create() -> std::io::Result<Folder> {
        let name = format!("flowgate-demo-{}", uuid::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is for the system to clean up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    fn tally() -> Tally {
        let start = Instant::now();
        Tally {
            requests: 500,
            busiest: 100,
            turned_away: 0,
            span: Some((start, start + Duration::from_millis(4_020))),
        }
    }

    #[test]
    fn the_stage_has_a_valid_configuration_and_the_list_and_leaves_nothing_behind() {
        let (stage, config) = Stage::set_up(&Args::default()).unwrap();
        assert_eq!(config.targets[0].chunk_items, 50);
        assert_eq!(std::fs::read_to_string(&stage.file).unwrap(), GUESTS);
        let folder = stage.file.parent().unwrap().to_owned();
        assert!(folder.exists());
        drop(stage);
        assert!(!folder.exists());
    }

    #[test]
    fn the_report_has_the_figures() {
        let report = Report::of(&tally(), GOOD_GUESTS, false);
        assert!(report.as_expected);
        assert_eq!(
            report.text,
            "The guest API saw 500 requests in 4.02 s from the first to the last:\nat most 100 in \
             any second, of 100 allowed.\n\
             It answered none with 429 Too Many Requests, and has 412 guests now.\n"
        );
    }

    #[test]
    fn the_report_says_when_the_limit_or_a_guest_was_missed() {
        let turned_away = Tally {
            turned_away: 3,
            ..tally()
        };
        let report = Report::of(&turned_away, GOOD_GUESTS, false);
        assert!(!report.as_expected);
        assert!(report.text.contains("answered 3 with 429"));
        assert!(report.text.contains("the limit was exceeded"));
        let too_busy = Tally {
            busiest: 101,
            ..tally()
        };
        assert!(!Report::of(&too_busy, GOOD_GUESTS, true).as_expected);
        assert!(!Report::of(&tally(), 411, false).as_expected);
        assert!(Report::of(&tally(), 7, true).as_expected);
    }
}
