//! Results, as an event keeps them.

use bytes::Bytes;
use prost::Message;

use super::super::rows::Undone;
use super::items::{ItemMessage, PayloadMessage};
use super::{required, unknown, unreadable};
use crate::model::{Failure, FailureKind, Item, ItemResult, Outcome, Payload, Success, Violation};

/// Results, for an event.
pub(in crate::store) fn encode_results(results: impl IntoIterator<Item = ItemResult>) -> Bytes {
    let results = results.into_iter().map(ResultMessage::from).collect();
    Results { results }.encode_to_vec().into()
}

/// The results of an event.
pub(in crate::store) fn decode_results(blob: Bytes) -> Result<Vec<ItemResult>, Undone> {
    let results = Results::decode(blob).map_err(unreadable)?.results;
    results.into_iter().map(ItemResult::try_from).collect()
}

#[derive(Clone, PartialEq, prost::Message)]
struct Results {
    #[prost(message, repeated, tag = "1")]
    results: Vec<ResultMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResultMessage {
    #[prost(uint32, tag = "1")]
    index: u32,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(oneof = "OutcomeMessage", tags = "3, 4")]
    outcome: Option<OutcomeMessage>,
    #[prost(uint32, tag = "5")]
    attempts: u32,
    #[prost(message, optional, tag = "6")]
    item: Option<ItemMessage>,
    #[prost(bool, tag = "7")]
    replayed: bool,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OutcomeMessage {
    #[prost(message, tag = "3")]
    Succeeded(SuccessMessage),
    #[prost(message, tag = "4")]
    Failed(FailureMessage),
}

#[derive(Clone, PartialEq, prost::Message)]
struct SuccessMessage {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(message, optional, tag = "2")]
    reply: Option<PayloadMessage>,
    #[prost(bool, tag = "3")]
    truncated: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct FailureMessage {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(string, tag = "3")]
    message: String,
    #[prost(message, repeated, tag = "4")]
    violations: Vec<ViolationMessage>,
    #[prost(uint32, optional, tag = "5")]
    status: Option<u32>,
    #[prost(message, optional, tag = "6")]
    reply: Option<PayloadMessage>,
    #[prost(bool, tag = "7")]
    truncated: bool,
    #[prost(bool, tag = "8")]
    retryable: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ViolationMessage {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

impl From<ItemResult> for ResultMessage {
    fn from(result: ItemResult) -> Self {
        let outcome = match result.outcome {
            Outcome::Succeeded(success) => OutcomeMessage::Succeeded(SuccessMessage {
                status: success.status.into(),
                reply: success.reply.map(PayloadMessage::from),
                truncated: success.truncated,
            }),
            Outcome::Failed(failure) => OutcomeMessage::Failed((*failure).into()),
        };
        ResultMessage {
            index: result.index,
            id: result.id,
            outcome: Some(outcome),
            attempts: result.attempts,
            replayed: result.replayed,
            item: result.item.map(|item| (*item).into()),
        }
    }
}

impl TryFrom<ResultMessage> for ItemResult {
    type Error = Undone;

    fn try_from(message: ResultMessage) -> Result<Self, Undone> {
        let outcome = match required(message.outcome, "outcome")? {
            OutcomeMessage::Succeeded(success) => Outcome::Succeeded(Success {
                status: status(success.status)?,
                reply: success.reply.map(Payload::try_from).transpose()?,
                truncated: success.truncated,
            }),
            OutcomeMessage::Failed(failure) => Outcome::Failed(Box::new(failure.try_into()?)),
        };
        let item = message.item.map(Item::try_from);
        Ok(ItemResult {
            index: message.index,
            id: message.id,
            outcome,
            attempts: message.attempts,
            replayed: message.replayed,
            item: item.transpose()?.map(Box::new),
        })
    }
}

impl From<Failure> for FailureMessage {
    fn from(failure: Failure) -> Self {
        FailureMessage {
            kind: failure.kind as u32,
            reason: failure.reason,
            message: failure.message,
            violations: failure
                .violations
                .into_iter()
                .map(|violation| ViolationMessage {
                    field: violation.field,
                    description: violation.description,
                })
                .collect(),
            status: failure.status.map(u32::from),
            reply: failure.reply.map(PayloadMessage::from),
            truncated: failure.truncated,
            retryable: failure.retryable,
        }
    }
}

impl TryFrom<FailureMessage> for Failure {
    type Error = Undone;

    fn try_from(message: FailureMessage) -> Result<Self, Undone> {
        let kind = FailureKind::ALL
            .into_iter()
            .find(|kind| *kind as u32 == message.kind)
            .ok_or_else(|| unknown("kind of failure", message.kind))?;
        Ok(Failure {
            kind,
            reason: message.reason,
            message: message.message,
            violations: message
                .violations
                .into_iter()
                .map(|violation| Violation {
                    field: violation.field,
                    description: violation.description,
                })
                .collect(),
            status: message.status.map(status).transpose()?,
            reply: message.reply.map(Payload::try_from).transpose()?,
            truncated: message.truncated,
            retryable: message.retryable,
        })
    }
}

fn status(stored: u32) -> Result<u16, Undone> {
    u16::try_from(stored).map_err(|_| unknown("status", stored))
}
