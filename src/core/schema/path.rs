//! Paths into JSON, as people and programs read them: `payload.tags[3]`,
//! `payload["first name"]`.

use serde_json::Value;

/// Characters of a name in a path; of longer ones the beginning is shown.
const NAME: usize = 64;

/// Characters of a path; of longer ones the end is shown.
const PATH: usize = 200;

/// One step down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// The path of those steps from `root`.
pub(super) fn path_of(root: &str, steps: &[Step<'_>]) -> String {
    let mut shown: Vec<String> = Vec::with_capacity(steps.len());
    for step in steps {
        shown.push(match step {
            Step::Index(index) => format!("[{index}]"),
            Step::Key(key) if is_plain(key) => format!(".{}", cut(key, NAME)),
            Step::Key(key) => format!("[{}]", Value::from(clean(&cut(key, NAME)))),
        });
    }
    let mut left = PATH.saturating_sub(root.len());
    let kept = shown.iter().rev().take_while(|step| {
        let length = step.chars().count();
        let fits = length <= left;
        left = left.saturating_sub(length);
        fits
    });
    let first = shown.len() - kept.count();
    let gap = if first > 0 { "[...]" } else { "" };
    format!("{root}{gap}{}", shown[first..].concat())
}

/// The path that a JSON pointer leads to in a value, and what is there: only
/// the value tells an index from a name.
pub(super) fn follow<'p>(value: &'p Value, pointer: &'p str) -> Vec<(String, Option<usize>)> {
    let mut here = Some(value);
    let mut steps = Vec::new();
    for segment in pointer.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        let index = match here {
            Some(Value::Array(_)) => name.parse::<usize>().ok(),
            _ => None,
        };
        here = match (here, index) {
            (Some(Value::Array(list)), Some(index)) => list.get(index),
            (Some(Value::Object(object)), _) => object.get(&name),
            _ => None,
        };
        steps.push((name, index));
    }
    steps
}

/// The path of a pointer into a value, and one name further where one is given.
pub(super) fn path(root: &str, value: &Value, pointer: &str, further: Option<&str>) -> String {
    let followed = follow(value, pointer);
    let steps = followed.iter().map(|(name, index)| match index {
        Some(index) => Step::Index(*index),
        None => Step::Key(name),
    });
    let steps: Vec<Step<'_>> = steps.chain(further.map(Step::Key)).collect();
    path_of(root, &steps)
}

/// Whether a name can stand after a dot.
fn is_plain(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'$' | b'@');
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(inner)
}

/// The first `most` characters, with a sign that there were more.
pub(super) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Without what moves a terminal's cursor or turns the direction of writing.
pub(super) fn clean(text: &str) -> String {
    let is_mark = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let shown = |c| if is_mark(c) { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_are_written_so_that_a_person_finds_the_place() {
        let value = json!({
            "email": 1, "tags": [0, 1, 2, {"x": 1}], "first name": 1, "0": {"1": 2}, "": 1,
            "a/b~c": 1, "é": 1, "q\"": 1, "n\n\u{202e}": 1, "$id": 1, "a.b": 1
        });
        let table = [
            ("", None, "payload"),
            ("/email", None, "payload.email"),
            ("", Some("email"), "payload.email"),
            ("/tags/3", None, "payload.tags[3]"),
            ("/tags/3/x", None, "payload.tags[3].x"),
            (
                "/tags/3",
                Some("last name"),
                "payload.tags[3][\"last name\"]",
            ),
            ("/first name", None, "payload[\"first name\"]"),
            ("/0/1", None, "payload[\"0\"][\"1\"]"),
            ("/", None, "payload[\"\"]"),
            ("/a~1b~0c", None, "payload[\"a/b~c\"]"),
            ("/é", None, "payload[\"é\"]"),
            ("/q\"", None, "payload[\"q\\\"\"]"),
            ("/n\n\u{202e}", None, "payload[\"n\u{fffd}\u{fffd}\"]"),
            ("/$id", None, "payload.$id"),
            ("/a.b", None, "payload[\"a.b\"]"),
        ];
        for (pointer, further, want) in table {
            assert_eq!(path("payload", &value, pointer, further), want, "{pointer}");
        }
    }

    #[test]
    fn a_long_path_keeps_its_end_and_a_long_name_its_beginning() {
        let steps = vec![Step::Key("abcdefghi"); 100];
        let long = path_of("payload", &steps);
        assert!(long.chars().count() <= PATH + 5, "{long}");
        assert!(long.starts_with("payload[...].abc") && long.ends_with(".abcdefghi"));
        let name = "n".repeat(5_000);
        assert_eq!(path_of("p", &[Step::Key(&name)]).chars().count(), NAME + 3);
    }
}
