//! The local [`MetadataStore`]: change sets gather while a commit runs and share the next one.
//!
//! ```text
//! any task   submit ──> inbox ──┐                       ┌──> done(Ok | Err), in the order submitted
//! any task   submit ──> inbox ──┼─> one commit (a sync) ┤
//! any task   submit ──> inbox ──┘   on Writer's thread  └──> done(Ok | Err)
//! ```
//!
//! Locks: the database's before the inbox's, never the reverse; nobody is called back under either.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use redb::Database;

use crate::{
    model::definition::{Change, Definition},
    storage::{
        Completion, DataDir, Loaded, MetadataStore, StoreError, codec,
        definitions_file::{DefinitionsFile, QueueIdsMark, Write},
    },
};

const FILE_NAME: &str = "definitions.redb";
/// Queue ids are reserved in blocks of this size, the next one when half of it is left.
const ID_BLOCK: u64 = 1_024;
/// Where ids go on when the mark was damaged: far above what can have been given since the newest known queue.
const ID_LEAP: u64 = 1 << 32;

/// Definitions in `definitions.redb` in the data directory. Closed when dropped.
#[derive(Debug)]
pub struct RedbStore {
    shared: Arc<Shared>,
}

/// The store's other half, which commits. Without a running writer nothing submitted is ever stored.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

impl RedbStore {
    /// Opens the definitions of a data directory, or starts them.
    pub fn open(data_dir: &DataDir) -> Result<(Self, Writer), StoreError> {
        let file = DefinitionsFile::new(data_dir.path().join(FILE_NAME));
        let database = file.open()?;
        let mut lost_at_open = Vec::new();
        let first_id = match file.queue_ids_mark(&database)? {
            QueueIdsMark::Unused => 1,
            QueueIdsMark::UpTo(mark) => mark,
            QueueIdsMark::Damaged => {
                let first_id = newest_queue_id(&file.load(&database)?).saturating_add(ID_LEAP);
                lost_at_open.push(format!("the mark of used queue ids is damaged: going on at {first_id}"));
                first_id
            }
        };
        let ids = IdBlock { next: first_id, end: first_id + ID_BLOCK, ..IdBlock::default() };
        file.commit(&database, std::iter::empty(), Some(ids.end))?;
        let shared = Arc::new(Shared {
            file,
            lost_at_open,
            database: Mutex::new(Some(database)),
            inbox: Mutex::new(Inbox { ids, ..Inbox::default() }),
            work: Condvar::new(),
            ids_settled: Condvar::new(),
            commit_count: AtomicU64::new(0),
        });
        Ok((Self { shared: Arc::clone(&shared) }, Writer { shared }))
    }

    /// Commits since the store was opened. Less than the change sets submitted when these came at once.
    #[must_use]
    pub fn commit_count(&self) -> u64 {
        self.shared.commit_count.load(Ordering::Relaxed)
    }
}

impl MetadataStore for RedbStore {
    fn load(&self) -> Result<Loaded, StoreError> {
        let database = lock(&self.shared.database);
        let Some(database) = database.as_ref() else { return Err(self.shared.refusal()) };
        let mut loaded = self.shared.file.load(database)?;
        loaded.lost.extend_from_slice(&self.shared.lost_at_open);
        Ok(loaded)
    }

    fn submit(&self, changes: Vec<Change>, done: Completion) {
        let writes = match changes.iter().map(encode_change).collect() {
            Ok(writes) => writes,
            Err(error) => return done.complete(Err(error)),
        };
        if let Err((refusal, done)) = self.shared.enqueue(Submission { writes, done }) {
            done.complete(Err(refusal));
        }
    }

    fn next_queue_id(&self) -> Result<u64, StoreError> {
        self.shared.next_queue_id()
    }

    fn close(&self) {
        lock(&self.shared.inbox).is_closed = true;
        self.shared.work.notify_one();
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Writer {
    /// Commits what is submitted, until the store is closed or dropped and everything submitted is stored.
    pub fn run(self) {
        while let Some(batch) = self.shared.next_batch() {
            let result = self.shared.commit(&batch);
            self.shared.settle_ids(batch.id_block_end, &result);
            for submission in batch.submissions {
                submission.done.complete(result.clone());
            }
        }
    }
}

/// However the writer ends, nobody waits for it any more.
impl Drop for Writer {
    fn drop(&mut self) {
        let left = {
            let mut inbox = lock(&self.shared.inbox);
            inbox.is_closed = true;
            inbox.ids.is_wanted = false;
            std::mem::take(&mut inbox.submissions)
        };
        self.shared.ids_settled.notify_all();
        drop(left);
    }
}

/// What the store and its writer have in common.
#[derive(Debug)]
struct Shared {
    file: DefinitionsFile,
    /// For the log, beside what `load` finds.
    lost_at_open: Vec<String>,
    /// The open file: held for one commit or one load. None after a failure that cannot be mended.
    database: Mutex<Option<Database>>,
    /// What waits for the next commit: held for moments.
    inbox: Mutex<Inbox>,
    /// Tells the writer that the inbox changed.
    work: Condvar,
    /// Tells who waits for a queue id that the writer tried to reserve a block.
    ids_settled: Condvar,
    commit_count: AtomicU64,
}

#[derive(Debug, Default)]
struct Inbox {
    submissions: Vec<Submission>,
    ids: IdBlock,
    is_closed: bool,
    /// The failure after which nothing is stored any more.
    failure: Option<StoreError>,
}

/// Queue ids that the file already counts as used.
#[derive(Debug, Default)]
struct IdBlock {
    next: u64,
    end: u64,
    /// The writer is to reserve another block.
    is_wanted: bool,
    /// Why it could not.
    failure: Option<StoreError>,
}

#[derive(Debug)]
struct Submission {
    writes: Vec<Write>,
    done: Completion,
}

/// What goes into one commit.
#[derive(Debug)]
struct Batch {
    submissions: Vec<Submission>,
    id_block_end: Option<u64>,
}

impl Shared {
    fn enqueue(&self, submission: Submission) -> Result<(), (StoreError, Completion)> {
        let mut inbox = lock(&self.inbox);
        match inbox.refusal() {
            Some(refusal) => Err((refusal, submission.done)),
            None => {
                inbox.submissions.push(submission);
                self.work.notify_one();
                Ok(())
            }
        }
    }

    fn next_batch(&self) -> Option<Batch> {
        let idle =
            |inbox: &mut Inbox| inbox.submissions.is_empty() && !inbox.ids.is_wanted && !inbox.is_closed;
        let guard = lock(&self.inbox);
        let mut inbox = self.work.wait_while(guard, idle).unwrap_or_else(PoisonError::into_inner);
        if inbox.submissions.is_empty() && inbox.is_closed {
            return None;
        }
        let id_block_end = inbox.ids.is_wanted.then_some(inbox.ids.end + ID_BLOCK);
        Some(Batch { submissions: std::mem::take(&mut inbox.submissions), id_block_end })
    }

    /// A failed commit leaves the engine closed to everything until it is opened again, which is right after a
    /// write that failed (a full disk) and wrong after a sync that failed (see `watched_file`).
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut database = lock(&self.database);
        let Some(open) = database.as_ref() else { return Err(self.refusal()) };
        let writes = batch.submissions.iter().flat_map(|submission| &submission.writes);
        let Err(error) = self.file.commit(open, writes, batch.id_block_end) else {
            self.commit_count.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        *database = None;
        if self.file.watch.has_failed_sync() || !matches!(error, StoreError::Io { .. }) {
            self.fail(&error);
            return Err(error);
        }
        match self.file.open() {
            Ok(reopened) => *database = Some(reopened),
            Err(cause) => self.fail(&cause),
        }
        Err(error)
    }

    fn fail(&self, cause: &StoreError) {
        lock(&self.inbox).failure = Some(StoreError::Failed { cause: Box::new(cause.clone()) });
    }

    fn refusal(&self) -> StoreError {
        lock(&self.inbox).refusal().unwrap_or(StoreError::Closed)
    }

    fn next_queue_id(&self) -> Result<u64, StoreError> {
        let mut inbox = lock(&self.inbox);
        if inbox.ids.next == inbox.ids.end {
            inbox = self.wait_for_ids(inbox)?;
        }
        let id = inbox.ids.next;
        inbox.ids.next += 1;
        if inbox.ids.end - inbox.ids.next <= ID_BLOCK / 2 && inbox.refusal().is_none() {
            self.want_ids(&mut inbox);
        }
        Ok(id)
    }

    fn wait_for_ids<'a>(
        &self,
        mut inbox: MutexGuard<'a, Inbox>,
    ) -> Result<MutexGuard<'a, Inbox>, StoreError> {
        while inbox.ids.next == inbox.ids.end {
            if let Some(refusal) = inbox.refusal() {
                return Err(refusal);
            }
            self.want_ids(&mut inbox);
            let unsettled = |inbox: &mut Inbox| inbox.ids.is_wanted && inbox.ids.next == inbox.ids.end;
            inbox = self.ids_settled.wait_while(inbox, unsettled).unwrap_or_else(PoisonError::into_inner);
            if let Some(failure) = inbox.ids.failure.clone() {
                return Err(failure);
            }
        }
        Ok(inbox)
    }

    fn want_ids(&self, inbox: &mut Inbox) {
        if !inbox.ids.is_wanted {
            inbox.ids.is_wanted = true;
            self.work.notify_one();
        }
    }

    /// Opens a reserved block for use. After an error nobody asks again until the next id is wanted, so that a
    /// full disk does not keep the writer busy.
    fn settle_ids(&self, id_block_end: Option<u64>, result: &Result<(), StoreError>) {
        let Some(end) = id_block_end else { return };
        let mut inbox = lock(&self.inbox);
        inbox.ids.is_wanted = false;
        inbox.ids.failure = result.clone().err();
        if result.is_ok() {
            inbox.ids.end = end;
        }
        self.ids_settled.notify_all();
    }
}

impl Inbox {
    fn refusal(&self) -> Option<StoreError> {
        self.failure.clone().or_else(|| self.is_closed.then_some(StoreError::Closed))
    }
}

/// No state is half changed when a lock is released, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn encode_change(change: &Change) -> Result<Write, StoreError> {
    Ok(match change {
        Change::Put(definition) => {
            let (key, value) = codec::encode(definition)?;
            Write::Put { key, value }
        }
        Change::Delete(key) => Write::Delete { key: codec::encode_key(key)? },
    })
}

fn newest_queue_id(loaded: &Loaded) -> u64 {
    let queue_id = |definition: &Definition| match definition {
        Definition::Queue { queue, .. } => Some(queue.id),
        _ => None,
    };
    loaded.definitions.iter().filter_map(queue_id).max().unwrap_or(0)
}
