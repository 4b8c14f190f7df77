//! Random operations on queues with random rules, compared with a plain list: who gets what and how often, what leaves
//! and why, what stays. Messages are paged out and in, and the process restarts, in between.

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    env,
    rc::Rc,
};

use proptest::{prelude::*, test_runner::TestRunner};

use super::{rules_tests::Taker, *};
use crate::{
    model::{
        dead_letter::DeadLetterTarget,
        message::{Arena, MessageHead},
        name::Name,
    },
    wire::{content::encode_header, properties::Properties},
};

/// A campaign has more.
const CASES: u32 = 1_000;
const CASES_VARIABLE: &str = "LIEBRE_MODEL_CASES";

#[derive(Clone, Debug)]
enum Operation {
    Publish(Publication),
    Consume {
        priority: i64,
        /// None: no acks.
        prefetch: Option<u32>,
    },
    /// One of those that are there.
    Cancel(usize),
    Get {
        is_no_ack: bool,
    },
    /// One of those that are unsettled.
    Settle(usize, Outcome),
    Pass(u64),
    PageOut {
        head_bytes: usize,
    },
    Purge,
    Restart,
}

#[derive(Clone, Debug)]
struct Publication {
    count: usize,
    body_size: usize,
    priority: Option<u8>,
    expiration: Option<u64>,
    is_persistent: bool,
}

fn operation() -> impl Strategy<Value = Operation> {
    let outcome = prop::sample::select(&[Outcome::Accept, Outcome::Requeue, Outcome::Discard][..]);
    let publication =
        (1..4_usize, 8..40_usize, prop::option::of(0..6_u8), prop::option::of(0..60_u64), any::<bool>());
    let publish = publication.prop_map(|(count, body_size, priority, expiration, is_persistent)| {
        Operation::Publish(Publication { count, body_size, priority, expiration, is_persistent })
    });
    let consume = (-1..2_i64, prop::option::of(1..4_u32));
    prop_oneof![
        8 => publish,
        3 => consume.prop_map(|(priority, prefetch)| Operation::Consume { priority, prefetch }),
        2 => any::<usize>().prop_map(Operation::Cancel),
        3 => any::<bool>().prop_map(|is_no_ack| Operation::Get { is_no_ack }),
        8 => (any::<usize>(), outcome).prop_map(|(nth, outcome)| Operation::Settle(nth, outcome)),
        3 => (1..50_u64).prop_map(Operation::Pass),
        2 => (0..100_usize).prop_map(|head_bytes| Operation::PageOut { head_bytes }),
        1 => Just(Operation::Purge),
        1 => Just(Operation::Restart),
    ]
}

fn rules() -> impl Strategy<Value = QueueRules> {
    const OVERFLOWS: [Overflow; 3] =
        [Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDeadLetter];
    let of_messages = (prop::option::of(0..60_u64), prop::option::of(1..5_u8), prop::option::of(0..3_u32));
    let of_length =
        (prop::option::of(0..6_u64), prop::option::of(0..120_u64), prop::sample::select(&OVERFLOWS[..]));
    let of_queue = (any::<bool>(), any::<bool>());
    (of_messages, of_length, of_queue).prop_map(|(of_messages, of_length, (is_single_active, has_target))| {
        let target = DeadLetterTarget { exchange: Name::literal("graves"), routing_key: None };
        QueueRules {
            message_ttl: of_messages.0,
            max_priority: of_messages.1,
            consumer_timeout: None,
            delivery_limit: of_messages.2,
            counts_deliveries: of_messages.2.is_some(),
            max_length: of_length.0,
            max_length_bytes: of_length.1,
            overflow: of_length.2,
            is_single_active,
            dead_letters: has_target.then_some(target),
            expires: None,
        }
    })
}

/// A message as the list has it.
#[derive(Clone, Debug)]
struct Listed {
    position: Position,
    number: u64,
    body_size: u64,
    priority: u8,
    deadline: Option<u64>,
    is_persistent: bool,
    /// How often it was handed out, and how often it came back.
    times: u32,
    returns: u32,
    is_ready: bool,
    /// Who has it, if a consumer has.
    holder: Option<u64>,
}

/// A consumer as the list has it.
#[derive(Debug)]
struct ListedConsumer {
    id: u64,
    priority: i64,
    is_no_ack: bool,
    credit: Rc<Cell<u32>>,
}

/// What must be: messages in the order of their positions, consumers in the order in which they came.
struct Reference {
    rules: QueueRules,
    messages: Vec<Listed>,
    consumers: Vec<ListedConsumer>,
    active: Option<u64>,
    handed_out_below: Position,
    /// Number and reason of what leaves, in order, until the queue said so, too.
    leaving: VecDeque<(u64, Reason)>,
}

fn number_of(message: &Message) -> u64 {
    u64::from_le_bytes(message.body()[..8].try_into().unwrap())
}

impl Reference {
    fn next(&self) -> Option<usize> {
        let max = self.rules.max_priority.unwrap_or(0);
        let ready = self.messages.iter().enumerate().filter(|(_, own)| own.is_ready);
        ready.min_by_key(|(_, own)| (Reverse(own.priority.min(max)), own.position)).map(|(index, _)| index)
    }

    fn ready(&self) -> (u64, u64) {
        let ready = || self.messages.iter().filter(|own| own.is_ready);
        (ready().count() as u64, ready().map(|own| own.body_size).sum())
    }

    fn is_exceeded_by(&self, (count, bytes): (u64, u64)) -> bool {
        self.rules.max_length.is_some_and(|max| count > max)
            || self.rules.max_length_bytes.is_some_and(|max| bytes > max)
    }

    fn refuses(&self, body_size: u64) -> bool {
        let (count, bytes) = self.ready();
        self.rules.overflow != Overflow::DropHead && self.is_exceeded_by((count + 1, bytes + body_size))
    }

    fn leave(&mut self, index: usize, reason: Reason) {
        let own = self.messages.remove(index);
        self.leaving.push_back((own.number, reason));
    }

    /// What is over, and what is too much, from the front.
    fn trim(&mut self, now: u64) {
        while let Some(index) = self.next() {
            if self.messages[index].deadline.is_some_and(|deadline| deadline <= now) {
                self.leave(index, Reason::Expired);
            } else if self.rules.overflow == Overflow::DropHead && self.is_exceeded_by(self.ready()) {
                self.leave(index, Reason::MaxLength);
            } else {
                return;
            }
        }
    }

    /// Who may get the next message: those with credit of the highest priority, or the active one.
    fn takers(&self) -> Vec<u64> {
        let is_active = |own: &&ListedConsumer| !self.rules.is_single_active || self.active == Some(own.id);
        let able = || self.consumers.iter().filter(is_active).filter(|own| own.credit.get() > 0);
        let highest = able().map(|own| own.priority).max();
        able().filter(|own| Some(own.priority) == highest).map(|own| own.id).collect()
    }

    fn consumer(&self, id: u64) -> Option<&ListedConsumer> {
        self.consumers.iter().find(|own| own.id == id)
    }

    /// Of those with the highest priority the one that came first.
    fn choose_active(&mut self) {
        let highest = self.consumers.iter().map(|own| own.priority).max();
        self.active = self.consumers.iter().find(|own| Some(own.priority) == highest).map(|own| own.id);
    }

    fn hand_out(&mut self, index: usize, delivery: &Delivery, holder: Option<u64>, is_no_ack: bool) {
        let own = &mut self.messages[index];
        assert_eq!(number_of(&delivery.message), own.number);
        assert_eq!((delivery.position, delivery.delivery_count), (own.position, own.times));
        self.handed_out_below = self.handed_out_below.max(Position(own.position.0 + 1));
        if is_no_ack {
            self.messages.remove(index);
        } else {
            (own.is_ready, own.holder, own.times) = (false, holder, own.times + 1);
        }
    }

    fn settle(&mut self, index: usize, outcome: Outcome) {
        let has_target = self.rules.dead_letters.is_some();
        let own = &mut self.messages[index];
        match outcome {
            Outcome::Requeue if self.rules.delivery_limit.is_some_and(|limit| own.times > limit) => {
                self.leave(index, Reason::DeliveryLimit);
            }
            Outcome::Requeue => (own.is_ready, own.returns) = (true, own.returns + 1),
            Outcome::Discard if has_target => self.leave(index, Reason::Rejected),
            Outcome::Accept | Outcome::Discard => _ = self.messages.remove(index),
        }
    }

    /// What another process finds.
    fn restart(&mut self) {
        self.messages.retain(|own| own.is_persistent);
        for own in &mut self.messages {
            let is_flagged = own.position < self.handed_out_below;
            (own.is_ready, own.holder) = (true, None);
            own.times = own.returns.max(u32::from(is_flagged));
        }
        self.consumers.clear();
        self.active = None;
    }
}

struct World {
    queue: Queue<Taker>,
    reference: Reference,
    /// What is not in memory.
    paged: BTreeMap<Position, Entry>,
    /// All that was published, as it was.
    published: Vec<Message>,
    consumers_ever: u64,
    now: u64,
}

impl World {
    fn new(rules: QueueRules) -> Self {
        let reference = Reference {
            rules: rules.clone(),
            messages: Vec::new(),
            consumers: Vec::new(),
            active: None,
            handed_out_below: Position(0),
            leaving: VecDeque::new(),
        };
        let (paged, published) = (BTreeMap::new(), Vec::new());
        Self { queue: Queue::with_rules(rules), reference, paged, published, consumers_ever: 0, now: 1_000 }
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Publish(publication) => {
                (0..publication.count).for_each(|_| self.publish(publication));
            }
            Operation::Consume { priority, prefetch } => self.consume(*priority, *prefetch),
            Operation::Cancel(nth) => self.cancel(*nth),
            Operation::Get { is_no_ack } => self.get(*is_no_ack),
            Operation::Settle(nth, outcome) => self.settle(*nth, *outcome),
            Operation::Pass(millis) => self.now += millis,
            Operation::PageOut { head_bytes } => self.page_out(*head_bytes),
            Operation::Purge => {
                let (count, _) = self.reference.ready();
                self.reference.messages.retain(|own| !own.is_ready);
                self.paged.clear();
                assert_eq!(self.queue.purge() as u64, count);
            }
            Operation::Restart => self.restart(),
        }
        self.attend();
        self.check();
    }

    fn publish(&mut self, publication: &Publication) {
        let Publication { body_size, priority, expiration, is_persistent, .. } = *publication;
        let number = self.published.len() as u64;
        let mut body = number.to_le_bytes().to_vec();
        body.resize(body_size, 0);
        let text = expiration.map(|millis| millis.to_string());
        let expiration_text = text.as_ref().map(|text| text.as_bytes());
        let properties = Properties { priority, expiration: expiration_text, ..Properties::default() };
        let mut header = Vec::new();
        encode_header(&mut header, body_size as u64, &properties);
        let head = MessageHead { route: b"\x01x\x03key", header: &header, is_persistent };
        let mut message = Arena::default().message(head, &body);
        let ttl = self.reference.rules.message_ttl;
        if ttl.is_some() || expiration.is_some() {
            message = message.arriving_at(Timestamp(self.now));
        }
        self.published.push(message.clone());
        let is_refused = self.reference.refuses(body_size as u64);
        assert_eq!(self.queue.refuses(&message, (0, 0)), is_refused);
        if is_refused {
            self.queue.on_refused(&message);
            let is_sent_on = self.reference.rules.overflow == Overflow::RejectPublishDeadLetter;
            if is_sent_on && self.reference.rules.dead_letters.is_some() {
                self.reference.leaving.push_back((number, Reason::MaxLength));
            }
            return;
        }
        let position = self.queue.next_position();
        self.queue.on_appended(position, message);
        let millis = ttl.into_iter().chain(expiration).min();
        self.reference.messages.push(Listed {
            position,
            number,
            body_size: body_size as u64,
            priority: priority.unwrap_or(0),
            deadline: millis.map(|millis| self.now + millis),
            is_persistent,
            times: 0,
            returns: 0,
            is_ready: true,
            holder: None,
        });
    }

    fn consume(&mut self, priority: i64, prefetch: Option<u32>) {
        assert_eq!(self.queue.check_consume(false), Ok(()));
        self.consumers_ever += 1;
        let (id, is_no_ack) = (self.consumers_ever, prefetch.is_none());
        let credit = Rc::new(Cell::new(prefetch.unwrap_or(1)));
        let member = Member::new(Taker(id, Rc::clone(&credit)), is_no_ack, false);
        self.queue.add_consumer(member.with_priority(priority));
        self.reference.consumers.push(ListedConsumer { id, priority, is_no_ack, credit });
        self.reference.active.get_or_insert(id);
    }

    fn cancel(&mut self, nth: usize) {
        let Some(index) = nth.checked_rem(self.reference.consumers.len()) else { return };
        let id = self.reference.consumers.remove(index).id;
        assert!(self.queue.remove_consumer(ConsumerId(id)).is_some());
        if self.reference.active == Some(id) {
            self.reference.choose_active();
        }
    }

    fn get(&mut self, is_no_ack: bool) {
        self.page_in();
        let next = self.reference.next();
        match (self.queue.get(is_no_ack), next) {
            (Some(delivery), Some(index)) => self.reference.hand_out(index, &delivery, None, is_no_ack),
            (got, _) => assert!(got.is_none() && next.is_none(), "{got:?}, {next:?}"),
        }
    }

    fn settle(&mut self, nth: usize, outcome: Outcome) {
        let unsettled = self.reference.messages.iter().enumerate().filter(|(_, own)| !own.is_ready);
        let unsettled: Vec<usize> = unsettled.map(|(index, _)| index).collect();
        let Some(index) = nth.checked_rem(unsettled.len()).map(|nth| unsettled[nth]) else { return };
        let Listed { position, holder, body_size, .. } = self.reference.messages[index];
        let (before, settled) = (self.queue.unsettled(position), self.queue.settle(position, outcome));
        assert_eq!((before.unwrap().body_size, settled.unwrap().body_size), (body_size, body_size));
        assert_eq!(self.queue.settle(position, outcome), None);
        let left = self.reference.leaving.len();
        self.reference.settle(index, outcome);
        assert_eq!(settled.unwrap().is_leaving, self.reference.leaving.len() > left);
        if let Some(holder) = holder.and_then(|id| self.reference.consumer(id)) {
            holder.credit.set(holder.credit.get() + 1);
            self.queue.resume(ConsumerId(holder.id));
        }
    }

    fn page_out(&mut self, head_bytes: usize) {
        let below = self.queue.next_position();
        let published = &self.published;
        // The log has them as they were published.
        let pageable = self.queue.pageable(below, head_bytes).map(|entry| {
            let message = published[number_of(&entry.message) as usize].clone();
            (entry.position, Entry { message, ..entry.clone() })
        });
        self.paged.extend(pageable);
        self.queue.page_out(below, head_bytes);
    }

    fn page_in(&mut self) {
        while let Some((from, to)) = self.queue.wanted() {
            let mut behind = self.paged.split_off(&from);
            let rest = behind.split_off(&to);
            // Not all at once.
            let next = behind.keys().nth(2).copied().unwrap_or(to);
            let later = behind.split_off(&next);
            self.queue.page_in(behind.into_values().collect(), next);
            self.paged.extend(later.into_iter().chain(rest));
        }
    }

    fn restart(&mut self) {
        self.reference.restart();
        let next_position = self.queue.next_position();
        self.queue = Queue::with_rules(self.reference.rules.clone());
        self.paged.clear();
        self.queue.restore(Position(0), (0, 0), self.reference.handed_out_below);
        for own in &self.reference.messages {
            let message = self.published[own.number as usize].clone();
            self.queue.restore_newest(Entry { position: own.position, message, delivery_count: own.returns });
        }
        self.queue.restore_next_position(next_position);
    }

    /// Hands out all that can be, and takes out what is not to wait any longer, as the queue's owner does.
    fn attend(&mut self) {
        loop {
            let takers = self.reference.takers();
            let mut lanes = Lanes::default();
            self.queue.dispatch(1, Timestamp(self.now), &mut lanes);
            let delivery = lanes.pop_front().map(|mut lane| (lane.consumer.0, lane.deliveries.remove(0)));
            self.expire_before(delivery.as_ref().map(|(_, delivery)| delivery.position));
            match delivery {
                Some((id, delivery)) => self.deliver(&takers, id, &delivery),
                None if self.queue.has_taker() && self.queue.wanted().is_some() => self.page_in(),
                None => break,
            }
        }
        let next = self.reference.next().filter(|_| !self.reference.takers().is_empty());
        assert_eq!(next, None, "it could be handed out");
        loop {
            assert!(!self.queue.trim(Timestamp(self.now)));
            if !self.queue.needs_next() {
                break;
            }
            self.page_in();
        }
        self.reference.trim(self.now);
        let (_, leaving) = self.queue.leaving();
        let left: Vec<(u64, Reason)> = leaving.map(|own| (number_of(&own.message), own.reason)).collect();
        self.queue.forget_leaving(left.len());
        assert_eq!(left, self.reference.leaving.drain(..).collect::<Vec<_>>());
    }

    /// While it hands out, a queue takes out what expired before what it hands out.
    fn expire_before(&mut self, delivered: Option<Position>) {
        while let Some(index) = self.reference.next()
            && let own = &self.reference.messages[index]
            && Some(own.position) != delivered
            && own.deadline.is_some_and(|deadline| deadline < self.now)
        {
            self.reference.leave(index, Reason::Expired);
        }
    }

    fn deliver(&mut self, takers: &[u64], id: u64, delivery: &Delivery) {
        assert!(takers.contains(&id), "{id} gets it, and not one of {takers:?}");
        let next = self.reference.next().unwrap();
        let consumer = self.reference.consumer(id).unwrap();
        let is_no_ack = consumer.is_no_ack;
        if is_no_ack {
            consumer.credit.set(1);
            self.queue.resume(ConsumerId(id));
        }
        self.reference.hand_out(next, delivery, Some(id), is_no_ack);
    }

    fn check(&self) {
        let (count, bytes) = self.reference.ready();
        let unsettled = || self.reference.messages.iter().filter(|own| !own.is_ready);
        let counts = QueueCounts {
            ready: count as usize,
            unsettled: unsettled().count(),
            ready_bytes: bytes,
            unsettled_bytes: unsettled().map(|own| own.body_size).sum(),
            consumers: self.reference.consumers.len(),
        };
        assert_eq!(self.queue.counts(), counts);
        for own in &self.reference.consumers {
            let is_active = !self.reference.rules.is_single_active || self.reference.active == Some(own.id);
            assert_eq!(self.queue.is_active(ConsumerId(own.id)), is_active);
        }
        let mut persistent: Vec<_> = self.queue.unsettled_persistent().collect();
        persistent.sort_unstable();
        let expected = unsettled().filter(|own| own.is_persistent).map(|own| (own.position, own.body_size));
        assert_eq!(persistent, expected.collect::<Vec<_>>());
    }
}

#[test]
fn a_queue_with_rules_is_what_a_plain_list_is_whatever_happens() {
    let cases = env::var(CASES_VARIABLE).map_or(CASES, |cases| cases.parse().unwrap());
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let operations = prop::collection::vec(operation(), 1..60);
    let ran = TestRunner::new(config).run(&(rules(), operations), |(rules, operations)| {
        let mut world = World::new(rules);
        operations.iter().for_each(|operation| world.apply(operation));
        Ok(())
    });
    if let Err(failure) = ran {
        panic!("{failure}");
    }
}
