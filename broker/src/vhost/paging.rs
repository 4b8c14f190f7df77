//! What a queue has too much of for memory: left on disk, and brought back when its turn comes.
//!
//! Persistent messages are in the log anyway and are just dropped from memory. Others are put aside. Both are
//! brought back under the queue's lock by a read of about a megabyte, which the system mostly has in memory.

use std::{collections::VecDeque, io};

use crate::{
    limits::{QUEUE_MEMORY_SHARE, QueueLimits, READY_MEMORY_MAX},
    model::{
        queue::{Credit, Entry, Position, Queue},
        queue_id::QueueId,
    },
    storage::queue_log::{Chunk, QueueLog},
};

/// The paged messages of one queue (part of its state, under its lock).
#[derive(Debug)]
pub(super) struct Paging {
    queue: QueueId,
    /// Its persistent messages are in the log.
    is_durable: bool,
    /// What the log cannot give back, in order.
    aside: VecDeque<SetAside>,
    limits: QueueLimits,
    /// After paging out did not help it is not tried again below this.
    retry_at: usize,
    /// What the log was told of the queue's memory.
    noted_bytes: usize,
    /// The operator was told that the log cannot be read now.
    is_refused: bool,
}

/// Messages that were put aside together: all from one position to before another but the persistent ones below a
/// third, which the log gives back.
#[derive(Debug)]
struct SetAside {
    from: Position,
    to: Position,
    logged_below: Position,
    chunk: Chunk,
}

impl Paging {
    pub(super) fn new(queue: QueueId, is_durable: bool, limits: QueueLimits) -> Self {
        Self {
            queue,
            is_durable,
            aside: VecDeque::new(),
            limits,
            retry_at: 0,
            noted_bytes: 0,
            is_refused: false,
        }
    }

    /// Leaves ready messages on disk, if they take too much memory.
    pub(super) fn page_out<C: Clone + Credit>(&mut self, queue: &mut Queue<C>, log: &dyn QueueLog) {
        let all_bytes = self.note_memory(queue, log);
        let QueueLimits { memory_max, head_bytes, .. } = self.limits;
        let max = if all_bytes > READY_MEMORY_MAX { QUEUE_MEMORY_SHARE.min(memory_max) } else { memory_max };
        if queue.memory_bytes() < max {
            self.retry_at = 0;
        }
        if queue.memory_bytes() < max.max(self.retry_at) {
            return;
        }
        let end = queue.next_position();
        let readable =
            if self.is_durable { log.readable_below(self.queue).unwrap_or(end) } else { Position(0) };
        // What the log has anyway, and if that is not enough everything.
        for below in [if self.is_durable { readable } else { end }, end] {
            if queue.memory_bytes() < max {
                break;
            }
            match self.put_aside(queue, below, readable, log) {
                Ok(()) => queue.page_out(below, head_bytes),
                Err(error) => {
                    tracing::debug!("queue {}: messages stay in memory: {error}", self.queue.0);
                    break;
                }
            }
        }
        self.retry_at = queue.memory_bytes() + self.limits.page_bytes;
        self.note_memory(queue, log);
    }

    /// Brings back the next messages; false if that is not possible now. What is damaged is named and skipped.
    pub(super) fn page_in<C: Clone + Credit>(&mut self, queue: &mut Queue<C>, log: &dyn QueueLog) -> bool {
        let Some((from, to)) = queue.wanted() else { return true };
        let (entries, next) = match self.aside.front() {
            Some(aside) if aside.from <= from => {
                let Some((entries, next)) = self.read_aside(from, log) else { return false };
                self.aside.pop_front();
                (entries, next)
            }
            aside => self.read_log(log, (from, aside.map_or(to, |aside| aside.from)), self.limits.page_bytes),
        };
        if next <= from {
            return false;
        }
        self.is_refused = false;
        queue.page_in(entries, next);
        self.note_memory(queue, log);
        true
    }

    /// The queue may take more or less memory than before.
    pub(super) fn note_change<C: Clone + Credit>(&mut self, queue: &Queue<C>, log: &dyn QueueLog) {
        if queue.memory_bytes() != self.noted_bytes {
            self.note_memory(queue, log);
        }
    }

    /// Says what all queues take.
    fn note_memory<C: Clone + Credit>(&mut self, queue: &Queue<C>, log: &dyn QueueLog) -> usize {
        let before = std::mem::replace(&mut self.noted_bytes, queue.memory_bytes());
        log.note_ready_bytes(before, self.noted_bytes)
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.aside.clear();
    }

    /// Writes what the log cannot give back of what is pageable, in chunks that are read back one at a time. On failure
    /// none of it is put aside.
    fn put_aside<C: Clone + Credit>(
        &mut self,
        queue: &Queue<C>,
        below: Position,
        readable: Position,
        log: &dyn QueueLog,
    ) -> io::Result<()> {
        let is_durable = self.is_durable;
        let mut written = Vec::new();
        let mut unlogged: Vec<&Entry> = Vec::new();
        let mut bytes = 0;
        let mut flush = |unlogged: &mut Vec<&Entry>| {
            let (Some(first), Some(last)) = (unlogged.first(), unlogged.last()) else { return Ok(()) };
            let (from, to) = (first.position, Position(last.position.0 + 1));
            written.push(SetAside { from, to, logged_below: readable, chunk: log.put_aside(unlogged)? });
            unlogged.clear();
            Ok::<(), io::Error>(())
        };
        for entry in queue.pageable(below, self.limits.head_bytes) {
            bytes += entry.message.size();
            if !(is_durable && entry.message.is_persistent() && entry.position < readable) {
                unlogged.push(entry);
            }
            if bytes >= self.limits.page_bytes {
                flush(&mut unlogged)?;
                bytes = 0;
            }
        }
        flush(&mut unlogged)?;
        self.aside.extend(written);
        Ok(())
    }

    /// The next chunk, with what the log has between its messages; none if the log cannot be read now.
    fn read_aside(&mut self, from: Position, log: &dyn QueueLog) -> Option<(Vec<Entry>, Position)> {
        let (to, logged_to) = self.aside.front().map(|aside| (aside.to, aside.to.min(aside.logged_below)))?;
        let mut entries = Vec::new();
        let mut next = from;
        while self.is_durable && next < logged_to {
            let (more, reached) = self.read_log(log, (next, logged_to), usize::MAX);
            if reached <= next {
                return None;
            }
            entries.extend(more);
            next = reached;
        }
        match self.aside.front()?.chunk.read() {
            Ok(aside) => entries.extend(aside),
            Err(error) => tracing::error!("queue {}: transient messages are lost: {error}", self.queue.0),
        }
        entries.sort_unstable_by_key(|entry| entry.position);
        Some((entries, to))
    }

    /// Says how far it came; nowhere if the log cannot be read now.
    fn read_log(
        &mut self,
        log: &dyn QueueLog,
        range: (Position, Position),
        bytes_max: usize,
    ) -> (Vec<Entry>, Position) {
        if !self.is_durable {
            return (Vec::new(), range.1);
        }
        let back = log.read(self.queue, range, bytes_max);
        for lost in &back.lost {
            tracing::error!("message log: {lost}");
        }
        if let Some(refusal) = back.refusal.filter(|_| !std::mem::replace(&mut self.is_refused, true)) {
            tracing::error!("queue {}: messages cannot be read now: {refusal}", self.queue.0);
        }
        let entries = back.messages.into_iter().map(|read| Entry {
            position: read.position,
            message: read.message,
            delivery_count: read.delivery_count,
        });
        (entries.collect(), back.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            message::{Arena, MessageHead},
            queue::ConsumerId,
        },
        storage::queue_log::MemoryLog,
    };

    #[derive(Clone, Debug)]
    struct Nobody;

    impl Credit for Nobody {
        fn reserve(&self, _size: usize) -> bool {
            false
        }

        fn consumer_id(&self) -> ConsumerId {
            ConsumerId(0)
        }
    }

    #[test]
    fn a_queue_that_could_not_be_paged_out_once_has_its_limit_again_when_it_is_below() {
        let limits =
            QueueLimits { memory_max: 1_000, head_bytes: 100, page_bytes: 100, ..QueueLimits::default() };
        let mut paging = Paging::new(QueueId(1), false, limits);
        let mut queue = Queue::<Nobody>::new();
        for position in 0..100 {
            let head = MessageHead { route: b"\0\x01q", header: b"", is_persistent: false };
            queue.on_appended(Position(position), Arena::default().message(head, &[0; 100]));
            // This log cannot put anything aside.
            paging.page_out(&mut queue, &MemoryLog);
        }
        assert!(paging.retry_at > 10_000);
        while queue.memory_bytes() >= limits.memory_max {
            queue.get(true).unwrap();
        }
        paging.page_out(&mut queue, &MemoryLog);
        assert_eq!(paging.retry_at, 0);
    }
}
