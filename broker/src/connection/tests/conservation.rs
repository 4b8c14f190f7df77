//! Random legal operations of two connections on three channels each and two queues: whatever they do, no
//! message is lost, doubled, or flagged wrongly, and no answer is missing. The second channel of each confirms,
//! the third is transactional.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic};
use proptest::prelude::*;

use super::{
    bench::{Bench, Peer},
    frames::{
        ack, cancel, channel_close, channel_open, commit, confirm_select, consume, declare, get, nack,
        plainly, publish_with, purge, qos, recover, reject, rollback, tx_select,
    },
};
use crate::wire::{
    frame::{FrameKind, parse_frame},
    method::{Method, parse_method},
};

/// A channel of a connection.
type Place = (usize, u16);

/// One thing that a client does. Numbers are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Publish { queue: usize, count: u8 },
    Consume { queue: usize, no_ack: bool },
    Cancel { consumer: usize },
    Get { queue: usize, no_ack: bool },
    Ack { delivery: usize, multiple: bool },
    Nack { delivery: usize, multiple: bool, requeue: bool },
    Reject { delivery: usize, requeue: bool },
    AckAll,
    Recover,
    Qos { count: u16, global: bool },
    Purge { queue: usize },
    Commit,
    Rollback,
    CloseChannel,
    Disconnect,
}

impl Operation {
    /// What it is about is everything there is at that moment: it comes first in its read, when the client
    /// knows what that is.
    fn is_for_everything(self) -> bool {
        use Operation::{AckAll, CloseChannel, Disconnect, Purge, Recover};
        matches!(self, AckAll | Recover | Purge { .. } | CloseChannel | Disconnect)
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let (queue, index) = (0..QUEUES.len(), 0..1_000_usize);
    prop_oneof![
        8 => (queue.clone(), 1..6_u8).prop_map(|(queue, count)| Operation::Publish { queue, count }),
        4 => (queue.clone(), prop::bool::weighted(0.2))
            .prop_map(|(queue, no_ack)| Operation::Consume { queue, no_ack }),
        2 => index.clone().prop_map(|consumer| Operation::Cancel { consumer }),
        3 => (queue.clone(), any::<bool>()).prop_map(|(queue, no_ack)| Operation::Get { queue, no_ack }),
        6 => (index.clone(), any::<bool>())
            .prop_map(|(delivery, multiple)| Operation::Ack { delivery, multiple }),
        3 => (index.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(delivery, multiple, requeue)| Operation::Nack { delivery, multiple, requeue }),
        2 => (index, any::<bool>()).prop_map(|(delivery, requeue)| Operation::Reject { delivery, requeue }),
        1 => Just(Operation::AckAll),
        1 => Just(Operation::Recover),
        3 => (0..4_u16, any::<bool>()).prop_map(|(count, global)| Operation::Qos { count, global }),
        1 => queue.prop_map(|queue| Operation::Purge { queue }),
        4 => Just(Operation::Commit),
        1 => Just(Operation::Rollback),
        1 => Just(Operation::CloseChannel),
        1 => Just(Operation::Disconnect),
    ]
}

/// Operations of one connection that the server reads at once.
fn read() -> impl Strategy<Value = (usize, Vec<(u16, Operation)>)> {
    (0..2_usize, prop::collection::vec((1..=CHANNELS, operation()), 1..5))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_doubled(reads in prop::collection::vec(read(), 1..40)) {
        let mut world = World::new();
        for (connection, operations) in reads {
            world.read(connection, &operations);
            world.check();
        }
    }
}

const QUEUES: [&str; 2] = ["q", "p"];
const CHANNELS: u16 = 3;
const CONFIRMING: u16 = 2;
const TRANSACTIONAL: u16 = 3;

/// What the clients know, and the broker.
struct World {
    bench: Bench,
    channels: BTreeMap<Place, Channel>,
    messages: Vec<Message>,
    /// Consumers ever made, for unique tags.
    consumers_made: usize,
    /// Messages that queues took so far.
    taken: usize,
}

/// A published message: its number is its body.
struct Message {
    queue: usize,
    state: State,
    /// Its place among all that queues took.
    order: usize,
    /// It was delivered before, to anybody.
    was_delivered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the queue as far as clients know.
    Ready,
    /// Delivered on a channel with this tag, by a consumer or a get.
    Held(Place, u64),
    /// Published in a transaction that is open.
    Uncommitted(Place),
    /// Settled, or delivered to somebody who does not ack; or rolled back.
    Gone,
}

#[derive(Default)]
struct Channel {
    consumers: BTreeMap<String, Consumer>,
    /// Deliveries to be settled: tag, message, and the consumer if it was one.
    held: BTreeMap<u64, Delivered>,
    /// Those that a transaction settles, and whether it requeues them.
    settling: BTreeMap<u64, (Delivered, bool)>,
    last_tag: u64,
    prefetch_count: u16,
    channel_prefetch_count: u16,
    /// Answers to come, in order.
    expected: VecDeque<Expected>,
    published: u64,
    confirmed: u64,
}

/// The message, and the consumer if it was one.
type Delivered = (usize, Option<String>);

struct Consumer {
    queue: usize,
    no_ack: bool,
    prefetch_count: u16,
    /// The last message that came to it for the first time.
    last_fresh: Option<usize>,
    is_cancelled: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    ConsumeOk(String),
    CancelOk(String),
    Got { queue: usize, no_ack: bool },
    QosOk,
    PurgeOk { count: usize },
    RecoverOk,
    CommitOk,
    RollbackOk,
    CloseOk,
}

impl World {
    fn new() -> Self {
        let (bench, channels) = (Bench::new(), BTreeMap::new());
        let mut world = Self { bench, channels, messages: Vec::new(), consumers_made: 0, taken: 0 };
        for connection in 0..2 {
            let declares = QUEUES.map(|queue| declare(1, queue, plainly)).concat();
            world.bench.exchange(Peer(connection), &declares);
            world.connect(connection);
        }
        world
    }

    /// A fresh connection has its first two channels.
    fn connect(&mut self, connection: usize) {
        let bytes = [select(CONFIRMING), channel_open(TRANSACTIONAL), select(TRANSACTIONAL)].concat();
        self.bench.exchange(Peer(connection), &bytes);
        for number in 1..=CHANNELS {
            self.channels.insert((connection, number), Channel::default());
        }
    }

    fn read(&mut self, connection: usize, operations: &[(u16, Operation)]) {
        let mut bytes = Vec::new();
        for (number, operation) in operations {
            let place = (connection, *number);
            if operation.is_for_everything() {
                self.send(connection, &std::mem::take(&mut bytes));
            }
            match operation {
                Operation::Disconnect => self.disconnect(connection),
                Operation::CloseChannel => self.close_channel(place),
                operation => bytes.extend(self.frames(place, *operation)),
            }
        }
        self.send(connection, &bytes);
    }

    fn send(&mut self, connection: usize, bytes: &[u8]) {
        for (peer, sent) in self.bench.exchange(Peer(connection), bytes) {
            self.receive(peer.0, &sent);
        }
    }

    fn disconnect(&mut self, connection: usize) {
        for number in 1..=CHANNELS {
            self.end((connection, number));
            self.channels.remove(&(connection, number));
        }
        for (peer, sent) in self.bench.drop_peer(Peer(connection)) {
            self.receive(peer.0, &sent);
        }
        self.connect(connection);
    }

    fn close_channel(&mut self, place: Place) {
        self.end(place);
        self.channel(place).expected.push_back(Expected::CloseOk);
        self.send(place.0, &channel_close(place.1));
        self.channels.insert(place, Channel::default());
        // Its answers tell nothing.
        let bytes = [channel_open(place.1), select(place.1)].concat();
        self.bench.exchange(Peer(place.0), &bytes);
    }

    /// What the channel held is the queues' again, and its transaction is rolled back.
    fn end(&mut self, place: Place) {
        self.roll_back(place);
        self.give_back(place);
    }

    fn commit(&mut self, place: Place) {
        for message in self.messages.iter_mut().filter(|it| it.state == State::Uncommitted(place)) {
            self.taken += 1;
            (message.state, message.order) = (State::Ready, self.taken);
        }
        for ((message, _), requeue) in std::mem::take(&mut self.channel(place).settling).into_values() {
            self.messages[message].state = if requeue { State::Ready } else { State::Gone };
        }
    }

    fn roll_back(&mut self, place: Place) {
        for message in self.messages.iter_mut().filter(|it| it.state == State::Uncommitted(place)) {
            message.state = State::Gone;
        }
        let channel = self.channel(place);
        let settling = std::mem::take(&mut channel.settling).into_iter();
        channel.held.extend(settling.map(|(tag, (delivered, _))| (tag, delivered)));
    }

    /// Everything the channel held is the queues' again.
    fn give_back(&mut self, place: Place) {
        for (message, _) in std::mem::take(&mut self.channel(place).held).into_values() {
            self.messages[message].state = State::Ready;
        }
    }

    fn channel(&mut self, place: Place) -> &mut Channel {
        self.channels.get_mut(&place).expect("all channels are always there")
    }

    /// What a client sends for an operation; nothing when it would not be legal.
    fn frames(&mut self, place: Place, operation: Operation) -> Vec<u8> {
        let number = place.1;
        match operation {
            Operation::Publish { queue, count } => self.publish(place, queue, count),
            Operation::Consume { queue, no_ack } => {
                self.consumers_made += 1;
                let tag = format!("c{}", self.consumers_made);
                let channel = self.channel(place);
                let prefetch_count = channel.prefetch_count;
                let consumer =
                    Consumer { queue, no_ack, prefetch_count, last_fresh: None, is_cancelled: false };
                channel.consumers.insert(tag.clone(), consumer);
                channel.expected.push_back(Expected::ConsumeOk(tag.clone()));
                consume(number, QUEUES[queue], &tag, |it| it.no_ack = no_ack)
            }
            Operation::Cancel { consumer } => {
                let channel = self.channel(place);
                let tags: Vec<_> =
                    channel.consumers.iter().filter(|(_, it)| !it.is_cancelled).map(|(tag, _)| tag).collect();
                let Some(tag) = tags.get(consumer % tags.len().max(1)).map(|tag| (*tag).clone()) else {
                    return Vec::new();
                };
                channel.expected.push_back(Expected::CancelOk(tag.clone()));
                channel.consumers.get_mut(&tag).unwrap().is_cancelled = true;
                cancel(number, &tag)
            }
            Operation::Get { queue, no_ack } => {
                self.channel(place).expected.push_back(Expected::Got { queue, no_ack });
                get(number, QUEUES[queue], no_ack)
            }
            Operation::Qos { count, global } => {
                let channel = self.channel(place);
                channel.expected.push_back(Expected::QosOk);
                if global {
                    channel.channel_prefetch_count = count;
                } else {
                    channel.prefetch_count = count;
                }
                qos(number, count, global)
            }
            Operation::Purge { queue } => {
                let count = self.purge(queue);
                self.channel(place).expected.push_back(Expected::PurgeOk { count });
                purge(number, QUEUES[queue])
            }
            Operation::Commit | Operation::Rollback if number != TRANSACTIONAL => Vec::new(),
            Operation::Commit => {
                self.channel(place).expected.push_back(Expected::CommitOk);
                self.commit(place);
                commit(number)
            }
            Operation::Rollback => {
                self.channel(place).expected.push_back(Expected::RollbackOk);
                self.roll_back(place);
                rollback(number)
            }
            Operation::Recover => {
                self.channel(place).expected.push_back(Expected::RecoverOk);
                self.give_back(place);
                recover(number, true)
            }
            operation => self.settle(place, operation),
        }
    }

    fn publish(&mut self, place: Place, queue: usize, count: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..count {
            let body = (self.messages.len() as u64).to_be_bytes();
            self.taken += 1;
            let state = if place.1 == TRANSACTIONAL { State::Uncommitted(place) } else { State::Ready };
            self.messages.push(Message { queue, state, order: self.taken, was_delivered: false });
            let properties = BasicProperties::default();
            bytes.extend(publish_with(place.1, ("", QUEUES[queue], true), &body, &properties));
        }
        self.channel(place).published += u64::from(count);
        bytes
    }

    fn settle(&mut self, place: Place, operation: Operation) -> Vec<u8> {
        let tags: Vec<u64> = self.channel(place).held.keys().copied().collect();
        let picked = |delivery: usize| tags.get(delivery % tags.len().max(1)).copied();
        let (tag, multiple, requeue, frame) = match operation {
            Operation::AckAll => (u64::MAX, true, false, ack(place.1, 0, true)),
            Operation::Ack { delivery, multiple } => {
                let Some(tag) = picked(delivery) else { return Vec::new() };
                (tag, multiple, false, ack(place.1, tag, multiple))
            }
            Operation::Nack { delivery, multiple, requeue } => {
                let Some(tag) = picked(delivery) else { return Vec::new() };
                (tag, multiple, requeue, nack(place.1, tag, multiple, requeue))
            }
            Operation::Reject { delivery, requeue } => {
                let Some(tag) = picked(delivery) else { return Vec::new() };
                (tag, false, requeue, reject(place.1, tag, requeue))
            }
            _ => return Vec::new(),
        };
        for settled in tags.into_iter().filter(|held| *held == tag || (multiple && *held <= tag)) {
            let delivered = self.channel(place).held.remove(&settled).unwrap();
            if place.1 == TRANSACTIONAL {
                self.channel(place).settling.insert(settled, (delivered, requeue));
                continue;
            }
            let (message, _) = delivered;
            self.messages[message].state = if requeue { State::Ready } else { State::Gone };
        }
        frame
    }

    /// What a client makes of what it was sent.
    fn receive(&mut self, connection: usize, mut bytes: &[u8]) {
        let mut arriving: BTreeMap<u16, basic::AMQPMethod> = BTreeMap::new();
        while let Some((frame, size)) = parse_frame(bytes, 0).unwrap() {
            bytes = &bytes[size..];
            let number = frame.channel.0;
            match frame.kind {
                FrameKind::Method => match parse_method(frame.payload).unwrap().1 {
                    Method::Ack { delivery_tag, .. } => {
                        let channel = self.channel((connection, number));
                        assert!(delivery_tag > channel.confirmed, "confirms grow");
                        channel.confirmed = delivery_tag;
                    }
                    Method::Cold(class) => match *class {
                        AMQPClass::Basic(
                            method @ (basic::AMQPMethod::Deliver(_) | basic::AMQPMethod::GetOk(_)),
                        ) => {
                            arriving.insert(number, method);
                        }
                        class => self.answered((connection, number), class),
                    },
                    method => panic!("not sent by servers: {method:?}"),
                },
                FrameKind::Body => {
                    let message = u64::from_be_bytes(frame.payload.try_into().unwrap()) as usize;
                    let method = arriving.remove(&number).expect("a method comes before its body");
                    self.delivered((connection, number), message, &method);
                }
                FrameKind::Header => {}
                FrameKind::Heartbeat => panic!("nobody asked for heartbeats"),
            }
        }
    }

    fn answered(&mut self, place: Place, class: AMQPClass) {
        let expected = self.channel(place).expected.pop_front();
        let expected = expected.unwrap_or_else(|| panic!("nobody asked for {class:?}"));
        use amq_protocol::protocol::{channel, queue, tx};
        match (class, expected) {
            (AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)), Expected::ConsumeOk(tag)) => {
                assert_eq!(ok.consumer_tag.as_str(), tag);
            }
            (AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok)), Expected::CancelOk(tag)) => {
                assert_eq!(ok.consumer_tag.as_str(), tag);
                self.channel(place).consumers.remove(&tag);
            }
            (AMQPClass::Basic(basic::AMQPMethod::GetEmpty(_)), Expected::Got { .. })
            | (AMQPClass::Basic(basic::AMQPMethod::QosOk(_)), Expected::QosOk)
            | (AMQPClass::Basic(basic::AMQPMethod::RecoverOk(_)), Expected::RecoverOk)
            | (AMQPClass::Tx(tx::AMQPMethod::CommitOk(_)), Expected::CommitOk)
            | (AMQPClass::Tx(tx::AMQPMethod::RollbackOk(_)), Expected::RollbackOk)
            | (AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)), Expected::CloseOk) => {}
            (AMQPClass::Queue(queue::AMQPMethod::PurgeOk(ok)), Expected::PurgeOk { count }) => {
                assert_eq!(ok.message_count as usize, count);
            }
            (class, expected) => panic!("{class:?} where {expected:?} was to come"),
        }
    }

    /// Everything ready is gone; says how much that is.
    fn purge(&mut self, queue: usize) -> usize {
        let ready = self.messages.iter_mut().filter(|it| it.queue == queue && it.state == State::Ready);
        ready.map(|message| message.state = State::Gone).count()
    }

    fn delivered(&mut self, place: Place, number: usize, method: &basic::AMQPMethod) {
        let message = &mut self.messages[number];
        assert_eq!(message.state, State::Ready, "message {number} comes to {place:?}");
        let queue = message.queue;
        let channel = self.channels.get_mut(&place).unwrap();
        let (tag, is_redelivered, consumer) = match method {
            basic::AMQPMethod::Deliver(deliver) => {
                let consumer = channel.consumers.get_mut(deliver.consumer_tag.as_str());
                let consumer = consumer.expect("only consumers there are get deliveries");
                assert_eq!(consumer.queue, queue);
                if !deliver.redelivered {
                    assert!(consumer.last_fresh < Some(message.order), "first deliveries come in order");
                    consumer.last_fresh = Some(message.order);
                }
                let no_ack = consumer.no_ack;
                (
                    deliver.delivery_tag,
                    deliver.redelivered,
                    (!no_ack).then_some(Some(deliver.consumer_tag.to_string())),
                )
            }
            basic::AMQPMethod::GetOk(got) => match channel.expected.pop_front() {
                Some(Expected::Got { queue: asked, no_ack }) => {
                    assert_eq!(asked, queue);
                    (got.delivery_tag, got.redelivered, (!no_ack).then_some(None))
                }
                expected => panic!("get-ok where {expected:?} was to come"),
            },
            method => panic!("no delivery: {method:?}"),
        };
        assert_eq!(tag, channel.last_tag + 1, "tags count");
        channel.last_tag = tag;
        assert_eq!(is_redelivered, message.was_delivered, "message {number} on its way to {place:?}");
        message.was_delivered = true;
        message.state = match consumer {
            Some(consumer) => {
                channel.held.insert(tag, (number, consumer));
                State::Held(place, tag)
            }
            None => State::Gone,
        };
    }

    /// What must hold whenever everything was read and sent.
    fn check(&mut self) {
        for (place, channel) in &self.channels {
            assert!(channel.expected.is_empty(), "{place:?} misses {:?}", channel.expected);
            let confirmed = if place.1 == CONFIRMING { channel.published } else { 0 };
            assert_eq!(channel.confirmed, confirmed, "confirms on {place:?}");
        }
        for (index, name) in QUEUES.iter().enumerate() {
            let counts = self.bench.node.broker.vhost("/").unwrap().queue(name).unwrap().counts();
            let of_queue = || self.messages.iter().filter(|message| message.queue == index);
            let ready = of_queue().filter(|message| message.state == State::Ready).count();
            let held = of_queue().filter(|message| matches!(message.state, State::Held(..))).count();
            assert_eq!((counts.ready, counts.unsettled), (ready, held), "ready and unsettled of {name}");
            if ready > 0 {
                self.check_nobody_waits(index);
            }
        }
        self.check_held_once();
    }

    /// While messages are ready, every consumer holds as much as it may.
    fn check_nobody_waits(&self, queue: usize) {
        for (place, channel) in &self.channels {
            let held_by_consumers =
                channel.all_held().filter(|(_, (_, consumer))| consumer.is_some()).count();
            let is_channel_full = channel.channel_prefetch_count > 0
                && held_by_consumers >= usize::from(channel.channel_prefetch_count);
            for (tag, consumer) in channel.consumers.iter().filter(|(_, consumer)| consumer.queue == queue) {
                let is_own = |(_, (_, holder)): &(&u64, &Delivered)| holder.as_ref() == Some(tag);
                let held = channel.all_held().filter(is_own).count();
                let is_full = consumer.prefetch_count > 0 && held >= usize::from(consumer.prefetch_count);
                assert!(!consumer.no_ack && (is_full || is_channel_full), "{tag} of {place:?} waits");
            }
        }
    }

    /// Both sides of "held": no message on two channels, none that its state does not know.
    fn check_held_once(&self) {
        let mut seen = BTreeSet::new();
        for (place, channel) in &self.channels {
            for (tag, (message, _)) in channel.all_held() {
                assert_eq!(self.messages[*message].state, State::Held(*place, *tag));
                assert!(seen.insert(*message), "message {message} is held twice");
            }
        }
    }
}

impl Channel {
    /// What the queues know as unsettled.
    fn all_held(&self) -> impl Iterator<Item = (&u64, &Delivered)> {
        self.held.iter().chain(self.settling.iter().map(|(tag, (delivered, _))| (tag, delivered)))
    }
}

/// What makes the channel what it is.
fn select(number: u16) -> Vec<u8> {
    match number {
        CONFIRMING => confirm_select(number),
        TRANSACTIONAL => tx_select(number),
        _ => Vec::new(),
    }
}
