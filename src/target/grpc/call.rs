//! Makes the requests that calls are: the path, the metadata, the deadline.
//! Pure; what is in the message is not for it to know.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body_util::Full;
use secrecy::ExposeSecret;

use super::metadata;
use crate::config::GrpcConfig;
use crate::core::headers::is_framing;

const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The most that a deadline's number can be: eight digits.
const TIMEOUT_MAX: u128 = 99_999_999;

/// How the calls of one target look.
pub(super) struct Calls {
    scheme: Scheme,
    authority: Authority,
    /// What every call carries.
    fixed: HeaderMap,
}

/// One call.
pub(super) struct Call {
    /// `/package.Service/Method`.
    pub path: PathAndQuery,
    pub content_type: HeaderValue,
    pub metadata: Vec<(HeaderName, HeaderValue)>,
    /// Marked off as a frame.
    pub message: Bytes,
}

impl Calls {
    /// For a target that is configured so. The error says what would be right.
    pub(super) fn new(config: &GrpcConfig) -> Result<Calls, String> {
        let parts = config.connect.base.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(
                "the base is a whole address, e.g. `https://guests.example:443`".to_owned(),
            );
        };
        if authority.as_str().contains('@') {
            return Err("the base has no user or password; put credentials in a header".to_owned());
        }
        let mut fixed = HeaderMap::new();
        fixed.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("flowgate/", env!("CARGO_PKG_VERSION"))),
        );
        for (name, secret) in &config.headers {
            if is_framing(name.as_str()) {
                return Err(format!("the metadata `{name}` is set by the connection"));
            }
            // Never the value: it may be a credential.
            let mut value = metadata::value(name, secret.expose_secret())
                .map_err(|what| format!("the metadata `{name}`: {what}"))?;
            value.set_sensitive(true);
            fixed.insert(name.clone(), value);
        }
        // After those of the operator's: they cannot be others.
        fixed.insert(TE, HeaderValue::from_static("trailers"));
        let timeout = HeaderValue::try_from(timeout(config.timeout));
        fixed.insert(TIMEOUT, timeout.map_err(|error| error.to_string())?);
        Ok(Calls {
            scheme,
            authority,
            fixed,
        })
    }

    /// The request that makes a call, with its key where that goes anywhere.
    pub(super) fn request(
        &self,
        call: &Call,
        key: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let uri = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(call.path.clone());
        let mut headers = self.fixed.clone();
        for (name, value) in &call.metadata {
            headers.insert(name.clone(), value.clone());
        }
        headers.insert(CONTENT_TYPE, call.content_type.clone());
        headers.extend(key);
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri.build()?)
            .version(Version::HTTP_2)
            .body(Full::new(call.message.clone()))?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// A deadline as gRPC writes it: at most eight digits and a unit. Never later
/// than it is, by as little as that allows.
fn timeout(duration: Duration) -> String {
    let in_units = [
        (duration.as_nanos(), 'n'),
        (duration.as_micros(), 'u'),
        (duration.as_millis(), 'm'),
        (u128::from(duration.as_secs()), 'S'),
        (u128::from(duration.as_secs() / 60), 'M'),
        (u128::from(duration.as_secs() / 3_600), 'H'),
    ];
    let fits = in_units
        .into_iter()
        .find(|(number, _)| *number <= TIMEOUT_MAX);
    let (number, unit) = fits.unwrap_or((TIMEOUT_MAX, 'H'));
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_has_eight_digits_and_a_unit() {
        for (duration, written) in [
            (Duration::from_millis(1), "1000000n"),
            (Duration::from_millis(99), "99000000n"),
            (Duration::from_millis(100), "100000u"),
            (Duration::from_secs(30), "30000000u"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_millis(100_000_001), "100000S"),
            (Duration::from_hours(366 * 24), "31622400S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (Duration::from_secs(u64::MAX), "99999999H"),
            (Duration::ZERO, "0n"),
        ] {
            assert_eq!(timeout(duration), written, "{duration:?}");
        }
    }
}
