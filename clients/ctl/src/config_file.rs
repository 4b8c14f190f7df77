//! The data directory that a configuration file of the broker names, so that the tools look where the broker is.
//!
//! Files are looked for in the broker's places, and only this one key is read. What can't be read is passed over: whether
//! a file is right is for the broker to say (`liebre --check-config`).

use std::fs;
use std::path::{Path, PathBuf};

/// The key.
const DATA_DIR: &str = "data_dir";
/// Where files are when no variable names one: the first directory that has one counts.
const USUAL: [(&str, &[&str]); 2] =
    [("/etc/liebre", &["liebre.toml", "liebre.conf"]), ("/etc/rabbitmq", &["rabbitmq.conf"])];
/// Beside them: more of them, by name.
const MORE: &str = "conf.d";

/// The data directory that the broker's files name; the last one counts.
pub fn data_dir(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let found = files(variable).into_iter().filter_map(|path| {
        let text = fs::read_to_string(&path).ok()?;
        if is_toml(&path) { in_toml(&text) } else { in_conf(&text, variable) }
    });
    found.last().map(PathBuf::from)
}

fn files(variable: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    if let Some(named) = variable("LIEBRE_CONFIG_FILE") {
        return if named.is_empty() { Vec::new() } else { file_or_all(PathBuf::from(named)) };
    }
    let theirs = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let (file, more) = (theirs("RABBITMQ_CONFIG_FILE"), theirs("RABBITMQ_CONFIG_FILES"));
    if file.is_some() || more.is_some() {
        let with_extension = |file: PathBuf| if file.is_file() { file } else { file.with_extension("conf") };
        return file.map(with_extension).into_iter().chain(more.into_iter().flat_map(file_or_all)).collect();
    }
    let usual = |(directory, names): (&str, &[&str])| {
        let directory = Path::new(directory);
        let mut files: Vec<PathBuf> = names.iter().map(|name| directory.join(name)).collect();
        files.retain(|file| file.is_file());
        files.extend(all_in(&directory.join(MORE)));
        files
    };
    USUAL.into_iter().map(usual).find(|files| !files.is_empty()).unwrap_or_default()
}

fn file_or_all(path: PathBuf) -> Vec<PathBuf> {
    if path.is_dir() { all_in(&path) } else { vec![path] }
}

fn all_in(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| is_toml(path) || path.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    files
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

/// `data_dir = /srv/$(NAME)`, or in single quotes, where everything stands for itself.
fn in_conf(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let mut values = text.lines().filter_map(value);
    values.next_back().and_then(|value| match value.strip_prefix('\'') {
        Some(quoted) => quoted.split('\'').next().map(str::to_string),
        None => interpolated(value.split('#').next()?.trim_end(), variable),
    })
}

/// In TOML, above all tables.
fn in_toml(text: &str) -> Option<String> {
    let above = text.lines().take_while(|line| !line.trim_start().starts_with('['));
    above.filter_map(value).last().and_then(|value| {
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        value[1..].split(quote).next().map(str::to_string)
    })
}

fn value(line: &str) -> Option<&str> {
    let (key, value) = line.split_once('=')?;
    (key.trim() == DATA_DIR).then(|| value.trim())
}

fn interpolated(value: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let Some((before, from)) = value.split_once("$(") else { return Some(value.to_string()) };
    let (name, after) = from.split_once(')')?;
    Some(format!("{before}{}{}", variable(name)?, interpolated(after, variable)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<String> {
        (name == "NAME").then(|| "mq".to_string())
    }

    #[test]
    fn the_key_is_found_in_both_syntaxes() {
        let conf = |text| in_conf(text, &variable).unwrap_or_default();
        assert_eq!(conf("# data_dir = /no\nheartbeat = 5\ndata_dir = /srv/$(NAME) # here\n"), "/srv/mq");
        assert_eq!(conf("data_dir='/a # $(NAME)'"), "/a # $(NAME)");
        assert_eq!(conf("data_dir = /one\ndata_dir = /two"), "/two");
        assert_eq!(conf("log.dir = /x"), "");
        let toml = |text| in_toml(text).unwrap_or_default();
        assert_eq!(toml("heartbeat = 5\ndata_dir = \"/srv/mq\" # here\n[log]\ndir = '/x'\n"), "/srv/mq");
        assert_eq!(toml("[other]\ndata_dir = '/x'\n"), "");
    }

    #[test]
    fn the_last_of_the_files_counts() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("10.conf"), "data_dir = /one\n").unwrap();
        fs::write(dir.path().join("20.toml"), "data_dir = '/two'\n").unwrap();
        fs::write(dir.path().join("30.conf"), "heartbeat = 5\n").unwrap();
        let named = dir.path().display().to_string();
        let variable = |name: &str| (name == "LIEBRE_CONFIG_FILE").then(|| named.clone());
        assert_eq!(data_dir(&variable), Some(PathBuf::from("/two")));
        assert_eq!(data_dir(&|name| (name == "LIEBRE_CONFIG_FILE").then(String::new)), None);
    }
}
