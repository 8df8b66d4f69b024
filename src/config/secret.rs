//! Values that may be secret: where they are said to be, and fetching them
//! from there. Nothing here ever shows one.

use std::fmt;
use std::path::{Path, PathBuf};

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

/// Looks a variable of the environment up.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where a secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration itself.
    Configuration,
    /// In the environment variable of this name.
    Env(String),
    /// In this file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Configuration => f.write_str("the configuration"),
            Origin::Env(name) => write!(f, "the environment variable {name}"),
            Origin::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// A value as the file gives it: itself, or where it is.
#[derive(Debug)]
pub(super) enum SecretSource {
    /// Itself.
    Plain(SecretString),
    /// Where it is.
    Elsewhere(Elsewhere),
}

/// Where a value is; exactly one of `env` and `file`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Elsewhere {
    pub(super) env: Option<String>,
    pub(super) file: Option<String>,
    pub(super) prefix: Option<String>,
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = SecretSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a table")
            }

            fn visit_str<E>(self, text: &str) -> Result<SecretSource, E> {
                Ok(SecretSource::Plain(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SecretSource, A::Error> {
                Elsewhere::deserialize(MapAccessDeserializer::new(map)).map(SecretSource::Elsewhere)
            }
        }
        deserializer.deserialize_any(TextOrTable)
    }
}

impl SecretSource {
    /// Fetches the value of a header. The error never has the value.
    pub(super) fn fetch(
        self,
        base_dir: &Path,
        env: Env<'_>,
    ) -> Result<(SecretString, Origin), String> {
        let (value, origin) = self.read(base_dir, env)?;
        if HeaderValue::from_str(value.expose_secret()).is_err() {
            return Err(format!(
                "the value from {origin} has a character that a header cannot carry: a line \
                 break, or a letter outside ASCII"
            ));
        }
        Ok((value, origin))
    }

    /// Fetches a value that no header has to carry. The error never has it.
    pub(super) fn read(
        self,
        base_dir: &Path,
        env: Env<'_>,
    ) -> Result<(SecretString, Origin), String> {
        match self {
            SecretSource::Plain(value) => Ok((value, Origin::Configuration)),
            SecretSource::Elsewhere(elsewhere) => elsewhere.fetch(base_dir, env),
        }
    }
}

impl Elsewhere {
    fn fetch(self, base_dir: &Path, env: Env<'_>) -> Result<(SecretString, Origin), String> {
        let (text, origin) = match (self.env, self.file) {
            // Not quoted: it may be the secret itself, in the wrong place.
            (Some(name), None) if !is_name(&name) => {
                return Err(
                    "`env` is the name of an environment variable, e.g. `API_KEY`, not the \
                     secret itself"
                        .to_owned(),
                );
            }
            (Some(name), None) => {
                let text = env(&name).ok_or_else(|| {
                    format!("the environment variable {name} is not set; set it to the secret")
                })?;
                (text, Origin::Env(name))
            }
            (None, Some(file)) => {
                let path = base_dir.join(file);
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
                let text = text.trim_end_matches(['\r', '\n']).to_owned();
                (text, Origin::File(path))
            }
            (Some(_), Some(_)) => return Err("keep one of `env` and `file`".to_owned()),
            (None, None) => {
                return Err(
                    "write where the value is: `{ env = \"NAME\" }` or `{ file = \"path\" }`"
                        .to_owned(),
                );
            }
        };
        if text.is_empty() {
            return Err(format!("{origin} is empty; put the secret there"));
        }
        let value = self.prefix.unwrap_or_default() + &text;
        Ok((value.into(), origin))
    }
}

/// Whether it can be the name of an environment variable.
fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
