//! A caller who wants a request to go elsewhere: every field of an item that
//! finds its way into a request, with all that has been tried on others.

use std::fmt::Write as _;

use flowgate::proto::{Action, ActionVerb, HttpCall, Item, item};
use tempfile::TempDir;

use crate::calls::{Client, client, item, send};
use crate::support::http_target::{Act, HttpTarget};
use crate::support::program::{self, Program};

/// The server, the target that it may call, and the one that nobody may.
struct Site {
    program: Program,
    target: HttpTarget,
    forbidden: HttpTarget,
    _folder: TempDir,
}

/// The names of the targets: one for each version of HTTP.
const TARGETS: [&str; 2] = ["http1", "http2"];

impl Site {
    async fn new() -> Site {
        let target = HttpTarget::start(|_| Act::answer(200, "{}")).await;
        let forbidden = HttpTarget::start(|_| Act::answer(200, "{}")).await;
        let folder = TempDir::new().expect("a folder");
        let config = folder.path().join("flowgate.toml");
        let mut text = r#"
            [server]
            listen = "127.0.0.1:0"
            [store]
            path = "flowgate.db"
            "#
        .to_owned();
        for name in TARGETS {
            let _ = write!(
                text,
                r#"
                [targets.{name}]
                kind = "http"
                url = "{}/base/v1"
                path = "/guests"
                protocol = "{name}"
                allow_calls = true
                allow_headers = ["X-Tenant"]
                idempotency_header = "Idempotency-Key"
                "#,
                target.base()
            );
        }
        std::fs::write(&config, text).expect("the folder can be written to");
        let started = Program::start(program::serve(&config)).await;
        Site {
            program: started.unwrap_or_else(|ended| panic!("it does not serve: {ended:?}")),
            target,
            forbidden,
            _folder: folder,
        }
    }

    /// What each of these items comes to, at both targets.
    async fn each(&self, items: Vec<(String, Item)>, allowed: &[&str]) {
        let mut client: Client = client(&self.program).await;
        for (what, item) in items {
            for name in TARGETS {
                let before = self.target.requests().len();
                let told = Box::pin(send(&mut client, name, item.clone())).await;
                let sent = self.target.requests().len() - before;
                assert!(
                    allowed.contains(&told.reason.as_str()),
                    "{what:?} at {name}: {told:?}"
                );
                let expected = usize::from(told.reason == "OK");
                assert_eq!(sent, expected, "{what:?} at {name}: {told:?}");
            }
        }
        self.nothing_went_elsewhere();
    }

    fn nothing_went_elsewhere(&self) {
        assert_eq!(self.forbidden.connections(), 0);
        let own = self.target.address().to_string();
        for request in self.target.requests() {
            let path = request.path.split('?').next().unwrap_or_default();
            let under = path.strip_prefix("/base/v1/");
            let rest = under.unwrap_or_else(|| panic!("{request:?}"));
            let dots = rest.split('/').any(|segment| matches!(segment, "." | ".."));
            assert!(!dots, "{request:?}");
            // HTTP/2 has it elsewhere.
            assert!(
                request.header("host").is_none_or(|host| host == own),
                "{request:?}"
            );
            assert_eq!(request.header("x-evil"), None, "{request:?}");
        }
    }
}

fn calling(call: HttpCall) -> Item {
    Item {
        operation: Some(item::Operation::Http(call)),
        ..item("{}")
    }
}

fn path(path: &str) -> (String, Item) {
    let call = HttpCall {
        path: path.to_owned(),
        ..HttpCall::default()
    };
    (path.to_owned(), calling(call))
}

fn header(name: &str, value: &str) -> (String, Item) {
    let call = HttpCall {
        headers: [(name.to_owned(), value.to_owned())].into(),
        ..HttpCall::default()
    };
    (format!("{name}: {value}"), calling(call))
}

#[tokio::test]
async fn a_path_leads_nowhere_but_below_the_base() {
    let site = Site::new().await;
    let elsewhere = site.forbidden.address();
    let mut paths: Vec<String> = [
        "//{}/x",
        "///{}/x",
        "/\\{}/x",
        "\\\\{}\\x",
        "\\/{}/x",
        "http://{}/x",
        "HTTP://{}/x",
        "http:/{}/x",
        "http:{}/x",
        "https://{}/",
        "@{}/x",
        ":@{}/x",
        ".{}/x",
        "{}/x",
        "{}",
        "?@{}",
        "#@{}/x",
        "/x#@{}/",
        "/x HTTP/1.1\r\nHost: {}\r\nX-Evil: 1\r\n\r\nGET /y",
        "/x\r\nX-Evil: 1",
        "/x\nX-Evil: 1",
        "/x HTTP/1.0",
        "/x\t",
        "\t//{}/x",
        " //{}/x",
        "/\t/{}/x",
        "/\n/{}/x",
        "\u{2215}\u{2215}{}/x",
        "\u{ff0f}\u{ff0f}{}/x",
    ]
    .iter()
    .map(|path| path.replace("{}", &elsewhere.to_string()))
    .collect();
    let leaving = [
        "/..",
        "/../..",
        "/../../admin",
        "/a/../../../admin",
        "/./admin",
        "/..;/admin",
        "/..;a=b/admin",
        "/%2e%2e/admin",
        "/%2E%2e/admin",
        "/.%2e/admin",
        "/%252e%252e/admin",
        "/%25%32%65%25%32%65/admin",
        "/a%2f..%2f..%2fadmin",
        "/a%5c..%5c..%5cadmin",
        "/..%2f",
        "/..%5c",
        "/..%00/admin",
        "/..%0d/admin",
        "/..%09/admin",
        "/\u{ff0e}\u{ff0e}/admin",
        "/..\u{200b}/admin",
        "/%u002e%u002e/admin",
        "/..\\admin",
        "/a\\..\\..\\admin",
        "/\0",
        "*",
        " ",
        "guests",
        "~/x",
    ];
    paths.extend(leaving.map(str::to_owned));
    let items = paths.iter().map(|text| path(text)).collect();
    site.each(items, &["INVALID_PATH"]).await;

    // These look odd, and stay where they are.
    let harmless = [
        "/",
        "/x?to=http://evil.example/../..",
        "/x@evil.example",
        "/x:y@evil.example:80/",
        "/http://evil.example/",
        "/...",
        "/%c0%ae%c0%ae/admin",
        "/a;b=1/c",
        "/a?b?c=/../d",
    ];
    let items = harmless.map(path);
    let before = site.target.requests().len();
    let mut client = client(&site.program).await;
    for (what, item) in items {
        for name in TARGETS {
            let told = send(&mut client, name, item.clone()).await;
            assert!(
                ["OK", "INVALID_PATH"].contains(&told.reason.as_str()),
                "{what}: {told:?}"
            );
        }
    }
    assert!(site.target.requests().len() > before, "some are taken");
    for request in site.target.requests() {
        assert!(request.path.starts_with("/base/v1/"), "{request:?}");
    }
    assert_eq!(site.forbidden.connections(), 0);
    site.program.stopped().await;
}

#[tokio::test]
async fn a_header_names_no_other_host_and_makes_no_other_request() {
    let site = Site::new().await;
    let elsewhere = site.forbidden.address().to_string();
    let names = [
        "Host",
        "host",
        "HOST",
        ":authority",
        ":path",
        ":method",
        ":scheme",
        "Host ",
        " Host",
        "Ho\0st",
        "X-Tenant\r\nHost",
        "X-Tenant: a\r\nHost",
        "X-Forwarded-Host",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Host",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
        "Forwarded",
        "Via",
        "Origin",
        "Location",
        "Connection",
        "Upgrade",
        "HTTP2-Settings",
        "Transfer-Encoding",
        "Content-Length",
        "Expect",
        "TE",
        "Trailer",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Authorization",
        "Cookie",
        "Content-Type",
        "Idempotency-Key",
        "User-Agent",
        "",
    ];
    let items = names.map(|name| header(name, &elsewhere));
    site.each(items.into(), &["HEADER_NOT_ALLOWED", "INVALID_HEADER"])
        .await;

    let values = [
        "a\r\nHost: evil.example",
        "a\r\n\r\nGET /admin HTTP/1.1\r\nX-Evil: 1\r\n\r\n",
        "a\nX-Evil: 1",
        "a\rX-Evil: 1",
        "a\0b",
        "a\u{560d}\u{560a}X-Evil: 1",
        "\u{7f}",
    ];
    let items = values.map(|value| header("X-Tenant", value));
    site.each(items.into(), &["INVALID_HEADER"]).await;
    let items = [
        header("X-Tenant", "http://evil.example/"),
        header("x-tenant", ""),
    ];
    site.each(items.into(), &["OK"]).await;
    site.program.stopped().await;
}

#[tokio::test]
async fn an_id_is_one_segment_and_the_rest_makes_no_request() {
    let site = Site::new().await;
    let elsewhere = site.forbidden.address();
    let acting = |id: &str| Item {
        operation: Some(item::Operation::Action(Action {
            verb: ActionVerb::Update.into(),
            resource_id: id.to_owned(),
        })),
        ..item("{}")
    };
    let ids = [
        "/",
        "//evil.example/",
        "a?b#c",
        "@evil.example",
        "a b",
        "Zo\u{eb}",
        "...",
        "{id}",
    ]
    .map(|id| (id.to_owned(), acting(id)));
    let own = format!("http://{elsewhere}/x");
    let ids = ids.into_iter().chain([(own.clone(), acting(&own))]);
    for (what, item) in ids {
        let before = site.target.requests().len();
        let mut client = client(&site.program).await;
        for name in TARGETS {
            let told = send(&mut client, name, item.clone()).await;
            assert_eq!(told.reason, "OK", "{what}: {told:?}");
        }
        for request in &site.target.requests()[before..] {
            let segment = request.path.strip_prefix("/base/v1/guests/");
            let segment = segment.unwrap_or_else(|| panic!("{request:?}"));
            assert!(
                !segment.contains(['/', '\\', '?', '#', '@', ' ']),
                "{request:?}"
            );
        }
    }
    let bad = [
        ".",
        "..",
        "../../admin",
        "..\\..\\admin",
        "%2e%2e%2fadmin",
        "..%2f",
        "\u{ff0e}\u{ff0e}",
        "a\r\nX-Evil: 1",
        "a\0",
        "\n",
    ];
    site.each(
        bad.map(|id| (id.to_owned(), acting(id))).into(),
        &["INVALID_RESOURCE_ID"],
    )
    .await;

    let methods = [
        "CONNECT",
        "TRACE",
        "OPTIONS",
        "get",
        "GET /x HTTP/1.1\r\n",
        "PRI",
    ];
    let methods = methods.map(|method| {
        let call = HttpCall {
            method: method.to_owned(),
            ..HttpCall::default()
        };
        (method.to_owned(), calling(call))
    });
    site.each(methods.into(), &["INVALID_METHOD"]).await;

    // What only looks like a request is a body.
    let smuggled = "\\r\\n\\r\\nGET /admin HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n";
    let smuggled = item(&format!("\"{smuggled}\""));
    site.each(vec![("a body".to_owned(), smuggled)], &["OK"])
        .await;
    site.program.stopped().await;
}
