//! The queue against a naive reference: a sorted list of messages and a list of consumers.

use std::{cell::Cell, collections::BTreeMap, rc::Rc};

use proptest::prelude::*;

use super::*;
use crate::model::message::{Arena, MessageHead};

/// A consumer with so much credit.
#[derive(Clone, Debug)]
struct Taker {
    id: u64,
    credit: Rc<Cell<u32>>,
}

impl Credit for Taker {
    fn reserve(&self, _size: usize) -> bool {
        let credit = self.credit.get();
        self.credit.set(credit.saturating_sub(1));
        credit > 0
    }

    fn consumer_id(&self) -> ConsumerId {
        ConsumerId(self.id)
    }
}

fn message(number: u64) -> Message {
    let head = MessageHead { route: b"\0\x01q", header: b"h", is_persistent: false };
    Arena::default().message(head, number.to_string().as_bytes())
}

fn append(queue: &mut Queue<Taker>, count: u64) {
    for _ in 0..count {
        let position = queue.next_position();
        queue.on_appended(position, message(position.0));
    }
}

fn join(queue: &mut Queue<Taker>, id: u64, credit: u32, is_no_ack: bool) -> Rc<Cell<u32>> {
    let taker = Taker { id, credit: Rc::new(Cell::new(credit)) };
    let credit = Rc::clone(&taker.credit);
    queue.add_consumer(Member::new(taker, is_no_ack, false));
    credit
}

/// Dispatches everything: `consumer:position` with `!` for redelivered, lane by lane.
fn dispatch(queue: &mut Queue<Taker>) -> String {
    let mut lanes = Lanes::default();
    queue.dispatch(1_000, Timestamp(0), &mut lanes);
    let show = |lane: &Lane<Taker>| {
        let deliveries = lane.deliveries.iter().map(|delivery| {
            format!("{}{}", delivery.position.0, if delivery.is_redelivered() { "!" } else { "" })
        });
        format!("c{}: {}", lane.consumer.id, deliveries.collect::<Vec<_>>().join(" "))
    };
    lanes.iter().map(show).collect::<Vec<_>>().join(" | ")
}

#[test]
fn two_consumers_take_strict_turns() {
    let mut queue = Queue::new();
    join(&mut queue, 1, 100, false);
    join(&mut queue, 2, 100, false);
    append(&mut queue, 5);
    assert_eq!(dispatch(&mut queue), "c1: 0 2 4 | c2: 1 3");
    append(&mut queue, 2);
    assert_eq!(dispatch(&mut queue), "c2: 5 | c1: 6");
}

#[test]
fn a_consumer_without_credit_is_skipped_until_resumed() {
    let mut queue = Queue::new();
    let credit = join(&mut queue, 1, 1, false);
    join(&mut queue, 2, 2, false);
    append(&mut queue, 5);
    assert_eq!(dispatch(&mut queue), "c1: 0 | c2: 1 2");
    credit.set(1);
    assert_eq!(dispatch(&mut queue), "");
    queue.resume(ConsumerId(1));
    assert_eq!(dispatch(&mut queue), "c1: 3");
    assert_eq!(queue.ready_count(), 1);
}

#[test]
fn parked_consumers_come_back_in_the_order_of_resuming() {
    let mut queue = Queue::new();
    let credits: Vec<_> = (1..=4).map(|id| join(&mut queue, id, 0, false)).collect();
    append(&mut queue, 6);
    assert_eq!(dispatch(&mut queue), "");
    credits.iter().for_each(|credit| credit.set(10));
    for id in [3, 1, 9, 3] {
        queue.resume(ConsumerId(id));
    }
    assert!(queue.remove_consumer(ConsumerId(4)).is_some());
    assert!(queue.remove_consumer(ConsumerId(4)).is_none());
    assert_eq!(dispatch(&mut queue), "c3: 0 2 4 | c1: 1 3 5");
    assert_eq!(queue.remove_consumers().iter().map(|taker| taker.id).collect::<Vec<_>>(), [3, 1, 2]);
}

#[test]
fn requeued_messages_return_to_their_place_flagged() {
    let mut queue = Queue::new();
    let credit = join(&mut queue, 1, 3, false);
    append(&mut queue, 5);
    assert_eq!(dispatch(&mut queue), "c1: 0 1 2");
    assert!(queue.settle(Position(2), Outcome::Requeue).is_some());
    assert!(queue.settle(Position(0), Outcome::Requeue).is_some());
    assert!(queue.settle(Position(1), Outcome::Accept).is_some());
    assert_eq!(queue.settle(Position(1), Outcome::Accept), None, "settled once");
    credit.set(10);
    queue.resume(ConsumerId(1));
    assert_eq!(dispatch(&mut queue), "c1: 0! 2! 3 4");
}

#[test]
fn a_delivery_taken_back_was_never_delivered() {
    let mut queue = Queue::new();
    let _credit = join(&mut queue, 1, 2, false);
    append(&mut queue, 2);
    let mut lanes = Lanes::default();
    queue.dispatch(10, Timestamp(0), &mut lanes);
    for delivery in lanes.pop_front().unwrap().deliveries {
        queue.take_back(delivery);
    }
    assert_eq!(queue.counts().unsettled, 0);
    assert!(!queue.get(true).unwrap().is_redelivered());
    assert_eq!(queue.get(false).unwrap().position, Position(1));
}

#[test]
fn what_is_taken_back_keeps_its_count() {
    let mut queue = Queue::<Taker>::new();
    append(&mut queue, 1);
    for _ in 0..3 {
        queue.get(false).unwrap();
        assert!(queue.settle(Position(0), Outcome::Requeue).is_some());
    }
    for is_no_ack in [true, false, true] {
        let delivery = queue.get(is_no_ack).unwrap();
        assert_eq!(delivery.delivery_count, 3);
        queue.take_back(delivery);
    }
}

#[test]
fn purge_leaves_the_unsettled() {
    let mut queue = Queue::new();
    append(&mut queue, 4);
    queue.get(false).unwrap();
    assert_eq!(queue.purge(), 3);
    assert_eq!(queue.counts(), QueueCounts { unsettled: 1, unsettled_bytes: 1, ..QueueCounts::default() });
    queue.settle(Position(0), Outcome::Requeue);
    assert!(queue.get(false).unwrap().is_redelivered());
}

#[test]
fn exclusive_consumers_are_alone() {
    let mut queue = Queue::<Taker>::new();
    assert_eq!(queue.check_consume(true), Ok(()));
    join(&mut queue, 1, 0, false);
    assert_eq!(queue.check_consume(true), Err(ConsumeError::InExclusiveUse));
    assert_eq!(queue.check_consume(false), Ok(()));
    queue.remove_consumer(ConsumerId(1));
    let taker = Taker { id: 2, credit: Rc::default() };
    queue.add_consumer(Member::new(taker, false, true));
    assert_eq!(queue.check_consume(false), Err(ConsumeError::InExclusiveUse));
}

#[derive(Clone, Debug)]
enum Operation {
    Append(u8),
    Join { credit: u32, is_no_ack: bool },
    Leave(usize),
    Grant { consumer: usize, credit: u32 },
    Dispatch,
    Get { is_no_ack: bool },
    Settle { unsettled: usize, outcome: Outcome },
    Purge,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let outcome = prop_oneof![Just(Outcome::Accept), Just(Outcome::Requeue), Just(Outcome::Discard)];
    let operation = prop_oneof![
        4 => (1..6u8).prop_map(Operation::Append),
        1 => (0..4u32, any::<bool>()).prop_map(|(credit, is_no_ack)| Operation::Join { credit, is_no_ack }),
        1 => any::<usize>().prop_map(Operation::Leave),
        2 => (any::<usize>(), 1..5u32)
            .prop_map(|(consumer, credit)| Operation::Grant { consumer, credit }),
        4 => Just(Operation::Dispatch),
        1 => any::<bool>().prop_map(|is_no_ack| Operation::Get { is_no_ack }),
        6 => (any::<usize>(), outcome)
            .prop_map(|(unsettled, outcome)| Operation::Settle { unsettled, outcome }),
        1 => Just(Operation::Purge),
    ];
    prop::collection::vec(operation, 1..80)
}

/// The naive queue: who waits, who is out, who was out before.
#[derive(Default)]
struct Reference {
    ready: BTreeMap<u64, bool>,
    unsettled: BTreeMap<u64, ()>,
    /// In turn order: id, credit, no-ack. Those without credit are skipped, and go to the end of the
    /// round when they get some.
    round: Vec<(u64, Rc<Cell<u32>>, bool)>,
    waiting: Vec<(u64, Rc<Cell<u32>>, bool)>,
}

impl Reference {
    fn take_head(&mut self, is_no_ack: bool) -> (u64, bool) {
        let (position, was_out) = self.ready.pop_first().unwrap();
        if !is_no_ack {
            self.unsettled.insert(position, ());
        }
        (position, was_out)
    }

    /// `(consumer, position, redelivered)` in the order of decisions.
    fn dispatch(&mut self, credits: &mut BTreeMap<u64, u32>) -> Vec<(u64, u64, bool)> {
        let mut out = Vec::new();
        while !self.ready.is_empty() && !self.round.is_empty() {
            let first = self.round.remove(0);
            let credit = credits.get_mut(&first.0).unwrap();
            if *credit == 0 {
                self.waiting.push(first);
                continue;
            }
            *credit -= 1;
            let (position, was_out) = self.take_head(first.2);
            out.push((first.0, position, was_out));
            self.round.push(first);
        }
        out
    }
}

proptest! {
    #[test]
    fn behaves_like_the_naive_queue(operations in operations()) {
        let mut queue = Queue::new();
        let mut reference = Reference::default();
        let mut credits = BTreeMap::new();
        let mut next_id = 0;
        for operation in operations {
            match operation {
                Operation::Append(count) => {
                    for _ in 0..count {
                        reference.ready.insert(queue.next_position().0, false);
                        append(&mut queue, 1);
                    }
                }
                Operation::Join { credit, is_no_ack } => {
                    next_id += 1;
                    let cell = join(&mut queue, next_id, credit, is_no_ack);
                    credits.insert(next_id, credit);
                    reference.round.push((next_id, cell, is_no_ack));
                }
                Operation::Leave(index) => {
                    let all: Vec<u64> = credits.keys().copied().collect();
                    if let Some(id) = all.get(index % all.len().max(1)) {
                        credits.remove(id);
                        reference.round.retain(|member| member.0 != *id);
                        reference.waiting.retain(|member| member.0 != *id);
                        prop_assert!(queue.remove_consumer(ConsumerId(*id)).is_some());
                    }
                }
                Operation::Grant { consumer, credit } => {
                    let all: Vec<u64> = credits.keys().copied().collect();
                    if let Some(id) = all.get(consumer % all.len().max(1)) {
                        *credits.get_mut(id).unwrap() += credit;
                        let members = reference.round.iter().chain(&reference.waiting);
                        let cell = &members.clone().find(|member| member.0 == *id).unwrap().1;
                        cell.set(credits[id]);
                        if let Some(at) = reference.waiting.iter().position(|member| member.0 == *id) {
                            let member = reference.waiting.swap_remove(at);
                            reference.round.push(member);
                        }
                        queue.resume(ConsumerId(*id));
                    }
                }
                Operation::Dispatch => {
                    let mut lanes = Lanes::default();
                    prop_assert!(!queue.dispatch(10_000, Timestamp(0), &mut lanes) || queue.ready_count() > 0);
                    let mut expected = BTreeMap::<u64, Vec<(u64, bool)>>::new();
                    for (consumer, position, was_out) in reference.dispatch(&mut credits) {
                        expected.entry(consumer).or_default().push((position, was_out));
                    }
                    let mut seen = BTreeMap::new();
                    while let Some(lane) = lanes.pop_front() {
                        let deliveries = lane.deliveries.iter().map(|d| (d.position.0, d.is_redelivered()));
                        let previous = seen.insert(lane.consumer.id, deliveries.collect::<Vec<_>>());
                        prop_assert!(previous.is_none(), "one lane a consumer");
                    }
                    prop_assert_eq!(seen, expected);
                }
                Operation::Get { is_no_ack } => {
                    let delivery = queue.get(is_no_ack).map(|d| (d.position.0, d.is_redelivered()));
                    let expected = (!reference.ready.is_empty()).then(|| reference.take_head(is_no_ack));
                    prop_assert_eq!(delivery, expected);
                }
                Operation::Settle { unsettled, outcome } => {
                    let all: Vec<u64> = reference.unsettled.keys().copied().collect();
                    if let Some(position) = all.get(unsettled % all.len().max(1)) {
                        reference.unsettled.remove(position);
                        if outcome == Outcome::Requeue {
                            reference.ready.insert(*position, true);
                        }
                        prop_assert!(queue.settle(Position(*position), outcome).is_some());
                    }
                }
                Operation::Purge => {
                    prop_assert_eq!(queue.purge(), reference.ready.len());
                    reference.ready.clear();
                }
            }
            let counts = queue.counts();
            prop_assert_eq!(counts.ready, reference.ready.len());
            prop_assert_eq!(counts.unsettled, reference.unsettled.len());
            prop_assert_eq!(counts.consumers, credits.len());
        }
    }
}
