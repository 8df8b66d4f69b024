//! Targets of the kind `grpc`: methods, and what says what they take.

use prost_reflect::DescriptorPool;
use secrecy::ExposeSecret;

use super::Check;
use crate::config::key::KeyPath;
use crate::config::text::nearest;
use crate::config::{GrpcConfig, GrpcMethod, GrpcMethods, Protocol, file};
use crate::core::headers::fits_binary;

const METHOD_FORM: &str = "write the service with its package, and the method, e.g. \
     `shop.v1.GuestService/CreateGuest`";

impl Check<'_> {
    pub(super) fn grpc(
        &mut self,
        at: &KeyPath,
        target: &str,
        file: &mut file::Target,
    ) -> Option<GrpcConfig> {
        let has_url = file.url.is_some();
        let mut connect = self.connect(at, file);
        if let Some(connect) = &mut connect {
            connect.protocol = Protocol::Http2;
            if has_url && connect.base.path() != "/" {
                let message = "a gRPC service is at no path; write scheme, host and port only, \
                               e.g. `https://guests.example.com:443`";
                self.fault(&at.key("url"), message);
            }
        }
        let calls = self.calls(at, target, file);
        let timeout = self.timeout(at, file);
        let own = std::mem::take(&mut file.grpc);
        let at_own = at.key("grpc");
        let descriptors = self.descriptors(&at_own.key("descriptors"), own.descriptors);
        let method = self.grpc_method(at, own.method, descriptors.as_ref());
        let (allow, idempotent) = (own.allow_methods, own.idempotent_methods);
        let known = descriptors.as_ref();
        let allow_methods = self.grpc_methods(&at_own.key("allow_methods"), allow, known);
        let at_idempotent = at_own.key("idempotent_methods");
        let idempotent_methods = self.grpc_methods(&at_idempotent, idempotent, known);
        let is_binary = |name: &http::HeaderName| name.as_str().ends_with("-bin");
        if calls.idempotency_header.as_ref().is_some_and(is_binary) {
            let message = "a key is text, and `-bin` says that it is not; write another name";
            self.fault(&at.key("idempotency_header"), message);
        }
        for (name, value) in &calls.headers {
            if !fits_binary(name.as_str(), value.expose_secret()) {
                let message = "a name that ends with `-bin` has a value in base64";
                self.fault(&at.key("headers").key(name.as_str()), message);
            }
        }
        Some(GrpcConfig {
            connect: connect?,
            method: method?,
            allow_methods,
            idempotent_methods,
            descriptors,
            allow_headers: calls.allow_headers,
            headers: calls.headers,
            idempotency_header: calls.idempotency_header,
            key_window: calls.key_window,
            repeatable: file.repeatable.unwrap_or(false),
            timeout,
            reply_limit: calls.reply_limit,
            busy_unavailable: own.busy_unavailable.unwrap_or(false),
            max_retry_after: calls.max_retry_after,
        })
    }

    fn grpc_method(
        &mut self,
        at: &KeyPath,
        given: Option<String>,
        descriptors: Option<&DescriptorPool>,
    ) -> Option<GrpcMethod> {
        let Some(given) = given else {
            let message = "`grpc.method` is missing; write e.g. \
                           `grpc.method = \"shop.v1.GuestService/CreateGuest\"`";
            self.missing(at, message);
            return None;
        };
        let at = at.key("grpc").key("method");
        let method = GrpcMethod::parse(&given);
        match &method {
            None => self.fault(&at, format!("`{given}` is not a method; {METHOD_FORM}")),
            Some(method) => {
                if let Err(message) = is_there(descriptors, &method.service, Some(&method.method)) {
                    self.fault(&at, message);
                }
            }
        }
        method
    }

    fn grpc_methods(
        &mut self,
        at: &KeyPath,
        given: Option<Vec<String>>,
        descriptors: Option<&DescriptorPool>,
    ) -> Vec<GrpcMethods> {
        let mut methods = Vec::new();
        for (place, given) in given.unwrap_or_default().iter().enumerate() {
            let at = at.index(place);
            let Some(some) = GrpcMethods::parse(given) else {
                let message = format!(
                    "`{given}` is neither a method nor all of a service's; {METHOD_FORM}, or \
                     `shop.v1.GuestService/*`"
                );
                self.fault(&at, message);
                continue;
            };
            if let Err(message) = is_there(descriptors, &some.service, some.method.as_deref()) {
                self.fault(&at, message);
            }
            methods.push(some);
        }
        methods
    }

    /// What a file says that methods take and give.
    fn descriptors(&mut self, at: &KeyPath, given: Option<String>) -> Option<DescriptorPool> {
        let path = self.base_dir.join(given?);
        let read = std::fs::read(&path).map_err(|error| format!("cannot be read: {error}"));
        let pool = read.and_then(|bytes| {
            DescriptorPool::decode(&bytes[..]).map_err(|error| {
                format!(
                    "is no whole descriptor set ({error}); make one with `buf build -o FILE` or \
                     `protoc --include_imports --descriptor_set_out=FILE`"
                )
            })
        });
        pool.map_err(|message| self.fault(at, format!("{} {message}", path.display())))
            .ok()
    }
}

/// Whether the descriptors have that service, and that method with one message
/// each way; or what would be right.
fn is_there(
    descriptors: Option<&DescriptorPool>,
    service: &str,
    method: Option<&str>,
) -> Result<(), String> {
    let Some(pool) = descriptors else {
        return Ok(());
    };
    let Some(found) = pool.get_service_by_name(service) else {
        let names: Vec<String> = pool.services().map(|s| s.full_name().to_owned()).collect();
        let message = format!("the descriptors have no service `{service}`");
        return Err(format!("{message}{}", instead(service, &names)));
    };
    let Some(method) = method else {
        return Ok(());
    };
    match found.methods().find(|known| known.name() == method) {
        None => {
            let names: Vec<String> = found.methods().map(|m| m.name().to_owned()).collect();
            let message = format!("the descriptors have no method `{method}` in `{service}`");
            Err(format!("{message}{}", instead(method, &names)))
        }
        Some(known) if known.is_client_streaming() || known.is_server_streaming() => Err(format!(
            "`{service}/{method}` is a stream; only methods with one message each way can be called"
        )),
        Some(_) => Ok(()),
    }
}

/// What may have been meant.
fn instead(given: &str, names: &[String]) -> String {
    match nearest(given, names.iter().map(String::as_str)) {
        Some(near) => format!("; did you mean `{near}`?"),
        None if names.is_empty() => "; they have none at all".to_owned(),
        None => format!("; there are `{}`", names.join("`, `")),
    }
}
