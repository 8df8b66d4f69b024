//! Whose a header of a request is: the connection's, the operator's or the
//! caller's. One list, for the configuration and for every item. Names are in
//! small letters.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 as gRPC's metadata has it: with padding, or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Headers that say where a request ends and how it travels.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that say who sends it.
const IDENTITY: [&str; 2] = ["authorization", "cookie"];

/// Whether only the connection may set this header, so that not even the
/// operator can.
pub fn is_framing(name: &str) -> bool {
    FRAMING.contains(&name) || name.starts_with("proxy-") || name.starts_with("grpc-")
}

/// Whether a caller may never set this header, whatever the operator allows.
pub fn is_reserved(name: &str) -> bool {
    is_framing(name) || IDENTITY.contains(&name)
}

/// What a value of gRPC's metadata stands for whose name ends with `-bin`; `None`
/// where it is not base64.
pub fn binary(value: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    BASE64.decode(value).ok()
}

/// Whether a value may stand in gRPC's metadata under that name, as far as the
/// name alone says.
pub fn fits_binary(name: &str, value: &str) -> bool {
    !name.ends_with("-bin") || binary(value).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_value_is_base64_with_padding_or_without() {
        for (name, value, fits) in [
            ("x-bin", "AAE=", true),
            ("x-bin", "AAE", true),
            ("x-bin", "", true),
            ("x-bin", "A", false),
            ("x-bin", "no base64!", false),
            ("x", "no base64!", true),
        ] {
            assert_eq!(fits_binary(name, value), fits, "{name}: {value}");
        }
        assert_eq!(binary("AAE"), Some(vec![0, 1]));
    }

    #[test]
    fn a_header_has_one_owner() {
        let table = [
            ("host", true, true),
            ("te", true, true),
            ("proxy-authorization", true, true),
            ("grpc-timeout", true, true),
            ("authorization", false, true),
            ("cookie", false, true),
            ("x-source", false, false),
            ("accept", false, false),
        ];
        for (name, framing, reserved) in table {
            assert_eq!(
                (is_framing(name), is_reserved(name)),
                (framing, reserved),
                "{name}"
            );
        }
    }
}
