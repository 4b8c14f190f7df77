//! What can go wrong on disk, in the operator's words.

use std::{
    error, fmt, io,
    path::{Path, PathBuf},
};

use super::LogError;

/// Why the store or the data directory cannot do what was asked. Cloned to everybody who waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The operating system refused.
    Io {
        /// What was being done: `create`, `lock`, `sync` …
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The system's own kind, to tell a full disk from a broken one.
        kind: io::ErrorKind,
        /// The system's own words.
        reason: String,
    },
    /// Another process uses the data directory.
    Locked {
        /// The data directory.
        directory: PathBuf,
        /// The process that holds it, if it could be read.
        holder: Option<u32>,
    },
    /// The file was written by a newer version of this program.
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format version.
        found: u64,
        /// The newest format version known here.
        supported: u64,
    },
    /// The file as a whole cannot be read.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A definition that cannot be written down.
    Unstorable {
        /// Which definition.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An earlier sync or reopening failed: nothing more is stored until a restart.
    Failed {
        /// The first failure.
        cause: Box<StoreError>,
    },
    /// The message log, which the answer waited for.
    Log(LogError),
    /// The store was closed.
    Closed,
}

impl StoreError {
    pub(super) fn io(action: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), kind: error.kind(), reason: error.to_string() }
    }

    /// Whether the disk is full: the one failure that may pass by itself.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { kind: io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded, .. })
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, reason, .. } => {
                write!(f, "cannot {action} {}: {reason}", path.display())
            }
            Self::Locked { directory, holder: Some(pid) } => {
                write!(f, "data directory {} is in use by process {pid}", directory.display())
            }
            Self::Locked { directory, holder: None } => {
                write!(f, "data directory {} is in use by another process", directory.display())
            }
            Self::NewerFormat { path, found, supported } => write!(
                f,
                "{} has format version {found}, written by a newer version of this broker; this one knows \
                 format versions up to {supported}",
                path.display()
            ),
            Self::Damaged { path, reason } => write!(f, "{} is damaged: {reason}", path.display()),
            Self::Unstorable { what, reason } => write!(f, "cannot store {what}: {reason}"),
            Self::Failed { cause } => {
                write!(f, "definitions cannot be stored until the broker is restarted, because of: {cause}")
            }
            Self::Log(error) => error.fmt(f),
            Self::Closed => f.write_str("the definitions are closed: the broker is stopping"),
        }
    }
}

impl error::Error for StoreError {}
