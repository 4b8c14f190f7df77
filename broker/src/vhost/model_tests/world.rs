//! The real queues, driven, and compared with the reference after each step.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
};

use super::{
    super::{
        Route, Vhost,
        deliveries::SettleRun,
        outbox::Outbox,
        queue::{Got, SharedQueue},
        subscription::{Prefetch, Subscription, SubscriptionParts},
        transaction::{HeldMessage, HeldRun},
    },
    frames::{Arrival, read_all},
    operation::{CONNECTIONS, Operation, Publication, QUEUES, Settling},
    recording_log::{Durable, RecordingLog},
    reference::{Flag, Reference, ReferenceConsumer, ReferenceDelivery, ReferenceQueue},
    setup::{CHANNEL, NAMES, body, header, is_durable, open, outbox, outboxes, queue_definition, vhost},
};
use crate::{
    limits::QueueLimits,
    model::{
        arguments::Arguments,
        message::{Arena, Message, MessageHead},
        name::Name,
        queue::{ConsumerId, Position},
        queue_id::QueueId,
    },
    storage::{
        LogError,
        log::{LogWriter, Recovered, RecoveredQueue, Step},
        queue_log::{QueueLog, QueueRecord},
        record::Lsn,
        sim_disk::{Crash, Seeded, SimDisk, State},
    },
    vhost::test_clock::TestClock,
};

/// A broker's queues on a disk, and what they should be.
#[derive(Debug)]
pub(super) struct World {
    limits: QueueLimits,
    disk: SimDisk,
    log: Arc<RecordingLog>,
    writer: LogWriter,
    vhost: Vhost,
    clock: Arc<TestClock>,
    outboxes: Vec<Arc<Outbox>>,
    reference: Reference,
    /// The queue of each name.
    ids: [QueueId; QUEUES],
    /// Sizes of all bodies ever published.
    body_sizes: Vec<usize>,
    last_queue: u64,
    last_consumer: u64,
    /// Who waits for which number, and what they were told.
    confirms: Vec<(Lsn, Told)>,
    /// A channel need not get messages in order.
    may_overtake: bool,
    pub(super) counts: Counts,
}

impl Drop for World {
    fn drop(&mut self) {
        self.end_process();
    }
}

type Told = Arc<Mutex<Option<Result<(), LogError>>>>;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) published: usize,
    pub(super) delivered: usize,
    pub(super) reads: usize,
    pub(super) asides: usize,
    /// Packed files that were there at the end of a process.
    pub(super) packed: usize,
    pub(super) restarts: usize,
    pub(super) crashes: usize,
}

impl World {
    pub(super) fn new(limits: QueueLimits) -> Self {
        let disk = SimDisk::recording(State::default());
        let (log, writer, recovered) = open(&disk);
        let log = Arc::new(RecordingLog::new(log, limits, recovered.last_lsn, Durable::new()));
        let ids = [1, 2, 3].map(QueueId);
        let clock = Arc::new(TestClock::default());
        let mut reference = Reference::default();
        for (index, id) in ids.iter().enumerate() {
            let queue = ReferenceQueue { is_durable: is_durable(index), ..ReferenceQueue::default() };
            reference.queues.insert(*id, queue);
        }
        reference.connections.resize_with(CONNECTIONS, Default::default);
        Self {
            limits,
            disk,
            vhost: vhost(&log, &ids, &clock),
            clock,
            log,
            writer,
            outboxes: outboxes(),
            reference,
            ids,
            body_sizes: Vec::new(),
            last_queue: QUEUES as u64,
            last_consumer: 0,
            confirms: Vec::new(),
            may_overtake: false,
            counts: Counts::default(),
        }
    }

    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Publish(publication) => self.publish(publication),
            Operation::Get { connection, queue, is_no_ack } => {
                self.get(*connection, *queue, *is_no_ack);
            }
            Operation::Consume { connection, queue, prefetch_count, is_no_ack } => {
                self.consume(*connection, *queue, *prefetch_count, *is_no_ack);
            }
            Operation::Cancel { connection, queue } => self.cancel(*connection, *queue),
            Operation::Settle { connection, settling } => {
                let mut runs = self.take_runs(*connection, slice_of(settling));
                self.settle(&mut runs);
            }
            Operation::Commit { connection, publications, settlings } => {
                self.commit(*connection, publications, settlings);
            }
            Operation::Disconnect { connection, meanwhile } => {
                self.disconnect(*connection, meanwhile.as_ref());
            }
            Operation::Purge { queue } => self.purge(*queue),
            Operation::Delete { queue } => self.delete(*queue),
            Operation::Step => {
                self.writer.step().unwrap();
                self.resume();
            }
            Operation::Write => self.write(),
            Operation::Rest => {
                self.write();
                self.until_idle(LogWriter::rest);
            }
            Operation::Restart => self.restart(),
            Operation::Crash { crash, seed, is_in_step } => self.crash(*crash, *seed, *is_in_step),
        }
        self.check();
    }

    /// Takes all messages that are left out of all queues.
    pub(super) fn drain(&mut self) {
        for connection in 0..CONNECTIONS {
            self.disconnect(connection, None);
        }
        for queue in 0..QUEUES {
            while self.get(0, queue, true) {}
            self.check();
        }
        assert_eq!(self.log.current(), Durable::new());
    }

    fn publish(&mut self, publication: &Publication) {
        let route = self.route(publication);
        let mut messages = self.messages(publication, &route);
        if self.may_overtake {
            route.queues.iter().for_each(|queue| self.reference.lose_consumer(queue.id));
        }
        let lsn = self.vhost.publish(&route, &mut messages).unwrap().lsn;
        self.expect_safe(lsn);
        self.collect();
    }

    fn route(&self, publication: &Publication) -> Route {
        let is_meant = |index: &usize| publication.queues & (1 << index) != 0;
        let mut queues: Vec<_> = (0..QUEUES).filter(is_meant).map(|index| self.queue(index)).collect();
        queues.sort_unstable_by_key(|queue| queue.id);
        Route {
            queues: queues.into(),
            depends_on_headers: false,
            is_stored: true,
            may_refuse: false,
            epoch: self.vhost.epoch(),
        }
    }

    /// The messages, which the reference has already.
    fn messages(&mut self, publication: &Publication, route: &Route) -> Vec<Message> {
        let Publication { count, body_size, is_persistent, .. } = *publication;
        let queues: Vec<QueueId> = route.queues.iter().map(|queue| queue.id).collect();
        let mut messages = Vec::new();
        for _ in 0..count {
            let number = self.body_sizes.len() as u64;
            self.body_sizes.push(body_size);
            self.reference.publish(&queues, (number, body_size), is_persistent);
            let head = MessageHead { route: b"\x01x\x03key", header: &header(body_size), is_persistent };
            messages.push(Arena::default().message(head, &body(number, body_size)));
        }
        self.counts.published += count;
        messages
    }

    /// The number is that of the last record, and whoever waits for it hears of it in time.
    fn expect_safe(&mut self, lsn: Option<Lsn>) {
        assert_eq!(lsn, self.log.take_last_appended());
        let Some(lsn) = lsn else { return };
        let told = Told::default();
        let tell = Arc::clone(&told);
        self.log.when_synced(
            lsn,
            Box::new(move |result| assert_eq!(tell.lock().unwrap().replace(result), None, "told twice")),
        );
        self.confirms.push((lsn, told));
    }

    /// False if there was nothing.
    fn get(&mut self, connection: usize, queue: usize, is_no_ack: bool) -> bool {
        let id = self.ids[queue];
        let ready = self.reference.counts(id).ready;
        let outbox = Arc::clone(&self.outboxes[connection]);
        let mut got = self.queue(queue).get(&outbox, CHANNEL, is_no_ack).unwrap();
        while let Got::NotYet(lsn) = got {
            assert!(lsn > self.log.synced_up_to() && self.reference.may_be_held(id));
            self.writer.step().unwrap();
            got = self.queue(queue).get(&outbox, CHANNEL, is_no_ack).unwrap();
        }
        let is_there = got == Got::Message;
        assert_eq!(is_there, ready > 0);
        let arrivals = read_all(&outbox);
        assert_eq!(arrivals.len(), usize::from(is_there));
        let left: Vec<_> = arrivals.iter().map(|arrival| arrival.left_count.unwrap() as usize).collect();
        assert!(left.iter().all(|left| left + 1 == ready));
        self.take_arrivals(connection, arrivals, Some((id, is_no_ack)));
        // Consumers may have waited for the same.
        self.resume();
        is_there
    }

    fn consume(&mut self, connection: usize, queue: usize, prefetch_count: u16, is_no_ack: bool) {
        let queue = self.queue(queue);
        let consumers = &mut self.reference.connections[connection].consumers;
        if consumers.contains_key(&queue.id) {
            return;
        }
        self.last_consumer += 1;
        let id = self.last_consumer;
        let prefetch_limit = if is_no_ack { 0 } else { prefetch_count };
        consumers.insert(queue.id, ReferenceConsumer { id, prefetch_count: prefetch_limit, is_no_ack });
        let subscription = Arc::new(Subscription::from(SubscriptionParts {
            id: ConsumerId(id),
            channel: CHANNEL,
            tag: Name::parse(&queue.id.0.to_string()).unwrap(),
            queue: Arc::clone(&queue),
            outbox: Arc::clone(&self.outboxes[connection]),
            is_no_ack,
            is_exclusive: false,
            is_cancel_notified: false,
            arguments: Arguments::default(),
            prefetch_count,
            channel_prefetch: Arc::<Prefetch>::default(),
        }));
        queue.consume(&subscription, |_| {}).unwrap();
        self.collect();
    }

    fn cancel(&mut self, connection: usize, queue: usize) {
        let queue = self.queue(queue);
        let Some(consumer) = self.reference.connections[connection].consumers.remove(&queue.id) else {
            return;
        };
        let removed = self.outboxes[connection].remove_subscription(CHANNEL, &queue.id.0.to_string());
        assert_eq!(removed.map(|removed| removed.id), Some(ConsumerId(consumer.id)));
        assert!(!queue.cancel(ConsumerId(consumer.id)));
    }

    /// What an ack, nack or reject names, taken from the channel.
    fn take_runs(&mut self, connection: usize, settlings: &[Settling]) -> Vec<SettleRun> {
        let mut runs = Vec::new();
        for Settling { nth, is_multiple, outcome } in settlings {
            let unsettled = &mut self.reference.connections[connection].unsettled;
            if unsettled.is_empty() {
                break;
            }
            let tag = *unsettled.keys().nth(nth % unsettled.len()).unwrap();
            let mut named = unsettled.split_off(&tag);
            let later = named.split_off(&(tag + 1));
            if *is_multiple {
                named.append(unsettled);
            }
            unsettled.extend(later);
            let before = runs.len();
            let mut own = Vec::new();
            let settled = self.outboxes[connection]
                .with_channel(CHANNEL, |channel| channel.settle(tag, *is_multiple, *outcome, &mut own));
            assert_eq!(settled, Some(Ok(())));
            runs.append(&mut own);
            let places = places_of(&runs[before..]);
            assert_eq!(places, named.values().map(|delivery| (delivery.queue, delivery.position)).collect());
        }
        runs
    }

    fn settle(&mut self, runs: &mut Vec<SettleRun>) {
        for mut run in runs.drain(..) {
            let queue = Arc::clone(run.origin.queue());
            for position in &run.positions {
                self.reference.settle(queue.id, *position, run.outcome);
            }
            queue.settle(&mut run);
            self.collect();
        }
    }

    fn commit(&mut self, connection: usize, publications: &[Publication], settlings: &[Settling]) {
        let mut settles = self.take_runs(connection, settlings);
        for run in &settles {
            for position in &run.positions {
                self.reference.settle(run.origin.queue().id, *position, run.outcome);
            }
        }
        let mut runs = Vec::new();
        for publication in publications {
            let route = self.route(publication);
            let messages = self.messages(publication, &route).into_iter();
            let messages = messages.map(|message| HeldMessage { message, is_mandatory: false }).collect();
            runs.push(HeldRun { route, messages });
        }
        let committed = self.vhost.commit(runs, &mut settles).unwrap();
        assert!(settles.is_empty() && committed.returned.is_empty());
        self.expect_safe(committed.lsn);
        self.collect();
    }

    fn disconnect(&mut self, connection: usize, meanwhile: Option<&Publication>) {
        let reference = std::mem::take(&mut self.reference.connections[connection]);
        let channels = self.outboxes[connection].close();
        if let Some(publication) = meanwhile {
            // What a consumer did not get that is gone goes to the others after what they got.
            self.may_overtake = true;
            self.publish(publication);
            self.may_overtake = false;
        }
        for deliveries in &channels {
            for subscription in deliveries.subscriptions() {
                assert!(!subscription.queue.cancel(subscription.id));
            }
        }
        let mut runs = Vec::new();
        channels.into_iter().for_each(|mut deliveries| deliveries.take_all(&mut runs));
        let held = reference.unsettled.values().map(|delivery| (delivery.queue, delivery.position));
        assert_eq!(places_of(&runs), held.collect());
        self.outboxes[connection] = outbox();
        self.settle(&mut runs);
    }

    fn purge(&mut self, queue: usize) {
        let ready = self.reference.counts(self.ids[queue]).ready;
        assert_eq!(self.queue(queue).purge().0, ready);
        let messages = &mut self.reference.queues.get_mut(&self.ids[queue]).unwrap().messages;
        messages.retain(|message| !message.is_ready);
    }

    fn delete(&mut self, index: usize) {
        let id = self.ids[index];
        let ready = self.reference.counts(id).ready;
        let deleted = self.vhost.delete_queue(NAMES[index], None, false, false);
        assert!(deleted.is_ok_and(|(count, _)| count == ready));
        self.reference.queues.remove(&id);
        for connection in &mut self.reference.connections {
            connection.consumers.remove(&id);
        }
        self.last_queue += 1;
        let id = QueueId(self.last_queue);
        self.ids[index] = id;
        assert!(self.vhost.restore_queue(queue_definition(index, id)));
        let queue = ReferenceQueue { is_durable: is_durable(index), ..ReferenceQueue::default() };
        self.reference.queues.insert(id, queue);
    }

    /// Writes everything, and hands out what waited for that: then nothing is left to hand out.
    fn write(&mut self) {
        for turn in 0.. {
            assert!(turn < 1_000, "something is always held");
            self.until_idle(LogWriter::step);
            if !self.resume() {
                break;
            }
        }
        for id in self.ids {
            assert!(!self.is_waiting(id), "{id:?} waits for nothing");
        }
    }

    /// What the connections' tasks do when they are woken; says whether there was anything to do.
    fn resume(&mut self) -> bool {
        let resumable: Vec<_> = self.outboxes.iter().flat_map(|outbox| outbox.take_resumable()).collect();
        for subscription in &resumable {
            subscription.queue.resume(subscription.id);
        }
        self.collect();
        !resumable.is_empty()
    }

    /// A queue has messages, and a consumer that could have them.
    fn is_waiting(&self, id: QueueId) -> bool {
        let could_have_more = |(consumer, unsettled): (&ReferenceConsumer, usize)| {
            consumer.prefetch_count == 0 || unsettled < usize::from(consumer.prefetch_count)
        };
        self.reference.counts(id).ready > 0 && self.reference.consumers(id).any(could_have_more)
    }

    fn until_idle(&mut self, step: impl Fn(&mut LogWriter) -> Result<Step, LogError>) {
        for turn in 0.. {
            assert!(turn < 1_000, "the writer never comes to rest");
            if step(&mut self.writer) != Ok(Step::Worked) {
                break;
            }
        }
    }

    fn restart(&mut self) {
        for connection in 0..CONNECTIONS {
            self.disconnect(connection, None);
        }
        self.vhost.queues().iter().for_each(|queue| queue.end_marks());
        self.log.log.close();
        self.until_idle(LogWriter::step);
        self.check_confirms();
        let disk = self.disk.clone();
        self.reopen(disk, self.log.synced_up_to(), true);
        self.counts.restarts += 1;
    }

    fn crash(&mut self, crash: Crash, seed: u64, is_in_step: bool) {
        let mut seeded = Seeded::new(seed);
        let (mut state, synced, done) = (self.disk.state(), self.log.synced_up_to(), self.disk.op_count());
        if is_in_step {
            if self.writer.step() == Ok(Step::Idle) {
                self.writer.rest().unwrap();
            }
            let ops = self.disk.ops();
            let kept = seeded.below(ops.len() - done + 1);
            ops[done..done + kept].iter().for_each(|op| state.apply(op));
        }
        let disk = SimDisk::recording(state.crash(crash, &mut seeded));
        self.reopen(disk, synced, false);
        self.counts.crashes += 1;
    }

    fn reopen(&mut self, disk: SimDisk, synced: Lsn, is_clean: bool) {
        let before = Arc::clone(&self.log);
        self.note_counts();
        self.confirms.clear();
        // Nothing of what was may touch the disk that comes.
        let idle = Arc::new(RecordingLog::new(before.log.clone(), self.limits, Lsn(0), Durable::new()));
        self.end_process();
        (self.vhost, self.outboxes) = (vhost(&idle, &self.ids, &self.clock), outboxes());
        let (log, writer, recovered) = open(&disk);
        assert_eq!(recovered.is_clean, is_clean);
        let (safe, _) = before.at(synced);
        assert!(recovered.last_lsn >= safe, "{:?} < {safe:?}: what was synced is lost", recovered.last_lsn);
        let (_, durable) = before.at(recovered.last_lsn);
        if is_clean {
            assert_eq!(durable, self.reference.durable());
        }
        self.log = Arc::new(RecordingLog::new(log, self.limits, recovered.last_lsn, durable.clone()));
        (self.disk, self.writer) = (disk, writer);
        self.vhost = vhost(&self.log, &self.ids, &self.clock);
        self.reference.restart(&durable, is_clean, |number| self.body_sizes[number as usize]);
        self.restore(recovered);
    }

    /// Queues, consumers and connections hold each other for as long as a process lives.
    fn end_process(&self) {
        self.vhost.queues().iter().for_each(|queue| queue.end_deliveries());
        self.outboxes.iter().for_each(|outbox| drop(outbox.close()));
    }

    fn restore(&mut self, recovered: Recovered) {
        let queues: BTreeMap<QueueId, Arc<SharedQueue>> =
            self.vhost.queues().into_iter().map(|queue| (queue.id, queue)).collect();
        for (id, reference) in &mut self.reference.queues {
            let next = |queue: &RecoveredQueue| queue.next_position.max(queue.delivered_up_to).0;
            let next = recovered.queues.get(id).map_or(0, next);
            let last = reference.messages.last();
            assert!(last.is_none_or(|last| last.position.0 < next));
            reference.next_position = next;
        }
        for (id, messages) in recovered.queues {
            match queues.get(&id) {
                Some(queue) => queue.restore(messages, recovered.has_loss),
                None => drop(self.log.record(id, QueueRecord::Delete)),
            }
        }
    }

    fn queue(&self, index: usize) -> Arc<SharedQueue> {
        self.vhost.queue(NAMES[index]).unwrap()
    }

    /// What came to the peers is what had to come.
    fn collect(&mut self) {
        let arrived: Vec<Vec<Arrival>> = self.outboxes.iter().map(|outbox| read_all(outbox)).collect();
        let before: BTreeMap<QueueId, Vec<Position>> =
            self.reference.queues.iter().map(|(id, queue)| (*id, ready_positions(queue))).collect();
        for (connection, arrivals) in arrived.into_iter().enumerate() {
            self.take_arrivals(connection, arrivals, None);
        }
        // However many consumers there are: nobody is passed over.
        for (id, queue) in &self.reference.queues {
            let left = ready_positions(queue);
            let taken = before[id].len() - left.len();
            if self.may_overtake {
                continue;
            }
            assert_eq!(left, before[id][taken..], "not the first {taken} of queue {id:?} were handed out");
        }
    }

    fn take_arrivals(&mut self, connection: usize, arrivals: Vec<Arrival>, get: Option<(QueueId, bool)>) {
        let mut last: BTreeMap<QueueId, Position> = BTreeMap::new();
        for arrival in arrivals {
            let own = &mut self.reference.connections[connection];
            let id = arrival.consumer.as_ref().map(|tag| QueueId(tag.parse().unwrap()));
            let consumer = id.map(|id| own.consumers[&id]);
            let (id, is_no_ack) = get.unwrap_or_else(|| (id.unwrap(), consumer.unwrap().is_no_ack));
            let number = u64::from_le_bytes(arrival.body[..8].try_into().unwrap());
            let queue = self.reference.queues.get_mut(&id).unwrap();
            let messages = &mut queue.messages;
            let at = messages.iter().position(|message| message.number == number && message.is_ready);
            let Some(at) = at else { panic!("message {number} of {id:?} is handed out, and not ready") };
            let is_first = messages[..at].iter().all(|message| !message.is_ready);
            assert!(get.is_none() || is_first, "message {number} of {id:?} is not the first");
            let message = &mut messages[at];
            assert!(arrival.is_redelivered || message.flag != Flag::Yes, "message {number} of {id:?}");
            assert!(!arrival.is_redelivered || message.flag != Flag::No, "message {number} of {id:?}");
            let is_needless = arrival.is_redelivered && message.flag == Flag::Perhaps;
            assert_eq!(arrival.header, header(message.body_size));
            assert!(arrival.body == body(number, message.body_size), "message {number} has another body");
            own.last_tag += 1;
            assert_eq!(arrival.tag, own.last_tag);
            self.reference.handed_out.insert((id, number));
            let position = message.position;
            let is_ascending = last.insert(id, position).is_none_or(|before| before < position);
            assert!(is_ascending || self.may_overtake, "out of order");
            if is_no_ack {
                messages.remove(at);
            } else {
                message.is_ready = false;
                let consumer = consumer.map(|consumer| consumer.id);
                own.unsettled.insert(arrival.tag, ReferenceDelivery { queue: id, position, consumer });
            }
            queue.needless_flags += u64::from(is_needless);
            assert!(queue.needless_flags <= self.limits.mark_ahead_max, "{id:?} flags too many");
            self.counts.delivered += 1;
        }
    }

    fn check(&mut self) {
        for (index, id) in self.ids.iter().enumerate() {
            let counts = self.reference.counts(*id);
            assert_eq!(self.queue(index).counts(), counts, "{id:?}");
            assert!(!self.is_waiting(*id) || self.reference.may_be_held(*id), "{id:?} could hand out more");
            for (consumer, unsettled) in self.reference.consumers(*id) {
                assert!(consumer.prefetch_count == 0 || unsettled <= usize::from(consumer.prefetch_count));
            }
        }
        assert_eq!(self.log.current(), self.reference.durable());
        self.check_confirms();
        self.log.forget_old();
    }

    fn check_confirms(&mut self) {
        let synced = self.log.synced_up_to();
        self.confirms.retain(|(lsn, told)| {
            let told = told.lock().unwrap().clone();
            assert_eq!(told, (*lsn <= synced).then_some(Ok(())), "{lsn:?} of {synced:?}");
            told.is_none()
        });
    }

    pub(super) fn note_counts(&mut self) {
        self.counts.reads += self.log.read_count.swap(0, Relaxed);
        self.counts.asides += self.log.aside_count.swap(0, Relaxed);
        let names = self.disk.state().names();
        self.counts.packed += names.iter().filter(|name| name.ends_with(".packed")).count();
    }
}

fn slice_of(settling: &Settling) -> &[Settling] {
    std::slice::from_ref(settling)
}

fn places_of(runs: &[SettleRun]) -> BTreeSet<(QueueId, Position)> {
    let places = runs.iter().flat_map(|run| {
        let id = run.origin.queue().id;
        run.positions.iter().map(move |position| (id, *position))
    });
    let list: Vec<_> = places.collect();
    let set: BTreeSet<_> = list.iter().copied().collect();
    assert_eq!(set.len(), list.len(), "settled twice");
    set
}

fn ready_positions(queue: &ReferenceQueue) -> Vec<Position> {
    queue.messages.iter().filter(|message| message.is_ready).map(|message| message.position).collect()
}
