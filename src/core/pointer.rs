//! JSON pointers (RFC 6901), and what they lead to in JSON text, of which no
//! tree is made: what is found is a part of the text. Knows nothing of what it
//! means.

use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A place in a JSON document: empty for the whole of it, else e.g.
/// `/error/code` or `/results/0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer {
    steps: Vec<String>,
}

impl FromStr for Pointer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Pointer, &'static str> {
        if text.is_empty() {
            return Ok(Pointer::default());
        }
        let Some(steps) = text.strip_prefix('/') else {
            return Err(
                "this is not a JSON pointer; write e.g. `/error/code`, or `\"\"` for the whole",
            );
        };
        let step = |step: &str| {
            let wrong = step
                .match_indices('~')
                .any(|(at, _)| !step[at + 1..].starts_with(['0', '1']));
            if wrong {
                return Err("in a JSON pointer, write `~0` for `~` and `~1` for `/` in a name");
            }
            Ok(step.replace("~1", "/").replace("~0", "~"))
        };
        let steps: Result<_, _> = steps.split('/').map(step).collect();
        Ok(Pointer { steps: steps? })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "/{}", step.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

/// The elements of a list.
#[derive(Debug)]
pub struct Listed<'j> {
    /// In their order.
    pub elements: Vec<&'j RawValue>,
    /// The text is JSON to its end; else these are the elements before that
    /// which is not.
    pub is_whole: bool,
}

impl Pointer {
    /// The names and places that lead there.
    pub fn steps(&self) -> &[String] {
        &self.steps
    }

    /// What is there, in text that is JSON; of a name that is there twice, the
    /// last.
    pub fn find<'j>(&self, json: &'j RawValue) -> Option<&'j RawValue> {
        let mut at = json;
        for step in &self.steps {
            at = step_into(at.get(), step)?;
        }
        Some(at)
    }

    /// The list that is there, as far as the text is JSON; `None` where none
    /// was found.
    pub fn list<'j>(&self, text: &'j str) -> Option<Listed<'j>> {
        let mut found = None;
        let mut json = serde_json::Deserializer::from_str(text);
        let walk = Walk {
            steps: &self.steps,
            found: &mut found,
        };
        let is_whole = walk.deserialize(&mut json).is_ok() && json.end().is_ok();
        let mut elements = found?;
        // A number has no end of its own: it may be the head of another.
        if !is_whole && elements.last().is_some_and(|last| is_number(last)) {
            elements.pop();
        }
        Some(Listed { elements, is_whole })
    }
}

fn is_number(json: &RawValue) -> bool {
    json.get().ends_with(|c: char| c.is_ascii_digit())
}

/// A member of an object, or an element of an array.
fn step_into<'j>(json: &'j str, step: &str) -> Option<&'j RawValue> {
    struct Step<'s>(&'s str);
    impl<'de> Visitor<'de> for Step<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object or an array")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(is_it) = map.next_key_seed(Named(self.0))? {
                match is_it {
                    true => found = Some(map.next_value()?),
                    false => drop(map.next_value::<IgnoredAny>()?),
                }
            }
            Ok(found)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let wanted = self.0.parse::<usize>().ok();
            let (mut at, mut found) = (0, None);
            while let Some(element) = seq.next_element::<&RawValue>()? {
                if wanted == Some(at) {
                    found = Some(element);
                }
                at += 1;
            }
            Ok(found)
        }
    }
    let mut json = serde_json::Deserializer::from_str(json);
    json.deserialize_any(Step(step)).ok().flatten()
}

/// Whether a name is this one.
struct Named<'s>(&'s str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Goes to a list and takes its elements as they come, so that those are there
/// when the text turns out to be cut.
struct Walk<'s, 'f, 'de> {
    steps: &'s [String],
    found: &'f mut Option<Vec<&'de RawValue>>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (step, steps) = match self.steps.split_first() {
            Some((step, steps)) => (Some(step), steps),
            None => (None, self.steps),
        };
        while let Some(is_it) = map.next_key_seed(Named(step.map_or("", String::as_str)))? {
            if is_it && step.is_some() {
                let found = &mut *self.found;
                map.next_value_seed(Walk { steps, found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((step, steps)) = self.steps.split_first() else {
            let elements = self.found.insert(Vec::new());
            while let Some(element) = seq.next_element()? {
                elements.push(element);
            }
            return Ok(());
        };
        let wanted = step.parse::<usize>().ok();
        for at in 0.. {
            let found = &mut *self.found;
            let next = match wanted == Some(at) {
                true => seq.next_element_seed(Walk { steps, found })?,
                false => seq.next_element::<IgnoredAny>()?.map(drop),
            };
            if next.is_none() {
                break;
            }
        }
        Ok(())
    }

    // Nothing else is a list.
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(text: &str) -> Pointer {
        text.parse().expect(text)
    }

    #[test]
    fn a_pointer_is_empty_or_starts_with_a_slash() {
        for text in ["", "/", "/a/b", "/a~1b/~0", "/0"] {
            assert_eq!(pointer(text).to_string(), text);
        }
        for text in ["a", "a/b", "/~", "/a~2"] {
            assert!(text.parse::<Pointer>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_leads_to_a_part_of_the_text() {
        let text = r#"{"a": {"b/c": [1, {"d": "x"}], "~": 1.50}, "": null, "a ": 2}"#;
        let json: &RawValue = serde_json::from_str(text).unwrap();
        for (at, found) in [
            ("", Some(text)),
            ("/a/b~1c", Some(r#"[1, {"d": "x"}]"#)),
            ("/a/b~1c/1/d", Some(r#""x""#)),
            ("/a/~0", Some("1.50")),
            ("/", Some("null")),
            ("/a/x", None),
            ("/a/b~1c/2", None),
            ("/a/~0/x", None),
        ] {
            let is = pointer(at).find(json).map(RawValue::get);
            assert_eq!(is, found, "{at}");
        }
    }

    #[test]
    fn of_a_list_it_gives_what_is_there_before_the_text_ends() {
        for (at, text, elements, is_whole) in [
            ("", "[1, {}, \"a\"]", Some("1 {} \"a\""), true),
            (
                "/d",
                r#"{"c": [0], "d": [{"x": 1}, 2]}"#,
                Some("{\"x\": 1} 2"),
                true,
            ),
            ("/d/1", r#"{"d": [0, [7]]}"#, Some("7"), true),
            ("", "[]", Some(""), true),
            ("/d", r#"{"d": null}"#, None, true),
            ("/d", r#"{"d": "a"}"#, None, true),
            ("/d", "[1]", None, true),
            ("", "{}", None, true),
            ("", "[{\"a\": 1}, {\"a\"", Some("{\"a\": 1}"), false),
            ("", "[200, 42", Some("200"), false),
            ("", "[{\"a\": 1}", Some("{\"a\": 1}"), false),
            ("", "[{}] garbage", Some("{}"), false),
            ("/d", "{\"d\": [{}, {}], \"e\": [", Some("{} {}"), false),
            ("/d", "<html>", None, false),
        ] {
            let listed = pointer(at).list(text);
            let shown = listed.as_ref().map(|listed| {
                let elements: Vec<&str> = listed.elements.iter().map(|e| e.get()).collect();
                elements.join(" ")
            });
            assert_eq!(shown.as_deref(), elements, "{at} in {text}");
            if let Some(listed) = listed {
                assert_eq!(listed.is_whole, is_whole, "{at} in {text}");
            }
        }
    }

    #[test]
    fn a_list_nested_beyond_reason_harms_nothing() {
        let deep = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(pointer("").list(&deep).unwrap().elements.len(), 1);
        let wide = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(pointer("/0/0/0/0").list(&wide).is_some());
    }
}
