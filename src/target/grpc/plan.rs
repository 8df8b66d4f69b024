//! What calls items ask for. Pure: an item and descriptors in, a call out, or
//! what would be right.

use std::borrow::Cow;

use bytes::{BufMut, Bytes};
use http::uri::{InvalidUri, PathAndQuery};
use http::{HeaderName, HeaderValue};
use prost_reflect::MessageDescriptor;

use super::call::Call;
use super::descriptors::{Method, Service};
use super::frame::framed;
use super::{metadata, transcode};
use crate::config::{GrpcConfig, GrpcMethod, GrpcMethods};
use crate::model::{Form, GrpcCall, Item, Operation, Payload, Refusal};
use crate::target::Key;
use crate::target::http::admit::{self, refusal};

/// The methods that are named where another is not known.
const NAMED: usize = 12;
/// What every call says that its message is.
const PLAIN: HeaderValue = HeaderValue::from_static("application/grpc");

/// What items of one target may ask for.
pub(super) struct Plans {
    own: GrpcMethod,
    own_path: PathAndQuery,
    allowed: Vec<GrpcMethods>,
    idempotent: Vec<GrpcMethods>,
    allow_headers: Vec<HeaderName>,
    key: Option<HeaderName>,
}

/// What an item asks for, as far as it can be known without descriptors.
pub(super) struct Asked<'p> {
    pub method: Cow<'p, GrpcMethod>,
    /// Its message is the item's where that is raw, and else empty.
    pub call: Call,
}

impl Plans {
    /// For a target that is configured so. The error says what is wrong.
    pub(super) fn new(config: &GrpcConfig) -> Result<Plans, String> {
        let own = config.method.clone();
        let own_path = path(&own).map_err(|error| format!("the method `{own}`: {error}"))?;
        Ok(Plans {
            own,
            own_path,
            allowed: config.allow_methods.clone(),
            idempotent: config.idempotent_methods.clone(),
            allow_headers: config.allow_headers.clone(),
            key: config.idempotency_header.clone(),
        })
    }

    /// The target's own method.
    pub(super) fn own(&self) -> &GrpcMethod {
        &self.own
    }

    /// The services that items can name.
    pub(super) fn services(&self) -> Vec<&str> {
        let allowed = self.allowed.iter().map(|some| some.service.as_str());
        let mut services: Vec<&str> = allowed.chain([self.own.service.as_str()]).collect();
        services.sort_unstable();
        services.dedup();
        services
    }

    /// Whether the configuration says that calling it twice does no harm.
    pub(super) fn is_idempotent(&self, method: &GrpcMethod) -> bool {
        self.idempotent.iter().any(|some| some.has(method))
    }

    pub(super) fn honours_keys(&self) -> bool {
        self.key.is_some()
    }

    /// Where an item's key goes, and the key.
    pub(super) fn key(&self, key: Key<'_>) -> Result<Option<(HeaderName, HeaderValue)>, Refusal> {
        let Some(name) = &self.key else {
            return Ok(None);
        };
        let value = HeaderValue::try_from(key.to_string()).map_err(|error| {
            refusal(
                "INVALID_IDEMPOTENCY_KEY",
                "idempotency_key",
                error.to_string(),
            )
        })?;
        Ok(Some((name.clone(), value)))
    }

    /// What an item asks for; what its message is like, only descriptors tell.
    pub(super) fn asked(&self, item: &Item) -> Result<Asked<'_>, Refusal> {
        let method = self.method(item)?;
        let metadata = match &item.operation {
            Operation::Grpc(call) => self.metadata(call)?,
            _ => Vec::new(),
        };
        if let Some(key) = item.key.as_ref().filter(|_| self.key.is_some()) {
            admit::value(key)
                .map_err(|what| refusal("INVALID_IDEMPOTENCY_KEY", "idempotency_key", what))?;
        }
        let path = match &method {
            Cow::Borrowed(_) => self.own_path.clone(),
            Cow::Owned(named) => path(named)
                .map_err(|error| refusal("INVALID_METHOD", "grpc.method", error.to_string()))?,
        };
        let (content_type, message) = match &item.payload {
            Some(payload) if payload.form == Form::Raw => {
                let body = &payload.body;
                let message = framed(body.len(), |frame| frame.put_slice(body));
                (raw_type(payload)?, message)
            }
            _ => (PLAIN, framed(0, |_| {})),
        };
        Ok(Asked {
            method,
            call: Call {
                path,
                content_type,
                metadata,
                message,
            },
        })
    }

    /// The method that an item asks for.
    pub(super) fn method(&self, item: &Item) -> Result<Cow<'_, GrpcMethod>, Refusal> {
        let name = match &item.operation {
            Operation::Target => "",
            Operation::Grpc(call) => &call.method,
            Operation::Action(_) => {
                let message = "this target is a gRPC service and knows no actions; leave `action` out, or name a method in `grpc`";
                return Err(refusal("OPERATION_NOT_SUPPORTED", "action", message));
            }
            Operation::Http(_) => {
                let message =
                    "this target is a gRPC service; leave `http` out, or name a method in `grpc`";
                return Err(refusal("OPERATION_NOT_SUPPORTED", "http", message));
            }
        };
        if name.is_empty() {
            return Ok(Cow::Borrowed(&self.own));
        }
        let Some(method) = GrpcMethod::parse(name) else {
            let message = format!(
                "this is not a method; write the service with its package, and the method, e.g. `{}`",
                self.own
            );
            return Err(refusal("INVALID_METHOD", "grpc.method", message));
        };
        if method != self.own && !self.allowed.iter().any(|some| some.has(&method)) {
            let mut names = vec![self.own.to_string()];
            names.extend(self.allowed.iter().map(ToString::to_string));
            let message = format!("this target lets items call only `{}`", names.join("`, `"));
            return Err(refusal("METHOD_NOT_ALLOWED", "grpc.method", message));
        }
        Ok(Cow::Owned(method))
    }

    fn metadata(&self, call: &GrpcCall) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
        let mut metadata: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(call.metadata.len());
        for (name, value) in &call.metadata {
            let entry = metadata::entry(name, value, &self.allow_headers, self.key.as_ref())?;
            if metadata.iter().any(|(known, _)| *known == entry.0) {
                let field = format!("grpc.metadata[{name}]");
                let message = "this is there twice, in other letters; give it once";
                return Err(refusal("INVALID_METADATA", &field, message));
            }
            metadata.push(entry);
        }
        Ok(metadata)
    }

    /// The call with its message, and what the reply looks like where that is
    /// to be JSON.
    pub(super) fn fill<'p>(
        mut asked: Asked<'p>,
        service: &Service,
        item: &Item,
    ) -> Result<(Asked<'p>, Option<MessageDescriptor>), Refusal> {
        let method = Plans::find(&asked, service, item)?;
        if let Some(json) = json(item) {
            asked.call.message = transcode::to_frame(&method.input, json)?;
        }
        let is_raw = |payload: &Payload| payload.form == Form::Raw;
        let output = (!item.payload.as_ref().is_some_and(is_raw)).then(|| method.output.clone());
        Ok((asked, output))
    }

    /// As [`fill`](Self::fill), for its refusal alone.
    pub(super) fn check(asked: &Asked<'_>, service: &Service, item: &Item) -> Result<(), Refusal> {
        let method = Plans::find(asked, service, item)?;
        match json(item) {
            Some(json) => transcode::check(&method.input, json),
            None => Ok(()),
        }
    }

    /// The descriptor of the method that is asked for.
    fn find<'s>(
        asked: &Asked<'_>,
        service: &'s Service,
        item: &Item,
    ) -> Result<&'s Method, Refusal> {
        // The item names no method where it is the target's own.
        let (field, whose) = match &item.operation {
            Operation::Grpc(call) if !call.method.is_empty() => ("grpc.method", ""),
            _ => ("grpc", "the target's own method, by its configuration: "),
        };
        let name = &asked.method.method;
        match service.method(name) {
            Some(method) if method.is_stream => {
                let message = format!(
                    "{whose}`{}` is a stream; only methods with one message each way can be called",
                    asked.method
                );
                Err(refusal("METHOD_NOT_SUPPORTED", field, message))
            }
            Some(method) => Ok(method),
            None => {
                let names: Vec<&str> = service.names().into_iter().take(NAMED).collect();
                let message = format!(
                    "{whose}`{}` has no method `{name}`; it has `{}`",
                    asked.method.service,
                    names.join("`, `")
                );
                Err(refusal("UNKNOWN_METHOD", field, message))
            }
        }
    }
}

/// Where a method is called.
fn path(method: &GrpcMethod) -> Result<PathAndQuery, InvalidUri> {
    PathAndQuery::try_from(format!("/{}/{}", method.service, method.method))
}

/// The JSON text of an item.
fn json(item: &Item) -> Option<&Bytes> {
    let payload = item.payload.as_ref()?;
    (payload.form != Form::Raw).then_some(&payload.body)
}

/// What a raw message says that it is. That it is protobuf goes without saying;
/// other codecs say so as gRPC has it.
fn raw_type(payload: &Payload) -> Result<HeaderValue, Refusal> {
    let Some(given) = &payload.content_type else {
        return Ok(PLAIN);
    };
    let essence = given.split(';').next().unwrap_or_default().trim();
    match essence {
        "application/octet-stream" | "application/protobuf" | "application/x-protobuf" => Ok(PLAIN),
        grpc if grpc == "application/grpc" || grpc.starts_with("application/grpc+") => {
            admit::value(given)
                .map_err(|what| refusal("INVALID_CONTENT_TYPE", "payload.content_type", what))
        }
        _ => Err(refusal(
            "INVALID_CONTENT_TYPE",
            "payload.content_type",
            "a raw payload for a gRPC service is a message: leave this out for protobuf, or write `application/grpc+` and the codec",
        )),
    }
}

/// Cannot be: every part of a call is checked when it is planned.
pub(super) fn not_rendered(error: &http::Error) -> Refusal {
    refusal("INVALID_REQUEST", "grpc", error.to_string())
}
