//! What is wrong with a submission, and what would be right.

use std::collections::HashMap;

use super::Draft;
use super::schema;
use crate::config::SchemaConfig;
use crate::core::json::nesting;
use crate::model::{BatchSpec, Code, Form, Item, ItemResult, Outcome, Payload, Refusal};
use crate::target::Target;

/// The deepest nesting of a JSON payload: what every parser on the way takes.
const MAX_NESTING: usize = 100;

/// The most violations that a refusal names; the message has the total.
const MAX_VIOLATIONS: usize = 20;

/// Checks what concerns the batch as a whole.
pub(super) fn spec(spec: &BatchSpec) -> Result<(), Refusal> {
    if let Some(id) = &spec.request_id {
        text(id, 128).map_err(|wrong| invalid_spec("request_id", &wrong))?;
    }
    if spec.labels.len() > 16 {
        let wrong = format!("{} labels, and 16 are the most", spec.labels.len());
        return Err(invalid_spec("labels", &wrong));
    }
    for (key, value) in &spec.labels {
        if key.is_empty() {
            return Err(invalid_spec("labels", "a label needs a name"));
        }
        text(key, 63)
            .and_then(|()| text(value, 255))
            .map_err(|wrong| invalid_spec("labels", &format!("a key or value {wrong}")))?;
    }
    if !(0.0..=1.0).contains(&spec.failure_policy.stop_at_share) {
        let wrong = "must be from 0 to 1: 0.1 for a tenth";
        return Err(invalid_spec("failure_policy.stop_at_share", wrong));
    }
    Ok(())
}

/// A refusal of a field of the spec.
pub(super) fn invalid_spec(field: &str, description: &str) -> Refusal {
    Refusal::new(
        Code::InvalidArgument,
        "INVALID_SPEC",
        format!("spec.{field}: {description}"),
    )
    .field(format!("spec.{field}"), description)
}

/// Within one message, an id or key that occurs twice is a mistake: results
/// could not be told apart, or one piece of work would be done for two.
pub(super) fn no_duplicates(drafts: &[Draft], at: &str) -> Result<(), Refusal> {
    let ids = drafts.iter().map(|draft| draft.item.id.as_deref());
    if let Some((text, first, second)) = duplicate(ids) {
        return Err(duplicated(
            "DUPLICATE_ITEM_ID",
            "id",
            text,
            first,
            second,
            at,
        ));
    }
    let keys = drafts.iter().map(|draft| draft.item.key.as_deref());
    if let Some((text, first, second)) = duplicate(keys) {
        let reason = "DUPLICATE_IDEMPOTENCY_KEY";
        return Err(duplicated(
            reason,
            "idempotency_key",
            text,
            first,
            second,
            at,
        ));
    }
    Ok(())
}

fn duplicate<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> Option<(&'a str, usize, usize)> {
    let mut seen = HashMap::new();
    for (place, text) in texts.enumerate() {
        let Some(text) = text else { continue };
        if let Some(first) = seen.insert(text, place) {
            return Some((text, first, place));
        }
    }
    None
}

fn duplicated(
    reason: &'static str,
    field: &str,
    text: &str,
    first: usize,
    second: usize,
    at: &str,
) -> Refusal {
    let text: String = text.chars().take(64).collect();
    Refusal::new(
        Code::InvalidArgument,
        reason,
        format!("{at}[{first}] and {at}[{second}] have the same {field}, `{text}`"),
    )
    .with("first", first)
    .with("second", second)
    .field(
        format!("{at}[{second}].{field}"),
        format!("the same as in {at}[{first}]"),
    )
}

/// Checks what no target could do anything with, what the operator said that
/// items have to look like, and what this target takes. Names all that is wrong.
pub(super) fn item(
    item: &Item,
    schema: Option<&SchemaConfig>,
    target: &dyn Target,
) -> Result<(), Refusal> {
    let mut faults = Vec::new();
    faults.extend(id(item).err());
    faults.extend(key(item).err());
    let payload = payload(item, schema).err();
    // What is not JSON at all is nothing that a target could look into.
    let readable = payload
        .as_ref()
        .is_none_or(|fault| fault.reason == schema::REASON);
    faults.extend(payload);
    if readable {
        faults.extend(target.admit(item).err());
    }
    let mut faults = faults.into_iter();
    let Some(first) = faults.next() else {
        return Ok(());
    };
    Err(faults.fold(first, also))
}

/// Two things that are wrong with an item; the reason is that of the first.
fn also(mut first: Refusal, second: Refusal) -> Refusal {
    first.message = format!("{}; {}", first.message, second.message);
    let room = MAX_VIOLATIONS.saturating_sub(first.violations.len());
    // A target may find what its schema says too.
    let known = |field: &str| first.violations.iter().any(|first| first.field == field);
    let more = second.violations.into_iter();
    let more: Vec<_> = more
        .filter(|second| !known(&second.field))
        .take(room)
        .collect();
    first.violations.extend(more);
    first
}

fn id(item: &Item) -> Result<(), Refusal> {
    let Some(id) = &item.id else { return Ok(()) };
    text(id, 256).map_err(|wrong| fault("INVALID_ITEM_ID", "id", &wrong))
}

fn key(item: &Item) -> Result<(), Refusal> {
    match &item.key {
        Some(key) if key.len() > 255 || !key.bytes().all(|b| b.is_ascii_graphic()) => Err(fault(
            "INVALID_IDEMPOTENCY_KEY",
            "idempotency_key",
            "must be at most 255 visible ASCII characters",
        )),
        _ => Ok(()),
    }
}

fn payload(item: &Item, schema: Option<&SchemaConfig>) -> Result<(), Refusal> {
    let schema = schema.and_then(|schema| schema.of(&item.operation));
    if let Some(payload) = &item.payload {
        media_type(payload)?;
        // What nobody here looks into may be as deep as it likes.
        if payload.form != Form::Raw || schema.is_some() {
            depth(payload)?;
        }
    }
    match (schema, &item.payload) {
        // It finds out on the way whether it is JSON at all.
        (Some(schema), payload) => schema::payload(schema, payload.as_ref()),
        (None, Some(payload)) => json_text(payload),
        (None, None) => Ok(()),
    }
}

fn media_type(payload: &Payload) -> Result<(), Refusal> {
    if let Some(given) = &payload.content_type {
        if payload.form != Form::Raw {
            return Err(fault(
                "INVALID_CONTENT_TYPE",
                "payload.content_type",
                "only a raw payload has one; the others are application/json",
            ));
        }
        if given.len() > 255 || !given.contains('/') || !given.bytes().all(is_header_text) {
            return Err(fault(
                "INVALID_CONTENT_TYPE",
                "payload.content_type",
                "must be a media type, e.g. text/csv",
            ));
        }
    }
    Ok(())
}

fn depth(payload: &Payload) -> Result<(), Refusal> {
    if nesting(&payload.body) > MAX_NESTING {
        return Err(fault(
            "TOO_DEEP",
            "payload",
            &format!("is nested deeper than {MAX_NESTING} levels"),
        ));
    }
    Ok(())
}

fn json_text(payload: &Payload) -> Result<(), Refusal> {
    if payload.form == Form::JsonText {
        serde_json::from_slice::<serde::de::IgnoredAny>(&payload.body)
            .map_err(|error| not_json("payload.json_text", &error.to_string()))?;
    }
    Ok(())
}

/// It is not JSON.
pub(super) fn not_json(field: &str, why: &str) -> Refusal {
    fault("INVALID_JSON", field, &format!("is not JSON: {why}"))
}

fn is_header_text(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

/// Checks text that people and headers have to live with.
fn text(text: &str, most: usize) -> Result<(), String> {
    let length = text.chars().count();
    if length > most {
        return Err(format!("has {length} characters, and {most} are the most"));
    }
    if text.chars().any(char::is_control) {
        return Err("has a control character in it".to_owned());
    }
    Ok(())
}

/// A refusal of one field of an item.
pub(super) fn fault(reason: &'static str, field: &str, wrong: &str) -> Refusal {
    Refusal::new(Code::InvalidArgument, reason, format!("{field} {wrong}")).field(field, wrong)
}

/// Checks an operator's reason.
pub(super) fn reason(reason: &str) -> Result<(), Refusal> {
    text(reason, 256).map_err(|wrong| {
        let message = format!("reason {wrong}");
        Refusal::new(Code::InvalidArgument, "INVALID_REASON", message).field("reason", wrong)
    })
}

/// The refusal of a message for items whose keys are in use, or were used for
/// something else.
pub(super) fn invalid_keys(results: &[ItemResult], at: &str) -> Refusal {
    let faults: Vec<(usize, Refusal)> = results
        .iter()
        .filter_map(|result| match &result.outcome {
            Outcome::Failed(failure) => {
                let refusal =
                    Refusal::new(Code::InvalidArgument, "KEY_IN_USE", failure.message.clone());
                let refusal = refusal.field("idempotency_key", failure.message.clone());
                Some((result.index as usize, refusal))
            }
            Outcome::Succeeded(_) => None,
        })
        .collect();
    invalid_items(&faults, at)
}

/// The refusal of a message for its bad items; names what fits of what is wrong
/// with them.
pub(super) fn invalid_items(faults: &[(usize, Refusal)], at: &str) -> Refusal {
    let mut wrong = faults.iter().flat_map(|(place, fault)| {
        let root = format!("{at}[{place}]");
        let whole = fault.violations.is_empty();
        let whole = whole.then(|| (root.clone(), fault.message.clone()));
        let fields = fault.violations.iter().map(move |violation| {
            let field = format!("{root}.{}", violation.field);
            (field, violation.description.clone())
        });
        whole.into_iter().chain(fields)
    });
    let named: Vec<(String, String)> = wrong.by_ref().take(MAX_VIOLATIONS).collect();
    let more = match wrong.next() {
        None => "",
        Some(_) => " (the first of what is wrong with them is named)",
    };
    let count = match faults.len() {
        1 => "1 item is invalid".to_owned(),
        count => format!("{count} items are invalid"),
    };
    let refusal = Refusal::new(
        Code::InvalidArgument,
        "INVALID_ITEMS",
        format!("{count}{more}; nothing of the message was accepted"),
    )
    .with("invalid_items", faults.len());
    let field = |refusal: Refusal, (field, wrong)| refusal.field(field, wrong);
    named.into_iter().fold(refusal, field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_levels_are_taken_and_one_more_is_not() {
        let nested = |depth: usize| Payload {
            form: Form::JsonText,
            content_type: None,
            body: ("[".repeat(depth) + &"]".repeat(depth)).into(),
        };
        assert_eq!(depth(&nested(100)), Ok(()));
        assert_eq!(depth(&nested(101)).map_err(|r| r.reason), Err("TOO_DEEP"));
    }
}
