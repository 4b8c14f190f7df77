//! The data directory: made durably, and locked. What is in it is reached through [`DataDir::disk`].

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use rustix::fs::{FlockOperation, flock};

use crate::storage::{
    StoreError,
    disk::{Disk, RealDisk, is_passing},
};

/// The directory's own user alone: definitions hold password hashes, queues hold messages.
const DIRECTORY_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;
const LOCK_FILE: &str = "lock";
/// The message log's directory.
pub const MESSAGES: &str = "messages";
/// What the names of the definitions' files begin with: those in use, drafts, and damaged ones that were kept.
const DEFINITIONS: &str = "definitions.";

/// A data directory that this process alone uses, as long as this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Closing it gives the lock back.
    _lock: File,
}

impl DataDir {
    /// Creates the directory if need be and locks it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        create_dir_durable(path).map_err(|error| StoreError::io("create data directory", path, &error))?;
        let lock = lock(path)?;
        Ok(Self { path: path.to_path_buf(), _lock: lock })
    }

    /// What is in it.
    #[must_use]
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(RealDisk::of(self.path.clone()))
    }

    /// Whether there is a file or directory of this name in it.
    pub fn contains(&self, name: &str) -> Result<bool, StoreError> {
        self.disk().exists(name).map_err(|error| StoreError::io("find", &self.path.join(name), &error))
    }

    /// Removes everything that the broker keeps in it: definitions and messages. What somebody else put there stays.
    pub fn wipe(&self) -> Result<(), StoreError> {
        let failed = |error: io::Error| StoreError::io("wipe", &self.path, &error);
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name == MESSAGES {
                fs::remove_dir_all(entry.path()).map_err(failed)?;
            } else if name.to_string_lossy().starts_with(DEFINITIONS) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        sync_dir(&self.path).map_err(failed)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes what was created, renamed or removed in the directory durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn create_dir_durable(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
    missing.into_iter().try_for_each(|created| sync_dir(parent_of(created)))
}

/// The lock is the kernel's, so it ends with the process however that ends; the pid in the file is for
/// people.
fn lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join(LOCK_FILE);
    let failed = |action, error: &io::Error| StoreError::io(action, &path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|error| failed("open", &error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(StoreError::Locked {
                directory: directory.to_path_buf(),
                holder: read_pid(&mut file),
            });
        }
        Err(error) => return Err(failed("lock", &error.into())),
    }
    match write_pid(&file) {
        // People do without it.
        Err(error) if !is_passing(&error) => Err(failed("write", &error)),
        _ => Ok(file),
    }
}

/// Over the old one, whose place needs no room on a full disk.
fn write_pid(file: &File) -> io::Result<()> {
    let text = format!("{}\n", process::id());
    file.write_all_at(text.as_bytes(), 0)?;
    file.set_len(text.len() as u64)
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn directory_is_made_for_its_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("var/data");
        let data_dir = DataDir::open(&path).unwrap();
        assert_eq!(data_dir.path(), path);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn second_lock_is_refused_and_names_the_holder() {
        let root = tempfile::tempdir().unwrap();
        let first = DataDir::open(root.path()).unwrap();
        let error = DataDir::open(root.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("data directory {} is in use by process {}", root.path().display(), process::id())
        );
        drop(first);
        DataDir::open(root.path()).unwrap();
    }

    #[test]
    fn lock_with_an_unreadable_pid_is_refused_too() {
        let root = tempfile::tempdir().unwrap();
        let _first = DataDir::open(root.path()).unwrap();
        fs::write(root.path().join(LOCK_FILE), "?").unwrap();
        let error = DataDir::open(root.path()).unwrap_err();
        assert_eq!(error, StoreError::Locked { directory: root.path().to_path_buf(), holder: None });
    }

    #[test]
    fn what_is_wiped_is_the_brokers() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        fs::create_dir(root.path().join(MESSAGES)).unwrap();
        for name in ["definitions.redb", "definitions.copy.new", "messages/00000001.log", "notes.txt"] {
            fs::write(root.path().join(name), "").unwrap();
        }
        data_dir.wipe().unwrap();
        let mut left: Vec<_> =
            fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort_unstable();
        assert_eq!(left, ["lock", "notes.txt"]);
    }

    #[test]
    fn directory_that_is_a_file_is_an_error_with_its_path() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "").unwrap();
        let text = DataDir::open(&path).unwrap_err().to_string();
        assert!(text.starts_with(&format!("cannot create data directory {}: ", path.display())), "{text}");
    }
}
