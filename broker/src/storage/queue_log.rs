//! The seam between queues and the log that keeps their messages.

use std::{fmt, io, ops::Range};

use smallvec::SmallVec;

pub use super::aside::Chunk;
use super::{
    LogError,
    log::{Log, ReadBack, Synced},
    position_ranges::PositionRanges,
    record::{Lsn, Record},
};
use crate::{
    limits::QueueLimits,
    model::{
        message::Message,
        queue::{Entry, Position},
        queue_id::QueueId,
    },
};

/// A queue that messages are appended to; its lock is held.
pub trait LogTarget {
    /// Which queue it is.
    fn queue_id(&self) -> QueueId;

    /// Its persistent messages survive.
    fn is_durable(&self) -> bool;

    /// Where the next message goes.
    fn next_position(&self) -> Position;

    /// The log has taken the message. The only way in which a queue learns of one.
    fn on_appended(&mut self, position: Position, message: Message);
}

/// What happens to persistent messages of a durable queue after they were appended.
#[derive(Debug)]
pub enum QueueRecord<'a> {
    /// Ended for good: acked, refused, or handed to a consumer that does not ack.
    Settle {
        /// Which.
        positions: &'a [Position],
        /// Their bodies together.
        bytes: u64,
    },
    /// Back in the queue, flagged redelivered.
    Requeue(&'a [Position]),
    /// Everything below may have been handed out.
    Delivered {
        /// The first position that was not.
        up_to: Position,
    },
    /// Everything below `up_to` dropped but what is `kept`.
    Purge {
        /// The first position that is not dropped.
        up_to: Position,
        /// Handed out and not yet settled.
        kept: &'a [Position],
        /// Their bodies together.
        kept_bytes: u64,
    },
    /// The queue and all in it dropped.
    Delete,
}

/// What counts together or not at all.
#[derive(Debug, Default)]
pub struct LogTransaction<'a> {
    /// What is published, in order.
    pub runs: Vec<TransactionRun>,
    /// What happens to messages that were there before.
    pub records: Vec<(QueueId, QueueRecord<'a>)>,
}

/// Messages of a transaction that go to the same queues.
#[derive(Debug)]
pub struct TransactionRun {
    /// Which of the transaction's targets, each once.
    pub targets: Vec<usize>,
    /// What was published, in order.
    pub messages: Vec<Message>,
}

/// The log of all queues: every message and everything that happens to it, in one order.
pub trait QueueLog: fmt::Debug + Send + Sync {
    /// Appends one message for all its queues and tells each (inline, under their locks). What was appended
    /// is safe when the log is synced up to the number given; none: as safe as it will be. An error means
    /// that no queue has it.
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) -> Result<Option<Lsn>, LogError>;

    /// Appends a transaction as one record, and tells each target of its messages (inline, under the locks of
    /// all queues named). What was appended is safe when the log is synced up to the number given; none: as
    /// safe as it will be. After an error no queue has any of it, and after a crash all have all or none any.
    fn append_transaction(
        &self,
        targets: &mut [&mut dyn LogTarget],
        transaction: LogTransaction<'_>,
    ) -> Result<Option<Lsn>, LogError>;

    /// Writes down what happened to messages of a queue, whose lock is held. After a failure there is
    /// nothing to write to: the broker stops.
    fn record(&self, queue: QueueId, record: QueueRecord<'_>) -> Option<Lsn>;

    /// The ready messages of a queue took `before` in memory and take `after` now; says what all queues' take, if the
    /// log keeps count.
    fn note_ready_bytes(&self, _before: usize, after: usize) -> usize {
        after
    }

    /// Persistent messages of a durable queue below this need not be kept in memory: they can be read back. None: all.
    /// Nothing, unless the log knows better.
    fn readable_below(&self, _queue: QueueId) -> Option<Position> {
        Some(Position(0))
    }

    /// Reads persistent messages of a queue, whose lock is held, from a position to before another: about `bytes_max`
    /// of them.
    fn read(&self, _queue: QueueId, (_, to): (Position, Position), _bytes_max: usize) -> ReadBack {
        ReadBack { messages: Vec::new(), lost: Vec::new(), refusal: None, next: to }
    }

    /// Puts transient messages on disk for as long as the process lives, so that they need no memory.
    fn put_aside(&self, _entries: &[&Entry]) -> io::Result<Chunk> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How much of a queue stays in memory while the rest can be read.
    fn queue_limits(&self) -> QueueLimits {
        QueueLimits::default()
    }

    /// Everything up to here is on stable storage.
    fn synced_up_to(&self) -> Lsn;

    /// Calls `synced` once that is so for `lsn`, or never will be.
    fn when_synced(&self, lsn: Lsn, synced: Synced);

    /// So much is on its way to the disk that publishers should wait for their own.
    fn is_over_limit(&self) -> bool;

    /// Nothing is stored any more, and why.
    fn failure(&self) -> Option<LogError>;
}

impl QueueLog for Log {
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) -> Result<Option<Lsn>, LogError> {
        let mut lsn = None;
        if message.is_persistent() {
            let durable = targets.iter().filter(|target| target.is_durable());
            let places: SmallVec<[_; 2]> =
                durable.map(|target| (target.queue_id(), target.next_position())).collect();
            if !places.is_empty() {
                lsn = Some(Log::append(self, &Record::Publish { places: &places, message: &message })?);
            }
        }
        tell(targets, message);
        Ok(lsn)
    }

    fn append_transaction(
        &self,
        targets: &mut [&mut dyn LogTarget],
        transaction: LogTransaction<'_>,
    ) -> Result<Option<Lsn>, LogError> {
        let LogTransaction { runs, records } = transaction;
        let (places, published) = places(targets, &runs);
        let ranges: Vec<PositionRanges> = records.iter().map(|(_, record)| record.ranges()).collect();
        let published = published.into_iter().map(|(message, own)| {
            let places = &places[own];
            Record::Publish { places, message }
        });
        let others = records.iter().zip(&ranges);
        let others = others.map(|((queue, record), ranges)| record.log_record(*queue, ranges));
        let records: Vec<Record<'_>> = published.chain(others).collect();
        let lsn = match records.is_empty() {
            true => None,
            false => Some(Log::append_transaction(self, &records)?),
        };
        tell_runs(targets, runs);
        Ok(lsn)
    }

    fn record(&self, queue: QueueId, record: QueueRecord<'_>) -> Option<Lsn> {
        Log::append(self, &record.log_record(queue, &record.ranges())).ok()
    }

    fn readable_below(&self, queue: QueueId) -> Option<Position> {
        Log::readable_below(self, queue)
    }

    fn note_ready_bytes(&self, before: usize, after: usize) -> usize {
        Log::note_ready_bytes(self, before, after)
    }

    fn read(&self, queue: QueueId, range: (Position, Position), bytes_max: usize) -> ReadBack {
        Log::read(self, queue, range, bytes_max)
    }

    fn put_aside(&self, entries: &[&Entry]) -> io::Result<Chunk> {
        Log::put_aside(self, entries)
    }

    fn synced_up_to(&self) -> Lsn {
        Log::synced_up_to(self)
    }

    fn when_synced(&self, lsn: Lsn, synced: Synced) {
        Log::when_synced(self, lsn, synced);
    }

    fn is_over_limit(&self) -> bool {
        Log::is_over_limit(self)
    }

    fn failure(&self) -> Option<LogError> {
        Log::failure(self)
    }
}

impl QueueRecord<'_> {
    /// The positions that it names.
    fn ranges(&self) -> PositionRanges {
        let positions = match self {
            Self::Settle { positions, .. }
            | Self::Requeue(positions)
            | Self::Purge { kept: positions, .. } => *positions,
            Self::Delivered { .. } | Self::Delete => &[],
        };
        positions.iter().copied().collect()
    }

    fn log_record<'a>(&self, queue: QueueId, ranges: &'a PositionRanges) -> Record<'a> {
        match *self {
            Self::Settle { bytes, .. } => Record::Settle { queue, positions: ranges, bytes },
            Self::Requeue(_) => Record::Requeue { queue, positions: ranges },
            Self::Delivered { up_to } => Record::Delivered { queue, up_to },
            Self::Purge { up_to, kept_bytes, .. } => Record::Purge { queue, up_to, kept: ranges, kept_bytes },
            Self::Delete => Record::Delete { queue },
        }
    }
}

type Places = Vec<(QueueId, Position)>;

/// The places of all messages that are to be safe, and of each which of them are its own.
fn places<'a>(
    targets: &[&mut dyn LogTarget],
    runs: &'a [TransactionRun],
) -> (Places, Vec<(&'a Message, Range<usize>)>) {
    let mut next: Vec<u64> = targets.iter().map(|target| target.next_position().0).collect();
    let (mut places, mut published) = (Places::new(), Vec::new());
    for run in runs {
        for message in &run.messages {
            let begin = places.len();
            for &index in &run.targets {
                if message.is_persistent() && targets[index].is_durable() {
                    places.push((targets[index].queue_id(), Position(next[index])));
                }
                next[index] += 1;
            }
            if places.len() > begin {
                published.push((message, begin..places.len()));
            }
        }
    }
    (places, published)
}

fn tell_runs(targets: &mut [&mut dyn LogTarget], runs: Vec<TransactionRun>) {
    for TransactionRun { targets: indexes, messages } in runs {
        for message in messages {
            for &index in &indexes {
                let target = &mut targets[index];
                target.on_appended(target.next_position(), message.clone());
            }
        }
    }
}

fn tell(targets: &mut [&mut dyn LogTarget], message: Message) {
    let Some((last, others)) = targets.split_last_mut() else { return };
    for target in others {
        target.on_appended(target.next_position(), message.clone());
    }
    last.on_appended(last.next_position(), message);
}

/// A log that keeps nothing, to try what is above it.
#[derive(Debug, Default)]
pub struct MemoryLog;

impl QueueLog for MemoryLog {
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) -> Result<Option<Lsn>, LogError> {
        tell(targets, message);
        Ok(None)
    }

    fn append_transaction(
        &self,
        targets: &mut [&mut dyn LogTarget],
        transaction: LogTransaction<'_>,
    ) -> Result<Option<Lsn>, LogError> {
        tell_runs(targets, transaction.runs);
        Ok(None)
    }

    fn record(&self, _queue: QueueId, _record: QueueRecord<'_>) -> Option<Lsn> {
        Some(self.synced_up_to())
    }

    fn synced_up_to(&self) -> Lsn {
        Lsn(0)
    }

    fn when_synced(&self, _lsn: Lsn, synced: Synced) {
        synced(Ok(()));
    }

    fn is_over_limit(&self) -> bool {
        false
    }

    fn failure(&self) -> Option<LogError> {
        None
    }
}
