//! What items may not ask for: refused when they are handed in, with the field,
//! and not sent even if they get further.

use std::sync::Arc;

use flowgate::model::{Action, Form, HttpCall, Item, Operation, Verb};
use flowgate::target::Target;

use crate::backend::{Backend, done};
use crate::guests::{CREATE, guest};
use crate::messages::open;
use crate::sending::{calling, config, item, items, payload, said, send_one, target};

const GET: &str = "guests.v1.GuestService/GetGuest";

/// What is refused, with the reason and the field.
type Refused = Vec<(Item, &'static str, &'static str)>;

async fn assert_refused(target: &Arc<dyn Target>, refused: Refused) {
    for (item, reason, field) in refused {
        let shown = format!("{item:?}");
        let refusal = target.admit(&item).expect_err(&shown);
        let named = &refusal.violations[0].field;
        assert_eq!((refusal.reason, &named[..]), (reason, field), "{shown}");
        let fate = send_one(target, item).await;
        assert!(!fate.written, "{fate:?}");
        assert_eq!(said(&fate.reply), format!("refused {reason}"));
    }
}

fn good() -> Item {
    items(1).remove(0)
}

fn doing(operation: Operation) -> Item {
    Item {
        operation,
        ..good()
    }
}

/// Of a target that lets items do nothing but its own method.
#[rustfmt::skip] // One item, one line.
fn by_a_closed_target() -> Refused {
    let (verb, resource_id) = (Verb::Create, String::new());
    let action = doing(Operation::Action(Action { verb, resource_id }));
    let raw = |content_type| payload(0, Form::Raw, Some(content_type), Vec::new());
    vec![
        (action, "OPERATION_NOT_SUPPORTED", "action"),
        (doing(Operation::Http(HttpCall::default())), "OPERATION_NOT_SUPPORTED", "http"),
        (calling(good(), GET, &[]), "METHOD_NOT_ALLOWED", "grpc.method"),
        (calling(good(), "", &[("x-tenant", "a")]), "METADATA_NOT_ALLOWED", "grpc.metadata[x-tenant]"),
        (item(0, r#"{"name": "Ann", "emial": "a"}"#), "UNKNOWN_FIELD", "payload.emial"),
        (item(0, r#"{"address": {"town": "Ulm"}}"#), "UNKNOWN_FIELD", "payload.address.town"),
        (item(0, r#"{"visits": "many"}"#), "INVALID_MESSAGE", "payload.visits"),
        (raw("text/csv"), "INVALID_CONTENT_TYPE", "payload.content_type"),
        (raw("application/grpc-web"), "INVALID_CONTENT_TYPE", "payload.content_type"),
        (raw("application/grpcx"), "INVALID_CONTENT_TYPE", "payload.content_type"),
    ]
}

/// Of a target that lets them do what there is.
#[rustfmt::skip] // One item, one line.
fn by_an_open_target() -> Refused {
    let to = |method: &str| calling(good(), method, &[]);
    let with = |metadata: &[(&str, &str)]| calling(good(), CREATE, metadata);
    let twice = with(&[("X-Tenant", "a"), ("x-tenant", "b")]);
    vec![
        (to("other.v1.Service/Get"), "METHOD_NOT_ALLOWED", "grpc.method"),
        (to("/guests.v1.GuestService/GetGuest"), "INVALID_METHOD", "grpc.method"),
        (to("GetGuest"), "INVALID_METHOD", "grpc.method"),
        (to("guests.v1.GuestService/*"), "INVALID_METHOD", "grpc.method"),
        (to("guests.v1.GuestService/Get\r\n"), "INVALID_METHOD", "grpc.method"),
        (to("guests.v1.GuestService/DropGuest"), "UNKNOWN_METHOD", "grpc.method"),
        (to("guests.v1.GuestService/WatchGuests"), "METHOD_NOT_SUPPORTED", "grpc.method"),
        (with(&[("x-other", "a")]), "METADATA_NOT_ALLOWED", "grpc.metadata[x-other]"),
        (with(&[("authorization", "a")]), "METADATA_NOT_ALLOWED", "grpc.metadata[authorization]"),
        (with(&[("grpc-timeout", "1S")]), "METADATA_NOT_ALLOWED", "grpc.metadata[grpc-timeout]"),
        (with(&[("x-trace-bin", "not base64")]), "INVALID_METADATA", "grpc.metadata[x-trace-bin]"),
        (twice, "INVALID_METADATA", "grpc.metadata[x-tenant]"),
        (calling(item(0, r#"{"name": "Ann"}"#), GET, &[]), "UNKNOWN_FIELD", "payload.name"),
    ]
}

#[tokio::test]
async fn what_an_item_may_not_ask_for_is_refused_with_its_field() {
    let backend = Backend::start(|_| done(&guest("a"))).await;
    let closed = target(&config(&backend.base()));
    let open = target(&open(&backend.base()));
    assert_refused(&closed, by_a_closed_target()).await;
    assert_refused(&open, by_an_open_target()).await;
    assert_eq!(backend.calls().len(), 0);
    assert_eq!(
        open.admit(&calling(good(), "", &[("x-tenant", "a")])),
        Ok(())
    );
    assert_eq!(closed.admit(&calling(good(), CREATE, &[])), Ok(()));
}
