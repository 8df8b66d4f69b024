//! Headers of targets, and what else those have that are called over HTTP.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use secrecy::SecretString;

use super::Check;
use crate::config::key::KeyPath;
use crate::config::secret::SecretSource;
use crate::config::{HeaderOrigin, file};
use crate::core::headers::{is_framing, is_reserved};
use crate::model::TargetName;

const KEY_WINDOW: Duration = Duration::from_hours(24);
const MAX_RETRY_AFTER: Duration = Duration::from_mins(10);
const REPLY_LIMIT: usize = 64 << 10;
/// A reply and its item must fit one message to the caller.
const REPLY_LIMIT_MAX: usize = 1 << 20;

/// What those have that are called over HTTP.
pub(super) struct Calls {
    pub(super) headers: Vec<(HeaderName, SecretString)>,
    pub(super) allow_headers: Vec<HeaderName>,
    pub(super) idempotency_header: Option<HeaderName>,
    pub(super) key_window: Duration,
    pub(super) reply_limit: usize,
    pub(super) max_retry_after: Duration,
}

impl Check<'_> {
    /// What those have that are called over HTTP.
    pub(super) fn calls(&mut self, at: &KeyPath, target: &str, file: &mut file::Target) -> Calls {
        let headers = std::mem::take(&mut file.headers);
        let headers = self.headers(&at.key("headers"), target, headers);
        let idempotency_header = file.idempotency_header.take().and_then(|given| {
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
        let allow_headers = file.allow_headers.take().unwrap_or_default();
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
        let given = file.key_window.take();
        let key_window = self.duration(&key_window, given, KEY_WINDOW, least);
        let (limit, retry_after) = (at.key("reply_limit"), at.key("max_retry_after"));
        let range = 0..=REPLY_LIMIT_MAX;
        let pause = file.max_retry_after.take();
        Calls {
            headers,
            allow_headers,
            idempotency_header,
            key_window,
            reply_limit: self.size(&limit, file.reply_limit.take(), REPLY_LIMIT, range),
            max_retry_after: self.duration(&retry_after, pause, MAX_RETRY_AFTER, least),
        }
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
}
