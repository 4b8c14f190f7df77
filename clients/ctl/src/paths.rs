//! Where the broker's data directory is, the control socket in it, and what its node is called.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variable that names the data directory, for the broker and for this program.
pub const DATA_DIR_VARIABLE: &str = "LIEBRE_DATA_DIR";

/// The data directory: as given on the command line, else `LIEBRE_DATA_DIR`, else `liebre` in the user's data
/// directory.
pub fn data_dir(given: Option<&str>) -> PathBuf {
    data_dir_from(given, |name| env::var_os(name).filter(|value| !value.is_empty()))
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

fn data_dir_from(given: Option<&str>, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
    if let Some(given) = given {
        return PathBuf::from(given);
    }
    if let Some(named) = variable(DATA_DIR_VARIABLE) {
        return PathBuf::from(named);
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

    fn found(given: Option<&str>, variables: &[(&str, &str)]) -> String {
        let variable =
            |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(*v));
        data_dir_from(given, variable).display().to_string()
    }

    #[test]
    fn the_command_line_comes_before_the_environment() {
        let variables =
            [("HOME", "/home/ana"), ("XDG_DATA_HOME", "/xdg"), ("LIEBRE_DATA_DIR", "/srv/liebre")];
        assert_eq!(found(Some("/given"), &variables), "/given");
        assert_eq!(found(None, &variables), "/srv/liebre");
    }

    #[test]
    #[cfg(not(target_os = "macos"))]
    fn without_a_name_it_is_the_users_data_directory() {
        assert_eq!(found(None, &[("HOME", "/home/ana"), ("XDG_DATA_HOME", "/xdg")]), "/xdg/liebre");
        assert_eq!(found(None, &[("HOME", "/home/ana")]), "/home/ana/.local/share/liebre");
    }
}
