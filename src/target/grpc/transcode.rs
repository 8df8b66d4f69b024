//! From JSON to messages and back, as protobuf's own mapping has it. Pure: what
//! a message looks like is told by its descriptor.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_path_to_error::{Deserializer, Segment, Track};

use super::frame::framed;
use crate::model::Refusal;
use crate::target::http::admit::refusal;
use crate::target::http::complaint::clean;

/// Fields that are named where one is not known.
const NAMED: usize = 12;
/// Characters of what is said to be wrong; it may quote the item.
const MESSAGE_LIMIT: usize = 300;

/// The frame with the message that a JSON text stands for. The refusal names
/// the field at fault as of the item: `payload.guests[0].name`.
pub(super) fn to_frame(input: &MessageDescriptor, json: &[u8]) -> Result<Bytes, Refusal> {
    let message = read(input, json)?;
    Ok(framed(message.encoded_len(), |frame| {
        // Fails only where there is no room, and this buffer grows.
        message.encode(frame).expect("there is room");
    }))
}

/// As [`to_frame`], for its refusal alone.
pub(super) fn check(input: &MessageDescriptor, json: &[u8]) -> Result<(), Refusal> {
    read(input, json).map(drop)
}

/// The JSON text that a message stands for; `None` where it is not what the
/// descriptor says, or has no such text.
pub(super) fn to_json(output: &MessageDescriptor, message: Bytes) -> Option<Bytes> {
    let message = DynamicMessage::decode(output.clone(), message).ok()?;
    serde_json::to_vec(&message).ok().map(Bytes::from)
}

fn read(input: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Refusal> {
    let mut text = serde_json::Deserializer::from_slice(json);
    let read = DynamicMessage::deserialize(input.clone(), &mut text);
    match read.and_then(|message| text.end().map(|()| message)) {
        Ok(message) => Ok(message),
        Err(error) => Err(located(input, json, &error.to_string())),
    }
}

/// What is wrong, and where: reads it again, step by step, which takes longer.
fn located(input: &MessageDescriptor, json: &[u8], error: &str) -> Refusal {
    let mut track = Track::new();
    let mut text = serde_json::Deserializer::from_slice(json);
    let steps = Deserializer::new(&mut text, &mut track);
    let again = DynamicMessage::deserialize(input.clone(), steps);
    let error = again.map_or_else(|error| error.to_string(), |_| error.to_owned());
    // The line and column are of little use in a payload of a line.
    let error = error
        .rsplit_once(" at line ")
        .map_or(&error[..], |(said, _)| said);
    let path = track.path();
    let mut field = "payload".to_owned();
    for segment in &path {
        match segment {
            Segment::Map { key } => field = format!("{field}.{}", shown(key)),
            Segment::Seq { index } => field = format!("{field}[{index}]"),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    // As prost-reflect says it.
    let unknown = error
        .strip_prefix("unrecognized field name '")
        .and_then(|rest| rest.strip_suffix('\''));
    let Some(unknown) = unknown else {
        let error = clean(error, MESSAGE_LIMIT);
        let message = format!("this is no `{}`: {error}", input.full_name());
        return refusal("INVALID_MESSAGE", &field, message);
    };
    let shown = shown(unknown);
    field = format!("{field}.{shown}");
    let message = match holder(input, path.iter().filter_map(step)) {
        Some(holder) => no_such_field(&holder, &shown),
        None => format!("there is no field `{shown}`"),
    };
    refusal("UNKNOWN_FIELD", &field, message)
}

/// A caller's word, fit to be shown.
fn shown(word: &str) -> String {
    word.chars().take(64).filter(|c| !c.is_control()).collect()
}

/// The name of a field, where a step is one.
fn step(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Map { key } => Some(key),
        _ => None,
    }
}

/// The message that a path of fields leads to.
fn holder<'a>(
    input: &MessageDescriptor,
    path: impl Iterator<Item = &'a str>,
) -> Option<MessageDescriptor> {
    let mut at = input.clone();
    let mut is_map = false;
    for name in path {
        if std::mem::take(&mut is_map) {
            // The key of a map; its values are where it leads.
            continue;
        }
        let field = at
            .get_field_by_json_name(name)
            .or_else(|| at.get_field_by_name(name));
        let field = field?;
        is_map = field.is_map();
        let kind = field.kind();
        let message = kind.as_message()?;
        at = match is_map {
            true => message.map_entry_value_field().kind().as_message()?.clone(),
            false => message.clone(),
        };
    }
    Some(at)
}

fn no_such_field(message: &MessageDescriptor, unknown: &str) -> String {
    let names: Vec<String> = message
        .fields()
        .take(NAMED)
        .map(|field| format!("`{}`", field.json_name()))
        .collect();
    let more = match message.fields().len() {
        0 => "; it has none".to_owned(),
        all if all > NAMED => format!("; it has {} and more", names.join(", ")),
        _ => format!("; it has {}", names.join(", ")),
    };
    format!("`{}` has no field `{unknown}`{more}", message.full_name())
}

#[cfg(test)]
mod tests;
