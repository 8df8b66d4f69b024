//! Finds in the body of a refusal what was wrong and where. Pure. Reads the
//! forms in use: RFC 9457 problem details, JSON:API, `FastAPI`, Rails and
//! ASP.NET, and the plain ones; of anything else it makes nothing. What it
//! gives is bounded and has no control characters, whatever the target sent.

use serde_json::{Map, Value};

use super::answer::says_json;
use crate::model::Violation;

/// The most violations that are told.
const VIOLATIONS: usize = 20;
/// Characters of the message.
const MESSAGE_LIMIT: usize = 500;
/// Characters of what is said of a field.
const DESCRIPTION_LIMIT: usize = 300;
/// Characters of a field's path.
const FIELD_LIMIT: usize = 200;
/// How deep lists of errors are looked for within each other.
const NESTING: usize = 4;

/// Where a text is that says what was wrong, in order of preference.
const TEXTS: [&str; 8] = [
    "detail",
    "message",
    "msg",
    "description",
    "error_description",
    "reason",
    "error",
    "title",
];
/// Where a list or a map of errors is.
const LISTS: [&str; 6] = [
    "errors",
    "violations",
    "invalid-params",
    "invalid_params",
    "details",
    "detail",
];
/// Where an entry of a list says which field it is about.
const FIELDS: [&str; 8] = [
    "pointer",
    "field",
    "path",
    "loc",
    "param",
    "property",
    "propertyPath",
    "name",
];

/// What a target complained of.
#[derive(Debug, Default, PartialEq)]
pub(in crate::target) struct Complaint {
    /// In its own words, where it had some.
    pub message: Option<String>,
    /// The fields that it named.
    pub violations: Vec<Violation>,
}

impl Complaint {
    /// Reads a body of the given media type.
    pub(in crate::target) fn read(content_type: Option<&str>, body: &[u8]) -> Complaint {
        let content_type = content_type.unwrap_or_default();
        if content_type.starts_with("text/plain") {
            let text = clean(&String::from_utf8_lossy(body), MESSAGE_LIMIT);
            return Complaint {
                message: Some(text).filter(|text| !text.is_empty()),
                violations: Vec::new(),
            };
        }
        // Some send JSON and say nothing of it.
        if !(content_type.is_empty() || says_json(content_type)) {
            return Complaint::default();
        }
        let Ok(Value::Object(body)) = serde_json::from_slice(body) else {
            return Complaint::default();
        };
        let mut complaint = Complaint {
            message: headline(&body),
            violations: Vec::new(),
        };
        complaint.gather(&body, 0);
        if complaint.message.is_none() && complaint.violations.is_empty() {
            complaint.message = first_text(&body);
        }
        complaint
    }

    /// Collects the violations that an object lists.
    fn gather(&mut self, object: &Map<String, Value>, depth: usize) {
        if depth == NESTING {
            return;
        }
        for name in LISTS {
            match object.get(name) {
                Some(Value::Array(entries)) => {
                    for entry in entries.iter().filter_map(Value::as_object) {
                        self.entry(entry, depth);
                    }
                }
                Some(Value::Object(fields)) => self.fields(fields, "", depth),
                _ => {}
            }
        }
        if let Some(Value::Object(error)) = object.get("error") {
            self.gather(error, depth + 1);
        }
    }

    /// An entry of a list: `{"field": "email", "message": "is invalid"}`.
    fn entry(&mut self, entry: &Map<String, Value>, depth: usize) {
        let source = entry.get("source").and_then(Value::as_object);
        let named = FIELDS
            .iter()
            .find_map(|name| field(entry.get(*name)?))
            .or_else(|| field(source?.get("pointer")?));
        match named {
            Some(field) => {
                let said = own_text(entry).unwrap_or_else(|| "is refused by the target".to_owned());
                self.add(&field, &said);
            }
            None => self.gather(entry, depth + 1),
        }
    }

    /// A map of fields: `{"email": ["is invalid", "is taken"]}`.
    fn fields(&mut self, fields: &Map<String, Value>, above: &str, depth: usize) {
        for (name, said) in fields {
            let path = match above {
                "" => name.clone(),
                above => format!("{above}.{name}"),
            };
            match said {
                Value::String(said) => self.add(&dotted(&path), said),
                Value::Array(all) => {
                    for said in all {
                        match said {
                            Value::String(said) => self.add(&dotted(&path), said),
                            Value::Object(said) => {
                                if let Some(said) = own_text(said) {
                                    self.add(&dotted(&path), &said);
                                }
                            }
                            _ => {}
                        }
                    }
                }
                Value::Object(below) if depth + 1 < NESTING => {
                    self.fields(below, &path, depth + 1);
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, field: &str, said: &str) {
        let violation = Violation {
            field: clean(field, FIELD_LIMIT),
            description: clean(said, DESCRIPTION_LIMIT),
        };
        if self.violations.len() < VIOLATIONS && !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }
}

/// What an error says of itself as a whole.
fn headline(body: &Map<String, Value>) -> Option<String> {
    let nested = body.get("error").and_then(Value::as_object);
    let text = match (text_at(body, "title"), text_at(body, "detail")) {
        (Some(title), Some(detail)) if !detail.contains(&title) => {
            Some(format!("{title}: {detail}"))
        }
        _ => own_text(body),
    };
    let text = text.or_else(|| own_text(nested?))?;
    Some(clean(&text, MESSAGE_LIMIT))
}

/// The first text in a list of errors that name no fields.
fn first_text(body: &Map<String, Value>) -> Option<String> {
    let list = LISTS.iter().find_map(|name| body.get(*name)?.as_array())?;
    let text = list.iter().find_map(|entry| match entry {
        Value::String(text) => Some(text.clone()),
        Value::Object(entry) => own_text(entry),
        _ => None,
    })?;
    Some(clean(&text, MESSAGE_LIMIT)).filter(|text| !text.is_empty())
}

fn own_text(object: &Map<String, Value>) -> Option<String> {
    TEXTS.iter().find_map(|name| text_at(object, name))
}

fn text_at(object: &Map<String, Value>, name: &str) -> Option<String> {
    let text = object.get(name)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The path of a field as a violation names it: `payload.guests[0].email`.
fn field(value: &Value) -> Option<String> {
    match value {
        // FastAPI: ["body", "guests", 0, "email"].
        Value::Array(steps) => {
            let mut steps: Vec<String> = steps
                .iter()
                .filter_map(|step| match step {
                    Value::String(name) => Some(name.clone()),
                    Value::Number(index) => Some(index.to_string()),
                    _ => None,
                })
                .collect();
            match steps.first()?.as_str() {
                "query" | "path" | "header" | "cookie" if steps.len() > 1 => {
                    let place = steps.remove(0);
                    Some(join(&place, steps.iter().map(String::as_str)))
                }
                "body" if steps.len() > 1 => {
                    Some(join("payload", steps[1..].iter().map(String::as_str)))
                }
                "body" => Some("payload".to_owned()),
                _ => Some(join("payload", steps.iter().map(String::as_str))),
            }
        }
        Value::String(text) => match text.strip_prefix('#').unwrap_or(text) {
            "" => None,
            pointer if pointer.starts_with('/') => {
                let steps: Vec<String> = pointer[1..]
                    .split('/')
                    .map(|step| step.replace("~1", "/").replace("~0", "~"))
                    .collect();
                Some(join("payload", steps.iter().map(String::as_str)))
            }
            path => Some(dotted(path)),
        },
        _ => None,
    }
}

/// From `guests.0.email`, `guests[0].email` or `$.guests[0].email`.
pub(in crate::target) fn dotted(path: &str) -> String {
    let path = path.strip_prefix("$.").unwrap_or(path);
    join("payload", path.split('.'))
}

fn join<'a>(root: &str, steps: impl Iterator<Item = &'a str>) -> String {
    let mut path = root.to_owned();
    for step in steps.filter(|step| !step.is_empty()) {
        if step.bytes().all(|b| b.is_ascii_digit()) {
            path.push('[');
            path.push_str(step);
            path.push(']');
        } else {
            path.push('.');
            path.push_str(step);
        }
    }
    path
}

/// Text of a stranger's, made fit to be shown on one line: at most `limit`
/// characters, without controls and marks that turn the direction of writing.
pub(in crate::target) fn clean(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit * 4));
    let mut count = 0;
    let mut gap = false;
    for c in text.trim().chars() {
        if c.is_whitespace() || c.is_control() || is_format_mark(c) {
            gap = true;
            continue;
        }
        if gap && count > 0 {
            out.push(' ');
            count += 1;
        }
        gap = false;
        if count >= limit.saturating_sub(1) {
            out.push('…');
            return out;
        }
        out.push(c);
        count += 1;
    }
    out
}

fn is_format_mark(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests;
