//! Reads a log (SQLite's `-wal` file) as it lies there. SQLite takes from one
//! what is whole and throws away the rest without a word: right after a crash,
//! which leaves the last commit in parts, and wrong when something that was
//! committed is damaged. Here they are told apart.
//!
//! The format is SQLite's ("WAL-mode file format"): a header, then frames, each
//! a page with the checksum of all up to it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME: usize = 24;
const MAGIC: u32 = 0x377f_0682;
const VERSION: u32 = 3_007_000;

/// Where a database keeps its mark: a number that is the program's own, its
/// `user_version`.
pub(super) const MARK_AT: usize = 60;

/// What a log holds.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Frames that SQLite takes.
    pub frames: u64,
    /// What those of them that have it say where the database has its mark.
    pub marks: BTreeSet<u32>,
    /// What is wrong with it beyond what a crash does.
    pub damage: Option<&'static str>,
}

impl Log {
    /// Reads a log; an empty one if there is none.
    pub fn read(path: &Path) -> io::Result<Log> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Log::default()),
            Err(error) => return Err(error),
        };
        let mut file = BufReader::with_capacity(1 << 20, file);
        let mut header = [0; HEADER];
        if !filled(&mut file, &mut header)? {
            return Ok(Log::default());
        }
        let Some(mut chain) = Chain::of(&header) else {
            // A log starts over with its header, which is on the disk before
            // anything follows it.
            let is_all = file.read(&mut [0])? == 0;
            let damage = (!is_all).then_some("it does not begin as a log");
            return Ok(Log {
                damage,
                ..Log::default()
            });
        };
        chain.read(&mut file)
    }
}

/// The checksums of a log, from frame to frame.
struct Chain {
    is_big_endian: bool,
    page: usize,
    salts: [u8; 8],
    /// Of all that came before, as the last frame says.
    sum: (u32, u32),
}

impl Chain {
    /// From a header, if it is one.
    fn of(header: &[u8; HEADER]) -> Option<Chain> {
        let magic = word(header, 0);
        let mut chain = Chain {
            is_big_endian: magic & 1 == 1,
            page: word(header, 8) as usize,
            salts: header[16..24].try_into().ok()?,
            sum: (0, 0),
        };
        let is_page = chain.page.is_power_of_two() && (512..=65_536).contains(&chain.page);
        let sum = chain.sum((0, 0), &[&header[..24]]);
        chain.sum = (word(header, 24), word(header, 28));
        let is_log = magic & !1 == MAGIC && word(header, 4) == VERSION && is_page;
        (is_log && sum == chain.sum).then_some(chain)
    }

    /// Reads the frames.
    fn read(&mut self, file: &mut impl Read) -> io::Result<Log> {
        let mut log = Log::default();
        let mut frame = vec![0; FRAME + self.page];
        // After a frame that is not right, what still is: it was written later.
        let mut is_whole = true;
        let mut commits_behind = 0;
        while filled(file, &mut frame)? {
            let is_right = self.follows(&frame);
            is_whole &= is_right;
            if is_whole {
                log.frames += 1;
                if word(&frame, 0) == 1 {
                    log.marks.insert(word(&frame, FRAME + MARK_AT));
                }
            } else if is_right && word(&frame, 4) > 0 {
                commits_behind += 1;
            }
        }
        // A crash may leave the last commit in parts, its end without its
        // beginning. Where another follows, the one before it had been synced.
        if commits_behind > 1 {
            log.damage = Some("what was committed in it is damaged");
        }
        Ok(log)
    }

    /// Whether this frame is of this log, and follows on what the one before it
    /// says of itself.
    fn follows(&mut self, frame: &[u8]) -> bool {
        if frame[8..16] != self.salts {
            return false;
        }
        let sum = self.sum(self.sum, &[&frame[..8], &frame[FRAME..]]);
        self.sum = (word(frame, 16), word(frame, 20));
        sum == self.sum
    }

    fn sum(&self, from: (u32, u32), parts: &[&[u8]]) -> (u32, u32) {
        let number = |bytes: &[u8]| {
            let bytes = bytes.try_into().unwrap_or_default();
            match self.is_big_endian {
                true => u32::from_be_bytes(bytes),
                false => u32::from_le_bytes(bytes),
            }
        };
        let (mut first, mut second) = from;
        for pair in parts.iter().flat_map(|part| part.chunks_exact(8)) {
            first = first.wrapping_add(number(&pair[..4])).wrapping_add(second);
            second = second.wrapping_add(number(&pair[4..])).wrapping_add(first);
        }
        (first, second)
    }
}

/// A number of a header, which are all written so.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap_or_default())
}

/// Fills the buffer; false where there is not so much.
fn filled(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
