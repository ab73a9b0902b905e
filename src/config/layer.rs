//! The layers that say something: file, environment, flags. The last one to name a setting wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::key::{FILE_VARIABLE, TEST_PREFIX};
use super::{Error, Key, Origin, VARIABLE_PREFIX};

/// A value as somebody wrote it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// Of a variable or a flag: text, whatever the setting is.
    Text(OsString),
    /// Of a file, with the directory that its relative paths count from.
    Toml(toml::Value, PathBuf),
}

/// What file, environment and flags say, before it is checked.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    values: BTreeMap<Key, (Raw, Origin)>,
    unknown_variables: Vec<String>,
}

impl Layers {
    /// Reads file and environment. `flag` is the file that a flag names; else the environment may name one, else the
    /// platform's is taken if it is there.
    pub fn read(flag: Option<&Path>, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, Error> {
        let variables: Vec<(OsString, OsString)> = variables.into_iter().collect();
        let named = flag.map(PathBuf::from).or_else(|| {
            let (_, value) = variables.iter().find(|(name, _)| name == FILE_VARIABLE)?;
            (!value.is_empty()).then(|| PathBuf::from(value))
        });
        let mut layers = Self::default();
        match named {
            Some(path) => layers.add_file(&path)?,
            None => {
                if let Some(path) = super::platform::default_file() {
                    layers.add_file(&path)?;
                }
            }
        }
        layers.add_variables(variables);
        Ok(layers)
    }

    /// Adds what a file says.
    pub fn add_file(&mut self, path: &Path) -> Result<(), Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        self.add_toml(&text, path)
    }

    /// Adds what the text of a file says.
    pub(super) fn add_toml(&mut self, text: &str, path: &Path) -> Result<(), Error> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| Error::Syntax {
            path: path.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        let directory = path.parent().unwrap_or(Path::new("")).to_owned();
        for (name, value) in table {
            let origin = Origin::File(path.to_owned());
            let Some(key) = Key::named(&name) else {
                return Err(Error::UnknownKey { name, origin });
            };
            self.values.insert(key, (Raw::Toml(value, directory.clone()), origin));
        }
        Ok(())
    }

    /// Adds what the environment says. An empty variable counts as absent.
    pub fn add_variables(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else {
                continue;
            };
            match Key::of_variable(name) {
                _ if name == FILE_VARIABLE || name.starts_with(TEST_PREFIX) || value.is_empty() => {}
                Some(key) => {
                    self.values
                        .insert(key, (Raw::Text(value), Origin::Environment(key.variable())));
                }
                None => self.unknown_variables.push(name.to_owned()),
            }
        }
    }

    /// Adds what a flag says.
    pub fn add_flag(&mut self, key: Key, value: impl Into<OsString>) {
        self.values
            .insert(key, (Raw::Text(value.into()), Origin::Flag(key.flag())));
    }

    /// Adds what `--set` says of a setting by its name.
    pub fn add_named(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let origin = Origin::Flag("--set");
        let Some(key) = Key::named(name) else {
            return Err(Error::UnknownKey {
                name: name.to_owned(),
                origin,
            });
        };
        self.values.insert(key, (Raw::Text(value.into()), origin));
        Ok(())
    }

    /// Returns variables that look like settings and are none.
    pub fn unknown_variables(&self) -> &[String] {
        &self.unknown_variables
    }

    pub(super) fn get(&self, key: Key) -> Option<&(Raw, Origin)> {
        self.values.get(&key)
    }
}
