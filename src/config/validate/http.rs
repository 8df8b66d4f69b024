//! HTTP targets: methods and paths.

use std::collections::BTreeMap;
use std::str::FromStr;

use http::Method;
use http::uri::PathAndQuery;

use super::Check;
use crate::config::key::KeyPath;
use crate::config::reference::METHODS;
use crate::config::{HttpConfig, file};
use crate::model::Verb;

impl Check<'_> {
    pub(super) fn http(
        &mut self,
        at: &KeyPath,
        target: &str,
        file: &mut file::Target,
    ) -> Option<HttpConfig> {
        let connect = self.connect(at, file);
        let method = self.method(&at.key("method"), file.method.take(), Method::POST);
        let path = self.own_path(at, file.path.take());
        let actions = std::mem::take(&mut file.actions);
        let actions = self.actions(&at.key("actions"), actions, path.as_deref());
        let calls = self.calls(at, target, file);
        let timeout = self.timeout(at, file);
        Some(HttpConfig {
            connect: connect?,
            method,
            path: path?,
            actions,
            allow_calls: file.allow_calls.unwrap_or(false),
            allow_headers: calls.allow_headers,
            headers: calls.headers,
            idempotency_header: calls.idempotency_header,
            key_window: calls.key_window,
            repeatable: file.repeatable.unwrap_or(false),
            idempotent_methods: file.idempotent_methods.unwrap_or(true),
            timeout,
            reply_limit: calls.reply_limit,
            busy_503: file.busy_503.unwrap_or(true),
            max_retry_after: calls.max_retry_after,
        })
    }

    pub(super) fn method(
        &mut self,
        at: &KeyPath,
        given: Option<String>,
        default: Method,
    ) -> Method {
        let Some(given) = given else { return default };
        let place = self.word(at, &given, METHODS);
        Method::from_str(METHODS[place]).unwrap_or(default)
    }

    pub(super) fn own_path(&mut self, at: &KeyPath, given: Option<String>) -> Option<String> {
        let Some(given) = given else {
            self.missing(at, "`path` is missing; write e.g. `path = \"/guests\"`");
            return None;
        };
        self.template(&at.key("path"), given, false)
    }

    /// A path below the base, with a place for the resource's id or without.
    pub(super) fn template(
        &mut self,
        at: &KeyPath,
        given: String,
        with_id: bool,
    ) -> Option<String> {
        let fault = path_fault(&given, with_id);
        if let Some(message) = fault {
            self.fault(at, message);
        }
        fault.is_none().then_some(given)
    }

    pub(super) fn actions(
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
pub(super) fn has_dots(path: &str) -> bool {
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
