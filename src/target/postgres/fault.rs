//! What a failure proves, and how it is told. Pure.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity};

use super::table::Table;
use crate::model::{Cause, Violation};

/// Why a statement did not come to its end.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server said no; nothing of the transaction was done.
    Refused(Box<Complaint>),
    /// The connection is gone, and nothing was done.
    Undone(Gone),
    /// The connection is gone, and it may have been done.
    Lost(Gone),
}

/// What became of a connection. Never has a password in it.
#[derive(Clone, Debug)]
pub(super) struct Gone {
    pub reason: String,
    pub message: String,
}

/// What the server said.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaint {
    pub state: String,
    pub message: String,
    pub detail: Option<String>,
    pub constraint: Option<String>,
    pub column: Option<String>,
    /// The part of the server that said it.
    pub routine: Option<String>,
}

/// What a complaint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// An item's data.
    Item,
    /// What was known of the table holds no more, or never did.
    Schema,
    /// Another transaction; the same again may do better at once.
    Rival,
    /// It took too long.
    Time,
    /// The server has no room for it now.
    Load,
    /// The server will not do it here, or now: it stops, or only reads.
    Server,
}

impl Trouble {
    /// Of an error. `is_ending`: the statement was through, and its transaction
    /// was being committed. `is_unwritten`: not a byte was written.
    pub fn of(error: &Error, is_ending: bool, is_unwritten: bool) -> Trouble {
        let Some(db) = error.as_db_error() else {
            let gone = Gone {
                reason: "CONNECTION_LOST".to_owned(),
                message: format!("the connection to the server was lost: {}", told(error)),
            };
            return match is_unwritten {
                true => Trouble::Undone(gone),
                false => Trouble::Lost(gone),
            };
        };
        match db.parsed_severity() {
            Some(Severity::Fatal | Severity::Panic) => {
                let state = db.code().code();
                let gone = Gone {
                    reason: format!("SQLSTATE_{state}"),
                    message: format!(
                        "the server ended the connection: {} (SQLSTATE {state})",
                        db.message()
                    ),
                };
                // It ends a transaction between two of its steps, but may say so
                // only after the last.
                match is_ending {
                    true => Trouble::Lost(gone),
                    false => Trouble::Undone(gone),
                }
            }
            _ => Trouble::Refused(Box::new(Complaint::of(db))),
        }
    }

    /// The same, where the transaction was not told to commit.
    pub fn before_commit(self) -> Trouble {
        match self {
            Trouble::Lost(gone) => Trouble::Undone(gone),
            other => other,
        }
    }
}

impl Gone {
    /// As the cause of a reply.
    pub fn cause(self) -> Box<Cause> {
        Box::new(Cause {
            reason: self.reason,
            message: self.message,
            ..Cause::default()
        })
    }
}

impl Complaint {
    fn of(db: &DbError) -> Complaint {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Complaint {
            state: db.code().code().to_owned(),
            message: db.message().to_owned(),
            detail: owned(db.detail()),
            constraint: owned(db.constraint()),
            column: owned(db.column()),
            routine: owned(db.routine()),
        }
    }

    /// What it is about, by its SQLSTATE.
    pub fn about(&self) -> About {
        let state = self.state.as_str();
        // A policy of row-level security is about the row; a missing privilege
        // has the same SQLSTATE.
        let of_row = self.routine.as_deref() == Some("ExecWithCheckOptions");
        match state {
            "42501" if of_row => About::Item,
            // A function that finds no row, or too many, or says so itself.
            "P0000" | "P0001" | "P0002" | "P0003" | "P0004" => About::Item,
            "40001" | "40P01" => About::Rival,
            "57014" | "55P03" => About::Time,
            "25006" => About::Server,
            _ => match &state[..state.len().min(2)] {
                // Data, constraints, cardinality, limits of a row's size, what a
                // view does not take.
                "22" | "23" | "21" | "54" | "44" => About::Item,
                "53" => About::Load,
                "57" | "58" | "08" | "XX" => About::Server,
                "40" => About::Rival,
                _ => About::Schema,
            },
        }
    }

    /// As the cause of a reply, with the columns at fault where they are known.
    pub fn cause(&self, table: Option<&Table>) -> Box<Cause> {
        let mut message = format!("{} (SQLSTATE {})", self.message, self.state);
        // What the details of others show is of the whole row, and may be more
        // than the caller knows.
        if let ("23505" | "23503", Some(detail)) = (self.state.as_str(), &self.detail) {
            message = format!("{message}: {detail}");
        }
        Box::new(Cause {
            reason: format!("SQLSTATE_{}", self.state),
            message,
            violations: self.violations(table),
            ..Cause::default()
        })
    }

    fn violations(&self, table: Option<&Table>) -> Vec<Violation> {
        let of_constraint = |name: &String| table?.constraints.get(name).cloned();
        let columns = match (&self.column, &self.constraint) {
            (Some(column), _) => vec![column.clone()],
            (None, Some(name)) => of_constraint(name).unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        let violation = |column: String| Violation {
            field: format!("payload.{column}"),
            description: self.message.clone(),
        };
        columns.into_iter().map(violation).collect()
    }
}

/// An error with what caused it.
pub(super) fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_about_an_item_only_where_its_data_is_at_fault() {
        for (state, routine, about) in [
            ("23505", "", About::Item),
            ("22P02", "", About::Item),
            ("22003", "", About::Item),
            ("21000", "", About::Item),
            ("54000", "", About::Item),
            ("44000", "", About::Item),
            ("P0001", "", About::Item),
            ("42501", "ExecWithCheckOptions", About::Item),
            ("42501", "aclcheck_error", About::Schema),
            ("42703", "", About::Schema),
            ("42P01", "", About::Schema),
            ("0A000", "", About::Schema),
            ("26000", "", About::Schema),
            ("40001", "", About::Rival),
            ("40P01", "", About::Rival),
            ("57014", "", About::Time),
            ("55P03", "", About::Time),
            ("53100", "", About::Load),
            ("57P01", "", About::Server),
            ("25006", "", About::Server),
            ("", "", About::Schema),
        ] {
            let complaint = Complaint {
                state: state.to_owned(),
                routine: Some(routine.to_owned()),
                ..Complaint::default()
            };
            assert_eq!(complaint.about(), about, "{state} {routine}");
        }
    }
}
