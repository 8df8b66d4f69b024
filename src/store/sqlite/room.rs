//! How much room there is for new work. Some is kept for what becomes of the
//! work that was taken on; what that needs is counted as it comes and goes.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::super::Bounds;
use super::super::rows::{Done, Undone};
use super::open::beside;
use crate::model::Counts;

/// What the outcome of an item takes at least, with its part of the progress
/// and of the indexes; with larger replies it is what they took of late.
const OUTCOME_BYTES: u64 = 512;

/// Outcomes of which the size is remembered: about so many of the last.
const LATELY: u64 = 1 << 16;

/// How much room there is for new work.
pub(super) struct Room {
    bounds: Bounds,
    path: PathBuf,
    log: PathBuf,
    /// The files that were opened: device and number of both.
    files: [(u64, u64); 2],
    /// What is left, once it is measured in the transaction under way, less
    /// what was granted since.
    left: Option<u64>,
    /// Items without an outcome: those that are committed, and what the
    /// transaction under way changes about that.
    under_way: u64,
    changed: i64,
    /// What outcomes took of late: bytes, and items.
    lately: (u64, u64),
    was_refused: bool,
}

impl Room {
    /// Of a database that is open, in these files, and holds so many items
    /// without an outcome.
    pub fn new(path: &Path, bounds: Bounds, under_way: u64) -> Done<Room> {
        let log = beside(path, "-wal");
        let files = [identity(&seen(path)?), identity(&seen(&log)?)];
        Ok(Room {
            bounds,
            path: path.to_owned(),
            log,
            files,
            left: None,
            under_way,
            changed: 0,
            lately: (0, 0),
            was_refused: false,
        })
    }

    /// Whether so many bytes of new work may come in; from then on they count
    /// as written.
    pub fn grants(&mut self, connection: &Connection, bytes: u64) -> Done<bool> {
        let left = match self.left {
            Some(left) => left,
            None => self.measure(connection)?,
        };
        let kept = self.kept();
        let is_granted = left >= kept.saturating_add(bytes);
        self.left = Some(if is_granted { left - bytes } else { left });
        if !is_granted && !self.was_refused {
            tracing::warn!(
                left_bytes = left,
                kept_bytes = kept,
                "the store has no room for new work, which is refused until there is; what was \
                 taken on goes on"
            );
        } else if is_granted && self.was_refused {
            tracing::info!(left_bytes = left, "the store has room for new work again");
        }
        self.was_refused = !is_granted;
        Ok(is_granted)
    }

    /// What new work has to leave free.
    fn kept(&self) -> u64 {
        let (bytes, items) = self.lately;
        let each = bytes.checked_div(items).unwrap_or(0).max(OUTCOME_BYTES);
        let under_way = self.under_way.saturating_add_signed(self.changed);
        let outcomes = each.saturating_mul(under_way);
        self.bounds.reserve_bytes.saturating_add(outcomes)
    }

    /// What is free now, of what may be used and of what there is.
    fn measure(&self, connection: &Connection) -> Done<u64> {
        let number = |pragma: &str| -> Done<u64> {
            let mut statement = connection.prepare_cached(pragma)?;
            Ok(statement
                .query_row([], |row| row.get::<_, i64>(0))?
                .unsigned_abs())
        };
        let page_bytes = number("PRAGMA page_size")?;
        let pages = number("PRAGMA page_count")?.saturating_mul(page_bytes);
        let free = number("PRAGMA freelist_count")?.saturating_mul(page_bytes);
        let (file, log) = (seen(&self.path)?, seen(&self.log)?);
        if [identity(&file), identity(&log)] != self.files {
            return Err(gone(&self.path, "replaced"));
        }
        let used = pages.saturating_sub(free).saturating_add(log.len());
        let may = self.bounds.max_bytes.map(|max| max.saturating_sub(used));
        // Pages that are in the log only make the file grow later.
        let to_come = pages.saturating_sub(file.len());
        let can = on_disk(&self.path).map(|on_disk| (on_disk + free).saturating_sub(to_come));
        Ok(may.into_iter().chain(can).min().unwrap_or(u64::MAX))
    }

    /// A batch's counts change.
    pub fn counted(&mut self, before: &Counts, after: &Counts) {
        let open = |counts: &Counts| i64::from(counts.total) - i64::from(counts.completed());
        self.changed += open(after) - open(before);
        let more = after.completed().saturating_sub(before.completed());
        self.lately.1 += u64::from(more);
        if self.lately.1 > LATELY {
            self.lately = (self.lately.0 / 2, self.lately.1 / 2);
        }
    }

    /// Outcomes were written.
    pub fn wrote_outcomes(&mut self, bytes: usize) {
        self.lately.0 += bytes as u64;
    }

    /// The transaction ended so.
    pub fn ended(&mut self, is_committed: bool) {
        if is_committed {
            self.under_way = self.under_way.saturating_add_signed(self.changed);
        }
        self.changed = 0;
        self.left = None;
    }
}

/// What is free on the disk, for programs like this one; `None` where nobody
/// says.
fn on_disk(path: &Path) -> Option<u64> {
    let told = rustix::fs::statvfs(path).ok()?;
    Some(told.f_bavail.saturating_mul(told.f_frsize))
}

/// A file that is in use; whoever takes it away takes what is acknowledged
/// with it.
fn seen(path: &Path) -> Done<Metadata> {
    std::fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => gone(path, "removed"),
        _ => Undone::Lost(format!("{} cannot be looked at: {error}", path.display())),
    })
}

fn gone(path: &Path, how: &str) -> Undone {
    Undone::Lost(format!(
        "{} was {how} while it was in use; put back what was there",
        path.display()
    ))
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
