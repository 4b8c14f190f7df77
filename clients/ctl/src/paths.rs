//! Where the broker's data directory is, the control socket in it, and what its node is called.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::config_file;

/// The variable that names the data directory, for the broker and for this program.
pub const DATA_DIR_VARIABLE: &str = "LIEBRE_DATA_DIR";

/// The data directory: as given on the command line, else `LIEBRE_DATA_DIR`, else what a configuration file of the
/// broker says, else `liebre` in the user's data directory.
pub fn data_dir(given: Option<&str>) -> PathBuf {
    let in_file = || config_file::data_dir(&|name| env::var(name).ok());
    data_dir_from(given, |name| env::var_os(name).filter(|value| !value.is_empty()), in_file)
}

/// The socket on which the broker serves its management API without a password.
pub fn control_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// The name that a broker on this machine has if nothing else was chosen.
pub fn usual_node() -> String {
    format!("rabbit@{}", host_name())
}

/// The machine's name up to its first dot.
pub fn host_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    host.split('.').next().filter(|host| !host.is_empty()).unwrap_or("localhost").to_string()
}

fn data_dir_from(
    given: Option<&str>,
    variable: impl Fn(&str) -> Option<OsString>,
    in_file: impl FnOnce() -> Option<PathBuf>,
) -> PathBuf {
    if let Some(given) = given {
        return PathBuf::from(given);
    }
    if let Some(named) = variable(DATA_DIR_VARIABLE) {
        return PathBuf::from(named);
    }
    if let Some(said) = in_file() {
        return said;
    }
    let home = PathBuf::from(variable("HOME").unwrap_or_else(|| OsString::from("/")));
    let user_data = if cfg!(target_os = "macos") {
        home.join("Library/Application Support")
    } else {
        variable("XDG_DATA_HOME").map_or_else(|| home.join(".local/share"), PathBuf::from)
    };
    user_data.join("liebre")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(given: Option<&str>, variables: &[(&str, &str)], found_in_file: Option<&str>) -> String {
        let variable =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(*v));
        let in_file = || found_in_file.map(PathBuf::from);
        data_dir_from(given, variable, in_file).display().to_string()
    }

    #[test]
    fn the_command_line_comes_before_the_environment() {
        let variables =
            [("HOME", "/home/ana"), ("XDG_DATA_HOME", "/xdg"), ("LIEBRE_DATA_DIR", "/srv/liebre")];
        assert_eq!(found(Some("/given"), &variables, Some("/file")), "/given");
        assert_eq!(found(None, &variables, Some("/file")), "/srv/liebre");
    }

    #[test]
    #[cfg(not(target_os = "macos"))]
    fn without_a_name_it_is_the_users_data_directory() {
        let home = ("HOME", "/home/ana");
        assert_eq!(found(None, &[home, ("XDG_DATA_HOME", "/xdg")], Some("/file")), "/file");
        assert_eq!(found(None, &[home, ("XDG_DATA_HOME", "/xdg")], None), "/xdg/liebre");
        assert_eq!(found(None, &[home], None), "/home/ana/.local/share/liebre");
    }
}
