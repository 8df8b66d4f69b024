//! JSON text into a value, noticing what a lenient parser passes over: a name
//! that an object gives twice. Of such a pair this program might check one and
//! a target take the other.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::path::{Step, path_of};

/// The most duplicates that are named.
const MOST: usize = 20;

/// A value, and the paths of the names that came twice, below `root`.
///
/// # Errors
///
/// Text that is not JSON, is nested deeper than 128 levels, or has a number
/// beyond those of a double.
pub(super) fn parse(json: &[u8], root: &str) -> Result<(Value, Vec<String>), serde_json::Error> {
    let found = RefCell::new(Vec::new());
    let mut text = serde_json::Deserializer::from_slice(json);
    let value = Here {
        at: &Place::Root,
        root,
        found: &found,
    }
    .deserialize(&mut text)?;
    text.end()?;
    Ok((value, found.into_inner()))
}

/// Where the parser is: a list on the stack.
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn steps(&self) -> Vec<Step<'_>> {
        let mut steps = Vec::new();
        let mut here = self;
        loop {
            here = match here {
                Place::Root => break,
                Place::Key(above, key) => {
                    steps.push(Step::Key(key));
                    above
                }
                Place::Index(above, index) => {
                    steps.push(Step::Index(*index));
                    above
                }
            };
        }
        steps.reverse();
        steps
    }
}

#[derive(Clone, Copy)]
struct Here<'a> {
    at: &'a Place<'a>,
    root: &'a str,
    found: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Here<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Here<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let at = &Place::Index(self.at, list.len());
            match entries.next_element_seed(Here { at, ..self })? {
                Some(value) => list.push(value),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let at = &Place::Key(self.at, &key);
            let value = entries.next_value_seed(Here { at, ..self })?;
            match object.entry(key) {
                Entry::Vacant(vacant) => {
                    vacant.insert(value);
                }
                Entry::Occupied(mut taken) => {
                    let mut found = self.found.borrow_mut();
                    if found.len() < MOST {
                        let at = Place::Key(self.at, taken.key());
                        found.push(path_of(self.root, &at.steps()));
                    }
                    taken.insert(value);
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_a_lenient_parser() {
        for text in [
            "null",
            " true ",
            "-1",
            "18446744073709551615",
            "123456789012345678901234567890",
            "1.10",
            r#""a\u00e9""#,
            r#"{"b":[1,{"a":""}],"a":{}}"#,
        ] {
            let (value, twice) = parse(text.as_bytes(), "payload").unwrap();
            assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
            assert!(twice.is_empty());
        }
        for text in ["", "{", "1 2", "{a:1}", "[1,]", "1e999"] {
            assert!(parse(text.as_bytes(), "payload").is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_come_twice_are_named_with_their_path() {
        let text = r#"{"a":1,"b":[0,{"c d":1,"c d":2}],"a":{"x":1,"x":2}}"#;
        let (_, twice) = parse(text.as_bytes(), "payload").unwrap();
        assert_eq!(twice, ["payload.b[1][\"c d\"]", "payload.a.x", "payload.a"]);
        let many = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(50));
        assert_eq!(parse(many.as_bytes(), "p").unwrap().1.len(), MOST);
    }
}
