//! Failed items as a file that `submit` takes back.

use std::io::Write;

use anyhow::bail;
use csv::Writer;
use serde_json::value::RawValue;

use super::record::{Output, write_line};
use super::source::{
    Columns, ERROR_COLUMN, Enclosed, Envelope, Format, ID_COLUMN, KEY_COLUMN, Sent,
};
use super::{payload, show, tally};
use crate::proto::item_result::Outcome;
use crate::proto::{Item, ItemResult};

/// Writes failed items so that `submit` takes them back.
pub enum FailedItems {
    /// The columns they came with, and `$error`, which `submit` passes over.
    Csv {
        /// Where to.
        rows: Box<Writer<Output>>,
        /// As the first item has them.
        columns: Option<Vec<String>>,
        /// What `submit` will know of them.
        known: Box<Columns>,
    },
    /// An envelope each.
    Jsonl(Output),
}

impl FailedItems {
    /// Begins a file. What is known of the target's columns is what `submit`
    /// reads it with.
    pub fn new(output: Output, form: Format, known: Columns) -> FailedItems {
        match form {
            Format::Csv => FailedItems::Csv {
                rows: Box::new(Writer::from_writer(output)),
                columns: None,
                known: Box::new(known),
            },
            _ => FailedItems::Jsonl(output),
        }
    }

    /// Writes a failed item.
    pub fn add(&mut self, result: &ItemResult) -> anyhow::Result<()> {
        let Some(Outcome::Failure(failure)) = &result.outcome else {
            return Ok(());
        };
        let Some(item) = &result.item else {
            bail!(
                "the batch was submitted so that failed items are not given back \
                 (`echo`): there is nothing to write"
            );
        };
        let error = format!(
            "{} {}",
            show::kind(failure.kind()),
            tally::describe(failure)
        );
        match self {
            FailedItems::Jsonl(output) => write_line(
                output,
                &Envelope {
                    item: Enclosed::of(item),
                    error: Some(error),
                },
            ),
            FailedItems::Csv {
                rows,
                columns,
                known,
            } => {
                let Some(mut cells) = row(item, known) else {
                    bail!(
                        "item {} has what a row of CSV cannot say: write .jsonl instead of .csv",
                        result.index
                    );
                };
                cells.push((ERROR_COLUMN.to_owned(), super::terminal::clean(&error)));
                if columns.is_none() {
                    let names = cells
                        .iter()
                        .map(|(name, _)| name.clone())
                        .collect::<Vec<_>>();
                    rows.write_record(&names)?;
                    *columns = Some(names);
                }
                let columns = columns.as_deref().unwrap_or_default();
                let cell = |name: &String| cells.iter().find(|(other, _)| other == name);
                let found: Vec<_> = columns.iter().filter_map(cell).collect();
                if found.len() != columns.len() || found.len() != cells.len() {
                    bail!(
                        "item {} has other columns than the one before it: write .jsonl instead \
                         of .csv",
                        result.index
                    );
                }
                rows.write_record(found.iter().map(|(_, value)| value))?;
                Ok(())
            }
        }
    }

    /// Writes what is still held back.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            FailedItems::Csv { rows, .. } => rows.flush()?,
            FailedItems::Jsonl(output) => output.flush()?,
        }
        Ok(())
    }
}

/// An item as a row, where that loses nothing.
fn row(item: &Item, known: &Columns) -> Option<Vec<(String, String)>> {
    if item.operation.is_some() {
        return None;
    }
    let mut cells = Vec::new();
    if !item.id.is_empty() {
        cells.push((ID_COLUMN.to_owned(), item.id.clone()));
    }
    if !item.idempotency_key.is_empty() {
        cells.push((KEY_COLUMN.to_owned(), item.idempotency_key.clone()));
    }
    let fields = payload::members(item.payload.as_ref()?)?;
    // A header needs names, and ours must stay ours.
    let fits = |name: &String| !name.trim().is_empty() && !name.starts_with('$');
    if fields.is_empty() || !fields.iter().all(|(name, _)| fits(name)) {
        return None;
    }
    let names: Vec<String> = fields.iter().map(|(name, _)| name.clone()).collect();
    for (name, value) in fields {
        let cell = cell(&name, &value, known)?;
        cells.push((name, cell));
    }
    let left_out = known.absent_when_empty();
    let left_out = left_out.filter(|name| !names.iter().any(|other| other == name));
    cells.extend(left_out.map(|name| (name.to_owned(), String::new())));
    Some(cells)
}

/// A value as a cell from which `submit` makes the same value.
fn cell(name: &str, value: &RawValue, known: &Columns) -> Option<String> {
    let json = value.get();
    let text = match json.as_bytes()[0] {
        b'"' => serde_json::from_str(json).ok()?,
        b'n' => String::new(),
        _ => json.to_owned(),
    };
    let same = match known.sent(name, &text) {
        Sent::Text(_) => json.starts_with('"'),
        Sent::Json(sent) => sent == json,
        Sent::Null => json == "null",
        Sent::Absent => false,
    };
    same.then_some(text)
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::Kept;
    use super::super::source::{Shape, read};
    use super::super::tally::testing::{bad, item};
    use super::*;
    use std::sync::Arc;

    fn failed_file(form: Format, results: &[ItemResult]) -> anyhow::Result<String> {
        known_file(form, results, &Columns::default())
    }

    fn known_file(form: Format, results: &[ItemResult], known: &Columns) -> anyhow::Result<String> {
        let kept = Kept::default();
        let mut file = FailedItems::new(Box::new(kept.clone()), form, known.clone());
        results.iter().try_for_each(|result| file.add(result))?;
        file.flush()?;
        Ok(kept.text())
    }

    fn read_back(form: Format, text: &str, known: &Columns) -> Vec<Item> {
        let shape = Shape {
            format: form,
            delimiter: None,
            id_column: None,
            key_column: None,
            columns: Some(Arc::new(known.clone())),
        };
        let mut items = Vec::new();
        read(text.as_bytes(), &shape, &mut |row| {
            items.push(row.item);
            Ok(())
        })
        .unwrap();
        items
    }

    fn failing(items: &[Item]) -> Vec<ItemResult> {
        (0..)
            .zip(items)
            .map(|(index, item)| ItemResult {
                item: Some(item.clone()),
                ..bad(index, "email", "{}")
            })
            .collect()
    }

    #[test]
    fn failed_items_are_read_back_as_they_were() {
        let mut with_id = item(r#"{"name":"Zoë, \"Z\"","email":"x\ny","zip":"00123"}"#);
        with_id.id = "g-7".to_owned();
        with_id.idempotency_key = "k-7".to_owned();
        let mut other = with_id.clone();
        other.id = "g-8".to_owned();
        let items = [with_id, other];
        for form in [Format::Csv, Format::Jsonl] {
            let text = failed_file(form, &failing(&items)).unwrap();
            assert!(text.contains("email: is not valid"), "{text}");
            assert_eq!(read_back(form, &text, &Columns::default()), items, "{text}");
        }
    }

    #[test]
    fn what_the_schema_types_is_read_back_too_and_nothing_is_bent() {
        let schema = r#"{"required": ["name"], "properties": {
            "name": {"type": "string"}, "age": {"type": "integer"}, "tags": {"type": "array"},
            "price": {"type": "number"}, "nick": {"type": ["string", "null"]}}}"#;
        let known = Columns::of("crm", schema);
        // As submit made them: the second had no age, the third an odd one.
        let items = [
            r#"{"name":"00123","age":41,"price":1.10,"nick":null,"tags":["a",1]}"#,
            r#"{"name":"true","price":12345678901234567890123,"nick":"N","tags":[]}"#,
            r#"{"name":"","age":"old","nick":null}"#,
        ]
        .map(item);
        let text = known_file(Format::Csv, &failing(&items), &known).unwrap();
        let back = read_back(Format::Csv, &text, &known);
        let value = |item: &Item| -> serde_json::Value {
            let text = payload::json(item.payload.as_ref().unwrap()).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        for (back, item) in back.iter().zip(&items) {
            assert_eq!(value(back), value(item), "{text}");
        }
        assert!(
            text.contains(",1.10,") && text.contains(",12345678901234567890123,"),
            "{text}"
        );
        // A text where a number would be read, and the other way round.
        for bent in [
            r#"{"name":"a","age":"41"}"#,
            r#"{"name":7}"#,
            r#"{"name":"a","nick":""}"#,
        ] {
            let error = known_file(Format::Csv, &failing(&[item(bent)]), &known).unwrap_err();
            assert!(error.to_string().contains(".jsonl"), "{error}");
        }
    }

    #[test]
    fn what_csv_cannot_say_is_refused_rather_than_bent() {
        for text in [r#"{"n":1}"#, "[]", "{}", r#"{"$id":"x"}"#] {
            let error = failed_file(Format::Csv, &failing(&[item(text)])).unwrap_err();
            assert!(error.to_string().contains(".jsonl"), "{error}");
        }
        let differ = [item(r#"{"a":"1"}"#), item(r#"{"b":"1"}"#)];
        let error = failed_file(Format::Csv, &failing(&differ)).unwrap_err();
        assert!(error.to_string().starts_with("item 1 has other columns"));
    }

    #[test]
    fn a_batch_without_echo_says_why_there_is_nothing() {
        let result = ItemResult {
            item: None,
            ..bad(0, "email", "{}")
        };
        let error = failed_file(Format::Jsonl, &[result]).unwrap_err();
        assert!(error.to_string().contains("echo"), "{error}");
    }
}
