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
mod error;
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
    env,
    net::IpAddr,
    path::{Path, PathBuf},
};

use crate::server::{EffectiveSetting, HIDDEN, Settings, watermark::DiskFreeLimit};
use draft::Draft;
pub use entry::Source;
use entry::{FileError, Given};
pub use error::ConfigError;
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
    /// is the file that the command line names; otherwise the environment, or the usual places, do. Gives all mistakes
    /// that there are.
    pub fn read(file: Option<PathBuf>, options: Vec<(String, String)>) -> Result<Self, Vec<ConfigError>> {
        let variable = |name: &str| env::var(name).ok();
        let all =
            env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
        let (unread, mut mistakes) = environment::unread(&all.collect::<Vec<_>>());
        let files = places::files(file, &variable).unwrap_or_else(|error| {
            mistakes.push(error);
            Vec::new()
        });
        let mut given = Vec::new();
        for path in &files {
            given.extend(read_file(path, &variable, &mut mistakes));
        }
        given.extend(environment::given(&variable));
        given.extend(options.into_iter().map(|(key, value)| {
            let option = exact_keys().find(|exact| exact.name == key).map(Key::option_name);
            Given { source: Source::Flag(option.unwrap_or_else(|| key.clone())), key, value }
        }));
        let said = Said::read(given, &mut mistakes);
        mistakes.extend(said.missing_definitions());
        let mut configuration = said.finish(files, mistakes)?;
        configuration.notes.extend(unread);
        Ok(configuration)
    }
}

/// All that is said, before it is known whether it can be as a whole.
struct Said {
    draft: Draft,
    chosen: Vec<Chosen>,
    notes: Vec<String>,
}

impl Said {
    /// What wins of all that is given, what wins last.
    fn read(given: Vec<Given>, mistakes: &mut Vec<ConfigError>) -> Self {
        let (mut chosen, mut notes) = choose(given, mistakes);
        notes.extend(drop_unneeded_sizes(&mut chosen));
        let mut draft = Draft::default();
        for Chosen { key, words, given } in &mut chosen {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let Action::Set(set) = key.action else { continue };
            if let Err(reason) = set(&mut draft, &given.value, &words) {
                mistakes.push(refused(given, reason));
            }
            if let Some((number, note)) = draft.clamped.take() {
                notes.push(format!("{}: {}: {note}", given.source, given.key));
                given.value = number.to_string();
            }
        }
        Self { draft, chosen, notes }
    }

    /// What is to be read at the start has to be there.
    fn missing_definitions(&self) -> Vec<ConfigError> {
        let missing = |path: &PathBuf| {
            let error = path.metadata().err()?;
            let reason = format!("cannot read {}: {error}", path.display());
            let is_of_path = |chosen: &&Chosen| Path::new(&chosen.given.value) == path;
            let found = self.chosen.iter().find(is_of_path);
            Some(
                found
                    .map_or(ConfigError::Incomplete(reason.clone()), |chosen| refused(&chosen.given, reason)),
            )
        };
        self.draft.definitions.iter().filter_map(missing).collect()
    }

    fn finish(
        self,
        files: Vec<PathBuf>,
        mistakes: Vec<ConfigError>,
    ) -> Result<Configuration, Vec<ConfigError>> {
        // What is in the place of a mistake would only look like another one.
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let finished = self.draft.finish();
        let (mut settings, log) = finished.map_err(|reason| vec![ConfigError::Incomplete(reason)])?;
        settings.effective = effective(&self.chosen, &settings, &log);
        Ok(Configuration { settings, log, files, notes: self.notes })
    }
}

/// A value that is in force, with its key and what stands for the free parts of the key's name.
struct Chosen {
    key: &'static Key,
    words: Vec<String>,
    given: Given,
}

/// What wins, and a note for what does nothing.
fn choose(given: Vec<Given>, mistakes: &mut Vec<ConfigError>) -> (Vec<Chosen>, Vec<String>) {
    let (mut chosen, mut notes): (Vec<Chosen>, _) = (Vec::new(), Vec::new());
    for mut given in in_parts(given, mistakes) {
        let Some((key, words)) = find(&given.key) else {
            mistakes.push(unknown(&given));
            continue;
        };
        if !key.is_honoured() {
            notes.push(format!("{}: {} does nothing here: {}", given.source, given.key, key.about));
            continue;
        }
        if key.is_exact() {
            key.name.clone_into(&mut given.key);
        }
        mistakes.extend(keep_address(key, &mut given, &chosen).err());
        chosen.retain(|Chosen { key: other, given: earlier, .. }| {
            let is_family = !key.family.is_empty() && other.family == key.family;
            earlier.key != given.key && !(is_family && earlier.source.layer() < given.source.layer())
        });
        chosen.push(Chosen { key, words, given });
    }
    (chosen, notes)
}

/// Keys that stand for others become those.
fn in_parts(given: Vec<Given>, mistakes: &mut Vec<ConfigError>) -> Vec<Given> {
    let mut all = Vec::new();
    for given in given {
        let Some(Action::Parts(parts)) = find(&given.key).map(|(key, _)| key.action) else {
            all.push(given);
            continue;
        };
        let parts = parts(&given.value).map_err(|reason| mistakes.push(refused(&given, reason)));
        let part =
            |(key, value): (&str, String)| Given { key: key.to_owned(), value, source: given.source.clone() };
        all.extend(parts.into_iter().flatten().map(part));
    }
    all
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

fn refused(given: &Given, reason: String) -> ConfigError {
    ConfigError::Value { source: given.source.clone(), key: given.key.clone(), reason }
}

fn read_file(
    path: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    mistakes: &mut Vec<ConfigError>,
) -> Vec<Given> {
    let text = match places::read(path) {
        Ok(text) => text,
        Err(error) => {
            mistakes.push(error);
            return Vec::new();
        }
    };
    let is_toml = path.extension().is_some_and(|extension| extension == "toml");
    let (entries, errors) = match is_toml {
        true => toml_file::parse(&text).map_or_else(|error| (Vec::new(), vec![error]), |read| (read, vec![])),
        false => conf_file::parse(&text, variable),
    };
    mistakes.extend(errors.into_iter().map(|FileError { line, reason }| ConfigError::Malformed {
        path: path.to_owned(),
        line,
        reason,
    }));
    let given = entries.into_iter().map(|entry| Given {
        key: entry.key,
        value: entry.value,
        source: Source::File { path: path.to_owned(), line: entry.line },
    });
    given.collect()
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
