//! The message log: every message and what happened to it, in one order, on stable storage.
//!
//! [`Log::append`] copies a record into the batch that gathers in memory; [`LogWriter::run`], on a thread of
//! its own, writes what gathered while the last sync ran, syncs once, and wakes who waits. There is no timer:
//! a record alone is written at once, a thousand at a time share a sync.
//!
//! Locks: the pending records' and the waiters', each held for moments, never both, never over a write.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

pub use crate::storage::{
    live::FileUse,
    log_writer::{LogWriter, Step},
    recovery::{Recovered, RecoveredMessage, RecoveredQueue},
    waiters::Synced,
};
use crate::{
    model::queue_id::QueueId,
    storage::{
        LogError,
        disk::Disk,
        live::Live,
        log_file::{FILE_HEADER_SIZE, MARK_SIZE, sector_end},
        record::{Body, HEAD_SIZE, Lsn, Record},
        recovery,
        waiters::Waiters,
    },
};

/// Memory kept for the next batch, bytes at most.
const IDLE_BUFFER_MAX: usize = 4 << 20;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Size of one file. A record above it gets a larger file of its own.
    pub file_size: u64,
    /// Above this, live records of a mostly dead oldest file are copied so that the file can be used again.
    pub budget_bytes: u64,
    /// An oldest file with less than this live, or less than an eighth, is mostly dead.
    pub copy_max_bytes: u64,
    /// Files kept ready to be used again.
    pub spares_max: usize,
    /// Publishers should wait when more than this is not yet on stable storage.
    pub unsynced_max_bytes: u64,
    /// Never syncs: what was confirmed is lost when the machine stops. For tests and throw-away data.
    pub unsafe_no_fsync: bool,
    /// Goes into the epochs of files, so that nobody can publish bytes that pass for a record.
    pub salt: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            file_size: 16 << 20,
            budget_bytes: 128 << 20,
            copy_max_bytes: 256 << 10,
            spares_max: 2,
            unsynced_max_bytes: 16 << 20,
            unsafe_no_fsync: false,
            salt: rand::random(),
        }
    }
}

/// The log as all tasks share it.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
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
    options: LogOptions,
}

/// Records that are not yet with the writer, and where they will lie.
#[derive(Debug)]
pub(super) struct Pending {
    /// Complete batches, when a file ended.
    sealed: VecDeque<Batch>,
    /// The batch that gathers records, if there are any.
    open: Option<Batch>,
    /// The file that the next batch goes to.
    file: u64,
    /// Where in it.
    offset: u64,
    next_lsn: Lsn,
    pub(super) live: Live,
    /// A batch's memory, to be used again.
    idle_buffer: Vec<u8>,
    failure: Option<LogError>,
    is_closed: bool,
    is_writer_waiting: bool,
    /// Somebody asked to try a full disk again.
    is_retry_asked: bool,
}

/// What one write and one sync make durable.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) file: u64,
    pub(super) offset: u64,
    /// The mark's.
    pub(super) first_lsn: Lsn,
    pub(super) record_count: u32,
    /// Room for the mark, then the records.
    pub(super) bytes: Vec<u8>,
}

/// What recovery leaves the log to go on with.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) file: u64,
    pub(super) offset: u64,
    pub(super) next_lsn: Lsn,
    pub(super) live: Live,
}

impl Log {
    /// Reads the log in the directory, or begins one. When this returns, everything in [`Recovered`] is on
    /// stable storage.
    pub fn open(disk: Arc<dyn Disk>, options: LogOptions) -> Result<(Self, LogWriter, Recovered), LogError> {
        let (start, files, recovered) = recovery::open(disk.as_ref(), &options)?;
        let shared = Arc::new(Shared::new(start, options));
        let writer = LogWriter::new(disk, Arc::clone(&shared), files);
        Ok((Self { shared }, writer, recovered))
    }

    /// Appends a record. It is on stable storage when the log is synced up to the number returned.
    ///
    /// The caller holds the locks of all queues named in it, so that no queue finds its records in another
    /// order than it decided. A queue's id and its positions are never used twice.
    pub fn append(&self, record: &Record<'_>) -> Result<Lsn, LogError> {
        let body = record.body();
        let size = HEAD_SIZE as u64 + body.size() as u64;
        if u32::try_from(size).is_err() {
            return Err(LogError::TooLarge { size_bytes: size });
        }
        let mut pending = lock(&self.shared.pending);
        if let Some(refusal) = pending.refusal() {
            return Err(refusal);
        }
        self.shared.unsynced_bytes.fetch_add(size, Ordering::Relaxed);
        let lsn = pending.push(&body, record, &self.shared.options);
        let is_writer_waiting = std::mem::take(&mut pending.is_writer_waiting);
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
            return waiters.add(lsn, synced);
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
        self.shared.is_stalled.load(Ordering::Relaxed)
            || self.unsynced_bytes() > self.shared.options.unsynced_max_bytes
    }

    /// What is not yet on stable storage, bytes.
    #[must_use]
    pub fn unsynced_bytes(&self) -> u64 {
        self.shared.unsynced_bytes.load(Ordering::Relaxed)
    }

    /// Tries again now what could not be written because the disk was full.
    pub fn retry(&self) {
        lock(&self.shared.pending).is_retry_asked = true;
        self.shared.work.notify_one();
    }

    /// The failure after which nothing is stored any more.
    #[must_use]
    pub fn failure(&self) -> Option<LogError> {
        lock(&self.shared.pending).failure.clone()
    }

    /// The oldest file that is needed, when it is not the one being written: while it is, no file behind it
    /// can be used again. Its live messages are what to write elsewhere first.
    #[must_use]
    pub fn oldest_live(&self) -> Option<FileUse> {
        let pending = lock(&self.shared.pending);
        pending.live.files().next().filter(|file_use| file_use.number < pending.file).cloned()
    }

    /// All files in use, bytes written.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        lock(&self.shared.pending).live.bytes()
    }

    /// Whether the disk was full at the last try.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        self.shared.is_stalled.load(Ordering::Relaxed)
    }

    /// Takes nothing new. What was appended is still written; then [`LogWriter::run`] returns.
    pub fn close(&self) {
        lock(&self.shared.pending).is_closed = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn new(start: Start, options: LogOptions) -> Self {
        let synced = start.next_lsn.0 - 1;
        let pending = Pending {
            sealed: VecDeque::new(),
            open: None,
            file: start.file,
            offset: start.offset,
            next_lsn: start.next_lsn,
            live: start.live,
            idle_buffer: Vec::new(),
            failure: None,
            is_closed: false,
            is_writer_waiting: false,
            is_retry_asked: false,
        };
        Self {
            pending: Mutex::new(pending),
            work: Condvar::new(),
            waiters: Mutex::default(),
            synced: AtomicU64::new(synced),
            unsynced_bytes: AtomicU64::new(0),
            is_stalled: AtomicBool::new(false),
            options,
        }
    }

    pub(super) fn options(&self) -> &LogOptions {
        &self.options
    }

    pub(super) fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    /// Appends for the log itself, also when it is closed.
    pub(super) fn append_own(&self, pending: &mut Pending, record: &Record<'_>) -> Lsn {
        let body = record.body();
        self.unsynced_bytes.fetch_add((HEAD_SIZE + body.size()) as u64, Ordering::Relaxed);
        pending.push(&body, record, &self.options)
    }

    /// Tells who waited that `batch` is on stable storage.
    pub(super) fn publish_synced(&self, mut batch: Batch) {
        let last_lsn = batch.last_lsn();
        let record_bytes = (batch.bytes.len() - MARK_SIZE) as u64;
        self.unsynced_bytes.fetch_sub(record_bytes, Ordering::Relaxed);
        self.is_stalled.store(false, Ordering::Relaxed);
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

    /// Tells everybody who waits that the disk is full; those who come later wait for the next try.
    pub(super) fn stall(&self, error: &LogError) {
        self.is_stalled.store(true, Ordering::Relaxed);
        let woken = lock(&self.waiters).take_all();
        woken.into_iter().for_each(|synced| synced(Err(error.clone())));
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

    /// Waits until there is something to write; false if nothing came in time.
    pub(super) fn wait_for_work(&self, timeout: Option<Duration>) -> bool {
        let mut pending = self.pending();
        pending.is_writer_waiting = true;
        let is_idle = |pending: &mut Pending| pending.is_idle();
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

    /// Waits until somebody wants a full disk to be tried again.
    pub(super) fn wait_for_retry(&self, timeout: Duration) {
        let mut pending = self.pending();
        let appended = pending.next_lsn;
        pending.is_writer_waiting = true;
        let is_unasked = |pending: &mut Pending| {
            !pending.is_retry_asked && !pending.is_closed && pending.next_lsn == appended
        };
        let waited = self.work.wait_timeout_while(pending, timeout, is_unasked);
        let mut pending = waited.unwrap_or_else(PoisonError::into_inner).0;
        pending.is_retry_asked = false;
        pending.is_writer_waiting = false;
    }
}

impl Pending {
    /// The batch to write next, with all that gathered in it.
    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        if self.sealed.is_empty() {
            self.seal();
        }
        self.sealed.pop_front()
    }

    /// A batch of nothing but its mark; the one that gathers if there is one.
    pub(super) fn take_empty_batch(&mut self) -> Option<Batch> {
        if self.open.is_none() && self.sealed.is_empty() {
            self.open = Some(self.new_batch());
        }
        self.take_batch()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The file that the next batch goes to.
    pub(super) fn file(&self) -> u64 {
        self.sealed.front().map_or(self.file, |batch| batch.file)
    }

    /// The last number given.
    pub(super) fn last_lsn(&self) -> Lsn {
        Lsn(self.next_lsn.0 - 1)
    }

    fn is_idle(&self) -> bool {
        self.open.is_none() && self.sealed.is_empty() && !self.is_closed
    }

    /// Why nothing is taken any more.
    pub(super) fn refusal(&self) -> Option<LogError> {
        match &self.failure {
            Some(LogError::Closed) => Some(LogError::Closed),
            Some(failure) => Some(LogError::Failed { cause: Arc::new(failure.clone()) }),
            None => self.is_closed.then_some(LogError::Closed),
        }
    }

    fn push(&mut self, body: &Body<'_>, record: &Record<'_>, options: &LogOptions) -> Lsn {
        let size = HEAD_SIZE + body.size();
        let used = self.offset + self.open.as_ref().map_or(MARK_SIZE, |batch| batch.bytes.len()) as u64;
        let is_unused = self.open.is_none() && self.offset == FILE_HEADER_SIZE;
        if used + size as u64 > options.file_size && !is_unused {
            self.seal();
            self.file += 1;
            self.offset = FILE_HEADER_SIZE;
            self.live.add_file(self.file);
        }
        let mut batch = self.open.take().unwrap_or_else(|| self.new_batch());
        let lsn = self.next_lsn;
        self.next_lsn.0 += 1;
        batch.record_count += 1;
        body.write(epoch(options.salt, self.file), lsn, &mut batch.bytes);
        self.open = Some(batch);
        self.live.apply(record, self.file, size as u64);
        lsn
    }

    /// A batch whose mark has its number, and nothing in it.
    fn new_batch(&mut self) -> Batch {
        let mut bytes = std::mem::take(&mut self.idle_buffer);
        bytes.resize(MARK_SIZE, 0);
        let first_lsn = self.next_lsn;
        self.next_lsn.0 += 1;
        Batch { file: self.file, offset: self.offset, first_lsn, record_count: 0, bytes }
    }

    fn seal(&mut self) {
        if let Some(batch) = self.open.take() {
            self.offset = sector_end(batch.offset + batch.bytes.len() as u64);
            self.sealed.push_back(batch);
        }
    }
}

impl Batch {
    pub(super) fn last_lsn(&self) -> Lsn {
        Lsn(self.first_lsn.0 + u64::from(self.record_count))
    }
}

/// The epoch of a file: another one each time it is used again.
pub(super) fn epoch(salt: u32, file: u64) -> u32 {
    salt ^ (file & u64::from(u32::MAX)) as u32
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
                log.append(&Record::Settle { queue: QueueId(queue), positions: &positions }).unwrap();
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
        for queue in recovered.queues.values() {
            let left: Vec<u64> = queue.messages.iter().map(|message| message.position.0).collect();
            assert_eq!(left, (0..MESSAGES).step_by(10).collect::<Vec<u64>>());
            assert_eq!(queue.next_position, Position(MESSAGES));
        }
        assert_eq!(recovered.queues.len() as u64, THREADS);
        assert!(log.oldest_live().is_some_and(|oldest| oldest.live_bytes() > 0));
        drop(writer);
        assert_eq!(log.append(&Record::Delete { queue: QueueId(1) }), Err(LogError::Closed));
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
