//! What can be told of JSON text without reading it into anything.

/// How deep JSON text is nested. Exact for valid JSON; no deeper than it looks
/// for anything else.
pub fn nesting(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_counts_brackets_outside_of_strings() {
        let table = [
            ("1", 0),
            ("{}", 1),
            ("[[],[[]]]", 3),
            (r#"{"a":"[[[["}"#, 1),
            (r#"{"a\"":["]"]}"#, 2),
            (r#"["\\",[]]"#, 2),
        ];
        for (json, depth) in table {
            assert_eq!(nesting(json.as_bytes()), depth, "{json}");
        }
    }
}
