//! Items from files: CSV, JSON lines, JSON arrays. Reads row by row and keeps
//! none of them; knows nothing of servers and batches.

mod columns;
mod csv;
mod envelope;
mod json;
mod lines;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

pub use columns::{Columns, Sent};
pub use csv::{ERROR_COLUMN, ID_COLUMN, KEY_COLUMN};
pub use envelope::{Enclosed, Envelope};
pub use lines::Lines;

use crate::proto::Item;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A header row, then one item a row; values are strings unless the target's
    /// schema says otherwise.
    Csv,
    /// One JSON object a line.
    Jsonl,
    /// One JSON array of objects.
    Json,
}

impl Format {
    /// By the file's extension.
    pub fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" | "tsv" => Some(Format::Csv),
            "jsonl" | "ndjson" => Some(Format::Jsonl),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// What to make of a file.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How it is written.
    pub format: Format,
    /// What separates the values of a CSV file; absent: seen from its header.
    pub delimiter: Option<u8>,
    /// The column or field that an item's id is taken from.
    pub id_column: Option<String>,
    /// The column or field that an item's idempotency key is taken from.
    pub key_column: Option<String>,
    /// What is known of the columns of a CSV file: nothing, and every value is a
    /// string.
    pub columns: Option<Arc<Columns>>,
}

/// An item and where it stood.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The item.
    pub item: Item,
    /// The line it began on, from 1; absent where items do not go by lines.
    pub line: Option<u64>,
}

/// Takes the rows as they are read; an error ends the reading.
pub type Sink<'a> = dyn FnMut(Row) -> anyhow::Result<()> + 'a;

/// Reads all rows. An error names the line, or the item where items do not go
/// by lines; the rows before it were handed on.
///
/// Returns the columns of a CSV file.
pub fn read(
    input: impl Read,
    shape: &Shape,
    sink: &mut Sink<'_>,
) -> anyhow::Result<Option<Vec<String>>> {
    let input = without_bom(input)?;
    match shape.format {
        Format::Csv => csv::read(input, shape, sink).map(Some),
        Format::Jsonl => json::read_lines(input, shape, sink).map(|()| None),
        Format::Json => json::read_array(input, shape, sink).map(|()| None),
    }
}

/// What a first reading of a file found.
#[derive(Debug)]
pub struct Checked {
    /// How many rows there are; at least one.
    pub count: u32,
    /// Which line each is on.
    pub lines: Lines,
    /// The columns of a CSV file.
    pub columns: Option<Vec<String>>,
    /// SHA-256 of the bytes.
    pub digest: [u8; 32],
}

/// Reads a file to its end without doing anything with it, so that what is
/// wrong with its last row is known before its first is sent.
pub fn check(path: &Path, shape: &Shape) -> anyhow::Result<Checked> {
    let mut hashing = Hashing {
        input: open(path)?,
        hasher: Sha256::new(),
    };
    let mut count = 0u32;
    let mut lines = Lines::default();
    let columns = read(&mut hashing, shape, &mut |row| {
        if let Some(line) = row.line {
            lines.add(count, line);
        }
        count = count
            .checked_add(1)
            .context("there are more rows than a batch can have")?;
        Ok(())
    })?;
    if count == 0 {
        bail!("it has no rows to submit");
    }
    Ok(Checked {
        count,
        lines,
        columns,
        digest: hashing.hasher.finalize().into(),
    })
}

/// Opens a file for reading.
pub fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        bail!("it is a directory");
    }
    Ok(file)
}

struct Hashing<R> {
    input: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// The input without the byte order mark that spreadsheets write; UTF-16 is
/// refused, since it would look like damaged text further on.
fn without_bom(mut input: impl Read) -> anyhow::Result<BufReader<impl Read>> {
    let mut head = Vec::new();
    input.by_ref().take(3).read_to_end(&mut head)?;
    if head == [0xEF, 0xBB, 0xBF] {
        head.clear();
    } else if head.starts_with(&[0xFF, 0xFE]) || head.starts_with(&[0xFE, 0xFF]) {
        bail!("it is UTF-16: save it as UTF-8");
    }
    Ok(BufReader::with_capacity(
        64 * 1024,
        Cursor::new(head).chain(input),
    ))
}

/// The column names for an error, as many as are useful.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<_> = names.into_iter().collect();
    let mut text = names
        .iter()
        .take(SHOWN)
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        let _ = write!(text, " and {} more", names.len() - SHOWN);
    }
    text
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// All rows of a text, or what is wrong with it.
    pub fn rows(text: impl AsRef<[u8]>, shape: &Shape) -> Result<Vec<Row>, String> {
        let mut rows = Vec::new();
        read(text.as_ref(), shape, &mut |row| {
            rows.push(row);
            Ok(())
        })
        .map_err(|error| format!("{error:#}"))?;
        Ok(rows)
    }

    pub fn shape(format: Format) -> Shape {
        Shape {
            format,
            delimiter: None,
            id_column: None,
            key_column: None,
            columns: None,
        }
    }

    /// The JSON text of each item.
    pub fn texts(rows: &[Row]) -> Vec<String> {
        rows.iter()
            .map(|row| crate::cli::payload::json(row.item.payload.as_ref().unwrap()).unwrap())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{rows, shape, texts};
    use super::*;

    #[test]
    fn a_byte_order_mark_is_not_part_of_the_first_name() {
        let found = rows("\u{feff}name\nAda\n", &shape(Format::Csv)).unwrap();
        assert_eq!(texts(&found), [r#"{"name":"Ada"}"#]);
        let found = rows("\u{feff}{\"a\":1}", &shape(Format::Jsonl)).unwrap();
        assert_eq!(texts(&found), [r#"{"a":1}"#]);
    }

    #[test]
    fn utf_16_is_called_by_its_name() {
        let error = rows(b"\xff\xfea\0", &shape(Format::Csv)).unwrap_err();
        assert!(error.contains("UTF-16"), "{error}");
    }

    #[test]
    fn a_check_counts_rows_and_knows_their_lines_and_the_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guests.csv");
        std::fs::write(&path, "name\n\"A\nda\"\nBo\n").unwrap();
        let first = check(&path, &shape(Format::Csv)).unwrap();
        assert_eq!(first.count, 2);
        assert_eq!(first.lines.of(0), Some(2));
        assert_eq!(first.lines.of(1), Some(4));
        assert_eq!(first.columns, Some(vec!["name".to_owned()]));
        assert_eq!(
            first.digest,
            <[u8; 32]>::from(Sha256::digest(b"name\n\"A\nda\"\nBo\n"))
        );
    }

    #[test]
    fn a_file_with_a_header_only_has_no_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guests.csv");
        std::fs::write(&path, "name,email\n").unwrap();
        let error = check(&path, &shape(Format::Csv)).unwrap_err();
        assert!(error.to_string().contains("no rows"), "{error}");
    }
}
