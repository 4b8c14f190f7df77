//! The configuration: files, environment and command line become settings.
//!
//! ```text
//! option of the command line > variable of the environment > file > default
//! ```
//!
//! All keys, what they take, do and are by default stand in one table ([`keys`]); help, `docs/configuration.md` and what
//! the API shows are made of it. Files are in the syntax of `rabbitmq.conf`, or in TOML with the same keys. What can't be
//! is an error that says where it stands; nothing is guessed.

mod conf_file;
mod draft;
mod entry;
mod ignored;
mod key;
mod keys;
pub mod log;
pub mod page;
mod places;
#[cfg(test)]
mod tests;
mod toml_file;
mod value;

use std::{
    env, error, fmt, io,
    path::{Path, PathBuf},
};

use crate::server::{EffectiveSetting, HIDDEN, Settings};
use draft::Draft;
pub use entry::Source;
use entry::{FileError, Given};
use key::Action;
pub use key::Key;
use log::LogSettings;

/// Names that are less alike than this are not taken for each other.
const LIKENESS_MIN: f64 = 0.8;

/// What is in force.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// For the server.
    pub settings: Settings,
    /// For the log.
    pub log: LogSettings,
    /// Files that were read.
    pub files: Vec<PathBuf>,
    /// What was said and does nothing, a line each.
    pub notes: Vec<String>,
}

/// Why there is no configuration. Displayed with where to look.
#[derive(Debug)]
pub enum ConfigError {
    /// A file that can't be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// The system's word.
        error: io::Error,
    },
    /// A line that is none.
    Malformed {
        /// In which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is no such key.
    UnknownKey {
        /// Where it stands.
        source: Source,
        /// The key.
        key: String,
        /// The most similar one there is.
        nearest: Option<&'static str>,
    },
    /// A key can't have this value.
    Value {
        /// Where it stands.
        source: Source,
        /// The key.
        key: String,
        /// What it can have.
        reason: String,
    },
    /// Something is missing.
    Incomplete(String),
}

/// Every key: first those that do something.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    [keys::NODE, keys::LIMITS, keys::ACCESS, keys::LOG, ignored::IGNORED].into_iter().flatten()
}

/// Keys that the environment and the command line have, too.
pub fn exact_keys() -> impl Iterator<Item = &'static Key> {
    keys().filter(|key| key.is_exact() && key.is_honoured())
}

impl Configuration {
    /// Reads files, environment and the options of the command line, which are keys' options with their values. `file`
    /// is the file that the command line names; otherwise the environment, or the usual places, do.
    pub fn read(file: Option<PathBuf>, options: Vec<(String, String)>) -> Result<Self, ConfigError> {
        let variable = |name: &str| env::var(name).ok();
        let files = places::files(file, &variable)?;
        let mut given = Vec::new();
        for path in &files {
            given.extend(read_file(path, &variable)?);
        }
        given.extend(from_environment(&variable));
        given.extend(options.into_iter().map(|(key, value)| {
            let option = exact_keys().find(|exact| exact.name == key).map(Key::option_name);
            Given { source: Source::Flag(option.unwrap_or_else(|| key.clone())), key, value }
        }));
        Self::resolve(given, files)
    }

    /// What is in force when all of this is said, what wins last.
    fn resolve(given: Vec<Given>, files: Vec<PathBuf>) -> Result<Self, ConfigError> {
        let mut notes = Vec::new();
        let mut chosen: Vec<(&Key, Vec<String>, Given)> = Vec::new();
        for mut given in given {
            let (key, words) = find(&given.key).ok_or_else(|| unknown(&given))?;
            if !key.is_honoured() {
                notes.push(format!("{}: {} does nothing here: {}", given.source, given.key, key.about));
                continue;
            }
            if key.is_exact() {
                key.name.clone_into(&mut given.key);
            }
            chosen.retain(|(other, _, earlier)| {
                let is_family = !key.family.is_empty() && other.family == key.family;
                earlier.key != given.key && !(is_family && earlier.source.layer() < given.source.layer())
            });
            chosen.push((key, words, given));
        }
        let mut draft = Draft::default();
        for (key, words, given) in &chosen {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let Action::Set(set) = key.action else { continue };
            set(&mut draft, &given.value, &words).map_err(|reason| ConfigError::Value {
                source: given.source.clone(),
                key: given.key.clone(),
                reason,
            })?;
        }
        let (settings, log) = draft.finish(effective(&chosen)).map_err(ConfigError::Incomplete)?;
        Ok(Self { settings, log, files, notes })
    }
}

fn read_file(path: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Given>, ConfigError> {
    let text = places::read(path)?;
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    let entries = if is_toml { toml_file::parse(&text) } else { conf_file::parse(&text, variable) };
    let entries = entries.map_err(|FileError { line, reason }| ConfigError::Malformed {
        path: path.to_owned(),
        line,
        reason,
    })?;
    let given = entries.into_iter().map(|entry| Given {
        key: entry.key,
        value: entry.value,
        source: Source::File { path: path.to_owned(), line: entry.line },
    });
    Ok(given.collect())
}

/// Variables of ours come after RabbitMQ's: they win.
fn from_environment(variable: &dyn Fn(&str) -> Option<String>) -> Vec<Given> {
    let of_key = |key: &'static Key| {
        let names = key.variables.iter().map(|name| (*name).to_owned()).chain([key.variable_name()]);
        names.filter_map(move |name| {
            let value = variable(&name).filter(|value| !value.is_empty())?;
            Some(Given { key: key.name.to_owned(), value, source: Source::Environment(name) })
        })
    };
    exact_keys().flat_map(of_key).collect()
}

/// The key of this name, and what stands for its free parts. An exact name comes before one with free parts.
fn find(name: &str) -> Option<(&'static Key, Vec<String>)> {
    let found = |key: &'static Key| {
        let words = key.matches(name)?.into_iter().map(str::to_owned).collect();
        Some((key, words))
    };
    keys().filter(|key| key.is_exact()).chain(keys().filter(|key| !key.is_exact())).find_map(found)
}

fn unknown(given: &Given) -> ConfigError {
    let likeness = |name: &str| strsim::jaro_winkler(name, &given.key);
    let names = keys().flat_map(|key| key.aliases.iter().copied().chain([key.name]));
    let nearest = names
        .map(|name| (likeness(name), name))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    ConfigError::UnknownKey {
        source: given.source.clone(),
        key: given.key.clone(),
        nearest: nearest.map(|(_, name)| name),
    }
}

/// What was chosen, and the defaults of everything else.
fn effective(chosen: &[(&Key, Vec<String>, Given)]) -> Vec<EffectiveSetting> {
    let shown = |key: &Key, value: &str| if key.is_secret { HIDDEN.to_owned() } else { value.to_owned() };
    let mut all: Vec<EffectiveSetting> = chosen
        .iter()
        .map(|(key, _, given)| EffectiveSetting {
            key: given.key.clone(),
            value: shown(key, &given.value),
            source: given.source.to_string(),
        })
        .collect();
    let is_said = |key: &Key| {
        let is_family = |other: &Key| !key.family.is_empty() && other.family == key.family;
        chosen.iter().any(|(other, ..)| other.name == key.name || is_family(other))
    };
    let defaults = exact_keys().filter(|key| !key.default.is_empty() && !is_said(key));
    all.extend(defaults.map(|key| EffectiveSetting {
        key: key.name.to_owned(),
        value: shown(key, key.default),
        source: Source::Default.to_string(),
    }));
    all.sort_by(|one, other| one.key.cmp(&other.key));
    all
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, error } => {
                write!(f, "cannot read the configuration {}: {error}", path.display())
            }
            Self::Malformed { path, line, reason } => write!(f, "{}:{line}: {reason}", path.display()),
            Self::UnknownKey { source, key, nearest: Some(nearest) } => {
                write!(f, "{source}: there is no key '{key}'; did you mean '{nearest}'?")
            }
            Self::UnknownKey { source, key, nearest: None } => write!(f, "{source}: there is no key '{key}'"),
            Self::Value { source, key, reason } => write!(f, "{source}: {key}: {reason}"),
            Self::Incomplete(reason) => f.write_str(reason),
        }
    }
}

impl error::Error for ConfigError {}
