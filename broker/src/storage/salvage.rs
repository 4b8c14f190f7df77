//! What can be read of a definitions file that is not as it was written: each value that can be proven whole.

use std::mem::ManuallyDrop;

use redb::{Database, StorageBackend, backends::InMemoryBackend};

use crate::storage::{
    StoreError, codec,
    definitions_file::{
        Check, Contents, DefinitionsFile, FILE_NAME, for_each_entry, open_backend, read_change_number,
        read_queue_ids_mark, refuse_newer_format,
    },
    disk::read_all,
};

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
        let opened = self.guarded("read", || {
            let bytes = read_all(self.disk.open(FILE_NAME)?.as_ref())?;
            let backend = InMemoryBackend::new();
            backend.set_len(bytes.len() as u64)?;
            backend.write(0, &bytes)?;
            // Never dropped: the engine's tidying up may panic over what is damaged, and a second panic while
            // the first unwinds would end the process.
            let database = ManuallyDrop::new(open_backend(backend, Check::Nothing)?);
            refuse_newer_format(&database)?;
            Ok(database)
        });
        match opened {
            Ok(database) => {
                let saved = self.read_what_can_be_read(&database);
                let is_nothing = saved.contents.entries.is_empty() && !saved.lost.is_empty();
                Ok((!is_nothing).then_some(saved))
            }
            Err(newer @ StoreError::NewerFormat { .. }) => Err(newer),
            Err(_) => Ok(None),
        }
    }

    /// From both ends, so that one damaged page costs no more than what is in it and under it.
    fn read_what_can_be_read(&self, database: &Database) -> Saved {
        let mut saved = Saved::default();
        let mut found = std::collections::BTreeMap::new();
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
