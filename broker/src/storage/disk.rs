//! A directory that something durable lives in, as a trait: the tests put a disk in its place that forgets.
//!
//! A new name is durable after [`Disk::sync_dir`], bytes after [`DiskFile::sync_data`], nothing before.
//! [`create_durable`] and [`replace_durable`] are the two ways to give a complete file its name.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::storage::{
    StoreError,
    data_dir::{FILE_MODE, create_dir_durable, sync_dir},
};

/// One directory of files. Names hold no path.
pub trait Disk: fmt::Debug + Send + Sync {
    /// An empty file of that name; one that was there is emptied.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// A file that is there, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// All names, in no order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Gives a file another name, replacing one that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Takes a name away.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all earlier changes of names durable.
    fn sync_dir(&self) -> io::Result<()>;

    /// Whether there is a file of that name.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// What is left for this process, bytes.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file, read and written at offsets.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Reads some bytes, none at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some bytes, growing the file when needed.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize>;

    /// Its length, bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether nothing is in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file or grows it by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes what was written durable, and the length needed to read it.
    fn sync_data(&self) -> io::Result<()>;
}

/// Whether the system refused for want of something that others may give back: room, memory, descriptors.
pub(super) fn is_passing(error: &io::Error) -> bool {
    let scarce = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOMEM];
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || scarce.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A file of `content` that is there whole or not at all. Fails if the name is taken.
pub fn create_durable(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    if disk.exists(name)? {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    replace_durable(disk, name, content)
}

/// A file of `content` in place of the old one: after a crash it is one of the two, whole.
pub fn replace_durable(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let draft = format!("{name}.new");
    let file = disk.create(&draft)?;
    write_all_at(file.as_ref(), content, 0)?;
    file.sync_data()?;
    disk.rename(&draft, name)?;
    disk.sync_dir()
}

/// The same content under another name, durably. Replaces a file of that name.
pub fn copy_durable(disk: &dyn Disk, from: &str, to: &str) -> io::Result<()> {
    replace_durable(disk, to, &read_all(disk.open(from)?.as_ref())?)
}

/// Writes all of `data`, also through a disk that takes it in pieces.
pub fn write_all_at(file: &dyn DiskFile, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        match file.write_at(data, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                data = &data[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Everything in a file.
pub fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.len()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut bytes = vec![0; size];
    let count = read_up_to(file, &mut bytes, 0)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Fills `buffer` as far as the file goes; returns how far that was.
pub fn read_up_to(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A directory of the operating system.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
}

impl RealDisk {
    /// Makes the directory, durably, if it is not there.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        create_dir_durable(path).map_err(|error| StoreError::io("create directory", path, &error))?;
        Ok(Self { path: path.to_path_buf() })
    }

    /// A directory that is there.
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path }
    }

    fn options() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(FILE_MODE);
        options
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = Self::options().create(true).truncate(true).open(self.path.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(Self::options().open(self.path.join(name))?)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_dir(&self.path)
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path.join(name).try_exists()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(data, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_replaced_and_listed() {
        let root = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(&root.path().join("a/wal")).unwrap();
        create_durable(&disk, "one", b"first").unwrap();
        assert_eq!(create_durable(&disk, "one", b"x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        replace_durable(&disk, "one", b"second").unwrap();
        let file = disk.open("one").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(read_up_to(file.as_ref(), &mut buffer, 1).unwrap(), 5);
        assert_eq!(&buffer[..5], b"econd");
        assert_eq!(disk.list().unwrap(), ["one"]);
        disk.remove("one").unwrap();
        assert!(!disk.exists("one").unwrap());
        assert!(disk.free_bytes().unwrap() > 0);
    }
}
