//! Where it is known from what messages look like: a file, or the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use flowgate::config::GrpcConfig;
use flowgate::model::Item;
use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic::transport::server::Router;

use crate::backend::{Backend, Step, done, failed};
use crate::guests::{Guests, files, guest, newer_files, serve};
use crate::sending::{
    Fate, SHORT, body, cause, config, item, items, reflecting, said, send, send_one, target,
};
use crate::support::patience::within;

/// Longer than what was read is believed.
const A_WHILE: Duration = Duration::from_secs(61);

/// The guests' service, which says what it looks like.
fn with_reflection(guests: &Guests, files: &FileDescriptorSet) -> Router {
    let set = files.encode_to_vec();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(&set)
        .build_v1();
    guests
        .router()
        .add_service(reflection.expect("good descriptors"))
}

fn with_old_reflection(guests: &Guests) -> Router {
    let set = files().encode_to_vec();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(&set)
        .build_v1alpha();
    guests
        .router()
        .add_service(reflection.expect("good descriptors"))
}

/// An answer of reflection, as it travels.
#[derive(Clone, PartialEq, Message)]
struct Told {
    #[prost(message, optional, tag = "4")]
    files: Option<Files>,
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

/// A whole answer with these files.
fn of(files: &[FileDescriptorProto]) -> Vec<Step> {
    let files = files.iter().map(Message::encode_to_vec).collect();
    done(&Told {
        files: Some(Files { files }),
    })
}

/// Lets time pass without waiting for it.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(A_WHILE).await;
    tokio::time::resume();
}

fn nicknamed() -> Item {
    item(
        0,
        r#"{"name": "Ann", "email": "ann@example.com", "nickname": "A"}"#,
    )
}

fn told(fates: &[Fate]) -> Vec<String> {
    fates.iter().map(|fate| said(&fate.reply)).collect()
}

#[tokio::test]
async fn a_service_says_what_it_looks_like_in_the_new_way_or_the_old() {
    for is_old in [false, true] {
        let guests = Guests::default();
        let router = match is_old {
            false => with_reflection(&guests, &files()),
            true => with_old_reflection(&guests),
        };
        let server = serve(router, 0).await;
        let target = target(&reflecting(&server.base));
        let mut three = items(3);
        three[1] = item(1, r#"{"emial": "b"}"#);
        // Nobody knows yet; the items that need it wait for it.
        assert_eq!(target.admit(&three[1]), Ok(()));
        let fates = send(&target, three.clone()).await;
        assert_eq!(
            told(&fates),
            ["ok 0", "refused UNKNOWN_FIELD", "ok 0"],
            "{is_old}"
        );
        assert!(!fates[1].written);
        assert_eq!(guests.taken.lock().unwrap().len(), 2);
        // From here on it is known when they are handed in.
        let refusal = target.admit(&three[1]).expect_err("an unknown field");
        assert_eq!(refusal.violations[0].field, "payload.emial");
        assert_eq!(target.admit(&three[0]), Ok(()));
    }
}

#[tokio::test]
async fn a_service_need_not_have_the_files_that_everybody_knows() {
    let guests = Guests::default();
    let mut files = files();
    files
        .file
        .retain(|file| !file.name().starts_with("google/"));
    let server = serve(with_reflection(&guests, &files), 0).await;
    let target = target(&reflecting(&server.base));
    let timed = r#"{"email": "a@example.com", "visitTime": "2026-11-03T09:00:00Z"}"#;
    assert_eq!(told(&send(&target, vec![item(0, timed)]).await), ["ok 0"]);
}

#[tokio::test]
async fn an_item_that_is_handed_in_has_the_service_asked() {
    let guests = Guests::default();
    let server = serve(with_reflection(&guests, &files()), 0).await;
    let target = target(&reflecting(&server.base));
    let bad = item(0, r#"{"emial": "b"}"#);
    assert_eq!(target.admit(&bad), Ok(()));
    let known = async {
        while target.admit(&bad).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    within("the service's answer", known).await;
}

#[tokio::test]
async fn items_for_a_service_without_reflection_are_unsent_and_say_what_helps() {
    let server = serve(Guests::default().router(), 0).await;
    let target = target(&reflecting(&server.base));
    for fate in send(&target, items(3)).await {
        assert_eq!(said(&fate.reply), "unsent DESCRIPTORS_UNAVAILABLE");
        assert!(!fate.written);
        let message = &cause(&fate.reply).message;
        assert!(message.contains("grpc.descriptors"), "{message}");
    }
    // What needs no descriptors goes out: here, a message without fields.
    let empty = Item {
        payload: None,
        ..item(0, "")
    };
    let fate = send_one(&target, empty).await;
    assert_eq!(said(&fate.reply), "refused EMAIL_MISSING");
}

#[tokio::test]
async fn many_items_ask_once_and_a_failure_is_not_asked_again_at_once() {
    let backend = Backend::start(|call| match call.path.contains("Reflection") {
        true => failed(14),
        false => done(&guest("a")),
    })
    .await;
    let target = target(&reflecting(&backend.base()));
    for fate in send(&target, items(100)).await {
        assert_eq!(said(&fate.reply), "unsent DESCRIPTORS_UNAVAILABLE");
    }
    assert_eq!(backend.calls().len(), 1);
    assert_eq!(target.admit(&items(1)[0]), Ok(()));
    later().await;
    assert_eq!(told(&send(&target, items(5)).await).len(), 5);
    assert_eq!(backend.calls().len(), 2);
}

#[tokio::test]
async fn a_reflection_that_is_broken_leaves_items_unsent() {
    let lonely: Vec<FileDescriptorProto> = files()
        .file
        .into_iter()
        .filter(|file| file.name() == "guests/v1/guests.proto")
        .collect();
    let garbage = |bytes: &'static [u8]| {
        let mut steps = vec![crate::backend::head(), Step::Data(bytes.into())];
        steps.push(crate::backend::status(0));
        steps
    };
    for (name, steps) in [
        ("nothing", of(&[])),
        ("another service's", of(&[FileDescriptorProto::default()])),
        // Asked for the rest, it says the same again.
        ("without what they import", of(&lonely)),
        ("no messages", garbage(b"garbage")),
        ("no answer to the question", garbage(b"\0\0\0\0\0")),
        (
            "no descriptor",
            garbage(b"\0\0\0\0\x05\x22\x03\x0a\x01\xff"),
        ),
        ("an error", failed(13)),
        ("a page", vec![Step::Bare(200, Vec::new())]),
        ("silence", vec![Step::Hang]),
    ] {
        let backend = Backend::start(move |_| steps.clone()).await;
        let timeout = SHORT;
        let config = GrpcConfig {
            timeout,
            ..reflecting(&backend.base())
        };
        for fate in send(&target(&config), items(2)).await {
            assert_eq!(
                said(&fate.reply),
                "unsent DESCRIPTORS_UNAVAILABLE",
                "{name}"
            );
            assert!(!fate.written, "{name}");
        }
        let asked = backend.calls();
        assert!(
            asked.iter().all(|call| call.path.contains("Reflection")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_service_that_is_down_at_first_is_asked_when_it_is_there() {
    let guests = Guests::default();
    let server = serve(with_reflection(&guests, &files()), 0).await;
    let (base, port) = (server.base.clone(), server.port);
    drop(server);
    // The port is free again when nothing listens any more.
    let target = target(&reflecting(&base));
    let down = async {
        loop {
            let fate = send_one(&target, items(1).remove(0)).await;
            if said(&fate.reply) == "unsent CONNECT_FAILED" {
                assert!(!fate.written);
                return;
            }
            later().await;
        }
    };
    within("it is down", down).await;
    let _server = serve(with_reflection(&guests, &files()), port).await;
    later().await;
    assert_eq!(told(&send(&target, items(1)).await), ["ok 0"]);
}

#[tokio::test]
async fn a_service_that_has_changed_is_asked_again_after_a_while() {
    let guests = Guests::default();
    let server = serve(with_reflection(&guests, &files()), 0).await;
    let (base, port) = (server.base.clone(), server.port);
    let target = target(&reflecting(&base));
    assert_eq!(told(&send(&target, items(1)).await), ["ok 0"]);
    let old = send_one(&target, nicknamed()).await;
    assert_eq!(said(&old.reply), "refused UNKNOWN_FIELD");
    assert!(target.admit(&nicknamed()).is_err());

    drop(server);
    let _server = serve_again(with_reflection(&guests, &newer_files()), port).await;
    // It was asked just now: what it said is still believed.
    assert!(target.admit(&nicknamed()).is_err());
    // By then, the connection to the one before has been idle for too long.
    later().await;
    let fate = send_one(&target, nicknamed()).await;
    assert_eq!(said(&fate.reply), "ok 0");
    assert_eq!(target.admit(&nicknamed()), Ok(()));
}

/// Serves on a port whose last user may not be quite gone.
async fn serve_again(router: Router, port: u16) -> crate::guests::Server {
    let free = async {
        while tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    };
    within("the port is free", free).await;
    serve(router, port).await
}

#[tokio::test]
async fn a_bad_item_is_not_refused_on_old_knowledge() {
    let guests = Guests::default();
    let server = serve(with_reflection(&guests, &files()), 0).await;
    let target = target(&reflecting(&server.base));
    assert_eq!(told(&send(&target, items(1)).await), ["ok 0"]);
    assert!(target.admit(&nicknamed()).is_err());
    later().await;
    assert_eq!(target.admit(&nicknamed()), Ok(()));
    let fate = send_one(&target, nicknamed()).await;
    assert_eq!(said(&fate.reply), "refused UNKNOWN_FIELD");
    assert!(target.admit(&nicknamed()).is_err());
}

#[tokio::test]
async fn a_service_is_asked_again_when_it_does_not_know_its_method_and_not_before() {
    let described = of(&files().file);
    let is_gone = Arc::<AtomicBool>::default();
    let gone = is_gone.clone();
    let backend = Backend::start(move |call| match call.path.contains("Reflection") {
        true => described.clone(),
        false if gone.load(Relaxed) => failed(12),
        false => done(&guest("a")),
    })
    .await;
    let asked = || {
        let calls = backend.calls();
        let asked = calls.iter().filter(|call| call.path.contains("Reflection"));
        asked.count()
    };
    let target = target(&reflecting(&backend.base()));
    for gone in [false, true] {
        is_gone.store(gone, Relaxed);
        let expected = if gone {
            "refused GRPC_UNIMPLEMENTED"
        } else {
            "ok 0"
        };
        assert_eq!(told(&send(&target, items(1)).await), [expected]);
        assert_eq!(asked(), 1);
        later().await;
    }
    is_gone.store(false, Relaxed);
    assert_eq!(told(&send(&target, items(3)).await), ["ok 0"; 3]);
    assert_eq!(asked(), 2);
    later().await;
    assert_eq!(told(&send(&target, items(3)).await), ["ok 0"; 3]);
    assert_eq!(asked(), 2);
}

#[tokio::test]
async fn a_file_of_descriptors_asks_nobody() {
    let backend = Backend::start(|_| done(&guest("a"))).await;
    let target = target(&config(&backend.base()));
    let fate = send_one(&target, items(1).remove(0)).await;
    assert!(body(&fate.reply).is_some());
    assert!(target.admit(&nicknamed()).is_err());
    later().await;
    assert!(target.admit(&nicknamed()).is_err());
    assert_eq!(backend.calls().len(), 1);
}
