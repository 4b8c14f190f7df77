//! The definitions in order: what is put is there, commits are shared, ids are never given twice, a full disk
//! passes, a failed sync does not.

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use crate::{
    model::{
        definition::{Change, Definition, DefinitionKey, QueueDefinition, VhostDefinition},
        name::Name,
    },
    storage::{
        Completion, Loaded, MetadataStore, StoreError,
        definitions::{RedbStore, Writer},
        definitions_copy, definitions_file,
        definitions_recovery::ID_LEAP,
        inbox::ID_BLOCK,
        sim_disk::{Crash, Fault, Op, Seeded, SimDisk, State},
    },
};

pub(super) const FILE: &str = definitions_file::FILE_NAME;
pub(super) const COPY: &str = definitions_copy::FILE_NAME;

pub(super) fn open(disk: &SimDisk) -> Result<(RedbStore, Writer), StoreError> {
    RedbStore::open_on(Arc::new(disk.clone()), Path::new("data"))
}

pub(super) fn vhost(name: &str) -> Definition {
    described(name, &format!("description of {name}"))
}

pub(super) fn described(name: &str, description: &str) -> Definition {
    Definition::Vhost(VhostDefinition {
        description: description.to_owned(),
        ..VhostDefinition::new(Name::parse(name).unwrap())
    })
}

pub(super) fn queue(name: &str, id: u64) -> Definition {
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

/// A store with its writer on a thread.
struct Running {
    store: Option<RedbStore>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Running {
    fn open(disk: &SimDisk) -> Self {
        let (store, writer) = open(disk).unwrap();
        let writer = thread::Builder::new().spawn(|| writer.run()).unwrap();
        Self { store: Some(store), writer: Some(writer) }
    }

    fn submit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let (sender, receiver) = mpsc::channel();
        self.store().submit(changes, Completion::new(move |result| sender.send(result).unwrap()));
        receiver.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    fn put(&self, definition: Definition) -> Result<(), StoreError> {
        self.submit(vec![Change::Put(definition)])
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

/// What a kill -9 leaves.
fn as_crashed(disk: &SimDisk) -> SimDisk {
    SimDisk::with(disk.state().crash(Crash::Dropped, &mut Seeded::new(1)))
}

#[test]
fn puts_and_deletes_are_there_after_an_orderly_stop() {
    let disk = SimDisk::default();
    let running = Running::open(&disk);
    running.submit(vec![Change::Put(queue("q", 1)), Change::Put(vhost("/"))]).unwrap();
    running.put(vhost("gone")).unwrap();
    running.submit(vec![Change::Delete(DefinitionKey::Vhost(Name::literal("gone")))]).unwrap();
    running.submit(vec![Change::Delete(DefinitionKey::Vhost(Name::literal("never was")))]).unwrap();
    drop(running);
    let loaded = Running::open(&disk).load();
    assert_eq!(loaded.definitions, [vhost("/"), queue("q", 1)]);
    assert_eq!(loaded.lost, Vec::<String>::new());
    assert_eq!(disk.state().names(), [COPY, FILE]);
}

#[test]
fn what_was_completed_is_there_after_a_crash() {
    let disk = SimDisk::default();
    let running = Running::open(&disk);
    running.submit(vec![Change::Put(vhost("/")), Change::Put(queue("q", 1))]).unwrap();
    assert_eq!(Running::open(&as_crashed(&disk)).load().definitions, [vhost("/"), queue("q", 1)]);
}

#[test]
fn crash_while_the_file_is_first_made_starts_over() {
    let disk = SimDisk::default();
    crate::storage::disk::create_durable(&disk, "definitions.redb.new", b"half a file").unwrap();
    assert_eq!(Running::open(&disk).load(), Loaded::default());
}

#[test]
fn submits_made_at_once_share_commits() {
    const SUBMITS: usize = 200;
    let (store, writer) = open(&SimDisk::default()).unwrap();
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
fn commit_costs_one_sync() {
    let disk = SimDisk::recording(State::default());
    let (store, mut writer) = open(&disk).unwrap();
    let syncs = || disk.ops().iter().filter(|op| matches!(op, Op::Sync { .. } | Op::SyncDir)).count();
    for number in 0..100 {
        let before = syncs();
        store.submit(vec![Change::Put(queue(&format!("q{number}"), number))], Completion::ignored());
        assert!(writer.turn(None));
        assert_eq!(syncs() - before, 1, "commit {number}");
    }
}

#[test]
fn close_stores_what_was_submitted_and_refuses_the_rest() {
    let (store, writer) = open(&SimDisk::default()).unwrap();
    let (sender, receiver) = mpsc::channel();
    for _ in 0..2 {
        let sender = sender.clone();
        let done = Completion::new(move |result| sender.send(result).unwrap());
        store.submit(vec![Change::Put(vhost("/"))], done);
        store.close();
    }
    writer.run();
    assert_eq!(receiver.iter().take(2).collect::<Vec<_>>(), [Err(StoreError::Closed), Ok(())]);
    assert_eq!(store.load().unwrap().definitions, [vhost("/")]);
}

#[test]
fn writer_that_never_ran_leaves_nobody_waiting() {
    let (store, writer) = open(&SimDisk::default()).unwrap();
    let (sender, receiver) = mpsc::channel();
    let done = Completion::new(move |result| sender.send(result).unwrap());
    store.submit(vec![Change::Put(vhost("/"))], done);
    drop(writer);
    assert_eq!(receiver.recv().unwrap(), Err(StoreError::Closed));
    let first = store.next_queue_id().unwrap();
    let ids: Result<Vec<u64>, _> = (first..first + ID_BLOCK).map(|_| store.next_queue_id()).collect();
    assert_eq!(ids, Err(StoreError::Closed));
}

/// What was refused is stored before what comes after it, which may stand on it.
#[test]
fn full_disk_fails_the_change_and_passes() {
    let disk = SimDisk::default();
    let running = Running::open(&disk);
    running.put(vhost("/")).unwrap();
    disk.fail(disk.op_count(), usize::MAX / 2, Fault::Full);
    for description in ["too much", "still too much"] {
        let error = running.put(described("full", description)).unwrap_err();
        assert!(error.is_disk_full(), "{error}");
    }
    disk.heal();
    running.put(vhost("again")).unwrap();
    let expected = [vhost("/"), described("full", "still too much"), vhost("again")];
    assert_eq!(running.load().definitions, expected);
    drop(running);
    assert_eq!(Running::open(&disk).load().definitions, expected);
}

/// Also when nothing comes after it; what follows from it is done then.
#[test]
fn what_a_full_disk_refused_is_tried_again_by_itself() {
    let disk = SimDisk::default();
    let (store, mut writer) = open(&disk).unwrap();
    let (sender, receiver) = mpsc::channel();
    let tell = sender.clone();
    let done =
        Completion::new(move |result| sender.send(result.map_err(|error| error.is_disk_full())).unwrap());
    disk.fail(disk.op_count(), usize::MAX / 2, Fault::Full);
    store.submit(vec![Change::Put(vhost("/"))], done.when_stored(move || tell.send(Ok(())).unwrap()));
    assert!(writer.turn(None));
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [Err(true)]);
    disk.heal();
    assert!(writer.turn(writer.patience()));
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [Ok(())]);
    assert_eq!(store.load().unwrap().definitions, [vhost("/")]);
}

#[test]
fn what_a_full_disk_refused_is_tried_again_at_the_end() {
    let disk = SimDisk::default();
    let running = Running::open(&disk);
    disk.fail(disk.op_count(), usize::MAX / 2, Fault::Full);
    running.put(vhost("/")).unwrap_err();
    disk.heal();
    drop(running);
    assert_eq!(Running::open(&disk).load().definitions, [vhost("/")]);
}

#[test]
fn failed_sync_is_the_end_until_a_restart() {
    let disk = SimDisk::default();
    let running = Running::open(&disk);
    running.put(vhost("/")).unwrap();
    disk.fail(disk.op_count(), usize::MAX / 2, Fault::Unsynced);
    let first = running.put(vhost("one")).unwrap_err();
    disk.heal();
    let expected = Err(StoreError::Failed { cause: Box::new(first) });
    assert_eq!(running.put(vhost("two")), expected);
    assert_eq!(running.store().load().map(|_| ()), expected);
    drop(running);
    let definitions = Running::open(&as_crashed(&disk)).load().definitions;
    assert_eq!(definitions.first(), Some(&vhost("/")));
    assert!(!definitions.contains(&vhost("two")));
}

#[test]
fn queue_ids_are_unique_across_tasks_crashes_and_restarts() {
    let disk = SimDisk::default();
    let running = Running::open(&disk);
    let mut ids: Vec<u64> = thread::scope(|scope| {
        let take = || (0..ID_BLOCK).map(|_| running.store().next_queue_id().unwrap()).collect::<Vec<_>>();
        let takers: Vec<_> = (0..3).map(|_| scope.spawn(take)).collect();
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    let crashed = as_crashed(&disk);
    let newest_before_crash = ids.iter().copied().max().unwrap();
    ids.push(running.store().next_queue_id().unwrap());
    drop(running);
    ids.push(Running::open(&disk).store().next_queue_id().unwrap());
    ids.push(Running::open(&disk).store().next_queue_id().unwrap());
    let count = ids.len();
    assert!(Running::open(&crashed).store().next_queue_id().unwrap() > newest_before_crash);
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert!(!ids.contains(&0));
}

#[test]
fn without_any_mark_ids_leap_over_everything_known() {
    let disk = SimDisk::default();
    let running = Running::open(&disk);
    running.put(queue("q", 77)).unwrap();
    drop(running);
    let file = definitions_file::DefinitionsFile::new(Arc::new(disk.clone()), Path::new("data"));
    file.put_for_test("queue_ids", b"damage");
    let mut state = disk.state();
    state.remove(COPY);
    let disk = SimDisk::with(state);
    let running = Running::open(&disk);
    assert_eq!(running.store().next_queue_id().unwrap(), 77 + ID_LEAP);
    assert_eq!(
        running.load().lost,
        ["data/definitions.redb was damaged (the mark of used queue ids is damaged): 1 definitions are \
             restored, 0 of them from data/definitions.copy; the damaged file is kept as \
             data/definitions.redb.damaged.1"]
    );
    drop(running);
    assert_eq!(Running::open(&disk).load().lost, Vec::<String>::new());
}
