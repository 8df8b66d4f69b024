//! Makes requests of items. Pure: what an item asks for is either refused with
//! what would be right, or becomes a request without fail.

use std::collections::BTreeMap;
use std::fmt::Display;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body_util::Full;
use secrecy::ExposeSecret;

use super::admit::{self, refusal};
use crate::config::HttpConfig;
use crate::core::headers::is_framing;
use crate::model::{Action, Form, HttpCall, Item, Operation, Refusal, Verb};

/// The methods that an item can ask for.
const METHODS: [Method; 5] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// Stands for the resource id in the path of an action.
const ID: &str = "{id}";

/// How the requests of one target look.
pub(in crate::target) struct Requests {
    scheme: Scheme,
    authority: Authority,
    /// The base's path, without a slash at its end.
    prefix: String,
    method: Method,
    path: PathAndQuery,
    /// The paths are with the prefix.
    actions: BTreeMap<Verb, (Method, String)>,
    allow_calls: bool,
    allow_headers: Vec<HeaderName>,
    key: Option<HeaderName>,
    /// What every request carries.
    fixed: HeaderMap,
    host: HeaderValue,
}

/// What becomes of one item.
pub(in crate::target) struct Plan<'a> {
    pub method: Method,
    /// With the base's path.
    pub path: PathAndQuery,
    /// Those that the item brings.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub content_type: Option<HeaderValue>,
    item: &'a Item,
}

impl Plan<'_> {
    /// How the item's payload was written.
    pub(in crate::target) fn form(&self) -> Option<Form> {
        self.item.payload.as_ref().map(|payload| payload.form)
    }
}

impl Requests {
    /// For a target that is configured so. The error says what would be right.
    pub(in crate::target) fn new(config: &HttpConfig) -> Result<Requests, String> {
        let parts = config.connect.base.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err("the base is a whole address, e.g. `https://api.example/v1`".to_owned());
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(format!("the base is http or https, not `{scheme}`"));
        }
        if authority.as_str().contains('@') {
            return Err("the base has no user or password; put credentials in a header".to_owned());
        }
        if config.connect.base.query().is_some() {
            return Err("the base has no query; put one in the path".to_owned());
        }
        let prefix = config.connect.base.path().trim_end_matches('/').to_owned();
        let path = below(&prefix, &config.path)?;
        if config.path.contains(['{', '}']) {
            return Err(format!(
                "the path `{}` has a variable; only those of actions have one, `{ID}`",
                config.path
            ));
        }
        let mut actions = BTreeMap::new();
        for (verb, (method, template)) in &config.actions {
            below(&prefix, &template.replace(ID, "0"))?;
            actions.insert(*verb, (method.clone(), format!("{prefix}{template}")));
        }
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| format!("`{authority}` cannot be a host"))?;
        Ok(Requests {
            scheme,
            authority,
            prefix,
            method: config.method.clone(),
            path,
            actions,
            allow_calls: config.allow_calls,
            allow_headers: config.allow_headers.clone(),
            key: config.idempotency_header.clone(),
            fixed: fixed_headers(config)?,
            host,
        })
    }

    /// The base's path, without a slash at its end.
    pub(in crate::target) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The header that carries an item's key, where there is one.
    pub(in crate::target) fn key_header(&self) -> Option<&HeaderName> {
        self.key.as_ref()
    }

    /// What becomes of an item, or why nothing can.
    pub(in crate::target) fn plan<'a>(&self, item: &'a Item) -> Result<Plan<'a>, Refusal> {
        let (method, path, headers) = match &item.operation {
            Operation::Target => (self.method.clone(), self.path.clone(), Vec::new()),
            Operation::Action(action) => {
                let (method, path) = self.act(action)?;
                (method, path, Vec::new())
            }
            Operation::Http(call) => self.called(call)?,
            Operation::Grpc(_) => {
                let message = "this target is no gRPC service; leave `grpc` out";
                return Err(refusal("OPERATION_NOT_SUPPORTED", "grpc", message));
            }
        };
        let content_type = item.payload.as_ref().map(|payload| {
            admit::value(payload.media_type())
                .map_err(|what| refusal("INVALID_CONTENT_TYPE", "payload.content_type", what))
        });
        if self.key.is_some()
            && let Some(key) = &item.key
        {
            admit::value(key)
                .map_err(|what| refusal("INVALID_IDEMPOTENCY_KEY", "idempotency_key", what))?;
        }
        Ok(Plan {
            method,
            path,
            headers,
            content_type: content_type.transpose()?,
            item,
        })
    }

    /// The request itself, for a connection of the given version.
    pub(in crate::target) fn render(
        &self,
        plan: &Plan<'_>,
        key: impl Display,
        version: Version,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut headers = plan.headers.clone();
        let content_type = plan.content_type.clone();
        headers.extend(content_type.map(|value| (CONTENT_TYPE, value)));
        if let Some(name) = &self.key {
            headers.push((name.clone(), HeaderValue::try_from(key.to_string())?));
        }
        let payload = plan.item.payload.as_ref();
        let body = payload.map(|payload| payload.body.clone());
        let parts = (&plan.method, &plan.path);
        self.request(parts, headers, body.unwrap_or_default(), version)
    }

    /// A request of the target's own, for whatever it carries.
    pub(in crate::target) fn own(
        &self,
        headers: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
        version: Version,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        self.request((&self.method, &self.path), headers, body, version)
    }

    fn request(
        &self,
        (method, path): (&Method, &PathAndQuery),
        more: Vec<(HeaderName, HeaderValue)>,
        body: Bytes,
        version: Version,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut headers = self.fixed.clone();
        let mut uri = Uri::builder().path_and_query(path.clone());
        if version == Version::HTTP_2 {
            uri = uri
                .scheme(self.scheme.clone())
                .authority(self.authority.clone());
        } else {
            headers.insert(HOST, self.host.clone());
        }
        for (name, value) in more {
            headers.insert(name, value);
        }
        let mut request = Request::builder()
            .method(method.clone())
            .uri(uri.build()?)
            .version(version)
            .body(Full::new(body))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn act(&self, action: &Action) -> Result<(Method, PathAndQuery), Refusal> {
        let Some((method, template)) = self.actions.get(&action.verb) else {
            let known: Vec<&str> = self.actions.keys().copied().map(word).collect();
            let message = if known.is_empty() {
                "this target knows no actions; leave `action` out for its own operation".to_owned()
            } else {
                format!("this target knows only these actions: {}", known.join(", "))
            };
            return Err(refusal("OPERATION_NOT_SUPPORTED", "action.verb", message));
        };
        let verb = word(action.verb);
        let wrong = |message| refusal("INVALID_RESOURCE_ID", "action.resource_id", message);
        match (template.contains(ID), action.resource_id.is_empty()) {
            (true, true) => return Err(wrong(format!("{verb} needs the id of the resource"))),
            (false, false) => {
                return Err(wrong(format!(
                    "{verb} takes no resource id at this target; leave it out"
                )));
            }
            _ => {}
        }
        let path = template.replace(ID, &admit::segment(&action.resource_id)?);
        let path = PathAndQuery::try_from(path).map_err(|error| wrong(error.to_string()))?;
        Ok((method.clone(), path))
    }

    #[allow(clippy::type_complexity, reason = "the parts of a plan, named there")]
    fn called(
        &self,
        call: &HttpCall,
    ) -> Result<(Method, PathAndQuery, Vec<(HeaderName, HeaderValue)>), Refusal> {
        if !self.allow_calls {
            let message = "this target takes no requests of the caller's own; leave `http` out for its own operation";
            return Err(refusal("OPERATION_NOT_SUPPORTED", "http", message));
        }
        let method = match call.method.as_str() {
            "" => self.method.clone(),
            name => METHODS
                .into_iter()
                .find(|method| method.as_str() == name)
                .ok_or_else(|| {
                    let message = "the method is GET, POST, PUT, PATCH or DELETE, in capitals";
                    refusal("INVALID_METHOD", "http.method", message)
                })?,
        };
        let path = match call.path.as_str() {
            "" => self.path.clone(),
            path => {
                admit::path(path)?;
                PathAndQuery::try_from(format!("{}{path}", self.prefix))
                    .map_err(|error| refusal("INVALID_PATH", "http.path", error.to_string()))?
            }
        };
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(call.headers.len());
        for (name, value) in &call.headers {
            let header = admit::header(name, value, &self.allow_headers, self.key.as_ref())?;
            if headers.iter().any(|(known, _)| *known == header.0) {
                let field = format!("http.headers[{name}]");
                let message = "the header is there twice, in other letters; give it once";
                return Err(refusal("INVALID_HEADER", &field, message));
            }
            headers.push(header);
        }
        Ok((method, path, headers))
    }
}

/// A configured path below the base.
fn below(prefix: &str, path: &str) -> Result<PathAndQuery, String> {
    // A variable is told of by itself, where it does not belong.
    admit::path(&path.replace(['{', '}'], ""))
        .map_err(|wrong| format!("`{path}`: {}", wrong.message))?;
    PathAndQuery::try_from(format!("{prefix}{path}")).map_err(|error| format!("`{path}`: {error}"))
}

fn fixed_headers(config: &HttpConfig) -> Result<HeaderMap, String> {
    let mut fixed = HeaderMap::new();
    fixed.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("flowgate/", env!("CARGO_PKG_VERSION"))),
    );
    fixed.insert(
        ACCEPT,
        HeaderValue::from_static("application/json, */*;q=0.1"),
    );
    for (name, secret) in &config.headers {
        if is_framing(name.as_str()) {
            return Err(format!("the header `{name}` is set by the connection"));
        }
        // Never the value: it may be a credential.
        let mut value = admit::value(secret.expose_secret())
            .map_err(|what| format!("the header `{name}`: {what}"))?;
        value.set_sensitive(true);
        fixed.insert(name.clone(), value);
    }
    Ok(fixed)
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Delete => "delete",
    }
}

#[cfg(test)]
mod tests;
