//! Messages that leave, and consumers that wait: what rules make of a queue.

use std::{cell::Cell, rc::Rc};

use super::*;
use crate::{
    model::{
        dead_letter::DeadLetterTarget,
        message::{Arena, MessageHead},
        name::Name,
    },
    wire::{content::encode_header, properties::Properties},
};

/// Has credit for so many messages.
#[derive(Clone, Debug)]
pub(super) struct Taker(pub(super) u64, pub(super) Rc<Cell<u32>>);

impl Credit for Taker {
    fn reserve(&self, _size: usize) -> bool {
        let credit = self.1.get();
        self.1.set(credit.saturating_sub(1));
        credit > 0
    }

    fn consumer_id(&self) -> ConsumerId {
        ConsumerId(self.0)
    }
}

fn message(properties: &Properties<'_>) -> Message {
    let mut header = Vec::new();
    encode_header(&mut header, 4, properties);
    Arena::default()
        .message(MessageHead { route: b"\0\x01q", header: &header, is_persistent: false }, b"body")
}

fn append(queue: &mut Queue<Taker>, message: Message) {
    queue.on_appended(queue.next_position(), message);
}

fn fill(queue: &mut Queue<Taker>, count: usize) {
    (0..count).for_each(|_| append(queue, message(&Properties::default())));
}

fn member(id: u64, credit: u32) -> Member<Taker> {
    Member::new(Taker(id, Rc::new(Cell::new(credit))), false, false)
}

/// Who got what, in the order of positions.
fn dispatch(queue: &mut Queue<Taker>, now: u64) -> Vec<(u64, u64)> {
    let mut lanes = Lanes::default();
    queue.dispatch(1_000, Timestamp(now), &mut lanes);
    let of = |lane: &Lane<Taker>| {
        lane.deliveries.iter().map(|delivery| (delivery.position.0, lane.consumer.0)).collect::<Vec<_>>()
    };
    let mut deliveries: Vec<_> = lanes.iter().flat_map(of).collect();
    deliveries.sort_unstable();
    deliveries
}

/// Takes what leaves: position and reason.
fn take_leaving(queue: &mut Queue<Taker>) -> Vec<(u64, &'static str)> {
    let (_, leaving) = queue.leaving();
    let left: Vec<_> = leaving
        .map(|own| (own.position.map_or(u64::MAX, |position| position.0), own.reason.as_str()))
        .collect();
    queue.forget_leaving(left.len());
    left
}

fn dead_letters() -> Option<DeadLetterTarget> {
    Some(DeadLetterTarget { exchange: Name::literal("dlx"), routing_key: None })
}

fn expiring(expiration: &str, arrived_at: u64) -> Message {
    let properties = Properties { expiration: Some(expiration.as_bytes()), ..Properties::default() };
    message(&properties).arriving_at(Timestamp(arrived_at))
}

#[test]
fn what_is_too_much_leaves_from_the_front_and_what_is_handed_out_does_not_count() {
    let mut queue = Queue::with_rules(QueueRules { max_length: Some(2), ..QueueRules::default() });
    fill(&mut queue, 3);
    assert!(queue.get(false).is_some());
    assert!(!queue.trim(Timestamp(0)));
    assert_eq!(take_leaving(&mut queue), []);
    fill(&mut queue, 2);
    queue.settle(Position(0), Outcome::Requeue);
    queue.trim(Timestamp(0));
    assert_eq!(take_leaving(&mut queue), [(0, "maxlen"), (1, "maxlen"), (2, "maxlen")]);
    assert_eq!(queue.ready_count(), 2);
    let mut queue = Queue::with_rules(QueueRules { max_length_bytes: Some(9), ..QueueRules::default() });
    fill(&mut queue, 4);
    queue.trim(Timestamp(0));
    assert_eq!(take_leaving(&mut queue), [(0, "maxlen"), (1, "maxlen")]);
}

#[test]
fn a_queue_that_refuses_lets_nothing_leave() {
    let rules =
        QueueRules { max_length: Some(1), overflow: Overflow::RejectPublish, ..QueueRules::default() };
    let mut queue = Queue::with_rules(rules);
    assert!(!queue.refuses(&message(&Properties::default()), (0, 0)));
    fill(&mut queue, 1);
    assert!(queue.refuses(&message(&Properties::default()), (0, 0)));
    queue.trim(Timestamp(0));
    queue.on_refused(&message(&Properties::default()));
    assert_eq!(take_leaving(&mut queue), []);
    let overflow = Overflow::RejectPublishDeadLetter;
    let rules = QueueRules { overflow, dead_letters: dead_letters(), ..queue.rules().clone() };
    let mut queue = Queue::with_rules(rules);
    queue.on_refused(&message(&Properties::default()));
    assert_eq!(take_leaving(&mut queue), [(u64::MAX, "maxlen")]);
}

#[test]
fn only_so_many_leave_at_once() {
    let mut queue = Queue::with_rules(QueueRules { max_length: Some(0), ..QueueRules::default() });
    fill(&mut queue, 1_500);
    assert!(queue.trim(Timestamp(0)));
    assert_eq!(take_leaving(&mut queue).len(), 1_024);
    assert!(!queue.trim(Timestamp(0)));
    assert_eq!(take_leaving(&mut queue).len(), 476);
}

#[test]
fn messages_expire_at_the_front_by_the_shorter_time() {
    let mut queue = Queue::with_rules(QueueRules { message_ttl: Some(100), ..QueueRules::default() });
    append(&mut queue, expiring("20", 1_000));
    append(&mut queue, expiring("900", 1_000));
    append(&mut queue, expiring("10", 1_000));
    assert_eq!(queue.next_deadline(), Some(Timestamp(1_020)));
    queue.trim(Timestamp(1_019));
    assert_eq!(take_leaving(&mut queue), []);
    queue.trim(Timestamp(1_020));
    assert_eq!(take_leaving(&mut queue), [(0, "expired")]);
    assert_eq!(queue.next_deadline(), Some(Timestamp(1_100)));
    assert!(queue.get(false).is_some(), "what is handed out does not expire");
    queue.trim(Timestamp(2_000));
    assert_eq!(take_leaving(&mut queue), [(2, "expired")]);
    queue.settle(Position(1), Outcome::Requeue);
    queue.trim(Timestamp(2_000));
    assert_eq!(take_leaving(&mut queue), [(1, "expired")]);
}

#[test]
fn a_consumer_gets_what_expires_now_and_nothing_that_has() {
    let mut queue = Queue::with_rules(QueueRules::default());
    queue.add_consumer(member(1, 10));
    append(&mut queue, expiring("0", 999));
    append(&mut queue, expiring("0", 1_000));
    assert_eq!(dispatch(&mut queue, 1_000), [(1, 1)]);
    assert_eq!(take_leaving(&mut queue), [(0, "expired")]);
}

#[test]
fn what_consumers_refuse_leaves_if_there_is_somewhere_to_go() {
    for (dead_letters, left) in [(None, vec![]), (dead_letters(), vec![(0, "rejected")])] {
        let mut queue = Queue::with_rules(QueueRules { dead_letters, ..QueueRules::default() });
        fill(&mut queue, 2);
        (0..2).for_each(|_| assert!(queue.get(false).is_some()));
        let is_leaving = queue.settle(Position(0), Outcome::Discard).unwrap().is_leaving;
        assert_eq!(is_leaving, !left.is_empty());
        assert!(!queue.settle(Position(1), Outcome::Accept).unwrap().is_leaving);
        assert_eq!(take_leaving(&mut queue), left);
    }
}

#[test]
fn a_message_that_came_back_too_often_leaves_and_says_how_often_until_then() {
    let rules = QueueRules { delivery_limit: Some(2), counts_deliveries: true, ..QueueRules::default() };
    let mut queue = Queue::with_rules(rules);
    fill(&mut queue, 1);
    let mut counts = Vec::new();
    while let Some(delivery) = queue.get(false) {
        let headers = delivery.message.content_header().unwrap().properties.headers;
        counts.push(
            headers.and_then(|headers| headers.get("x-delivery-count")).map(|count| format!("{count:?}")),
        );
        queue.settle(Position(0), Outcome::Requeue);
    }
    assert_eq!(counts, [None, Some("Int64(1)".to_owned()), Some("Int64(2)".to_owned())]);
    let (_, mut leaving) = queue.leaving();
    let departure = leaving.next().unwrap();
    assert!(departure.message.content_header().unwrap().properties.headers.is_none());
    drop(leaving);
    assert_eq!(take_leaving(&mut queue), [(0, "delivery_limit")]);
}

#[test]
fn messages_are_ordered_by_priority_then_position() {
    let mut queue = Queue::with_rules(QueueRules { max_priority: Some(5), ..QueueRules::default() });
    for priority in [Some(0), Some(3), None, Some(9), Some(5), Some(3)] {
        append(&mut queue, message(&Properties { priority, ..Properties::default() }));
    }
    let mut order = Vec::new();
    while let Some(delivery) = queue.get(false) {
        order.push(delivery.position.0);
    }
    assert_eq!(order, [3, 4, 1, 5, 0, 2]);
    for position in [0, 4, 5] {
        queue.settle(Position(position), Outcome::Requeue);
    }
    let next = |queue: &mut Queue<Taker>| queue.get(true).map(|delivery| delivery.position.0);
    assert_eq!(
        [next(&mut queue), next(&mut queue), next(&mut queue), next(&mut queue)],
        [Some(4), Some(5), Some(0), None]
    );
    fill(&mut queue, 3);
    assert_eq!((queue.ready_count(), queue.purge(), queue.ready_count()), (3, 3, 0));
    append(&mut queue, message(&Properties { priority: Some(1), ..Properties::default() }));
    append(&mut queue, message(&Properties { priority: Some(2), ..Properties::default() }));
    assert_eq!(next(&mut queue), Some(10));
}

#[test]
fn what_an_earlier_process_left_comes_back_before_priorities_are_compared() {
    let mut queue = Queue::<Taker>::with_rules(QueueRules { max_priority: Some(5), ..QueueRules::default() });
    queue.restore(Position(2), (2, 8), Position(0));
    append(&mut queue, message(&Properties { priority: Some(1), ..Properties::default() }));
    assert_eq!((queue.wanted(), queue.get(false).is_none()), (Some((Position(0), Position(2))), true));
    let entry = |position, priority| {
        let message = message(&Properties { priority: Some(priority), ..Properties::default() });
        Entry { position: Position(position), message, delivery_count: 0 }
    };
    queue.page_in(vec![entry(0, 0), entry(1, 2)], Position(2));
    let order: Vec<u64> =
        std::iter::from_fn(|| queue.get(true)).map(|delivery| delivery.position.0).collect();
    assert_eq!((order, queue.counts().ready_bytes), (vec![1, 2, 0], 0));
}

#[test]
fn higher_consumers_come_first_and_equal_ones_take_turns() {
    let mut queue = Queue::new();
    queue.add_consumer(member(1, 2).with_priority(-1));
    queue.add_consumer(member(2, 2).with_priority(5));
    queue.add_consumer(member(3, 1));
    queue.add_consumer(member(4, 2).with_priority(5));
    fill(&mut queue, 8);
    let order: Vec<u64> = dispatch(&mut queue, 0).into_iter().map(|(_, consumer)| consumer).collect();
    assert_eq!(order, [2, 4, 2, 4, 3, 1, 1]);
    assert_eq!(queue.consumer_count(), 4);
    assert!(queue.remove_consumer(ConsumerId(4)).is_some());
    assert!(queue.remove_consumer(ConsumerId(1)).is_some());
    let left: Vec<u64> = queue.remove_consumers().iter().map(|taker| taker.0).collect();
    assert_eq!(left, [2, 3]);
}

#[test]
fn one_consumer_is_active_and_the_next_takes_over() {
    let mut queue = Queue::with_rules(QueueRules { is_single_active: true, ..QueueRules::default() });
    for (id, priority) in [(1, 0), (2, 0), (3, 7), (4, 7)] {
        assert_eq!(queue.check_consume(false), Ok(()));
        queue.add_consumer(member(id, 100).with_priority(priority));
    }
    assert_eq!(queue.check_consume(true), Err(ConsumeError::InExclusiveUse));
    let active =
        |queue: &Queue<Taker>| (1..=4).filter(|id| queue.is_active(ConsumerId(*id))).collect::<Vec<_>>();
    let mut taken = Vec::new();
    for _ in 0..4 {
        fill(&mut queue, 2);
        let takers: Vec<u64> = dispatch(&mut queue, 0).into_iter().map(|(_, consumer)| consumer).collect();
        assert_eq!(takers, [active(&queue)[0]; 2]);
        taken.push(takers[0]);
        queue.remove_consumer(ConsumerId(takers[0]));
    }
    assert_eq!((taken, queue.consumer_count()), (vec![1, 3, 4, 2], 0));
    queue.add_consumer(member(9, 1));
    assert!(queue.is_active(ConsumerId(9)));
}
