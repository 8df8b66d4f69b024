//! What an error of SQLite means for the store: one verb's trouble, a while to
//! wait, or the end; and how the end is told to the operator.

use std::path::Path;
use std::sync::Arc;

use rusqlite::ErrorCode;
use rusqlite::ffi::{
    SQLITE_CORRUPT, SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC, SQLITE_IOERR_NOMEM, SQLITE_NOTADB,
};
use tokio::sync::watch;

use super::super::rows::Undone;

impl From<rusqlite::Error> for Undone {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error_code() else {
            // A column of another type, a row that is not there.
            return Undone::Broken(error.to_string());
        };
        match code {
            ErrorCode::DiskFull => Undone::DiskFull,
            ErrorCode::SystemIoFailure if extended(&error) == SQLITE_IOERR_NOMEM => {
                Undone::Failed(told(&error))
            }
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ReadOnly => Undone::Lost(told(&error)),
            ErrorCode::DatabaseBusy
            | ErrorCode::CannotOpen
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted
            | ErrorCode::SchemaChanged => Undone::Failed(told(&error)),
            _ => Undone::Broken(told(&error)),
        }
    }
}

/// A commit that failed. Unless the disk was full, which is found out before
/// anything is synced, nobody knows what is on it.
pub(super) fn not_committed(error: rusqlite::Error) -> Undone {
    match error.into() {
        Undone::DiskFull => Undone::DiskFull,
        Undone::Lost(why) | Undone::Failed(why) | Undone::Broken(why) => Undone::Lost(why),
        other => other,
    }
}

fn extended(error: &rusqlite::Error) -> i32 {
    error.sqlite_error().map_or(0, |error| error.extended_code)
}

/// What happened, in words, with the number that a search finds more by.
pub(super) fn told(error: &rusqlite::Error) -> String {
    match extended(error) {
        code @ (SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC) => {
            format!("disk I/O error: an fsync failed (SQLite's error {code})")
        }
        code if matches!(code & 0xff, SQLITE_CORRUPT | SQLITE_NOTADB) => format!(
            "it is damaged: {error} (SQLite's error {code}); keep a copy, and put a backup in its \
             place or see what `sqlite3 FILE .recover` can save"
        ),
        code => format!("{error} (SQLite's error {code})"),
    }
}

/// Whether the store had to stop, and why: said once, by whichever thread finds
/// it out. From then on nothing more is written.
#[derive(Clone)]
pub(super) struct Stop {
    path: Arc<Path>,
    why: Arc<watch::Sender<Option<String>>>,
}

impl Stop {
    /// Nothing is wrong with this file.
    pub fn new(path: &Path) -> Stop {
        Stop {
            path: path.into(),
            why: Arc::new(watch::channel(None).0),
        }
    }

    /// The store stops, for this.
    pub fn say(&self, why: &str) {
        let told = format!(
            "the store {} stopped: {why}. Nothing was acknowledged that is not on the disk. See \
             what the system's log says of the disk, then start again: what was under way is \
             taken up from the file, which is checked",
            self.path.display()
        );
        self.why.send_if_modified(|said| {
            let is_first = said.is_none();
            if is_first {
                tracing::error!("{told}");
                *said = Some(told);
            }
            is_first
        });
    }

    /// Whether it was said.
    pub fn is_said(&self) -> bool {
        self.why.borrow().is_some()
    }

    /// Waits until it is said.
    pub async fn said(&self) -> String {
        let mut why = self.why.subscribe();
        // The sender is here, so that it cannot be gone.
        let said = why.wait_for(Option::is_some).await;
        said.map_or(String::new(), |why| why.clone().unwrap_or_default())
    }
}
