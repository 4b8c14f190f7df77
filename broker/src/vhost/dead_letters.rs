//! Sending on what leaves a queue: to the queues that its dead letter exchange leads to.
//!
//! What leaves waits in its queue (`model::queue`), under the queue's lock. The move is a step of its own, without any
//! lock at first:
//!
//! ```text
//! lock source, look at the first that wait, unlock
//! make dead letters of them, route them                       (topology)
//! lock source and targets, by ascending id
//! the same still wait: one record of the log, publishes and the source's settle; else begin anew
//! ```
//!
//! Who made messages leave does the move before going on, be it a connection or the timers' task: so nothing piles up,
//! and the dead letters of a queue keep their order, whoever moves them. A letter may make a target drop others; those
//! are moved next, up to a number: the rest is for the timers' task, which lets others have their turn. Letters that go
//! round are dropped, so that this ends, but not before they have taken each way once.

use std::{
    collections::VecDeque,
    sync::{Arc, MutexGuard, PoisonError, RwLock},
};

use super::{
    Places,
    queue::{Arrival, SharedQueue, State},
};
use crate::{
    model::{
        dead_letter::{DeadLetter, DeadLetterTarget, Death},
        message::Message,
        queue::{Departure, Position},
        queue_id::QueueId,
        timestamp::Timestamp,
    },
    storage::{
        LogError,
        queue_log::{LogTarget, LogTransaction, QueueRecord, TransactionRun},
        record::Lsn,
    },
};

/// Messages that are moved as one record.
const COUNT_MAX: usize = 256;
/// Their bytes, but for the first.
const BYTES_MAX: usize = 1 << 20;
/// So many letters that leave because of others are moved at once, about.
const FOLLOWERS_MAX: usize = 1_024;

/// The first messages that wait in a queue.
struct Batch {
    /// How many were there before.
    number: u64,
    /// Where they go; nowhere if a policy ended that.
    target: Option<DeadLetterTarget>,
    departures: Vec<Departure>,
}

/// A dead letter and the queues that it goes to.
struct Routed {
    message: Message,
    queues: Vec<Arc<SharedQueue>>,
}

impl SharedQueue {
    /// [`SharedQueue::move_dead_letters`], and says when it is safe.
    pub(super) fn send_on(&self) -> Option<Lsn> {
        if let Err(error) = self.move_dead_letters() {
            // The broker stops. What waits is in the log, and comes back.
            tracing::debug!("queue '{}': dead letters are not moved: {error}", self.name);
        }
        // Others may have moved some of it.
        self.lock().last_move
    }

    /// Sends on what leaves, and what leaves other queues because of that.
    pub(super) fn move_dead_letters(&self) -> Result<(), LogError> {
        let Some(places) = self.surroundings.places.upgrade() else { return Err(LogError::Closed) };
        let state = self.lock();
        let mut left = state.queue.leaving_count() + FOLLOWERS_MAX;
        let mut sources: VecDeque<Arc<Self>> = state.own.upgrade().into_iter().collect();
        drop(state);
        while let Some(source) = sources.pop_front() {
            while let Some(batch) = source.next_batch() {
                if left == 0 {
                    source.lock().schedule_at(self.surroundings.upkeep.now());
                    break;
                }
                left = left.saturating_sub(batch.departures.len());
                source.move_batch(&batch, &places, &mut sources)?;
            }
        }
        Ok(())
    }

    fn next_batch(&self) -> Option<Batch> {
        let state = self.lock();
        let (number, leaving) = state.queue.leaving();
        let mut bytes = 0;
        let fits = |departure: &&Departure| {
            bytes += departure.message.size();
            bytes <= BYTES_MAX || bytes == departure.message.size()
        };
        let departures: Vec<Departure> = leaving.take(COUNT_MAX).take_while(fits).cloned().collect();
        let target = state.queue.rules().dead_letters.clone();
        (!departures.is_empty()).then_some(Batch { number, target, departures })
    }

    /// Nothing happens if somebody else moved some of it meanwhile.
    fn move_batch(
        &self,
        batch: &Batch,
        places: &RwLock<Places>,
        sources: &mut VecDeque<Arc<Self>>,
    ) -> Result<(), LogError> {
        let routed = self.route_batch(batch, places);
        let targets = routed.iter().flat_map(|routed| &routed.queues);
        let mut queues: Vec<Arc<Self>> = targets.cloned().collect();
        queues.extend(self.lock().own.upgrade());
        queues.sort_unstable_by_key(|queue| queue.id);
        queues.dedup_by_key(|queue| queue.id);
        let mut states: Vec<_> = queues.iter().map(|queue| queue.lock()).collect();
        let Ok(source) = queues.binary_search_by_key(&self.id, |queue| queue.id) else { return Ok(()) };
        if !batch.is_first_in(&states[source]) {
            return Ok(());
        }
        let messages: Vec<Message> = routed.iter().map(|routed| routed.message.clone()).collect();
        let index_of = |id: QueueId| queues.binary_search_by_key(&id, |queue| queue.id).ok();
        let targets = routed.iter().flat_map(|routed| &routed.queues);
        let arrival = Arrival::of(
            &messages,
            targets.filter_map(|queue| index_of(queue.id)).map(|index| &*states[index]),
        );
        let mut runs = Vec::new();
        // What the record adds to each queue: messages and their bodies.
        let mut added = vec![(0, 0); states.len()];
        for Routed { mut message, queues } in routed {
            let mut targets = Vec::new();
            for index in queues.iter().filter_map(|queue| index_of(queue.id)) {
                let state = &mut *states[index];
                // A full queue that refuses messages drops them: there is no publisher to tell.
                let (count, bytes) = added[index];
                if !state.is_deleted && !state.refuses(&message, (count, bytes), arrival.now, &*self.log) {
                    state.cover_append(&message, count, &*self.log);
                    added[index] = (count + 1, bytes + message.body_size() as u64);
                    targets.push(index);
                }
            }
            if !targets.is_empty() {
                arrival.note(&mut message);
                runs.push(TransactionRun { targets, messages: vec![message] });
            }
        }
        let (positions, bytes) = states[source].logged(&batch.departures);
        let lsn = self.append_move(&mut states, runs, (&positions, bytes))?;
        states[source].last_move = lsn.or(states[source].last_move);
        states[source].queue.forget_leaving(batch.departures.len());
        for (queue, state) in queues.iter().zip(&mut states) {
            let now = arrival.time(state);
            state.dispatch_at(now, &*self.log);
            state.page_out(&*self.log);
            if state.queue.has_leaving() && queue.id != self.id {
                sources.push_back(Arc::clone(queue));
            }
        }
        Ok(())
    }

    /// One record: published there, settled here.
    fn append_move(
        &self,
        states: &mut [MutexGuard<'_, State>],
        runs: Vec<TransactionRun>,
        (positions, bytes): (&[Position], u64),
    ) -> Result<Option<Lsn>, LogError> {
        let mut targets: Vec<&mut dyn LogTarget> =
            states.iter_mut().map(|state| &mut **state as &mut dyn LogTarget).collect();
        let records = match positions.is_empty() {
            true => Vec::new(),
            false => vec![(self.id, QueueRecord::Settle { positions, bytes })],
        };
        self.log.append_transaction(&mut targets, LogTransaction { runs, records })
    }

    fn route_batch(&self, batch: &Batch, places: &RwLock<Places>) -> Vec<Routed> {
        let Some(target) = &batch.target else { return Vec::new() };
        let now = self.surroundings.upkeep.now();
        let places = places.read().unwrap_or_else(PoisonError::into_inner);
        let mut routed = Vec::new();
        for departure in &batch.departures {
            let death = Death { queue: &self.name, reason: departure.reason, now };
            let Some(letter) = DeadLetter::of(&departure.message, death, target) else {
                tracing::warn!(
                    "queue '{}': a dead letter whose properties are damaged is dropped",
                    self.name
                );
                continue;
            };
            let mut queues = places.route_dead_letter(&target.exchange, &letter);
            queues.retain(|queue| {
                let is_cycle = letter.is_cycle(departure.reason, &queue.name);
                if is_cycle {
                    tracing::debug!("queue '{}': a dead letter that goes round is dropped", self.name);
                }
                !is_cycle
            });
            routed.push(Routed { message: letter.message, queues });
        }
        routed
    }
}

impl Places {
    /// The queues that an exchange leads a dead letter to; none if there is no such exchange.
    fn route_dead_letter(&self, exchange: &str, letter: &DeadLetter) -> Vec<Arc<SharedQueue>> {
        let header = letter.message.content_header();
        let headers = header.and_then(|header| header.properties.headers);
        let own_key = std::iter::once(letter.message.routing_key());
        let keys: Vec<&[u8]> = own_key.chain(letter.more_keys.iter().map(Vec::as_slice)).collect();
        let mut ids = Vec::new();
        if self.topology.route_internally(exchange, &keys, headers, &mut ids).is_err() {
            return Vec::new();
        }
        ids.iter().filter_map(|id| self.queues.get(id).cloned()).collect()
    }
}

impl Batch {
    /// Whether nobody moved any of it, and it still goes there.
    fn is_first_in(&self, state: &State) -> bool {
        let (number, mut leaving) = state.queue.leaving();
        let is_there = number == self.number && leaving.nth(self.departures.len() - 1).is_some();
        is_there && !state.is_deleted && state.queue.rules().dead_letters == self.target
    }
}

impl Arrival {
    /// The time for a dispatch of a queue: it may have become one that needs it.
    fn time(self, state: &State) -> Timestamp {
        if self.now == Timestamp(0) && state.queue.is_timed() { state.upkeep.now() } else { self.now }
    }
}
