//! Counters of queues, exchanges, channels and vhosts, and their past.
//!
//! Nothing is counted by an atomic operation for each message: a queue's counters are under its lock, a channel's
//! deliveries under its outbox's, and what it publishes has one writer, the connection's task. Once a second
//! [`Vhost::sample`] looks at the queues and exchanges where something happened; who did nothing costs nothing.
//!
//! The locks in here are taken last, for moments.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use dashmap::DashMap;

use super::{
    Vhost,
    queue::{SharedQueue, State},
};
use crate::model::{
    exchange::Exchange,
    message::Message,
    name::Name,
    queue::{Outcome, Position},
    statistics::{
        BASIC, ConnectionRow, Curve, ExchangeRow, GLOBAL, History, Level, Look, MESSAGE_COLUMNS,
        MessageCounts, MessageRow, QUEUE_COLUMNS, QueueRow, Ranges, VHOST_COLUMNS, VhostRow, add_change,
        column, joined,
    },
};

/// Of one queue (part of its state, under its lock). Made when something happens to the queue for the first time.
#[derive(Debug, Default)]
pub(super) struct QueueStatistics {
    pub(super) counts: MessageCounts,
    pub(super) disk_reads: u64,
    pub(super) disk_writes: u64,
    /// It is on its vhost's list of queues to look at.
    is_noted: bool,
    /// It is on the list of those with a history.
    is_watched: bool,
    /// As the vhost's totals have it.
    summed: QueueSums,
    /// How often consumers could have taken a message at once, of the last looks.
    capacity: Option<f64>,
    /// Seconds since 1970; 0 if nothing ever was.
    changed_at: u64,
    history: Option<Box<History<QUEUE_COLUMNS>>>,
}

/// What a vhost sums up of its queues.
#[derive(Clone, Copy, Debug, Default)]
struct QueueSums {
    /// Ready, unsettled, disk reads, disk writes: the columns of a [`VhostRow`] from `READY` on.
    columns: [u64; 4],
    consumers: u64,
}

/// What tools show of the traffic of a queue.
#[derive(Clone, Debug)]
pub struct QueueReport {
    /// Messages, and how many come and go.
    pub curve: Curve<QUEUE_COLUMNS>,
    /// How often consumers could take a message at once: 0 to 1.
    pub consumer_capacity: f64,
    /// When something last happened, seconds since 1970; none if that was only just.
    pub idle_since: Option<u64>,
    /// Messages read from disk.
    pub disk_reads: u64,
    /// Messages written to disk.
    pub disk_writes: u64,
    /// What it takes of memory, bytes: see [`SharedQueue::report`].
    pub memory: usize,
    /// Ready messages that are not in memory, and their bodies together.
    pub paged: (usize, u64),
    /// The `timestamp` of the next message, if it is in memory and has one.
    pub head_timestamp: Option<u64>,
}

/// Messages published to an exchange. Channels add theirs batch by batch.
#[derive(Debug, Default)]
pub struct ExchangeStatistics {
    published_in: AtomicU64,
    published_out: AtomicU64,
    /// As the vhost's totals have it; changed by who looks.
    summed_out: SoleCounter,
    history: Mutex<Option<Box<History<2>>>>,
}

/// What a channel publishes, written by its connection's task alone.
#[derive(Debug, Default)]
pub struct PublishCounts {
    /// Published.
    pub publish: SoleCounter,
    /// Confirmed.
    pub confirm: SoleCounter,
    /// Returned.
    pub return_unroutable: SoleCounter,
    /// Dropped.
    pub drop_unroutable: SoleCounter,
    /// How many wait for the disk now.
    pub unconfirmed: AtomicU64,
    /// How many wait for `tx.commit` now.
    pub uncommitted: AtomicU64,
}

/// A counter with one writer, for whom it is as cheap as any number.
#[derive(Debug, Default)]
pub struct SoleCounter(AtomicU64);

/// Of one channel (under its outbox's lock).
#[derive(Debug, Default)]
pub struct ChannelStatistics {
    /// What is delivered and settled.
    pub(super) counts: MessageCounts,
    published: Arc<PublishCounts>,
    past: Option<Box<ChannelPast>>,
}

#[derive(Debug)]
struct ChannelPast {
    /// As the vhost's totals have it.
    summed: MessageRow,
    history: History<MESSAGE_COLUMNS>,
}

/// Of a vhost: sums, exchanges, and the queues to look at.
#[derive(Debug, Default)]
pub struct VhostStatistics {
    /// Queues where something happened since the last look.
    noted: Mutex<Vec<Weak<SharedQueue>>>,
    /// Queues with a history, to be forgotten when nothing happens for long.
    watched: Mutex<Vec<Weak<SharedQueue>>>,
    exchanges: DashMap<Name, Arc<ExchangeStatistics>>,
    totals: Mutex<Totals>,
}

#[derive(Debug, Default)]
struct Totals {
    row: VhostRow,
    consumers: u64,
    history: Option<Box<History<VHOST_COLUMNS>>>,
}

/// Who was not active for so long counts as idle, seconds.
pub const IDLE_AFTER: u64 = 2;
/// So many consumers are asked at most whether they have credit.
const CAPACITY_LOOKS: usize = 256;
/// The weight of the last look in [`QueueReport::consumer_capacity`].
const CAPACITY_WEIGHT: f64 = 0.2;

impl SoleCounter {
    /// Counts so many more. Only for the one who writes it.
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Sets it, if that is more.
    pub fn raise_to(&self, count: u64) {
        self.0.store(count.max(self.0.load(Relaxed)), Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl State {
    /// The counters: something happens to the queue.
    pub(super) fn statistics(&mut self) -> &mut QueueStatistics {
        if self.statistics.as_ref().is_none_or(|statistics| !statistics.is_noted) {
            self.note_change();
        }
        self.statistics.get_or_insert_default()
    }

    /// What was published to it since its next position was `before`; so many at most are persistent.
    pub(super) fn count_published(&mut self, before: Position, persistent: u64) {
        let count = self.queue.next_position().0.saturating_sub(before.0);
        let disk_writes = if self.is_durable { persistent.min(count) } else { 0 };
        let statistics = self.statistics();
        statistics.counts.publish += count;
        statistics.disk_writes += disk_writes;
    }

    /// So many messages came back from disk.
    pub(super) fn count_paged_in(&mut self, count: usize) {
        self.statistics().disk_reads += count as u64;
    }

    /// So many deliveries ended.
    pub(super) fn count_settled(&mut self, outcome: Outcome, count: u64) {
        let counts = &mut self.statistics().counts;
        if outcome == Outcome::Accept {
            counts.ack += count;
        }
    }

    /// So many deliveries to a consumer, some of them not the first ones.
    pub(super) fn count_delivered(&mut self, is_no_ack: bool, count: usize, redelivered: usize) {
        let counts = &mut self.statistics().counts;
        match is_no_ack {
            true => counts.deliver_no_ack += count as u64,
            false => counts.deliver += count as u64,
        }
        counts.redeliver += redelivered as u64;
    }

    /// A `basic.get` that found something.
    pub(super) fn count_got(&mut self, is_no_ack: bool, is_redelivered: bool) {
        let counts = &mut self.statistics().counts;
        match is_no_ack {
            true => counts.get_no_ack += 1,
            false => counts.get += 1,
        }
        counts.redeliver += u64::from(is_redelivered);
    }

    #[cold]
    fn note_change(&mut self) {
        self.statistics.get_or_insert_default().is_noted = true;
        if let Some(queue) = self.own.upgrade() {
            lock(&queue.surroundings.statistics.noted).push(self.own.clone());
        }
    }

    fn row(&self) -> QueueRow {
        let counts = self.queue.counts();
        let messages = self.statistics.as_ref().map(|own| own.counts).unwrap_or_default().row();
        joined(&[&messages, &[counts.ready as u64, counts.unsettled as u64]])
    }

    fn sums(&self) -> QueueSums {
        let counts = self.queue.counts();
        let disk = self.statistics.as_ref().map_or((0, 0), |own| (own.disk_reads, own.disk_writes));
        QueueSums {
            columns: [counts.ready as u64, counts.unsettled as u64, disk.0, disk.1],
            consumers: counts.consumers as u64,
        }
    }

    /// Whether a consumer would take a message at once: what is ready waits for nothing but its turn.
    fn has_capacity(&self) -> bool {
        self.queue.consumers().take(CAPACITY_LOOKS).any(|member| member.consumer.has_credit())
    }

    /// The queue is deleted: the vhost has none of its messages any more.
    pub(super) fn end_statistics(&mut self, vhost: &VhostStatistics) {
        let Some(statistics) = self.statistics.take() else { return };
        let [_, _, disk_reads, disk_writes] = statistics.summed.columns;
        let ended = QueueSums {
            columns: [0, 0, statistics.disk_reads.max(disk_reads), statistics.disk_writes.max(disk_writes)],
            consumers: 0,
        };
        lock(&vhost.totals).change_queue(&ended, &statistics.summed);
    }
}

impl SharedQueue {
    /// A look at a queue where something happened. Says whether it is to be watched from now on.
    fn sample(&self, when: Look) -> bool {
        let mut state = self.lock();
        if state.is_deleted {
            return false;
        }
        let (row, sums, has_capacity) = (state.row(), state.sums(), state.has_capacity());
        let Some(statistics) = state.statistics.as_deref_mut() else { return false };
        statistics.is_noted = false;
        let before = std::mem::replace(&mut statistics.summed, sums);
        lock(&self.surroundings.statistics.totals).change_queue(&sums, &before);
        let capacity = f64::from(u8::from(has_capacity));
        let looked = statistics.capacity.unwrap_or(capacity);
        statistics.capacity = Some(looked + CAPACITY_WEIGHT * (capacity - looked));
        if statistics.look(when, row) {
            statistics.changed_at = when.now.seconds();
        }
        statistics.history.is_some() && !std::mem::replace(&mut statistics.is_watched, true)
    }

    /// Forgets what is too old. Says whether anything is left.
    fn age_history(&self, now: u64) -> bool {
        let mut state = self.lock();
        let Some(statistics) = state.statistics.as_deref_mut() else { return false };
        if let Some(history) = &mut statistics.history {
            history.age(now);
        }
        if statistics.history.as_ref().is_some_and(|history| history.is_flat(now)) {
            statistics.history = None;
        }
        statistics.is_watched = statistics.history.is_some();
        statistics.is_watched
    }

    /// What tools show. Memory is what is counted: the queue's own structures and its past, the bodies of messages that
    /// are in memory, and a fixed size for each of them, ready or unsettled. A body in several queues counts in each.
    #[must_use]
    pub fn report(&self, ranges: &Ranges) -> QueueReport {
        let state = self.lock();
        let statistics = state.statistics.as_deref();
        let history = statistics.and_then(|own| own.history.as_deref());
        let has_capacity = state.has_capacity();
        let changed_at = statistics.map_or(0, |own| own.changed_at).max(self.declared_at.seconds());
        let is_active = changed_at + IDLE_AFTER > ranges.now;
        let looked = statistics.and_then(|own| own.capacity).filter(|_| is_active);
        let consumer_capacity = looked.unwrap_or(f64::from(u8::from(has_capacity)));
        let past = statistics.map_or(0, |own| {
            size_of::<QueueStatistics>() + own.history.as_ref().map_or(0, |history| history.memory_bytes())
        });
        QueueReport {
            curve: Curve::of(history, state.row(), ranges),
            consumer_capacity,
            idle_since: (!is_active).then_some(changed_at),
            disk_reads: statistics.map_or(0, |own| own.disk_reads),
            disk_writes: statistics.map_or(0, |own| own.disk_writes),
            memory: size_of::<Self>() + self.name.len() + past + state.queue.memory_used(),
            paged: state.queue.paged(),
            head_timestamp: state.queue.head().and_then(timestamp),
        }
    }
}

impl QueueStatistics {
    fn look(&mut self, when: Look, row: QueueRow) -> bool {
        look(&mut self.history, BASIC, when, row)
    }
}

impl ExchangeStatistics {
    /// So many messages were published to it, and went to so many places in queues.
    pub fn add(&self, published_in: u64, published_out: u64) {
        self.published_in.fetch_add(published_in, Relaxed);
        self.published_out.fetch_add(published_out, Relaxed);
    }

    /// How many, and how fast.
    #[must_use]
    pub fn curve(&self, ranges: &Ranges) -> Curve<2> {
        Curve::of(lock(&self.history).as_deref(), self.row(), ranges)
    }

    /// How many.
    #[must_use]
    pub fn row(&self) -> ExchangeRow {
        [self.published_in.load(Relaxed), self.published_out.load(Relaxed)]
    }

    /// A look. Says how many more places messages were routed to.
    fn sample(&self, when: Look) -> u64 {
        let row = self.row();
        look(&mut lock(&self.history), BASIC, when, row);
        let routed = row[1].saturating_sub(self.summed_out.count());
        self.summed_out.add(routed);
        routed
    }

    fn age(&self, now: u64) {
        let mut history = lock(&self.history);
        if let Some(own) = &mut *history {
            own.age(now);
        }
        if history.as_ref().is_some_and(|own| own.is_flat(now)) {
            *history = None;
        }
    }
}

impl ChannelStatistics {
    /// Of a channel whose task counts what it publishes there.
    #[must_use]
    pub fn new(published: Arc<PublishCounts>) -> Self {
        Self { published, ..Self::default() }
    }

    /// All that it counted.
    #[must_use]
    pub fn counts(&self) -> MessageCounts {
        let PublishCounts { publish, confirm, return_unroutable, drop_unroutable, .. } = &*self.published;
        MessageCounts {
            publish: publish.count(),
            confirm: confirm.count(),
            return_unroutable: return_unroutable.count(),
            drop_unroutable: drop_unroutable.count(),
            ..self.counts
        }
    }

    /// How many, and how fast.
    #[must_use]
    pub fn curve(&self, ranges: &Ranges) -> Curve<MESSAGE_COLUMNS> {
        Curve::of(self.past.as_ref().map(|past| &past.history), self.counts().row(), ranges)
    }

    /// When something last happened, seconds since 1970; none if nothing ever did.
    #[must_use]
    pub fn changed_at(&self) -> Option<u64> {
        self.past.as_ref().map(|past| past.history.changed_at())
    }

    /// A look; adds what is new to `sums`.
    pub fn sample(&mut self, when: Look, sums: &mut MessageRow) {
        let row = self.counts().row();
        if self.past.is_none() && row == [0; MESSAGE_COLUMNS] {
            return;
        }
        let past = self.past.get_or_insert_with(|| {
            let none = [0; MESSAGE_COLUMNS];
            Box::new(ChannelPast { summed: none, history: History::new(BASIC, none, when.previous) })
        });
        add_change(sums, &row, &past.summed);
        past.summed = row;
        past.history.look(when, row);
    }

    /// What the vhost's totals lack: the channel ends.
    fn rest(&self) -> MessageRow {
        let mut rest = [0; MESSAGE_COLUMNS];
        let summed = self.past.as_ref().map_or([0; MESSAGE_COLUMNS], |past| past.summed);
        add_change(&mut rest, &self.counts().row(), &summed);
        rest
    }
}

impl VhostStatistics {
    /// Messages that channels counted.
    pub fn add_messages(&self, messages: &MessageRow) {
        add_change(&mut lock(&self.totals).row, messages, &[0; MESSAGE_COLUMNS]);
    }

    /// A channel ends: what it counted since the last look is not lost.
    pub fn end_channel(&self, statistics: &ChannelStatistics) {
        self.add_messages(&statistics.rest());
    }

    /// Bytes that a connection received and sent.
    pub fn add_traffic(&self, [received, sent]: &ConnectionRow) {
        let mut totals = lock(&self.totals);
        totals.row[column::RECEIVED] += received;
        totals.row[column::SENT] += sent;
    }

    /// Messages in its queues and through its channels, and how fast.
    #[must_use]
    pub fn curve(&self, ranges: &Ranges) -> Curve<VHOST_COLUMNS> {
        let totals = lock(&self.totals);
        Curve::of(totals.history.as_deref(), totals.row, ranges)
    }

    /// All of it so far.
    #[must_use]
    pub fn totals(&self) -> VhostRow {
        lock(&self.totals).row
    }

    /// How many consumers its queues have.
    #[must_use]
    pub fn consumers(&self) -> u64 {
        lock(&self.totals).consumers
    }

    pub(super) fn forget_exchanges(&self, exchanges: &[Exchange]) {
        for exchange in exchanges {
            self.exchanges.remove(&exchange.name);
        }
    }
}

impl Totals {
    fn change_queue(&mut self, now: &QueueSums, before: &QueueSums) {
        for (index, (now, before)) in now.columns.iter().zip(&before.columns).enumerate() {
            let sum = &mut self.row[column::READY + index];
            *sum = sum.wrapping_add(now.wrapping_sub(*before));
        }
        self.consumers = self.consumers.wrapping_add(now.consumers.wrapping_sub(before.consumers));
    }
}

impl Vhost {
    /// Sums and exchanges.
    #[must_use]
    pub fn statistics(&self) -> &VhostStatistics {
        &self.surroundings.statistics
    }

    /// The counters of an exchange, if there is one of this name.
    #[must_use]
    pub fn exchange_statistics(&self, name: &str) -> Option<Arc<ExchangeStatistics>> {
        let places = self.read();
        let exchange = places.topology.exchange(name)?;
        let exchanges = &self.statistics().exchanges;
        Some(match exchanges.get(name) {
            Some(statistics) => Arc::clone(&statistics),
            None => Arc::clone(&exchanges.entry(exchange.name.clone()).or_default()),
        })
    }

    /// The counters of an exchange, if anything was published to it.
    #[must_use]
    pub fn known_exchange_statistics(&self, name: &str) -> Option<Arc<ExchangeStatistics>> {
        self.statistics().exchanges.get(name).map(|statistics| Arc::clone(&statistics))
    }

    /// Looks at queues and exchanges where something happened.
    pub fn sample(&self, when: Look) {
        let statistics = self.statistics();
        let noted = std::mem::take(&mut *lock(&statistics.noted));
        for queue in noted.iter().filter_map(Weak::upgrade) {
            if queue.sample(when) {
                lock(&statistics.watched).push(Arc::downgrade(&queue));
            }
        }
        let routed: u64 = statistics.exchanges.iter().map(|exchange| exchange.sample(when)).sum();
        lock(&statistics.totals).row[column::ROUTED] += routed;
    }

    /// The end of a look: what channels and connections did is summed up, too.
    pub fn sample_totals(&self, when: Look) {
        let Totals { row, history, .. } = &mut *lock(&self.statistics().totals);
        look(history, GLOBAL, when, *row);
    }

    /// Forgets what is too old of all that was ever looked at.
    pub fn age_statistics(&self, now: u64) {
        let statistics = self.statistics();
        let mut watched = std::mem::take(&mut *lock(&statistics.watched));
        watched.retain(|queue| queue.upgrade().is_some_and(|queue| queue.age_history(now)));
        lock(&statistics.watched).append(&mut watched);
        statistics.exchanges.iter().for_each(|exchange| exchange.age(now));
    }
}

/// A look at a history that is made when something changes for the first time.
pub fn look<const N: usize>(
    history: &mut Option<Box<History<N>>>,
    levels: &'static [Level],
    when: Look,
    row: [u64; N],
) -> bool {
    match history {
        Some(history) => history.look(when, row),
        None if row == [0; N] => false,
        None => {
            let mut new = History::new(levels, [0; N], when.previous);
            new.look(when, row);
            *history = Some(Box::new(new));
            true
        }
    }
}

fn timestamp(message: &Message) -> Option<u64> {
    message.content_header()?.properties.timestamp
}

/// How many of them are persistent.
pub(super) fn persistent_count(messages: &[Message]) -> u64 {
    messages.iter().filter(|message| message.is_persistent()).count() as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
