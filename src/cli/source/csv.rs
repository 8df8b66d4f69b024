//! Items from CSV: each row an object, in the order of the header; of strings,
//! but for what the target's schema says.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use anyhow::{Context, bail};
use csv::{ByteRecord, ReaderBuilder};

use super::{Columns, Row, Sent, Shape, Sink, listed};
use crate::cli::show;
use crate::proto::{Item, Payload, payload};

/// A column that `flowgate results --failed` writes for people; not sent.
pub const ERROR_COLUMN: &str = "$error";
/// A column with the items' ids; not part of the payload.
pub const ID_COLUMN: &str = "$id";
/// A column with the items' idempotency keys; not part of the payload.
pub const KEY_COLUMN: &str = "$key";

/// Reads all rows; returns the names of the columns that are sent.
pub fn read(
    mut input: impl BufRead,
    shape: &Shape,
    sink: &mut Sink<'_>,
) -> anyhow::Result<Vec<String>> {
    let delimiter = match shape.delimiter {
        Some(delimiter) => delimiter,
        None => guess_delimiter(input.fill_buf()?),
    };
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .from_reader(Newlines::of(input));
    let mut record = ByteRecord::new();
    if !reader.read_byte_record(&mut record)? {
        bail!("it is empty: the first line has to name the columns");
    }
    let header = Header::of(&record, shape)?;
    let end = reader.position().byte();
    reader.get_mut().line_of(end, &record);
    while reader.read_byte_record(&mut record)? {
        let end = reader.position().byte();
        let line = reader.get_mut().line_of(end, &record);
        let item = header
            .item(&record)
            .with_context(|| format!("line {line}"))?;
        sink(Row {
            item,
            line: Some(line),
        })?;
    }
    Ok(header.sent_names())
}

/// The most frequent of `,`, `;` and tab in the first line.
fn guess_delimiter(start: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut quoted = false;
    for byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            byte if !quoted => {
                for (delimiter, count) in &mut counts {
                    *count += usize::from(byte == delimiter);
                }
            }
            _ => {}
        }
    }
    // In doubt a comma: the first of the most frequent.
    let mut best = counts[0];
    for candidate in &counts[1..] {
        if candidate.1 > best.1 {
            best = *candidate;
        }
    }
    best.0
}

/// Knows the lines that records begin on. The reader's own count is off by
/// one after CRLF and before blank lines.
struct Newlines<R> {
    input: R,
    /// Bytes read.
    read: u64,
    /// Where the line feeds are that no record has passed yet.
    ahead: VecDeque<u64>,
    passed: u64,
    /// The line of the record before.
    before: u64,
}

impl<R> Newlines<R> {
    fn of(input: R) -> Newlines<R> {
        Newlines {
            input,
            read: 0,
            ahead: VecDeque::new(),
            passed: 0,
            before: 0,
        }
    }

    /// The line that the record before this byte began on.
    fn line_of(&mut self, end: u64, record: &ByteRecord) -> u64 {
        // What ends it, if anything does, is the byte before: not counted.
        let last = end.saturating_sub(1);
        while self.ahead.front().is_some_and(|at| *at < last) {
            self.ahead.pop_front();
            self.passed += 1;
        }
        let within: u64 = record
            .as_slice()
            .iter()
            .map(|byte| u64::from(*byte == b'\n'))
            .sum();
        // In a quote that is not closed the last byte of the file is not its
        // end: the line could only come out too low.
        self.before = (self.passed + 1)
            .saturating_sub(within)
            .max(self.before + 1);
        self.before
    }
}

impl<R: Read> Read for Newlines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        let feeds = (self.read..).zip(&buffer[..read]);
        self.ahead
            .extend(feeds.filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at));
        self.read += read as u64;
        Ok(read)
    }
}

/// What a column is for.
#[derive(Clone, Copy, PartialEq)]
enum Role {
    Sent,
    Id,
    Key,
    Ignored,
}

struct Header {
    columns: Vec<(String, Role)>,
    /// Each name as JSON text, made once.
    quoted: Vec<String>,
    id: Option<usize>,
    key: Option<usize>,
    /// What is known of the target's columns.
    known: Option<Arc<Columns>>,
}

impl Header {
    fn of(record: &ByteRecord, shape: &Shape) -> anyhow::Result<Header> {
        let mut columns: Vec<(String, Role)> = Vec::new();
        for (place, name) in record.iter().enumerate() {
            let name = std::str::from_utf8(name)
                .ok()
                .with_context(|| format!("line 1, column {}: not UTF-8", place + 1))?;
            if name.trim().is_empty() {
                bail!("line 1: column {} has no name", place + 1);
            }
            if let Some(first) = columns.iter().position(|(other, _)| other == name) {
                bail!(
                    "line 1: columns {} and {} are both called `{name}`",
                    first + 1,
                    place + 1
                );
            }
            let role = match name {
                ERROR_COLUMN => Role::Ignored,
                ID_COLUMN => Role::Id,
                KEY_COLUMN => Role::Key,
                _ => Role::Sent,
            };
            columns.push((name.to_owned(), role));
        }
        let quoted = columns
            .iter()
            .map(|(name, _)| serde_json::to_string(name))
            .collect::<Result<_, _>>()?;
        let find = |given: &Option<String>, role: Role| match given {
            None => Ok(columns.iter().position(|(_, other)| *other == role)),
            Some(name) => match columns.iter().position(|(other, _)| other == name) {
                Some(place) => Ok(Some(place)),
                None => bail!(
                    "there is no column `{name}`; the columns are {}",
                    listed(columns.iter().map(|(name, _)| name.as_str()))
                ),
            },
        };
        if let Some(known) = &shape.columns {
            let sent = columns.iter().filter(|(_, role)| *role == Role::Sent);
            known.check(sent.map(|(name, _)| name.as_str()))?;
        }
        Ok(Header {
            known: shape.columns.clone(),
            id: find(&shape.id_column, Role::Id)?,
            key: find(&shape.key_column, Role::Key)?,
            columns,
            quoted,
        })
    }

    fn sent_names(&self) -> Vec<String> {
        self.columns
            .iter()
            .filter(|(_, role)| *role == Role::Sent)
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn item(&self, record: &ByteRecord) -> anyhow::Result<Item> {
        if record.len() != self.columns.len() {
            let mut error = format!(
                "{}, but the first line names {}",
                show::count(record.len() as u64, "value"),
                show::count(self.columns.len() as u64, "column"),
            );
            if record.iter().any(|value| value.contains(&b'\n')) {
                error.push_str(" (is a quote not closed?)");
            }
            bail!(error);
        }
        let mut text = String::with_capacity(record.as_slice().len() + self.quoted.len() * 16);
        let mut values = Vec::with_capacity(record.len());
        for (value, (name, _)) in record.iter().zip(&self.columns) {
            values.push(
                std::str::from_utf8(value)
                    .ok()
                    .with_context(|| format!("column `{name}`: not UTF-8"))?,
            );
        }
        for ((value, quoted), (name, role)) in values.iter().zip(&self.quoted).zip(&self.columns) {
            let sent = match &self.known {
                _ if *role != Role::Sent => Sent::Absent,
                Some(known) => known.sent(name, value),
                None => Sent::Text(value),
            };
            let value = match sent {
                Sent::Absent => continue,
                Sent::Null => "null".into(),
                Sent::Json(json) => json.into(),
                Sent::Text(value) => Cow::from(serde_json::to_string(value)?),
            };
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(quoted);
            text.push(':');
            text.push_str(&value);
        }
        if text.is_empty() {
            text.push('{');
        }
        text.push('}');
        let value = |place: Option<usize>| place.map_or_else(String::new, |p| values[p].to_owned());
        Ok(Item {
            id: value(self.id),
            idempotency_key: value(self.key),
            payload: Some(Payload {
                content: Some(payload::Content::JsonText(text)),
                content_type: String::new(),
            }),
            operation: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{rows, shape, texts};
    use super::super::{Format, Shape};

    fn csv() -> Shape {
        shape(Format::Csv)
    }

    #[test]
    fn every_value_is_a_string_and_stays_as_it_is() {
        let found = rows("id,zip, note\n1,00123,\" a \"\"b\"\"\"\n", &csv()).unwrap();
        assert_eq!(
            texts(&found),
            [r#"{"id":"1","zip":"00123"," note":" a \"b\""}"#]
        );
        assert_eq!(found[0].item.id, "");
    }

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        for end in ["\n", "\r\n"] {
            let text = ["a,b", "1,2", "", "\"x", "y\",2", "3,4"].join(end);
            let found = rows(&text, &csv()).unwrap();
            let lines: Vec<_> = found.iter().map(|row| row.line.unwrap()).collect();
            assert_eq!(lines, [2, 4, 6], "{end:?}");
        }
    }

    #[test]
    fn semicolons_and_tabs_are_seen_in_the_header() {
        for text in ["a;b, c\n1;2\n", "a\tb, c\n1\t2\n"] {
            let found = rows(text, &csv()).unwrap();
            assert_eq!(texts(&found), [r#"{"a":"1","b, c":"2"}"#]);
        }
        let given = Shape {
            delimiter: Some(b'|'),
            ..csv()
        };
        assert_eq!(
            texts(&rows("a|b;c\n1|2\n", &given).unwrap()),
            [r#"{"a":"1","b;c":"2"}"#]
        );
    }

    #[test]
    fn ids_and_keys_come_from_the_columns_that_are_named() {
        let given = Shape {
            id_column: Some("nr".to_owned()),
            key_column: Some("order".to_owned()),
            ..csv()
        };
        let found = rows("nr,order\n7,o-1\n", &given).unwrap();
        assert_eq!(found[0].item.id, "7");
        assert_eq!(found[0].item.idempotency_key, "o-1");
        assert_eq!(texts(&found), [r#"{"nr":"7","order":"o-1"}"#]);
        let error = rows("number,order\n7,o-1\n", &given).unwrap_err();
        assert_eq!(
            error,
            "there is no column `nr`; the columns are `number`, `order`"
        );
    }

    #[test]
    fn columns_of_our_own_are_not_sent() {
        let found = rows("$id,$key,$error,name\n7,k,bad,Ada\n", &csv()).unwrap();
        assert_eq!(found[0].item.id, "7");
        assert_eq!(found[0].item.idempotency_key, "k");
        assert_eq!(texts(&found), [r#"{"name":"Ada"}"#]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, expected) in [
            (&b""[..], "it is empty"),
            (b"a,b\n1,2\n3\n", "line 3: 1 value, but"),
            (b"a,,b\n", "line 1: column 2 has no name"),
            (b"a,b,a\n", "line 1: columns 1 and 3 are both called `a`"),
            (b"a,b\n1,\xff\n", "line 2: column `b`: not UTF-8"),
            (b"a,\xff\n", "line 1, column 2: not UTF-8"),
        ] {
            let error = rows(text, &csv()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_is_suspected() {
        let error = rows("a,b\n\"1,2\n3,4\n", &csv()).unwrap_err();
        assert_eq!(
            error,
            "line 2: 1 value, but the first line names 2 columns (is a quote not closed?)"
        );
    }
}
