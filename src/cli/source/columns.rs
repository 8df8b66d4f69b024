//! What the schema of a target says of the columns of a CSV file: which values
//! are numbers, and which columns there may be. Reads as much of a schema as
//! that takes; what it does not understand it takes for a string.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::listed;
use crate::core::near::nearest;

/// How many references are followed from one property.
const DEPTH: usize = 8;

/// Sets of types, a bit each.
const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const INTEGER: u8 = 4;
/// Every whole number is a number.
const NUMBER: u8 = 8 | INTEGER;
const STRING: u8 = 16;
const ARRAY: u8 = 32;
const OBJECT: u8 = 64;
const ANY: u8 = 127;

/// What is known of the columns of a target's items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    target: String,
    /// The types of the properties that the schema names.
    types: BTreeMap<String, u8>,
    required: BTreeSet<String>,
    /// There may be no others.
    closed: bool,
}

/// What a cell is sent as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent<'v> {
    /// A string.
    Text(&'v str),
    /// JSON as it stands.
    Json(&'v str),
    /// `null`.
    Null,
    /// Not at all.
    Absent,
}

impl Columns {
    /// What a schema says of the columns of items for a target. Nothing where it
    /// is no schema that can be read.
    pub fn of(target: &str, schema: &str) -> Columns {
        let root: Value = serde_json::from_str(schema).unwrap_or_default();
        let mut columns = Columns {
            target: target.to_owned(),
            ..Columns::default()
        };
        columns.gather(&root, &root, 0);
        columns.closed = is_closed(&root);
        columns
    }

    fn gather(&mut self, schema: &Value, root: &Value, depth: usize) {
        let Some(object) = schema.as_object().filter(|_| depth < DEPTH) else {
            return;
        };
        for (name, property) in entries(object, "properties") {
            let types = self.types.entry(name.clone()).or_insert(ANY);
            *types &= types_of(property, root, depth);
        }
        let required = object.get("required").and_then(Value::as_array);
        let required = required.into_iter().flatten().filter_map(Value::as_str);
        self.required.extend(required.map(str::to_owned));
        if let Some(referred) = referred(object, root) {
            self.gather(referred, root, depth + 1);
        }
        let all = object.get("allOf").and_then(Value::as_array);
        for each in all.into_iter().flatten() {
            self.gather(each, root, depth + 1);
        }
    }

    /// Checks that the schema knows these columns.
    pub fn check<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> anyhow::Result<()> {
        for name in names {
            if !self.closed || self.types.contains_key(name) {
                continue;
            }
            let known = || self.types.keys().map(String::as_str);
            let target = &self.target;
            match nearest(name, known()) {
                Some(near) => bail!(
                    "the target {target} does not take a column `{name}`; did you mean `{near}`?"
                ),
                None => bail!(
                    "the target {target} does not take a column `{name}`; its columns are {}",
                    listed(known())
                ),
            }
        }
        Ok(())
    }

    /// What a cell is sent as. One that does not fit stays text, so that the
    /// target's schema names it.
    pub fn sent<'v>(&self, name: &str, cell: &'v str) -> Sent<'v> {
        let types = self.types.get(name).copied().unwrap_or(ANY);
        let bare = cell.trim();
        let has = |kind: u8| types & kind == kind;
        if bare.is_empty() && types != ANY && has(NULL) {
            return Sent::Null;
        }
        if has(STRING) {
            return Sent::Text(cell);
        }
        if bare.is_empty() {
            // No such value can be empty: it is not there.
            return match self.required.contains(name) {
                true => Sent::Text(cell),
                false => Sent::Absent,
            };
        }
        if has(BOOLEAN) {
            for truth in ["true", "false"] {
                if bare.eq_ignore_ascii_case(truth) {
                    return Sent::Json(truth);
                }
            }
        }
        let is_json = || serde_json::from_str::<&RawValue>(bare).is_ok();
        let fits = match bare.as_bytes()[0] {
            b'[' => has(ARRAY) && is_json(),
            b'{' => has(OBJECT) && is_json(),
            b'-' | b'0'..=b'9' => {
                let whole = bare.bytes().all(|b| b == b'-' || b.is_ascii_digit());
                (has(NUMBER) || has(INTEGER) && whole) && is_json()
            }
            _ => false,
        };
        match fits {
            true => Sent::Json(bare),
            false => Sent::Text(cell),
        }
    }

    /// The columns of which an empty cell is not sent.
    pub fn absent_when_empty(&self) -> impl Iterator<Item = &str> {
        let names = self.types.keys().map(String::as_str);
        names.filter(|name| self.sent(name, "") == Sent::Absent)
    }
}

fn entries<'s>(
    object: &'s Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = (&'s String, &'s Value)> {
    let inner = object.get(name).and_then(Value::as_object);
    inner.into_iter().flatten()
}

/// Whether there may be no properties but those that are gathered.
fn is_closed(root: &Value) -> bool {
    let Some(object) = root.as_object() else {
        return false;
    };
    let elsewhere = [
        "patternProperties",
        "anyOf",
        "oneOf",
        "if",
        "dependentSchemas",
        "$dynamicRef",
        "$recursiveRef",
    ];
    let has = |name: &str| object.contains_key(name);
    match object.get("additionalProperties") {
        // It sees only what stands beside it.
        Some(Value::Bool(false)) => !has("patternProperties"),
        _ => {
            object.get("unevaluatedProperties") == Some(&Value::Bool(false))
                && !elsewhere.iter().any(|name| has(name))
        }
    }
}

/// The types that a schema lets through.
fn types_of(schema: &Value, root: &Value, depth: usize) -> u8 {
    let Some(object) = schema.as_object().filter(|_| depth < DEPTH) else {
        return ANY;
    };
    let mut types = ANY;
    match object.get("type") {
        Some(Value::String(name)) => types &= named(name),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str);
            types &= names.fold(0, |all, name| all | named(name));
        }
        _ => {}
    }
    if let Some(value) = object.get("const") {
        types &= type_of(value);
    }
    if let Some(values) = object.get("enum").and_then(Value::as_array) {
        types &= values.iter().fold(0, |all, value| all | type_of(value));
    }
    let below = |schema: &Value| types_of(schema, root, depth + 1);
    for name in ["anyOf", "oneOf"] {
        if let Some(forms) = object.get(name).and_then(Value::as_array) {
            types &= forms.iter().fold(0, |all, form| all | below(form));
        }
    }
    let all = object.get("allOf").and_then(Value::as_array);
    for each in all.into_iter().flatten() {
        types &= below(each);
    }
    if let Some(referred) = referred(object, root) {
        types &= below(referred);
    }
    types
}

/// Where a reference within the document leads.
fn referred<'s>(object: &Map<String, Value>, root: &'s Value) -> Option<&'s Value> {
    let pointer = object.get("$ref")?.as_str()?.strip_prefix('#')?;
    root.pointer(pointer)
}

fn named(name: &str) -> u8 {
    match name {
        "null" => NULL,
        "boolean" => BOOLEAN,
        "integer" => INTEGER,
        "number" => NUMBER,
        "string" => STRING,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => ANY,
    }
}

fn type_of(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(number) if number.is_f64() => NUMBER,
        Value::Number(_) => INTEGER,
        Value::String(_) => STRING,
        Value::Array(_) => ARRAY,
        Value::Object(_) => OBJECT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r##"{
        "required": ["age", "name"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string"}, "nick": {"type": ["string", "null"]},
            "zip": {}, "age": {"type": "integer"}, "rooms": {"type": "integer"},
            "stars": {"type": ["integer", "null"]}, "price": {"type": "number"},
            "vip": {"type": "boolean"}, "tags": {"type": "array"}, "home": {"type": "object"},
            "code": {"type": ["integer", "string"]}, "floor": {"enum": [1, 2, null]},
            "size": {"enum": ["S", "M"]}, "town": {"$ref": "#/$defs/town"},
            "level": {"$ref": "#/$defs/level", "minimum": 1},
            "either": {"anyOf": [{"type": "boolean"}, {"type": "integer"}]},
            "both": {"allOf": [{"type": ["string", "integer"]}, {"type": ["integer", "null"]}]},
            "round": {"$ref": "#/properties/round"}
        },
        "$defs": {"town": {"type": "string"}, "level": {"type": "integer"}}
    }"##;

    #[test]
    fn a_cell_is_what_its_property_says_and_a_string_where_that_does_not_fit() {
        use Sent::{Absent, Json, Null, Text};
        let columns = Columns::of("crm", SCHEMA);
        let table = [
            ("name", "00123", Text("00123")),
            ("name", "", Text("")),
            ("name", "true", Text("true")),
            ("nick", "", Null),
            ("nick", "7", Text("7")),
            ("zip", "00123", Text("00123")),
            ("zip", "", Text("")),
            ("unheard of", "1", Text("1")),
            ("age", "41", Json("41")),
            ("age", " 41 ", Json("41")),
            ("age", "-1", Json("-1")),
            ("age", "00123", Text("00123")),
            ("age", "1.0", Text("1.0")),
            ("age", "1e3", Text("1e3")),
            ("age", "4-1", Text("4-1")),
            ("age", "old", Text("old")),
            ("age", "", Text("")),
            ("rooms", "", Absent),
            ("rooms", "  ", Absent),
            ("stars", "", Null),
            ("stars", "5", Json("5")),
            ("price", "1.10", Json("1.10")),
            (
                "price",
                "123456789012345678901234567890",
                Json("123456789012345678901234567890"),
            ),
            ("price", "1,10", Text("1,10")),
            ("price", "1e3", Json("1e3")),
            ("price", "+1", Text("+1")),
            ("price", "NaN", Text("NaN")),
            ("vip", "true", Json("true")),
            ("vip", "FALSE", Json("false")),
            ("vip", "yes", Text("yes")),
            ("vip", "1", Text("1")),
            ("tags", "[\"a\", 1]", Json("[\"a\", 1]")),
            ("tags", "[a]", Text("[a]")),
            ("tags", "{}", Text("{}")),
            ("home", "{\"town\":\"Oslo\"}", Json("{\"town\":\"Oslo\"}")),
            ("home", "[]", Text("[]")),
            ("home", "Oslo", Text("Oslo")),
            ("code", "00123", Text("00123")),
            ("floor", "2", Json("2")),
            ("floor", "", Null),
            ("size", "M", Text("M")),
            ("town", "7", Text("7")),
            ("level", "7", Json("7")),
            ("either", "7", Json("7")),
            ("either", "true", Json("true")),
            ("either", "x", Text("x")),
            ("both", "7", Json("7")),
            ("both", "x", Text("x")),
            ("round", "7", Text("7")),
        ];
        for (name, cell, want) in table {
            assert_eq!(columns.sent(name, cell), want, "{name}: {cell:?}");
        }
        let absent: Vec<&str> = columns.absent_when_empty().collect();
        assert_eq!(
            absent,
            [
                "both", "either", "home", "level", "price", "rooms", "tags", "vip"
            ]
        );
    }

    #[test]
    fn a_column_that_the_schema_does_not_know_is_told_with_the_near_one() {
        let said = |schema: &str, name: &str| {
            let checked = Columns::of("crm", schema).check([name]);
            checked.map_err(|error| error.to_string())
        };
        assert_eq!(said(SCHEMA, "price"), Ok(()));
        assert_eq!(
            said(SCHEMA, "prise").unwrap_err(),
            "the target crm does not take a column `prise`; did you mean `price`?"
        );
        let few = r#"{"additionalProperties": false, "properties": {"a": {}, "b": {}}}"#;
        assert_eq!(
            said(few, "colour").unwrap_err(),
            "the target crm does not take a column `colour`; its columns are `a`, `b`"
        );
        let evaluated = r##"{"unevaluatedProperties": false, "allOf": [{"$ref": "#/$defs/a"}],
            "$defs": {"a": {"properties": {"a": {}}}}}"##;
        assert!(said(evaluated, "a").is_ok() && said(evaluated, "colour").is_err());
        for open in [
            r#"{"properties": {"a": {}}}"#,
            r#"{"additionalProperties": {"type": "string"}}"#,
            r#"{"additionalProperties": false, "patternProperties": {"^x-": {}}}"#,
            r#"{"unevaluatedProperties": false, "anyOf": [{"properties": {"colour": {}}}]}"#,
            "true",
            "not a schema",
        ] {
            assert_eq!(said(open, "colour"), Ok(()), "{open}");
        }
    }
}
