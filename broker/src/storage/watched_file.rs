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

/// Zeros written at once.
const FILL_STEP: usize = 64 << 10;
/// By so much, beside as much again, a file grows at once when all is well, bytes.
const GROWTH_MAX: u64 = 16 << 20;

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

impl WatchedFile {
    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        if to > from.saturating_mul(2).saturating_add(GROWTH_MAX) {
            // What a damaged head asks for is no reason to fill the disk.
            return Ok(());
        }
        let zeros = vec![0; FILL_STEP];
        let mut at = from;
        while at < to {
            let step = (to - at).min(FILL_STEP as u64);
            write_all_at(self.file.as_ref(), &zeros[..step as usize], at)?;
            at += step;
        }
        Ok(())
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

    /// What is added has its place on the disk, so that writing there later needs no room, and no sync has to note
    /// where it is.
    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.file.len()?;
        self.file.set_len(len)?;
        let filled = self.fill(before, len);
        if filled.is_err() {
            // If that fails, too, the file is only longer than need be.
            self.file.set_len(before).ok();
        }
        filled
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().inspect_err(|_| self.watch.has_failed_sync.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        write_all_at(self.file.as_ref(), data, offset)
    }
}
