//! The control socket: the management API without a password, for whoever may enter the data directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Its name in the data directory, which only the broker's own user and root may enter.
const NAME: &str = "control.sock";

/// Makes the socket. The directory is locked, so one that is there is left over from a killed broker.
pub(super) fn bind(data_dir: &Path) -> Result<UnixListener, (PathBuf, io::Error)> {
    let path = data_dir.join(NAME);
    remove(data_dir);
    UnixListener::bind(&path).map_err(|error| (path, error))
}

/// Takes the socket away; it may be gone already.
pub(super) fn remove(data_dir: &Path) {
    let _ = fs::remove_file(data_dir.join(NAME));
}
