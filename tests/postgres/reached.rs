//! How a server is reached: by whom, over what, and where it may not be.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::postgres::{Cluster, free_port};
use crate::world::{GUESTS, all_own, config, config_with, message, numbered, own, send, target};

#[tokio::test]
async fn a_password_is_used_and_never_shown() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    cluster.run_sql(GUESTS).await;
    cluster.run_sql("ALTER TABLE guests OWNER TO postgres; CREATE ROLE clerk LOGIN SUPERUSER PASSWORD 'hunter2'").await;
    cluster.file(
        "data/pg_hba.conf",
        "local all postgres trust\nlocal all all scram-sha-256\n",
    );
    cluster.run_sql("SELECT pg_reload_conf()").await;
    let url = cluster.url().replace("postgres@", "clerk@");
    let with = |password: &str| config(&url, &format!("table = \"guests\"\npassword = {password}"));
    let right = with("{ env = \"PGPASSWORD\" }");
    assert!(!format!("{right:?}").contains("hunter2"));
    // The server reads its rules anew when it likes.
    let wrong = target(with("\"guess123\""));
    let refused = async {
        loop {
            let replies = send(&wrong, numbered(1)).await;
            if own(&replies[0]) == "unsent SQLSTATE_28P01" {
                return replies;
            }
            cluster.run_sql("TRUNCATE guests").await;
        }
    };
    let replies = crate::support::patience::within("it is refused", refused).await;
    assert!(message(&replies[0]).contains("clerk"), "{replies:?}");
    assert!(!format!("{replies:?}").contains("guess123"));
    let replies = send(&target(right), numbered(1)).await;
    assert!(own(&replies[0]).starts_with("201"), "{replies:?}");
    let none = config(&url, "table = \"guests\"");
    let replies = send(&target(none), numbered(1)).await;
    assert_eq!(all_own(&replies), ["unsent CONNECT_FAILED"]);
}

#[tokio::test]
async fn where_clouds_keep_their_secrets_nothing_is_asked() {
    for host in [
        "169.254.169.254",
        "[fe80::1]",
        "[::ffff:169.254.169.254]",
        "100.100.100.200",
    ] {
        let url = format!("postgres://me@{host}:5432/crm");
        let replies = send(&target(config(&url, "table = \"guests\"")), numbered(1)).await;
        assert_eq!(all_own(&replies), ["unsent ADDRESS_REFUSED"]);
        assert!(message(&replies[0]).contains("link-local"), "{replies:?}");
    }
}

/// An authority that vouches for servers.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority {
            pem: params.self_signed(&key).expect("a certificate").pem(),
            issuer: Issuer::new(params, key),
        }
    }
}

#[tokio::test]
async fn over_tls_the_server_has_to_be_who_it_says() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &ours.issuer).expect("a certificate");
    let port = free_port();
    let listen = format!("port={port}");
    let settings = ["listen_addresses=127.0.0.1", &listen];
    let Some(mut cluster) = Cluster::with(&settings).await else {
        return;
    };
    cluster.file("data/server.crt", &certificate.pem());
    cluster.file("data/server.key", &key.serialize_pem());
    cluster.file(
        "data/pg_hba.conf",
        "local all all trust\nhostssl all all 127.0.0.1/32 trust\n",
    );
    cluster.run_sql(GUESTS).await;
    cluster.stop(rustix::process::Signal::INT).await;
    cluster.set("ssl=on");
    cluster.run().await;
    let (trusted, untrusted) = (
        cluster.file("ours.pem", &ours.pem),
        cluster.file("other.pem", &other.pem),
    );
    let ca = |path: &std::path::Path| format!("ca = \"{}\"", path.display());
    for (host, common, mode, expected, says) in [
        ("localhost", ca(&trusted), "require", "201", ""),
        (
            "localhost",
            ca(&untrusted),
            "require",
            "unsent CONNECT_FAILED",
            "certificate",
        ),
        (
            "localhost",
            String::new(),
            "require",
            "unsent CONNECT_FAILED",
            "certificate",
        ),
        (
            "127.0.0.1",
            ca(&trusted),
            "require",
            "unsent CONNECT_FAILED",
            "certificate",
        ),
        (
            "localhost",
            String::new(),
            "disable",
            "unsent SQLSTATE_28000",
            "no encryption",
        ),
    ] {
        let url = format!("postgres://postgres@{host}:{port}/postgres");
        let settings = format!("table = \"guests\"\nsslmode = \"{mode}\"");
        let target = target(config_with(&url, &common, &settings));
        let replies = send(&target, numbered(1)).await;
        assert!(
            own(&replies[0]).starts_with(expected),
            "{host} {common} {mode}: {replies:?}"
        );
        if !says.is_empty() {
            assert!(message(&replies[0]).contains(says), "{replies:?}");
        }
    }
}
