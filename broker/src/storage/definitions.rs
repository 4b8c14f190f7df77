//! The local [`MetadataStore`]: change sets gather while a commit runs and share the next one.
//!
//! ```text
//! any task   submit ──> inbox ──┐                       ┌──> done(Ok | Err), in order
//! any task   submit ──> inbox ──┼─> one commit (a sync) ┤
//! any task   submit ──> inbox ──┘   on Writer's thread  └──> done(Ok | Err)
//! ```
//!
//! Locks: the database's before the inbox's, never the reverse; nobody is called back under either.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redb::Database;

use crate::{
    model::definition::Change,
    storage::{
        Completion, DataDir, Loaded, MetadataStore, StoreError, Stored, codec,
        definitions_copy::{self, DefinitionsCopy},
        definitions_file::{self, DefinitionsFile, Marks, Write},
        definitions_recovery::{self, Opened},
        disk::Disk,
        inbox::{Batch, ID_BLOCK, Inbox, Submission, Work, lock},
    },
};

/// When nothing has changed for so long, what did is copied.
const COPY_AFTER: Duration = Duration::from_secs(1);
/// What a full disk refused is tried again after so long even if nothing else is submitted.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// After a copy that failed.
const COPY_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// After so many changes it is copied also when it never gets quiet; or after as many as there are
/// definitions, so that copying costs no more than changing.
const COPY_CHANGES_MIN: u64 = 10_000;

/// Definitions in `definitions.redb` in the data directory, and once more in `definitions.copy`. Closed when
/// dropped.
#[derive(Debug)]
pub struct RedbStore {
    shared: Arc<Shared>,
}

/// The store's other half, which commits. Without a running writer nothing submitted is ever stored.
pub struct Writer {
    shared: Arc<Shared>,
    copy: DefinitionsCopy,
    /// The last commit's number.
    change_number: u64,
    /// What could not be stored while the disk was full: it comes before what is submitted now.
    owed: BTreeMap<Vec<u8>, Write>,
    /// What is done when that is stored.
    owed_stored: Vec<Stored>,
    /// Changes that the copy does not have.
    uncopied: Uncopied,
}

#[derive(Debug, Default)]
struct Uncopied {
    changes: u64,
    /// Changes after which it does not wait for a quiet moment.
    changes_max: u64,
    /// There are some, or there is no copy at all.
    is_any: bool,
    has_failed: bool,
}

impl RedbStore {
    /// Opens the definitions of a data directory, or starts them.
    pub fn open(data_dir: &DataDir) -> Result<(Self, Writer), StoreError> {
        Self::open_on(data_dir.disk(), data_dir.path())
    }

    /// Whether a data directory has definitions, or their copy.
    pub fn is_in(data_dir: &DataDir) -> Result<bool, StoreError> {
        Ok(data_dir.contains(definitions_file::FILE_NAME)?
            || data_dir.contains(definitions_copy::FILE_NAME)?)
    }

    /// Opens the definitions on this disk, which messages call `directory`.
    pub(crate) fn open_on(disk: Arc<dyn Disk>, directory: &Path) -> Result<(Self, Writer), StoreError> {
        let file = DefinitionsFile::new(Arc::clone(&disk), directory);
        let copy = DefinitionsCopy::new(disk, directory);
        let Opened { database, contents, lost, is_copied } = definitions_recovery::open(&file, &copy)?;
        let next_id = contents.queue_ids_mark.unwrap_or(1);
        let mut ids_end = next_id.saturating_add(ID_BLOCK);
        let marks = Marks { queue_ids: Some(ids_end), change_number: None };
        let reserved = database.map(|open| file.commit(&open, std::iter::empty(), marks).map(|()| open));
        let database = match reserved.transpose() {
            Err(error) if !error.is_disk_full() => return Err(error),
            reserved => reserved.ok().flatten(),
        };
        if database.is_none() {
            // No queue is declared before there is room to note that its id is used.
            ids_end = next_id;
        }
        let shared = Arc::new(Shared {
            file,
            lost_at_open: lost,
            database: Mutex::new(database),
            inbox: Inbox::new(next_id, ids_end),
            commit_count: AtomicU64::new(0),
        });
        let uncopied = Uncopied { is_any: !is_copied, changes_max: COPY_CHANGES_MIN, ..Uncopied::default() };
        let writer = Writer {
            shared: Arc::clone(&shared),
            copy,
            change_number: contents.change_number.unwrap_or(0),
            owed: BTreeMap::new(),
            owed_stored: Vec::new(),
            uncopied,
        };
        Ok((Self { shared }, writer))
    }

    /// Whether the next queue id is there without waiting.
    #[cfg(test)]
    pub(super) fn has_ids(&self) -> bool {
        self.shared.inbox.has_ids()
    }

    /// Commits since the store was opened. Less than the change sets submitted when these came at once.
    #[must_use]
    pub fn commit_count(&self) -> u64 {
        self.shared.commit_count.load(Ordering::Relaxed)
    }
}

impl MetadataStore for RedbStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let mut database = lock(&self.shared.database);
        let file = &self.shared.file;
        let mut loaded = match self.shared.opened(&mut database) {
            Err(error) if error.is_disk_full() => file.load(&file.open_image()?)?,
            opened => file.load(opened?)?,
        };
        loaded.lost.extend_from_slice(&self.shared.lost_at_open);
        Ok(loaded)
    }

    fn submit(&self, changes: Vec<Change>, done: Completion) {
        match changes.iter().map(encode_change).collect() {
            Ok(writes) => self.shared.inbox.submit(Submission { writes, done }),
            Err(error) => drop(done.complete(Err(error))),
        }
    }

    fn next_queue_id(&self) -> Result<u64, StoreError> {
        self.shared.inbox.next_queue_id()
    }

    fn close(&self) {
        self.shared.inbox.close();
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Writer {
    /// Commits what is submitted, until the store is closed or dropped and everything submitted is stored.
    pub fn run(mut self) {
        while self.turn(self.patience()) {}
    }

    /// Does what there is to do, or waits for it. False when there will be nothing any more.
    pub(crate) fn turn(&mut self, patience: Option<Duration>) -> bool {
        match self.shared.inbox.next(patience) {
            Work::Commit(batch) => {
                self.commit(batch);
                if self.uncopied.is_too_much() {
                    self.copy();
                }
                true
            }
            Work::Quiet if !self.owed.is_empty() => {
                self.commit(Batch::default());
                true
            }
            Work::Quiet => {
                self.copy();
                true
            }
            Work::Closed => {
                if !self.owed.is_empty() {
                    self.commit(Batch::default());
                }
                if self.uncopied.is_any {
                    self.copy();
                }
                // So that the file is closed when this returns, whoever else still has the store.
                drop(lock(&self.shared.database).take());
                false
            }
        }
    }

    /// How long to wait for changes; none when there is nothing else to do.
    pub(super) fn patience(&self) -> Option<Duration> {
        if self.owed.is_empty() { self.uncopied.patience() } else { Some(RETRY_AFTER) }
    }

    /// One commit of all that waits. Who waits for it is told after it.
    fn commit(&mut self, batch: Batch) {
        let Batch { submissions, ids_end } = batch;
        let new = || submissions.iter().flat_map(|submission| &submission.writes);
        let count = (self.owed.len() + new().count()) as u64;
        // Also one that fails has a number: it may be on disk all the same.
        self.change_number += u64::from(count > 0);
        let marks = Marks { queue_ids: ids_end, change_number: (count > 0).then_some(self.change_number) };
        let result = self.shared.commit(self.owed.values().chain(new()), marks);
        if result.is_ok() {
            self.owed.clear();
            self.owed_stored.drain(..).for_each(|stored| stored());
            self.uncopied.add(count);
        } else if self.shared.inbox.failure().is_none() {
            let refused: Vec<Write> = new().cloned().collect();
            self.owed.extend(refused.into_iter().map(|write| (write.key().to_vec(), write)));
        }
        if let Some(ids_end) = ids_end {
            self.shared.inbox.settle_ids(ids_end, &result);
        }
        let stored_later = submissions.into_iter().map(|submission| submission.done.complete(result.clone()));
        self.owed_stored.extend(stored_later.flatten());
    }

    /// Writes the copy anew. A failure is no more than a copy that stays old: it is tried again.
    fn copy(&mut self) {
        let copied = self.shared.copy(&self.copy);
        self.uncopied.has_failed = copied.is_err();
        if let Ok(count) = copied {
            self.uncopied = Uncopied { changes_max: COPY_CHANGES_MIN.max(count), ..Uncopied::default() };
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("owed", &self.owed.len()).finish_non_exhaustive()
    }
}

/// However the writer ends, nobody waits for it any more.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.inbox.abandon();
    }
}

impl Uncopied {
    fn add(&mut self, changes: u64) {
        self.changes += changes;
        self.is_any |= changes > 0;
    }

    fn is_too_much(&self) -> bool {
        self.changes >= self.changes_max && !self.has_failed
    }

    /// How long it has to be quiet for a copy; none when there is nothing to copy.
    fn patience(&self) -> Option<Duration> {
        self.is_any.then_some(if self.has_failed { COPY_AGAIN_AFTER } else { COPY_AFTER })
    }
}

/// What the store and its writer have in common.
#[derive(Debug)]
struct Shared {
    file: DefinitionsFile,
    /// For the log, beside what `load` finds.
    lost_at_open: Vec<String>,
    /// The open file: held for one commit, copy or load. None after a failure, and at the end.
    database: Mutex<Option<Database>>,
    inbox: Inbox,
    commit_count: AtomicU64,
}

impl Shared {
    fn commit<'a>(&self, writes: impl Iterator<Item = &'a Write>, marks: Marks) -> Result<(), StoreError> {
        let mut database = lock(&self.database);
        let open = self.opened(&mut database)?;
        let result = self.file.commit(open, writes, marks);
        match &result {
            Ok(()) => {
                self.commit_count.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                *database = None;
                self.note_failure(error);
            }
        }
        result
    }

    /// Copies what is stored, if all of it is as it was written; gives the number of definitions.
    fn copy(&self, copy: &DefinitionsCopy) -> Result<u64, StoreError> {
        let contents = {
            let mut database = lock(&self.database);
            self.file.contents(self.opened(&mut database)?)?
        };
        if let Some(damage) = contents.damages().into_iter().next() {
            return Err(StoreError::Damaged { path: self.file.path.clone(), reason: damage });
        }
        copy.write(&contents)?;
        Ok(contents.entries.len() as u64)
    }

    /// The open file. A failed commit leaves the engine closed to everything until it is opened again, which
    /// is tried here, so that a disk that was full is forgiven when it no longer is.
    fn opened<'a>(&self, database: &'a mut Option<Database>) -> Result<&'a Database, StoreError> {
        match database {
            Some(open) => Ok(open),
            None => {
                self.inbox.failure().map_or(Ok(()), Err)?;
                let reopened = self.file.open().inspect_err(|error| self.note_failure(error))?;
                Ok(database.insert(reopened))
            }
        }
    }

    /// A write that failed can be tried again later. After a failed sync (see `watched_file`) or damage
    /// nothing more is stored.
    fn note_failure(&self, error: &StoreError) {
        if self.file.watch.has_failed_sync() || !matches!(error, StoreError::Io { .. }) {
            self.inbox.fail(StoreError::Failed { cause: Box::new(error.clone()) });
        }
    }
}

fn encode_change(change: &Change) -> Result<Write, StoreError> {
    Ok(match change {
        Change::Put(definition) => {
            let (key, value) = codec::encode(definition)?;
            Write::Put { key, value }
        }
        Change::Delete(key) => Write::Delete { key: codec::encode_key(key) },
    })
}
