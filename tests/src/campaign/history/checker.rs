//! The checker: events in, violations out.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    ChannelIndex, Event, Invariant, Judgement, MessageId, Plan, PublisherIndex, QueueIndex, Violation,
    consumer_channel::ConsumerChannel,
    entities::Entities,
    liveness::{Liveness, Sign},
    publisher::Publisher,
    stream::{Stream, bit},
    transactions::{Commit, OpenCommit, Transactions},
    violations::Violations,
};

/// Messages and the like since the campaign began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub published: u64,
    pub confirmed: u64,
    pub nacked: u64,
    pub delivered: u64,
    pub redelivered: u64,
    pub acked: u64,
    pub committed: u64,
}

/// All that clients did and saw, as far as it can still break a promise.
#[derive(Debug)]
pub struct History {
    plan: Plan,
    judgement: Judgement,
    publishers: Vec<Publisher>,
    /// Those of a publisher are together.
    streams: HashMap<(PublisherIndex, QueueIndex), Stream>,
    channels: HashMap<ChannelIndex, ConsumerChannel>,
    /// Queues whose first deliveries come in no order, since several consumers took from them.
    shared_queues: HashSet<QueueIndex>,
    /// Queues that a consumer without acks took from in this life.
    no_ack_queues: HashSet<QueueIndex>,
    purges: HashMap<QueueIndex, Purge>,
    entities: Entities,
    transactions: Transactions,
    liveness: Liveness,
    is_dead: bool,
    violations: Violations,
    totals: Totals,
}

/// The last purge of a queue: how far it reached in each of its streams.
#[derive(Debug)]
enum Purge {
    /// Everything below was confirmed before the purge was sent.
    Sent(HashMap<PublisherIndex, u32>),
    /// A later publish that is confirmed means that the purge is in the log, too: the log has one order.
    Done(HashMap<PublisherIndex, u32>),
}

impl History {
    pub fn new(plan: Plan, judgement: Judgement) -> History {
        let publishers = plan.publishers.iter().map(|_| Publisher::default()).collect();
        let mut streams = HashMap::new();
        for (index, publisher) in (0..).zip(&plan.publishers) {
            for queue in &publisher.queues {
                let is_durable = plan.queues[usize::from(queue.0)].is_durable;
                streams.insert((PublisherIndex(index), *queue), Stream::new(is_durable));
            }
        }
        History {
            plan,
            judgement,
            publishers,
            streams,
            channels: HashMap::new(),
            shared_queues: HashSet::new(),
            no_ack_queues: HashSet::new(),
            purges: HashMap::new(),
            entities: Entities::default(),
            transactions: Transactions::default(),
            liveness: Liveness::default(),
            is_dead: false,
            violations: Violations::default(),
            totals: Totals::default(),
        }
    }

    /// Takes one event; `now` is since the campaign began.
    pub fn observe(&mut self, now: Duration, event: Event) {
        self.violations.now = now;
        match event {
            Event::FaultOver => self.liveness.begin(now),
            Event::Accepted => self.see(Sign::Accepted),
            Event::GaveUp { what } => self.complain(Invariant::Liveness, format!("gave up waiting: {what}")),
            Event::Killed => self.is_dead = true,
            Event::LifeEnded => self.end_life(),
            Event::Published { message, is_persistent, in_transaction } => {
                self.publish(message, is_persistent, in_transaction);
            }
            Event::Returned { message } => self.returned(message),
            Event::Confirmed { message, is_ack } => self.confirm(message, is_ack),
            Event::AllConfirmed { publisher } => self.check_all_confirmed(publisher),
            Event::Opened { channel, queue, is_sole, is_no_ack } => {
                self.open(channel, queue, is_sole, is_no_ack);
            }
            Event::Delivered { channel, message, is_redelivered, is_intact } => {
                self.deliver(channel, message, is_redelivered, is_intact);
            }
            Event::Foreign { channel } => {
                let queue = self.channels[&channel].queue;
                let text = format!("{}: a delivery that nobody published", self.queue_name(queue));
                self.complain(Invariant::NoInvention, text);
            }
            Event::AckSent { channel, message } => self.ack(channel, message),
            Event::RequeueSent { channel, message } => self.requeue(channel, message),
            Event::Barrier { channel } => self.pass_barrier(channel),
            Event::CloseSent { channel } => self.release(channel),
            Event::PurgeSent { queue } | Event::DeleteSent { queue } => self.send_purge(queue),
            Event::Purged { queue } => self.finish_purge(queue, false),
            Event::Deleted { queue } => self.finish_purge(queue, true),
            Event::Counted { queue, ready } => self.count(queue, ready),
            Event::Drained => self.drain(),
            Event::EntitySent { entity, is_durable } => self.entities.ask(entity, is_durable),
            Event::EntityDone { entity, is_there } => self.entities.finish(&entity, is_there),
            Event::EntitiesSeen { entities } => self.entities.see(&entities, &mut self.violations),
            Event::Dangling { entity } => {
                self.complain(
                    Invariant::Definitions,
                    format!("{entity} refers to something that is not there"),
                );
            }
            Event::CommitSent { publishes, channel, acks } => self.send_commit(publishes, channel, acks),
            Event::Committed { publisher } => self.finish_commit(publisher),
            Event::Used { before, after } => {
                if let Some(excess) = after.excess(&before) {
                    self.complain(Invariant::Resources, excess);
                }
            }
        }
    }

    /// The first broken promises, word for word.
    pub fn violations(&self) -> &[Violation] {
        &self.violations.kept
    }

    /// All broken promises.
    pub fn violation_count(&self) -> u64 {
        self.violations.count
    }

    pub fn totals(&self) -> Totals {
        self.totals
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn publish(&mut self, message: MessageId, is_persistent: bool, in_transaction: bool) {
        let publisher = &mut self.publishers[usize::from(message.publisher.0)];
        assert!(
            publisher.publish(message.number, is_persistent, in_transaction),
            "the campaign numbers its messages without gaps"
        );
        if self.judgement.count_unconfirmed && !in_transaction {
            publisher.settle(message.number, true);
        }
        self.totals.published += 1;
    }

    fn returned(&mut self, message: MessageId) {
        if !self.publisher(message.publisher).is_published(message.number) {
            let text = format!("{}: a return of what was never published", self.message_name(message));
            self.complain(Invariant::NoInvention, text);
            return;
        }
        if !self.publisher_plan(message.publisher).queues.is_empty() {
            let text = format!("{}: returned, though it had queues to go to", self.message_name(message));
            self.complain(Invariant::OneVerdict, text);
        }
        self.publishers[usize::from(message.publisher.0)].mark_returned(message.number);
    }

    fn confirm(&mut self, message: MessageId, is_ack: bool) {
        let name = self.message_name(message);
        let is_unroutable = self.publisher_plan(message.publisher).queues.is_empty();
        let publisher = &mut self.publishers[usize::from(message.publisher.0)];
        if !publisher.is_published(message.number) {
            self.complain(Invariant::OneVerdict, format!("{name}: a verdict on what was never published"));
            return;
        }
        if !publisher.settle(message.number, is_ack) && !self.judgement.count_unconfirmed {
            self.complain(Invariant::OneVerdict, format!("{name}: a second verdict"));
            return;
        }
        if is_unroutable && is_ack && !publisher.is_returned(message.number) {
            self.complain(Invariant::OneVerdict, format!("{name}: acked before it was returned"));
        }
        if is_ack {
            self.totals.confirmed += 1;
            self.see(Sign::Confirmed);
            self.outlast_purges(message);
        } else {
            self.totals.nacked += 1;
        }
    }

    fn check_all_confirmed(&mut self, publisher: PublisherIndex) {
        if let Some(number) = self.publisher(publisher).first_unsettled() {
            let name = self.message_name(MessageId { publisher, number });
            self.complain(Invariant::OneVerdict, format!("{name}: no verdict"));
        }
    }

    fn open(&mut self, channel: ChannelIndex, queue: QueueIndex, is_sole: bool, is_no_ack: bool) {
        if !is_sole {
            self.shared_queues.insert(queue);
        }
        if is_no_ack {
            self.no_ack_queues.insert(queue);
        }
        self.channels.insert(channel, ConsumerChannel::new(queue, is_sole, is_no_ack));
    }

    fn deliver(&mut self, channel: ChannelIndex, message: MessageId, is_redelivered: bool, is_intact: bool) {
        self.totals.delivered += 1;
        self.totals.redelivered += u64::from(is_redelivered);
        self.see(Sign::Delivered);
        let queue = self.channels[&channel].queue;
        let wrong = self.judge_delivery(queue, message, is_redelivered, is_intact);
        self.transactions.deliver(queue, message);
        let Some(consumer) = self.channels.get_mut(&channel) else { return };
        let is_in_order = consumer.deliver(message);
        let is_no_ack = consumer.is_no_ack;
        if let Some(stream) = self.streams.get_mut(&(message.publisher, queue)) {
            stream.deliver(message.number, is_no_ack);
        }
        let late = (Invariant::Order, "delivered after a later one on the same channel");
        if let Some((invariant, reason)) = wrong.or((!is_in_order).then_some(late)) {
            let text = format!("{} in {}: {reason}", self.message_name(message), self.queue_name(queue));
            self.complain(invariant, text);
        }
    }

    /// What is wrong with a delivery, the worst first.
    fn judge_delivery(
        &self,
        queue: QueueIndex,
        message: MessageId,
        is_redelivered: bool,
        is_intact: bool,
    ) -> Option<(Invariant, &'static str)> {
        let number = message.number;
        let Some(stream) = self.streams.get(&(message.publisher, queue)) else {
            return Some((Invariant::NoInvention, "never went to this queue"));
        };
        let publisher = self.publisher(message.publisher);
        if !publisher.is_published(number) {
            return Some((Invariant::NoInvention, "was never published"));
        }
        if !is_intact {
            return Some((Invariant::NoInvention, "body or properties are not what was published"));
        }
        if publisher.is_uncommitted(number) {
            return Some((Invariant::Transactions, "its transaction was not committed"));
        }
        if !publisher.outlives(number, stream.is_durable) {
            return Some((Invariant::NoResurrection, "transient, and of an earlier life"));
        }
        if stream.has(number, bit::FINAL) {
            return Some((Invariant::NoResurrection, "was settled for good"));
        }
        if stream.has(number, bit::ACKED) {
            return Some((Invariant::NoResurrection, "was acked, and nothing has crashed since"));
        }
        if stream.is_purged(number) {
            return Some((Invariant::NoResurrection, "was purged"));
        }
        if stream.has(number, bit::HELD) {
            return Some((Invariant::HonestRedelivered, "delivered again while a channel holds it"));
        }
        if !is_redelivered && stream.has(number, bit::SEEN) {
            return Some((Invariant::HonestRedelivered, "delivered before, and redelivered=false"));
        }
        let is_first = !stream.has(number, bit::SEEN);
        if is_first && stream.is_late(number) && !self.shared_queues.contains(&queue) {
            return Some((Invariant::Order, "delivered first after a later one"));
        }
        None
    }

    fn ack(&mut self, channel: ChannelIndex, message: MessageId) {
        if self.is_dead {
            return;
        }
        let Some(consumer) = self.channels.get_mut(&channel) else { return };
        consumer.ack(message);
        if let Some(stream) = self.streams.get_mut(&(message.publisher, consumer.queue)) {
            stream.clear(message.number, bit::HELD);
            stream.set(message.number, bit::ACKED);
        }
        self.totals.acked += 1;
    }

    fn requeue(&mut self, channel: ChannelIndex, message: MessageId) {
        if self.is_dead {
            return;
        }
        let Some(consumer) = self.channels.get_mut(&channel) else { return };
        consumer.requeue(message);
        if let Some(stream) = self.streams.get_mut(&(message.publisher, consumer.queue)) {
            stream.clear(message.number, bit::HELD);
        }
    }

    /// A client may hear of its close from its own end once the broker is dead: that is no barrier.
    fn pass_barrier(&mut self, channel: ChannelIndex) {
        let Some(consumer) = self.channels.get_mut(&channel) else { return };
        if self.is_dead || consumer.is_no_ack {
            return;
        }
        for message in consumer.acked.drain(..) {
            if let Some(stream) = self.streams.get_mut(&(message.publisher, consumer.queue)) {
                stream.finish_acked(message.number);
            }
        }
    }

    fn release(&mut self, channel: ChannelIndex) {
        let Some(consumer) = self.channels.get_mut(&channel) else { return };
        for message in consumer.held.drain() {
            if let Some(stream) = self.streams.get_mut(&(message.publisher, consumer.queue)) {
                stream.clear(message.number, bit::HELD);
            }
        }
    }

    fn send_purge(&mut self, queue: QueueIndex) {
        let publishers = &self.publishers;
        let reached = streams_of(&mut self.streams, queue)
            .map(|(publisher, stream)| {
                (publisher, stream.confirmed_below(&publishers[usize::from(publisher.0)]))
            })
            .collect();
        self.purges.insert(queue, Purge::Sent(reached));
    }

    fn finish_purge(&mut self, queue: QueueIndex, is_final: bool) {
        let Some(Purge::Sent(reached)) = self.purges.remove(&queue) else { return };
        let mut ends = HashMap::new();
        for (publisher, stream) in streams_of(&mut self.streams, queue) {
            let end = self.publishers[usize::from(publisher.0)].len();
            stream.purge(if is_final { end } else { reached[&publisher] }, end);
            if is_final {
                stream.finish_purge();
            }
            ends.insert(publisher, end);
        }
        if !is_final {
            self.purges.insert(queue, Purge::Done(ends));
        }
    }

    /// A message that was published after a purge is confirmed: so the purge outlives crashes.
    fn outlast_purges(&mut self, message: MessageId) {
        for (queue, purge) in &self.purges {
            let Purge::Done(ends) = purge else { continue };
            let is_later = ends.get(&message.publisher).is_some_and(|end| message.number >= *end);
            // A transient one is confirmed without the log.
            if is_later && self.publishers[usize::from(message.publisher.0)].is_persistent(message.number) {
                streams_of(&mut self.streams, *queue).for_each(|(_, stream)| stream.finish_purge());
            }
        }
    }

    fn count(&mut self, queue: QueueIndex, ready: u32) {
        let (mut least, mut most) = (0, 0);
        for (publisher, stream) in streams_of(&mut self.streams, queue) {
            let bounds = stream.bounds(&self.publishers[usize::from(publisher.0)]);
            least += bounds.0;
            most += bounds.1;
        }
        let name = self.queue_name(queue);
        if ready < least {
            let text = format!("{name}: {ready} messages after a restart, at least {least} were confirmed");
            self.complain(Invariant::NoLoss, text);
        } else if ready > most {
            let text = format!("{name}: {ready} messages after a restart, at most {most} can be left");
            self.complain(Invariant::NoResurrection, text);
        }
    }

    fn drain(&mut self) {
        // Before the streams forget what was seen since.
        let was_taken = |queue, message: MessageId| {
            let stream = self.streams.get(&(message.publisher, queue));
            stream.is_some_and(|stream| stream.has(message.number, bit::ACKED_BEFORE | bit::FINAL))
        };
        for open in self.transactions.drain(was_taken) {
            self.judge_transaction(&open);
        }
        let mut keys: Vec<_> = self.streams.keys().copied().collect();
        keys.sort_unstable();
        for (publisher, queue) in keys {
            let Some(stream) = self.streams.get_mut(&(publisher, queue)) else { continue };
            let lost = stream.drain(&self.publishers[usize::from(publisher.0)]);
            for number in lost {
                let is_transactional = self.publisher(publisher).is_transactional(number);
                let name = self.message_name(MessageId { publisher, number });
                let text = format!("{name} in {}: confirmed, not settled, not there", self.queue_name(queue));
                let invariant = if is_transactional { Invariant::Transactions } else { Invariant::NoLoss };
                self.complain(invariant, text);
            }
        }
    }

    fn send_commit(&mut self, publishes: Vec<MessageId>, channel: ChannelIndex, acks: Vec<MessageId>) {
        let Some(publisher) = publishes.first().map(|message| message.publisher) else { return };
        for message in &publishes {
            self.publishers[usize::from(publisher.0)].commit(message.number);
        }
        let queue = self.channels[&channel].queue;
        if !self.is_dead {
            self.transactions.send(publisher, Commit { publishes, channel, queue, acks });
        }
    }

    fn finish_commit(&mut self, publisher: PublisherIndex) {
        let Some(commit) = self.transactions.finish(publisher) else { return };
        for message in &commit.publishes {
            self.publishers[usize::from(publisher.0)].settle(message.number, true);
        }
        for message in &commit.acks {
            if let Some(consumer) = self.channels.get_mut(&commit.channel) {
                consumer.held.remove(message);
            }
            if let Some(stream) = self.streams.get_mut(&(message.publisher, commit.queue)) {
                stream.clear(message.number, bit::HELD);
                stream.set(message.number, bit::FINAL);
            }
        }
        self.totals.committed += 1;
        self.totals.confirmed += commit.publishes.len() as u64;
        self.totals.acked += commit.acks.len() as u64;
    }

    fn judge_transaction(&mut self, open: &OpenCommit) {
        if open.is_atomic() {
            return;
        }
        let text = format!(
            "the transaction from {} on: {} publishes are there and {} are missing, {} of {} acks are undone",
            self.message_name(open.first),
            open.present,
            open.missing,
            open.returned,
            open.acks
        );
        self.complain(Invariant::Transactions, text);
    }

    fn end_life(&mut self) {
        for (_, consumer) in self.channels.drain() {
            for message in consumer.held {
                if let Some(stream) = self.streams.get_mut(&(message.publisher, consumer.queue)) {
                    stream.clear(message.number, bit::HELD);
                }
            }
            for message in consumer.acked {
                if let Some(stream) = self.streams.get_mut(&(message.publisher, consumer.queue)) {
                    stream.leave_acked(message.number);
                }
            }
        }
        for (queue, message) in self.transactions.end_life(&self.plan) {
            if let Some(stream) = self.streams.get_mut(&(message.publisher, queue)) {
                stream.leave_acked(message.number);
            }
        }
        for ((publisher, queue), stream) in &mut self.streams {
            let len = self.publishers[usize::from(publisher.0)].len();
            if matches!(self.purges.get(queue), Some(Purge::Sent(_))) {
                stream.excuse_purged(len);
            }
            stream.end_life(len, self.no_ack_queues.contains(queue));
        }
        self.purges.clear();
        self.no_ack_queues.clear();
        self.publishers.iter_mut().for_each(Publisher::end_life);
        self.entities.end_life();
        self.liveness.end();
        self.is_dead = false;
    }

    fn see(&mut self, sign: Sign) {
        self.liveness.see(sign, self.judgement.patience, &mut self.violations);
    }

    fn complain(&mut self, invariant: Invariant, text: String) {
        self.violations.add(invariant, text);
    }

    fn publisher(&self, publisher: PublisherIndex) -> &Publisher {
        &self.publishers[usize::from(publisher.0)]
    }

    fn publisher_plan(&self, publisher: PublisherIndex) -> &super::PublisherPlan {
        &self.plan.publishers[usize::from(publisher.0)]
    }

    fn message_name(&self, message: MessageId) -> String {
        let publisher = self.plan.publishers.get(usize::from(message.publisher.0));
        format!("{} {}", publisher.map_or("unknown publisher", |publisher| publisher.name), message.number)
    }

    fn queue_name(&self, queue: QueueIndex) -> &'static str {
        self.plan.queues[usize::from(queue.0)].name
    }
}

/// The streams that go to a queue.
fn streams_of(
    streams: &mut HashMap<(PublisherIndex, QueueIndex), Stream>,
    queue: QueueIndex,
) -> impl Iterator<Item = (PublisherIndex, &mut Stream)> {
    streams
        .iter_mut()
        .filter(move |((_, to), _)| *to == queue)
        .map(|((publisher, _), stream)| (*publisher, stream))
}
