//! What is said of an item that does not fit the schema of its target.

use super::check::{fault, not_json};
use crate::core::schema::{ItemSchema, Mismatch};
use crate::model::{Code, Form, Payload, Refusal};

/// The reason of all that a schema refuses.
pub(super) const REASON: &str = "SCHEMA_VIOLATION";

/// Checks the payload of an item that the schema is for.
pub(super) fn payload(schema: &ItemSchema, payload: Option<&Payload>) -> Result<(), Refusal> {
    let Some(payload) = payload else {
        return Err(fault(
            REASON,
            "payload",
            "is missing; the target's schema asks for one",
        ));
    };
    if payload.form == Form::Raw && !is_json(payload) {
        let wrong = format!(
            "is {}, and the target's schema asks for JSON: use `json` or `json_text`, or the \
             content type application/json",
            payload.media_type()
        );
        return Err(fault(REASON, "payload.content_type", &wrong));
    }
    schema.check(&payload.body, "payload").map_err(|mismatch| match mismatch {
        Mismatch::NotJson(why) => not_json(part(payload.form), &why),
        Mismatch::NumberTooLarge => fault(
            REASON,
            part(payload.form),
            "has a number beyond 1.8e308, which cannot be compared with the target's schema",
        ),
        Mismatch::Violations { told, total } => {
            let message = match (total, told.first()) {
                (1, Some(only)) => format!("{} {}", only.field, only.description),
                _ if total > told.len() => format!(
                    "the payload breaks the target's schema in {total} places, of which the first \
                     {} are named",
                    told.len()
                ),
                _ => format!("the payload breaks the target's schema in {total} places"),
            };
            let mut refusal = Refusal::new(Code::InvalidArgument, REASON, message);
            refusal.violations = told;
            refusal
        }
    })
}

/// Whether a payload is called JSON.
fn is_json(payload: &Payload) -> bool {
    let essence = payload.media_type().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// Where in the message the text of a payload is.
fn part(form: Form) -> &'static str {
    match form {
        Form::Json => "payload.json",
        Form::JsonText => "payload.json_text",
        Form::Raw => "payload.raw",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_are_json_where_their_type_says_so() {
        let raw = |content_type: Option<&str>| Payload {
            form: Form::Raw,
            content_type: content_type.map(str::to_owned),
            body: "{}".into(),
        };
        for (given, is) in [
            (Some("application/json"), true),
            (Some("application/JSON; charset=utf-8"), true),
            (Some("application/vnd.api+json"), true),
            (Some("text/json"), true),
            (Some("application/jsonl"), false),
            (Some("text/csv"), false),
            (None, false),
        ] {
            assert_eq!(is_json(&raw(given)), is, "{given:?}");
        }
    }
}
