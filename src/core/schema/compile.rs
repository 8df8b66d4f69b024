//! From the text of a schema to one that can be checked with; or to all that is
//! wrong with it.

use std::fmt;

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, EmailOptions, PatternOptions, ReferencingError, ValidationError};
use serde_json::Value;

use super::path::{clean, cut};
use super::{ItemSchema, MAX_SCHEMA_BYTES, strict, words};

/// Bytes of a compiled pattern.
const PATTERN_BYTES: usize = 1 << 20;

/// The most faults that are told at once.
const FAULTS: usize = 10;

/// Characters of a piece of the schema in a message.
const PIECE: usize = 120;

/// The drafts, by what names them.
const DRAFTS: [(Draft, &str, &str); 5] = [
    (
        Draft::Draft202012,
        "2020-12",
        "https://json-schema.org/draft/2020-12/schema",
    ),
    (
        Draft::Draft201909,
        "2019-09",
        "https://json-schema.org/draft/2019-09/schema",
    ),
    (Draft::Draft7, "7", "http://json-schema.org/draft-07/schema"),
    (Draft::Draft6, "6", "http://json-schema.org/draft-06/schema"),
    (Draft::Draft4, "4", "http://json-schema.org/draft-04/schema"),
];

/// Something that is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFault {
    /// The place in the schema, e.g. `#/properties/email/type`; empty where it
    /// is about the text as a whole.
    pub place: String,
    /// What is wrong there, and what would be right.
    pub message: String,
}

impl SchemaFault {
    fn new(place: impl Into<String>, message: impl Into<String>) -> SchemaFault {
        SchemaFault {
            place: place.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place[..] {
            "" => f.write_str(&self.message),
            place => write!(f, "{place} {}", self.message),
        }
    }
}

/// What a draft is called.
pub(super) fn name(draft: Draft) -> &'static str {
    let known = DRAFTS.iter().find(|(known, ..)| *known == draft);
    known.map_or("unknown", |(_, name, _)| name)
}

pub(super) fn compile(text: &str) -> Result<ItemSchema, Vec<SchemaFault>> {
    if text.len() > MAX_SCHEMA_BYTES {
        let wrong = format!("is larger than {MAX_SCHEMA_BYTES} bytes; write a smaller one");
        return Err(vec![SchemaFault::new("", wrong)]);
    }
    let (schema, twice) = strict::parse(text.as_bytes(), "#").map_err(|error| {
        let wrong = format!("is not JSON: {error}");
        vec![SchemaFault::new("", wrong)]
    })?;
    if !twice.is_empty() {
        let twice = twice.into_iter();
        let fault = |place| SchemaFault::new(place, "is given twice; keep one of them");
        return Err(twice.map(fault).collect());
    }
    if !schema.is_object() {
        let wrong = "is no object; write e.g. { \"type\": \"object\", \"required\": [\"email\"] }";
        return Err(vec![SchemaFault::new("", wrong)]);
    }
    let draft = draft(&schema).map_err(|fault| vec![fault])?;
    let faults = unlike_a_schema(&schema, draft);
    if !faults.is_empty() {
        return Err(faults);
    }
    let options = jsonschema::options()
        .with_draft(draft)
        .offline()
        .should_validate_formats(true)
        // `Ada <ada@example.org>` is the header of a message, not an address.
        .with_email_options(EmailOptions::default().without_display_text())
        // Linear in the text, whatever the pattern: no item can stall the server.
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES));
    let validator = options
        .build(&schema)
        .map_err(|error| vec![unbuilt(&error, &schema)])?;
    let mut unchecked = Vec::new();
    formats(&schema, &mut |format| {
        if !options.is_known_format(draft, format) && !unchecked.iter().any(|f| f == format) {
            unchecked.push(format.to_owned());
        }
    });
    Ok(ItemSchema {
        text: text.to_owned(),
        schema,
        draft,
        validator,
        unchecked,
    })
}

fn draft(schema: &Value) -> Result<Draft, SchemaFault> {
    let Some(given) = schema.get("$schema") else {
        return Ok(Draft::Draft202012);
    };
    let given = given.as_str().unwrap_or_default();
    let bare = |uri: &str| {
        let uri = uri.trim_end_matches('#');
        uri.split_once("://")
            .map_or("", |(_, rest)| rest)
            .to_owned()
    };
    let known = DRAFTS.iter().find(|(.., uri)| bare(uri) == bare(given));
    known.map(|(draft, ..)| *draft).ok_or_else(|| {
        let known: Vec<&str> = DRAFTS.iter().map(|(.., uri)| *uri).collect();
        let given = clean(&cut(given, PIECE));
        SchemaFault::new(
            "#/$schema",
            format!(
                "is `{given}`, which is no draft that is known here; write one of {}",
                known.join(", ")
            ),
        )
    })
}

/// Where it is not as its draft says that schemas are.
fn unlike_a_schema(schema: &Value, draft: Draft) -> Vec<SchemaFault> {
    let meta = match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validator(),
        Draft::Draft6 => jsonschema::draft6::meta::validator(),
        Draft::Draft7 => jsonschema::draft7::meta::validator(),
        Draft::Draft201909 => jsonschema::draft201909::meta::validator(),
        _ => jsonschema::draft202012::meta::validator(),
    };
    let mut faults = Vec::new();
    for error in meta.iter_errors(schema) {
        words::tell(&error, &Value::Null, schema, "#", &mut |telling| {
            let place = format!("#{}", error.instance_path().as_str());
            let fault = SchemaFault::new(place, telling().1);
            // Drafts in several vocabularies say some things more than once.
            if faults.len() < FAULTS && !faults.contains(&fault) {
                faults.push(fault);
            }
        });
    }
    faults
}

/// What keeps it from being checked with although it looks like a schema.
fn unbuilt(error: &ValidationError<'_>, schema: &Value) -> SchemaFault {
    let Kind::Referencing(wrong) = error.kind() else {
        let place = format!("#{}", error.instance_path().as_str());
        return SchemaFault::new(place, unusable(error));
    };
    let mut refs = Vec::new();
    references(schema, &mut String::from("#"), &mut refs);
    let find = |is_it: &dyn Fn(&str) -> bool| {
        let found = refs.iter().find(|(_, given)| is_it(given));
        found.map(|(place, given)| (place.clone(), clean(&cut(given, PIECE))))
    };
    match wrong {
        ReferencingError::Unretrievable { uri, .. } => {
            let uri = uri.split('#').next().unwrap_or_default();
            let leads_there = |given: &str| {
                let document = given.split('#').next().unwrap_or_default();
                !document.is_empty() && uri.ends_with(document.trim_start_matches(['.', '/']))
            };
            let (place, given) = find(&leads_there).unwrap_or_default();
            let wrong = format!(
                "leads out of this document, to `{given}`; nothing is fetched: put that schema \
                 under \"$defs\" here and write \"#/$defs/NAME\""
            );
            SchemaFault::new(place, wrong)
        }
        ReferencingError::PointerToNowhere { pointer } => {
            let (place, given) = find(&|given| given.ends_with(&pointer[..])).unwrap_or_default();
            let wrong = format!("is `{given}`, and there is nothing at that place");
            SchemaFault::new(place, wrong)
        }
        ReferencingError::NoSuchAnchor { anchor } => {
            let (place, given) = find(&|given| given.ends_with(&anchor[..])).unwrap_or_default();
            let wrong = format!("is `{given}`, and there is no such `$anchor`");
            SchemaFault::new(place, wrong)
        }
        other => {
            let (place, _) = find(&|given| other.to_string().contains(given)).unwrap_or_default();
            let other = clean(&cut(&other.to_string(), PIECE));
            SchemaFault::new(place, format!("does not lead anywhere: {other}"))
        }
    }
}

/// What is wrong with a keyword that only shows when it is compiled: as a rule,
/// a pattern.
fn unusable(error: &ValidationError<'_>) -> String {
    let is_pattern = matches!(error.kind(), Kind::Format { format } if format == "regex");
    let given = error
        .instance()
        .as_str()
        .map(|text| clean(&cut(text, PIECE)));
    match given {
        Some(given) if is_pattern => format!(
            "is `{given}`, which is not taken as a pattern; write one without look-around (`(?=`, \
             `(?!`) and back-references, and not larger than {PATTERN_BYTES} bytes once compiled"
        ),
        _ => clean(&cut(&format!("does not do: {error}"), PIECE * 2)),
    }
}

/// The references of a schema, with their places.
fn references(schema: &Value, at: &mut String, found: &mut Vec<(String, String)>) {
    below(schema, at, &mut |at, name, value| {
        let refers = matches!(name, "$ref" | "$dynamicRef" | "$recursiveRef");
        if let (true, Value::String(given)) = (refers, value) {
            found.push((at.to_owned(), given.clone()));
        }
    });
}

/// The formats that a schema names.
fn formats(schema: &Value, found: &mut dyn FnMut(&str)) {
    below(schema, &mut String::new(), &mut |_, name, value| {
        if let ("format", Value::String(format)) = (name, value) {
            found(format);
        }
    });
}

/// Goes through all keywords of a schema and of those in it, past what is data
/// and not schema.
fn below(value: &Value, at: &mut String, seen: &mut dyn FnMut(&str, &str, &Value)) {
    let length = at.len();
    let mut go = |at: &mut String, name: &str, value: &Value| {
        at.push('/');
        at.push_str(&name.replace('~', "~0").replace('/', "~1"));
        seen(at, name, value);
        if !matches!(name, "const" | "enum" | "default" | "examples") {
            below(value, at, seen);
        }
        at.truncate(length);
    };
    match value {
        Value::Object(object) => object.iter().for_each(|(name, value)| go(at, name, value)),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                go(at, &index.to_string(), value);
            }
        }
        _ => {}
    }
}
