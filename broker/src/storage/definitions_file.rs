//! The file `definitions.redb`: opening, reading and changing it.
//!
//! ```text
//! table meta         "format_version"  -> sealed u64    1
//!                    "queue_ids"       -> sealed u64    ids below it may have been given to a queue
//! table definitions  key -> value                       see `codec`
//! sealed u64 = crc32 of key and number, u32 little-endian | number, u64 little-endian
//! ```

use std::{
    any::Any,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::storage::{
    Loaded, StoreError, codec,
    data_dir::{FILE_MODE, draft_of, rename_durable},
    watched_file::{Watch, WatchedFile},
};

/// The format written, and the newest that is understood.
pub(super) const FORMAT_VERSION: u64 = 1;

const CACHE_BYTES: usize = 4 << 20;
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const DEFINITIONS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("definitions");
const FORMAT_VERSION_KEY: &str = "format_version";
const QUEUE_IDS_KEY: &str = "queue_ids";

/// Where the file is and what is known of it beyond one opening.
#[derive(Debug)]
pub(super) struct DefinitionsFile {
    pub(super) path: PathBuf,
    pub(super) watch: Arc<Watch>,
}

/// One change, as bytes.
#[derive(Debug)]
pub(super) enum Write {
    /// Add or replace.
    Put { key: Vec<u8>, value: Vec<u8> },
    /// Remove, if there.
    Delete { key: Vec<u8> },
}

/// A key and its value, sealed.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// What to look at before trusting a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    /// The engine's checksum of every page in use.
    EveryPage,
    /// Nothing: for a new file, and for saving what can be saved.
    Nothing,
}

/// The upper end of the queue ids ever reserved.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueIdsMark {
    /// No file had one yet.
    Unused,
    /// Ids below it may have been given.
    UpTo(u64),
    /// It was there and cannot be trusted.
    Damaged,
}

impl DefinitionsFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, watch: Arc::default() }
    }

    /// Opens the file, made before if there was none, and tells what was lost in it. A file of a newer format
    /// is refused.
    pub(super) fn open(&self) -> Result<(Database, Vec<String>), StoreError> {
        if !self.path.exists() {
            self.guarded("create", || self.create(&[], None))?;
        }
        match self.reopen() {
            Ok(database) => Ok((database, Vec::new())),
            Err(StoreError::Damaged { reason, .. }) => {
                let lost = self.salvage(&reason)?;
                Ok((self.reopen()?, lost))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens the file, which is there, if all of it is as it was written.
    pub(super) fn reopen(&self) -> Result<Database, StoreError> {
        self.guarded("open", || {
            let database = self.open_at(&self.path, Check::EveryPage)?;
            refuse_newer_format(&database)?;
            Ok(database)
        })
    }

    /// All definitions that can be read, and a sentence about each that cannot.
    pub(super) fn load(&self, database: &Database) -> Result<Loaded, StoreError> {
        self.guarded("read", || {
            let table = database.begin_read()?.open_table(DEFINITIONS)?;
            let mut loaded = Loaded::default();
            for entry in table.iter()? {
                let (key, value) = entry?;
                match codec::decode(key.value(), value.value()) {
                    Ok(definition) => loaded.definitions.push(definition),
                    Err(lost) => loaded.lost.push(lost),
                }
            }
            Ok(loaded)
        })
    }

    pub(super) fn queue_ids_mark(&self, database: &Database) -> Result<QueueIdsMark, StoreError> {
        self.guarded("read", || read_queue_ids_mark(database))
    }

    /// One transaction, on stable storage when this returns. After an error the database must be dropped.
    pub(super) fn commit<'a>(
        &self,
        database: &Database,
        writes: impl Iterator<Item = &'a Write>,
        queue_ids_mark: Option<u64>,
    ) -> Result<(), StoreError> {
        self.guarded("write", || {
            let mut transaction = database.begin_write()?;
            // So that after a crash a damaged page is told from a commit that was never finished: it must not
            // make the engine take back a commit that somebody was told about.
            transaction.set_quick_repair(true);
            {
                let mut table = transaction.open_table(DEFINITIONS)?;
                for write in writes {
                    match write {
                        Write::Put { key, value } => table.insert(key.as_slice(), value.as_slice())?,
                        Write::Delete { key } => table.remove(key.as_slice())?,
                    };
                }
            }
            if let Some(mark) = queue_ids_mark {
                put_u64(&transaction, QUEUE_IDS_KEY, mark)?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// Makes the file with these entries, built under another name, so that a file of this name is complete.
    pub(super) fn create(&self, entries: &[Entry], queue_ids_mark: Option<u64>) -> Result<(), Failure> {
        let draft = draft_of(&self.path);
        if draft.exists() {
            fs::remove_file(&draft)?;
        }
        OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&draft)?;
        let database = self.open_at(&draft, Check::Nothing)?;
        let transaction = database.begin_write()?;
        put_u64(&transaction, FORMAT_VERSION_KEY, FORMAT_VERSION)?;
        if let Some(mark) = queue_ids_mark {
            put_u64(&transaction, QUEUE_IDS_KEY, mark)?;
        }
        {
            let mut table = transaction.open_table(DEFINITIONS)?;
            for (key, value) in entries {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        transaction.commit()?;
        drop(database);
        File::open(&draft)?.sync_all()?;
        Ok(rename_durable(&draft, &self.path)?)
    }

    pub(super) fn open_at(&self, path: &Path, check: Check) -> Result<Database, Failure> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let backend = WatchedFile::new(file, Arc::clone(&self.watch))?;
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(matches!(check, Check::EveryPage));
        Ok(builder.create_with_backend(backend)?)
    }

    #[cfg(test)]
    pub(super) fn damage_queue_ids_mark(&self) {
        let (database, _) = self.open().unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(QUEUE_IDS_KEY, b"damage".as_slice()).unwrap();
        transaction.commit().unwrap();
    }

    /// Runs `step` on the engine. A damaged file can make the engine panic: that too is an answer, not an
    /// end.
    pub(super) fn guarded<T>(
        &self,
        action: &'static str,
        step: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let result = catch_unwind(AssertUnwindSafe(step))
            .unwrap_or_else(|panic| Err(Failure::Damage(panic_text(panic.as_ref()))));
        result.map_err(|failure| match failure {
            Failure::Io(error) => StoreError::io(action, &self.path, &error),
            Failure::Damage(reason) => StoreError::Damaged { path: self.path.clone(), reason },
            Failure::NewerFormat(found) => {
                StoreError::NewerFormat { path: self.path.clone(), found, supported: FORMAT_VERSION }
            }
        })
    }
}

/// Why a step failed, before the file's name is added.
pub(super) enum Failure {
    Io(io::Error),
    Damage(String),
    NewerFormat(u64),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Damage(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

impl<E: EngineError> From<E> for Failure {
    fn from(error: E) -> Self {
        match error.into() {
            redb::Error::Io(error) => Self::from(error),
            other => Self::Damage(other.to_string()),
        }
    }
}

/// The engine has an error type per operation; all lead to one.
trait EngineError: Into<redb::Error> {}
impl EngineError for redb::DatabaseError {}
impl EngineError for redb::TransactionError {}
impl EngineError for redb::TableError {}
impl EngineError for redb::StorageError {}
impl EngineError for redb::CommitError {}

/// Visits the entries from the first to the last, or the other way.
pub(super) fn for_each_entry(
    database: &Database,
    is_backwards: bool,
    mut visit: impl FnMut(Entry),
) -> Result<(), Failure> {
    let table = database.begin_read()?.open_table(DEFINITIONS)?;
    let mut entries = table.iter()?;
    while let Some(entry) = if is_backwards { entries.next_back() } else { entries.next() } {
        let (key, value) = entry?;
        visit((key.value().to_vec(), value.value().to_vec()));
    }
    Ok(())
}

pub(super) fn read_queue_ids_mark(database: &Database) -> Result<QueueIdsMark, Failure> {
    let table = database.begin_read()?.open_table(META)?;
    let Some(value) = table.get(QUEUE_IDS_KEY)? else { return Ok(QueueIdsMark::Unused) };
    Ok(unseal_u64(QUEUE_IDS_KEY, value.value()).map_or(QueueIdsMark::Damaged, QueueIdsMark::UpTo))
}

/// A version that is itself damaged passes: each value has a checksum of its own.
pub(super) fn refuse_newer_format(database: &Database) -> Result<(), Failure> {
    let table = database.begin_read()?.open_table(META)?;
    let Some(value) = table.get(FORMAT_VERSION_KEY)? else {
        return Err(Failure::Damage("it has no format version".to_owned()));
    };
    match unseal_u64(FORMAT_VERSION_KEY, value.value()) {
        Some(found) if found > FORMAT_VERSION => Err(Failure::NewerFormat(found)),
        _ => Ok(()),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    format!("the engine stopped: {}", text.unwrap_or("no reason given"))
}

fn put_u64(transaction: &redb::WriteTransaction, key: &str, number: u64) -> Result<(), Failure> {
    let value = codec::seal(key.as_bytes(), &number.to_le_bytes());
    transaction.open_table(META)?.insert(key, value.as_slice())?;
    Ok(())
}

fn unseal_u64(key: &str, value: &[u8]) -> Option<u64> {
    let bytes = codec::unseal(key.as_bytes(), value)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_format_is_refused_with_both_versions() {
        let root = tempfile::tempdir().unwrap();
        let file = DefinitionsFile::new(root.path().join("definitions.redb"));
        let (database, _) = file.open().unwrap();
        let transaction = database.begin_write().unwrap();
        put_u64(&transaction, FORMAT_VERSION_KEY, FORMAT_VERSION + 1).ok().unwrap();
        transaction.commit().unwrap();
        drop(database);
        let text = file.open().unwrap_err().to_string();
        assert!(text.contains("has format version 2,"), "{text}");
        assert!(text.contains("knows format versions up to 1"), "{text}");
    }

    #[test]
    fn panic_of_the_engine_is_damage() {
        let file = DefinitionsFile::new("definitions.redb".into());
        let error = file.guarded::<()>("read", || panic!("page {} is odd", 7)).unwrap_err();
        assert_eq!(error.to_string(), "definitions.redb is damaged: the engine stopped: page 7 is odd");
    }
}
