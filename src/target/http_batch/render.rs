//! Makes one body of many items. Pure: what is constant is written once, and
//! what an item brings is copied into its place, JSON as the text that it is
//! (intake has seen that it is JSON), everything else as a JSON text. So no
//! payload can leave its place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::header::CONTENT_TYPE;

use crate::config::{Element, Embed, HttpBatchConfig, Slot, SubRequest, Urls};
use crate::core::template::{Piece, Template};
use crate::model::{Form, Item, Operation, Payload, Refusal};
use crate::target::Key;
use crate::target::http::admit::refusal;
use crate::target::http::request::{Plan, Requests};

/// Bytes of an address, an id and the like: about.
const ABOUT: usize = 64;

/// How the bodies of one target look.
pub(super) struct Renderer {
    head: String,
    tail: String,
    element: Written,
    max_bytes: usize,
}

/// How an item is written.
enum Written {
    Payload,
    Entry(Template<Slot>, Embed),
    Request {
        requests: Box<Requests>,
        has_operation: bool,
        constants: String,
        urls: Urls,
    },
}

impl Renderer {
    /// For a target that is configured so. The error says what would be right.
    pub(super) fn new(config: &HttpBatchConfig) -> Result<Renderer, String> {
        let (mut head, mut tail) = (String::new(), String::new());
        let mut part = &mut head;
        for piece in config.wrap.pieces() {
            match piece {
                Piece::Text(text) => part.push_str(text),
                Piece::Place(()) => part = &mut tail,
            }
        }
        let element = match &config.element {
            Element::Payload => Written::Payload,
            Element::Entry { template, embed } => Written::Entry(template.clone(), *embed),
            Element::Request(sub) => request_of(sub)?,
        };
        Ok(Renderer {
            head: head + "[",
            tail: format!("]{tail}"),
            element,
            max_bytes: config.max_bytes,
        })
    }

    /// The most bytes that the items of a request may have together.
    pub(super) fn room(&self) -> usize {
        let around = self.head.len() + self.tail.len();
        self.max_bytes.saturating_sub(around).max(1)
    }

    /// Why an item cannot be sent, where it cannot.
    pub(super) fn admit(&self, item: &Item) -> Result<(), Refusal> {
        let embed = match &self.element {
            Written::Request { .. } => return self.planned(item).map(drop),
            Written::Payload => Embed::Json,
            Written::Entry(_, embed) => *embed,
        };
        let asks = match &item.operation {
            Operation::Target => None,
            Operation::Action(_) => Some("action"),
            Operation::Http(_) => Some("http"),
            Operation::Grpc(_) => Some("grpc"),
        };
        if let Some(field) = asks {
            let message = format!(
                "this target does the same with every item of a batch; leave `{field}` out"
            );
            return Err(refusal("OPERATION_NOT_SUPPORTED", field, message));
        }
        let Some(payload) = &item.payload else {
            let message = "this target has nothing to do for an item without a payload";
            return Err(refusal("PAYLOAD_REQUIRED", "payload", message));
        };
        self.fits(payload)?;
        match embed {
            Embed::Json => is_json(payload),
            Embed::Text if std::str::from_utf8(&payload.body).is_err() => {
                let message = "this target takes text, and this is not UTF-8";
                Err(refusal("PAYLOAD_NOT_TEXT", "payload.raw", message))
            }
            Embed::Text | Embed::Base64 => Ok(()),
        }
    }

    /// A request of the item's own.
    fn planned<'a>(&self, item: &'a Item) -> Result<Option<Plan<'a>>, Refusal> {
        let Written::Request {
            requests,
            has_operation,
            ..
        } = &self.element
        else {
            return Ok(None);
        };
        let wants_it = match &item.operation {
            Operation::Target => Some("http"),
            Operation::Http(call) if call.path.is_empty() => Some("http.path"),
            _ => None,
        };
        if let Some(field) = wants_it.filter(|_| !has_operation) {
            let message = "this target has no operation of its own; say what to do with the item";
            return Err(refusal("OPERATION_REQUIRED", field, message));
        }
        let plan = requests.plan(item)?;
        if let Some(payload) = &item.payload {
            self.fits(payload)?;
            is_json(payload)?;
        }
        Ok(Some(plan))
    }

    fn fits(&self, payload: &Payload) -> Result<(), Refusal> {
        let (got, most) = (payload.body.len(), self.max_bytes);
        if got > most {
            let message = format!("has {got} bytes; a request to this target has at most {most}");
            return Err(refusal("PAYLOAD_TOO_LARGE", "payload", message));
        }
        Ok(())
    }

    /// The method of an item that is a request of its own.
    pub(super) fn method(&self, item: &Item) -> Option<Method> {
        let plan = self.planned(item).ok()??;
        Some(plan.method)
    }

    /// About how many bytes an item takes in a body.
    pub(super) fn bytes(&self, item: &Item) -> usize {
        let payload = item
            .payload
            .as_ref()
            .map_or(&[][..], |payload| &payload.body);
        // Each with a comma.
        1 + match &self.element {
            Written::Payload => payload.len(),
            Written::Entry(template, embed) => {
                let payload = match embed {
                    Embed::Json => payload.len(),
                    Embed::Text => escaped_len(payload),
                    Embed::Base64 => payload.len().div_ceil(3) * 4 + 2,
                };
                template.text_len() + payload + ABOUT
            }
            Written::Request { constants, .. } => {
                let asked = match &item.operation {
                    Operation::Http(call) => {
                        let headers = call.headers.iter();
                        let headers = headers.map(|(name, value)| name.len() + value.len() + 6);
                        call.path.len() + headers.sum::<usize>()
                    }
                    Operation::Action(action) => action.resource_id.len() + ABOUT,
                    _ => ABOUT,
                };
                constants.len() + payload.len() + asked + 2 * ABOUT
            }
        }
    }

    /// The body of a request; or, of each item that cannot be sent, its place
    /// and why.
    pub(super) fn body<'a>(
        &self,
        items: &'a [Item],
        keys: impl Iterator<Item = Key<'a>>,
    ) -> Result<Bytes, Vec<(usize, Refusal)>> {
        let bytes: usize = items.iter().map(|item| self.bytes(item)).sum();
        let mut out = Vec::with_capacity(self.head.len() + bytes + self.tail.len());
        let mut refused = Vec::new();
        out.extend_from_slice(self.head.as_bytes());
        for (place, (item, key)) in items.iter().zip(keys).enumerate() {
            if place > 0 {
                out.push(b',');
            }
            if let Err(refusal) = self.write(&mut out, item, key) {
                refused.push((place, refusal));
            }
        }
        out.extend_from_slice(self.tail.as_bytes());
        match refused.is_empty() {
            true => Ok(out.into()),
            false => Err(refused),
        }
    }

    fn write(&self, out: &mut Vec<u8>, item: &Item, key: Key<'_>) -> Result<(), Refusal> {
        if let Some(plan) = self.planned(item)? {
            self.write_request(out, item, &plan, key);
            return Ok(());
        }
        // Admission has seen to it, unless the configuration has changed.
        self.admit(item)?;
        let payload = item
            .payload
            .as_ref()
            .map_or(&[][..], |payload| &payload.body);
        let Written::Entry(template, embed) = &self.element else {
            out.extend_from_slice(payload);
            return Ok(());
        };
        for piece in template.pieces() {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Place(Slot::Id) => write_text(out, &item.index.to_string()),
                Piece::Place(Slot::Key) => write_text(out, &key.to_string()),
                Piece::Place(Slot::Payload) => match embed {
                    Embed::Json => out.extend_from_slice(payload),
                    Embed::Text => write_text(out, &String::from_utf8_lossy(payload)),
                    Embed::Base64 => write_text(out, &STANDARD.encode(payload)),
                },
            }
        }
        Ok(())
    }

    /// `{"id":"0","method":"POST","url":"/users","headers":{...},"body":{...}}`
    fn write_request(&self, out: &mut Vec<u8>, item: &Item, plan: &Plan<'_>, key: Key<'_>) {
        let Written::Request {
            requests,
            constants,
            urls,
            ..
        } = &self.element
        else {
            return;
        };
        let whole = plan.path.as_str();
        let url = match urls {
            Urls::Below => whole.strip_prefix(requests.prefix()).unwrap_or(whole),
            Urls::Whole => whole,
        };
        out.extend_from_slice(b"{\"id\":");
        write_text(out, &item.index.to_string());
        out.extend_from_slice(b",\"method\":");
        write_text(out, plan.method.as_str());
        out.extend_from_slice(b",\"url\":");
        write_text(out, url);
        let content_type = plan
            .content_type
            .as_ref()
            .map(|value| (&CONTENT_TYPE, value));
        let headers = plan.headers.iter().map(|(name, value)| (name, value));
        let mut before = &b",\"headers\":{"[..];
        for (name, value) in headers.chain(content_type) {
            // They are visible ASCII by now.
            write_member(
                out,
                before,
                name.as_str(),
                value.to_str().unwrap_or_default(),
            );
            before = b",";
        }
        if let Some(name) = requests.key_header() {
            write_member(out, before, name.as_str(), &key.to_string());
            before = b",";
        }
        if before == b"," {
            out.push(b'}');
        }
        if let Some(payload) = &item.payload {
            out.extend_from_slice(b",\"body\":");
            out.extend_from_slice(&payload.body);
        }
        if !constants.is_empty() {
            out.push(b',');
            out.extend_from_slice(constants.as_bytes());
        }
        out.push(b'}');
    }
}

fn request_of(sub: &SubRequest) -> Result<Written, String> {
    Ok(Written::Request {
        requests: Box::new(Requests::new(&sub.http)?),
        has_operation: sub.has_operation,
        constants: sub.constants.clone(),
        urls: sub.urls,
    })
}

/// Whether a payload can stand in JSON as it is: one of bytes cannot, whatever
/// it is called, since nobody has looked at it.
fn is_json(payload: &Payload) -> Result<(), Refusal> {
    match payload.form {
        Form::Json | Form::JsonText => Ok(()),
        Form::Raw => {
            let message = "this target puts items into JSON; give `json` or `json_text`";
            Err(refusal("PAYLOAD_NOT_JSON", "payload.raw", message))
        }
    }
}

fn write_member(out: &mut Vec<u8>, before: &[u8], name: &str, value: &str) {
    out.extend_from_slice(before);
    write_text(out, name);
    out.push(b':');
    write_text(out, value);
}

/// As a JSON text, in its quotes.
fn write_text(out: &mut Vec<u8>, text: &str) {
    // A vector takes everything.
    let _ = serde_json::to_writer(out, text);
}

/// Bytes of a JSON text that holds this, with its quotes.
fn escaped_len(text: &[u8]) -> usize {
    let of = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..32 => 6,
        _ => 1,
    };
    text.iter().map(of).sum::<usize>() + 2
}

#[cfg(test)]
mod tests;
