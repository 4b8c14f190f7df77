//! Committing a transaction: publishes and ends of deliveries that count together or not at all.
//!
//! All queues concerned are locked, by ascending id as always, until the whole is in the log and every queue
//! has its part: nobody sees half a transaction. What it refuses from a queue with a dead letter exchange moves there
//! right after, by records of its own.

use std::sync::{Arc, MutexGuard};

use super::{
    Route, Vhost,
    deliveries::SettleRun,
    queue::{Arrival, SharedQueue, State},
    statistics::persistent_count,
};
use crate::{
    model::{
        message::Message,
        queue::{Outcome, Position},
        queue_id::QueueId,
    },
    storage::{
        LogError,
        queue_log::{LogTarget, LogTransaction, QueueLog, QueueRecord, TransactionRun},
        record::Lsn,
    },
};

/// Messages that share a route and wait for the commit, in order.
#[derive(Debug)]
pub struct HeldRun {
    /// Where they were routed to when they were published; nowhere at all for those that may be returned.
    pub route: Route,
    /// What was published.
    pub messages: Vec<HeldMessage>,
}

/// A message that waits for the commit.
#[derive(Debug)]
pub struct HeldMessage {
    /// What was published.
    pub message: Message,
    /// It is to be returned when no queue takes it.
    pub is_mandatory: bool,
}

/// What became of a transaction.
#[derive(Debug)]
pub struct Committed {
    /// It is safe when the log is synced up to here; none: as safe as it will be.
    pub lsn: Option<Lsn>,
    /// Mandatory messages that no queue took.
    pub returned: Vec<Message>,
}

/// Why nothing of a transaction counts.
#[derive(Clone, Debug)]
pub enum CommitError {
    /// A queue is full and refuses messages (`x-overflow`).
    Refused,
    /// The log takes nothing.
    Log(LogError),
}

/// The queues of a transaction, locked.
struct Locked<'a> {
    /// Sorted by id.
    queues: &'a [Arc<SharedQueue>],
    states: Vec<MutexGuard<'a, State>>,
}

/// Ends of deliveries, for the log.
struct Recorded {
    queue: QueueId,
    outcome: Outcome,
    positions: Vec<Position>,
    /// Their bodies together.
    bytes: u64,
}

impl Vhost {
    /// Publishes what was held, ends deliveries, and dispatches; all of it is one record of the log. `settles`
    /// is empty after. An error means that nothing was done; then `settles` is as it was.
    pub fn commit(
        &self,
        mut runs: Vec<HeldRun>,
        settles: &mut Vec<SettleRun>,
    ) -> Result<Committed, CommitError> {
        runs.iter_mut().for_each(|run| self.renew(&mut run.route));
        let queues = queues_of(&runs, settles);
        let mut locked = Locked::new(&queues);
        let mut committed = locked.commit(&**self.log(), runs, settles);
        // Even a commit that is refused made room before.
        let leaving: Vec<bool> = locked.states.iter().map(|state| state.queue.has_leaving()).collect();
        drop(locked);
        for (queue, _) in queues.iter().zip(leaving).filter(|(_, is_leaving)| *is_leaving) {
            let moved = queue.send_on();
            if let Ok(committed) = &mut committed {
                committed.lsn = committed.lsn.max(moved);
            }
        }
        committed
    }

    /// A queue that was deleted since the route was found gives way to one of the same name, as in RabbitMQ,
    /// which routes to names.
    fn renew(&self, route: &mut Route) {
        let epoch = self.epoch();
        if route.epoch == epoch {
            return;
        }
        if route.queues.iter().any(|queue| queue.is_deleted()) {
            let current = |queue: &Arc<SharedQueue>| match queue.is_deleted() {
                true => self.queue(&queue.name),
                false => Some(Arc::clone(queue)),
            };
            let mut queues: Vec<_> = route.queues.iter().filter_map(current).collect();
            queues.sort_unstable_by_key(|queue| queue.id);
            route.queues = queues.into();
        }
        // A policy may have come meanwhile.
        route.may_refuse = route.queues.iter().any(|queue| queue.may_refuse());
        route.epoch = epoch;
    }
}

/// Every queue that has a part, once, sorted by id.
fn queues_of(runs: &[HeldRun], settles: &[SettleRun]) -> Vec<Arc<SharedQueue>> {
    let published = runs.iter().flat_map(|run| run.route.queues.iter());
    let settled = settles.iter().map(|run| run.origin.queue());
    let mut queues: Vec<Arc<SharedQueue>> = published.chain(settled).cloned().collect();
    queues.sort_unstable_by_key(|queue| queue.id);
    queues.dedup_by_key(|queue| queue.id);
    queues
}

impl<'a> Locked<'a> {
    fn new(queues: &'a [Arc<SharedQueue>]) -> Self {
        Self { queues, states: queues.iter().map(|queue| queue.lock()).collect() }
    }

    /// Where a queue's state is; none if the queue was deleted.
    fn index_of(&self, id: QueueId) -> Option<usize> {
        let index = self.queues.binary_search_by_key(&id, |queue| queue.id).ok()?;
        (!self.states[index].is_deleted).then_some(index)
    }

    fn commit(
        &mut self,
        log: &dyn QueueLog,
        runs: Vec<HeldRun>,
        settles: &mut Vec<SettleRun>,
    ) -> Result<Committed, CommitError> {
        let (runs, returned) = self.split(runs, log)?;
        let before: Vec<Position> = self.states.iter().map(|state| state.queue.next_position()).collect();
        let persistent: u64 = runs.iter().map(|run| persistent_count(&run.messages)).sum();
        let lsn = self.append(log, runs, settles).map_err(CommitError::Log)?;
        for (state, before) in self.states.iter_mut().zip(before) {
            state.count_published(before, persistent);
        }
        settles.drain(..).for_each(|run| self.settle(&run));
        for state in &mut self.states {
            state.dispatch(log);
            state.page_out(log);
        }
        Ok(Committed { lsn, returned })
    }

    /// Messages that queues take, and mandatory ones that none does.
    fn split(
        &mut self,
        runs: Vec<HeldRun>,
        log: &dyn QueueLog,
    ) -> Result<(Vec<TransactionRun>, Vec<Message>), CommitError> {
        let (mut taken, mut returned) = (Vec::new(), Vec::new());
        // What the transaction adds to queues that refuse messages when they are full.
        let mut added = vec![(0, 0); self.states.len()];
        for HeldRun { route, messages } in runs {
            let targets: Vec<usize> =
                route.queues.iter().filter_map(|queue| self.index_of(queue.id)).collect();
            if targets.is_empty() {
                let mandatory = messages.into_iter().filter(|held| held.is_mandatory);
                returned.extend(mandatory.map(|held| held.message));
                continue;
            }
            let mut messages: Vec<Message> = messages.into_iter().map(|held| held.message).collect();
            let arrival = Arrival::of(&messages, targets.iter().map(|&index| &*self.states[index]));
            for &index in targets.iter().filter(|_| route.may_refuse) {
                self.states[index].dispatch(log);
                messages.iter().try_for_each(|message| self.take(index, message, &mut added[index]))?;
            }
            messages.iter_mut().for_each(|message| arrival.note(message));
            taken.push(TransactionRun { targets, messages });
        }
        Ok((taken, returned))
    }

    /// Counts a message that a queue is about to get, if it has room for it.
    fn take(&self, index: usize, message: &Message, added: &mut (u64, u64)) -> Result<(), CommitError> {
        if self.states[index].queue.refuses(message, *added) {
            return Err(CommitError::Refused);
        }
        *added = (added.0 + 1, added.1 + message.body_size() as u64);
        Ok(())
    }

    fn append(
        &mut self,
        log: &dyn QueueLog,
        runs: Vec<TransactionRun>,
        settles: &[SettleRun],
    ) -> Result<Option<Lsn>, LogError> {
        let mut added = vec![0; self.states.len()];
        for run in &runs {
            for message in &run.messages {
                for &index in &run.targets {
                    self.states[index].cover_append(message, added[index], log);
                    added[index] += 1;
                }
            }
        }
        let recorded: Vec<Recorded> = settles.iter().filter_map(|run| self.recorded(run)).collect();
        let records = recorded.iter().map(Recorded::record).collect();
        let mut targets: Vec<&mut dyn LogTarget> =
            self.states.iter_mut().map(|state| &mut **state as &mut dyn LogTarget).collect();
        log.append_transaction(&mut targets, LogTransaction { runs, records })
    }

    /// Those of a run that are unsettled and in the log.
    fn recorded(&self, run: &SettleRun) -> Option<Recorded> {
        let id = run.origin.queue().id;
        let state = self.index_of(id).map(|index| &self.states[index]).filter(|state| state.is_durable)?;
        let mut bytes = 0;
        let is_logged = |position: &Position| {
            let is_gone = state.queue.departure(*position, run.outcome).is_none();
            let logged = state.queue.unsettled(*position).filter(|own| own.is_persistent && is_gone);
            bytes += logged.map_or(0, |own| own.body_size);
            logged.is_some()
        };
        let positions: Vec<Position> = run.positions.iter().copied().filter(is_logged).collect();
        (!positions.is_empty()).then_some(Recorded { queue: id, outcome: run.outcome, positions, bytes })
    }

    /// Ends deliveries and gives the consumer its credit back; it takes part in the dispatch that follows, unless it
    /// shares a prefetch: then the connection resumes all who share it.
    fn settle(&mut self, run: &SettleRun) {
        if let Some(consumer) = run.consumer() {
            consumer.give_back(run.positions.len());
        }
        let Some(index) = self.index_of(run.origin.queue().id) else { return };
        let state = &mut self.states[index];
        let settled =
            run.positions.iter().filter(|position| state.queue.settle(**position, run.outcome).is_some());
        let count = settled.count() as u64;
        state.count_settled(run.outcome, count);
        if let Some(id) = run.freed_consumer() {
            state.queue.resume(id);
        }
    }
}

impl Recorded {
    fn record(&self) -> (QueueId, QueueRecord<'_>) {
        let record = match self.outcome {
            Outcome::Requeue => QueueRecord::Requeue(&self.positions),
            Outcome::Accept | Outcome::Discard => {
                QueueRecord::Settle { positions: &self.positions, bytes: self.bytes }
            }
        };
        (self.queue, record)
    }
}
