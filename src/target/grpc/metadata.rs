//! What a caller may put into the metadata of a call. Text in, verdict out.

use http::{HeaderName, HeaderValue};

use crate::core::headers::{fits_binary, is_reserved};
use crate::model::Refusal;
use crate::target::http::admit::{self, refusal};

/// An entry that comes from a caller. `allowed` are those that the target
/// takes, `key` is the one that carries the idempotency key.
pub(super) fn entry(
    name: &str,
    value: &str,
    allowed: &[HeaderName],
    key: Option<&HeaderName>,
) -> Result<(HeaderName, HeaderValue), Refusal> {
    let shown: String = name.chars().take(64).filter(|c| !c.is_control()).collect();
    let field = format!("grpc.metadata[{shown}]");
    let not_allowed = |message| refusal("METADATA_NOT_ALLOWED", &field, message);
    let invalid = |message: &str| refusal("INVALID_METADATA", &field, message);
    let Ok(parsed) = HeaderName::try_from(name) else {
        return Err(invalid(
            "a name in the metadata has only letters, digits, `-`, `_` and `.`",
        ));
    };
    if key == Some(&parsed) {
        return Err(not_allowed(format!(
            "`{parsed}` is set by Flowgate itself; give the item an `idempotency_key`"
        )));
    }
    if is_reserved(parsed.as_str()) {
        return Err(not_allowed(format!("`{parsed}` is set by Flowgate itself")));
    }
    if !allowed.contains(&parsed) {
        return Err(not_allowed(match allowed {
            [] => format!("this target takes no metadata from items, and so not `{parsed}`"),
            some => {
                let names: Vec<&str> = some.iter().map(HeaderName::as_str).collect();
                format!("this target takes from items only: {}", names.join(", "))
            }
        }));
    }
    let value = self::value(&parsed, value).map_err(invalid)?;
    Ok((parsed, value))
}

/// The value of an entry, from text; where the name says that it is binary, it
/// is base64.
pub(super) fn value(name: &HeaderName, text: &str) -> Result<HeaderValue, &'static str> {
    if !fits_binary(name.as_str(), text) {
        return Err("a name that ends with `-bin` has a value in base64");
    }
    admit::value(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_is_taken() {
        let allowed = ["x-tenant", "x-trace-bin", "te", "grpc-timeout"];
        let allowed = allowed.map(HeaderName::from_static);
        let key = HeaderName::from_static("idempotency-key");
        for (name, value, reason) in [
            ("x-tenant", "acme", None),
            ("X-Tenant", "", None),
            ("x-trace-bin", "AAEC", None),
            ("x-trace-bin", "AAE=", None),
            ("x-trace-bin", "AAE", None),
            ("x-trace-bin", "no base64!", Some("INVALID_METADATA")),
            ("x-tenant", "a\r\nb", Some("INVALID_METADATA")),
            ("x-tenant", "é", Some("INVALID_METADATA")),
            ("x tenant", "a", Some("INVALID_METADATA")),
            ("", "a", Some("INVALID_METADATA")),
            ("x-other", "a", Some("METADATA_NOT_ALLOWED")),
            ("authorization", "a", Some("METADATA_NOT_ALLOWED")),
            ("idempotency-key", "a", Some("METADATA_NOT_ALLOWED")),
            ("grpc-encoding", "gzip", Some("METADATA_NOT_ALLOWED")),
            // Not even the operator can open these to callers.
            ("grpc-timeout", "1S", Some("METADATA_NOT_ALLOWED")),
            ("te", "trailers", Some("METADATA_NOT_ALLOWED")),
        ] {
            let told = entry(name, value, &allowed, Some(&key)).err();
            assert_eq!(
                told.as_ref().map(|told| told.reason),
                reason,
                "{name}: {value}"
            );
            if let Some(told) = told {
                let field = &told.violations[0].field;
                assert!(field.starts_with("grpc.metadata["), "{field}");
            }
        }
    }
}
