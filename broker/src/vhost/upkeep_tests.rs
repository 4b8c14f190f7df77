//! What happens when time passes, and when many tasks make messages leave at once.

use std::{ops::ControlFlow, sync::Arc, thread};

use super::{
    Vhost,
    broker::Broker,
    queue::{ConnectionId, SharedQueue},
    tests::CountingStore,
};
use crate::{
    model::{
        arguments::Arguments,
        definition::VhostDefinition,
        message::{Arena, Message, MessageHead},
        name::Name,
        pattern::Pattern,
        policy::{ApplyTo, Policy, PolicyDefinition, PolicyKind},
        queue::QueueOptions,
    },
    storage::queue_log::MemoryLog,
    vhost::test_clock::TestClock,
    wire::{content::encode_header, properties::Properties},
};
use amq_protocol::types::{AMQPValue, FieldTable};

const USER: ConnectionId = ConnectionId(1);

fn broker() -> (Broker, Arc<Vhost>, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    let store = Arc::new(CountingStore::default());
    let (broker, _) = Broker::load(store, Arc::new(MemoryLog), Arc::clone(&clock) as _).unwrap();
    broker.put_vhost(VhostDefinition::new(Name::literal("v")));
    let vhost = broker.vhost("v").unwrap();
    (broker, vhost, clock)
}

fn declare(vhost: &Vhost, name: &'static str, pairs: &[(&str, AMQPValue)]) -> Arc<SharedQueue> {
    let mut table = FieldTable::default();
    for (key, value) in pairs {
        table.insert((*key).into(), value.clone());
    }
    let options = QueueOptions::parse(name, false, false, false, Arguments::from(table)).unwrap();
    vhost.declare_queue(Name::literal(name), options, USER).unwrap().queue
}

fn dead_letters_to(queue: &str) -> [(&'static str, AMQPValue); 2] {
    let text = |text: &str| AMQPValue::LongString(text.into());
    [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text(queue))]
}

fn message(body: &[u8]) -> Message {
    let mut header = Vec::new();
    encode_header(&mut header, body.len() as u64, &Properties::default());
    Arena::default().message(MessageHead { route: b"\0\x01q", header: &header, is_persistent: false }, body)
}

fn publish(queue: &SharedQueue, body: &[u8]) {
    queue.publish(&mut vec![message(body)]).unwrap();
}

fn attend(broker: &Broker) {
    while broker.attend_next() == ControlFlow::Continue(()) {}
}

fn ready(queue: &SharedQueue) -> usize {
    queue.counts().ready
}

#[test]
fn messages_leave_when_their_time_comes() {
    let (broker, vhost, clock) = broker();
    let graves = declare(&vhost, "graves", &[]);
    let [exchange, key] = dead_letters_to("graves");
    let queue = declare(&vhost, "q", &[("x-message-ttl", AMQPValue::LongInt(100)), exchange, key]);
    assert_eq!(broker.upkeep().timer_count(), 0, "nothing is there that may expire");
    publish(&queue, b"1");
    clock.pass(60);
    publish(&queue, b"2");
    assert_eq!(broker.upkeep().timer_count(), 1);
    for (millis, left) in [(39, 2), (1, 1), (59, 1), (1, 0)] {
        clock.pass(millis);
        attend(&broker);
        assert_eq!((ready(&queue), ready(&graves)), (left, 2 - left));
    }
    assert_eq!(broker.upkeep().timer_count(), 0);
}

#[test]
fn queues_go_when_nobody_used_them_for_long() {
    let (broker, vhost, clock) = broker();
    let expires = [("x-expires", AMQPValue::LongInt(100))];
    declare(&vhost, "q", &expires);
    clock.pass(99);
    attend(&broker);
    declare(&vhost, "q", &expires);
    clock.pass(99);
    attend(&broker);
    assert!(vhost.queue("q").is_some());
    clock.pass(1);
    attend(&broker);
    assert!(vhost.queue("q").is_none());
    // One that is deleted takes its timer with it.
    declare(&vhost, "q", &expires);
    assert_eq!(broker.upkeep().timer_count(), 1);
    vhost.delete_queue("q", None, false, false).unwrap();
    assert_eq!(broker.upkeep().timer_count(), 0);
}

/// They are one record, and yet one is counted after the other.
#[test]
fn dead_letters_fill_a_queue_that_refuses_what_is_too_much() {
    let (broker, vhost, clock) = broker();
    let overflow = ("x-overflow", AMQPValue::LongString("reject-publish".into()));
    let graves = declare(&vhost, "graves", &[("x-max-length", AMQPValue::LongInt(2)), overflow]);
    let [exchange, key] = dead_letters_to("graves");
    let queue = declare(&vhost, "q", &[("x-message-ttl", AMQPValue::LongInt(100)), exchange, key]);
    (0..5).for_each(|number| publish(&queue, &[number]));
    clock.pass(100);
    attend(&broker);
    assert_eq!((ready(&queue), ready(&graves)), (0, 2));
}

/// Queues that overflow into each other, and into one that all fill, from several threads.
#[test]
fn dead_letters_of_many_tasks_keep_their_order_and_block_nobody() {
    const TASKS: u8 = 4;
    const MESSAGES: u16 = 200;
    let (_broker, vhost, _clock) = broker();
    let graves = declare(&vhost, "graves", &[]);
    let limit = |to| {
        let [exchange, key] = dead_letters_to(to);
        [("x-max-length", AMQPValue::LongInt(1)), exchange, key]
    };
    let first = declare(&vhost, "a", &limit("b"));
    let second = declare(&vhost, "b", &limit("graves"));
    let third = declare(&vhost, "c", &limit("a"));
    thread::scope(|scope| {
        for task in 0..TASKS {
            let queues = [&first, &second, &third];
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    let body = [&[task][..], &number.to_be_bytes()].concat();
                    publish(queues[usize::from(task) % queues.len()], &body);
                }
            });
        }
    });
    let all = usize::from(TASKS) * usize::from(MESSAGES);
    assert_eq!(ready(&graves) + ready(&first) + ready(&second) + ready(&third), all);
    let mut last = [None; TASKS as usize];
    while let Some(delivery) = graves.lock().queue.get(true) {
        let [task, high, low] = delivery.message.body() else { panic!("{:?}", delivery.message) };
        let number = u16::from_be_bytes([*high, *low]);
        let before = last[usize::from(*task)].replace(number);
        assert!(before < Some(number), "task {task}: {number} after {before:?}");
    }
}

/// Messages leave while where they go comes and goes.
#[test]
fn policies_change_while_messages_leave() {
    const MESSAGES: u16 = 1_500;
    let (_broker, vhost, _clock) = broker();
    let graves = declare(&vhost, "graves", &[]);
    let queues = ["q1", "q2"].map(|name| declare(&vhost, name, &[]));
    let mut table = FieldTable::default();
    for (key, value) in dead_letters_to("graves") {
        table.insert(key.trim_start_matches("x-").into(), value);
    }
    let policy = |name: &'static str, table: FieldTable| Policy {
        name: Name::literal(name),
        pattern: Pattern::parse("^q").unwrap(),
        apply_to: ApplyTo::Queues,
        priority: 0,
        definition: PolicyDefinition::parse(PolicyKind::User, table.into()).unwrap(),
    };
    let dead_letters = policy("p", table);
    let mut table = FieldTable::default();
    table.insert("max-length".into(), AMQPValue::LongLongInt(1));
    vhost.put_policy(PolicyKind::Operator, policy("o", table));
    thread::scope(|scope| {
        for queue in &queues {
            scope.spawn(|| (0..MESSAGES).for_each(|number| publish(queue, &number.to_be_bytes())));
        }
        for _ in 0..100 {
            vhost.put_policy(PolicyKind::User, dead_letters.clone());
            vhost.delete_policy(PolicyKind::User, &Name::literal("p"));
        }
    });
    assert_eq!(queues.each_ref().map(|queue| ready(queue)), [1, 1]);
    assert!(queues.iter().all(|queue| !queue.lock().queue.has_leaving()));
    assert!(ready(&graves) <= 2 * usize::from(MESSAGES));
    // What leaves goes where the policy says now.
    vhost.put_policy(PolicyKind::User, dead_letters);
    let before = ready(&graves);
    publish(&queues[0], b"last");
    assert_eq!(ready(&graves), before + 1);
}

#[test]
fn a_policy_s_times_count_from_when_it_is_set() {
    let (broker, vhost, clock) = broker();
    let queue = declare(&vhost, "q", &[]);
    let set = |key: &str, millis| {
        let mut table = FieldTable::default();
        table.insert(key.into(), AMQPValue::LongLongInt(millis));
        let definition = PolicyDefinition::parse(PolicyKind::User, table.into()).unwrap();
        let (name, pattern) = (Name::literal("p"), Pattern::parse("").unwrap());
        vhost.put_policy(
            PolicyKind::User,
            Policy { name, pattern, apply_to: ApplyTo::All, priority: 0, definition },
        );
    };
    publish(&queue, b"before");
    set("message-ttl", 100);
    publish(&queue, b"after");
    clock.pass(100);
    attend(&broker);
    // The first has no time to live, and the other is behind it.
    assert_eq!(ready(&queue), 2);
    queue.lock().queue.get(true).unwrap();
    attend(&broker);
    queue.attend(broker.upkeep().now());
    assert_eq!(ready(&queue), 0);
    clock.pass(1_000);
    set("expires", 100);
    clock.pass(99);
    attend(&broker);
    assert!(vhost.queue("q").is_some());
    clock.pass(1);
    attend(&broker);
    assert!(vhost.queue("q").is_none());
    assert_eq!(broker.upkeep().timer_count(), 0);
}
