//! How far a durable queue may hand out messages as never handed out before: a promise that holds after a crash, too.
//!
//! A mark in the log says that everything below a position may have been handed out. It stands there before any such
//! message is handed out, in one of two ways:
//!
//! ```text
//!  consumers keep up    [mark up to 1024] [publish 0] [publish 1] ...    a crash that leaves the message leaves the mark
//!  there is a backlog   [publish 0 .. 9999] ... [mark up to 1024]        handed out when the mark is synced
//! ```
//!
//! A mark reaches so far ahead that the next one is mostly synced before it is needed; if it is not, because a backlog
//! is drained faster than the disk syncs, the ones after it reach further. After a crash all below the last mark are
//! flagged redelivered: some that nobody has seen, as many as a mark reaches ahead at most.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::subscription::Subscription;
use crate::{
    limits::QueueLimits,
    model::{queue::Position, queue_id::QueueId},
    storage::{
        queue_log::{QueueLog, QueueRecord},
        record::Lsn,
    },
};

/// The marks of one queue (part of its state, under its lock).
#[derive(Debug)]
pub(super) struct Marks {
    queue: QueueId,
    limits: QueueLimits,
    /// How far ahead of the first message that was not handed out the next mark reaches.
    ahead: u64,
    /// Everything below may be handed out: the mark is on stable storage.
    synced_below: Position,
    /// Marks that are not, in order.
    unsynced: VecDeque<Mark>,
    /// Behind the last message that needs a mark before it is handed out.
    needed_below: Position,
    /// Whether somebody is told when the next mark is synced.
    is_awaited: Option<Arc<AtomicBool>>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    /// What is appended from here on comes after the mark in the log.
    from: Position,
    up_to: Position,
    lsn: Lsn,
    /// It was made in time for what it covers, as far as anybody knew.
    is_early: bool,
}

impl Marks {
    pub(super) fn new(queue: QueueId, limits: QueueLimits) -> Self {
        let (synced_below, needed_below) = (Position(0), Position(0));
        let (unsynced, is_awaited) = (VecDeque::new(), None);
        Self { queue, limits, ahead: limits.mark_ahead, synced_below, unsynced, needed_below, is_awaited }
    }

    /// The log has a mark up to a position, and messages up to before another.
    pub(super) fn restore(&mut self, up_to: Position, end: Position) {
        self.synced_below = up_to;
        self.needed_below = end;
    }

    /// The message at this position needs a mark.
    pub(super) fn note_persistent(&mut self, position: Position) {
        self.needed_below = Position(position.0 + 1);
    }

    /// From the first message that was never handed out on, how far the queue may go.
    pub(super) fn cleared_below(&mut self, first: Position, log: &dyn QueueLog) -> Position {
        if !self.unsynced.is_empty() {
            self.note_synced(log.synced_up_to());
        }
        let mut cleared = self.synced_below.max(first);
        for mark in &self.unsynced {
            if mark.from <= cleared {
                cleared = cleared.max(mark.up_to);
            }
        }
        cleared
    }

    /// Marks what is about to be appended, from `next` on, if consumers keep up with it: `first` is the first message
    /// that was not handed out, or `next`.
    pub(super) fn cover_append(&mut self, first: Position, next: Position, log: &dyn QueueLog) {
        let ahead = self.limits.mark_ahead;
        if next >= self.up_to() && next.0 < first.0 + ahead.div_ceil(2) {
            self.ahead = ahead;
            self.mark(first, next, true, log);
        }
    }

    /// Marks what is about to be appended, from `next` on, because it may be handed out before what was there. Says
    /// what the newest mark waits for.
    pub(super) fn cover_unordered(&mut self, next: Position, log: &dyn QueueLog) -> Option<Lsn> {
        if next >= self.up_to() {
            self.mark(next, next, true, log);
        }
        self.unsynced.back().map(|mark| mark.lsn)
    }

    /// Marks what comes after what is being handed out, in time for its turn: `first` is the next, `end` where the
    /// queue ends.
    pub(super) fn cover_next(&mut self, first: Position, end: Position, log: &dyn QueueLog) {
        let up_to = self.up_to();
        if self.needed_below > up_to.max(first) && first.0 + self.ahead / 4 >= up_to.0 {
            self.mark(first, end, true, log);
        }
    }

    /// The mark that `first` waits for, made if there is none. Nothing: nothing will come of waiting.
    pub(super) fn request(&mut self, first: Position, end: Position, log: &dyn QueueLog) -> Option<Lsn> {
        if first >= self.up_to() {
            self.mark(first, end, false, log);
        }
        let awaited = self.unsynced.iter_mut().find(|mark| mark.up_to > first)?;
        if std::mem::take(&mut awaited.is_early) {
            // It was not early enough.
            self.ahead = (2 * self.ahead).min(self.limits.mark_ahead_max);
        }
        Some(awaited.lsn).filter(|_| log.failure().is_none())
    }

    /// Lets a consumer's connection resume the queue once the log is synced up to `lsn`, or cannot be now.
    pub(super) fn resume_when_synced(&mut self, lsn: Lsn, messenger: &Arc<Subscription>, log: &dyn QueueLog) {
        let is_awaited = Arc::clone(self.is_awaited.get_or_insert_default());
        if is_awaited.swap(true, Relaxed) {
            return;
        }
        let messenger = Arc::clone(messenger);
        let resume = move |_| {
            is_awaited.store(false, Relaxed);
            messenger.outbox.resume_soon(&messenger);
        };
        log.when_synced(lsn, Box::new(resume));
    }

    /// Who was to resume the queue may be gone: somebody else has to.
    pub(super) fn forget_messenger(&mut self) {
        self.is_awaited = None;
    }

    /// Takes back what was marked and not needed: only what is below `flagged_below` may have been handed out.
    pub(super) fn end(&mut self, flagged_below: Position, log: &dyn QueueLog) {
        if self.up_to() != flagged_below {
            log.record(self.queue, QueueRecord::Delivered { up_to: flagged_below });
        }
        self.unsynced.clear();
        self.synced_below = flagged_below;
    }

    /// Where the last mark ends.
    fn up_to(&self) -> Position {
        self.unsynced.back().map_or(self.synced_below, |mark| mark.up_to)
    }

    fn mark(&mut self, first: Position, end: Position, is_early: bool, log: &dyn QueueLog) {
        let up_to = Position(first.0 + self.ahead);
        let lsn = log.record(self.queue, QueueRecord::Delivered { up_to });
        self.unsynced.extend(lsn.map(|lsn| Mark { from: end, up_to, lsn, is_early }));
    }

    fn note_synced(&mut self, synced: Lsn) {
        while let Some(mark) = self.unsynced.front().filter(|mark| mark.lsn <= synced) {
            self.synced_below = mark.up_to;
            self.unsynced.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::{
        model::message::Message,
        storage::{
            LogError,
            log::Synced,
            queue_log::{LogTarget, LogTransaction, MemoryLog},
        },
    };

    /// Syncs when it is told to.
    #[derive(Debug, Default)]
    struct SlowLog {
        records: AtomicU64,
        synced: AtomicU64,
    }

    impl SlowLog {
        fn sync(&self) {
            self.synced.store(self.records.load(Relaxed), Relaxed);
        }
    }

    impl QueueLog for SlowLog {
        fn append(
            &self,
            targets: &mut [&mut dyn LogTarget],
            message: Message,
        ) -> Result<Option<Lsn>, LogError> {
            MemoryLog.append(targets, message)
        }

        fn append_transaction(
            &self,
            targets: &mut [&mut dyn LogTarget],
            transaction: LogTransaction<'_>,
        ) -> Result<Option<Lsn>, LogError> {
            MemoryLog.append_transaction(targets, transaction)
        }

        fn record(&self, _queue: QueueId, _record: QueueRecord<'_>) -> Option<Lsn> {
            Some(Lsn(self.records.fetch_add(1, Relaxed) + 1))
        }

        fn synced_up_to(&self) -> Lsn {
            Lsn(self.synced.load(Relaxed))
        }

        fn when_synced(&self, lsn: Lsn, synced: Synced) {
            MemoryLog.when_synced(lsn, synced);
        }

        fn is_over_limit(&self) -> bool {
            false
        }

        fn failure(&self) -> Option<LogError> {
            None
        }
    }

    /// Hands out from `first` on until it would have to wait, asking for marks as a queue does; says how far it came.
    fn hand_out(marks: &mut Marks, first: u64, log: &SlowLog) -> u64 {
        const END: Position = Position(1_000);
        let mut next = Position(first);
        while next < marks.cleared_below(next, log) {
            next.0 += 1;
            marks.cover_next(next, END, log);
        }
        assert!(marks.request(next, END, log).is_some());
        next.0
    }

    #[test]
    fn marks_reach_further_while_a_backlog_is_drained_faster_than_they_are_synced() {
        let (log, limits) =
            (SlowLog::default(), QueueLimits { mark_ahead: 8, mark_ahead_max: 20, ..QueueLimits::default() });
        let mut marks = Marks::new(QueueId(1), limits);
        marks.restore(Position(0), Position(1_000));
        // Each waits for the mark that was asked for at three quarters of the one before.
        let mut reached = vec![hand_out(&mut marks, 0, &log)];
        for _ in 0..5 {
            log.sync();
            reached.push(hand_out(&mut marks, *reached.last().unwrap(), &log));
        }
        assert_eq!(reached, [0, 8, 14, 26, 41, 56]);
        // Consumers that keep up do not need them to.
        marks.cover_append(Position(1_003), Position(1_003), &log);
        assert_eq!(marks.up_to(), Position(1_011));
    }
}
