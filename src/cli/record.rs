//! Results as files: each as a row of CSV or a line of JSON.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, bail};
use csv::Writer;
use serde::Serialize;
use serde_json::value::RawValue;

use super::source::{Enclosed, Format};
use super::{payload, show, tally};
use crate::proto::item_result::Outcome;
use crate::proto::{Failure, ItemResult, Payload};

/// Where a file goes.
pub type Output = Box<dyn Write + Send>;

/// The form of a file of results, by its extension.
pub fn form_of(path: &Path) -> anyhow::Result<Format> {
    match Format::of(path) {
        Some(form @ (Format::Csv | Format::Jsonl)) => Ok(form),
        _ => bail!("{}: results are written as .csv or .jsonl", path.display()),
    }
}

/// Makes a file for writing.
pub fn create(path: &Path) -> anyhow::Result<Output> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Writes results as they come.
pub enum Recorder {
    /// A row each.
    Csv {
        /// Where to.
        rows: Box<Writer<Output>>,
        /// The columns that failed items came with; absent where they are not
        /// known beforehand: the item is then written as JSON, in one column.
        columns: Option<Vec<String>>,
    },
    /// An object each.
    Jsonl(Output),
}

impl Recorder {
    /// Begins a file; a CSV file with its header.
    pub fn new(
        output: Output,
        form: Format,
        columns: Option<Vec<String>>,
    ) -> anyhow::Result<Recorder> {
        if form != Format::Csv {
            return Ok(Recorder::Jsonl(output));
        }
        let mut rows = Box::new(Writer::from_writer(output));
        let own = [
            "index",
            "id",
            "status",
            "target_status",
            "kind",
            "error",
            "fields",
            "attempts",
            "replayed",
            "reply",
        ];
        // Prefixed, since a file may well have an `id` of its own.
        let theirs = match &columns {
            Some(columns) => columns.iter().map(|name| format!("item.{name}")).collect(),
            None => vec!["item".to_owned()],
        };
        rows.write_record(own.into_iter().map(str::to_owned).chain(theirs))?;
        Ok(Recorder::Csv { rows, columns })
    }

    /// Writes a result.
    pub fn add(&mut self, result: &ItemResult) -> anyhow::Result<()> {
        let line = Line::of(result);
        match self {
            Recorder::Jsonl(output) => write_line(output, &line),
            Recorder::Csv { rows, columns } => {
                let mut cells = line.cells();
                match (&*columns, &result.item) {
                    (Some(columns), item) => {
                        let fields = item.as_ref().map(payload::fields).unwrap_or_default();
                        cells.extend(columns.iter().map(|name| {
                            let found = fields.iter().find(|(other, _)| other == name);
                            found.map_or_else(String::new, |(_, value)| value.clone())
                        }));
                    }
                    (None, Some(item)) => {
                        let body = item.payload.as_ref();
                        cells.push(body.map(payload::text).unwrap_or_default());
                    }
                    (None, None) => cells.push(String::new()),
                }
                rows.write_record(cells)?;
                Ok(())
            }
        }
    }

    /// Writes what is still held back.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        match self {
            Recorder::Csv { rows, .. } => rows.flush()?,
            Recorder::Jsonl(output) => output.flush()?,
        }
        Ok(())
    }
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

/// A result as one JSON object.
#[derive(Serialize)]
struct Line<'a> {
    index: u32,
    id: &'a str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_status: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    attempts: u32,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reply_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Enclosed>,
}

#[derive(Serialize)]
struct Field {
    field: String,
    message: String,
}

impl<'a> Line<'a> {
    fn of(result: &'a ItemResult) -> Line<'a> {
        let mut line = Line {
            index: result.index,
            id: &result.id,
            status: "unknown",
            target_status: None,
            kind: None,
            reason: None,
            error: None,
            fields: Vec::new(),
            retryable: None,
            attempts: result.attempts,
            replayed: result.replayed,
            reply: None,
            reply_truncated: false,
            item: result.item.as_ref().map(Enclosed::of),
        };
        match &result.outcome {
            None => {}
            Some(Outcome::Success(success)) => {
                line.status = "succeeded";
                line.answer(success.target_status, success.reply.as_ref());
                line.reply_truncated = success.reply_truncated;
            }
            Some(Outcome::Failure(failure)) => line.failure(failure),
        }
        line
    }

    fn failure(&mut self, failure: &Failure) {
        self.status = "failed";
        self.answer(failure.target_status, failure.reply.as_ref());
        self.reply_truncated = failure.reply_truncated;
        self.kind = Some(show::kind(failure.kind()));
        self.reason = Some(tally::reason(failure)).filter(|reason| !reason.is_empty());
        self.error = Some(match &failure.error {
            Some(error) if !error.message.is_empty() => error.message.clone(),
            _ => tally::describe(failure),
        });
        self.retryable = Some(failure.retryable);
        self.fields = tally::violations(failure)
            .into_iter()
            .map(|(field, message)| Field { field, message })
            .collect();
    }

    fn answer(&mut self, status: u32, reply: Option<&Payload>) {
        self.target_status = Some(status).filter(|status| *status != 0);
        self.reply = reply.and_then(payload::as_json);
    }

    /// Its own columns in CSV.
    fn cells(&self) -> Vec<String> {
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|field| format!("{}: {}", field.field, field.message))
            .collect();
        vec![
            self.index.to_string(),
            self.id.to_owned(),
            self.status.to_owned(),
            self.target_status
                .map_or_else(String::new, |s| s.to_string()),
            self.kind.unwrap_or_default().to_owned(),
            self.error.clone().unwrap_or_default(),
            fields.join("; "),
            self.attempts.to_string(),
            if self.replayed { "true" } else { "" }.to_owned(),
            self.reply.as_ref().map_or("", |r| r.get()).to_owned(),
        ]
    }
}

/// Writes a value as a line of JSON.
pub fn write_line(output: &mut Output, value: &impl Serialize) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *output, value).map_err(std::io::Error::from)?;
    output.write_all(b"\n")?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A file in memory.
    #[derive(Clone, Default)]
    pub struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        pub fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tally::testing::{bad, good, item};
    use super::testing::Kept;
    use super::*;

    #[test]
    fn results_as_csv_have_the_columns_of_failed_items() {
        let kept = Kept::default();
        let columns = Some(vec!["id".to_owned(), "email".to_owned()]);
        let mut file = Recorder::new(Box::new(kept.clone()), Format::Csv, columns).unwrap();
        file.add(&ItemResult {
            attempts: 0,
            replayed: true,
            ..good(0)
        })
        .unwrap();
        file.add(&bad(1, "email", r#"{"id":"7","email":"x,y"}"#))
            .unwrap();
        file.flush().unwrap();
        insta::assert_snapshot!(kept.text(), @r#"
        index,id,status,target_status,kind,error,fields,attempts,replayed,reply,item.id,item.email
        0,0,succeeded,201,,,,0,true,,,
        1,1,failed,422,REJECTED,the target refused it,email: is not valid,1,,,7,"x,y"
        "#);
    }

    #[test]
    fn results_as_json_lines_have_the_reply_as_json() {
        let kept = Kept::default();
        let mut file = Recorder::new(Box::new(kept.clone()), Format::Jsonl, None).unwrap();
        let mut result = good(0);
        if let Some(Outcome::Success(success)) = &mut result.outcome {
            success.reply = item(r#"{"id": 1.0}"#).payload;
        }
        file.add(&result).unwrap();
        file.add(&bad(1, "email", r#"{"email":"x"}"#)).unwrap();
        insta::assert_snapshot!(kept.text(), @r#"
        {"index":0,"id":"0","status":"succeeded","target_status":201,"attempts":1,"reply":{"id": 1.0}}
        {"index":1,"id":"1","status":"failed","target_status":422,"kind":"REJECTED","reason":"HTTP_422","error":"the target refused it","fields":[{"field":"email","message":"is not valid"}],"retryable":false,"attempts":1,"item":{"payload":{"email":"x"}}}
        "#);
    }
}
