//! The configuration: files, environment and command line become settings.
//!
//! ```text
//! option of the command line > variable of the environment > file > default
//! ```
//!
//! All keys, what they take, do and are by default stand in one table ([`keys`]); help, `docs/configuration.md` and what
//! the API shows are made of it. Files are in the syntax of `rabbitmq.conf`, or in TOML with the same keys. What can't be
//! is an error that says where it stands; nothing is guessed.

mod address;
mod conf_file;
mod draft;
mod entry;
mod environment;
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
    collections::BTreeSet,
    env, error, fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use crate::server::{EffectiveSetting, HIDDEN, Settings, watermark::DiskFreeLimit};
use draft::Draft;
pub use entry::Source;
use entry::{FileError, Given};
use key::Action;
pub use key::Key;
use log::LogSettings;

/// The family of AMQP listeners.
const LISTENERS: &str = "listeners.tcp";
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
        let all =
            env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        let unread = environment::unread(&all.collect::<Vec<_>>())?;
        let files = places::files(file, &variable)?;
        let mut given = Vec::new();
        for path in &files {
            given.extend(read_file(path, &variable)?);
        }
        given.extend(environment::given(&variable));
        given.extend(options.into_iter().map(|(key, value)| {
            let option = exact_keys().find(|exact| exact.name == key).map(Key::option_name);
            Given { source: Source::Flag(option.unwrap_or_else(|| key.clone())), key, value }
        }));
        let mut configuration = Self::resolve(given, files)?;
        configuration.notes.extend(unread);
        check_paths(&configuration.settings)?;
        Ok(configuration)
    }

    /// What is in force when all of this is said, what wins last.
    fn resolve(given: Vec<Given>, files: Vec<PathBuf>) -> Result<Self, ConfigError> {
        let (mut chosen, mut notes) = choose(given)?;
        notes.extend(drop_unneeded_sizes(&mut chosen));
        let mut draft = Draft::default();
        for Chosen { key, words, given } in &chosen {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let Action::Set(set) = key.action else { continue };
            set(&mut draft, &given.value, &words).map_err(|reason| refused(given, reason))?;
            if let Some(note) = draft.note.take() {
                notes.push(format!("{}: {}: {note}", given.source, given.key));
            }
        }
        let (mut settings, log) = draft.finish().map_err(ConfigError::Incomplete)?;
        settings.effective = effective(&chosen, &settings, &log);
        Ok(Self { settings, log, files, notes })
    }
}

/// A value that is in force, with its key and what stands for the free parts of the key's name.
struct Chosen {
    key: &'static Key,
    words: Vec<String>,
    given: Given,
}

/// What wins, and a note for what does nothing.
fn choose(given: Vec<Given>) -> Result<(Vec<Chosen>, Vec<String>), ConfigError> {
    let (mut chosen, mut notes): (Vec<Chosen>, _) = (Vec::new(), Vec::new());
    for mut given in in_parts(given)? {
        let (key, words) = find(&given.key).ok_or_else(|| unknown(&given))?;
        if !key.is_honoured() {
            notes.push(format!("{}: {} does nothing here: {}", given.source, given.key, key.about));
            continue;
        }
        if key.is_exact() {
            key.name.clone_into(&mut given.key);
        }
        keep_address(key, &mut given, &chosen)?;
        chosen.retain(|Chosen { key: other, given: earlier, .. }| {
            let is_family = !key.family.is_empty() && other.family == key.family;
            earlier.key != given.key && !(is_family && earlier.source.layer() < given.source.layer())
        });
        chosen.push(Chosen { key, words, given });
    }
    Ok((chosen, notes))
}

/// Keys that stand for others become those.
fn in_parts(given: Vec<Given>) -> Result<Vec<Given>, ConfigError> {
    let mut all = Vec::new();
    for given in given {
        match find(&given.key).map(|(key, _)| key.action) {
            Some(Action::Parts(parts)) => {
                let parts = parts(&given.value).map_err(|reason| refused(&given, reason))?;
                let part = |(key, value): (&str, String)| Given {
                    key: key.to_owned(),
                    value,
                    source: given.source.clone(),
                };
                all.extend(parts.into_iter().map(part));
            }
            _ => all.push(given),
        }
    }
    Ok(all)
}

/// A listener of which only the port is said stays at the address that what it replaces has: those of earlier layers,
/// and what another variable said of the same listener.
fn keep_address(key: &Key, given: &mut Given, chosen: &[Chosen]) -> Result<(), ConfigError> {
    let is_port_alone = address::endpoint(&given.value).is_ok_and(|endpoint| endpoint.ip.is_none());
    if key.family != LISTENERS || !is_port_alone {
        return Ok(());
    }
    // In files a later line replaces an earlier one as a whole, as in RabbitMQ's.
    let is_of_file = matches!(given.source, Source::File { .. });
    let replaced = chosen.iter().filter(|Chosen { key, given: earlier, .. }| {
        key.family == LISTENERS
            && (earlier.source.layer() < given.source.layer() || !is_of_file && earlier.key == given.key)
    });
    let addresses: BTreeSet<IpAddr> =
        replaced.filter_map(|replaced| address::endpoint(&replaced.given.value).ok()?.ip).collect();
    let mut addresses = addresses.into_iter();
    match (addresses.next(), addresses.next()) {
        (Some(ip), None) => {
            let port = std::mem::take(&mut given.value);
            given.value = if ip.is_ipv6() { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
            Ok(())
        }
        (Some(one), Some(other)) => {
            let reason = format!("is this port at {one} or at {other}? Say ADDR:PORT");
            Err(refused(given, reason))
        }
        (None, _) => Ok(()),
    }
}

/// Where both a share and a size are said, the share counts, as in RabbitMQ; a note for each.
fn drop_unneeded_sizes(chosen: &mut Vec<Chosen>) -> Vec<String> {
    let mut notes = Vec::new();
    for limit in ["disk_free_limit", "vm_memory_high_watermark"] {
        let (share, size) = (format!("{limit}.relative"), format!("{limit}.absolute"));
        if chosen.iter().any(|chosen| chosen.given.key == share) {
            chosen.retain(|Chosen { given, .. }| {
                let is_size = given.key == size;
                if is_size {
                    notes.push(format!("{}: {size} does nothing here: {share} is there, too", given.source));
                }
                !is_size
            });
        }
    }
    notes
}

/// What is to be read at the start has to be there.
fn check_paths(settings: &Settings) -> Result<(), ConfigError> {
    let missing = |path: &&PathBuf| path.metadata().err().map(|error| ((*path).clone(), error));
    match settings.definitions.paths.iter().find_map(|path| missing(&path)) {
        Some((path, error)) => {
            let of_path = |setting: &&EffectiveSetting| setting.value == path.display().to_string();
            let found = settings.effective.iter().find(of_path);
            let place = found.map(|setting| format!("{}: {}: ", setting.source, setting.key));
            let place = place.unwrap_or_default();
            Err(ConfigError::Incomplete(format!("{place}cannot read {}: {error}", path.display())))
        }
        None => Ok(()),
    }
}

fn refused(given: &Given, reason: String) -> ConfigError {
    ConfigError::Value { source: given.source.clone(), key: given.key.clone(), reason }
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
fn effective(chosen: &[Chosen], settings: &Settings, log: &LogSettings) -> Vec<EffectiveSetting> {
    let shown = |key: &Key, value: &str| if key.is_secret { HIDDEN.to_owned() } else { value.to_owned() };
    let mut all: Vec<EffectiveSetting> = chosen
        .iter()
        .map(|Chosen { key, given, .. }| EffectiveSetting {
            key: given.key.clone(),
            value: shown(key, &given.value),
            source: given.source.to_string(),
        })
        .collect();
    let is_said = |key: &Key| {
        let is_family = |other: &Key| !key.family.is_empty() && other.family == key.family;
        chosen.iter().any(|chosen| chosen.key.name == key.name || is_family(chosen.key))
    };
    let defaults = exact_keys()
        .filter(|key| !key.default.is_empty() && !matches!(key.action, Action::Parts(_)) && !is_said(key));
    all.extend(defaults.map(|key| EffectiveSetting {
        key: key.name.to_owned(),
        value: found_out(key, settings, log).unwrap_or_else(|| shown(key, key.default)),
        source: Source::Default.to_string(),
    }));
    all.sort_by(|one, other| one.key.cmp(&other.key));
    all
}

/// Defaults that depend on the machine, as they are on this one.
fn found_out(key: &Key, settings: &Settings, log: &LogSettings) -> Option<String> {
    match (key.name, settings.limits.disk) {
        ("node_name", _) => Some(settings.node_name.clone()),
        ("cluster_name", _) => Some(settings.node_name.clone()),
        ("log.file", _) => log.file.as_ref().map(|(path, _)| path.display().to_string()),
        ("data_dir", _) => Some(settings.data_dir.display().to_string()),
        ("disk_free_limit.absolute", DiskFreeLimit::Absolute(bytes)) => Some(bytes.to_string()),
        _ => None,
    }
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
