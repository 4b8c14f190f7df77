//! Why the message log cannot do what was asked, in the operator's words.

use std::{error, fmt, io, sync::Arc};

use crate::storage::disk::is_passing;

/// What can go wrong with the log. Cloned to everybody who waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogError {
    /// The operating system refused.
    Io {
        /// What was being done: `write`, `sync` ...
        action: &'static str,
        /// To which file of the log's directory.
        file: String,
        /// It may pass by itself, as a full disk does and a broken one does not.
        is_passing: bool,
        /// The system's own words.
        reason: String,
    },
    /// A sync failed: what was written since the last one may be lost, and trying again would hide that.
    SyncFailed {
        /// Which file of the log's directory, or the directory.
        file: String,
        /// The system's own words.
        reason: String,
    },
    /// The file was written by a newer version of this program.
    NewerFormat {
        /// The file.
        file: String,
        /// Its format version.
        found: u32,
        /// The newest format version known here.
        supported: u32,
    },
    /// An earlier failure, after which nothing is stored any more until a restart.
    Failed {
        /// The first failure.
        cause: Arc<LogError>,
    },
    /// More than a record can hold.
    TooLarge {
        /// Its size, bytes.
        size_bytes: u64,
    },
    /// The log was closed.
    Closed,
}

impl LogError {
    pub(super) fn io(action: &'static str, file: &str, error: &io::Error) -> Self {
        Self::Io { action, file: file.to_owned(), is_passing: is_passing(error), reason: error.to_string() }
    }

    pub(super) fn sync(file: &str, error: &io::Error) -> Self {
        Self::SyncFailed { file: file.to_owned(), reason: error.to_string() }
    }

    /// Whether it may pass by itself: the disk is full, or the process has too many files open.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Io { is_passing: true, .. })
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, file, reason, .. } => {
                write!(f, "message log: cannot {action} {file}: {reason}")
            }
            Self::SyncFailed { file, reason } => write!(f, "message log: cannot sync {file}: {reason}"),
            Self::NewerFormat { file, found, supported } => write!(
                f,
                "message log: {file} has format version {found}, written by a newer version of this broker; this \
                 one knows format versions up to {supported}"
            ),
            Self::Failed { cause } => {
                write!(f, "messages cannot be stored until the broker is restarted, because of: {cause}")
            }
            Self::TooLarge { size_bytes } => {
                write!(f, "message log: a record of {size_bytes} bytes is too large")
            }
            Self::Closed => f.write_str("the message log is closed: the broker is stopping"),
        }
    }
}

impl error::Error for LogError {}
