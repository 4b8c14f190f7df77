//! The local [`MetadataStore`]: change sets gather while a commit runs and share the next one.
//!
//! ```text
//! any task   submit ──> inbox ──┐                       ┌──> done(Ok | Err), in order
//! any task   submit ──> inbox ──┼─> one commit (a sync) ┤
//! any task   submit ──> inbox ──┘   on Writer's thread  └──> done(Ok | Err)
//! ```
//!
//! Locks: the database's before the inbox's, never the reverse; nobody is called back under either.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use redb::Database;

use crate::{
    model::definition::Change,
    storage::{
        Completion, DataDir, Loaded, MetadataStore, StoreError, codec,
        definitions_file::{DefinitionsFile, QueueIdsMark, Write},
        inbox::{Batch, ID_BLOCK, Inbox, Submission, lock},
        salvage::{ID_LEAP, newest_queue_id},
    },
};

const FILE_NAME: &str = "definitions.redb";

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
        let (database, mut lost_at_open) = file.open()?;
        let next_id = match file.queue_ids_mark(&database)? {
            QueueIdsMark::Unused => 1,
            QueueIdsMark::UpTo(mark) => mark,
            QueueIdsMark::Damaged => {
                let next_id = newest_queue_id(&file.load(&database)?.definitions).saturating_add(ID_LEAP);
                lost_at_open.push(format!("the mark of used queue ids is damaged: going on at {next_id}"));
                next_id
            }
        };
        let ids_end = next_id.saturating_add(ID_BLOCK);
        file.commit(&database, std::iter::empty(), Some(ids_end))?;
        let shared = Arc::new(Shared {
            file,
            lost_at_open,
            database: Mutex::new(Some(database)),
            inbox: Inbox::new(next_id, ids_end),
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
        let mut database = lock(&self.shared.database);
        let mut loaded = self.shared.file.load(self.shared.opened(&mut database)?)?;
        loaded.lost.extend_from_slice(&self.shared.lost_at_open);
        Ok(loaded)
    }

    fn submit(&self, changes: Vec<Change>, done: Completion) {
        match changes.iter().map(encode_change).collect() {
            Ok(writes) => self.shared.inbox.submit(Submission { writes, done }),
            Err(error) => done.complete(Err(error)),
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
    pub fn run(self) {
        while let Some(batch) = self.shared.inbox.next_batch() {
            let result = self.shared.commit(&batch);
            if let Some(ids_end) = batch.ids_end {
                self.shared.inbox.settle_ids(ids_end, &result);
            }
            for submission in batch.submissions {
                submission.done.complete(result.clone());
            }
        }
    }
}

/// However the writer ends, nobody waits for it any more.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.inbox.abandon();
    }
}

/// What the store and its writer have in common.
#[derive(Debug)]
struct Shared {
    file: DefinitionsFile,
    /// For the log, beside what `load` finds.
    lost_at_open: Vec<String>,
    /// The open file: held for one commit or one load. None after a failure.
    database: Mutex<Option<Database>>,
    inbox: Inbox,
    commit_count: AtomicU64,
}

impl Shared {
    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut database = lock(&self.database);
        let open = self.opened(&mut database)?;
        let writes = batch.submissions.iter().flat_map(|submission| &submission.writes);
        let result = self.file.commit(open, writes, batch.ids_end);
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

    /// The open file. A failed commit leaves the engine closed to everything until it is opened again, which
    /// is tried here, so that a disk that was full is forgiven when it no longer is.
    fn opened<'a>(&self, database: &'a mut Option<Database>) -> Result<&'a Database, StoreError> {
        match database {
            Some(open) => Ok(open),
            None => {
                self.inbox.failure().map_or(Ok(()), Err)?;
                let reopened = self.file.reopen().inspect_err(|error| self.note_failure(error))?;
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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::mpsc, thread, time::Duration};

    use super::*;
    use crate::model::{
        definition::{Definition, DefinitionKey, QueueDefinition, VhostDefinition},
        name::Name,
    };

    /// A store with its writer on a thread, which ends before the directory does.
    struct Running {
        store: Option<RedbStore>,
        writer: Option<thread::JoinHandle<()>>,
        _data_dir: DataDir,
    }

    impl Running {
        fn open(path: &Path) -> Self {
            let data_dir = DataDir::open(path).unwrap();
            let (store, writer) = RedbStore::open(&data_dir).unwrap();
            let writer = thread::Builder::new().spawn(|| writer.run()).unwrap();
            Self { store: Some(store), writer: Some(writer), _data_dir: data_dir }
        }

        fn submit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
            let (sender, receiver) = mpsc::channel();
            self.store().submit(changes, Completion::new(move |result| sender.send(result).unwrap()));
            receiver.recv_timeout(Duration::from_secs(30)).unwrap()
        }

        fn store(&self) -> &RedbStore {
            self.store.as_ref().unwrap()
        }

        fn load(&self) -> Loaded {
            self.store().load().unwrap()
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            drop(self.store.take());
            self.writer.take().unwrap().join().unwrap();
        }
    }

    fn vhost(name: &str) -> Definition {
        Definition::Vhost(VhostDefinition {
            name: Name::parse(name).unwrap(),
            description: format!("description of {name}"),
            tags: Vec::new(),
            default_queue_type: None,
        })
    }

    fn queue(name: &str, id: u64) -> Definition {
        let queue = QueueDefinition {
            id,
            name: Name::parse(name).unwrap(),
            is_durable: true,
            is_exclusive: false,
            is_auto_delete: false,
            arguments: Default::default(),
        };
        Definition::Queue { vhost: Name::literal("/"), queue }
    }

    /// What a kill -9 leaves: the file as it is, never closed by the engine.
    fn copy_as_crashed(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        fs::copy(from.join(FILE_NAME), to.join(FILE_NAME)).unwrap();
    }

    /// Changes one byte wherever `text` stands in the file.
    fn damage(path: &Path, text: &str) {
        let path = path.join(FILE_NAME);
        let mut bytes = fs::read(&path).unwrap();
        let starts: Vec<usize> = bytes
            .windows(text.len())
            .enumerate()
            .filter_map(|(start, window)| (window == text.as_bytes()).then_some(start))
            .collect();
        assert!(!starts.is_empty());
        starts.into_iter().for_each(|start| bytes[start] ^= 1);
        fs::write(&path, bytes).unwrap();
    }

    #[test]
    fn puts_and_deletes_are_there_after_an_orderly_stop() {
        let root = tempfile::tempdir().unwrap();
        let running = Running::open(root.path());
        running.submit(vec![Change::Put(queue("q", 1)), Change::Put(vhost("/"))]).unwrap();
        running.submit(vec![Change::Put(vhost("gone"))]).unwrap();
        running.submit(vec![Change::Delete(DefinitionKey::Vhost(Name::literal("gone")))]).unwrap();
        running.submit(vec![Change::Delete(DefinitionKey::Vhost(Name::literal("never was")))]).unwrap();
        drop(running);
        let loaded = Running::open(root.path()).load();
        assert_eq!(loaded.definitions, [vhost("/"), queue("q", 1)]);
        assert_eq!(loaded.lost, Vec::<String>::new());
    }

    #[test]
    fn what_was_completed_is_there_after_a_crash() {
        let root = tempfile::tempdir().unwrap();
        let (path, crashed) = (root.path().join("data"), root.path().join("crashed"));
        let running = Running::open(&path);
        running.submit(vec![Change::Put(vhost("/")), Change::Put(queue("q", 1))]).unwrap();
        copy_as_crashed(&path, &crashed);
        assert_eq!(Running::open(&crashed).load().definitions, [vhost("/"), queue("q", 1)]);
    }

    #[test]
    fn crash_while_the_file_is_first_made_starts_over() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("definitions.redb.new"), b"half a file").unwrap();
        assert_eq!(Running::open(root.path()).load(), Loaded::default());
    }

    #[test]
    fn damaged_value_is_reported_by_name_and_the_rest_is_loaded() {
        let root = tempfile::tempdir().unwrap();
        let (path, crashed) = (root.path().join("data"), root.path().join("crashed"));
        let running = Running::open(&path);
        running.submit(vec![Change::Put(vhost("/")), Change::Put(vhost("hurt"))]).unwrap();
        copy_as_crashed(&path, &crashed);
        drop(running);
        for path in [path, crashed] {
            damage(&path, "description of hurt");
            let running = Running::open(&path);
            let loaded = running.load();
            assert_eq!(loaded.definitions, [vhost("/")]);
            assert_eq!(loaded.lost.len(), 2);
            assert!(loaded.lost[0].contains("1 definitions were saved from it"), "{}", loaded.lost[0]);
            assert_eq!(loaded.lost[1], "vhost 'hurt' is damaged: its checksum does not match");
            assert!(path.join("definitions.redb.damaged.1").exists());
            running.submit(vec![Change::Put(vhost("hurt"))]).unwrap();
            assert_eq!(running.load().definitions, [vhost("/"), vhost("hurt")]);
        }
    }

    #[test]
    fn any_flipped_bit_costs_an_error_or_a_definition_but_never_silence() {
        let root = tempfile::tempdir().unwrap();
        let (path, crashed) = (root.path().join("data"), root.path().join("crashed"));
        let running = Running::open(&path);
        let all: Vec<Definition> =
            (0..40).map(|number| queue(&format!("queue-{number:02}"), number)).collect();
        running.submit(all.iter().cloned().map(Change::Put).collect()).unwrap();
        copy_as_crashed(&path, &crashed);
        drop(running);
        for path in [path, crashed] {
            let data_dir = DataDir::open(&path).unwrap();
            let whole = fs::read(path.join(FILE_NAME)).unwrap();
            let used = (0..whole.len()).filter(|&index| whole[index] != 0);
            for index in used.step_by(1_009) {
                let mut bytes = whole.clone();
                bytes[index] ^= 1;
                fs::write(path.join(FILE_NAME), bytes).unwrap();
                match RedbStore::open(&data_dir).and_then(|(store, _writer)| store.load()) {
                    Ok(Loaded { definitions, lost }) => {
                        assert!(
                            definitions.iter().all(|definition| all.contains(definition)),
                            "byte {index}"
                        );
                        assert!(definitions.len() == all.len() || !lost.is_empty(), "byte {index}");
                    }
                    Err(error) => {
                        assert!(matches!(error, StoreError::Damaged { .. }), "byte {index}: {error}")
                    }
                }
            }
        }
    }

    #[test]
    fn file_that_is_no_database_is_an_error_with_its_path() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        fs::write(root.path().join(FILE_NAME), vec![7; 100_000]).unwrap();
        let error = RedbStore::open(&data_dir).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("definitions.redb is damaged: "), "{error}");
    }

    #[test]
    fn submits_made_at_once_share_commits() {
        const SUBMITS: usize = 200;
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        let (store, writer) = RedbStore::open(&data_dir).unwrap();
        let (sender, receiver) = mpsc::channel();
        for number in 0..SUBMITS {
            let sender = sender.clone();
            let done = Completion::new(move |result| sender.send((number, result)).unwrap());
            store.submit(vec![Change::Put(vhost(&number.to_string()))], done);
        }
        let writer = thread::Builder::new().spawn(|| writer.run()).unwrap();
        let order: Vec<_> = receiver.iter().take(SUBMITS).collect();
        assert_eq!(order, (0..SUBMITS).map(|number| (number, Ok(()))).collect::<Vec<_>>());
        assert_eq!(store.commit_count(), 1);
        assert_eq!(store.load().unwrap().definitions.len(), SUBMITS);
        drop(store);
        writer.join().unwrap();
    }

    #[test]
    fn close_stores_what_was_submitted_and_refuses_the_rest() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        let (store, writer) = RedbStore::open(&data_dir).unwrap();
        let (sender, receiver) = mpsc::channel();
        for _ in 0..2 {
            let sender = sender.clone();
            store.submit(
                vec![Change::Put(vhost("/"))],
                Completion::new(move |result| sender.send(result).unwrap()),
            );
            store.close();
        }
        writer.run();
        assert_eq!(receiver.iter().take(2).collect::<Vec<_>>(), [Err(StoreError::Closed), Ok(())]);
        assert_eq!(store.load().unwrap().definitions, [vhost("/")]);
    }

    #[test]
    fn writer_that_never_ran_leaves_nobody_waiting() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        let (store, writer) = RedbStore::open(&data_dir).unwrap();
        let (sender, receiver) = mpsc::channel();
        store.submit(
            vec![Change::Put(vhost("/"))],
            Completion::new(move |result| sender.send(result).unwrap()),
        );
        drop(writer);
        assert_eq!(receiver.recv().unwrap(), Err(StoreError::Closed));
        let first = store.next_queue_id().unwrap();
        let ids: Result<Vec<u64>, _> = (first..first + ID_BLOCK).map(|_| store.next_queue_id()).collect();
        assert_eq!(ids, Err(StoreError::Closed));
    }

    #[test]
    fn full_disk_fails_the_change_and_passes() {
        let root = tempfile::tempdir().unwrap();
        let running = Running::open(root.path());
        running.submit(vec![Change::Put(vhost("/"))]).unwrap();
        let is_full = &running.store().shared.file.watch.faults.is_full;
        is_full.store(true, Ordering::SeqCst);
        for name in ["too much", "still too much"] {
            let error = running.submit(vec![Change::Put(vhost(name))]).unwrap_err();
            assert!(error.is_disk_full(), "{error}");
        }
        is_full.store(false, Ordering::SeqCst);
        running.submit(vec![Change::Put(vhost("again"))]).unwrap();
        assert_eq!(running.load().definitions, [vhost("/"), vhost("again")]);
    }

    #[test]
    fn failed_sync_is_the_end_until_a_restart() {
        let root = tempfile::tempdir().unwrap();
        let running = Running::open(root.path());
        running.submit(vec![Change::Put(vhost("/"))]).unwrap();
        let fails_to_sync = &running.store().shared.file.watch.faults.fails_to_sync;
        fails_to_sync.store(true, Ordering::SeqCst);
        let first = running.submit(vec![Change::Put(vhost("one"))]).unwrap_err();
        fails_to_sync.store(false, Ordering::SeqCst);
        let expected = Err(StoreError::Failed { cause: Box::new(first) });
        assert_eq!(running.submit(vec![Change::Put(vhost("two"))]), expected);
        assert_eq!(running.store().load().map(|_| ()), expected);
        drop(running);
        let definitions = Running::open(root.path()).load().definitions;
        assert_eq!(definitions.first(), Some(&vhost("/")));
        assert!(!definitions.contains(&vhost("two")));
    }

    #[test]
    fn queue_ids_are_unique_across_tasks_crashes_and_restarts() {
        let root = tempfile::tempdir().unwrap();
        let (path, crashed) = (root.path().join("data"), root.path().join("crashed"));
        let running = Running::open(&path);
        let mut ids: Vec<u64> = thread::scope(|scope| {
            let take = || (0..ID_BLOCK).map(|_| running.store().next_queue_id().unwrap()).collect::<Vec<_>>();
            let takers: Vec<_> = (0..3).map(|_| scope.spawn(take)).collect();
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
        });
        // A copy is no crash while the writer is at work: behind this nothing is in flight.
        running.submit(vec![Change::Put(queue("q", 1))]).unwrap();
        copy_as_crashed(&path, &crashed);
        ids.push(running.store().next_queue_id().unwrap());
        drop(running);
        ids.push(Running::open(&path).store().next_queue_id().unwrap());
        ids.push(Running::open(&path).store().next_queue_id().unwrap());
        let count = ids.len();
        let newest_before_crash = ids[..count - 3].iter().copied().max().unwrap();
        assert!(Running::open(&crashed).store().next_queue_id().unwrap() > newest_before_crash);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count);
        assert!(!ids.contains(&0));
    }

    #[test]
    fn damaged_id_mark_leaps_over_everything_known() {
        let root = tempfile::tempdir().unwrap();
        let running = Running::open(root.path());
        running.submit(vec![Change::Put(queue("q", 77))]).unwrap();
        drop(running);
        let data_dir = DataDir::open(root.path()).unwrap();
        let file = DefinitionsFile::new(root.path().join(FILE_NAME));
        file.damage_queue_ids_mark();
        drop(data_dir);
        let running = Running::open(root.path());
        assert_eq!(running.store().next_queue_id().unwrap(), 77 + ID_LEAP);
        assert_eq!(running.load().lost.len(), 1);
        drop(running);
        assert_eq!(Running::open(root.path()).load().lost, Vec::<String>::new());
    }
}
