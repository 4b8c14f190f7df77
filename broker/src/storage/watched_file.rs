//! The file under the definitions' engine, watched for a failed sync.
//!
//! After a failed sync the kernel may count pages as clean that never reached the disk: what is read back
//! then is not what a restart will find. So a failed write can be followed by reopening, a failed sync
//! cannot.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{DatabaseError, StorageBackend, backends::FileBackend};

/// What is known of a file beyond one opening of it.
#[derive(Debug, Default)]
pub(super) struct Watch {
    has_failed_sync: AtomicBool,
    #[cfg(test)]
    pub(super) faults: Faults,
}

/// Failures that tests ask for.
#[cfg(test)]
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) is_full: AtomicBool,
    pub(super) fails_to_sync: AtomicBool,
}

/// A [`FileBackend`] that tells its [`Watch`] when a sync fails.
#[derive(Debug)]
pub(super) struct WatchedFile {
    file: FileBackend,
    watch: Arc<Watch>,
}

impl Watch {
    /// Whether a sync of the file ever failed.
    pub(super) fn has_failed_sync(&self) -> bool {
        self.has_failed_sync.load(Ordering::SeqCst)
    }
}

impl WatchedFile {
    pub(super) fn new(file: File, watch: Arc<Watch>) -> Result<Self, DatabaseError> {
        Ok(Self { file: FileBackend::new(file)?, watch })
    }

    #[cfg(test)]
    fn refuse_if(fault: &AtomicBool, kind: io::ErrorKind) -> io::Result<()> {
        if fault.load(Ordering::SeqCst) { Err(kind.into()) } else { Ok(()) }
    }
}

impl StorageBackend for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        Self::refuse_if(&self.watch.faults.fails_to_sync, io::ErrorKind::Other)
            .inspect_err(|_| self.watch.has_failed_sync.store(true, Ordering::SeqCst))?;
        self.file.sync_data().inspect_err(|_| self.watch.has_failed_sync.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        Self::refuse_if(&self.watch.faults.is_full, io::ErrorKind::StorageFull)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
