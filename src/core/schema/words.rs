//! What a violation of a schema is called in words. They say what would be
//! right and never what was there: that may be somebody's secret.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::path::{clean, cut, path};
use crate::core::near::nearest;

/// Characters of a value of the schema's.
const VALUE: usize = 40;
/// Values of an `enum`.
const VALUES: usize = 10;
/// Characters of a pattern.
const PATTERN: usize = 80;

/// Makes what is told: the path, and what is wrong there.
pub(super) type Telling<'a> = &'a dyn Fn() -> (String, String);

/// What an error says, once or several times; it is made only where `add` wants
/// it. Paths are below `root`; `schema` and `value` are the whole of each.
pub(super) fn tell(
    error: &ValidationError<'_>,
    schema: &Value,
    value: &Value,
    root: &str,
    add: &mut dyn FnMut(Telling<'_>),
) {
    let at = error.instance_path().as_str();
    let here = |further: Option<&str>| path(root, value, at, further);
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            add(&|| (here(Some(name)), "is missing".to_owned()));
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let known = beside(schema, error.schema_path().as_str());
            for name in unexpected {
                add(&|| (here(Some(name)), unknown(name, &known)));
            }
        }
        Kind::PropertyNames { error: inner } => {
            let name = inner.instance();
            let name = name.as_str().unwrap_or_default();
            let wrong = || format!("has a name that {}", said(inner));
            add(&|| (here(Some(name)), wrong()));
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            add(&|| (here(None), alternatives(context, value, at)));
        }
        _ => add(&|| (here(None), said(error))),
    }
}

/// What is wrong with a value, after its path.
fn said(error: &ValidationError<'_>) -> String {
    let given = error.instance();
    match error.kind() {
        Kind::Type { kind } => format!("is {}, and must be {}", called(given), types(kind)),
        Kind::Enum { options } => one_of(options),
        Kind::Constant { expected_value } => format!("must be {}", shown(expected_value)),
        Kind::Format { format } => self::format(format),
        Kind::Pattern { pattern } => {
            let pattern = clean(&cut(pattern, PATTERN));
            format!("does not match the pattern `{pattern}`")
        }
        Kind::Minimum { limit } => format!("must be at least {}", shown(limit)),
        Kind::Maximum { limit } => format!("must be at most {}", shown(limit)),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {}", shown(limit)),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {}", shown(limit)),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => too_few(given, *limit, "character", "characters"),
        Kind::MinItems { limit } => too_few(given, *limit, "entry", "entries"),
        Kind::MinProperties { limit } => too_few(given, *limit, "property", "properties"),
        Kind::MaxLength { limit } => too_many(given, *limit, "character", "characters"),
        Kind::MaxItems { limit } => too_many(given, *limit, "entry", "entries"),
        Kind::AdditionalItems { limit } => too_many(given, *limit as u64, "entry", "entries"),
        Kind::MaxProperties { limit } => too_many(given, *limit, "property", "properties"),
        Kind::UniqueItems => "has the same entry twice; each has to be another".to_owned(),
        Kind::FalseSchema => "is not allowed here".to_owned(),
        Kind::Not { .. } => "is of a form that the schema excludes".to_owned(),
        Kind::Contains => {
            "has too few or too many entries of the form that is asked for".to_owned()
        }
        Kind::OneOfMultipleValid { .. } => {
            "fits several of the forms of which it may have only one".to_owned()
        }
        Kind::Required { property } => format!("lacks {}", shown(property)),
        Kind::RegexEngineFailure { .. } | Kind::BacktrackLimitExceeded { .. } => {
            "cannot be compared with the pattern of the schema".to_owned()
        }
        other => format!("does not fit the schema's `{}`", other.keyword()),
    }
}

/// Why a value fits none of several forms: where they differ in the type alone
/// or in one value, those; else what the nearest lacks.
fn alternatives(context: &[Vec<ValidationError<'_>>], value: &Value, at: &str) -> String {
    let mut kinds = Vec::new();
    for errors in context {
        match &errors[..] {
            [error] if error.instance_path().as_str() == at => match error.kind() {
                Kind::Type { kind } => kinds.push(types(kind)),
                Kind::Constant { expected_value } => kinds.push(shown(expected_value)),
                Kind::Enum { options } => kinds.push(values(options)),
                _ => {}
            },
            _ => {}
        }
    }
    if kinds.len() == context.len() && !kinds.is_empty() {
        kinds.dedup();
        return format!("must be {}", kinds.join(" or "));
    }
    // The one that got furthest is the one that was meant.
    let nearest = context
        .iter()
        .filter(|errors| !errors.iter().any(|error| is_other_type(error, at)))
        .min_by_key(|errors| errors.len())
        .or_else(|| context.iter().min_by_key(|errors| errors.len()));
    let mut first = None;
    if let Some(error) = nearest.and_then(|errors| errors.first()) {
        let below = error.instance_path().as_str();
        let below = below.strip_prefix(at).unwrap_or(below);
        let inner = value.pointer(at).unwrap_or(value);
        let further = match error.kind() {
            Kind::Required { property } => property.as_str(),
            _ => None,
        };
        let place = path("", inner, below, further);
        let place = place.strip_prefix('.').unwrap_or(&place);
        let wrong = match error.kind() {
            Kind::Required { .. } => "is missing".to_owned(),
            _ => said(error),
        };
        first = Some(format!("{place} {wrong}").trim_start().to_owned());
    }
    let count = context.len();
    match first {
        Some(first) => format!("fits none of the {count} forms that are allowed; of one: {first}"),
        None => format!("fits none of the {count} forms that are allowed"),
    }
}

/// Whether the whole value is of another type than a form asks for.
fn is_other_type(error: &ValidationError<'_>, at: &str) -> bool {
    matches!(error.kind(), Kind::Type { .. }) && error.instance_path().as_str() == at
}

/// The names of the properties that a schema gives beside one of its keywords.
fn beside<'s>(schema: &'s Value, keyword: &str) -> Vec<&'s str> {
    let parent = keyword.rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema.pointer(parent).and_then(|s| s.get("properties"));
    let properties = properties.and_then(Value::as_object);
    properties.map_or_else(Vec::new, |all| all.keys().map(String::as_str).collect())
}

fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!(
            "is not known here; did you mean {}?",
            shown(&Value::from(near))
        ),
        None => "is not known here".to_owned(),
    }
}

/// The type of a value, as it is called to people.
fn called(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn types(kind: &TypeKind) -> String {
    let name = |kind: JsonType| match kind {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a text",
        JsonType::Array => "a list",
        JsonType::Object => "an object",
    };
    match kind {
        TypeKind::Single(kind) => name(*kind).to_owned(),
        TypeKind::Multiple(kinds) => {
            let names: Vec<&str> = kinds.iter().map(name).collect();
            names.join(" or ")
        }
    }
}

fn one_of(options: &Value) -> String {
    match options.as_array().map_or(0, Vec::len) {
        1 => format!("must be {}", values(options)),
        _ => format!("must be one of {}", values(options)),
    }
}

fn values(options: &Value) -> String {
    let all = options.as_array().map_or(&[][..], Vec::as_slice);
    let mut named: Vec<String> = all.iter().take(VALUES).map(shown).collect();
    if all.len() > VALUES {
        named.push(format!("{} more", all.len() - VALUES));
    }
    named.join(", ")
}

/// A value of the schema's.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", clean(&cut(text, VALUE))),
        other => cut(&other.to_string(), VALUE),
    }
}

fn too_few(given: &Value, least: u64, one: &str, many: &str) -> String {
    let are = if least == 1 { "is" } else { "are" };
    format!(
        "has {}, and at least {least} {are} needed",
        count(given, one, many)
    )
}

fn too_many(given: &Value, most: u64, one: &str, many: &str) -> String {
    let are = if most == 1 { "is" } else { "are" };
    format!("has {}, and {most} {are} the most", count(given, one, many))
}

fn count(given: &Value, one: &str, many: &str) -> String {
    let count = match given {
        Value::String(text) => text.chars().count(),
        Value::Array(list) => list.len(),
        Value::Object(object) => object.len(),
        _ => 0,
    };
    let noun = if count == 1 { one } else { many };
    format!("{count} {noun}")
}

fn format(name: &str) -> String {
    match name {
        "email" => "is not an e-mail address, like name@example.org".to_owned(),
        "date-time" => "is not a time with its offset, like 2030-01-31T12:00:00Z".to_owned(),
        "date" => "is not a date, like 2030-01-31".to_owned(),
        "time" => "is not a time of day with its offset, like 12:00:00Z".to_owned(),
        "duration" => "is not a duration, like P1DT12H".to_owned(),
        "uri" => "is not a whole URI, like https://example.org/a".to_owned(),
        "uuid" => "is not a UUID, like 6f1c1a5e-0d4b-4c3e-9c53-0a6f3f1d2b7e".to_owned(),
        "ipv4" => "is not an IPv4 address, like 192.0.2.1".to_owned(),
        "ipv6" => "is not an IPv6 address, like 2001:db8::1".to_owned(),
        "hostname" => "is not a host name, like api.example.org".to_owned(),
        other => format!("is not of the format `{}`", clean(&cut(other, VALUE))),
    }
}
