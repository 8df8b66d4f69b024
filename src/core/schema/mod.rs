//! What the JSON of an item has to look like: a JSON Schema, compiled once.
//! Knows nothing of files, and of items only their JSON.

mod compile;
mod path;
mod strict;
mod words;

use std::fmt;

use jsonschema::{Draft, Validator};
use serde_json::Value;

use self::words::Telling;
use crate::model::Violation;

pub use compile::SchemaFault;

/// The most violations that are told of one value.
const VIOLATIONS: usize = 20;

/// The most bytes of paths and descriptions that are told of one value: what
/// fits into the details of a status with all else that is there.
const BYTES: usize = 2_800;

/// The most bytes of a schema: it is given to whoever asks for the target.
pub const MAX_SCHEMA_BYTES: usize = 1024 * 1024;

/// A schema, ready to check with. References lead nowhere outside of it, and
/// its patterns are matched in linear time.
pub struct ItemSchema {
    text: String,
    schema: Value,
    draft: Draft,
    validator: Validator,
    unchecked: Vec<String>,
}

/// What is wrong with the JSON of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// It is not JSON; why, in words.
    NotJson(String),
    /// It has a number beyond those of a double, and cannot be checked.
    NumberTooLarge,
    /// It does not fit the schema.
    Violations {
        /// The first of them, those that are told.
        told: Vec<Violation>,
        /// How many there are.
        total: usize,
    },
}

impl ItemSchema {
    /// Compiles a schema. It is of the draft that its `$schema` names, of
    /// 2020-12 without.
    ///
    /// # Errors
    ///
    /// All that is found wrong with it, each with its place.
    pub fn compile(text: &str) -> Result<ItemSchema, Vec<SchemaFault>> {
        compile::compile(text)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The draft that it is of, e.g. `2020-12`.
    pub fn draft(&self) -> &'static str {
        compile::name(self.draft)
    }

    /// The formats that it names and that nothing is known of here: they
    /// exclude nothing.
    pub fn unchecked_formats(&self) -> &[String] {
        &self.unchecked
    }

    /// Checks JSON text; paths begin with `root`. The text is parsed for this
    /// alone: what is sent stays as it came.
    ///
    /// # Errors
    ///
    /// What is wrong with it. A name that an object gives twice is a violation
    /// whatever the schema says.
    pub fn check(&self, json: &[u8], root: &str) -> Result<(), Mismatch> {
        let (value, twice) = strict::parse(json, root).map_err(|error| {
            // Its category is that of a mistake in the syntax.
            if error.to_string().starts_with("number out of range") {
                return Mismatch::NumberTooLarge;
            }
            Mismatch::NotJson(error.to_string())
        })?;
        if twice.is_empty() && self.validator.is_valid(&value) {
            return Ok(());
        }
        let mut found = Found::default();
        for path in twice {
            found.add(&|| (path.clone(), "is given twice; keep one of them".to_owned()));
        }
        for error in self.validator.iter_errors(&value) {
            let mut add = |telling: Telling<'_>| found.add(telling);
            words::tell(&error, &self.schema, &value, root, &mut add);
        }
        Err(Mismatch::Violations {
            told: found.told,
            total: found.total,
        })
    }
}

impl fmt::Debug for ItemSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ItemSchema({} bytes)", self.text.len())
    }
}

/// Violations, as many as may be told.
#[derive(Default)]
struct Found {
    told: Vec<Violation>,
    bytes: usize,
    total: usize,
}

impl Found {
    fn add(&mut self, telling: Telling<'_>) {
        self.total += 1;
        if self.told.len() == VIOLATIONS || self.bytes == BYTES {
            return;
        }
        let (field, description) = telling();
        // With what a message takes to say where each begins.
        let bytes = self.bytes + field.len() + description.len() + 8;
        if bytes <= BYTES {
            self.told.push(Violation { field, description });
        }
        // Nothing shorter takes the place of one that did not fit.
        self.bytes = bytes.min(BYTES);
    }
}

#[cfg(test)]
mod tests;
