//! A queue that connections share: the pure queue behind a lock, its log, and the carrying out of what
//! it decides.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64},
    },
};

use super::{
    deliveries::{SettleRun, Unsettled},
    marks::Marks,
    outbox::{Gone, Outbox},
    paging::Paging,
    statistics::{QueueStatistics, persistent_count},
    subscription::Subscription,
    upkeep::{Surroundings, Upkeep},
};
use crate::{
    limits::DISPATCH_RUN_MAX,
    model::{
        message::Message,
        name::Name,
        policy::EffectivePolicy,
        queue::{
            ConsumeError, ConsumerId, Entry, Member, Outcome, Position, Queue, QueueCounts, QueueOptions,
        },
        queue_id::QueueId,
        timestamp::Timestamp,
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
    /// As declared. Its rules are those of a queue without policies.
    pub options: QueueOptions,
    /// The connection that owns it, if exclusive.
    pub owner: Option<ConnectionId>,
    pub(super) log: Arc<dyn QueueLog>,
    pub(super) surroundings: Arc<Surroundings>,
    /// As its rules say, for those who only route to it.
    pub(super) may_refuse: AtomicBool,
    /// As its rules say, for those who hold an outbox's lock, milliseconds; 0: nothing.
    pub(super) consumer_timeout: AtomicU64,
    /// Since when this process knows it.
    pub(super) declared_at: Timestamp,
    state: Mutex<State>,
}

/// What the lock of a queue guards.
#[derive(Debug)]
pub(super) struct State {
    pub(super) id: QueueId,
    pub(super) own: Weak<SharedQueue>,
    pub(super) queue: Queue<Arc<Subscription>>,
    pub(super) is_deleted: bool,
    /// What of it is on disk.
    pub(super) paging: Paging,
    /// How far it may hand out messages that are not flagged.
    pub(super) marks: Marks,
    /// With priorities: what an earlier process left may not be handed out before the log is synced up to here.
    pub(super) held_until: Option<Lsn>,
    /// Its persistent messages are in the log.
    pub(super) is_durable: bool,
    pub(super) upkeep: Arc<Upkeep>,
    /// When it is to be looked whether something expires.
    pub(super) timer: Option<Timestamp>,
    /// What was sent on last is safe when the log is synced up to here.
    pub(super) last_move: Option<Lsn>,
    /// When somebody declared it, consumed or got from it last; only noted if it expires when nobody does.
    pub(super) used_at: Timestamp,
    /// What policies make of it.
    pub(super) policy: Option<Arc<EffectivePolicy>>,
    /// None as long as nothing happens to it.
    pub(super) statistics: Option<Box<QueueStatistics>>,
}

/// What came of publishing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// All is safe when the log is synced up to here; none: it is as safe as it will be.
    pub lsn: Option<Lsn>,
    /// A queue was full and did not take something: the publisher gets a nack.
    pub is_refused: bool,
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
        surroundings: Arc<Surroundings>,
    ) -> Arc<Self> {
        let is_durable = options.is_durable && !options.is_exclusive;
        let (log, upkeep) = (Arc::clone(&surroundings.log), Arc::clone(&surroundings.upkeep));
        let state = |own: &Weak<Self>| State {
            id,
            own: own.clone(),
            queue: Queue::with_rules(Arc::clone(&options.rules)),
            is_deleted: false,
            paging: Paging::new(id, is_durable, log.queue_limits()),
            marks: Marks::new(id, log.queue_limits()),
            held_until: None,
            is_durable,
            upkeep: Arc::clone(&upkeep),
            timer: None,
            last_move: None,
            used_at: Timestamp(0),
            policy: None,
            statistics: None,
        };
        let new = |own: &Weak<Self>| {
            let state = Mutex::new(state(own));
            let may_refuse = AtomicBool::new(options.rules.may_refuse());
            let consumer_timeout = options.rules.consumer_timeout;
            consumer_timeout.into_iter().for_each(|millis| upkeep.note_consumer_timeout(millis));
            let consumer_timeout = AtomicU64::new(consumer_timeout.unwrap_or(0));
            let (options, log) = (options.clone(), Arc::clone(&log));
            let declared_at = upkeep.now();
            Self {
                id,
                name,
                options,
                owner,
                log,
                surroundings,
                may_refuse,
                consumer_timeout,
                declared_at,
                state,
            }
        };
        Arc::new_cyclic(new)
    }

    /// Appends messages and dispatches. Says when they are safe.
    pub fn publish(&self, messages: &mut Vec<Message>) -> Result<Published, LogError> {
        let mut state = self.lock();
        let mut published = Published::default();
        if state.is_deleted {
            messages.clear();
        }
        let arrival = Arrival::of(messages, [&*state]);
        let may_refuse = state.queue.rules().may_refuse();
        let (before, persistent) = (state.queue.next_position(), persistent_count(messages));
        for (number, mut message) in messages.drain(..).enumerate() {
            if number % DISPATCH_RUN_MAX == DISPATCH_RUN_MAX - 1 {
                state.dispatch_at(arrival.now, &*self.log);
            }
            if may_refuse && state.refuses(&message, (0, 0), arrival.now, &*self.log) {
                published.is_refused = true;
                continue;
            }
            state.cover_append(&message, 0, &*self.log);
            arrival.note(&mut message);
            published.lsn = published.lsn.max(self.log.append(&mut [&mut *state], message)?);
        }
        state.count_published(before, persistent);
        state.dispatch_at(arrival.now, &*self.log);
        state.page_out(&*self.log);
        self.finish(state);
        Ok(published)
    }

    /// Appends messages to several queues, sorted by id: one record each, all locks held.
    pub fn publish_to_all(queues: &[Arc<Self>], messages: &mut Vec<Message>) -> Result<Published, LogError> {
        let mut published = Published::default();
        for part in queues.chunks(RECORD_QUEUES_MAX) {
            let mut states: Vec<_> = part.iter().map(|queue| queue.lock()).collect();
            states.retain(|state| !state.is_deleted);
            let Some(first) = part.first() else { break };
            let log = &*first.log;
            let before: Vec<_> = states.iter().map(|state| state.queue.next_position()).collect();
            let persistent = persistent_count(messages);
            let arrival = Arrival::of(messages, states.iter().map(|state| &**state));
            for (number, message) in messages.iter().enumerate() {
                let mut targets: Vec<&mut dyn LogTarget> = Vec::with_capacity(states.len());
                for state in &mut states {
                    if number % DISPATCH_RUN_MAX == DISPATCH_RUN_MAX - 1 {
                        state.dispatch_at(arrival.now, log);
                    }
                    if state.refuses(message, (0, 0), arrival.now, log) {
                        published.is_refused = true;
                        continue;
                    }
                    state.cover_append(message, 0, log);
                    targets.push(&mut **state);
                }
                let mut message = message.clone();
                arrival.note(&mut message);
                published.lsn = published.lsn.max(log.append(&mut targets, message)?);
            }
            for (state, before) in states.iter_mut().zip(before) {
                state.count_published(before, persistent);
                state.dispatch_at(arrival.now, log);
                state.page_out(log);
            }
            let leaving = states.iter().filter(|state| state.queue.has_leaving());
            let leaving: Vec<_> = leaving.filter_map(|state| state.own.upgrade()).collect();
            drop(states);
            for queue in leaving {
                queue.send_on();
            }
        }
        messages.clear();
        Ok(published)
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
        let (mut bytes, mut count) = (0, 0);
        run.positions.retain(|position| {
            let settled = state.queue.settle(*position, run.outcome);
            count += u64::from(settled.is_some());
            let is_recorded =
                settled.is_some_and(|settled| is_durable && settled.is_persistent && !settled.is_leaving);
            if is_recorded {
                bytes += settled.map_or(0, |settled| settled.body_size);
            }
            is_recorded
        });
        state.count_settled(run.outcome, count);
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
        lsn.max(self.finish(state))
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
        let member = Member::new(Arc::clone(subscription), is_no_ack, is_exclusive);
        state.queue.add_consumer(member.with_priority(subscription.priority()));
        state.dispatch(&*self.log);
        self.finish(state);
        Ok(())
    }

    /// Removes a consumer. True when that leaves an auto-delete queue without any: it is to be deleted.
    #[must_use]
    pub fn cancel(&self, id: ConsumerId) -> bool {
        let mut state = self.lock();
        state.queue.remove_consumer(id);
        state.marks.forget_messenger();
        state.note_use();
        state.dispatch(&*self.log);
        let is_unused = self.options.is_auto_delete && !state.is_deleted && state.queue.consumer_count() == 0;
        self.finish(state);
        is_unused
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
        state.note_use();
        if state.queue.is_timed() {
            state = self.shed(state);
            if state.is_deleted {
                return Err(Deleted);
            }
        }
        state.page_in(&*self.log);
        let awaited = state.request_mark(&*self.log);
        if state.queue.is_held() {
            // Without a mark to wait for the log has failed, and says so to whoever waits.
            return Ok(Got::NotYet(awaited.unwrap_or(Lsn(u64::MAX))));
        }
        let Some(delivery) = state.queue.get(is_no_ack) else {
            state.statistics().counts.get_empty += 1;
            return Ok(Got::Nothing);
        };
        state.count_got(is_no_ack, delivery.is_redelivered());
        state.cover_next(&*self.log);
        let unsettled =
            (!is_no_ack).then(|| Unsettled { queue: Arc::clone(self), position: delivery.position });
        if state.queue.is_timed() {
            // What is next now may have expired behind it.
            let now = self.surroundings.upkeep.now();
            state.trim(now, &*self.log);
        }
        let ready_count = state.queue.ready_count();
        if outbox.deliver_get(channel, &delivery, unsettled, ready_count) == Err(Gone) {
            state.queue.take_back(delivery);
        } else if is_no_ack && state.is_durable && delivery.message.is_persistent() {
            let bytes = delivery.message.body_size() as u64;
            self.log.record(self.id, QueueRecord::Settle { positions: &[delivery.position], bytes });
        }
        self.finish(state);
        Ok(Got::Message)
    }

    /// A consumer may have credit or room again.
    pub fn resume(&self, id: ConsumerId) {
        let mut state = self.lock();
        state.queue.resume(id);
        state.dispatch(&*self.log);
        self.finish(state);
    }

    /// Drops everything ready; says how many, and when that lasts.
    pub fn purge(&self) -> (usize, Option<Lsn>) {
        let mut state = self.lock();
        let mut lsn = None;
        if state.is_durable && state.queue.ready_count() > 0 {
            let (kept, sizes): (Vec<_>, Vec<u64>) = state.queue.unsettled_persistent().unzip();
            let (up_to, kept_bytes) = (state.queue.next_position(), sizes.iter().sum());
            lsn = self.log.record(self.id, QueueRecord::Purge { up_to, kept: &kept, kept_bytes });
        }
        state.paging.clear();
        let count = state.queue.purge();
        state.note_memory(&*self.log);
        (count, lsn)
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
        state.end_statistics(&self.surroundings.statistics);
        if let Some(at) = state.timer.take() {
            state.upkeep.clear(self.id, at);
        }
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
        if state.is_durable && recovered.count > 0 && state.queue.rules().max_priority.is_some() {
            state.held_until = state.marks.cover_unordered(next_position, &*self.log);
        }
        if recovered.is_timed {
            state.queue.set_timed();
        }
        state.statistics();
        if state.queue.needs_trim() {
            let now = self.surroundings.upkeep.now();
            state.timer = Some(now);
            state.upkeep.set((self.id, state.own.clone()), None, now);
        }
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

    /// Somebody asked for the queue: it does not expire for a while.
    pub fn note_use(&self) {
        self.lock().note_use();
    }

    /// Whether nobody used it for longer than it may be unused.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let state = self.lock();
        let millis = state.queue.rules().expires.filter(|_| state.queue.consumer_count() == 0);
        millis.is_some_and(|millis| state.used_at.plus_millis(millis) <= now)
    }

    /// Its timer is up, or its rules are others: takes out what expired or is too much, and sets the next timer.
    pub(super) fn attend(&self, now: Timestamp) {
        let mut state = self.lock();
        if let Some(at) = state.timer.take() {
            state.upkeep.clear(self.id, at);
        }
        if !state.is_deleted {
            state.dispatch_at(now, &*self.log);
            state.schedule(now);
        }
        self.finish(state);
    }

    /// Whether a consumer gets messages, rather than wait until the active one goes.
    #[must_use]
    pub fn is_active(&self, id: ConsumerId) -> bool {
        self.lock().queue.is_active(id)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The end of all that may make messages leave: sends them on, when the lock is released. Says when that is safe.
    fn finish(&self, state: MutexGuard<'_, State>) -> Option<Lsn> {
        if !state.queue.has_leaving() {
            return None;
        }
        drop(state);
        self.send_on()
    }

    /// Takes out all that expired before the next message, and sends it on.
    fn shed<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        loop {
            let now = self.surroundings.upkeep.now();
            let has_more = state.trim(now, &*self.log);
            if !has_more && !state.queue.has_leaving() {
                return state;
            }
            drop(state);
            let moved = self.move_dead_letters();
            state = self.lock();
            if moved.is_err() {
                return state;
            }
        }
    }
}

/// When messages come to queues, which matters to those that may expire.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// 0 if it does not matter to anything.
    pub(super) now: Timestamp,
    /// Messages may have a time to live of their own.
    is_noted_of_some: bool,
    /// A queue has a time to live for all its messages.
    is_noted_of_all: bool,
}

impl Arrival {
    pub(super) fn of<'a>(messages: &[Message], queues: impl IntoIterator<Item = &'a State>) -> Self {
        let is_noted_of_some = messages.iter().any(Message::has_expiration);
        let (mut is_noted_of_all, mut upkeep) = (false, None);
        for state in queues {
            let has_ttl = state.queue.rules().message_ttl.is_some();
            is_noted_of_all |= has_ttl;
            if has_ttl || is_noted_of_some || state.queue.is_timed() {
                upkeep = Some(&state.upkeep);
            }
        }
        let now = upkeep.map_or(Timestamp(0), |upkeep| upkeep.now());
        Self { now, is_noted_of_some, is_noted_of_all }
    }

    /// Gives the message the time, if it needs it.
    pub(super) fn note(self, message: &mut Message) {
        if self.is_noted_of_all || self.is_noted_of_some && message.has_expiration() {
            message.set_arrival(self.now);
        }
    }
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
