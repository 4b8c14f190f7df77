//! What can be read of a definitions file that is not as it was written: each value that can be proven whole.

use std::{
    collections::BTreeMap,
    io,
    mem::ManuallyDrop,
    sync::{Arc, Mutex},
};

use redb::{Database, StorageBackend};

use crate::storage::{
    StoreError, codec,
    definitions_file::{
        Check, Contents, DefinitionsFile, FILE_NAME, for_each_entry, open_backend, read_change_number,
        read_queue_ids_mark, refuse_newer_format,
    },
    disk::read_all,
    inbox::lock,
};

/// By so much, beside as much again, a damaged file may grow while it is read, bytes.
const GROWTH_MAX: usize = 16 << 20;

/// What could be saved.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// Only entries that are whole.
    pub(super) contents: Contents,
    /// A sentence about each entry that is not, and about what was not even found.
    pub(super) lost: Vec<String>,
}

impl DefinitionsFile {
    /// Reads what can be read of a damaged file; none when that is nothing. One of a newer format is refused.
    ///
    /// In memory, not in place: opening changes what is opened.
    pub(super) fn salvage(&self) -> Result<Option<Saved>, StoreError> {
        let scratch = Scratch::default();
        let opened = self.guarded("read", || {
            *lock(&scratch.0) = read_all(self.disk.open(FILE_NAME)?.as_ref())?;
            // Never dropped: the engine's tidying up may panic over what is damaged, and a second panic while
            // the first unwinds would end the process.
            let database = ManuallyDrop::new(open_backend(scratch.clone(), Check::Nothing)?);
            refuse_newer_format(&database)?;
            Ok(database)
        });
        let saved = match opened {
            Ok(database) => {
                let saved = self.read_what_can_be_read(&database);
                let is_nothing = saved.contents.entries.is_empty() && !saved.lost.is_empty();
                Ok((!is_nothing).then_some(saved))
            }
            Err(newer @ StoreError::NewerFormat { .. }) => Err(newer),
            Err(_) => Ok(None),
        };
        // What the engine keeps of it for good is to be little.
        *lock(&scratch.0) = Vec::new();
        saved
    }

    /// Opens a copy of the file in memory, if all of it is as it was written: only for reading, when the disk is too
    /// full to open the file.
    pub(super) fn open_image(&self) -> Result<Database, StoreError> {
        self.guarded("read", || {
            let scratch = Scratch::default();
            *lock(&scratch.0) = read_all(self.disk.open(FILE_NAME)?.as_ref())?;
            let database = open_backend(scratch, Check::EveryPage)?;
            refuse_newer_format(&database)?;
            Ok(database)
        })
    }

    /// From both ends, so that one damaged page costs no more than what is in it and under it.
    fn read_what_can_be_read(&self, database: &Database) -> Saved {
        let mut saved = Saved::default();
        let mut found = BTreeMap::new();
        let read = [false, true].map(|is_backwards| {
            self.guarded("read", || {
                for_each_entry(database, is_backwards, |key, value| {
                    found.insert(key, value);
                })
            })
        });
        if read.iter().any(Result::is_err) {
            saved.lost.push("a part of the definitions cannot be read, not even which".to_owned());
        }
        for (key, value) in found {
            match codec::check(&key, &value) {
                Ok(()) => drop(saved.contents.entries.insert(key, value)),
                Err(lost) => saved.lost.push(lost),
            }
        }
        saved.contents.queue_ids_mark = self.guarded("read", || read_queue_ids_mark(database)).ok().flatten();
        saved.contents.change_number = self.guarded("read", || read_change_number(database)).ok().flatten();
        saved
    }
}

/// The bytes of the file, which the engine may change without harm.
#[derive(Clone, Debug, Default)]
struct Scratch(Arc<Mutex<Vec<u8>>>);

impl StorageBackend for Scratch {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = lock(&self.0);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = start.checked_add(out.len()).and_then(|end| bytes.get(start..end));
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = lock(&self.0);
        // What a damaged head asks for is no reason to fill the memory.
        if len > bytes.len().saturating_mul(2).saturating_add(GROWTH_MAX) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        bytes.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = lock(&self.0);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let place = start.checked_add(data.len()).and_then(|end| bytes.get_mut(start..end));
        place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        Ok(())
    }
}
