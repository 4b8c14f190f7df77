//! Where files of the configuration are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::ConfigError;

/// Directories that are looked at when nobody names a file: the first that has something counts.
const USUAL: [(&str, &[&str]); 2] =
    [("/etc/liebre", &["liebre.toml", "liebre.conf"]), ("/etc/rabbitmq", &["rabbitmq.conf"])];
/// Beside the file: more of them, by name.
const MORE: &str = "conf.d";

/// The files to read, in this order. A file that somebody names has to be there. A variable of ours that is empty says
/// that there is none.
pub(super) fn files(
    named: Option<PathBuf>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<PathBuf>, ConfigError> {
    let ours = variable("LIEBRE_CONFIG_FILE");
    if named.is_none() && ours.as_deref() == Some("") {
        return Ok(Vec::new());
    }
    if let Some(path) = named.or_else(|| ours.map(PathBuf::from)) {
        return if path.is_dir() { all_in(&path) } else { Ok(vec![path]) };
    }
    let theirs = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let (file, more) = (theirs("RABBITMQ_CONFIG_FILE"), theirs("RABBITMQ_CONFIG_FILES"));
    if file.is_some() || more.is_some() {
        let mut files: Vec<PathBuf> = file.map(with_extension).into_iter().collect();
        if let Some(more) = more {
            // RabbitMQ takes a directory, or a pattern of files in one.
            let directory = if more.is_dir() { more } else { more.parent().unwrap_or(&more).to_owned() };
            files.extend(all_in(&directory)?);
        }
        return Ok(files);
    }
    USUAL
        .iter()
        .map(|(directory, names)| usual(Path::new(directory), names))
        .find(|found| !matches!(found, Ok(files) if files.is_empty()))
        .unwrap_or(Ok(Vec::new()))
}

/// The text of a file.
pub(super) fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })
}

fn usual(directory: &Path, names: &[&str]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files: Vec<PathBuf> =
        names.iter().map(|name| directory.join(name)).filter(|path| path.is_file()).collect();
    let more = directory.join(MORE);
    if more.is_dir() {
        files.extend(all_in(&more)?);
    }
    Ok(files)
}

/// The files of a directory, by name.
fn all_in(directory: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let listed = || -> io::Result<Vec<PathBuf>> {
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect()
    };
    let unreadable = |error| ConfigError::Unreadable { path: directory.to_owned(), error };
    let mut files = listed().map_err(unreadable)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf" || extension == "toml"));
    files.sort();
    Ok(files)
}

/// RabbitMQ lets one leave it out.
fn with_extension(path: PathBuf) -> PathBuf {
    if path.extension().is_some() || path.is_file() { path } else { path.with_extension("conf") }
}
