//! The seam between queues and the log that keeps their messages.

use std::fmt;

use crate::model::{message::Message, queue::Position, queue_id::QueueId};

/// A queue that messages are appended to; its lock is held.
pub trait LogTarget {
    /// Which queue it is.
    fn queue_id(&self) -> QueueId;

    /// Where the next message goes.
    fn next_position(&self) -> Position;

    /// The log has taken the message. The only way in which a queue learns of one.
    fn on_appended(&mut self, position: Position, message: Message);
}

/// What happens to messages after they were appended.
#[derive(Debug)]
pub enum Record<'a> {
    /// Ended for good: acked or refused.
    Settle(&'a [Position]),
    /// Back in the queue, flagged redelivered.
    Requeue(&'a [Position]),
    /// Everything ready dropped.
    Purge,
    /// The queue and all in it dropped.
    Delete,
}

/// The log of all queues: every message and everything that happens to it, in one order.
pub trait QueueLog: fmt::Debug + Send + Sync {
    /// Appends one message for all its queues and tells each (inline, under their locks).
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message);

    /// Writes down what happened to messages of a queue, whose lock is held.
    fn record(&self, queue: QueueId, record: Record<'_>);
}

/// A log that keeps nothing: messages live as long as the process.
#[derive(Debug, Default)]
pub struct MemoryLog;

impl QueueLog for MemoryLog {
    fn append(&self, targets: &mut [&mut dyn LogTarget], message: Message) {
        let Some((last, others)) = targets.split_last_mut() else { return };
        for target in others {
            target.on_appended(target.next_position(), message.clone());
        }
        last.on_appended(last.next_position(), message);
    }

    fn record(&self, _queue: QueueId, _record: Record<'_>) {}
}
