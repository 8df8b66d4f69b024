//! Items from JSON, each kept as the very text that stood in the file: exact
//! numbers, the order of keys.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Read};

use anyhow::{Context, anyhow, bail};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::envelope::Envelope;
use super::{Row, Shape, Sink, listed};
use crate::proto::{Item, Payload, payload::Content};

/// A line this long holds no item that a server would take; it is refused
/// before it fills the memory.
const LONGEST_LINE: u64 = 16 * 1024 * 1024;

/// Reads one item a line; blank lines are passed over.
pub fn read_lines(
    mut input: impl BufRead,
    shape: &Shape,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for line in 1u64.. {
        text.clear();
        let read = input
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut text)?;
        if read == 0 {
            break;
        }
        let place = || format!("line {line}");
        if read as u64 == LONGEST_LINE && text.last() != Some(&b'\n') {
            bail!("line {line}: longer than 16 MiB");
        }
        let text = std::str::from_utf8(&text)
            .context("not UTF-8")
            .with_context(place)?
            .trim();
        if text.is_empty() {
            continue;
        }
        if line == 1 && text.starts_with('[') {
            bail!("line 1: this begins a JSON array: say --format json");
        }
        let item = item(text, shape).with_context(place)?;
        sink(Row {
            item,
            line: Some(line),
        })?;
    }
    Ok(())
}

/// Reads the elements of one array.
pub fn read_array(
    mut input: impl BufRead,
    shape: &Shape,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    match first_byte(&mut input)? {
        None => bail!("it is empty: expected a JSON array of objects"),
        Some(b'[') => {}
        Some(b'{') => bail!(
            "it begins with an object: expected an array of objects; for one object a line say \
             --format jsonl"
        ),
        Some(_) => bail!("expected a JSON array of objects"),
    }
    let mut elements = Elements {
        shape,
        sink,
        count: 0,
        stopped: None,
    };
    let mut json = serde_json::Deserializer::from_reader(input);
    let result = (&mut elements).deserialize(&mut json);
    if let Some(error) = elements.stopped {
        return Err(error);
    }
    let count = elements.count;
    result
        .and_then(|()| json.end())
        .map_err(|error| anyhow!("after item {count}: {error}"))
}

/// The first byte that is not white space, which is passed over.
fn first_byte(input: &mut impl BufRead) -> anyhow::Result<Option<u8>> {
    loop {
        let buffer = input.fill_buf()?;
        let Some(first) = buffer.first().copied() else {
            return Ok(None);
        };
        if !first.is_ascii_whitespace() {
            return Ok(Some(first));
        }
        input.consume(1);
    }
}

/// Hands the elements of an array on as they are read.
struct Elements<'a, 's> {
    shape: &'a Shape,
    sink: &'a mut Sink<'s>,
    count: u64,
    /// Why the reading ended early; serde's errors can only carry text.
    stopped: Option<anyhow::Error>,
}

impl<'de> DeserializeSeed<'de> for &mut Elements<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(text) = elements.next_element::<Box<RawValue>>()? {
            self.count += 1;
            let handed_on = item(text.get(), self.shape)
                .with_context(|| format!("item {}", self.count))
                .and_then(|item| (self.sink)(Row { item, line: None }));
            if let Err(error) = handed_on {
                self.stopped = Some(error);
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// The item that a text says: an envelope, or the payload itself.
fn item(text: &str, shape: &Shape) -> anyhow::Result<Item> {
    if !text.starts_with('{') {
        // Bad JSON first: that is the nearer cause.
        serde_json::from_str::<&RawValue>(text)?;
        bail!("not an object: put it in an envelope, {{\"$item\": {{\"payload\": ...}}}}");
    }
    let mut item = if is_envelope(text)? {
        let envelope: Envelope = serde_json::from_str(text)?;
        envelope.item.into_item()?
    } else {
        Item {
            payload: Some(Payload {
                content: Some(Content::JsonText(text.to_owned())),
                content_type: String::new(),
            }),
            ..Item::default()
        }
    };
    let (id, key) = named(&item, shape)?;
    item.id = id;
    item.idempotency_key = key;
    Ok(item)
}

/// An object with the field `$item`; checks the text on the way.
fn is_envelope(text: &str) -> anyhow::Result<bool> {
    // A plain payload, the usual case, is checked without taking it apart.
    if !text.contains("\"$item\"") {
        serde_json::from_str::<&RawValue>(text)?;
        return Ok(false);
    }
    let fields: Fields<'_> = serde_json::from_str(text)?;
    Ok(fields.contains_key("$item"))
}

/// The id and the key: those in the envelope, else those in the fields that
/// the command line names.
fn named(item: &Item, shape: &Shape) -> anyhow::Result<(String, String)> {
    let fields: Fields<'_> = match &item.payload {
        Some(Payload {
            content: Some(Content::JsonText(text)),
            ..
        }) if shape.id_column.is_some() || shape.key_column.is_some() => {
            serde_json::from_str(text).unwrap_or_default()
        }
        _ => Fields::new(),
    };
    let pick = |own: &String, column: &Option<String>| match column {
        Some(column) if own.is_empty() => scalar(&fields, column),
        _ => Ok(own.clone()),
    };
    Ok((
        pick(&item.id, &shape.id_column)?,
        pick(&item.idempotency_key, &shape.key_column)?,
    ))
}

/// A field's value as text: a string's content, a number as it is written.
fn scalar(fields: &Fields<'_>, name: &str) -> anyhow::Result<String> {
    let Some(value) = fields.get(name) else {
        bail!(
            "there is no field `{name}`; the fields are {}",
            listed(fields.keys().map(AsRef::as_ref))
        );
    };
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => Ok(serde_json::from_str(text)?),
        Some(b'-' | b'0'..=b'9') => Ok(text.to_owned()),
        _ => bail!("the field `{name}` is neither a string nor a number"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{rows, shape, texts};
    use super::super::{Format, Shape};

    const EXACT: &str = r#"{"z":1.10,"a":123456789012345678901234567890, "b":"é"}"#;

    #[test]
    fn the_text_is_kept_to_the_letter() {
        let lines = rows(format!("{EXACT}\n\n{EXACT}"), &shape(Format::Jsonl)).unwrap();
        assert_eq!(texts(&lines), [EXACT, EXACT]);
        assert_eq!(lines[1].line, Some(3));
        let array = rows(format!(" [ {EXACT},\n{EXACT} ]\n"), &shape(Format::Json)).unwrap();
        assert_eq!(texts(&array), [EXACT, EXACT]);
        assert_eq!(array[1].line, None);
    }

    #[test]
    fn ids_and_keys_come_from_the_fields_that_are_named() {
        let given = Shape {
            id_column: Some("nr".to_owned()),
            key_column: Some("ref".to_owned()),
            ..shape(Format::Jsonl)
        };
        let found = rows(r#"{"nr":47,"ref":"a\"b"}"#, &given).unwrap();
        assert_eq!(found[0].item.id, "47");
        assert_eq!(found[0].item.idempotency_key, "a\"b");
        let error = rows(r#"{"number":47,"ref":"x"}"#, &given).unwrap_err();
        assert_eq!(
            error,
            "line 1: there is no field `nr`; the fields are `number`, `ref`"
        );
        let error = rows(r#"{"nr":null,"ref":"x"}"#, &given).unwrap_err();
        assert!(error.contains("neither a string nor a number"), "{error}");
    }

    #[test]
    fn an_envelope_is_opened() {
        let line = r#"{"$error":"bad","$item":{"id":"7","payload":{"n":1.0}}}"#;
        let found = rows(line, &shape(Format::Jsonl)).unwrap();
        assert_eq!(found[0].item.id, "7");
        assert_eq!(texts(&found), [r#"{"n":1.0}"#]);
        // The name deeper down makes no envelope.
        let deeper = r#"{"a":{"$item":1}}"#;
        assert_eq!(
            texts(&rows(deeper, &shape(Format::Jsonl)).unwrap()),
            [deeper]
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (format, text, expected) in [
            (Format::Jsonl, "{}\n{\"a\":}\n", "line 2: "),
            (Format::Jsonl, "{}\n7\n", "line 2: not an object"),
            (Format::Jsonl, "[{}]\n", "--format json"),
            (Format::Json, "", "it is empty"),
            (Format::Json, "{}\n{}", "--format jsonl"),
            (Format::Json, "[{}, 7]", "item 2: not an object"),
            (Format::Json, "[{}, {\"a\"", "after item 1: "),
            (Format::Json, "[{}] x", "after item 1: trailing characters"),
        ] {
            let error = rows(text, &shape(format)).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        let error = rows(b"{}\n\"\xff\"", &shape(Format::Jsonl)).unwrap_err();
        assert!(error.starts_with("line 2: not UTF-8"), "{error}");
    }
}
