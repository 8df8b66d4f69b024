//! The batch endpoints of well-known providers: a preset is a table of keys, as
//! an operator could have written it, and every key of it can be overridden.
//! Each names the page that says so.

use std::time::Duration;

use crate::config::file::HttpBatch;

/// A batch endpoint.
pub(super) struct Preset {
    name: &'static str,
    /// `[targets.NAME.batch]`.
    keys: &'static str,
    /// Headers that its requests need, unless the operator sets them.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// For how long it knows an item's key, where that is not as long as usual.
    pub(super) key_window: Option<Duration>,
}

impl Preset {
    /// The one of that name among [`PRESETS`](crate::config::reference::PRESETS).
    pub(super) fn named(name: &str) -> &'static Preset {
        let named = ALL.iter().find(|preset| preset.name == name);
        // A test has them all.
        named.unwrap_or(&ARRAY)
    }

    /// Its table.
    pub(super) fn keys(&self) -> HttpBatch {
        // A test reads them all.
        toml::from_str(self.keys).unwrap_or_default()
    }
}

const ALL: &[Preset] = &[ARRAY, RESEND, POSTMARK, GRAPH, ODATA, SQS, EVENTBRIDGE];

const fn preset(name: &'static str, keys: &'static str) -> Preset {
    Preset {
        name,
        keys,
        headers: &[],
        key_window: None,
    }
}

/// No provider's: an array of the payloads, answered with an array of results in
/// the same order, of which those that failed have an `error`.
const ARRAY: Preset = preset(
    "array",
    r#"
    format = "array"
    join = "index"
    result_error = "/error"
    "#,
);

/// Resend, "Send Batch Emails": `POST /emails/batch`, an array of up to 100
/// e-mails, answered with `{"data": [{"id": ...}]}` in their order. By default
/// ("strict" validation, see "Batch Validation Modes") it sends them only if
/// all are valid. It knows the `Idempotency-Key` of a request for 24 hours
/// (see "Idempotency Keys").
/// <https://resend.com/docs/api-reference/emails/send-batch-emails>
const RESEND: Preset = preset(
    "resend",
    r#"
    format = "array"
    max_items = 100
    join = "index"
    results = "/data"
    refused_whole = "nothing_done"
    "#,
);

/// Postmark, "Send batch emails": `POST /email/batch`, an array of up to 500
/// messages and 50 MB, answered with 200 and an array in their order; each has
/// an `ErrorCode`, which is 0 where it was sent, and a `Message`. 100 is
/// maintenance and 429 a rate limit, by its list of error codes.
/// <https://postmarkapp.com/developer/user-guide/send-email-with-api/batch-emails>
const POSTMARK: Preset = preset(
    "postmark",
    r#"
    format = "array"
    max_items = 500
    max_bytes = "47MiB"
    join = "index"
    result_error = "/ErrorCode"
    result_message = "/Message"
    busy_codes = ["429"]
    fault_codes = ["100"]
    "#,
);

/// Microsoft Graph, "Combine multiple HTTP requests using JSON batching":
/// `POST /$batch`, up to 20 requests; the responses come in any order, each
/// with the id, status, headers and body of its own. A throttled one has 429
/// and `Retry-After` among its headers.
/// <https://learn.microsoft.com/graph/json-batching>
const GRAPH: Preset = preset(
    "graph",
    r#"
    format = "requests"
    max_items = 20
    items = "/requests"
    urls = "below"
    join = "id"
    results = "/responses"
    result_id = "/id"
    result_status = "/status"
    result_headers = "/headers"
    result_body = "/body"
    result_code = "/body/error/code"
    "#,
);

/// `OData` JSON Format 4.01, "Batch Requests and Responses": as Graph's, which
/// follows it; addresses are written with the path of the service's root, which
/// every service has to understand.
/// <https://docs.oasis-open.org/odata/odata-json-format/v4.01/odata-json-format-v4.01.html>
const ODATA: Preset = preset(
    "odata",
    r#"
    format = "requests"
    items = "/requests"
    urls = "whole"
    join = "id"
    results = "/responses"
    result_id = "/id"
    result_status = "/status"
    result_headers = "/headers"
    result_body = "/body"
    result_code = "/body/error/code"
    "#,
);

/// Amazon SQS, `SendMessageBatch` over its JSON protocol: up to 10 messages,
/// together up to 256 KiB (1 MiB where AWS has raised it: set `max_bytes`).
/// Those that failed are in a list of their own, with a code and whose fault it
/// was. What refuses the whole call (`BatchRequestTooLong` and the like) is
/// said before any message is taken.
///
/// Flowgate does not sign requests: this is for servers that ask for no
/// signature, or behind a proxy that signs. A FIFO queue knows a
/// `MessageDeduplicationId` (`entry_key`) for 5 minutes, and wants a
/// `MessageGroupId` (`entry`).
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>
const SQS: Preset = Preset {
    name: "sqs",
    keys: r#"
    format = "entries"
    max_items = 10
    max_bytes = "256KiB"
    content_type = "application/x-amz-json-1.0"
    items = "/Entries"
    entry_id = "/Id"
    entry_payload = "/MessageBody"
    payload = "text"
    join = "id"
    results = "/Successful"
    failures = "/Failed"
    result_id = "/Id"
    result_code = "/Code"
    result_message = "/Message"
    result_sender_fault = "/SenderFault"
    busy_codes = ["RequestThrottled", "ThrottlingException"]
    refused_whole = "nothing_done"
    refused_code = "/__type"
    "#,
    headers: &[("x-amz-target", "AmazonSQS.SendMessageBatch")],
    key_window: Some(Duration::from_mins(5)),
};

/// Amazon `EventBridge`, `PutEvents`: up to 10 entries, together up to 256 KiB,
/// answered with as many in the same order; those that failed have an
/// `ErrorCode`. An item's payload is the entry (`Source`, `DetailType`,
/// `Detail`). Not signed, as with SQS.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html>
const EVENTBRIDGE: Preset = Preset {
    name: "eventbridge",
    keys: r#"
    format = "array"
    max_items = 10
    max_bytes = "256KiB"
    content_type = "application/x-amz-json-1.1"
    items = "/Entries"
    join = "index"
    results = "/Entries"
    result_error = "/ErrorCode"
    result_message = "/ErrorMessage"
    busy_codes = ["ThrottlingException"]
    fault_codes = ["InternalFailure", "InternalException"]
    refused_code = "/__type"
    "#,
    headers: &[("x-amz-target", "AWSEvents.PutEvents")],
    key_window: None,
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reference::PRESETS;

    #[test]
    fn every_preset_is_a_table_of_keys() {
        for name in PRESETS {
            let preset = Preset::named(name);
            assert_eq!(preset.name, *name);
            let read = toml::from_str::<HttpBatch>(preset.keys);
            assert!(read.is_ok(), "{}: {read:?}", preset.name);
            assert!(preset.keys().format.is_some(), "{}", preset.name);
        }
    }
}
