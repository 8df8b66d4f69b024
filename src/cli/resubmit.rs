//! Failed items as a file that `submit` takes back.

use std::io::Write;

use anyhow::bail;
use csv::Writer;

use super::record::{Output, write_line};
use super::source::{ERROR_COLUMN, Enclosed, Envelope, Format, ID_COLUMN, KEY_COLUMN};
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
    },
    /// An envelope each.
    Jsonl(Output),
}

impl FailedItems {
    /// Begins a file.
    pub fn new(output: Output, form: Format) -> FailedItems {
        match form {
            Format::Csv => FailedItems::Csv {
                rows: Box::new(Writer::from_writer(output)),
                columns: None,
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
            FailedItems::Csv { rows, columns } => {
                let Some(mut cells) = row(item) else {
                    bail!(
                        "item {} is not a flat object of strings: write .jsonl instead of .csv",
                        result.index
                    );
                };
                cells.push((ERROR_COLUMN.to_owned(), super::terminal::clean(&error)));
                let names: Vec<_> = cells.iter().map(|(name, _)| name.clone()).collect();
                match columns {
                    None => {
                        rows.write_record(&names)?;
                        *columns = Some(names);
                    }
                    Some(columns) if *columns == names => {}
                    Some(_) => bail!(
                        "item {} has other columns than the one before it: write .jsonl instead \
                         of .csv",
                        result.index
                    ),
                }
                rows.write_record(cells.iter().map(|(_, value)| value))?;
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
fn row(item: &Item) -> Option<Vec<(String, String)>> {
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
    let fields = payload::strings(item.payload.as_ref()?)?;
    // A header needs names, and ours must stay ours.
    let fits = |name: &String| !name.trim().is_empty() && !name.starts_with('$');
    if fields.is_empty() || !fields.iter().all(|(name, _)| fits(name)) {
        return None;
    }
    cells.extend(fields);
    Some(cells)
}

#[cfg(test)]
mod tests {
    use super::super::record::testing::Kept;
    use super::super::source::{Shape, read};
    use super::super::tally::testing::{bad, item};
    use super::*;

    fn failed_file(form: Format, results: &[ItemResult]) -> anyhow::Result<String> {
        let kept = Kept::default();
        let mut file = FailedItems::new(Box::new(kept.clone()), form);
        results.iter().try_for_each(|result| file.add(result))?;
        file.flush()?;
        Ok(kept.text())
    }

    fn read_back(form: Format, text: &str) -> Vec<Item> {
        let shape = Shape {
            format: form,
            delimiter: None,
            id_column: None,
            key_column: None,
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
            assert_eq!(read_back(form, &text), items, "{text}");
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
