//! What a queue has too much of for memory: left on disk, and brought back when its turn comes.
//!
//! Persistent messages are in the log anyway and are just dropped from memory. Transient ones are put aside. Both are
//! brought back under the queue's lock by a read of about a megabyte, which the system mostly has in memory.

use std::collections::VecDeque;

use crate::{
    limits::PagingLimits,
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
    /// Transient messages, in order.
    aside: VecDeque<SetAside>,
    limits: PagingLimits,
    /// When ready messages take so much memory, some are paged out.
    page_out_at: usize,
}

/// Messages that were put aside together: all transient ones from one position to before another.
#[derive(Debug)]
struct SetAside {
    from: Position,
    to: Position,
    chunk: Chunk,
}

impl Paging {
    pub(super) fn new(queue: QueueId, is_durable: bool, limits: PagingLimits) -> Self {
        Self { queue, is_durable, aside: VecDeque::new(), limits, page_out_at: limits.memory_max }
    }

    /// Leaves ready messages on disk, if they take too much memory.
    pub(super) fn page_out<C: Clone + Credit>(&mut self, queue: &mut Queue<C>, log: &dyn QueueLog) {
        let memory_bytes = queue.memory_bytes();
        if memory_bytes < self.limits.memory_max {
            self.page_out_at = self.limits.memory_max;
        }
        if memory_bytes < self.page_out_at {
            return;
        }
        let below = if self.is_durable { log.readable_below(self.queue) } else { queue.next_position() };
        if let Err(error) = self.put_aside(queue, below, log) {
            tracing::debug!("queue {}: messages stay in memory: {error}", self.queue.0);
        } else {
            queue.page_out(below, self.limits.head_bytes);
        }
        // If that did not help, it is tried again when a page more is in memory.
        self.page_out_at = self.limits.memory_max.max(queue.memory_bytes() + self.limits.page_bytes);
    }

    /// Brings back the next messages. What cannot be read is named and skipped.
    pub(super) fn page_in<C: Clone + Credit>(&mut self, queue: &mut Queue<C>, log: &dyn QueueLog) {
        let Some((from, to)) = queue.wanted() else { return };
        let page_bytes = self.limits.page_bytes;
        let aside = match self.aside.front() {
            Some(next) if next.from > from => return self.read(queue, log, (from, next.from), page_bytes),
            Some(_) => self.aside.pop_front(),
            None => None,
        };
        let Some(SetAside { to, chunk, .. }) = aside else {
            return self.read(queue, log, (from, to), page_bytes);
        };
        let mut entries = chunk.read().unwrap_or_else(|error| {
            tracing::error!("queue {}: transient messages are lost: {error}", self.queue.0);
            Vec::new()
        });
        if self.is_durable {
            let mut next = from;
            while next < to {
                let back = self.read_log(log, (next, to), usize::MAX);
                entries.extend(back.0);
                next = back.1;
            }
            entries.sort_unstable_by_key(|entry| entry.position);
        }
        queue.page_in(entries, to);
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.aside.clear();
    }

    /// Writes the transient ones of what is pageable, in chunks that are read back one at a time. On failure none of
    /// it is put aside.
    fn put_aside<C: Clone + Credit>(
        &mut self,
        queue: &Queue<C>,
        below: Position,
        log: &dyn QueueLog,
    ) -> std::io::Result<()> {
        let mut written = Vec::new();
        let mut transient: Vec<&Entry> = Vec::new();
        let mut bytes = 0;
        let mut flush = |transient: &mut Vec<&Entry>| {
            let (Some(first), Some(last)) = (transient.first(), transient.last()) else { return Ok(()) };
            let (from, to) = (first.position, Position(last.position.0 + 1));
            written.push(SetAside { from, to, chunk: log.put_aside(transient)? });
            transient.clear();
            Ok::<(), std::io::Error>(())
        };
        for entry in queue.pageable(below, self.limits.head_bytes) {
            bytes += entry.message.size();
            if !(self.is_durable && entry.message.is_persistent()) {
                transient.push(entry);
            }
            if bytes >= self.limits.page_bytes {
                flush(&mut transient)?;
                bytes = 0;
            }
        }
        flush(&mut transient)?;
        self.aside.extend(written);
        Ok(())
    }

    fn read<C: Clone + Credit>(
        &self,
        queue: &mut Queue<C>,
        log: &dyn QueueLog,
        range: (Position, Position),
        bytes_max: usize,
    ) {
        let (entries, next) =
            if self.is_durable { self.read_log(log, range, bytes_max) } else { (Vec::new(), range.1) };
        queue.page_in(entries, next);
    }

    fn read_log(
        &self,
        log: &dyn QueueLog,
        range: (Position, Position),
        bytes_max: usize,
    ) -> (Vec<Entry>, Position) {
        let back = log.read(self.queue, range, bytes_max);
        for lost in &back.lost {
            tracing::error!("message log: {lost}");
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
        let limits = PagingLimits { memory_max: 1_000, head_bytes: 100, page_bytes: 100 };
        let mut paging = Paging::new(QueueId(1), false, limits);
        let mut queue = Queue::<Nobody>::new();
        for position in 0..100 {
            let head = MessageHead { route: b"\0\x01q", header: b"", is_persistent: false };
            queue.on_appended(Position(position), Arena::default().message(head, &[0; 100]));
            // This log cannot put anything aside.
            paging.page_out(&mut queue, &MemoryLog);
        }
        assert!(paging.page_out_at > 10_000);
        while queue.memory_bytes() >= limits.memory_max {
            queue.get(true).unwrap();
        }
        paging.page_out(&mut queue, &MemoryLog);
        assert_eq!(paging.page_out_at, limits.memory_max);
    }
}
