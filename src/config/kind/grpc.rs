//! What a target of the kind `grpc` is told.

use std::fmt;
use std::time::Duration;

use http::HeaderName;
use prost_reflect::DescriptorPool;
use secrecy::SecretString;

use super::ConnectConfig;

/// A gRPC service.
#[derive(Debug)]
pub struct GrpcConfig {
    /// How it is reached. Its base has no path.
    pub connect: ConnectConfig,
    /// What is called for an item that says nothing.
    pub method: GrpcMethod,
    /// The other methods that items may name.
    pub allow_methods: Vec<GrpcMethods>,
    /// Calling one of these twice does no harm.
    pub idempotent_methods: Vec<GrpcMethods>,
    /// What the methods take and give; absent where the target itself says so,
    /// by reflection.
    pub descriptors: Option<DescriptorPool>,
    /// The metadata that items may set.
    pub allow_headers: Vec<HeaderName>,
    /// Sent with every call: credentials among them.
    pub headers: Vec<(HeaderName, SecretString)>,
    /// Where an item's idempotency key goes, and what makes the target safe to
    /// repeat; absent where the target knows no such thing.
    pub idempotency_header: Option<HeaderName>,
    /// How long the target knows a key, from the first send.
    pub key_window: Duration,
    /// Sending an item twice does no harm, whatever it is.
    pub repeatable: bool,
    /// From the first byte of a call to the last of its answer; the target is
    /// told, as the call's deadline.
    pub timeout: Duration,
    /// Bytes of a reply that are kept; the rest is cut.
    pub reply_limit: usize,
    /// `UNAVAILABLE` that says when to come again proves that nothing was done.
    pub busy_unavailable: bool,
    /// The longest pause that the target can ask for.
    pub max_retry_after: Duration,
}

/// A method of a service by its whole name, e.g. `shop.v1.Guests/Create`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcMethod {
    /// With its package.
    pub service: String,
    /// Without the service.
    pub method: String,
}

/// A method, or all of a service: `shop.v1.Guests/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcMethods {
    /// With its package.
    pub service: String,
    /// Absent for all.
    pub method: Option<String>,
}

impl GrpcMethod {
    /// Reads `package.Service/Method`; `None` if it is not that.
    pub fn parse(text: &str) -> Option<GrpcMethod> {
        let (service, method) = text.split_once('/')?;
        let is_whole = service.split('.').all(is_name) && is_name(method);
        is_whole.then(|| GrpcMethod {
            service: service.to_owned(),
            method: method.to_owned(),
        })
    }
}

impl GrpcMethods {
    /// Reads `package.Service/Method` or `package.Service/*`; `None` if it is
    /// neither.
    pub fn parse(text: &str) -> Option<GrpcMethods> {
        match text.strip_suffix("/*") {
            Some(service) => service.split('.').all(is_name).then(|| GrpcMethods {
                service: service.to_owned(),
                method: None,
            }),
            None => GrpcMethod::parse(text).map(|one| GrpcMethods {
                service: one.service,
                method: Some(one.method),
            }),
        }
    }

    /// Whether that method is among them.
    pub fn has(&self, method: &GrpcMethod) -> bool {
        let same = |name: &String| *name == method.method;
        self.service == method.service && self.method.as_ref().is_none_or(same)
    }
}

impl fmt::Display for GrpcMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.method)
    }
}

impl fmt::Display for GrpcMethods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_deref().unwrap_or("*");
        write!(f, "{}/{method}", self.service)
    }
}

/// Whether it is a name as protobuf has them.
fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_a_service_and_a_name() {
        for text in ["a.b.C/D", "C/D", "_a.v1.C2/D_e"] {
            let method = GrpcMethod::parse(text).expect(text);
            assert_eq!(method.to_string(), text);
            assert!(GrpcMethods::parse(text).expect(text).has(&method));
        }
        let all = GrpcMethods::parse("a.b.C/*").expect("all of a service");
        assert_eq!(all.to_string(), "a.b.C/*");
        for (method, has) in [("a.b.C/D", true), ("a.b.CC/D", false), ("b.C/D", false)] {
            assert_eq!(
                all.has(&GrpcMethod::parse(method).unwrap()),
                has,
                "{method}"
            );
        }
        for text in [
            "", "/", "a", "a/", "/a", "/a.B/c", "a.B/c/d", "a..B/c", "a.B/c d", "a.B/*c", "a.*/c",
            "a.B/../c", "1a.B/c", "a.B/c\n", "é.B/c",
        ] {
            assert_eq!(GrpcMethod::parse(text), None, "{text}");
            assert_eq!(GrpcMethods::parse(text), None, "{text}");
        }
        assert_eq!(GrpcMethod::parse("a.B/*"), None);
    }
}
