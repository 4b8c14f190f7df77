//! The file `definitions.redb`: opening, reading and changing it.
//!
//! ```text
//! table meta         "format_version"  -> sealed u64    1
//!                    "queue_ids"       -> sealed u64    ids below it may have been given to a queue
//!                    "change_number"   -> sealed u64    how many commits changed definitions
//! table definitions  key -> value                       see `codec`
//! sealed u64 = crc32 of key and number, u32 little-endian | number, u64 little-endian
//! ```

use std::{
    any::Any,
    collections::BTreeMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use crate::storage::{
    Loaded, StoreError, codec,
    disk::{Disk, DiskFile},
    watched_file::{Watch, WatchedFile},
};

/// Its name in the data directory.
pub(super) const FILE_NAME: &str = "definitions.redb";
/// The format written, and the newest that is understood.
pub(super) const FORMAT_VERSION: u64 = 1;

const CACHE_BYTES: usize = 4 << 20;
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
const DEFINITIONS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("definitions");
const FORMAT_VERSION_KEY: &str = "format_version";
const QUEUE_IDS_KEY: &str = "queue_ids";
const CHANGE_NUMBER_KEY: &str = "change_number";

/// Where the file is and what is known of it beyond one opening.
#[derive(Debug)]
pub(super) struct DefinitionsFile {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) path: PathBuf,
    pub(super) watch: Arc<Watch>,
}

/// One change, as bytes.
#[derive(Clone, Debug)]
pub(super) enum Write {
    /// Add or replace.
    Put { key: Vec<u8>, value: Vec<u8> },
    /// Remove, if there.
    Delete { key: Vec<u8> },
}

/// Numbers that change with a commit, where there are any.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    pub(super) queue_ids: Option<u64>,
    pub(super) change_number: Option<u64>,
}

/// Everything that is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Keys and values, sealed.
    pub(super) entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Ids below it may have been given to a queue. None: it cannot be trusted.
    pub(super) queue_ids_mark: Option<u64>,
    /// How many commits led to this. None: it cannot be trusted.
    pub(super) change_number: Option<u64>,
}

/// What to look at before trusting a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    /// The engine's checksum of every page in use.
    EveryPage,
    /// Nothing: for a new file, and for saving what can be saved.
    Nothing,
}

impl DefinitionsFile {
    pub(super) fn new(disk: Arc<dyn Disk>, directory: &Path) -> Self {
        Self { disk, path: directory.join(FILE_NAME), watch: Arc::default() }
    }

    /// Whether there is one.
    pub(super) fn exists(&self) -> Result<bool, StoreError> {
        self.guarded("find", || Ok(self.disk.exists(FILE_NAME)?))
    }

    /// Opens the file, which is there, if all of it is as it was written. A file of a newer format is
    /// refused.
    pub(super) fn open(&self) -> Result<Database, StoreError> {
        self.guarded("open", || {
            let file = self.disk.open(FILE_NAME)?;
            if file.is_empty()? {
                // The engine would make a new one of it.
                return Err(Failure::Damage("it is empty".to_owned()));
            }
            let database = self.open_file(file, Check::EveryPage)?;
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

    /// All entries as they are, and the marks.
    pub(super) fn contents(&self, database: &Database) -> Result<Contents, StoreError> {
        self.guarded("read", || {
            let mut contents = Contents {
                queue_ids_mark: read_queue_ids_mark(database)?,
                change_number: read_change_number(database)?,
                ..Contents::default()
            };
            for_each_entry(database, false, |key, value| {
                contents.entries.insert(key, value);
            })?;
            Ok(contents)
        })
    }

    /// One transaction, on stable storage when this returns. After an error the database must be dropped.
    pub(super) fn commit<'a>(
        &self,
        database: &Database,
        writes: impl Iterator<Item = &'a Write>,
        marks: Marks,
    ) -> Result<(), StoreError> {
        self.guarded("write", || {
            let mut transaction = database.begin_write()?;
            // One sync, of pages and the slot that names them. After a crash in between checksums fail, and the
            // engine goes back to the commit before; it would do so, too, if a page of a commit that somebody was
            // told about were damaged. The copy, which has its number, tells one from the other.
            transaction.set_two_phase_commit(false);
            {
                let mut table = transaction.open_table(DEFINITIONS)?;
                for write in writes {
                    match write {
                        Write::Put { key, value } => table.insert(key.as_slice(), value.as_slice())?,
                        Write::Delete { key } => table.remove(key.as_slice())?,
                    };
                }
            }
            put_marks(&transaction, marks)?;
            Ok(transaction.commit()?)
        })
    }

    /// Makes the file with these contents, built under another name, so that a file of this name is complete.
    /// Replaces the one that is there.
    pub(super) fn create(&self, contents: &Contents) -> Result<(), StoreError> {
        self.guarded("create", || {
            let draft = format!("{FILE_NAME}.new");
            let file = self.disk.create(&draft)?;
            let database = self.open_file(Arc::clone(&file), Check::Nothing)?;
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            put_u64(&transaction, FORMAT_VERSION_KEY, FORMAT_VERSION)?;
            let marks = Marks { queue_ids: contents.queue_ids_mark, change_number: contents.change_number };
            put_marks(&transaction, marks)?;
            {
                let mut table = transaction.open_table(DEFINITIONS)?;
                for (key, value) in &contents.entries {
                    table.insert(key.as_slice(), value.as_slice())?;
                }
            }
            transaction.commit()?;
            drop(database);
            file.sync_data()?;
            self.disk.rename(&draft, FILE_NAME)?;
            Ok(self.disk.sync_dir()?)
        })
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

    fn open_file(&self, file: Arc<dyn DiskFile>, check: Check) -> Result<Database, Failure> {
        open_backend(WatchedFile::new(file, Arc::clone(&self.watch)), check)
    }

    #[cfg(test)]
    pub(super) fn put_for_test(&self, key: &str, value: &[u8]) {
        let database = self.open().unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert(key, value).unwrap();
        transaction.commit().unwrap();
    }
}

impl Write {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl Contents {
    /// Nothing yet: of a store that was never used.
    pub(super) fn blank() -> Self {
        Self { entries: BTreeMap::new(), queue_ids_mark: Some(1), change_number: Some(0) }
    }

    /// A sentence about each entry or mark that is not as it was written.
    pub(super) fn damages(&self) -> Vec<String> {
        let checked = self.entries.iter().map(|(key, value)| codec::check(key, value));
        let mut damages: Vec<String> = checked.filter_map(Result::err).collect();
        if self.queue_ids_mark.is_none() {
            damages.push("the mark of used queue ids is damaged".to_owned());
        }
        if self.change_number.is_none() {
            damages.push("the change number is damaged".to_owned());
        }
        damages
    }
}

/// Why a step failed, before the file's name is added.
#[derive(Debug)]
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

pub(super) fn open_backend(backend: impl StorageBackend, check: Check) -> Result<Database, Failure> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(matches!(check, Check::EveryPage));
    Ok(builder.create_with_backend(backend)?)
}

/// Visits keys and values from the first to the last, or the other way.
pub(super) fn for_each_entry(
    database: &Database,
    is_backwards: bool,
    mut visit: impl FnMut(Vec<u8>, Vec<u8>),
) -> Result<(), Failure> {
    let table = database.begin_read()?.open_table(DEFINITIONS)?;
    let mut entries = table.iter()?;
    while let Some(entry) = if is_backwards { entries.next_back() } else { entries.next() } {
        let (key, value) = entry?;
        visit(key.value().to_vec(), value.value().to_vec());
    }
    Ok(())
}

pub(super) fn read_queue_ids_mark(database: &Database) -> Result<Option<u64>, Failure> {
    read_u64(database, QUEUE_IDS_KEY)
}

pub(super) fn read_change_number(database: &Database) -> Result<Option<u64>, Failure> {
    read_u64(database, CHANGE_NUMBER_KEY)
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

/// None if it is not there or not as it was written.
fn read_u64(database: &Database, key: &str) -> Result<Option<u64>, Failure> {
    let table = database.begin_read()?.open_table(META)?;
    let value = table.get(key)?;
    Ok(value.and_then(|value| unseal_u64(key, value.value())))
}

fn put_marks(transaction: &redb::WriteTransaction, marks: Marks) -> Result<(), Failure> {
    for (key, number) in [(QUEUE_IDS_KEY, marks.queue_ids), (CHANGE_NUMBER_KEY, marks.change_number)] {
        if let Some(number) = number {
            put_u64(transaction, key, number)?;
        }
    }
    Ok(())
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
    use crate::storage::sim_disk::SimDisk;

    fn blank_file() -> DefinitionsFile {
        let file = DefinitionsFile::new(Arc::new(SimDisk::default()), Path::new(""));
        file.create(&Contents::blank()).unwrap();
        file
    }

    #[test]
    fn newer_format_is_refused_with_both_versions() {
        let file = blank_file();
        let newer = codec::seal(FORMAT_VERSION_KEY.as_bytes(), &(FORMAT_VERSION + 1).to_le_bytes());
        file.put_for_test(FORMAT_VERSION_KEY, &newer);
        assert_eq!(
            file.open().unwrap_err().to_string(),
            "definitions.redb has format version 2, written by a newer version of this broker; this one knows \
             format versions up to 1"
        );
    }

    #[test]
    fn panic_of_the_engine_is_damage() {
        let error = blank_file().guarded::<()>("read", || panic!("page {} is odd", 7)).unwrap_err();
        assert_eq!(error.to_string(), "definitions.redb is damaged: the engine stopped: page 7 is odd");
    }

    #[test]
    fn damaged_marks_are_told() {
        let file = blank_file();
        let contents = file.contents(&file.open().unwrap()).unwrap();
        assert_eq!((contents.damages(), &contents), (Vec::new(), &Contents::blank()));
        file.put_for_test(QUEUE_IDS_KEY, b"damage");
        let contents = file.contents(&file.open().unwrap()).unwrap();
        assert_eq!(contents.damages(), ["the mark of used queue ids is damaged"]);
    }
}
