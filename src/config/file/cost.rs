//! What a request costs, as a word or as numbers.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

/// `cost`.
#[derive(Debug)]
pub(in crate::config) enum Cost {
    /// One of the words.
    Word(String),
    /// By numbers.
    Weights(Weights),
}

/// `cost = { base = 1, per_item = 1 }`
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Weights {
    pub(in crate::config) base: Option<u64>,
    pub(in crate::config) per_item: Option<u64>,
}

impl<'de> Deserialize<'de> for Cost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;
        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Cost;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a table")
            }

            fn visit_str<E>(self, text: &str) -> Result<Cost, E> {
                Ok(Cost::Word(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cost, A::Error> {
                Weights::deserialize(MapAccessDeserializer::new(map)).map(Cost::Weights)
            }
        }
        deserializer.deserialize_any(WordOrTable)
    }
}
