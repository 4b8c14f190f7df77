//! The file under the definitions' engine, watched for a failed sync.
//!
//! After a failed sync the kernel may count pages as clean that never reached the disk: what is read back
//! then is not what a restart will find. So a failed write can be followed by reopening, a failed sync
//! cannot.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::StorageBackend;

use crate::storage::disk::{DiskFile, read_up_to, write_all_at};

/// What is known of a file beyond one opening of it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    has_failed_sync: AtomicBool,
}

/// A file of our disk as the engine wants it, which tells its [`Watch`] when a sync fails.
///
/// The data directory's lock is the lock of everything in it: this file has none of its own.
#[derive(Debug)]
pub(super) struct WatchedFile {
    file: Arc<dyn DiskFile>,
    watch: Arc<Watch>,
}

impl Watch {
    /// Whether a sync of the file ever failed.
    pub(super) fn has_failed_sync(&self) -> bool {
        self.has_failed_sync.load(Ordering::SeqCst)
    }
}

impl WatchedFile {
    pub(super) fn new(file: Arc<dyn DiskFile>, watch: Arc<Watch>) -> Self {
        Self { file, watch }
    }
}

impl StorageBackend for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match read_up_to(self.file.as_ref(), out, offset)? {
            count if count == out.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().inspect_err(|_| self.watch.has_failed_sync.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        write_all_at(self.file.as_ref(), data, offset)
    }
}
