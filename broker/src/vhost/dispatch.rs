//! Handing out: what a queue's state machine decides, carried out under the queue's lock.

use std::{cell::Cell, sync::Arc};

use super::{outbox::Gone, queue::State, subscription::Subscription};
use crate::{
    limits::DISPATCH_RUN_MAX,
    model::{
        message::Message,
        queue::{Delivery, Departure, Lane, Lanes, Position},
        timestamp::Timestamp,
    },
    storage::{
        queue_log::{QueueLog, QueueRecord},
        record::Lsn,
    },
};

/// So many messages are dropped while others wait for the lock, about; then they have their turn.
const DROP_RUN_MAX: usize = 4_096;
/// What cannot be read now is tried again after so long, milliseconds.
const RETRY_MILLIS: u64 = 1_000;

thread_local! {
    /// Room for the lanes of a dispatch, kept between dispatches.
    static LANES: Cell<Lanes<Arc<Subscription>>> = Cell::default();
}

impl State {
    /// Hands out what can be handed out, and takes out what is not to wait any longer.
    pub(super) fn dispatch(&mut self, log: &dyn QueueLog) {
        let now = if self.queue.is_timed() { self.upkeep.now() } else { Timestamp(0) };
        self.dispatch_at(now, log);
    }

    /// The same, at a time that is only looked at if messages may expire.
    pub(super) fn dispatch_at(&mut self, now: Timestamp, log: &dyn QueueLog) {
        self.hand_out(now, log);
        if self.queue.needs_trim() || self.queue.has_leaving() {
            self.trim(now, log);
        }
    }

    /// Takes out what expired or is too much, or some of it: others want the lock, too. Says whether there is more; the
    /// timer does that, if nobody else does. What is to be sent on waits for a step without this lock.
    pub(super) fn trim(&mut self, now: Timestamp, log: &dyn QueueLog) -> bool {
        let mut dropped = 0;
        loop {
            let is_full = self.queue.trim(now);
            let count = self.drop_leaving(log);
            dropped += count;
            let may_go_on = if is_full { count > 0 } else { self.queue.needs_next() && self.page_in(log) };
            if !may_go_on {
                break;
            }
            if dropped >= DROP_RUN_MAX {
                self.note_memory(log);
                self.schedule_at(now);
                return true;
            }
        }
        self.note_memory(log);
        self.schedule(now);
        false
    }

    /// Sets the queue's timer, unless it comes early enough: it is looked anew then.
    pub(super) fn schedule(&mut self, now: Timestamp) {
        let message = match self.queue.needs_next() {
            true => Some(now.plus_millis(RETRY_MILLIS)),
            false => self.queue.next_deadline(),
        };
        let unused = self.queue.rules().expires.filter(|_| self.queue.consumer_count() == 0);
        let unused = unused.map(|millis| self.used_at.plus_millis(millis));
        if let Some(at) = message.into_iter().chain(unused).min() {
            self.schedule_at(at);
        }
    }

    /// Sets the queue's timer to this time, unless it comes before.
    pub(super) fn schedule_at(&mut self, at: Timestamp) {
        if self.timer.is_none_or(|timer| at < timer) {
            self.upkeep.set((self.id, self.own.clone()), self.timer.replace(at), at);
        }
    }

    /// Somebody uses the queue: `x-expires` is counted from now.
    pub(super) fn note_use(&mut self) {
        if self.queue.rules().expires.is_some() {
            self.used_at = self.upkeep.now();
            self.schedule(self.used_at);
        }
    }

    /// Whether there is no room for a message behind `added`, a number of others and the size of their bodies, that the
    /// same record brings: not even after the next ones were handed out.
    pub(super) fn refuses(
        &mut self,
        message: &Message,
        added: (u64, u64),
        now: Timestamp,
        log: &dyn QueueLog,
    ) -> bool {
        if !self.queue.refuses(message, added) {
            return false;
        }
        self.dispatch_at(now, log);
        let is_refused = self.queue.refuses(message, added);
        if is_refused {
            self.queue.on_refused(message);
        }
        is_refused
    }

    /// Without a dead letter exchange what leaves is gone. Says how much that is.
    fn drop_leaving(&mut self, log: &dyn QueueLog) -> usize {
        if !self.queue.has_leaving() || self.queue.rules().dead_letters.is_some() {
            return 0;
        }
        let (_, leaving) = self.queue.leaving();
        let departures: Vec<&Departure> = leaving.collect();
        let (count, (positions, bytes)) = (departures.len(), self.logged(departures));
        self.queue.forget_leaving(count);
        if !positions.is_empty() {
            log.record(self.id, QueueRecord::Settle { positions: &positions, bytes });
        }
        count
    }

    /// Those of them that the log has, and their bodies together.
    pub(super) fn logged<'a>(
        &self,
        departures: impl IntoIterator<Item = &'a Departure>,
    ) -> (Vec<Position>, u64) {
        let (mut positions, mut bytes) = (Vec::new(), 0);
        for Departure { position, message, .. } in departures {
            if let Some(position) = position.filter(|_| self.is_durable && message.is_persistent()) {
                positions.push(position);
                bytes += message.body_size() as u64;
            }
        }
        (positions, bytes)
    }

    /// Run by run and in each lane by lane, until the queue is empty or no consumer has credit and room: that bounds
    /// how long the lock is held.
    fn hand_out(&mut self, now: Timestamp, log: &dyn QueueLog) {
        let mut lanes = LANES.take();
        self.hand_out_in(&mut lanes, now, log);
        LANES.set(lanes);
    }

    fn hand_out_in(&mut self, lanes: &mut Lanes<Arc<Subscription>>, now: Timestamp, log: &dyn QueueLog) {
        let mut dropped = 0;
        loop {
            if self.queue.has_taker() {
                self.note_cleared(log);
            }
            let mut has_more = self.queue.dispatch(DISPATCH_RUN_MAX, now, lanes);
            keep_order(lanes, |delivery| self.queue.rank(delivery));
            while let Some(lane) = lanes.pop_front() {
                match self.deliver(lane, log) {
                    Ok(room) => lanes.keep(room),
                    // What comes back is for whoever is left.
                    Err(Gone) => has_more = true,
                }
            }
            let count = self.drop_leaving(log);
            (dropped, has_more) = (dropped + count, has_more || count > 0);
            has_more |= self.queue.has_taker() && self.page_in(log);
            if self.queue.consumer_count() > 0 {
                self.cover_next(log);
            }
            if !has_more && !self.await_mark(log) {
                return self.note_memory(log);
            }
            if dropped >= DROP_RUN_MAX {
                self.note_memory(log);
                return self.schedule_at(now);
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

    /// What is about to be appended may be handed out, if consumers keep up. The same record brings `added` others
    /// before it.
    pub(super) fn cover_append(&mut self, message: &Message, added: u64, log: &dyn QueueLog) {
        if !self.is_durable || !message.is_persistent() {
            return;
        }
        if self.queue.rules().max_priority.is_some() {
            self.marks.cover_unordered(Position(self.queue.next_position().0 + added), log);
        } else if self.queue.consumer_count() > 0 {
            self.marks.cover_append(self.queue.first_new(), self.queue.next_position(), log);
        }
    }

    /// What comes next may be handed out when its turn comes.
    pub(super) fn cover_next(&mut self, log: &dyn QueueLog) {
        if self.is_durable && self.queue.rules().max_priority.is_none() {
            self.marks.cover_next(self.queue.first_new(), self.queue.next_position(), log);
        }
    }

    /// Tells the queue what may be handed out.
    fn note_cleared(&mut self, log: &dyn QueueLog) {
        if !self.is_durable {
            return;
        }
        let cleared_below = match self.queue.rules().max_priority {
            None => self.marks.cleared_below(self.queue.first_new(), log),
            // Messages in the order of their priorities are covered when they are appended, all of them; those that
            // an earlier process left by one mark that has to be synced before the first of all goes.
            Some(_) => {
                self.held_until = self.held_until.filter(|lsn| *lsn > log.synced_up_to());
                if self.held_until.is_some() { Position(0) } else { Position(u64::MAX) }
            }
        };
        self.queue.set_cleared_below(cleared_below);
    }

    /// If the next message is held, sees to it that there is a mark for it, and says what to wait for. Nothing: it is
    /// not held, or nothing will come of waiting.
    pub(super) fn request_mark(&mut self, log: &dyn QueueLog) -> Option<Lsn> {
        self.note_cleared(log);
        if !self.queue.is_held() {
            return None;
        }
        let lsn = match self.queue.rules().max_priority {
            None => self.marks.request(self.queue.first_new(), self.queue.next_position(), log),
            Some(_) => self.held_until.filter(|_| log.failure().is_none()),
        };
        // It may be synced by now.
        self.note_cleared(log);
        lsn.filter(|_| self.queue.is_held())
    }

    /// Brings back the next message if it is on disk; false if it was not, or cannot be read now.
    pub(super) fn page_in(&mut self, log: &dyn QueueLog) -> bool {
        let is_wanted = self.queue.wanted().is_some();
        let (paged, _) = self.queue.paged();
        while self.queue.wanted().is_some() {
            if !self.paging.page_in(&mut self.queue, log) {
                return false;
            }
        }
        if is_wanted {
            self.count_paged_in(paged.saturating_sub(self.queue.paged().0));
        }
        is_wanted
    }

    pub(super) fn note_memory(&mut self, log: &dyn QueueLog) {
        self.statistics();
        self.paging.note_change(&self.queue, log);
    }

    pub(super) fn page_out(&mut self, log: &dyn QueueLog) {
        self.paging.page_out(&mut self.queue, log);
    }

    /// Hands a lane to its consumer; gives back the room it took.
    fn deliver(
        &mut self,
        mut lane: Lane<Arc<Subscription>>,
        log: &dyn QueueLog,
    ) -> Result<Vec<Delivery>, Gone> {
        let consumer = lane.consumer;
        // What needs no ack is settled when it is handed over.
        let (settled, bytes) = match self.is_durable && consumer.is_no_ack {
            true => persistent_positions(&lane.deliveries),
            false => (Vec::new(), 0),
        };
        let count = lane.deliveries.len();
        let delivered = consumer.outbox.deliver(&consumer, &mut lane.deliveries);
        if let Ok(redelivered) = delivered {
            self.count_delivered(consumer.is_no_ack, count, redelivered);
        }
        if delivered.is_ok() && !settled.is_empty() {
            log.record(self.id, QueueRecord::Settle { positions: &settled, bytes });
        }
        if delivered.is_err() {
            consumer.give_back(lane.deliveries.len());
            self.queue.remove_consumer(consumer.id);
            self.marks.forget_messenger();
            for mut delivery in lane.deliveries.drain(..) {
                consumer.outbox.release(delivery.message.size());
                // Others may get later ones before it.
                delivery.delivery_count += 1;
                self.queue.take_back(delivery);
            }
        }
        delivered.map(|_| lane.deliveries)
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
fn keep_order<R: Ord>(lanes: &mut Lanes<Arc<Subscription>>, rank: impl Fn(&Delivery) -> R) {
    if !share_channel(lanes) {
        return;
    }
    let mut deliveries: Vec<(Arc<Subscription>, Delivery)> = Vec::new();
    while let Some(mut lane) = lanes.pop_front() {
        let own = lane.deliveries.drain(..);
        deliveries.extend(own.map(|delivery| (Arc::clone(&lane.consumer), delivery)));
        lanes.keep(lane.deliveries);
    }
    deliveries.sort_by_cached_key(|(_, delivery)| rank(delivery));
    for (consumer, delivery) in deliveries {
        let id = consumer.id;
        lanes.push(consumer, delivery, |last| last.id == id);
    }
}

/// Whether any two lanes lead to one channel.
fn share_channel(lanes: &Lanes<Arc<Subscription>>) -> bool {
    if lanes.len() < 2 {
        return false;
    }
    let channel =
        |lane: &Lane<Arc<Subscription>>| (Arc::as_ptr(&lane.consumer.outbox), lane.consumer.channel);
    let mut channels: Vec<_> = lanes.iter().map(channel).collect();
    channels.sort_unstable();
    channels.windows(2).any(|pair| pair[0] == pair[1])
}
