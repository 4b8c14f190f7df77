//! A look at everything, once a second: what connections and their channels did since the last one, and with that what
//! vhosts and the node did.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::registry::{Churn, ConnectionInfo, Node};
use crate::{
    model::{
        name::Name,
        statistics::{
            BASIC, ConnectionRow, Curve, GLOBAL, History, Look, LookTimes, MESSAGE_COLUMNS, Ranges,
            add_change,
        },
        timestamp::Timestamp,
    },
    vhost::{
        Vhost,
        broker::Broker,
        statistics::{ExchangeStatistics, look},
    },
};

/// How many connections, channels and queues came and went: the fields of [`Churn`].
pub type ChurnRow = [u64; 7];

/// Columns of a [`NodeRow`].
pub const NODE_COLUMNS: usize = 11;
/// What the node uses, by [`node_column`].
pub type NodeRow = [u64; NODE_COLUMNS];

/// Where what stands in a [`NodeRow`].
pub mod node_column {
    /// Resident memory, bytes.
    pub const MEMORY: usize = 0;
    /// Open files.
    pub const FILES: usize = 1;
    /// Connections.
    pub const SOCKETS: usize = 2;
    /// Free space where the data directory is, bytes.
    pub const DISK_FREE: usize = 3;
    /// Tasks.
    pub const TASKS: usize = 4;
    /// Messages that the log gave back.
    pub const READS: usize = 5;
    /// Their bytes.
    pub const READ: usize = 6;
    /// Batches that the log wrote.
    pub const WRITES: usize = 7;
    /// Their bytes.
    pub const WRITTEN: usize = 8;
    /// Syncs of the log.
    pub const SYNCS: usize = 9;
    /// The time that they took, microseconds.
    pub const SYNC_MICROS: usize = 10;
}

/// What was looked at, and when.
#[derive(Debug, Default)]
pub struct NodeStatistics {
    looks: Mutex<Looks>,
    /// Who tried to log in over AMQP.
    pub amqp_logins: LoginCounts,
    /// Over HTTP.
    pub http_logins: LoginCounts,
}

/// How many tried to log in.
#[derive(Debug, Default)]
pub struct LoginCounts {
    /// Those who did.
    pub succeeded: AtomicU64,
    /// Those who were refused.
    pub failed: AtomicU64,
}

#[derive(Debug, Default)]
struct Looks {
    times: LookTimes,
    /// Seconds since 1970.
    aged_at: u64,
    node_row: NodeRow,
    node: Option<Box<History<NODE_COLUMNS>>>,
    churn: Option<Box<History<7>>>,
}

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionStatistics {
    /// As its vhost's totals have it.
    summed: ConnectionRow,
    /// Something went through it before the last look: it may be that what this led to was not yet counted then.
    was_active: bool,
    history: Option<Box<History<2>>>,
}

/// What a channel published to the exchange that it published to last, and that exchange does not know yet.
#[derive(Debug, Default)]
pub(super) struct Tally {
    exchange: Option<Arc<ExchangeStatistics>>,
    name: Vec<u8>,
    /// The topology in which the exchange was found.
    epoch: u64,
    published_in: u64,
    published_out: u64,
}

/// Histories are looked through for what is too old so often, seconds.
const AGE_INTERVAL: u64 = 60;

impl Tally {
    /// A message for this exchange was routed to so many places. True for the first since [`Tally::flush`].
    pub(super) fn count(&mut self, vhost: &Vhost, exchange: &[u8], places: usize) -> bool {
        let epoch = vhost.epoch();
        if self.epoch != epoch || !self.is_of(exchange) {
            self.flush();
            let name = std::str::from_utf8(exchange).unwrap_or_default();
            (self.exchange, self.name, self.epoch) =
                (vhost.exchange_statistics(name), exchange.to_owned(), epoch);
        }
        self.published_in += 1;
        self.published_out += places as u64;
        self.published_in == 1
    }

    /// The default exchange's blank name is not compared: an empty vector points nowhere, and to compare nothing there by
    /// vector instructions takes the processor longer than all else that a small message needs.
    fn is_of(&self, exchange: &[u8]) -> bool {
        let is_same_name =
            self.name.len() == exchange.len() && (exchange.is_empty() || self.name == exchange);
        is_same_name && self.exchange.is_some()
    }

    /// Tells the exchange.
    pub(super) fn flush(&mut self) {
        let (published_in, published_out) =
            (std::mem::take(&mut self.published_in), std::mem::take(&mut self.published_out));
        if let Some(exchange) = self.exchange.as_ref().filter(|_| published_in > 0) {
            exchange.add(published_in, published_out);
        }
    }
}

impl LoginCounts {
    /// Somebody tried.
    pub fn count(&self, has_succeeded: bool) {
        let counter = if has_succeeded { &self.succeeded } else { &self.failed };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts anew.
    pub fn reset(&self) {
        self.succeeded.store(0, Relaxed);
        self.failed.store(0, Relaxed);
    }
}

impl Churn {
    /// As a row.
    #[must_use]
    pub fn row(&self) -> ChurnRow {
        [
            &self.connections_created,
            &self.connections_closed,
            &self.channels_created,
            &self.channels_closed,
            &self.queues_declared,
            &self.queues_created,
            &self.queues_deleted,
        ]
        .map(|count| count.load(Relaxed))
    }
}

impl ConnectionInfo {
    /// Bytes received and sent, and how fast.
    #[must_use]
    pub fn curve(&self, ranges: &Ranges) -> Curve<2> {
        Curve::of(lock(&self.statistics).history.as_deref(), self.traffic.row(), ranges)
    }

    /// A look at a connection. One that was silent costs nothing more.
    fn sample(&self, broker: &Broker, when: Look) {
        let mut statistics = lock(&self.statistics);
        let row = self.traffic.row();
        let is_active = row != statistics.summed;
        if !is_active && !statistics.was_active {
            return;
        }
        statistics.was_active = is_active;
        let Some(vhost) = self.vhost_name().and_then(|name| broker.vhost(&name)) else { return };
        let mut traffic = [0; 2];
        add_change(&mut traffic, &row, &statistics.summed);
        vhost.statistics().add_traffic(&traffic);
        let before = std::mem::replace(&mut statistics.summed, row);
        // What opened the connection is where it begins: one that then does nothing needs no past.
        if before != ConnectionRow::default() {
            let begin = || Box::new(History::new(BASIC, before, when.previous));
            statistics.history.get_or_insert_with(begin).look(when, row);
        }
        let mut messages = [0; MESSAGE_COLUMNS];
        self.outbox.each_channel(|_, deliveries| {
            deliveries.statistics_mut().sample(when, &mut messages);
        });
        vhost.statistics().add_messages(&messages);
    }

    /// The connection ends: what went through it since the last look is not lost.
    pub(super) fn end_statistics(&self, broker: &Broker) {
        let mut statistics = lock(&self.statistics);
        let row = self.traffic.row();
        let Some(vhost) = self.vhost_name().and_then(|name| broker.vhost(&name)) else { return };
        let mut traffic = [0; 2];
        add_change(&mut traffic, &row, &statistics.summed);
        vhost.statistics().add_traffic(&traffic);
        statistics.summed = row;
    }

    fn vhost_name(&self) -> Option<Name> {
        self.read(|facts| facts.vhost.clone())
    }
}

impl Node {
    /// Looks at all where something happened. May be called at any time, also more than once a second.
    pub fn sample(&self) {
        let mut looks = lock(&self.statistics.looks);
        // A clock that was set back stands still.
        let now = self.broker.upkeep().now().max(looks.times.newest());
        let previous = looks.times.newest();
        // Nothing was before the first one.
        let when = Look { previous: if previous == Timestamp::default() { now } else { previous }, now };
        looks.times.note(when);
        let vhosts = self.broker.vhosts();
        vhosts.iter().for_each(|vhost| vhost.sample(when));
        self.each_connection(|info| info.sample(&self.broker, when));
        vhosts.iter().for_each(|vhost| vhost.sample_totals(when));
        look(&mut looks.churn, GLOBAL, when, self.churn.row());
        let row = looks.node_row;
        look(&mut looks.node, GLOBAL, when, row);
        let now = now.seconds();
        if now >= looks.aged_at + AGE_INTERVAL {
            looks.aged_at = now;
            vhosts.iter().for_each(|vhost| vhost.age_statistics(now));
        }
    }

    /// For rates as they are now, without samples.
    #[must_use]
    pub fn ranges(&self) -> Ranges {
        Ranges::at(self.broker.upkeep().now(), lock(&self.statistics.looks).times)
    }

    /// What the node uses, for the next look.
    pub fn note_use(&self, row: NodeRow) {
        lock(&self.statistics.looks).node_row = row;
    }

    /// What the node used when that was last noted, and before.
    #[must_use]
    pub fn use_curve(&self, ranges: &Ranges) -> Curve<NODE_COLUMNS> {
        let looks = lock(&self.statistics.looks);
        Curve::of(looks.node.as_deref(), looks.node_row, ranges)
    }

    /// What came and went, and how fast.
    #[must_use]
    pub fn churn_curve(&self, ranges: &Ranges) -> Curve<7> {
        Curve::of(lock(&self.statistics.looks).churn.as_deref(), self.churn.row(), ranges)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
