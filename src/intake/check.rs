//! What is wrong with a submission, and what would be right.

use std::collections::HashMap;

use super::Draft;
use crate::core::json::nesting;
use crate::model::{BatchSpec, Code, Form, Item, ItemResult, Outcome, Payload, Refusal};

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

/// Checks what no target could do anything with.
pub(super) fn item(item: &Item) -> Result<(), Refusal> {
    if let Some(id) = &item.id {
        text(id, 256).map_err(|wrong| fault("INVALID_ITEM_ID", "id", &wrong))?;
    }
    if let Some(key) = &item.key
        && (key.len() > 255 || !key.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Err(fault(
            "INVALID_IDEMPOTENCY_KEY",
            "idempotency_key",
            "must be at most 255 visible ASCII characters",
        ));
    }
    item.payload.as_ref().map_or(Ok(()), payload)
}

fn payload(payload: &Payload) -> Result<(), Refusal> {
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
    if payload.form == Form::Raw {
        return Ok(());
    }
    if nesting(&payload.body) > MAX_NESTING {
        return Err(fault(
            "TOO_DEEP",
            "payload",
            &format!("is nested deeper than {MAX_NESTING} levels"),
        ));
    }
    if payload.form == Form::JsonText {
        serde_json::from_slice::<serde::de::IgnoredAny>(&payload.body).map_err(|error| {
            let wrong = format!("is not JSON: {error}");
            fault("INVALID_JSON", "payload.json_text", &wrong)
        })?;
    }
    Ok(())
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

fn fault(reason: &'static str, field: &str, wrong: &str) -> Refusal {
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

/// The refusal of a message for its bad items; names those that fit.
pub(super) fn invalid_items(faults: &[(usize, Refusal)], at: &str) -> Refusal {
    let shown = faults.len().min(MAX_VIOLATIONS);
    let more = match faults.len() - shown {
        0 => String::new(),
        _ => format!(" (the first {shown} are named)"),
    };
    let mut refusal = Refusal::new(
        Code::InvalidArgument,
        "INVALID_ITEMS",
        format!(
            "{} items are invalid{more}; nothing of the message was accepted",
            faults.len()
        ),
    )
    .with("invalid_items", faults.len());
    for (place, fault) in faults.iter().take(shown) {
        match fault.violations.first() {
            Some(first) => {
                let field = format!("{at}[{place}].{}", first.field);
                refusal = refusal.field(field, first.description.clone());
            }
            None => refusal = refusal.field(format!("{at}[{place}]"), fault.message.clone()),
        }
    }
    refusal
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
        assert_eq!(payload(&nested(100)), Ok(()));
        assert_eq!(payload(&nested(101)).map_err(|r| r.reason), Err("TOO_DEEP"));
    }
}
