//! A queue that connections share: the pure queue behind a lock, its log, and the carrying out of what
//! it decides.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    deliveries::{SettleRun, Unsettled},
    marks::Marks,
    outbox::{Gone, Outbox},
    paging::Paging,
    subscription::Subscription,
};
use crate::{
    limits::DISPATCH_RUN_MAX,
    model::{
        message::Message,
        name::Name,
        queue::{
            ConsumeError, ConsumerId, Delivery, Entry, Lane, Member, Outcome, Position, Queue, QueueCounts,
            QueueOptions,
        },
        queue_id::QueueId,
    },
    storage::{
        LogError,
        log::{RecoveredMessage, RecoveredQueue},
        queue_log::{LogTarget, QueueLog, QueueRecord},
        record::Lsn,
    },
    wire::frame::ChannelNumber,
};

/// A connection's number, unique while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A queue of a vhost. Its lock comes after the topology's; several are taken by ascending id.
pub struct SharedQueue {
    /// Never used by another queue.
    pub id: QueueId,
    /// Its name in its vhost.
    pub name: Name,
    /// As declared.
    pub options: QueueOptions,
    /// The connection that owns it, if exclusive.
    pub owner: Option<ConnectionId>,
    log: Arc<dyn QueueLog>,
    state: Mutex<State>,
}

/// What the lock of a queue guards.
#[derive(Debug)]
pub(super) struct State {
    id: QueueId,
    pub(super) queue: Queue<Arc<Subscription>>,
    /// Room for the lanes of one dispatch, kept between dispatches.
    lanes: Vec<Lane<Arc<Subscription>>>,
    pub(super) is_deleted: bool,
    /// What of it is on disk.
    paging: Paging,
    /// How far it may hand out messages that are not flagged.
    marks: Marks,
    /// Its persistent messages are in the log.
    pub(super) is_durable: bool,
}

/// The queue is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted;

/// What came of a `basic.get`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// The head went to the outbox.
    Message,
    /// There is none.
    Nothing,
    /// To be asked again when the log is synced up to here: the head may not be handed out before.
    NotYet(Lsn),
}

/// Why `basic.consume` is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// Somebody needs to be alone.
    InExclusiveUse,
    /// The queue went meanwhile.
    Deleted,
}

/// Why a conditional delete is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRefused {
    /// `if-unused`, and it has consumers.
    InUse,
    /// `if-empty`, and it has messages.
    NotEmpty,
}

/// Queues that one record of the log may name.
const RECORD_QUEUES_MAX: usize = 64;

impl SharedQueue {
    /// A new, empty queue.
    #[must_use]
    pub fn new(
        id: QueueId,
        name: Name,
        options: QueueOptions,
        owner: Option<ConnectionId>,
        log: Arc<dyn QueueLog>,
    ) -> Self {
        let is_durable = options.is_durable && !options.is_exclusive;
        let state = State {
            id,
            queue: Queue::new(),
            lanes: Vec::new(),
            is_deleted: false,
            paging: Paging::new(id, is_durable, log.queue_limits()),
            marks: Marks::new(id, log.queue_limits()),
            is_durable,
        };
        Self { id, name, options, owner, log, state: Mutex::new(state) }
    }

    /// Appends messages and dispatches. Says when they are safe.
    pub fn publish(&self, messages: &mut Vec<Message>) -> Result<Option<Lsn>, LogError> {
        let mut state = self.lock();
        let mut last = None;
        if state.is_deleted {
            messages.clear();
        }
        for (number, message) in messages.drain(..).enumerate() {
            if number % DISPATCH_RUN_MAX == DISPATCH_RUN_MAX - 1 {
                state.dispatch(&*self.log);
            }
            state.cover_append(&message, &*self.log);
            last = last.max(self.log.append(&mut [&mut *state], message)?);
        }
        state.dispatch(&*self.log);
        state.page_out(&*self.log);
        Ok(last)
    }

    /// Appends messages to several queues, sorted by id: one record each, all locks held.
    pub fn publish_to_all(
        queues: &[Arc<Self>],
        messages: &mut Vec<Message>,
    ) -> Result<Option<Lsn>, LogError> {
        let mut last = None;
        for part in queues.chunks(RECORD_QUEUES_MAX) {
            let mut states: Vec<_> = part.iter().map(|queue| queue.lock()).collect();
            states.retain(|state| !state.is_deleted);
            let Some(first) = part.first() else { break };
            for (number, message) in messages.iter().enumerate() {
                for state in &mut states {
                    if number % DISPATCH_RUN_MAX == DISPATCH_RUN_MAX - 1 {
                        state.dispatch(&*first.log);
                    }
                    state.cover_append(message, &*first.log);
                }
                let mut targets: Vec<&mut dyn LogTarget> =
                    states.iter_mut().map(|state| &mut **state as &mut dyn LogTarget).collect();
                last = last.max(first.log.append(&mut targets, message.clone())?);
            }
            for state in &mut states {
                state.dispatch(&*first.log);
                state.page_out(&*first.log);
            }
        }
        messages.clear();
        Ok(last)
    }

    /// Ends deliveries, gives the consumer its credit back and dispatches. `run` keeps those that
    /// were unsettled here and are in the log: only they are recorded.
    pub fn settle(&self, run: &mut SettleRun) -> Option<Lsn> {
        if let Some(consumer) = run.consumer() {
            consumer.give_back(run.positions.len());
        }
        let mut state = self.lock();
        if state.is_deleted {
            return None;
        }
        let is_durable = state.is_durable;
        let mut bytes = 0;
        run.positions.retain(|position| {
            let settled = state.queue.settle(*position, run.outcome);
            let is_recorded = settled.is_some_and(|settled| is_durable && settled.is_persistent);
            if is_recorded {
                bytes += settled.map_or(0, |settled| settled.body_size);
            }
            is_recorded
        });
        let mut lsn = None;
        if !run.positions.is_empty() {
            let record = match run.outcome {
                Outcome::Requeue => QueueRecord::Requeue(&run.positions),
                Outcome::Accept | Outcome::Discard => {
                    QueueRecord::Settle { positions: &run.positions, bytes }
                }
            };
            lsn = self.log.record(self.id, record);
        }
        if let Some(id) = run.freed_consumer() {
            state.queue.resume(id);
        }
        state.dispatch(&*self.log);
        lsn
    }

    /// Adds a consumer: `reply` (`basic.consume-ok`) is written first, then its deliveries.
    pub fn consume(
        &self,
        subscription: &Arc<Subscription>,
        reply: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), JoinError> {
        let mut state = self.lock();
        if state.is_deleted {
            return Err(JoinError::Deleted);
        }
        state
            .queue
            .check_consume(subscription.is_exclusive)
            .map_err(|ConsumeError::InExclusiveUse| JoinError::InExclusiveUse)?;
        subscription.outbox.add_subscription(subscription, reply);
        let (is_no_ack, is_exclusive) = (subscription.is_no_ack, subscription.is_exclusive);
        state.queue.add_consumer(Member::new(Arc::clone(subscription), is_no_ack, is_exclusive));
        state.dispatch(&*self.log);
        Ok(())
    }

    /// Removes a consumer. True when that leaves an auto-delete queue without any: it is to be deleted.
    #[must_use]
    pub fn cancel(&self, id: ConsumerId) -> bool {
        let mut state = self.lock();
        state.queue.remove_consumer(id);
        state.marks.forget_messenger();
        state.dispatch(&*self.log);
        self.options.is_auto_delete && !state.is_deleted && state.queue.consumer_count() == 0
    }

    /// Hands the head to a `basic.get`.
    pub fn get(
        self: &Arc<Self>,
        outbox: &Outbox,
        channel: ChannelNumber,
        is_no_ack: bool,
    ) -> Result<Got, Deleted> {
        let mut state = self.lock();
        if state.is_deleted {
            return Err(Deleted);
        }
        state.page_in(&*self.log);
        let awaited = state.request_mark(&*self.log);
        if state.queue.is_held() {
            // Without a mark to wait for the log has failed, and says so to whoever waits.
            return Ok(Got::NotYet(awaited.unwrap_or(Lsn(u64::MAX))));
        }
        let Some(delivery) = state.queue.get(is_no_ack) else { return Ok(Got::Nothing) };
        state.cover_next(&*self.log);
        let unsettled =
            (!is_no_ack).then(|| Unsettled { queue: Arc::clone(self), position: delivery.position });
        let ready_count = state.queue.ready_count();
        if outbox.deliver_get(channel, &delivery, unsettled, ready_count) == Err(Gone) {
            state.queue.take_back(delivery);
        } else if is_no_ack && state.is_durable && delivery.message.is_persistent() {
            let bytes = delivery.message.body_size() as u64;
            self.log.record(self.id, QueueRecord::Settle { positions: &[delivery.position], bytes });
        }
        Ok(Got::Message)
    }

    /// A consumer may have credit or room again.
    pub fn resume(&self, id: ConsumerId) {
        let mut state = self.lock();
        state.queue.resume(id);
        state.dispatch(&*self.log);
    }

    /// Drops everything ready; says how many.
    pub fn purge(&self) -> usize {
        let mut state = self.lock();
        if state.is_deleted {
            return 0;
        }
        if state.is_durable {
            let (kept, sizes): (Vec<_>, Vec<u64>) = state.queue.unsettled_persistent().unzip();
            let (up_to, kept_bytes) = (state.queue.next_position(), sizes.iter().sum());
            self.log.record(self.id, QueueRecord::Purge { up_to, kept: &kept, kept_bytes });
        }
        state.paging.clear();
        let count = state.queue.purge();
        state.note_memory(&*self.log);
        count
    }

    /// Ends the queue, if the conditions hold. Says how many messages were ready and who consumed. The log has
    /// them until [`QueueRecord::Delete`] is recorded for a durable queue: not before its definition is gone for
    /// good, so that after a crash it is there with them or not at all.
    pub fn delete(
        &self,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<(usize, Vec<Arc<Subscription>>), DeleteRefused> {
        let mut state = self.lock();
        if if_unused && state.queue.consumer_count() > 0 {
            return Err(DeleteRefused::InUse);
        }
        if if_empty && state.queue.ready_count() > 0 {
            return Err(DeleteRefused::NotEmpty);
        }
        state.is_deleted = true;
        // Unsettled ones, too: whoever still holds the queue holds no messages with it.
        let mut ended = std::mem::take(&mut state.queue);
        state.paging.clear();
        state.note_memory(&*self.log);
        drop(state);
        Ok((ended.ready_count(), ended.remove_consumers()))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.lock().is_deleted
    }

    /// Puts back what the log held, before anybody uses the queue. `has_loss`: some of the log could not be read, and
    /// with it perhaps what was handed out.
    pub fn restore(&self, recovered: RecoveredQueue, has_loss: bool) {
        let mut state = self.lock();
        let marked = recovered.delivered_up_to;
        // Nothing new gets a place that is marked: transient messages may have had it.
        let next_position = recovered.next_position.max(marked);
        let flagged_below = if has_loss { next_position } else { marked };
        if flagged_below > marked && recovered.count > 0 {
            // For the next start, which need not know of the loss.
            self.log.record(self.id, QueueRecord::Delivered { up_to: flagged_below });
        }
        state.marks.restore(marked, next_position);
        let newest_bytes = |message: &RecoveredMessage| message.message.body_size() as u64;
        let newest_bytes: u64 = recovered.newest.iter().map(newest_bytes).sum();
        let count = recovered.count.saturating_sub(recovered.newest.len() as u64);
        let paged =
            (usize::try_from(count).unwrap_or(usize::MAX), recovered.bytes.saturating_sub(newest_bytes));
        let paged_to = recovered.newest.first().map_or(recovered.next_position, |message| message.position);
        state.queue.restore(paged_to, paged, flagged_below);
        for RecoveredMessage { position, message, delivery_count } in recovered.newest {
            state.queue.restore_newest(Entry { position, message, delivery_count });
        }
        state.queue.restore_next_position(next_position);
    }

    /// Hands out nothing more: forgets the consumers, but not what they have.
    pub fn end_deliveries(&self) {
        self.lock().queue.remove_consumers();
    }

    /// The broker stops in order, and what was handed out is settled or requeued in the log, message by message: no
    /// mark is needed, unless somebody still has something.
    pub fn end_marks(&self) {
        let mut state = self.lock();
        if state.is_durable && !state.is_deleted && state.queue.counts().unsettled == 0 {
            let flagged_below = state.queue.flagged_below();
            state.marks.end(flagged_below, &*self.log);
        }
    }

    /// The numbers that tools show.
    #[must_use]
    pub fn counts(&self) -> QueueCounts {
        self.lock().queue.counts()
    }

    /// The consumers.
    #[must_use]
    pub fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.lock().queue.consumers().map(|member| Arc::clone(&member.consumer)).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Hands out what can be handed out, run by run and in each lane by lane, until the queue is empty or
    /// no consumer has credit and room: that bounds how long the lock is held.
    pub(super) fn dispatch(&mut self, log: &dyn QueueLog) {
        loop {
            if self.queue.has_taker() {
                self.note_cleared(log);
            }
            let mut lanes = std::mem::take(&mut self.lanes);
            let mut has_more = self.queue.dispatch(DISPATCH_RUN_MAX, &mut lanes);
            keep_order(&mut lanes);
            for lane in lanes.drain(..) {
                // What comes back is for whoever is left.
                has_more |= self.deliver(lane, log).is_err();
            }
            self.lanes = lanes;
            has_more |= self.queue.has_taker() && self.page_in(log);
            if self.queue.consumer_count() > 0 {
                self.cover_next(log);
            }
            if !has_more && !self.await_mark(log) {
                return self.note_memory(log);
            }
        }
    }

    /// If the next message is held, lets a consumer hear of it when that ends. True if it is not held any more.
    fn await_mark(&mut self, log: &dyn QueueLog) -> bool {
        if !self.queue.is_held() {
            return false;
        }
        let Some(messenger) = self.queue.taker().map(Arc::clone) else { return false };
        if let Some(lsn) = self.request_mark(log) {
            self.marks.resume_when_synced(lsn, &messenger, log);
        }
        !self.queue.is_held()
    }

    /// What is about to be appended may be handed out, if consumers keep up.
    pub(super) fn cover_append(&mut self, message: &Message, log: &dyn QueueLog) {
        if self.is_durable && message.is_persistent() && self.queue.consumer_count() > 0 {
            self.marks.cover_append(self.queue.first_new(), self.queue.next_position(), log);
        }
    }

    /// What comes next may be handed out when its turn comes.
    fn cover_next(&mut self, log: &dyn QueueLog) {
        if self.is_durable {
            self.marks.cover_next(self.queue.first_new(), self.queue.next_position(), log);
        }
    }

    /// Tells the queue what may be handed out.
    fn note_cleared(&mut self, log: &dyn QueueLog) {
        if self.is_durable {
            let cleared_below = self.marks.cleared_below(self.queue.first_new(), log);
            self.queue.set_cleared_below(cleared_below);
        }
    }

    /// If the next message is held, sees to it that there is a mark for it, and says what to wait for. Nothing: it is
    /// not held, or nothing will come of waiting.
    fn request_mark(&mut self, log: &dyn QueueLog) -> Option<Lsn> {
        self.note_cleared(log);
        if !self.queue.is_held() {
            return None;
        }
        let lsn = self.marks.request(self.queue.first_new(), self.queue.next_position(), log);
        // It may be synced by now.
        self.note_cleared(log);
        lsn.filter(|_| self.queue.is_held())
    }

    /// Brings back the next message if it is on disk; false if it was not, or cannot be read now.
    fn page_in(&mut self, log: &dyn QueueLog) -> bool {
        let is_wanted = self.queue.wanted().is_some();
        while self.queue.wanted().is_some() {
            if !self.paging.page_in(&mut self.queue, log) {
                return false;
            }
        }
        is_wanted
    }

    fn note_memory(&mut self, log: &dyn QueueLog) {
        self.paging.note_change(&self.queue, log);
    }

    pub(super) fn page_out(&mut self, log: &dyn QueueLog) {
        self.paging.page_out(&mut self.queue, log);
    }

    fn deliver(&mut self, mut lane: Lane<Arc<Subscription>>, log: &dyn QueueLog) -> Result<(), Gone> {
        let consumer = lane.consumer;
        // What needs no ack is settled when it is handed over.
        let (settled, bytes) = match self.is_durable && consumer.is_no_ack {
            true => persistent_positions(&lane.deliveries),
            false => (Vec::new(), 0),
        };
        let delivered = consumer.outbox.deliver(&consumer, &mut lane.deliveries);
        if delivered.is_ok() && !settled.is_empty() {
            log.record(self.id, QueueRecord::Settle { positions: &settled, bytes });
        }
        if delivered.is_err() {
            consumer.give_back(lane.deliveries.len());
            self.queue.remove_consumer(consumer.id);
            self.marks.forget_messenger();
            for mut delivery in lane.deliveries {
                consumer.outbox.release(delivery.message.size());
                // Others may get later ones before it.
                delivery.delivery_count += 1;
                self.queue.take_back(delivery);
            }
        }
        delivered
    }
}

/// Positions of the persistent ones, and their bodies together.
fn persistent_positions(deliveries: &[Delivery]) -> (Vec<Position>, u64) {
    let persistent = || deliveries.iter().filter(|delivery| delivery.message.is_persistent());
    let bytes = persistent().map(|delivery| delivery.message.body_size() as u64).sum();
    (persistent().map(|delivery| delivery.position).collect(), bytes)
}

/// Cuts lanes that lead to one channel so that delivering them one after the other keeps the queue's order
/// there (AMQP 0-9-1 section 4.7: order holds per outgoing channel, whichever consumer gets a message).
fn keep_order(lanes: &mut Vec<Lane<Arc<Subscription>>>) {
    if !share_channel(lanes) {
        return;
    }
    let mut deliveries: Vec<(Arc<Subscription>, Delivery)> = Vec::new();
    for Lane { consumer, deliveries: own } in lanes.drain(..) {
        deliveries.extend(own.into_iter().map(|delivery| (Arc::clone(&consumer), delivery)));
    }
    // Handed out in the order of positions.
    deliveries.sort_unstable_by_key(|(_, delivery)| delivery.position);
    for (consumer, delivery) in deliveries {
        match lanes.last_mut() {
            Some(lane) if lane.consumer.id == consumer.id => lane.deliveries.push(delivery),
            _ => lanes.push(Lane { consumer, deliveries: vec![delivery] }),
        }
    }
}

/// Whether any two lanes lead to one channel.
fn share_channel(lanes: &[Lane<Arc<Subscription>>]) -> bool {
    if lanes.len() < 2 {
        return false;
    }
    let channel =
        |lane: &Lane<Arc<Subscription>>| (Arc::as_ptr(&lane.consumer.outbox), lane.consumer.channel);
    let mut channels: Vec<_> = lanes.iter().map(channel).collect();
    channels.sort_unstable();
    channels.windows(2).any(|pair| pair[0] == pair[1])
}

impl LogTarget for State {
    fn queue_id(&self) -> QueueId {
        self.id
    }

    fn is_durable(&self) -> bool {
        self.is_durable
    }

    fn next_position(&self) -> Position {
        self.queue.next_position()
    }

    fn on_appended(&mut self, position: Position, message: Message) {
        if message.is_persistent() {
            self.marks.note_persistent(position);
        }
        self.queue.on_appended(position, message);
    }
}

impl fmt::Debug for SharedQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedQueue").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}
