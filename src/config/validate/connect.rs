//! How targets are reached: addresses, certificates, time-outs.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;

use super::Check;
use super::http::has_dots;
use crate::config::key::KeyPath;
use crate::config::reference::PROTOCOLS;
use crate::config::{ConnectConfig, Identity, Protocol, ca, file};
use crate::core::address::{Forbidden, forbidden};

const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

impl Check<'_> {
    /// How a target over HTTP is reached.
    pub(super) fn connect(
        &mut self,
        at: &KeyPath,
        file: &mut file::Target,
    ) -> Option<ConnectConfig> {
        let base = self.url(at, file.url.take());
        let allow_link_local = file.allow_link_local.unwrap_or(false);
        if let Some(host) = base.as_ref().and_then(Uri::host) {
            self.address(&at.key("url"), host, allow_link_local);
        }
        let idle = at.key("idle_timeout");
        let is_tls = base.as_ref().map(|base| base.scheme_str() == Some("https"));
        let connect_timeout = self.connect_timeout(at, file);
        let idle_timeout = file.idle_timeout.take();
        let idle_timeout = self.duration(&idle, idle_timeout, IDLE_TIMEOUT, Duration::ZERO);
        let protocol = self.protocol(at, file.protocol.take());
        let ca = self.ca(&at.key("ca"), is_tls, file.ca.take());
        let identity = self.identity(at, is_tls, file);
        Some(ConnectConfig {
            base: base?,
            connect_timeout,
            idle_timeout,
            protocol,
            ca,
            identity,
            allow_link_local,
        })
    }

    /// An address that is written out, which would be refused at every
    /// connection; where a name leads is seen only then.
    pub(super) fn address(&mut self, at: &KeyPath, host: &str, allow_link_local: bool) {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(address) = bare.parse() else {
            return;
        };
        match forbidden(address) {
            Some(Forbidden::LinkLocal) if allow_link_local => {}
            Some(why) => self.fault(at, format!("this leads to {address}, {why}")),
            None => {}
        }
    }

    /// For a connection.
    pub(super) fn connect_timeout(&mut self, at: &KeyPath, file: &mut file::Target) -> Duration {
        let given = file.connect_timeout.take();
        let least = Duration::from_millis(1);
        self.duration(&at.key("connect_timeout"), given, CONNECT_TIMEOUT, least)
    }

    /// For a request.
    pub(super) fn timeout(&mut self, at: &KeyPath, file: &mut file::Target) -> Duration {
        let given = file.timeout.take();
        let least = Duration::from_millis(1);
        self.duration(&at.key("timeout"), given, TIMEOUT, least)
    }

    fn url(&mut self, at: &KeyPath, given: Option<String>) -> Option<Uri> {
        let Some(given) = given else {
            self.missing(
                at,
                "`url` is missing; write e.g. `url = \"https://api.example.com/v1\"`",
            );
            return None;
        };
        let parsed = base_url(&given);
        if let Err(message) = parsed {
            self.fault(&at.key("url"), message);
        }
        parsed.ok()
    }

    fn protocol(&mut self, at: &KeyPath, given: Option<String>) -> Protocol {
        let Some(given) = given else {
            return Protocol::default();
        };
        let place = self.word(&at.key("protocol"), &given, PROTOCOLS);
        [Protocol::Auto, Protocol::Http1, Protocol::Http2][place]
    }

    /// The certificates to trust; none for the public authorities.
    pub(super) fn ca(
        &mut self,
        at: &KeyPath,
        is_tls: Option<bool>,
        given: Option<String>,
    ) -> Vec<CertificateDer<'static>> {
        let Some(given) = given else {
            return Vec::new();
        };
        self.for_tls(at, is_tls);
        ca::read(&self.base_dir.join(given)).unwrap_or_else(|message| {
            self.fault(at, message);
            Vec::new()
        })
    }

    /// What is shown to the target; none where it does not ask who calls.
    pub(super) fn identity(
        &mut self,
        at: &KeyPath,
        is_tls: Option<bool>,
        file: &mut file::Target,
    ) -> Option<Identity> {
        let (cert, key) = match (file.cert.take(), file.key.take()) {
            (None, None) => return None,
            (Some(cert), Some(key)) => (cert, key),
            (given, _) => {
                let (has, lacks) = match given {
                    Some(_) => ("cert", "key"),
                    None => ("key", "cert"),
                };
                let message = format!("`{has}` is of no use without `{lacks}`; write both");
                self.fault(&at.key(has), message);
                return None;
            }
        };
        self.for_tls(&at.key("cert"), is_tls);
        let chain = ca::read(&self.base_dir.join(cert));
        let chain = chain.map_err(|message| self.fault(&at.key("cert"), message));
        let key = key
            .read(self.base_dir, self.env)
            .and_then(|(text, origin)| {
                PrivateKeyDer::from_pem_slice(text.expose_secret().as_bytes())
                    // The parser's own words quote it.
                    .map_err(|_| format!("there is no private key in PEM in {origin}"))
            });
        let key = key.map_err(|message| self.fault(&at.key("key"), message));
        Some(Identity {
            chain: chain.ok()?,
            key: Arc::new(key.ok()?),
        })
    }

    fn for_tls(&mut self, at: &KeyPath, is_tls: Option<bool>) {
        if is_tls == Some(false) {
            self.fault(
                at,
                "`url` is without TLS, which this is for; write `https://` there, or leave this out",
            );
        }
    }
}

/// Reads the address that every request stays under. The error does not quote
/// it: it may have a password in the wrong place.
fn base_url(given: &str) -> Result<Uri, &'static str> {
    const FORM: &str = "this is not a URL; write e.g. `https://api.example.com/v1`";
    if given.contains('#') {
        return Err("a fragment (`#`) is never sent; leave it out");
    }
    let url: Uri = given.parse().map_err(|_| FORM)?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err("the scheme is missing or not known; write `https://` or `http://`");
    }
    let authority = url.authority().ok_or(FORM)?;
    if authority.as_str().contains('@') {
        return Err(
            "credentials do not go into the URL; write them as a header, e.g. \
             `Authorization = { env = \"API_KEY\", prefix = \"Bearer \" }`",
        );
    }
    if authority.host().is_empty() || authority.as_str().ends_with(':') {
        return Err(FORM);
    }
    if authority.port().is_none() && !authority.as_str().ends_with(authority.host()) {
        return Err("the port is not a number up to 65535");
    }
    if url.query().is_some() {
        return Err("a query (`?`) does not go into the URL; write it in `path`");
    }
    if has_dots(url.path()) {
        return Err("`.` and `..` do not go into the URL; write the path itself");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_scheme_host_port_and_path_only() {
        for good in [
            "https://api.example.com",
            "https://api.example.com/v1",
            "http://127.0.0.1:8080",
            "http://[::1]:8080/a/b",
        ] {
            assert!(base_url(good).is_ok(), "{good}");
        }
        for (bad, says) in [
            ("api.example.com", "scheme"),
            ("ftp://api.example.com", "scheme"),
            ("https://", "not a URL"),
            ("https://me:hunter2@api.example.com", "header"),
            ("https://api.example.com?key=1", "query"),
            ("https://api.example.com/#a", "fragment"),
            ("https://api.example.com:99999", "port"),
            ("https://api.example.com:", "not a URL"),
            ("https://api.example.com/a/../b", "`..`"),
            ("https://api.example.com/%2E%2e/b", "`..`"),
        ] {
            let message = base_url(bad).unwrap_err();
            assert!(message.contains(says), "{bad}: {message}");
        }
    }
}
