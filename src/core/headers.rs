//! Whose a header of a request is: the connection's, the operator's or the
//! caller's. One list, for the configuration and for every item. Names are in
//! small letters.

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

#[cfg(test)]
mod tests {
    use super::*;

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
