//! Looks at a store's files before SQLite does, because it takes what it finds:
//! where there is no file it makes one, and throws away the log beside it; a
//! log it applies to whatever file is there. What a crash cannot have left is
//! refused, with what to do, and nothing is changed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::super::StoreError;
use super::lock::Left;
use super::open::{beside, damaged, unwritable};
use super::wal::{Log, MARK_AT, word};

/// How every database of SQLite begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The bytes that a database begins with.
const HEADER: usize = 100;

/// Where it says of how many bytes its pages are.
const PAGE_AT: usize = 16;

/// Refuses what cannot be a store's file, before anything is put beside it.
pub(super) fn no_folder(path: &Path) -> Result<(), StoreError> {
    match path.metadata() {
        Ok(found) if !found.is_file() => Err(no_file(path, &found)),
        _ => Ok(()),
    }
}

/// Refuses what is no store's file and log, or not as a store leaves them.
pub(super) fn examine(path: &Path, left: Left) -> Result<(), StoreError> {
    let log_path = beside(path, "-wal");
    let log_bytes = log_path.metadata().map_or(0, |log| log.len());
    let file = match path.metadata() {
        Ok(file) => Some(file).filter(|file| file.len() > 0),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(unwritable(path, &error)),
    };
    let Some(file) = file else {
        return match left {
            Left::Unknown if log_bytes == 0 => Ok(()),
            _ => Err(gone(path, log_bytes > 0)),
        };
    };
    let begins = begins(path)?;
    let Some(begins) = begins.filter(|begins| begins.starts_with(MAGIC)) else {
        return Err(match left {
            Left::Unknown if log_bytes == 0 => no_database(path),
            _ => damaged(path, "it is not a database any more"),
        });
    };
    if left == Left::Open && !log_path.exists() {
        return Err(no_log(path));
    }
    // While nothing is on its way from the log into the file, it is of whole
    // pages.
    let page = match u64::from(word(&begins, PAGE_AT) >> 16) {
        1 => 65_536,
        page => page.max(512),
    };
    if log_bytes == 0 && !file.len().is_multiple_of(page) {
        return Err(damaged(path, "it ends in the middle of a page"));
    }
    let log = Log::read(&log_path).map_err(|error| unwritable(&log_path, &error))?;
    if let Some(damage) = log.damage {
        return Err(damaged_log(path, damage));
    }
    // A log of one page is that of setting the mark.
    let is_of_the_file = log.marks.contains(&word(&begins, MARK_AT)) || log.marks.is_empty();
    match is_of_the_file || log.frames == 1 {
        true => Ok(()),
        false => Err(replaced(path)),
    }
}

/// How a file begins, which must be writable; `None` if it is too short to be a
/// database.
fn begins(path: &Path) -> Result<Option<[u8; HEADER]>, StoreError> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    let mut file: File = opened.map_err(|error| unwritable(path, &error))?;
    let mut begins = [0; HEADER];
    match file.read_exact(&mut begins) {
        Ok(()) => Ok(Some(begins)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(unwritable(path, &error)),
    }
}

fn no_file(path: &Path, found: &Metadata) -> StoreError {
    let what = match found.is_dir() {
        true => "is a folder",
        false => "is not a file",
    };
    StoreError::Unusable(format!(
        "{} {what}: name a file, which need not be there yet",
        path.display()
    ))
}

pub(super) fn no_database(path: &Path) -> StoreError {
    StoreError::Unusable(format!(
        "{} is not a database: give the store a file of its own, or one that is not there yet",
        path.display()
    ))
}

fn gone(path: &Path, has_log: bool) -> StoreError {
    let what = match path.exists() {
        true => "is empty",
        false => "is gone",
    };
    let beside = match has_log {
        true => "; its log, with what was committed last, is still there",
        false => "",
    };
    StoreError::Unusable(format!(
        "{path} {what}, and held a store{beside}. Put it back as it was. Or, to go on from a \
         backup or to begin anew: take {path}-wal, {path}-shm and {path}.lock away first",
        path = path.display()
    ))
}

fn no_log(path: &Path) -> StoreError {
    StoreError::Unusable(format!(
        "the log of {path}, {path}-wal, is gone, and what was committed last may be in it alone: \
         the store was not closed when it was last used. Put it back. Or, where the file was put \
         there from a backup, where another program had it open and moved the log into it, or to \
         do without what was in it: take {path}.lock away",
        path = path.display()
    ))
}

fn damaged_log(path: &Path, damage: &str) -> StoreError {
    StoreError::Unusable(format!(
        "the log of {path}, {path}-wal, is damaged: {damage}; nothing was changed. Put a backup of \
         both in their place. Or, to do without what was committed last: keep a copy, and take \
         {path}-wal, {path}-shm and {path}.lock away",
        path = path.display()
    ))
}

fn replaced(path: &Path) -> StoreError {
    StoreError::Unusable(format!(
        "{path} and its log, {path}-wal, are not of the same time: one of them was put there from \
         elsewhere. Nothing was changed. Put the other one back. Or, to go on with the file alone, \
         as with one from a backup: take {path}-wal, {path}-shm and {path}.lock away",
        path = path.display()
    ))
}
