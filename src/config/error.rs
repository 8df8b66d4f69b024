//! What is wrong with a configuration, and what would be right.

use std::fmt;
use std::path::Path;

/// All that was found wrong with a configuration. Shown as one line for each
/// problem: `file:line: key: message`. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<String>,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; that of the table where the key itself is missing,
    /// and `None` where there is no such place.
    pub line: Option<usize>,
    /// The path of the key, e.g. `targets.guests.limits[0]`; empty where it is
    /// not about a key.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl ConfigError {
    /// From at least one problem.
    pub(super) fn new(mut problems: Vec<Problem>) -> ConfigError {
        problems.sort_by_key(|problem| problem.line);
        ConfigError {
            file: None,
            problems,
        }
    }

    /// The file could not be read.
    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
        let problem = Problem {
            line: None,
            key: String::new(),
            message: format!("cannot be read: {error}"),
        };
        ConfigError::new(vec![problem]).in_file(path)
    }

    /// Says which file it was.
    #[must_use]
    pub(super) fn in_file(mut self, path: &Path) -> ConfigError {
        self.file = Some(path.display().to_string());
        self
    }

    /// What is wrong, in the order of the file; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("configuration");
        for (place, problem) in self.problems.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            f.write_str(file)?;
            if let Some(line) = problem.line {
                write!(f, ":{line}")?;
            }
            if !problem.key.is_empty() {
                write!(f, ": {}", problem.key)?;
            }
            write!(f, ": {}", problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
