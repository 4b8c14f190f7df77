//! Where the log goes.

use std::path::PathBuf;

use tracing_subscriber::filter::LevelFilter;

use crate::server::journal::{Level, LevelError};

/// The log's places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Standard error.
    pub console: Option<LogPlace>,
    /// A file.
    pub file: Option<(PathBuf, LogPlace)>,
}

/// What goes to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// Nothing below this.
    pub level: LevelFilter,
    /// A JSON object a line.
    pub is_json: bool,
}

/// What was said of the log so far.
#[derive(Clone, Debug, Default)]
pub(super) struct LogDraft {
    pub(super) has_no_console: bool,
    pub(super) default_level: Option<LevelFilter>,
    pub(super) console: PlaceDraft,
    pub(super) directory: Option<PathBuf>,
    /// In the directory, if there is one.
    pub(super) file: FileDraft,
    pub(super) file_place: PlaceDraft,
}

/// What was said of the file so far.
#[derive(Clone, Debug, Default)]
pub(super) enum FileDraft {
    /// Nothing: there is one if there is a directory for it.
    #[default]
    Usual,
    None,
    At(PathBuf),
}

/// What was said of a place so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PlaceDraft {
    pub(super) level: Option<LevelFilter>,
    pub(super) is_json: bool,
}

impl LogDraft {
    pub(super) fn finish(self, node_name: &str) -> LogSettings {
        let place = |place: PlaceDraft| LogPlace {
            level: place.level.or(self.default_level).unwrap_or(LevelFilter::INFO),
            is_json: place.is_json,
        };
        // As RabbitMQ calls its file.
        let usual = || self.directory.is_some().then(|| PathBuf::from(format!("{node_name}.log")));
        let file = match self.file.clone() {
            FileDraft::Usual => usual(),
            FileDraft::None => None,
            FileDraft::At(file) => Some(file),
        };
        let directory = self.directory.clone().unwrap_or_default();
        LogSettings {
            console: (!self.has_no_console).then(|| place(self.console)),
            file: file.map(|file| (directory.join(file), place(self.file_place))),
        }
    }
}

/// As the API takes levels, too.
pub(super) fn level(text: &str) -> Result<LevelFilter, String> {
    text.to_ascii_lowercase().parse().map(|Level(level)| level).map_err(|error: LevelError| error.to_string())
}
