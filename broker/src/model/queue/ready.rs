//! The messages of a queue that wait, in the order of their positions, or of their priorities.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    mem,
};

use super::{Delivery, Entry, Position};
use crate::model::message::Message;

/// Waiting messages.
///
/// ```text
///  returned | head ........ | paged ............................ | tail ........
///           | next to go    | on disk, if there are too many     | newest
/// ```
///
/// A requeued message was handed out before everything in `head`, so it stands before all of it.
///
/// Invariants: nothing is in `tail` unless something is paged. With priorities all is in `ranked`, and paged is only
/// what an earlier process left, until it is brought back before anything else happens.
#[derive(Debug, Default)]
pub(super) struct Ready {
    returned: BTreeMap<Position, Entry>,
    head: VecDeque<Entry>,
    paged: Paged,
    tail: VecDeque<Entry>,
    /// Bodies of all.
    bytes: u64,
    /// What `head` and `tail` take.
    memory_bytes: usize,
    ranked: Option<Box<Ranked>>,
}

/// Messages by priority, the highest first, and by position.
#[derive(Debug)]
struct Ranked {
    /// No priority is higher.
    max: u8,
    entries: BTreeMap<(Reverse<u8>, Position), Entry>,
}

/// Messages that are not in memory: all that the queue has from one position to before another.
#[derive(Clone, Copy, Debug)]
struct Paged {
    from: Position,
    to: Position,
    count: usize,
    bytes: u64,
}

/// A deque gives its memory back when it is empty and could hold more than this.
const KEPT_CAPACITY: usize = 1_024;

impl Ready {
    /// With a highest priority messages are ordered by theirs.
    pub(super) fn new(max_priority: Option<u8>) -> Self {
        let ranked = max_priority.map(|max| Box::new(Ranked { max, entries: BTreeMap::new() }));
        Self { ranked, ..Self::default() }
    }

    pub(super) fn push_back(&mut self, entry: Entry) {
        self.bytes += entry.message.body_size() as u64;
        if let Some(ranked) = &mut self.ranked {
            return ranked.insert(entry);
        }
        self.memory_bytes += entry.memory_bytes();
        let newest = if self.paged.is_empty() { &mut self.head } else { &mut self.tail };
        debug_assert!(newest.back().is_none_or(|before| before.position < entry.position), "in order");
        newest.push_back(entry);
    }

    /// To the place that its position gives it.
    pub(super) fn put_back(&mut self, entry: Entry) {
        self.bytes += entry.message.body_size() as u64;
        match &mut self.ranked {
            Some(ranked) => ranked.insert(entry),
            None => _ = self.returned.insert(entry.position, entry),
        }
    }

    /// Of deliveries that were ready at the same time the one with the lowest rank was first.
    pub(super) fn rank(&self, delivery: &Delivery) -> (Reverse<u8>, Position) {
        let max = self.ranked.as_ref().map(|ranked| ranked.max);
        (Reverse(max.map_or(0, |max| priority(&delivery.message, max))), delivery.position)
    }

    /// None also if the next message is not in memory.
    pub(super) fn pop_front(&mut self) -> Option<Entry> {
        let entry = match &mut self.ranked {
            Some(_) if !self.paged.is_empty() => return None,
            Some(ranked) => ranked.entries.pop_first()?.1,
            None => match self.returned.pop_first() {
                Some((_, entry)) => entry,
                None => self.pop_head()?,
            },
        };
        self.bytes -= entry.message.body_size() as u64;
        Some(entry)
    }

    /// The next message if it is in memory.
    pub(super) fn next(&self) -> Option<&Entry> {
        if let Some(ranked) = &self.ranked {
            let first = ranked.entries.first_key_value().filter(|_| self.paged.is_empty());
            return first.map(|(_, entry)| entry);
        }
        match self.returned.first_key_value() {
            Some((_, entry)) => Some(entry),
            None => self.head.front(),
        }
    }

    /// Where the first message stands, or may stand, that was not taken before.
    pub(super) fn first_new(&self) -> Option<Position> {
        match self.head.front() {
            Some(entry) => Some(entry.position),
            None => (!self.paged.is_empty()).then_some(self.paged.from),
        }
    }

    /// Drops everything; says how many there were.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.len();
        *self = Self::new(self.ranked.as_ref().map(|ranked| ranked.max));
        count
    }

    pub(super) fn len(&self) -> usize {
        let ranked = self.ranked.as_ref().map_or(0, |ranked| ranked.entries.len());
        self.returned.len() + self.head.len() + self.paged.count + self.tail.len() + ranked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many are not in memory, and their bodies together.
    pub(super) fn paged(&self) -> (usize, u64) {
        (self.paged.count, self.paged.bytes)
    }

    /// What waiting messages that may be paged out take in memory, about.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Where the next message is if it is not in memory: from one position to before another.
    pub(super) fn wanted(&self) -> Option<(Position, Position)> {
        let is_wanted = !self.paged.is_empty() && self.returned.is_empty() && self.head.is_empty();
        is_wanted.then_some((self.paged.from, self.paged.to))
    }

    /// What can be paged out: the messages in memory that stand below a position, but for the next ones up to so many
    /// bytes.
    pub(super) fn pageable(&self, below: Position, head_bytes: usize) -> impl Iterator<Item = &Entry> {
        let (from, to) = self.pageable_range(below, head_bytes);
        let of = if self.paged.is_empty() { &self.head } else { &self.tail };
        of.range(from..to)
    }

    /// Drops what is pageable from memory.
    pub(super) fn page_out(&mut self, below: Position, head_bytes: usize) {
        let (from, to) = self.pageable_range(below, head_bytes);
        let out: VecDeque<Entry> = if self.paged.is_empty() {
            self.tail = self.head.split_off(to);
            self.head.split_off(from)
        } else {
            let tail = self.tail.split_off(to);
            mem::replace(&mut self.tail, tail)
        };
        let (Some(first), Some(last)) = (out.front(), out.back()) else {
            if self.paged.is_empty() {
                self.join_tail();
            }
            return;
        };
        if self.paged.is_empty() {
            self.paged.from = first.position;
        }
        self.paged.to = Position(last.position.0 + 1);
        self.paged.count += out.len();
        for entry in &out {
            self.paged.bytes += entry.message.body_size() as u64;
            self.memory_bytes -= entry.memory_bytes();
        }
    }

    /// Takes back the next of what is paged: all that there is up to before `next`.
    pub(super) fn page_in(&mut self, entries: impl IntoIterator<Item = Entry>, next: Position) {
        for entry in entries {
            debug_assert!(self.head.back().is_none_or(|before| before.position < entry.position), "in order");
            let body_size = entry.message.body_size() as u64;
            // After damage there may be more than was counted.
            self.bytes += body_size.saturating_sub(self.paged.bytes);
            self.paged.bytes = self.paged.bytes.saturating_sub(body_size);
            self.paged.count = self.paged.count.saturating_sub(1);
            if let Some(ranked) = &mut self.ranked {
                ranked.insert(entry);
                continue;
            }
            self.memory_bytes += entry.memory_bytes();
            self.head.push_back(entry);
        }
        self.paged.from = next.max(self.paged.from);
        if self.paged.from < self.paged.to {
            return;
        }
        // What could not be read is gone.
        self.bytes = self.bytes.saturating_sub(self.paged.bytes);
        self.paged = Paged::default();
        self.join_tail();
    }

    /// Messages that are on disk from the start, before all others.
    pub(super) fn restore_paged(&mut self, to: Position, count: usize, bytes: u64) {
        if count > 0 {
            self.paged = Paged { from: Position(0), to, count, bytes };
            self.bytes += bytes;
        }
    }

    fn pop_head(&mut self) -> Option<Entry> {
        let entry = self.head.pop_front()?;
        self.memory_bytes -= entry.memory_bytes();
        if self.head.is_empty() && self.head.capacity() > KEPT_CAPACITY {
            self.head = VecDeque::new();
        }
        Some(entry)
    }

    /// Of `head` if nothing is paged, otherwise of `tail`.
    fn pageable_range(&self, below: Position, head_bytes: usize) -> (usize, usize) {
        if !self.paged.is_empty() {
            return (0, self.tail.partition_point(|entry| entry.position < below));
        }
        let mut kept = 0;
        let stays = |entry: &&Entry| {
            kept += entry.memory_bytes();
            kept <= head_bytes
        };
        let from = self.head.iter().take_while(stays).count();
        (from, self.head.partition_point(|entry| entry.position < below).max(from))
    }

    fn join_tail(&mut self) {
        self.head.append(&mut self.tail);
        self.tail = VecDeque::new();
    }
}

impl Ranked {
    fn insert(&mut self, entry: Entry) {
        self.entries.insert((Reverse(priority(&entry.message, self.max)), entry.position), entry);
    }
}

fn priority(message: &Message, max: u8) -> u8 {
    let properties = message.content_header().map(|header| header.properties);
    properties.and_then(|properties| properties.priority).unwrap_or(0).min(max)
}

impl Paged {
    fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

impl Default for Paged {
    fn default() -> Self {
        Self { from: Position(0), to: Position(0), count: 0, bytes: 0 }
    }
}

impl Entry {
    /// What it takes in memory, about.
    fn memory_bytes(&self) -> usize {
        self.message.size() + mem::size_of::<Self>()
    }
}

#[cfg(test)]
mod tests;
