//! Waiting messages against a sorted map, with a disk that is another one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::message::{Arena, MessageHead};

/// Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Push {
        body_size: usize,
    },
    Pop,
    /// Puts back one that was popped.
    PutBack {
        nth: usize,
    },
    PageOut {
        below: u64,
        head_bytes: usize,
    },
    PageIn {
        count: usize,
    },
    Clear,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => (0..200_usize).prop_map(|body_size| Operation::Push { body_size }),
        5 => Just(Operation::Pop),
        2 => (0..100_usize).prop_map(|nth| Operation::PutBack { nth }),
        4 => (0..100_u64, 0..600_usize)
            .prop_map(|(below, head_bytes)| Operation::PageOut { below, head_bytes }),
        4 => (0..5_usize).prop_map(|count| Operation::PageIn { count }),
        1 => Just(Operation::Clear),
    ]
}

fn entry(position: u64, body_size: usize) -> Entry {
    let head = MessageHead { route: b"\0\x01q", header: b"h", is_persistent: false };
    let message = Arena::default().message(head, &vec![0; body_size]);
    Entry { position: Position(position), message, delivery_count: 0 }
}

#[derive(Debug, Default)]
struct World {
    ready: Ready,
    next: u64,
    waiting: BTreeMap<u64, Entry>,
    popped: Vec<Entry>,
    disk: BTreeMap<u64, Entry>,
}

impl World {
    /// What an earlier process left.
    fn restored(count: u64) -> Self {
        let mut world = Self { next: count, ..Self::default() };
        for position in 0..count {
            world.waiting.insert(position, entry(position, 10));
        }
        world.disk = world.waiting.clone();
        let count = usize::try_from(count).unwrap();
        world.ready.restore_paged(Position(world.next), count, count as u64 * 10);
        world
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Push { body_size } => {
                let entry = entry(self.next, body_size);
                self.waiting.insert(self.next, entry.clone());
                self.ready.push_back(entry);
                self.next += 1;
            }
            Operation::Pop => {
                let first = self.waiting.first_key_value().map(|(position, _)| *position);
                match self.ready.pop_front() {
                    Some(entry) => {
                        assert_eq!(Some(entry.position.0), first);
                        self.popped.extend(self.waiting.remove(&entry.position.0));
                    }
                    None => assert!(first.is_none() || self.ready.wanted().is_some()),
                }
            }
            Operation::PutBack { nth } => {
                if !self.popped.is_empty() {
                    let entry = self.popped.swap_remove(nth % self.popped.len());
                    self.waiting.insert(entry.position.0, entry.clone());
                    self.ready.put_back(entry);
                }
            }
            Operation::PageOut { below, head_bytes } => {
                let below = Position(below % (self.next + 2));
                let paged: Vec<Entry> = self.ready.pageable(below, head_bytes).cloned().collect();
                assert!(paged.iter().all(|entry| entry.position < below));
                self.disk.extend(paged.into_iter().map(|entry| (entry.position.0, entry)));
                self.ready.page_out(below, head_bytes);
                assert_eq!(self.ready.pageable(below, head_bytes).count(), 0);
            }
            Operation::PageIn { count } => self.page_in(count),
            Operation::Clear => {
                assert_eq!(self.ready.clear(), self.waiting.len());
                (self.waiting, self.disk) = (BTreeMap::new(), BTreeMap::new());
            }
        }
    }

    fn page_in(&mut self, count: usize) {
        let Some((from, to)) = self.ready.wanted() else { return };
        let mut entries: Vec<Entry> = self.disk.range(from.0..to.0).map(|(_, entry)| entry.clone()).collect();
        let left = entries.split_off(count.min(entries.len()));
        let next = left.first().map_or(to, |entry| entry.position);
        self.disk = left.into_iter().map(|entry| (entry.position.0, entry)).collect();
        self.ready.page_in(entries, next);
    }

    fn check(&self) {
        let in_memory = || self.ready.head.iter().chain(&self.ready.tail);
        assert_eq!(self.ready.len(), self.waiting.len());
        assert_eq!(self.ready.is_empty(), self.waiting.is_empty());
        let bytes: u64 = self.waiting.values().map(|entry| entry.message.body_size() as u64).sum();
        assert_eq!(self.ready.bytes(), bytes);
        let memory_bytes: usize = in_memory().map(Entry::memory_bytes).sum();
        assert_eq!(self.ready.memory_bytes(), memory_bytes);
        assert!(self.ready.tail.is_empty() || !self.ready.paged.is_empty());
        let wanted = self.waiting.first_key_value().filter(|_| self.ready.wanted().is_some());
        assert!(wanted.is_none_or(|(position, _)| self.disk.contains_key(position)));
        assert!(self.ready.wanted().is_some() || self.ready.next().is_none() == self.ready.is_empty());
    }

    fn drain(&mut self) {
        while !self.ready.is_empty() {
            self.apply(Operation::Pop);
            self.apply(Operation::PageIn { count: 2 });
            self.check();
        }
        assert!(self.waiting.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn paging_changes_neither_order_nor_counts(
        restored in 0..10_u64,
        operations in prop::collection::vec(operation(), 1..80),
    ) {
        let mut world = World::restored(restored);
        for operation in operations {
            world.apply(operation);
            world.check();
        }
        world.drain();
    }
}

#[test]
fn the_newest_wait_behind_what_is_paged_even_if_none_of_them_can_be_paged_out() {
    let mut world = World::restored(2);
    world.apply(Operation::Push { body_size: 10 });
    world.apply(Operation::PageOut { below: 2, head_bytes: 0 });
    world.drain();
}

#[test]
fn what_cannot_be_read_does_not_count() {
    let mut ready = World::restored(3).ready;
    ready.push_back(entry(3, 10));
    ready.page_in([entry(1, 10)], Position(3));
    assert_eq!((ready.len(), ready.bytes()), (2, 20));
    let left: Vec<_> = std::iter::from_fn(|| ready.pop_front()).map(|entry| entry.position.0).collect();
    assert_eq!(left, [1, 3]);
}
