//! Whole batches, through the real program, to a real service.

use std::collections::BTreeMap;

use flowgate::proto::batch_event::Kind;
use flowgate::proto::batch_service_client::BatchServiceClient;
use flowgate::proto::batch_submit_stream_request::Message as Asked;
use flowgate::proto::batch_submit_stream_response::Message as Told;
use flowgate::proto::item_result::Outcome;
use flowgate::proto::{
    BatchAppend, BatchOpen, BatchSeal, BatchSpec, BatchSubmitStreamRequest, Failure, FailureKind,
    GrpcCall, Item, ItemResult, Payload, batch_open, item, payload,
};
use prost::Message;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Status;
use tonic_types::RpcStatusExt;

use crate::guests::{Guests, files, serve};
use crate::support::patience::within;
use crate::support::program::{self, Program};

/// The most items of a message.
const FRAME: usize = 500;

/// The real program, with one target.
pub struct Flowgate {
    pub program: Program,
    _folder: TempDir,
}

impl Flowgate {
    /// Starts it; the lines are those of `[targets.guests]`.
    pub async fn start(lines: &str) -> Flowgate {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("guests.binpb"), files().encode_to_vec()).unwrap();
        let config = folder.path().join("flowgate.toml");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[targets.guests]\nkind = \"grpc\"\n{lines}\n"
        );
        std::fs::write(&config, text).expect("the folder can be written to");
        let started = Program::start(program::serve(&config)).await;
        Flowgate {
            program: started.unwrap_or_else(|ended| panic!("it does not serve: {ended:?}")),
            _folder: folder,
        }
    }

    /// Submits items on a stream and reads their results from it, by index.
    ///
    /// # Errors
    ///
    /// What the stream ended with before the batch did.
    pub async fn stream(&self, items: Vec<Item>) -> Result<Vec<ItemResult>, Status> {
        let (say, said) = mpsc::unbounded_channel();
        let say = |message| {
            let message = Some(message);
            say.send(BatchSubmitStreamRequest { message })
                .expect("it is read");
        };
        let spec = BatchSpec {
            target: "guests".to_owned(),
            ..BatchSpec::default()
        };
        say(Asked::Open(BatchOpen {
            how: Some(batch_open::How::Spec(spec)),
            all_failed_is_ok: true,
        }));
        let count = u32::try_from(items.len()).ok();
        for some in items.chunks(FRAME) {
            let items = some.to_vec();
            let offset = None;
            say(Asked::Append(BatchAppend { items, offset }));
        }
        say(Asked::Seal(BatchSeal { count }));
        let channel = self.program.connect().await.expect("a connection");
        let mut client = BatchServiceClient::new(channel);
        let following = async {
            let said = UnboundedReceiverStream::new(said);
            let mut told = client.batch_submit_stream(said).await?.into_inner();
            let mut results: Vec<ItemResult> = Vec::new();
            while let Some(response) = told.message().await? {
                if let Some(Told::Event(event)) = response.message
                    && let Some(Kind::Results(more)) = event.kind
                {
                    results.extend(more.results);
                }
            }
            results.sort_by_key(|result| result.index);
            Ok(results)
        };
        within("the end of a batch", following).await
    }
}

/// An item with a JSON payload for the target's own method.
pub fn json(text: &str) -> Item {
    Item {
        payload: Some(Payload {
            content: Some(payload::Content::JsonText(text.to_owned())),
            content_type: String::new(),
        }),
        ..Item::default()
    }
}

/// The same for another method.
pub fn calling(mut item: Item, method: &str, metadata: &[(&str, &str)]) -> Item {
    let entry = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let metadata: BTreeMap<String, String> = metadata.iter().map(entry).collect();
    item.operation = Some(item::Operation::Grpc(GrpcCall {
        method: method.to_owned(),
        metadata,
    }));
    item
}

/// The text of a success.
pub fn reply(result: &ItemResult) -> &str {
    let Some(Outcome::Success(success)) = &result.outcome else {
        panic!("{result:?}");
    };
    assert_eq!(success.target_status, 0);
    match success
        .reply
        .as_ref()
        .and_then(|reply| reply.content.as_ref())
    {
        Some(payload::Content::JsonText(text)) => text,
        other => panic!("{other:?}"),
    }
}

pub fn failure(result: &ItemResult) -> &Failure {
    match &result.outcome {
        Some(Outcome::Failure(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn items_call_the_targets_method_or_the_one_that_they_name() {
    let guests = Guests::default();
    let server = serve(guests.router(), 0).await;
    let flowgate = Flowgate::start(&format!(
        r#"
        url = "{}"
        allow_headers = ["x-tenant"]
        idempotency_header = "idempotency-key"
        headers.authorization = "Bearer s3cret"
        [targets.guests.grpc]
        method = "guests.v1.GuestService/CreateGuest"
        allow_methods = ["guests.v1.GuestService/GetGuest"]
        descriptors = "guests.binpb"
        "#,
        server.base
    ))
    .await;
    let get = "guests.v1.GuestService/GetGuest";
    let results = flowgate
        .stream(vec![
            json(r#"{"name": "Ann", "email": "ann@example.com"}"#),
            calling(json(r#"{"id": "g-Bob"}"#), get, &[("X-Tenant", "acme")]),
            json(r#"{"name": "Cy"}"#),
        ])
        .await
        .expect("a whole batch");
    assert_eq!(reply(&results[0]), r#"{"id":"g-Ann","name":"Ann"}"#);
    assert_eq!(reply(&results[1]), r#"{"id":"g-Bob","name":"Bob"}"#);
    let refused = failure(&results[2]);
    assert_eq!(refused.kind(), FailureKind::Rejected);
    assert_eq!((refused.target_status, refused.retryable), (3, false));
    let error = refused.error.clone().expect("an error");
    assert_eq!(error.message, "a guest has an e-mail address");
    let details = error.get_error_details();
    let info = details.error_info().expect("a reason");
    assert_eq!(info.reason, "EMAIL_MISSING");
    let bad = details.bad_request().expect("fields");
    assert_eq!(bad.field_violations[0].field, "payload.email");

    assert_eq!(guests.taken.lock().unwrap().len(), 1);
    let metadata = guests.metadata.lock().unwrap().clone();
    let tenants: Vec<bool> = metadata
        .iter()
        .map(|map| map.contains_key("x-tenant"))
        .collect();
    assert_eq!(tenants.iter().filter(|has| **has).count(), 1);
    for map in metadata {
        assert_eq!(map.get("authorization").unwrap(), "Bearer s3cret");
        assert!(map.contains_key("idempotency-key"));
    }
    assert!(!flowgate.program.log().contains("s3cret"));
}

#[tokio::test]
async fn a_bad_item_is_invalid_with_its_field_and_never_sent() {
    let guests = Guests::default();
    let server = serve(guests.router(), 0).await;
    let flowgate = Flowgate::start(&format!(
        r#"
        url = "{}"
        [targets.guests.grpc]
        method = "guests.v1.GuestService/CreateGuest"
        descriptors = "guests.binpb"
        "#,
        server.base
    ))
    .await;
    let good = || json(r#"{"name": "Ann", "email": "ann@example.com"}"#);
    let get = "guests.v1.GuestService/GetGuest";
    for (bad, field, says) in [
        (
            json(r#"{"emial": "a"}"#),
            "payload.emial",
            "has no field `emial`; it has `name`, `email`",
        ),
        (
            json(r#"{"visits": "x"}"#),
            "payload.visits",
            "invalid digit",
        ),
        (
            calling(good(), get, &[]),
            "grpc.method",
            "lets items call only",
        ),
        (
            calling(good(), "", &[("a", "b")]),
            "grpc.metadata[a]",
            "takes no metadata from items",
        ),
    ] {
        let results = flowgate.stream(vec![good(), bad]).await;
        let results = results.expect("a whole batch");
        assert_eq!(reply(&results[0]), r#"{"id":"g-Ann","name":"Ann"}"#);
        let refused = failure(&results[1]);
        assert_eq!(refused.kind(), FailureKind::Invalid);
        assert_eq!(results[1].attempts, 0);
        let details = refused.error.clone().expect("an error").get_error_details();
        let named = &details.bad_request().expect("fields").field_violations[0];
        assert_eq!(named.field, field);
        assert!(named.description.contains(says), "{named:?}");
    }
    // One good item a batch, and no other.
    assert_eq!(guests.taken.lock().unwrap().len(), 4);
}
