//! What a caller may put into a request: paths that stay below the target's
//! base, and headers that do no harm. Text in, verdict out.

use http::{HeaderName, HeaderValue};

use crate::core::headers::is_reserved;
use crate::model::{Code, Refusal};

/// Bytes of a path with its query.
const PATH_LIMIT: usize = 8 * 1024;
/// Bytes of a header's value.
const VALUE_LIMIT: usize = 8 * 1024;
/// Bytes of a resource id.
const ID_LIMIT: usize = 1024;
/// How often a path may be percent-encoded over: servers behind proxies have
/// been seen to decode twice.
const DECODINGS: usize = 3;

/// A refusal of one field of an item.
pub(in crate::target) fn refusal(
    reason: &'static str,
    field: &str,
    message: impl Into<String>,
) -> Refusal {
    let message = message.into();
    Refusal::new(Code::InvalidArgument, reason, message.clone()).field(field, message)
}

/// Checks a path with its query, that comes from a caller: below a base it
/// stays below it, whoever reads it.
pub(in crate::target) fn path(text: &str) -> Result<(), Refusal> {
    let wrong = |message: String| Err(refusal("INVALID_PATH", "http.path", message));
    if text.len() > PATH_LIMIT {
        let got = text.len();
        return wrong(format!(
            "the path has {got} bytes; at most {PATH_LIMIT} are taken"
        ));
    }
    if !text.starts_with('/') || text.starts_with("//") {
        return wrong(
            "the path begins with one `/` and is below the target's address, e.g. `/guests?page=2`"
                .to_owned(),
        );
    }
    if let Some(bad) = text.chars().find(|c| !may_stand(*c)) {
        return wrong(format!(
            "{} does not belong in a path; percent-encode it",
            bad.escape_debug()
        ));
    }
    let path = text.split('?').next().unwrap_or_default();
    if !is_well_encoded(text) {
        return wrong("`%` is followed by two hexadecimal digits, and not by those of a control character; write `%25` for a percent sign".to_owned());
    }
    if leaves_its_place(path) {
        return wrong(
            "the path has a `.` or `..` segment; give the path that it leads to".to_owned(),
        );
    }
    Ok(())
}

fn may_stand(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '\\' | '#' | '"' | '<' | '>' | '`' | '{' | '}')
}

/// What some read as a dot or a slash, although it is none: encodings longer
/// than they have to be, and full-width forms that normalization makes plain.
const LOOKALIKES: [(&[u8], &[u8]); 11] = [
    (b"\xc0\xae", b"."),
    (b"\xc0\xaf", b"/"),
    (b"\xc1\x9c", b"\\"),
    (b"\xe0\x80\xae", b"."),
    (b"\xe0\x80\xaf", b"/"),
    (b"\xe0\x81\x9c", b"\\"),
    (b"\xe2\x80\xa4", b"."),
    (b"\xe2\x80\xa5", b".."),
    (b"\xef\xbc\x8e", b"."),
    (b"\xef\xbc\x8f", b"/"),
    (b"\xef\xbc\xbc", b"\\"),
];

/// Whether somebody might read a path with a dot segment in it: also one that
/// is encoded, over and over, or carries parameters (`..;v=1`), or ends at an
/// encoded slash or backslash.
fn leaves_its_place(path: &str) -> bool {
    let mut path = path.as_bytes().to_vec();
    for _ in 0..=DECODINGS {
        path = plainly(&path);
        let dots = path.split(|b| matches!(b, b'/' | b'\\')).any(|segment| {
            let name = segment.split(|&b| b == b';').next().unwrap_or_default();
            matches!(name, b"." | b"..")
        });
        if dots {
            return true;
        }
        let next = decoded(&path);
        if next == path {
            return false;
        }
        path = next;
    }
    // What is encoded that often has something to hide.
    true
}

/// With what looks like a dot or a slash as one.
fn plainly(path: &[u8]) -> Vec<u8> {
    let mut rest = path;
    let mut plain = Vec::with_capacity(path.len());
    while let Some((&first, after)) = rest.split_first() {
        let known = LOOKALIKES.iter().find(|(odd, _)| rest.starts_with(odd));
        if let Some((odd, meant)) = known {
            plain.extend_from_slice(meant);
            rest = &rest[odd.len()..];
        } else {
            plain.push(first);
            rest = after;
        }
    }
    plain
}

/// Undoes percent-encoding once; what is wrongly encoded stays, as it does with
/// most who read it.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut rest = text;
    let mut plain = Vec::with_capacity(text.len());
    while let Some((&first, after)) = rest.split_first() {
        if let Some(byte) = escaped(rest) {
            plain.push(byte);
            rest = &rest[3..];
        } else {
            plain.push(first);
            rest = after;
        }
    }
    plain
}

/// The byte that a text begins with, percent-encoded.
fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else {
        return None;
    };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// Whether every percent sign begins an encoding, and none of a control
/// character.
fn is_well_encoded(text: &str) -> bool {
    let text = text.as_bytes();
    let signs = (0..text.len()).filter(|at| text[*at] == b'%');
    let mut bytes = signs.map(|at| escaped(&text[at..]));
    bytes.all(|byte| byte.is_some_and(|byte| !byte.is_ascii_control()))
}

/// A resource id as one segment of a path.
pub(in crate::target) fn segment(id: &str) -> Result<String, Refusal> {
    let wrong = |message: &str| {
        Err(refusal(
            "INVALID_RESOURCE_ID",
            "action.resource_id",
            message,
        ))
    };
    // A slash is encoded below, and there are servers that decode it before
    // they look for dots.
    if leaves_its_place(id) {
        return wrong("`.` and `..` cannot be in a path; give the resource's own id");
    }
    if id.len() > ID_LIMIT {
        return wrong("a resource id has at most 1024 bytes");
    }
    if id.chars().any(char::is_control) {
        return wrong("a resource id has no control characters");
    }
    let mut encoded = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            encoded.push('%');
            encoded.push(char::from(DIGITS[usize::from(byte >> 4)]));
            encoded.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    Ok(encoded)
}

/// A header that comes from a caller. `allowed` are those that the target
/// takes, `key` is the one that carries the idempotency key.
pub(in crate::target) fn header(
    name: &str,
    value: &str,
    allowed: &[HeaderName],
    key: Option<&HeaderName>,
) -> Result<(HeaderName, HeaderValue), Refusal> {
    let field = format!("http.headers[{}]", shown(name));
    let Ok(parsed) = HeaderName::try_from(name) else {
        return Err(refusal(
            "INVALID_HEADER",
            &field,
            "a header's name has only letters, digits and `-`, `_`, `.` and the like",
        ));
    };
    let is_key = key == Some(&parsed);
    if is_key || is_reserved(parsed.as_str()) {
        let instead = match parsed.as_str() {
            _ if is_key => "; give the item an `idempotency_key`",
            "content-type" => "; it comes from the payload",
            "authorization" | "cookie" => "; credentials are in the target's configuration",
            _ => "",
        };
        let message = format!("`{parsed}` is set by Flowgate itself{instead}");
        return Err(refusal("HEADER_NOT_ALLOWED", &field, message));
    }
    if !allowed.contains(&parsed) {
        let message = match allowed {
            [] => format!("this target takes no headers from items, and so not `{parsed}`"),
            some => {
                let names: Vec<&str> = some.iter().map(HeaderName::as_str).collect();
                format!("this target takes from items only: {}", names.join(", "))
            }
        };
        return Err(refusal("HEADER_NOT_ALLOWED", &field, message));
    }
    let value = self::value(value).map_err(|what| refusal("INVALID_HEADER", &field, what))?;
    Ok((parsed, value))
}

/// The value of a header, from text of a caller.
pub(in crate::target) fn value(text: &str) -> Result<HeaderValue, &'static str> {
    if text.len() > VALUE_LIMIT {
        return Err("a header's value has at most 8192 bytes");
    }
    // `from_str` alone takes other bytes too, as nobody knows what.
    let ascii = text.is_ascii().then(|| HeaderValue::from_str(text).ok());
    ascii
        .flatten()
        .ok_or("a header's value has only visible ASCII characters, spaces and tabs")
}

/// A name as it may stand in a field's path.
fn shown(name: &str) -> String {
    name.chars().take(64).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_base_are_taken() {
        for text in [
            "/",
            "/guests",
            "/guests/42?page=2&q=a/../b",
            "/a%20b/c%2Fd",
            "/...",
            "/.well-known/x",
            "/100%25",
            "/a;v=1/b",
            "/caf%C3%A9",
            "/caf%E9",
            "/100%2525",
        ] {
            assert_eq!(path(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn paths_that_leave_the_base_are_refused() {
        for text in [
            "",
            "guests",
            "//evil.example/x",
            "http://evil.example/",
            "/..",
            "/a/../../b",
            "/a/.",
            "/%2e%2e/admin",
            "/.%2E/admin",
            "/%252e%252e/admin",
            "/%25252e%25252e/admin",
            "/%2525252525252e/admin",
            // Nobody's text, and wrong when it is decoded once: the rest is
            // decoded all the same.
            "/%ff/%252e%252e/%252e%252e/admin",
            "/%25zz/%252e%252e/%252e%252e/admin",
            "/%25/%252e%252e/admin",
            "/%c0%ae%c0%ae/admin",
            "/a%c0%af..%c1%9cadmin",
            "/%25c0%25ae%25c0%25ae/admin",
            "/%ef%bc%8e%ef%bc%8e/admin",
            "/%e2%80%a5/admin",
            "/a%ef%bc%8f..%ef%bc%8fadmin",
            "/a%2f..%2fadmin",
            "/..%5cadmin",
            "/..;x=1/admin",
            "/a\\..\\b",
            "/a#b",
            "/a b",
            "/a\r\nHost: evil",
            "/a\0",
            "/%0d%0aX: 1",
            "/a%00",
            "/a?q=%0a",
            "/%zz",
            "/%2",
            "/é",
        ] {
            let refused = path(text).expect_err(text);
            assert_eq!(refused.reason, "INVALID_PATH", "{text}");
            assert_eq!(refused.violations[0].field, "http.path");
        }
        assert!(path(&format!("/{}", "a".repeat(PATH_LIMIT))).is_err());
    }

    #[test]
    fn a_resource_id_is_one_segment() {
        for (id, encoded) in [
            ("42", "42"),
            ("a/b", "a%2Fb"),
            ("a..b/c.", "a..b%2Fc."),
            ("100%", "100%25"),
            ("a b?c#d%", "a%20b%3Fc%23d%25"),
            ("Zoë", "Zo%C3%AB"),
        ] {
            assert_eq!(segment(id).as_deref(), Ok(encoded));
        }
        let long = "a".repeat(ID_LIMIT + 1);
        for id in [
            ".",
            "..",
            "../x",
            "a/../../x",
            "..\\x",
            "..;a/x",
            "%2e%2e",
            "..%2fx",
            "%252e%252e/x",
            "a\nb",
            "a\0",
            &long,
        ] {
            let refused = segment(id).expect_err(id);
            assert_eq!(refused.reason, "INVALID_RESOURCE_ID");
        }
    }

    #[test]
    fn only_allowed_headers_are_taken() {
        let allowed = [
            HeaderName::from_static("x-tenant"),
            // Not even the operator can open these to callers.
            HeaderName::from_static("host"),
        ];
        let key = HeaderName::from_static("idempotency-key");
        let check = |name, value| header(name, value, &allowed, Some(&key));
        assert!(check("x-tenant", "a b\tc").is_ok());
        assert!(check("X-Tenant", "").is_ok());
        for (name, value, reason) in [
            ("x-other", "1", "HEADER_NOT_ALLOWED"),
            ("host", "evil", "HEADER_NOT_ALLOWED"),
            ("Content-Length", "1", "HEADER_NOT_ALLOWED"),
            ("transfer-encoding", "chunked", "HEADER_NOT_ALLOWED"),
            ("TE", "trailers", "HEADER_NOT_ALLOWED"),
            ("proxy-authorization", "x", "HEADER_NOT_ALLOWED"),
            ("grpc-timeout", "1S", "HEADER_NOT_ALLOWED"),
            ("Idempotency-Key", "x", "HEADER_NOT_ALLOWED"),
            ("x-tenant", "a\r\nhost: evil", "INVALID_HEADER"),
            ("x-tenant", "a\0", "INVALID_HEADER"),
            ("x-tenant", "é", "INVALID_HEADER"),
            ("x tenant", "1", "INVALID_HEADER"),
            ("x-tenant\r\n", "1", "INVALID_HEADER"),
            ("", "1", "INVALID_HEADER"),
        ] {
            let refused = check(name, value).expect_err(name);
            assert_eq!(refused.reason, reason, "{name}: {value}");
            assert!(refused.violations[0].field.starts_with("http.headers["));
        }
        assert!(check("x-tenant", &"a".repeat(VALUE_LIMIT + 1)).is_err());
    }
}
