//! Where a value stands in a configuration file.

use std::fmt;

/// A key path, e.g. `targets.guests.limits[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Step>);

/// One step of a key path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a table.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl KeyPath {
    /// The path of a table's or value's name at the top.
    pub(super) fn top(name: &str) -> KeyPath {
        KeyPath::default().key(name)
    }

    /// The path of a name in this table.
    pub(super) fn key(&self, name: &str) -> KeyPath {
        self.then(Step::Key(name.to_owned()))
    }

    /// The path of an element of this list, from 0.
    pub(super) fn index(&self, index: usize) -> KeyPath {
        self.then(Step::Index(index))
    }

    /// Its steps from the top.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether it is that table, or something in it.
    pub(super) fn is_within(&self, table: &KeyPath) -> bool {
        self.0.starts_with(&table.0)
    }

    fn then(&self, step: Step) -> KeyPath {
        let mut steps = self.0.clone();
        steps.push(step);
        KeyPath(steps)
    }
}

impl From<&serde_path_to_error::Path> for KeyPath {
    fn from(path: &serde_path_to_error::Path) -> KeyPath {
        use serde_path_to_error::Segment;
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { variant } => Some(Step::Key(variant.clone())),
            Segment::Unknown => None,
        };
        KeyPath(path.iter().map_while(step).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if place > 0 {
                        f.write_str(".")?;
                    }
                    if is_bare(key) {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether TOML takes a key without quotes.
fn is_bare(key: &str) -> bool {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !key.is_empty() && key.chars().all(bare)
}
