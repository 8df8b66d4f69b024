//! Secrets of the operator's, through all that may go wrong with a target and
//! with a configuration, with everything logged that can be: none of them is in
//! anything that is printed or answered.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flowgate::proto::target_service_client::TargetServiceClient;
use flowgate::proto::{GetTargetRequest, ListTargetsRequest};
use tempfile::TempDir;
use tokio::process::Command;

use crate::calls::{client, item, send};
use crate::support::http_target::{Act, HttpTarget, Request};
use crate::support::program::{PROGRAM, Program};
use crate::tls::{Papers, TlsTarget};

/// In the environment, in a file and in the configuration itself.
const IN_ENV: &str = "sk-live-in-the-environment-7d1f";
const IN_FILE: &str = "sk-live-in-a-file-93be";
const IN_CONFIG: &str = "sk-live-in-the-configuration-c0de";

/// Text that must not be anywhere.
struct Secrets(Vec<String>);

impl Secrets {
    /// Those above, and a key.
    fn of(papers: &Papers) -> Secrets {
        // The third line is of its public half.
        let lines = papers.key.lines().skip(1).take(2);
        let mut forms: Vec<String> = lines.map(str::to_owned).collect();
        // Also in the ways in which bytes are written out: encoded, as numbers.
        for text in [IN_ENV, IN_FILE, IN_CONFIG] {
            forms.push(text.to_owned());
            forms.push(STANDARD.encode(text).trim_end_matches('=').to_owned());
        }
        let texts = [IN_ENV, IN_FILE, IN_CONFIG].map(str::as_bytes);
        for bytes in texts.into_iter().chain([&papers.private[..]]) {
            forms.push(numbers(&bytes[..16]));
            forms.push(hexadecimal(&bytes[..16]));
        }
        Secrets(forms)
    }

    fn assert_not_in(&self, what: &str, text: &str) {
        for secret in &self.0 {
            if let Some(at) = text.find(secret) {
                let line_at = text[..at].rfind('\n').map_or(0, |at| at + 1);
                let line = text[line_at..].lines().next().unwrap_or_default();
                panic!("{what} has a secret ({secret}): {line}");
            }
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// As `Debug` writes bytes.
fn numbers(bytes: &[u8]) -> String {
    let text = format!("{bytes:?}");
    text.trim_matches(['[', ']']).to_owned()
}

/// The targets of the configuration, and how each goes wrong.
const TARGETS: [&str; 9] = [
    "good",
    "good2",
    "denied",
    "broken",
    "reset",
    "gone",
    "tls",
    "untrusted",
    "metadata",
];

fn targets(target: &HttpTarget, tls: &TlsTarget, gone: &str) -> String {
    let mut text = String::new();
    let plain = target.base();
    let secure = tls.base();
    let known = "ca = \"ca.pem\"\ncert = \"cert.pem\"\nkey = { file = \"key.pem\" }";
    for name in TARGETS {
        let (url, more) = match name {
            "good2" => (&*plain, "protocol = \"http2\""),
            "gone" => (gone, ""),
            "tls" => (&*secure, known),
            "untrusted" => (
                &*secure,
                "cert = \"cert.pem\"\nkey = { file = \"key.pem\" }",
            ),
            // Leads where it must not when it is looked up.
            "metadata" => ("http://2851995905", ""),
            _ => (&*plain, ""),
        };
        let _ = write!(
            text,
            r#"
            [targets.{name}]
            kind = "http"
            url = "{url}"
            path = "/{name}"
            {more}
            retry.attempts = 1
            [targets.{name}.headers]
            Authorization = {{ env = "FLOWGATE_TEST_SECRET", prefix = "Bearer " }}
            X-Api-Key = {{ file = "secret.txt" }}
            X-Other-Key = "{IN_CONFIG}"
            "#
        );
    }
    text
}

fn act(request: &Request) -> Act {
    // The target has got them all.
    let authorization = format!("Bearer {IN_ENV}");
    assert_eq!(request.header("authorization"), Some(&*authorization));
    assert_eq!(request.header("x-api-key"), Some(IN_FILE));
    assert_eq!(request.header("x-other-key"), Some(IN_CONFIG));
    match &*request.path {
        "/denied" => Act::answer(401, r#"{"message": "the key is not known"}"#)
            .with("www-authenticate", "Bearer"),
        "/broken" => Act::answer(500, ""),
        "/reset" => Act::Reset,
        _ => Act::answer(200, "{}"),
    }
}

/// A folder with a configuration and what it refers to.
fn folder(papers: &Papers, targets: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let config =
        format!("[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"flowgate.db\"\n{targets}");
    for (name, text) in [
        ("flowgate.toml", &*config),
        ("secret.txt", IN_FILE),
        ("ca.pem", &papers.ca),
        ("cert.pem", &papers.cert),
        ("key.pem", &papers.key),
    ] {
        std::fs::write(folder.path().join(name), text).expect("the folder can be written to");
    }
    folder
}

/// The program, with everything logged that can be.
fn told_to_tell_all(args: &[&str], config: &Path) -> Command {
    // A level in the environment would be taken out where servers are started.
    let mut command = Command::new("env");
    command
        .arg("RUST_LOG=trace")
        .arg(PROGRAM)
        .args(args)
        .arg(config)
        .env("FLOWGATE_TEST_SECRET", IN_ENV);
    command
}

#[tokio::test]
async fn no_secret_is_in_what_a_server_logs_and_answers() {
    let target = HttpTarget::start(act).await;
    let papers = Papers::new();
    let secrets = Secrets::of(&papers);
    let tls = TlsTarget::start(&papers, target.address()).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = format!("http://{}", nobody.local_addr().expect("its address"));
    drop(nobody);
    let folder = folder(&papers, &targets(&target, &tls, &gone));
    let config = folder.path().join("flowgate.toml");

    for format in ["text", "json"] {
        let args = ["serve", "--log-format", format, "--config"];
        let command = told_to_tell_all(&args, &config);
        let started = Program::start(command).await;
        let mut program = started.unwrap_or_else(|ended| panic!("it does not serve: {ended:?}"));
        let mut client = client(&program).await;
        let mut ends = Vec::new();
        for name in TARGETS {
            let told = send(&mut client, name, item("{}")).await;
            secrets.assert_not_in("an outcome", &told.words);
            ends.push(told.reason);
        }
        assert_eq!(
            ends,
            [
                "OK",
                "OK",
                "HTTP_401",
                "HTTP_500",
                "CONNECTION_LOST",
                "CONNECT_FAILED",
                "OK",
                "CONNECT_FAILED",
                "ADDRESS_REFUSED"
            ]
        );
        secrets.assert_not_in("the status of targets", &statuses(&program).await);
        program.says("TRACE").await;
        let log = program.log();
        assert!(log.contains("TRACE"), "everything is logged");
        secrets.assert_not_in("the log", &log);
        program.stopped().await;
    }
}

/// All that is told of targets.
async fn statuses(program: &Program) -> String {
    let channel = program.connect().await.expect("a connection");
    let mut client = TargetServiceClient::new(channel);
    let all = client.list_targets(ListTargetsRequest::default()).await;
    let mut text = format!("{all:?}");
    for name in TARGETS {
        let name = name.to_owned();
        let one = client.get_target(GetTargetRequest { name }).await;
        let _ = write!(text, "{:?}", one.expect("it is there"));
    }
    text
}

/// What a configuration comes to, in all words.
async fn checked(config: &Path) -> (bool, String) {
    let mut text = String::new();
    let mut is_good = false;
    for args in [&["check"][..], &["serve", "--config"]] {
        // A good one would be served for ever.
        if is_good {
            break;
        }
        let output = told_to_tell_all(args, config).output().await;
        let output = output.expect("it can be run");
        is_good = output.status.success();
        text.push_str(&String::from_utf8_lossy(&output.stdout));
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    match flowgate::config::Config::load(config) {
        Ok(config) => write!(text, "{config:?}\n{config:#?}"),
        Err(error) => write!(text, "{error}\n{error:?}"),
    }
    .expect("text");
    (is_good, text)
}

/// Checks what is said of a target with these lines, and whether it is good.
async fn says_nothing(papers: &Papers, lines: &str, is_good: bool) {
    let target = format!("[targets.a]\nkind = \"http\"\npath = \"/x\"\n{lines}\n");
    let folder = folder(papers, &target);
    let (was_good, text) = checked(&folder.path().join("flowgate.toml")).await;
    Secrets::of(papers).assert_not_in(lines, &text);
    assert_eq!(was_good, is_good, "{lines}: {text}");
}

const URL: &str = "url = \"https://api.example\"";

#[tokio::test]
async fn no_secret_is_in_what_is_said_of_a_header() {
    let papers = Papers::new();
    let long = format!("{:?}", IN_CONFIG.repeat(1000));
    for (value, is_good) in [
        (r#"{ env = "FLOWGATE_TEST_SECRET" }"#, true),
        (r#"{ file = "secret.txt" }"#, true),
        (&*format!("{IN_CONFIG:?}"), true),
        (&*long, true),
        (&*format!("\"{IN_CONFIG}\\nx\""), false),
        (&*format!("\"{IN_CONFIG}"), false),
        (IN_CONFIG, false),
        (&*format!("[{IN_CONFIG:?}]"), false),
        (&*format!("{{ value = {IN_CONFIG:?} }}"), false),
    ] {
        let lines = format!("{URL}\nheaders = {{ X-Key = {value} }}");
        says_nothing(&papers, &lines, is_good).await;
    }
    says_nothing(&papers, &format!("{URL}\ntoken = {IN_CONFIG:?}"), false).await;
}

#[tokio::test]
async fn no_secret_is_in_what_is_said_of_a_key() {
    let papers = Papers::new();
    let whole = papers.key.replace('\n', "\\n");
    let cut: Vec<&str> = papers.key.lines().take(2).collect();
    let cut = cut.join("\\n");
    for (key, is_good) in [
        (r#"{ file = "key.pem" }"#, true),
        (&*format!("\"{whole}\""), true),
        (&*format!("\"{cut}\""), false),
        (r#"{ file = "secret.txt" }"#, false),
        (r#"{ env = "FLOWGATE_TEST_SECRET" }"#, false),
        (r#"{ file = "cert.pem" }"#, false),
    ] {
        let lines = format!("{URL}\ncert = \"cert.pem\"\nkey = {key}");
        says_nothing(&papers, &lines, is_good).await;
    }
    for instead in [
        "cert = \"key.pem\"\nkey = { file = \"key.pem\" }",
        "ca = \"key.pem\"",
    ] {
        says_nothing(&papers, &format!("{URL}\n{instead}"), false).await;
    }
}

#[tokio::test]
async fn no_secret_is_in_what_is_said_of_an_address() {
    let papers = Papers::new();
    for url in [
        format!("https://me:{IN_CONFIG}@api.example"),
        format!("https://{IN_CONFIG}@api.example"),
        format!("https://api.example/?key={IN_CONFIG}"),
        format!("https://api.example/#{IN_CONFIG}"),
        format!("https://{IN_CONFIG}:x y"),
        format!("{IN_CONFIG}@api.example"),
    ] {
        says_nothing(&papers, &format!("url = \"{url}\""), false).await;
    }
}
