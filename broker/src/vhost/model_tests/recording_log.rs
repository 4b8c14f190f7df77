//! The real log, and beside it what each of its records makes of the durable queues: what a crash may leave.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::{
    limits::QueueLimits,
    model::{
        message::Message,
        queue::{Entry, Position},
        queue_id::QueueId,
    },
    storage::{
        LogError,
        log::{Log, ReadBack, Synced},
        queue_log::{Chunk, LogTarget, LogTransaction, QueueLog, QueueRecord},
        record::Lsn,
    },
};

/// Persistent messages of durable queues by place: their numbers.
pub(super) type Durable = BTreeMap<(QueueId, Position), u64>;

/// A log that remembers.
#[derive(Debug)]
pub(super) struct RecordingLog {
    pub(super) log: Log,
    limits: QueueLimits,
    recorded: Mutex<Recorded>,
    pub(super) read_count: AtomicUsize,
    pub(super) aside_count: AtomicUsize,
}

#[derive(Debug)]
struct Recorded {
    current: Durable,
    /// After each record.
    snapshots: BTreeMap<Lsn, Durable>,
    /// The last record that is not only a queue's.
    last_appended: Option<Lsn>,
}

impl RecordingLog {
    pub(super) fn new(log: Log, limits: QueueLimits, last_lsn: Lsn, current: Durable) -> Self {
        let snapshots = BTreeMap::from([(last_lsn, current.clone())]);
        let recorded = Mutex::new(Recorded { current, snapshots, last_appended: None });
        Self { log, limits, recorded, read_count: AtomicUsize::new(0), aside_count: AtomicUsize::new(0) }
    }

    /// What all records come to.
    pub(super) fn current(&self) -> Durable {
        self.lock().current.clone()
    }

    /// What the records up to `lsn` come to, and the last of them.
    pub(super) fn at(&self, lsn: Lsn) -> (Lsn, Durable) {
        let recorded = self.lock();
        let (last, durable) = recorded.snapshots.range(..=lsn).next_back().unwrap();
        (*last, durable.clone())
    }

    /// The last append or transaction since this was asked before.
    pub(super) fn take_last_appended(&self) -> Option<Lsn> {
        self.lock().last_appended.take()
    }

    /// What cannot be lost any more is not needed.
    pub(super) fn forget_old(&self) {
        let mut recorded = self.lock();
        let (&synced, _) = recorded.snapshots.range(..=self.log.synced_up_to()).next_back().unwrap();
        recorded.snapshots = recorded.snapshots.split_off(&synced);
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap()
    }
}

impl Recorded {
    fn note(&mut self, lsn: Lsn) {
        self.snapshots.insert(lsn, self.current.clone());
    }

    fn publish(&mut self, places: &[(QueueId, Position)], message: u64) {
        for place in places {
            assert_eq!(self.current.insert(*place, message), None, "a place is given twice: {place:?}");
        }
    }

    fn apply(&mut self, queue: QueueId, record: &QueueRecord<'_>) {
        match record {
            QueueRecord::Settle { positions, .. } => {
                for position in *positions {
                    assert!(self.current.remove(&(queue, *position)).is_some(), "settled twice");
                }
            }
            QueueRecord::Requeue(positions) => {
                assert!(positions.iter().all(|position| self.current.contains_key(&(queue, *position))));
            }
            QueueRecord::Delivered { .. } => {}
            QueueRecord::Purge { up_to, kept, .. } => {
                self.current.retain(|(own, position), _| {
                    *own != queue || position >= up_to || kept.contains(position)
                });
            }
            QueueRecord::Delete => self.current.retain(|(own, _), _| *own != queue),
        }
    }
}

/// The number that a message begins with.
fn number(message: &Message) -> u64 {
    u64::from_le_bytes(message.body()[..8].try_into().unwrap())
}

impl QueueLog for RecordingLog {
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) -> Result<Option<Lsn>, LogError> {
        let durable =
            targets.iter().filter(|target| message.is_persistent() && target.is_durable()).map(|target| {
                let place: (QueueId, Position) = (target.queue_id(), target.next_position());
                place
            });
        let (places, number): (Vec<_>, u64) = (durable.collect(), number(&message));
        let lsn = QueueLog::append(&self.log, targets, message)?;
        assert_eq!(lsn.is_some(), !places.is_empty());
        if let Some(lsn) = lsn {
            let mut recorded = self.lock();
            recorded.publish(&places, number);
            recorded.note(lsn);
            recorded.last_appended = Some(lsn);
        }
        Ok(lsn)
    }

    fn append_transaction(
        &self,
        targets: &mut [&mut dyn LogTarget],
        transaction: LogTransaction<'_>,
    ) -> Result<Option<Lsn>, LogError> {
        let mut after = self.lock();
        for (queue, record) in &transaction.records {
            after.apply(*queue, record);
        }
        let mut next: Vec<u64> = targets.iter().map(|target| target.next_position().0).collect();
        for run in &transaction.runs {
            for message in &run.messages {
                for &index in &run.targets {
                    if message.is_persistent() && targets[index].is_durable() {
                        after.publish(&[(targets[index].queue_id(), Position(next[index]))], number(message));
                    }
                    next[index] += 1;
                }
            }
        }
        let lsn = QueueLog::append_transaction(&self.log, targets, transaction)?;
        if let Some(lsn) = lsn {
            after.note(lsn);
            after.last_appended = Some(lsn);
        }
        Ok(lsn)
    }

    fn record(&self, queue: QueueId, record: QueueRecord<'_>) -> Option<Lsn> {
        let mut recorded = self.lock();
        recorded.apply(queue, &record);
        let lsn = QueueLog::record(&self.log, queue, record);
        recorded.note(lsn.unwrap());
        lsn
    }

    fn readable_below(&self, queue: QueueId) -> Option<Position> {
        QueueLog::readable_below(&self.log, queue)
    }

    fn read(&self, queue: QueueId, range: (Position, Position), bytes_max: usize) -> ReadBack {
        self.read_count.fetch_add(1, Relaxed);
        let back = QueueLog::read(&self.log, queue, range, bytes_max);
        assert_eq!(back.lost, Vec::<String>::new());
        assert!(range.0 < back.next && back.next <= range.1, "{range:?}, then {:?}", back.next);
        back
    }

    fn put_aside(&self, entries: &[&Entry]) -> io::Result<Chunk> {
        self.aside_count.fetch_add(1, Relaxed);
        QueueLog::put_aside(&self.log, entries)
    }

    fn queue_limits(&self) -> QueueLimits {
        self.limits
    }

    fn synced_up_to(&self) -> Lsn {
        self.log.synced_up_to()
    }

    fn when_synced(&self, lsn: Lsn, synced: Synced) {
        self.log.when_synced(lsn, synced);
    }

    fn is_over_limit(&self) -> bool {
        self.log.is_over_limit()
    }

    fn failure(&self) -> Option<LogError> {
        self.log.failure()
    }
}
