//! An item with all that belongs to it, as a line of JSON: what
//! `flowgate results --failed` writes and `flowgate submit` takes back.
//!
//! `{"$item": {"id": "47", "payload": {"email": "x@y"}}, "$error": "..."}`

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::cli::payload;
use crate::proto::payload::Content;
use crate::proto::{Action, ActionVerb, GrpcCall, HttpCall, Item, Payload, item::Operation};

/// A line: the item, and for people what became of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The item.
    #[serde(rename = "$item")]
    pub item: Enclosed,
    /// Why it is here. Not read.
    #[serde(rename = "$error", default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An item in JSON. All fields may be absent.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enclosed {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    idempotency_key: String,
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    payload: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<Raw>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<ActionText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<HttpText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grpc: Option<GrpcText>,
}

/// A payload that is not JSON: as text where it is text, else in base64.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    content_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionText {
    verb: Verb,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    resource_id: String,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verb {
    Create,
    Update,
    Delete,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpText {
    #[serde(skip_serializing_if = "String::is_empty")]
    method: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GrpcText {
    #[serde(skip_serializing_if = "String::is_empty")]
    method: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

/// A payload of `null` is a payload.
fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(input).map(Some)
}

impl Enclosed {
    /// An item for writing.
    pub fn of(item: &Item) -> Enclosed {
        let mut enclosed = Enclosed {
            id: item.id.clone(),
            idempotency_key: item.idempotency_key.clone(),
            ..Enclosed::default()
        };
        if let Some(body) = &item.payload {
            // JSON text that is none cannot stand in JSON: it goes as text.
            match payload::json(body).and_then(|text| RawValue::from_string(text).ok()) {
                Some(text) => enclosed.payload = Some(text),
                None => enclosed.raw = raw_of(body),
            }
        }
        match &item.operation {
            None => {}
            Some(Operation::Action(action)) => {
                let verb = match action.verb() {
                    ActionVerb::Unspecified => None,
                    ActionVerb::Create => Some(Verb::Create),
                    ActionVerb::Update => Some(Verb::Update),
                    ActionVerb::Delete => Some(Verb::Delete),
                };
                enclosed.action = verb.map(|verb| ActionText {
                    verb,
                    resource_id: action.resource_id.clone(),
                });
            }
            Some(Operation::Http(http)) => {
                enclosed.http = Some(HttpText {
                    method: http.method.clone(),
                    path: http.path.clone(),
                    headers: http.headers.clone(),
                });
            }
            Some(Operation::Grpc(grpc)) => {
                enclosed.grpc = Some(GrpcText {
                    method: grpc.method.clone(),
                    metadata: grpc.metadata.clone(),
                });
            }
        }
        enclosed
    }

    /// The item that was written.
    pub fn into_item(self) -> anyhow::Result<Item> {
        let payload = match (self.payload, self.raw) {
            (Some(_), Some(_)) => bail!("`payload` and `raw` exclude each other"),
            (Some(text), None) => Some(Payload {
                content: Some(Content::JsonText(String::from(Box::<str>::from(text)))),
                content_type: String::new(),
            }),
            (None, Some(raw)) => Some(raw.into_payload()?),
            (None, None) => None,
        };
        let operation = match (self.action, self.http, self.grpc) {
            (None, None, None) => None,
            (Some(action), None, None) => Some(Operation::Action(Action {
                verb: match action.verb {
                    Verb::Create => ActionVerb::Create,
                    Verb::Update => ActionVerb::Update,
                    Verb::Delete => ActionVerb::Delete,
                }
                .into(),
                resource_id: action.resource_id,
            })),
            (None, Some(http), None) => Some(Operation::Http(HttpCall {
                method: http.method,
                path: http.path,
                headers: http.headers,
            })),
            (None, None, Some(grpc)) => Some(Operation::Grpc(GrpcCall {
                method: grpc.method,
                metadata: grpc.metadata,
            })),
            _ => bail!("`action`, `http` and `grpc` exclude each other"),
        };
        Ok(Item {
            id: self.id,
            idempotency_key: self.idempotency_key,
            payload,
            operation,
        })
    }
}

impl Raw {
    fn into_payload(self) -> anyhow::Result<Payload> {
        let bytes = match (self.text, self.base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => BASE64.decode(text).context("`raw.base64` is not base64")?,
            _ => bail!("`raw` needs either `text` or `base64`"),
        };
        Ok(Payload {
            content: Some(Content::Raw(bytes.into())),
            content_type: self.content_type,
        })
    }
}

fn raw_of(body: &Payload) -> Option<Raw> {
    let bytes = match body.content.as_ref()? {
        Content::Raw(bytes) => bytes.as_ref(),
        Content::JsonText(text) => text.as_bytes(),
        Content::Json(_) => return None,
    };
    let mut raw = Raw {
        content_type: match body.content {
            Some(Content::JsonText(_)) => "application/json".to_owned(),
            _ => body.content_type.clone(),
        },
        ..Raw::default()
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => raw.text = Some(text.to_owned()),
        Err(_) => raw.base64 = Some(BASE64.encode(bytes)),
    }
    Some(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(item: &Item) -> Item {
        let line = serde_json::to_string(&Envelope {
            item: Enclosed::of(item),
            error: Some("no".to_owned()),
        })
        .unwrap();
        assert!(!line.contains('\n'));
        let envelope: Envelope = serde_json::from_str(&line).unwrap();
        envelope.item.into_item().unwrap()
    }

    fn body(content: Content, content_type: &str) -> Payload {
        Payload {
            content: Some(content),
            content_type: content_type.to_owned(),
        }
    }

    #[test]
    fn an_item_comes_back_as_it_was() {
        let action = Operation::Action(Action {
            verb: ActionVerb::Update.into(),
            resource_id: "r/1".to_owned(),
        });
        let http = Operation::Http(HttpCall {
            method: "PUT".to_owned(),
            path: "/x?y=1".to_owned(),
            headers: [("x-a".to_owned(), "b".to_owned())].into(),
        });
        let text = |text: &str| Some(body(Content::JsonText(text.to_owned()), ""));
        let items = [
            (None, None),
            (
                text(r#"{"n":1.10,"big":123456789012345678901234567890}"#),
                None,
            ),
            (text("null"), Some(action)),
            (text(r#"{"$item":1}"#), Some(http)),
            (Some(body(Content::Raw("a,b".into()), "text/csv")), None),
            (Some(body(Content::Raw(vec![0xff, 0].into()), "")), None),
        ];
        for (payload, operation) in items {
            let item = Item {
                id: "7".to_owned(),
                idempotency_key: "k".to_owned(),
                payload,
                operation,
            };
            assert_eq!(round_trip(&item), item);
        }
    }

    #[test]
    fn a_field_that_is_not_known_is_refused() {
        let error = serde_json::from_str::<Envelope>(r#"{"$item":{"paylaod":{}}}"#).unwrap_err();
        assert!(error.to_string().contains("unknown field `paylaod`"));
    }
}
