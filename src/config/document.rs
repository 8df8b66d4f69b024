//! TOML text into the structs of [`file`](super::file), finding every key that
//! does not belong and every value of the wrong type, not only the first.

use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use super::error::{ConfigError, Problem};
use super::file::File;
use super::key::{KeyPath, Step};
use super::reference::{KINDS, expected_at, kinds_of};
use super::text::{backticked, nearest};

/// A key and what is wrong with it.
pub(super) type Fault = (KeyPath, String);

/// A file that is TOML.
pub(super) struct Document<'t> {
    text: &'t str,
    tree: Spanned<DeTable<'t>>,
}

impl<'t> Document<'t> {
    /// Reads TOML; the error has every place where it is not.
    pub(super) fn parse(text: &'t str) -> Result<Document<'t>, ConfigError> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Document { text, tree });
        }
        // The parser's own rendering quotes the line, and a secret with it.
        let problem = |error: &toml::de::Error| Problem {
            line: error.span().map(|span| line_at(text, span.start)),
            key: String::new(),
            message: match error.message() {
                "duplicate key" => "this name is given twice; keep one of them".to_owned(),
                message => format!("this is not TOML: {message}"),
            },
        };
        Err(ConfigError::new(errors.iter().map(problem).collect()))
    }

    /// What the file says, and what in it does not belong. A key at fault is
    /// reported and left out, so that the next one is found too.
    pub(super) fn file(&self) -> (File, Vec<Fault>) {
        let mut tree = self.tree.clone();
        let mut faults = Vec::new();
        loop {
            let error = match serde_path_to_error::deserialize(Deserializer::from(tree.clone())) {
                Ok(file) => return (file, faults),
                Err(error) => error,
            };
            let path = KeyPath::from(error.path());
            let message = plainly(&path, error.inner().message());
            let removed = remove(tree.get_mut(), path.steps());
            faults.push((path, message));
            if !removed {
                return (File::default(), faults);
            }
        }
    }

    /// The keys that do not belong to targets of the kind that they stand at.
    pub(super) fn misplaced(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let targets = self.tree.get_ref().get("targets");
        let targets = targets.and_then(|targets| targets.get_ref().as_table());
        for (name, target) in targets.into_iter().flatten() {
            let Some(target) = target.get_ref().as_table() else {
                continue;
            };
            let kind = target.get("kind").and_then(|kind| kind.get_ref().as_str());
            if let Some(kind) = kind.filter(|kind| KINDS.contains(kind)) {
                let at = KeyPath::top("targets").key(name.get_ref());
                misplaced_in(&at, target, kind, &mut faults);
            }
        }
        faults
    }

    /// The error that names these faults by line.
    pub(super) fn error(&self, faults: Vec<Fault>) -> ConfigError {
        let problem = |(key, message): Fault| Problem {
            line: self.line(&key),
            key: key.to_string(),
            message,
        };
        ConfigError::new(faults.into_iter().map(problem).collect())
    }

    /// The line of a key, or of the innermost table around it that is there.
    fn line(&self, path: &KeyPath) -> Option<usize> {
        let mut table = Some(self.tree.get_ref());
        let mut list: Option<&[Spanned<DeValue<'_>>]> = None;
        let mut line = None;
        for step in path.steps() {
            let (at, value) = match step {
                Step::Key(key) => {
                    let Some((key, value)) = table.and_then(|t| t.get_key_value(key.as_str()))
                    else {
                        break;
                    };
                    (key.span(), value)
                }
                Step::Index(index) => {
                    let Some(value) = list.and_then(|list| list.get(*index)) else {
                        break;
                    };
                    (value.span(), value)
                }
            };
            line = Some(line_at(self.text, at.start));
            table = value.get_ref().as_table();
            list = value.get_ref().as_array().map(|array| &array[..]);
        }
        line
    }
}

fn misplaced_in(at: &KeyPath, table: &DeTable<'_>, kind: &str, faults: &mut Vec<Fault>) {
    for (name, value) in table {
        let at = at.key(name.get_ref());
        match (kinds_of(&at), value.get_ref().as_table()) {
            (Some(kinds), _) if !kinds.contains(&kind) => {
                let kinds = kinds.join("`, `");
                let message =
                    format!("a target of the kind `{kind}` has no such key; `{kinds}` has");
                faults.push((at, message));
            }
            (_, Some(inner)) => misplaced_in(&at, inner, kind, faults),
            (_, None) => {}
        }
    }
}

/// The line, from 1, of a place in a text.
fn line_at(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}

/// Takes a key out, or the list that an element is in; `false` when it is not
/// there.
fn remove(table: &mut DeTable<'_>, path: &[Step]) -> bool {
    match path {
        [Step::Key(key)] | [Step::Key(key), Step::Index(_), ..] => {
            table.remove(key.as_str()).is_some()
        }
        [Step::Key(key), rest @ ..] => match table.get_mut(key.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => remove(inner, rest),
            _ => false,
        },
        _ => false,
    }
}

/// What serde says, in the words of the file, and without the value: that may
/// be a secret in the wrong place.
fn plainly(path: &KeyPath, message: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let mut names = backticked(rest);
        let unknown = names.next().unwrap_or_default();
        let allowed: Vec<&str> = names.collect();
        return match nearest(unknown, allowed.iter().copied()) {
            Some(near) => format!("there is no such key; did you mean `{near}`?"),
            None => format!("there is no such key; there are `{}`", allowed.join("`, `")),
        };
    }
    let expected = expected_at(path);
    let found = message
        .strip_prefix("invalid type: ")
        .and_then(|rest| rest.split([',', '`', '"']).next())
        .map(|found| match found.trim() {
            "map" => "a table",
            "sequence" => "a list",
            "string" => "a text",
            "boolean" => "`true` or `false`",
            _ => "a number",
        });
    match found {
        Some(found) => format!("this is {found}; write {expected}"),
        None => format!("this does not fit; write {expected}"),
    }
}
