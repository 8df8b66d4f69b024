//! Payloads as text: for tables, for files, and back.

use std::fmt::{self, Write as _};

use prost_types::{Struct, Value, value::Kind};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::proto::payload::Content;
use crate::proto::{Item, Payload};

/// A JSON payload as text on one line, numbers as they were written; none for
/// a payload that is no JSON.
pub fn json(payload: &Payload) -> Option<String> {
    match payload.content.as_ref()? {
        // A line break in JSON text stands between tokens: within a string it
        // would be escaped.
        Content::JsonText(text) if text.contains(['\n', '\r']) => {
            Some(text.replace(['\n', '\r'], " "))
        }
        Content::JsonText(text) => Some(text.clone()),
        Content::Json(object) => Some(object_to_json(object).to_string()),
        Content::Raw(_) => None,
    }
}

/// A payload as JSON, whatever it is: JSON as it stands, text as a string.
pub fn as_json(payload: &Payload) -> Option<Box<RawValue>> {
    if let Some(text) = json(payload).and_then(|text| RawValue::from_string(text).ok()) {
        return Some(text);
    }
    serde_json::value::to_raw_value(&text(payload)).ok()
}

/// A payload as text, whatever it is: bytes that are no text are replaced.
pub fn text(payload: &Payload) -> String {
    match &payload.content {
        Some(Content::Raw(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => json(payload).unwrap_or_default(),
    }
}

/// The names and values of an item's fields, in their order: of a JSON object
/// its fields, else the whole as one.
pub fn fields(item: &Item) -> Vec<(String, String)> {
    let Some(payload) = &item.payload else {
        return Vec::new();
    };
    let text = text(payload);
    match serde_json::from_str::<serde_json::Map<_, _>>(&text) {
        Ok(object) => object
            .into_iter()
            .map(|(name, value)| match value {
                serde_json::Value::String(text) => (name, text),
                serde_json::Value::Null => (name, String::new()),
                other => (name, other.to_string()),
            })
            .collect(),
        Err(_) => vec![("payload".to_owned(), text)],
    }
}

/// The fields of a payload that is one object, each as JSON text.
pub fn members(payload: &Payload) -> Option<Vec<(String, Box<RawValue>)>> {
    let Members(members) = serde_json::from_str(&json(payload)?).ok()?;
    Some(members)
}

/// An object in its order, with its values as they are written.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Members, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Object)
    }
}

fn object_to_json(object: &Struct) -> serde_json::Value {
    object
        .fields
        .iter()
        .map(|(name, value)| (name.clone(), value_to_json(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn value_to_json(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => serde_json::Value::Null,
        Some(Kind::BoolValue(truth)) => (*truth).into(),
        Some(Kind::StringValue(text)) => text.clone().into(),
        Some(Kind::NumberValue(number)) => number_to_json(*number),
        Some(Kind::StructValue(object)) => object_to_json(object),
        Some(Kind::ListValue(list)) => list.values.iter().map(value_to_json).collect(),
    }
}

/// A whole number as people write it: `7`, not `7.0`.
fn number_to_json(number: f64) -> serde_json::Value {
    let mut text = String::new();
    if number.fract() == 0.0
        && number.abs() < 9e15
        && write!(text, "{number:.0}").is_ok()
        && let Ok(whole) = text.parse::<i64>()
    {
        return whole.into();
    }
    number.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Payload {
        Payload {
            content: Some(Content::JsonText(text.to_owned())),
            content_type: String::new(),
        }
    }

    #[test]
    fn json_text_comes_on_one_line_and_unchanged_otherwise() {
        let payload = of("{\n \"a\": 1.10,\r\n \"b\": \"x\\ny\"}");
        assert_eq!(
            json(&payload).unwrap(),
            "{  \"a\": 1.10,   \"b\": \"x\\ny\"}"
        );
    }

    #[test]
    fn fields_keep_their_order() {
        let item = Item {
            payload: Some(of(r#"{"z":"1","a":true,"m":null}"#)),
            ..Item::default()
        };
        let expected = [("z", "1"), ("a", "true"), ("m", "")];
        assert_eq!(
            fields(&item),
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn a_struct_has_whole_numbers_where_they_are_whole() {
        let number = |number| Value {
            kind: Some(Kind::NumberValue(number)),
        };
        let object = Struct {
            fields: [
                ("a".to_owned(), number(7.0)),
                ("b".to_owned(), number(0.5)),
                ("c".to_owned(), number(-3.0)),
            ]
            .into(),
        };
        let payload = Payload {
            content: Some(Content::Json(object)),
            content_type: String::new(),
        };
        assert_eq!(json(&payload).unwrap(), r#"{"a":7,"b":0.5,"c":-3}"#);
    }

    #[test]
    fn only_a_flat_object_of_strings_is_a_row() {
        let members = members(&of(r#"{"b":"1","a":1.10}"#)).unwrap();
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| (&name[..], value.get()))
            .collect();
        assert_eq!(members, [("b", "\"1\""), ("a", "1.10")]);
        assert!(super::members(&of("[]")).is_none());
    }
}
