//! One process for a store: a file beside it that is locked while it is open.
//! It also says, as far as anybody knows, how the store was left.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::super::StoreError;
use super::open::{beside, unwritable};

/// How a store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nobody knows: there was none, or only its file was brought here.
    Unknown,
    /// In order: all of it is in its file.
    Closed,
    /// In use: what was committed last may be in its log only.
    Open,
}

const CLOSED: &str = "flowgate: closed\n";
const OPEN: &str = "flowgate: open\n";

/// A store's file, to this process alone while it is held.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Keeps every other process from the store.
    pub fn take(path: &Path) -> Result<Lock, StoreError> {
        let beside = beside(path, ".lock");
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&beside);
        let file = opened.map_err(|error| unwritable(&beside, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Unusable(format!(
                "{} is in use by another process: stop that one, or give this one a file of its \
                 own",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(unwritable(&beside, &error)),
        }
    }

    /// How the store was left.
    pub fn left(&self) -> Left {
        let mut said = String::new();
        let mut file = &self.file;
        // What cannot be read says nothing.
        let _ = file.rewind().and_then(|()| file.read_to_string(&mut said));
        match &said[..] {
            CLOSED => Left::Closed,
            OPEN => Left::Open,
            _ => Left::Unknown,
        }
    }

    /// Says how it is left from now on. On the disk when this returns.
    pub fn leave(&self, left: Left) -> io::Result<()> {
        let said = match left {
            Left::Unknown => "",
            Left::Closed => CLOSED,
            Left::Open => OPEN,
        };
        let mut file = &self.file;
        file.rewind()?;
        file.set_len(0)?;
        file.write_all(said.as_bytes())?;
        file.sync_all()
    }
}
