//! JSON text with places to be filled in. What is constant is written once, and
//! copied for each text that is made of it.

use serde_json::{Map, Value};

use super::pointer::Pointer;

/// JSON text with places of the kinds `S`.
#[derive(Clone, Debug, PartialEq)]
pub struct Template<S> {
    pieces: Vec<Piece<S>>,
}

/// A part of the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece<S> {
    /// As it is.
    Text(String),
    /// Here goes JSON text of a value.
    Place(S),
}

impl<S: Copy> Template<S> {
    /// An object with these constant members, and with places at these pointers;
    /// a place at the empty pointer is the whole.
    ///
    /// # Errors
    ///
    /// When a place cannot be where it is to be, for people.
    pub fn new(constants: Map<String, Value>, places: &[(Pointer, S)]) -> Result<Self, String> {
        let mut root = Node::of(Value::Object(constants));
        for (pointer, place) in places {
            root.put(pointer, *place)?;
        }
        let mut pieces = Vec::new();
        root.write(&mut pieces);
        Ok(Template { pieces })
    }

    /// Its parts, in their order.
    pub fn pieces(&self) -> &[Piece<S>] {
        &self.pieces
    }

    /// Whether it has such a place.
    pub fn has(&self, place: S) -> bool
    where
        S: PartialEq,
    {
        self.pieces.contains(&Piece::Place(place))
    }

    /// Bytes of what is constant.
    pub fn text_len(&self) -> usize {
        let len = |piece: &Piece<S>| match piece {
            Piece::Text(text) => text.len(),
            Piece::Place(_) => 0,
        };
        self.pieces.iter().map(len).sum()
    }
}

enum Node<S> {
    Constant(Value),
    Object(Vec<(String, Node<S>)>),
    Place(S),
}

impl<S: Copy> Node<S> {
    fn of(value: Value) -> Node<S> {
        match value {
            Value::Object(members) => {
                let member = |(name, value)| (name, Node::of(value));
                Node::Object(members.into_iter().map(member).collect())
            }
            constant => Node::Constant(constant),
        }
    }

    fn put(&mut self, pointer: &Pointer, place: S) -> Result<(), String> {
        let mut at = self;
        for step in pointer.steps() {
            let Node::Object(members) = at else {
                return Err(format!("there is no object that `{pointer}` could be in"));
            };
            let known = members.iter().position(|(name, _)| name == step);
            let place = known.unwrap_or_else(|| {
                members.push((step.clone(), Node::Object(Vec::new())));
                members.len() - 1
            });
            at = &mut members[place].1;
        }
        match at {
            Node::Object(members) if members.is_empty() => {
                *at = Node::Place(place);
                Ok(())
            }
            _ => Err(format!("there is something else at `{pointer}` already")),
        }
    }

    fn write(&self, pieces: &mut Vec<Piece<S>>) {
        match self {
            Node::Constant(value) => text(pieces, &value.to_string()),
            Node::Place(place) => pieces.push(Piece::Place(*place)),
            Node::Object(members) => {
                let mut before = "{";
                for (name, member) in members {
                    text(pieces, &format!("{before}{}:", Value::from(name.as_str())));
                    member.write(pieces);
                    before = ",";
                }
                text(pieces, if members.is_empty() { "{}" } else { "}" });
            }
        }
    }
}

fn text<S>(pieces: &mut Vec<Piece<S>>, more: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push_str(more),
        _ => pieces.push(Piece::Text(more.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(constants: &str, places: &[(&str, char)]) -> Result<String, String> {
        let constants = serde_json::from_str(constants).unwrap();
        let places: Vec<(Pointer, char)> = places
            .iter()
            .map(|(pointer, place)| (pointer.parse().unwrap(), *place))
            .collect();
        let template = Template::new(constants, &places)?;
        let shown = template.pieces().iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Place(place) => format!("<{place}>"),
        });
        Ok(shown.collect())
    }

    #[test]
    fn places_stand_among_what_is_constant() {
        for (constants, places, expected) in [
            ("{}", &[("", 'p')][..], "<p>"),
            ("{}", &[("/a", 'p')], r#"{"a":<p>}"#),
            ("{}", &[("/I", 'i'), ("/B", 'p')], r#"{"I":<i>,"B":<p>}"#),
            (
                r#"{"q": "a\"b"}"#,
                &[("/E", 'p')],
                r#"{"q":"a\"b","E":<p>}"#,
            ),
            (
                r#"{"a": {"b": 1}}"#,
                &[("/a/c/d", 'p'), ("/a/c/e", 'i')],
                r#"{"a":{"b":1,"c":{"d":<p>,"e":<i>}}}"#,
            ),
            (r#"{"a": {}}"#, &[("/a", 'p')], r#"{"a":<p>}"#),
            ("{}", &[("/a\"~1", 'p')], r#"{"a\"/":<p>}"#),
        ] {
            assert_eq!(shown(constants, places).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn a_place_cannot_be_where_something_is() {
        for (constants, places) in [
            (r#"{"a": 1}"#, &[("/a", 'p')][..]),
            (r#"{"a": 1}"#, &[("/a/b", 'p')]),
            (r#"{"a": {"b": 1}}"#, &[("/a", 'p')]),
            (r#"{"a": 1}"#, &[("", 'p')]),
            ("{}", &[("/a", 'p'), ("/a", 'i')]),
            ("{}", &[("/a", 'p'), ("/a/b", 'i')]),
            ("{}", &[("", 'p'), ("/a", 'i')]),
        ] {
            assert!(shown(constants, places).is_err(), "{constants} {places:?}");
        }
    }
}
