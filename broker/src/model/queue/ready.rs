//! The messages of a queue that wait, in the order of their positions.

use std::collections::{BTreeMap, VecDeque};

use super::{Entry, Position};

/// Waiting messages.
///
/// A requeued message was handed out before everything in `fresh`, so it stands before all of it:
/// the head is the first of `returned`, then the first of `fresh`.
#[derive(Debug, Default)]
pub(super) struct Ready {
    returned: BTreeMap<Position, Entry>,
    fresh: VecDeque<Entry>,
    bytes: u64,
}

/// `fresh` gives its memory back when it is empty and could hold more than this.
const KEPT_CAPACITY: usize = 1_024;

impl Ready {
    pub(super) fn push_back(&mut self, entry: Entry) {
        self.bytes += entry.message.body_size() as u64;
        self.fresh.push_back(entry);
    }

    /// To the place that its position gives it.
    pub(super) fn put_back(&mut self, entry: Entry) {
        self.bytes += entry.message.body_size() as u64;
        self.returned.insert(entry.position, entry);
    }

    pub(super) fn pop_front(&mut self) -> Option<Entry> {
        let entry = match self.returned.pop_first() {
            Some((_, entry)) => entry,
            None => self.fresh.pop_front()?,
        };
        self.bytes -= entry.message.body_size() as u64;
        if self.fresh.is_empty() && self.fresh.capacity() > KEPT_CAPACITY {
            self.fresh = VecDeque::new();
        }
        Some(entry)
    }

    /// Size of the head, bytes.
    pub(super) fn head_size(&self) -> Option<usize> {
        let head = match self.returned.first_key_value() {
            Some((_, entry)) => entry,
            None => self.fresh.front()?,
        };
        Some(head.message.size())
    }

    /// Drops everything; says how many there were.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.len();
        *self = Self::default();
        count
    }

    pub(super) fn len(&self) -> usize {
        self.returned.len() + self.fresh.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.returned.is_empty() && self.fresh.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
