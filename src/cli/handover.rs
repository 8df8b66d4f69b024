//! What is said of how much of a file the server took: at the beginning, and
//! where it was not all.

use std::path::Path;

use super::show;
use super::source::Lines;
use super::submit::Args;

/// How much of a file the server has.
pub struct Handover<'a> {
    /// What was typed.
    pub args: &'a Args,
    /// The batch.
    pub batch_id: &'a str,
    /// The rows of the file, where they are counted.
    pub rows: Option<u32>,
    /// Those that the server holds.
    pub held: u32,
}

impl Handover<'_> {
    /// The first word on a batch: a new one, or one from an earlier run.
    pub fn begins(&self, sealed: bool) -> String {
        let (id, target) = (self.batch_id, &self.args.target);
        let held = show::count(self.held, "row");
        match (sealed, self.held, self.rows) {
            (true, ..) => {
                let what = match &self.args.request_id {
                    Some(request_id) => format!("request id {request_id} was already used for"),
                    None => format!("this file was already submitted to {target} as"),
                };
                format!("{what} batch {id}; nothing is sent again (--new to submit it again)")
            }
            (false, 0, Some(rows)) => {
                format!("batch {id}: {} to {target}", show::count(rows, "row"))
            }
            (false, 0, None) => format!("batch {id} to {target}"),
            (false, ..) => format!("going on with batch {id}: {held} of it are there already"),
        }
    }

    /// What the server has of a file that was not handed in to its end, and how
    /// to go on while the batch is open.
    pub fn unfinished(&self, request_id: &str) -> String {
        let held = show::count(self.held, "row");
        let rest = match self.rows {
            Some(rows) => format!(
                "the other {} were not submitted",
                rows.saturating_sub(self.held)
            ),
            None => "the rest was not submitted".to_owned(),
        };
        let how = if self.is_stdin() {
            "what comes from stdin cannot be taken up again".to_owned()
        } else if self.args.new {
            format!(
                "to submit them, type the command again with --request-id {request_id} in place \
                 of --new"
            )
        } else {
            "to submit them, type the same command again".to_owned()
        };
        let id = self.batch_id;
        format!(
            "{held} were accepted and go on as batch {id}; {rest}\n  {how}, before the server \
             seals what nobody fills; `flowgate cancel {id}` to stop"
        )
    }

    /// What of the file is not in a batch that takes no more, and how to submit
    /// it.
    pub fn left_out(&self, lines: &Lines) -> String {
        let held = show::count(self.held, "row");
        let id = self.batch_id;
        let from = match lines.of(self.held) {
            Some(line) => format!(", from line {line} on,"),
            None => String::new(),
        };
        let rest = match self.rows {
            Some(rows) => format!("the other {}{from} are", rows.saturating_sub(self.held)),
            None => "the rest is".to_owned(),
        };
        format!(
            "batch {id} was sealed with {held}: {rest} not in it\n  submit them as a file of \
             their own"
        )
    }

    fn is_stdin(&self) -> bool {
        self.args.file == Path::new("-")
    }
}
