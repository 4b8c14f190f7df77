//! The message log: every message and what happened to it, in one order, on stable storage.
//!
//! [`Log::append`] copies a record into the batch that gathers in memory; [`LogWriter::run`], on a thread of
//! its own, writes what gathered while the last sync ran, syncs once, and wakes who waits. What somebody waits
//! for waits for no timer: a record alone is written at once, a thousand at a time share a sync. Acks, which
//! nobody waits for, gather for some milliseconds.
//!
//! Locks: the pending records' and the waiters', each held for moments, never both, never over a write.

use std::{
    cell::RefCell,
    io, slice,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

pub use crate::storage::{
    log_writer::{LogWriter, Step},
    read_back::ReadBack,
    recovery::{Recovered, RecoveredMessage, RecoveredQueue},
    waiters::Synced,
};
use crate::{
    model::{queue::Entry, queue_id::QueueId},
    storage::{
        LogError,
        aside::{Aside, Chunk},
        disk::Disk,
        log_file::MARK_SIZE,
        log_statistics::LogStatistics,
        pending::{Batch, Pending, Start},
        reader::Reader,
        record::{Body, HEAD_SIZE, Lsn, Record},
        recovery,
        waiters::Waiters,
    },
};

/// Memory kept for the next batch, bytes at most.
const IDLE_BUFFER_MAX: usize = 4 << 20;

/// Memory that a thread keeps for the next record, bytes at most.
const BODY_KEPT_MAX: usize = 16 << 10;

thread_local! {
    /// Where a thread encodes what it appends.
    static BODY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// When there is little room on the disk, this fraction of what else may be unsynced: publishes that are on their way
/// when it is full take the room that is kept for acks.
const UNSYNCED_FRACTION: u64 = 16;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Size of one file. A record above it gets a larger file of its own.
    pub file_size: u64,
    /// After so much was appended a checkpoint is written: what a start has to read at most, bytes.
    pub checkpoint_bytes: u64,
    /// When files take more than this, and more than half of it is dead, live messages of the most dead files are
    /// packed together, so that the files can be used again.
    pub budget_bytes: u64,
    /// So much is packed in one go, or what is live in one file.
    pub pack_max_bytes: u64,
    /// Files kept ready to be used again.
    pub spares_max: usize,
    /// Publishers should wait when more than this is not yet on stable storage.
    pub unsynced_max_bytes: u64,
    /// Does not sync records: what was confirmed is lost when the machine stops. For tests and throw-away data.
    pub unsafe_no_fsync: bool,
    /// The time, from any beginning: for how long a sync took.
    pub clock: fn() -> Duration,
    /// Goes into the epochs of files, so that nobody can publish bytes that pass for a record.
    pub salt: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            file_size: 16 << 20,
            checkpoint_bytes: 48 << 20,
            budget_bytes: 128 << 20,
            pack_max_bytes: 4 << 20,
            spares_max: 4,
            unsynced_max_bytes: 16 << 20,
            unsafe_no_fsync: false,
            clock: || Duration::ZERO,
            salt: rand::random(),
        }
    }
}

#[cfg(test)]
impl LogOptions {
    /// Files so small that a few messages fill, free and pack them.
    pub(crate) fn tiny() -> Self {
        Self {
            file_size: 16 << 10,
            checkpoint_bytes: 20 << 10,
            budget_bytes: 4 << 10,
            pack_max_bytes: 8 << 10,
            spares_max: 2,
            salt: 0x5eed,
            ..Self::default()
        }
    }
}

/// The log as all tasks share it.
#[derive(Clone, Debug)]
pub struct Log {
    pub(super) shared: Arc<Shared>,
}

/// Between the tasks that append and the writer.
#[derive(Debug)]
pub(super) struct Shared {
    pending: Mutex<Pending>,
    /// Tells the writer that there is something to do.
    work: Condvar,
    waiters: Mutex<Waiters>,
    /// Everything up to here is on stable storage.
    synced: AtomicU64,
    unsynced_bytes: AtomicU64,
    /// The disk was full when the writer last tried.
    is_stalled: AtomicBool,
    /// The room that was kept for acks is in use.
    is_reserve_used: AtomicBool,
    /// The disk may soon be full.
    has_little_room: AtomicBool,
    /// All files before this one are complete.
    written_file: AtomicU64,
    reader: Reader,
    aside: Aside,
    /// What the ready messages of all queues take in memory.
    ready_bytes: AtomicUsize,
    statistics: LogStatistics,
    options: LogOptions,
}

impl Log {
    /// Reads the log in the directory, or begins one. When this returns, everything in [`Recovered`] is on
    /// stable storage.
    pub fn open(disk: Arc<dyn Disk>, options: LogOptions) -> Result<(Self, LogWriter, Recovered), LogError> {
        let (start, files, recovered) = recovery::open(disk.as_ref(), &options)?;
        let shared = Arc::new(Shared::new(start, Arc::clone(&disk), options));
        let writer = LogWriter::new(disk, Arc::clone(&shared), files);
        Ok((Self { shared }, writer, recovered))
    }

    /// Appends a record. It is on stable storage when the log is synced up to the number returned.
    ///
    /// The caller holds the locks of all queues named in it, so that no queue finds its records in another
    /// order than it decided. A queue's id and its positions are never used twice.
    pub fn append(&self, record: &Record<'_>) -> Result<Lsn, LogError> {
        with_buffer(|buffer| self.append_body(&record.body(buffer), slice::from_ref(record)))
    }

    /// Appends records as one, likewise: after a crash all of them are there or none.
    pub fn append_transaction(&self, records: &[Record<'_>]) -> Result<Lsn, LogError> {
        with_buffer(|buffer| self.append_body(&Body::transaction(records, buffer), records))
    }

    fn append_body(&self, body: &Body<'_>, records: &[Record<'_>]) -> Result<Lsn, LogError> {
        let size = HEAD_SIZE as u64 + body.size() as u64;
        if u32::try_from(size).is_err() {
            return Err(LogError::TooLarge { size_bytes: size });
        }
        let mut pending = lock(&self.shared.pending);
        if let Some(refusal) = pending.refusal() {
            return Err(refusal);
        }
        self.shared.unsynced_bytes.fetch_add(size, Ordering::Relaxed);
        let lsn = pending.push(body, records, &self.shared.options);
        let is_urgent = pending.is_urgent || records.iter().any(Record::is_urgent);
        let is_writer_waiting = pending.hurry(is_urgent);
        drop(pending);
        if is_writer_waiting {
            self.shared.work.notify_one();
        }
        Ok(lsn)
    }

    /// Drops all messages of a queue that does not exist any more.
    pub fn forget(&self, queue: QueueId) -> Result<Lsn, LogError> {
        self.append(&Record::Delete { queue })
    }

    /// The ready messages of a queue took `before` in memory and take `after` now; says what all queues' take.
    pub fn note_ready_bytes(&self, before: usize, after: usize) -> usize {
        // Wraps around when it shrinks, and back.
        let change = after.wrapping_sub(before);
        self.shared.ready_bytes.fetch_add(change, Ordering::Relaxed).wrapping_add(change)
    }

    /// Puts messages aside that nobody promised to keep, in a file that goes with the process.
    pub fn put_aside(&self, entries: &[&Entry]) -> io::Result<Chunk> {
        self.shared.aside.put(entries)
    }

    /// Calls `synced` once the log is on stable storage up to `lsn`: at once if it is, otherwise on the
    /// writer's thread, so it must be quick. An error says that it is not, and, when the disk is full, may
    /// become so later.
    pub fn when_synced(&self, lsn: Lsn, synced: Synced) {
        let mut waiters = lock(&self.shared.waiters);
        let result = if lsn <= self.synced_up_to() {
            Ok(())
        } else if let Some(failure) = waiters.failure.clone() {
            Err(failure)
        } else {
            waiters.add(lsn, synced);
            drop(waiters);
            return self.shared.hurry(lsn);
        };
        drop(waiters);
        synced(result);
    }

    /// Everything up to here is on stable storage.
    #[must_use]
    pub fn synced_up_to(&self) -> Lsn {
        Lsn(self.shared.synced.load(Ordering::Acquire))
    }

    /// Whether publishers should wait: too much is not yet on stable storage, or the disk is full.
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        self.is_stalled() || self.unsynced_bytes() > self.shared.unsynced_max_bytes()
    }

    /// What is not yet on stable storage, bytes.
    #[must_use]
    pub fn unsynced_bytes(&self) -> u64 {
        self.shared.unsynced_bytes.load(Ordering::Relaxed)
    }

    /// What its thread does.
    #[must_use]
    pub fn statistics(&self) -> &LogStatistics {
        &self.shared.statistics
    }

    /// The failure after which nothing is stored any more.
    #[must_use]
    pub fn failure(&self) -> Option<LogError> {
        lock(&self.shared.pending).failure.clone()
    }

    /// Whether the disk was full at the last try, or there is room only for what frees some.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.shared.is_stalled.load(Ordering::Relaxed) || self.shared.is_reserve_used()
    }

    /// Takes nothing new. What was appended is still written; then [`LogWriter::run`] returns.
    pub fn close(&self) {
        lock(&self.shared.pending).is_closed = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn new(start: Start, disk: Arc<dyn Disk>, options: LogOptions) -> Self {
        let synced = start.next_lsn.0 - 1;
        Self {
            pending: Mutex::new(Pending::new(start)),
            work: Condvar::new(),
            waiters: Mutex::default(),
            synced: AtomicU64::new(synced),
            unsynced_bytes: AtomicU64::new(0),
            is_stalled: AtomicBool::new(false),
            is_reserve_used: AtomicBool::new(false),
            has_little_room: AtomicBool::new(false),
            written_file: AtomicU64::new(0),
            reader: Reader::new(Arc::clone(&disk)),
            aside: Aside::new(disk),
            ready_bytes: AtomicUsize::new(0),
            statistics: LogStatistics::default(),
            options,
        }
    }

    pub(super) fn options(&self) -> &LogOptions {
        &self.options
    }

    pub(super) fn statistics(&self) -> &LogStatistics {
        &self.statistics
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    pub(super) fn reader(&self) -> &Reader {
        &self.reader
    }

    pub(super) fn is_reserve_used(&self) -> bool {
        self.is_reserve_used.load(Ordering::Relaxed)
    }

    pub(super) fn set_reserve_used(&self, is_used: bool) {
        self.is_reserve_used.store(is_used, Ordering::Relaxed);
    }

    /// What is left on the disk, bytes.
    pub(super) fn note_room(&self, free: u64) {
        let has_little = free < 2 * self.options.unsynced_max_bytes;
        self.has_little_room.store(has_little, Ordering::Relaxed);
    }

    fn unsynced_max_bytes(&self) -> u64 {
        let has_little_room = self.has_little_room.load(Ordering::Relaxed);
        self.options.unsynced_max_bytes / if has_little_room { UNSYNCED_FRACTION } else { 1 }
    }

    /// All files before this one are complete: they can be read.
    pub(super) fn written_file(&self) -> u64 {
        self.written_file.load(Ordering::Acquire)
    }

    pub(super) fn set_written_file(&self, number: u64) {
        self.written_file.store(number, Ordering::Release);
    }

    /// Tells who waited that `batch` is on stable storage.
    pub(super) fn publish_synced(&self, mut batch: Batch) {
        let last_lsn = batch.last_lsn();
        let record_bytes = (batch.bytes.len() - MARK_SIZE) as u64;
        self.unsynced_bytes.fetch_sub(record_bytes, Ordering::Relaxed);
        self.end_stall();
        let mut waiters = lock(&self.waiters);
        self.synced.store(last_lsn.0, Ordering::Release);
        let woken = waiters.take_up_to(last_lsn);
        drop(waiters);
        woken.into_iter().for_each(|synced| synced(Ok(())));
        batch.bytes.clear();
        let mut pending = self.pending();
        // A large message's memory is given back.
        if batch.bytes.capacity() <= IDLE_BUFFER_MAX {
            pending.idle_buffer = batch.bytes;
        }
    }

    /// Tells those who watch the log that there is room only for what frees some; nothing that was appended suffers.
    pub(super) fn warn(&self, error: &LogError) {
        let last = self.pending().last_lsn();
        let woken = lock(&self.waiters).take_above(last);
        woken.into_iter().for_each(|synced| synced(Err(error.clone())));
    }

    /// Tells everybody who waits that the disk is full; those who come later wait for the next try.
    pub(super) fn stall(&self, error: &LogError) {
        self.is_stalled.store(true, Ordering::Relaxed);
        let woken = lock(&self.waiters).take_all();
        woken.into_iter().for_each(|synced| synced(Err(error.clone())));
    }

    /// There is room again.
    pub(super) fn end_stall(&self) {
        self.is_stalled.store(false, Ordering::Relaxed);
    }

    /// Takes nothing new and tells everybody who waits or will wait: nothing more is stored.
    pub(super) fn end(&self, failure: &LogError) {
        {
            let mut pending = self.pending();
            pending.failure.get_or_insert_with(|| failure.clone());
            pending.is_closed = true;
        }
        let mut waiters = lock(&self.waiters);
        waiters.failure.get_or_insert_with(|| failure.clone());
        let woken = waiters.take_all();
        drop(waiters);
        woken.into_iter().for_each(|synced| synced(Err(failure.clone())));
    }

    /// Somebody waits for what was appended up to `lsn`.
    fn hurry(&self, lsn: Lsn) {
        if self.pending().hurry_for(lsn) {
            self.work.notify_one();
        }
    }

    /// Lets what nobody waits for gather a little.
    pub(super) fn linger(&self, timeout: Duration) {
        let mut pending = self.pending();
        pending.is_writer_lingering = true;
        let waited = self.work.wait_timeout_while(pending, timeout, |pending| pending.may_linger());
        let mut pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        pending.is_writer_lingering = false;
    }

    /// Waits until there is something to write; false if nothing came in time.
    pub(super) fn wait_for_work(&self, timeout: Option<Duration>) -> bool {
        let pending = self.pending();
        // Said before each sleep: who woke the writer for what it had just written took the word away.
        let is_idle = |pending: &mut Pending| {
            pending.is_writer_waiting = pending.is_idle();
            pending.is_writer_waiting
        };
        let mut pending = match timeout {
            None => self.work.wait_while(pending, is_idle).unwrap_or_else(PoisonError::into_inner),
            Some(timeout) => {
                let waited = self.work.wait_timeout_while(pending, timeout, is_idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        pending.is_writer_waiting = false;
        !pending.is_idle()
    }

    /// Waits before a full disk is tried again, unless the log is closed.
    pub(super) fn wait_for_retry(&self, timeout: Duration) {
        let pending = self.pending();
        let waited = self.work.wait_timeout_while(pending, timeout, |pending| !pending.is_closed);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Lends what a thread keeps for encoding a record.
fn with_buffer<R>(encode: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    BODY.with_borrow_mut(|buffer| {
        let result = encode(buffer);
        buffer.clear();
        buffer.shrink_to(BODY_KEPT_MAX);
        result
    })
}

/// No state is half changed when a lock is released, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;
    use crate::{
        model::{message::Message, queue::Position},
        storage::disk::RealDisk,
    };

    const THREADS: u64 = 4;
    const MESSAGES: u64 = 300;
    const BODY_SIZE: u64 = 508;

    fn options() -> LogOptions {
        LogOptions { file_size: 64 << 10, budget_bytes: 256 << 10, ..LogOptions::default() }
    }

    fn publish(log: &Log, queue: u64, position: u64) -> Lsn {
        let mut buffer = b"\x00\x01q".to_vec();
        buffer.extend_from_slice(&position.to_le_bytes());
        buffer.resize(buffer.len() + 500, 0);
        let message = Message::from_buffer(buffer.into(), (3, 0), true);
        let places = [(QueueId(queue), Position(position))];
        log.append(&Record::Publish { places: &places, message: &message }).unwrap()
    }

    /// One task: publishes to a queue of its own, waits for each, settles all but every tenth.
    fn run_task(log: &Log, queue: u64) {
        let (sender, synced) = mpsc::channel();
        for position in 0..MESSAGES {
            let lsn = publish(log, queue, position);
            let sender = sender.clone();
            log.when_synced(lsn, Box::new(move |result| sender.send(result).unwrap()));
            synced.recv().unwrap().unwrap();
            assert!(log.synced_up_to() >= lsn);
            if position % 10 != 0 {
                let positions = [Position(position)].into_iter().collect();
                let record =
                    Record::Settle { queue: QueueId(queue), positions: &positions, bytes: BODY_SIZE };
                log.append(&record).unwrap();
            }
        }
        drop(sender);
        assert!(synced.recv().is_err(), "told once each");
    }

    #[test]
    fn many_tasks_share_the_log_and_a_restart_finds_what_is_left() {
        let root = tempfile::tempdir().unwrap();
        let open = || Log::open(Arc::new(RealDisk::open(root.path()).unwrap()), options()).unwrap();
        let (log, writer, recovered) = open();
        assert!(recovered.queues.is_empty());
        thread::scope(|scope| {
            let running = scope.spawn(|| writer.run());
            let tasks: Vec<_> = (0..THREADS)
                .map(|queue| (queue, log.clone()))
                .map(|(queue, log)| scope.spawn(move || run_task(&log, queue)))
                .collect();
            tasks.into_iter().for_each(|task| task.join().unwrap());
            log.close();
            running.join().unwrap().unwrap();
        });
        assert_eq!((log.unsynced_bytes(), log.is_over_limit()), (0, false));
        let (log, writer, recovered) = open();
        assert!(recovered.is_clean && recovered.lost.is_empty());
        for (id, queue) in &recovered.queues {
            assert_eq!((queue.count, queue.bytes), (MESSAGES / 10, MESSAGES / 10 * BODY_SIZE));
            assert_eq!((queue.next_position, queue.newest.len()), (Position(MESSAGES), 0));
            let back = log.read(*id, (Position(0), queue.next_position), usize::MAX);
            let left: Vec<u64> = back.messages.iter().map(|message| message.position.0).collect();
            assert_eq!(left, (0..MESSAGES).step_by(10).collect::<Vec<u64>>());
        }
        assert_eq!(recovered.queues.len() as u64, THREADS);
        drop(writer);
        assert_eq!(log.append(&Record::Delete { queue: QueueId(1) }), Err(LogError::Closed));
    }

    /// Who asks for a sync and comes too late for it hurries a writer that has nothing to do.
    #[test]
    fn a_writer_that_was_hurried_for_nothing_still_hears_of_the_next_record() {
        let root = tempfile::tempdir().unwrap();
        let (log, writer, _) = Log::open(Arc::new(RealDisk::open(root.path()).unwrap()), options()).unwrap();
        thread::scope(|scope| {
            let running = scope.spawn(|| writer.run());
            let (sender, receiver) = mpsc::channel();
            let next = |patience: Duration| receiver.recv_timeout(patience);
            let mut told = Vec::new();
            for position in 0..3 {
                // Until the writer has been quiet for long enough to have nothing left to do.
                for _ in 0..40 {
                    log.shared.hurry(log.synced_up_to());
                    assert!(next(Duration::from_millis(10)).is_err(), "nobody waits for anything");
                }
                let lsn = publish(&log, 1, position);
                let sender = sender.clone();
                log.when_synced(lsn, Box::new(move |_| sender.send(()).unwrap()));
                told.push(next(Duration::from_secs(10)));
            }
            log.close();
            running.join().unwrap().unwrap();
            assert_eq!(told, [Ok(()); 3]);
        });
    }

    #[test]
    fn unsynced_bytes_have_a_limit_that_callers_can_ask_for() {
        let root = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::open(root.path()).unwrap());
        let options = LogOptions { unsynced_max_bytes: 1_000, ..options() };
        let (log, mut writer, _) = Log::open(disk, options).unwrap();
        publish(&log, 1, 0);
        assert!(!log.is_over_limit());
        publish(&log, 1, 1);
        assert!(log.is_over_limit());
        assert_eq!(writer.step(), Ok(Step::Worked));
        assert!(!log.is_over_limit());
    }
}
