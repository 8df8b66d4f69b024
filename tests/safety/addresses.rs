//! Where a target may not be unless its operator says so, and how that is told.

use tempfile::TempDir;
use tokio::process::Command;

use crate::calls::{client, item, send};
use crate::support::program::{self, PROGRAM, Program};

/// A folder with a configuration of one target there.
fn configured(url: &str, more: &str) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let text = format!(
        r#"
        [server]
        listen = "127.0.0.1:0"
        [store]
        path = "flowgate.db"
        [targets.cloud]
        kind = "http"
        url = "{url}"
        path = "/latest/meta-data/"
        {more}
        "#
    );
    std::fs::write(folder.path().join("flowgate.toml"), text).expect("it can be written to");
    folder
}

/// Whether a configuration is good, and what is said of it.
async fn check(url: &str, more: &str) -> (bool, String) {
    let folder = configured(url, more);
    let mut command = Command::new(PROGRAM);
    command
        .arg("check")
        .arg(folder.path().join("flowgate.toml"));
    let output = command.output().await.expect("it can be run");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

#[tokio::test]
async fn an_address_that_is_refused_when_it_is_dialled_is_refused_when_it_is_read() {
    for url in [
        "http://169.254.169.254",
        "https://169.254.1.1:8443/v1",
        "http://[fe80::1]",
        "http://[fd00:ec2::254]",
        "http://[::ffff:169.254.169.254]",
        "http://100.100.100.200",
    ] {
        let (is_good, text) = check(url, "").await;
        assert!(!is_good, "{url}: {text}");
        assert!(text.contains("targets.cloud.url"), "{url}: {text}");
        assert!(text.contains("allow_link_local = true"), "{url}: {text}");

        let (is_good, text) = check(url, "allow_link_local = true").await;
        assert!(is_good, "{url}: {text}");
        assert!(text.contains("also link-local ones"), "{url}: {text}");
    }
    let (is_good, text) = check("http://0.0.0.0:80", "allow_link_local = true").await;
    assert!(!is_good && text.contains("127.0.0.1"), "{text}");
    let (is_good, text) = check("http://10.0.0.1", "").await;
    assert!(is_good && !text.contains("link-local"), "{text}");
}

#[tokio::test]
async fn a_name_that_leads_there_is_refused_when_it_is_dialled() {
    // Not an address as it is written, but the resolver makes one of it.
    let folder = configured("http://2851995905", "retry.attempts = 1");
    let config = folder.path().join("flowgate.toml");
    let started = Program::start(program::serve(&config)).await;
    let program = started.unwrap_or_else(|ended| panic!("it does not serve: {ended:?}"));
    let mut client = client(&program).await;
    let told = send(&mut client, "cloud", item("{}")).await;
    assert_eq!(told.reason, "ADDRESS_REFUSED", "{told:?}");
    assert!(told.words.contains("169.254.1.1"), "{told:?}");
    assert!(told.words.contains("allow_link_local = true"), "{told:?}");
    program.stopped().await;
}
