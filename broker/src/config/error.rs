//! Why there is no configuration.

use std::{error, fmt, io, path::PathBuf};

use super::entry::Source;

/// A mistake. Displayed with where to look.
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
    /// There is no such variable of ours.
    UnknownVariable {
        /// As it stands in the environment.
        name: String,
        /// The most similar one there is.
        nearest: String,
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
            Self::UnknownVariable { name, nearest } => {
                write!(f, "there is no variable {name}; did you mean {nearest}?")
            }
            Self::Value { source, key, reason } => write!(f, "{source}: {key}: {reason}"),
            Self::Incomplete(reason) => f.write_str(reason),
        }
    }
}

impl error::Error for ConfigError {}
