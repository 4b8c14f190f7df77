//! The seam between queues and the log that keeps their messages.

use std::{fmt, io};

pub use super::aside::Chunk;
use super::{
    LogError,
    log::{Log, ReadBack, Synced},
    position_ranges::PositionRanges,
    record::{Lsn, Record},
};
use crate::model::{
    message::Message,
    queue::{Entry, Position},
    queue_id::QueueId,
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

/// The log of all queues: every message and everything that happens to it, in one order.
pub trait QueueLog: fmt::Debug + Send + Sync {
    /// Appends one message for all its queues and tells each (inline, under their locks). What was appended
    /// is safe when the log is synced up to the number given; none: as safe as it will be. An error means
    /// that no queue has it.
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) -> Result<Option<Lsn>, LogError>;

    /// Writes down what happened to messages of a queue, whose lock is held. After a failure there is
    /// nothing to write to: the broker stops.
    fn record(&self, queue: QueueId, record: QueueRecord<'_>) -> Option<Lsn>;

    /// Persistent messages of a durable queue below this need not be kept in memory: they can be read back.
    fn readable_below(&self, queue: QueueId) -> Position;

    /// Reads persistent messages of a queue, whose lock is held, from a position to before another: about `bytes_max`
    /// of them.
    fn read(&self, queue: QueueId, range: (Position, Position), bytes_max: usize) -> ReadBack;

    /// Puts transient messages on disk for as long as the process lives, so that they need no memory.
    fn put_aside(&self, entries: &[&Entry]) -> io::Result<Chunk>;

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
            let places: Vec<_> = durable.map(|target| (target.queue_id(), target.next_position())).collect();
            if !places.is_empty() {
                lsn = Some(Log::append(self, &Record::Publish { places: &places, message: &message })?);
            }
        }
        tell(targets, message);
        Ok(lsn)
    }

    fn record(&self, queue: QueueId, record: QueueRecord<'_>) -> Option<Lsn> {
        let ranges = |positions: &[Position]| positions.iter().copied().collect::<PositionRanges>();
        let appended = match record {
            QueueRecord::Settle { positions, bytes } => {
                Log::append(self, &Record::Settle { queue, positions: &ranges(positions), bytes })
            }
            QueueRecord::Requeue(positions) => {
                Log::append(self, &Record::Requeue { queue, positions: &ranges(positions) })
            }
            QueueRecord::Purge { up_to, kept, kept_bytes } => {
                Log::append(self, &Record::Purge { queue, up_to, kept: &ranges(kept), kept_bytes })
            }
            QueueRecord::Delete => self.forget(queue),
        };
        appended.ok()
    }

    fn readable_below(&self, queue: QueueId) -> Position {
        Log::readable_below(self, queue)
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

fn tell(targets: &mut [&mut dyn LogTarget], message: Message) {
    let Some((last, others)) = targets.split_last_mut() else { return };
    for target in others {
        target.on_appended(target.next_position(), message.clone());
    }
    last.on_appended(last.next_position(), message);
}

/// A log that keeps nothing, for tests of what is above it.
#[cfg(test)]
#[derive(Debug, Default)]
pub struct MemoryLog;

#[cfg(test)]
impl QueueLog for MemoryLog {
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) -> Result<Option<Lsn>, LogError> {
        tell(targets, message);
        Ok(None)
    }

    fn record(&self, _queue: QueueId, _record: QueueRecord<'_>) -> Option<Lsn> {
        None
    }

    fn readable_below(&self, _queue: QueueId) -> Position {
        Position(0)
    }

    fn read(&self, _queue: QueueId, (_, to): (Position, Position), _bytes_max: usize) -> ReadBack {
        ReadBack { messages: Vec::new(), lost: Vec::new(), next: to }
    }

    fn put_aside(&self, _entries: &[&Entry]) -> io::Result<Chunk> {
        Err(io::ErrorKind::Unsupported.into())
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
