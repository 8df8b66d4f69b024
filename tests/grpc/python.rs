//! Against a gRPC service that nobody here wrote: grpcio's, in Python, which
//! says by reflection what it looks like, and keeps a ledger.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use flowgate::proto::FailureKind;
use prost::Message;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

use crate::support::patience::{is_long, within};
use crate::whole::{Flowgate, calling, failure, json, reply};

const ITEMS: usize = 10_000;

/// Every so many-th guest has no e-mail address.
const BAD: usize = 100;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/grpc_guests.py");

#[derive(Clone, PartialEq, Message)]
struct LedgerRequest {}

#[derive(Clone, PartialEq, Message)]
struct Ledger {
    #[prost(message, repeated, tag = "1")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    email: String,
    #[prost(int32, tag = "3")]
    visit_count: i32,
    #[prost(string, tag = "4")]
    key: String,
    #[prost(string, tag = "5")]
    source: String,
}

/// The service, as a process that ends with this.
struct Service {
    _child: Child,
    _input: ChildStdin,
    base: String,
}

impl Service {
    /// Starts it; `None` where there is no Python with grpcio and its
    /// reflection, which a long run has to have.
    async fn start() -> Option<Service> {
        let python = std::env::var("FLOWGATE_PYTHON").unwrap_or("python3".to_owned());
        let has_all = Command::new(&python)
            .args(["-c", "import grpc, grpc_reflection"])
            .stderr(Stdio::null())
            .status()
            .await;
        if !has_all.is_ok_and(|status| status.success()) {
            assert!(
                !is_long(),
                "a long run needs FLOWGATE_PYTHON, with grpcio-reflection"
            );
            let says = "SKIPPED: no Python with grpcio-reflection; FLOWGATE_PYTHON names one";
            let _ = writeln!(std::io::stderr(), "{says}");
            return None;
        }
        let child = Command::new(&python)
            .arg(SCRIPT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        let mut child = child.expect("it was there just now");
        let input = child.stdin.take().expect("it is piped");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = within("the service serves", lines.next_line()).await;
        let line = line.expect("a line").expect("it serves");
        let port = line.strip_prefix("port ").expect("its port");
        Some(Service {
            base: format!("http://127.0.0.1:{port}"),
            _child: child,
            _input: input,
        })
    }

    /// All that it was told, in order.
    async fn ledger(&self) -> Vec<Entry> {
        let channel = Channel::from_shared(self.base.clone()).expect("an address");
        let channel = channel.connect().await.expect("a connection");
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await.expect("it is ready");
        let path = http::uri::PathAndQuery::from_static("/shop.v1.GuestService/GetLedger");
        let codec = ProstCodec::<LedgerRequest, Ledger>::default();
        let asked = client.unary(tonic::Request::new(LedgerRequest {}), path, codec);
        let mut entries = within("the ledger", asked)
            .await
            .expect("it answers")
            .into_inner()
            .entries;
        entries.sort();
        entries
    }
}

#[tokio::test]
async fn ten_thousand_items_reach_a_service_in_python_each_once() {
    let Some(service) = Service::start().await else {
        return;
    };
    let flowgate = Flowgate::start(&format!(
        r#"
        url = "{}"
        allow_headers = ["x-source"]
        idempotency_header = "idempotency-key"
        grpc.method = "shop.v1.GuestService/CreateGuest"
        "#,
        service.base
    ))
    .await;
    let is_bad = |n: usize| n % BAD == BAD - 1;
    let email = |n: usize| match is_bad(n) {
        true => String::new(),
        false => format!("{n}@example.com"),
    };
    let items = (0..ITEMS).map(|n| {
        let email = email(n);
        let item = json(&format!(
            r#"{{"name": "guest-{n:05}", "email": "{email}", "visitCount": {n}}}"#
        ));
        let source = n.to_string();
        let mut item = calling(item, "", &[("x-source", &source)]);
        item.idempotency_key = format!("key-{n}");
        item
    });
    let results = flowgate
        .stream(items.collect())
        .await
        .expect("a whole batch");
    assert_eq!(results.len(), ITEMS);
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.index as usize, n);
        if is_bad(n) {
            let failure = failure(result);
            assert_eq!(
                (failure.kind(), failure.target_status),
                (FailureKind::Rejected, 3)
            );
            let error = failure.error.as_ref().expect("an error");
            assert_eq!(error.message, "email: is missing – ein Gast braucht eine");
        } else {
            let expected = format!(r#"{{"id":"g-guest-{n:05}","name":"guest-{n:05}"}}"#);
            assert_eq!(reply(result), expected);
        }
    }
    let expected = (0..ITEMS).filter(|n| !is_bad(*n)).map(|n| Entry {
        name: format!("guest-{n:05}"),
        email: email(n),
        visit_count: i32::try_from(n).unwrap(),
        key: format!("key-{n}"),
        source: n.to_string(),
    });
    let ledger = service.ledger().await;
    assert_eq!(ledger.len(), ITEMS - ITEMS / BAD, "each once, and no other");
    let ledger: BTreeSet<Entry> = ledger.into_iter().collect();
    assert!(
        ledger == expected.collect(),
        "every row as it was handed in"
    );
}
