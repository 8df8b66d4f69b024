//! HTTP targets: addresses, paths, headers.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, Method, Uri};
use rustls::pki_types::CertificateDer;
use secrecy::SecretString;

use super::Check;
use crate::config::key::KeyPath;
use crate::config::reference::{METHODS, PROTOCOLS};
use crate::config::secret::SecretSource;
use crate::config::{HeaderOrigin, HttpConfig, Protocol, ca, file};
use crate::core::headers::{is_framing, is_reserved};
use crate::model::{TargetName, Verb};

const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEY_WINDOW: Duration = Duration::from_hours(24);
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
const MAX_RETRY_AFTER: Duration = Duration::from_mins(10);
const REPLY_LIMIT: usize = 64 << 10;
/// A reply and its item must fit one message to the caller.
const REPLY_LIMIT_MAX: usize = 1 << 20;

impl Check<'_> {
    pub(super) fn http(
        &mut self,
        at: &KeyPath,
        target: &str,
        file: file::Target,
    ) -> Option<HttpConfig> {
        let base = self.url(at, file.url);
        let method = self.method(&at.key("method"), file.method, Method::POST);
        let path = self.own_path(at, file.path);
        let actions = self.actions(&at.key("actions"), file.actions, path.as_deref());
        let headers = self.headers(&at.key("headers"), target, file.headers);
        let idempotency_header = file.idempotency_header.and_then(|given| {
            let at = at.key("idempotency_header");
            let name = self.header_name(&at, &given)?;
            if is_reserved(name.as_str()) || headers.iter().any(|(set, _)| *set == name) {
                self.fault(
                    &at,
                    format!("`{name}` has another use; write another header"),
                );
            }
            Some(name)
        });
        let allow_headers = file.allow_headers.unwrap_or_default();
        let allow_headers = self.allowed(
            &at.key("allow_headers"),
            &allow_headers,
            &headers,
            idempotency_header.as_ref(),
        );
        let least = Duration::from_millis(1);
        let key_window = at.key("key_window");
        if idempotency_header.is_none() && file.key_window.is_some() {
            self.fault(
                &key_window,
                "this says how long the target knows a key, and there is no `idempotency_header`",
            );
        }
        let key_window = self.duration(&key_window, file.key_window, KEY_WINDOW, least);
        let idle = at.key("idle_timeout");
        let retry_after = at.key("max_retry_after");
        let connect = at.key("connect_timeout");
        Some(HttpConfig {
            method,
            actions,
            allow_calls: file.allow_calls.unwrap_or(false),
            allow_headers,
            headers,
            idempotency_header,
            key_window,
            repeatable: file.repeatable.unwrap_or(false),
            idempotent_methods: file.idempotent_methods.unwrap_or(true),
            timeout: self.duration(&at.key("timeout"), file.timeout, TIMEOUT, least),
            connect_timeout: self.duration(&connect, file.connect_timeout, CONNECT_TIMEOUT, least),
            idle_timeout: self.duration(&idle, file.idle_timeout, IDLE_TIMEOUT, Duration::ZERO),
            protocol: self.protocol(at, file.protocol),
            ca: self.ca(&at.key("ca"), base.as_ref(), file.ca),
            reply_limit: self.size(
                &at.key("reply_limit"),
                file.reply_limit,
                REPLY_LIMIT,
                0..=REPLY_LIMIT_MAX,
            ),
            busy_503: file.busy_503.unwrap_or(true),
            max_retry_after: self.duration(
                &retry_after,
                file.max_retry_after,
                MAX_RETRY_AFTER,
                least,
            ),
            base: base?,
            path: path?,
        })
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

    fn method(&mut self, at: &KeyPath, given: Option<String>, default: Method) -> Method {
        let Some(given) = given else { return default };
        let place = self.word(at, &given, METHODS);
        Method::from_str(METHODS[place]).unwrap_or(default)
    }

    fn own_path(&mut self, at: &KeyPath, given: Option<String>) -> Option<String> {
        let Some(given) = given else {
            self.missing(at, "`path` is missing; write e.g. `path = \"/guests\"`");
            return None;
        };
        self.template(&at.key("path"), given, false)
    }

    /// A path below the base, with a place for the resource's id or without.
    fn template(&mut self, at: &KeyPath, given: String, with_id: bool) -> Option<String> {
        let fault = path_fault(&given, with_id);
        if let Some(message) = fault {
            self.fault(at, message);
        }
        fault.is_none().then_some(given)
    }

    fn actions(
        &mut self,
        at: &KeyPath,
        file: file::Actions,
        path: Option<&str>,
    ) -> BTreeMap<Verb, (Method, String)> {
        let verbs = [
            (Verb::Create, "create", file.create, Method::POST),
            (Verb::Update, "update", file.update, Method::PATCH),
            (Verb::Delete, "delete", file.delete, Method::DELETE),
        ];
        let mut actions = BTreeMap::new();
        for (verb, name, file, method) in verbs {
            let at = at.key(name);
            let with_id = verb != Verb::Create;
            let method = self.method(&at.key("method"), file.method, method);
            let path = match (file.path, path) {
                (Some(given), _) => self.template(&at.key("path"), given, with_id),
                (None, Some(path)) if with_id => Some(below(path)),
                (None, path) => path.map(str::to_owned),
            };
            if file.enabled.unwrap_or(true) {
                actions.extend(path.map(|path| (verb, (method, path))));
            }
        }
        actions
    }

    fn headers(
        &mut self,
        at: &KeyPath,
        target: &str,
        files: BTreeMap<String, SecretSource>,
    ) -> Vec<(HeaderName, SecretString)> {
        let mut headers: Vec<(HeaderName, SecretString)> = Vec::new();
        for (given, source) in files {
            let at = at.key(&given);
            let Some(name) = self.header_name(&at, &given) else {
                continue;
            };
            if headers.iter().any(|(set, _)| *set == name) {
                self.fault(&at, "this header is given twice; keep one of them");
            }
            if is_framing(name.as_str()) {
                self.fault(&at, "this header follows from the request; leave it out");
            }
            if self.is_incomplete(&at) {
                continue;
            }
            match source.fetch(self.base_dir, self.env) {
                Ok((value, origin)) => {
                    self.origins.push(HeaderOrigin {
                        target: TargetName::new(target),
                        header: name.clone(),
                        origin,
                    });
                    headers.push((name, value));
                }
                Err(message) => self.fault(&at, message),
            }
        }
        headers
    }

    /// The headers that items may set: none that has a use already.
    fn allowed(
        &mut self,
        at: &KeyPath,
        given: &[String],
        headers: &[(HeaderName, SecretString)],
        idempotency: Option<&HeaderName>,
    ) -> Vec<HeaderName> {
        let mut allowed = Vec::new();
        for (place, given) in given.iter().enumerate() {
            let at = at.index(place);
            let Some(name) = self.header_name(&at, given) else {
                continue;
            };
            let is_set = headers.iter().any(|(set, _)| *set == name);
            if is_reserved(name.as_str()) || is_set || idempotency == Some(&name) {
                self.fault(
                    &at,
                    format!("items cannot be let to set `{name}`; leave it out"),
                );
            }
            allowed.push(name);
        }
        allowed
    }

    fn header_name(&mut self, at: &KeyPath, given: &str) -> Option<HeaderName> {
        let name = HeaderName::from_str(given).ok();
        if name.is_none() {
            self.fault(at, "this is not a header's name; write e.g. `X-Api-Key`");
        }
        name
    }

    fn protocol(&mut self, at: &KeyPath, given: Option<String>) -> Protocol {
        let Some(given) = given else {
            return Protocol::default();
        };
        let place = self.word(&at.key("protocol"), &given, PROTOCOLS);
        [Protocol::Auto, Protocol::Http1, Protocol::Http2][place]
    }

    /// The certificates to trust; none for the public authorities.
    fn ca(
        &mut self,
        at: &KeyPath,
        base: Option<&Uri>,
        given: Option<String>,
    ) -> Vec<CertificateDer<'static>> {
        let Some(given) = given else {
            return Vec::new();
        };
        if base.is_some_and(|base| base.scheme_str() == Some("http")) {
            self.fault(
                at,
                "`url` is without TLS, which this is for; write `https://` there, or leave this out",
            );
        }
        ca::read(&self.base_dir.join(given)).unwrap_or_else(|message| {
            self.fault(at, message);
            Vec::new()
        })
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

/// What is wrong with a path below the base.
fn path_fault(path: &str, with_id: bool) -> Option<&'static str> {
    let ids = path.matches("{id}").count();
    let plain = path.replace("{id}", "id");
    if !path.starts_with('/') {
        Some("a path starts with `/`")
    } else if path.contains('#') {
        Some("a fragment (`#`) is never sent; leave it out")
    } else if has_dots(plain.split('?').next().unwrap_or_default()) {
        Some("`.` and `..` do not go into a path; write the path itself")
    } else if with_id && ids != 1 {
        Some("`{id}` must be there once: it stands for the resource, e.g. `/guests/{id}`")
    } else if !with_id && ids > 0 {
        Some("there is no resource yet that `{id}` could stand for; leave it out")
    } else if plain.contains(['{', '}']) {
        Some("only `{id}` is known between braces")
    } else if !plain.is_ascii() || PathAndQuery::from_str(&plain).is_err() {
        Some("this is not a path; write spaces and letters outside ASCII percent-encoded")
    } else {
        None
    }
}

/// Whether a step of a path leads to itself or out of it, also in disguise.
fn has_dots(path: &str) -> bool {
    path.split('/').any(|step| {
        let plain = step.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    })
}

/// The path of a resource below that of its collection.
fn below(path: &str) -> String {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (path, String::new()),
    };
    format!("{}/{{id}}{query}", path.trim_end_matches('/'))
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

    #[test]
    fn a_path_has_an_id_only_where_there_is_a_resource() {
        assert_eq!(path_fault("/guests?notify=false", false), None);
        assert_eq!(path_fault("/guests/{id}", true), None);
        for (path, with_id) in [
            ("guests", false),
            ("/guests/{id}", false),
            ("/guests", true),
            ("/guests/{id}/{id}", true),
            ("/guests/{name}", false),
            ("/a/../b", false),
            ("/a b", false),
            ("/gäste", false),
            ("/a#b", false),
        ] {
            assert!(path_fault(path, with_id).is_some(), "{path}");
        }
    }

    #[test]
    fn a_resource_is_below_its_collection_and_before_the_query() {
        assert_eq!(below("/guests"), "/guests/{id}");
        assert_eq!(below("/guests/"), "/guests/{id}");
        assert_eq!(below("/guests?v=2"), "/guests/{id}?v=2");
    }
}
