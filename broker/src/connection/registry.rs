//! The connections there are: what tools show of them, and how others make them close.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use amq_protocol::types::FieldTable;
use dashmap::DashMap;

use super::{
    alarm::{Alarm, Alarms},
    exception::{Exception, ReplyCode},
    seat::Usage,
    statistics::{ConnectionStatistics, NodeStatistics},
};
use crate::{
    limits::NodeLimits,
    model::{arguments::Arguments, name::Name, statistics::ConnectionRow},
    vhost::{
        Vhost, broker::Broker, declare::DeclareQueueError, outbox::Outbox, queue::ConnectionId,
        statistics::PublishCounts,
    },
    wire::{
        frame::ChannelNumber,
        table::{RawTable, encode_table},
    },
};

/// The broker, how it calls itself, and its connections.
#[derive(Debug)]
pub struct Node {
    /// Vhosts, users.
    pub broker: Arc<Broker>,
    /// `rabbit@host`.
    pub name: String,
    /// How the cluster calls itself unless somebody says otherwise; none: as the node.
    pub default_cluster_name: Option<String>,
    /// The alarms that are on.
    pub alarms: Alarms,
    /// What there may be.
    pub limits: NodeLimits,
    /// Connections that are open.
    pub(super) open_connections: AtomicUsize,
    /// Channels that are open.
    pub(super) open_channels: AtomicUsize,
    /// What users who are connected use.
    usages: DashMap<Name, Arc<Usage>>,
    connections: DashMap<ConnectionId, Arc<ConnectionInfo>>,
    /// Connections ever opened and closed.
    pub churn: Churn,
    /// What was looked at.
    pub statistics: NodeStatistics,
}

/// How many there ever were.
#[derive(Debug, Default)]
pub struct Churn {
    /// Connections accepted.
    pub connections_created: AtomicU64,
    /// Connections ended.
    pub connections_closed: AtomicU64,
    /// Channels opened.
    pub channels_created: AtomicU64,
    /// Channels closed.
    pub channels_closed: AtomicU64,
    /// Queues declared, new or not.
    pub queues_declared: AtomicU64,
    /// Queues made.
    pub queues_created: AtomicU64,
    /// Queues deleted by their users.
    pub queues_deleted: AtomicU64,
}

/// What others know of a connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Its number.
    pub id: ConnectionId,
    /// The client's end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// When it was accepted.
    pub connected_at: SystemTime,
    /// Where replies and deliveries wait.
    pub outbox: Arc<Outbox>,
    /// Bytes and reads, bytes and writes.
    pub traffic: Traffic,
    /// One of its deliveries was unsettled for too long.
    pub(super) has_overdue: AtomicBool,
    pub(super) statistics: Mutex<ConnectionStatistics>,
    facts: Mutex<Facts>,
}

/// Bytes that went through a connection.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Bytes read.
    pub received_bytes: AtomicU64,
    /// Reads.
    pub receives: AtomicU64,
    /// Bytes written.
    pub sent_bytes: AtomicU64,
    /// Writes.
    pub sends: AtomicU64,
}

/// What a connection says of itself; changes seldom.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `starting`, `tuning`, `opening`, `running`, `blocked`, `closing`: RabbitMQ's words.
    pub state: &'static str,
    /// Once logged in.
    pub user: Option<Name>,
    /// Once open.
    pub vhost: Option<Name>,
    /// SASL mechanism.
    pub auth_mechanism: String,
    /// As the client sent them.
    client_properties: Box<[u8]>,
    /// Negotiated, bytes.
    pub frame_max: u32,
    /// Negotiated.
    pub channel_max: u16,
    /// Negotiated, seconds.
    pub heartbeat_secs: u16,
    /// Open channels, by number.
    pub channels: Vec<ChannelFacts>,
    /// Somebody wants it closed.
    pub forced_close: Option<Exception>,
}

/// What a channel says of itself.
#[derive(Clone, Debug, Default)]
pub struct ChannelFacts {
    /// Its number.
    pub number: u16,
    /// `basic.qos` for consumers to come.
    pub prefetch_count: u16,
    /// `confirm.select` was sent.
    pub is_confirm: bool,
    /// `tx.select` was sent.
    pub is_transactional: bool,
    /// What is published on it; kept by the channel.
    pub published: Arc<PublishCounts>,
}

impl Node {
    /// A node without connections.
    #[must_use]
    pub fn new(broker: Arc<Broker>, name: String, limits: NodeLimits) -> Self {
        Self {
            broker,
            name,
            default_cluster_name: None,
            alarms: Alarms::default(),
            limits,
            open_connections: AtomicUsize::new(0),
            open_channels: AtomicUsize::new(0),
            usages: DashMap::new(),
            connections: DashMap::new(),
            churn: Churn::default(),
            statistics: NodeStatistics::default(),
        }
    }

    /// How the cluster calls itself: as somebody said, else as it was configured, else as the node.
    #[must_use]
    pub fn cluster_name(&self) -> String {
        let configured = || self.default_cluster_name.clone().unwrap_or_else(|| self.name.clone());
        self.broker.cluster_name().unwrap_or_else(configured)
    }

    /// Refuses a queue that is one too many, for the vhost or for all of them.
    pub fn check_queue_room(&self, vhost: &Vhost) -> Result<(), DeclareQueueError> {
        vhost.check_room()?;
        match self.limits.queue_max {
            Some(max) if self.broker.queue_count() >= max => Err(DeclareQueueError::NodeFull(max)),
            _ => Ok(()),
        }
    }

    /// Refuses an exchange that is one too many: holds how many there may be.
    pub fn check_exchange_room(&self) -> Result<(), usize> {
        match self.limits.exchange_max {
            Some(max) if self.broker.exchange_count() >= max => Err(max),
            _ => Ok(()),
        }
    }

    /// Refuses a vhost that is one too many: holds how many there may be.
    pub fn check_vhost_room(&self) -> Result<(), usize> {
        match self.limits.vhost_max {
            Some(max) if self.broker.vhost_count() >= max => Err(max),
            _ => Ok(()),
        }
    }

    /// All connections, oldest first.
    #[must_use]
    pub fn connections(&self) -> Vec<Arc<ConnectionInfo>> {
        let mut connections: Vec<_> = self.connections.iter().map(|info| Arc::clone(&info)).collect();
        connections.sort_unstable_by_key(|info| info.id);
        connections
    }

    /// The connection with this number.
    #[must_use]
    pub fn connection(&self, id: ConnectionId) -> Option<Arc<ConnectionInfo>> {
        self.connections.get(&id).map(|info| Arc::clone(&info))
    }

    /// Calls `f` with every connection, in no order.
    pub(super) fn each_connection(&self, f: impl Fn(&ConnectionInfo)) {
        self.connections.iter().for_each(|info| f(&info));
    }

    /// How many connections there are.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Closes all connections that `is_meant` picks, with 320 and this text.
    pub fn close_connections(&self, text: &str, is_meant: impl Fn(&Facts) -> bool) {
        for info in self.connections() {
            if is_meant(&info.facts()) {
                info.force_close(text);
            }
        }
    }

    /// Looks whether deliveries of a connection have been unsettled for too long: if so, it closes their channels.
    pub fn look_for_overdue(&self, info: &ConnectionInfo, now: Instant) {
        if !info.outbox.overdue(self.limits.consumer_timeout, now).is_empty() {
            info.has_overdue.store(true, Relaxed);
            info.outbox.wake();
        }
    }

    /// Sets or clears an alarm; says whether that changed anything. Whoever is blocked, or is to be, looks.
    pub fn set_alarm(&self, alarm: Alarm, is_on: bool) -> bool {
        let has_changed = self.alarms.set(alarm, is_on);
        if has_changed {
            // A connection that is not in here yet sees the new state when it publishes.
            self.connections.iter().for_each(|info| info.outbox.wake());
        }
        has_changed
    }

    /// What the connections of a user use together.
    pub(super) fn usage_of(&self, user: &Name) -> Arc<Usage> {
        Arc::clone(&self.usages.entry(user.clone()).or_default())
    }

    /// Somebody who counted there goes, and with the last one the count.
    pub(super) fn forget_usage(&self, user: &Name, usage: &Arc<Usage>) {
        // The map's and the caller's.
        self.usages
            .remove_if(user, |_, current| Arc::ptr_eq(current, usage) && Arc::strong_count(current) == 2);
    }

    pub(super) fn insert(&self, info: Arc<ConnectionInfo>) {
        self.churn.connections_created.fetch_add(1, Relaxed);
        self.connections.insert(info.id, info);
    }

    pub(super) fn remove(&self, id: ConnectionId) {
        if let Some((_, info)) = self.connections.remove(&id) {
            info.end_statistics(&self.broker);
            self.churn.connections_closed.fetch_add(1, Relaxed);
        }
    }
}

impl Traffic {
    /// Bytes received and sent.
    #[must_use]
    pub fn row(&self) -> ConnectionRow {
        [self.received_bytes.load(Relaxed), self.sent_bytes.load(Relaxed)]
    }
}

impl Churn {
    /// A queue was declared; whether that made it.
    pub fn count_declared(&self, is_new: bool) {
        self.queues_declared.fetch_add(1, Relaxed);
        self.queues_created.fetch_add(u64::from(is_new), Relaxed);
    }
}

impl Facts {
    /// What the client said of itself in `connection.start-ok`.
    #[must_use]
    pub fn client_properties(&self) -> Arguments {
        RawTable::parse(&self.client_properties).map(|(table, _)| table.to_table().into()).unwrap_or_default()
    }

    /// Kept as they are on the wire: as a table they would take three times as much for as long as the connection lives.
    pub(super) fn set_client_properties(&mut self, properties: &FieldTable) {
        self.client_properties = encode_table(properties).into();
    }

    /// One of its open channels.
    #[must_use]
    pub fn channel(&self, number: u16) -> Option<&ChannelFacts> {
        let place = self.channels.binary_search_by_key(&number, |facts| facts.number).ok()?;
        self.channels.get(place)
    }
}

impl ConnectionInfo {
    /// Of a connection just accepted.
    #[must_use]
    pub fn new(
        id: ConnectionId,
        (peer, local): (SocketAddr, SocketAddr),
        connected_at: SystemTime,
        outbox: Arc<Outbox>,
    ) -> Self {
        let facts = Mutex::new(Facts { state: "starting", ..Facts::default() });
        Self {
            id,
            peer,
            local,
            connected_at,
            outbox,
            traffic: Traffic::default(),
            has_overdue: AtomicBool::new(false),
            statistics: Mutex::default(),
            facts,
        }
    }

    /// As tools call it: `127.0.0.1:51234 -> 127.0.0.1:5672`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} -> {}", self.peer, self.local)
    }

    /// Since 1970.
    #[must_use]
    pub fn connected_since_epoch(&self) -> Duration {
        self.connected_at.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// A copy of what it says of itself.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    /// Looks at what it says of itself, without a copy.
    pub fn read<R>(&self, look: impl FnOnce(&Facts) -> R) -> R {
        look(&self.lock())
    }

    /// Makes the connection close with 320 and this text, soon.
    pub fn force_close(&self, text: &str) {
        self.lock().forced_close = Some(Exception::new(ReplyCode::ConnectionForced, text));
        self.outbox.wake();
    }

    pub(super) fn update<R>(&self, change: impl FnOnce(&mut Facts) -> R) -> R {
        change(&mut self.lock())
    }

    pub(super) fn add_channel(&self, channel: ChannelNumber, published: Arc<PublishCounts>) {
        let facts = ChannelFacts { number: channel.0, published, ..ChannelFacts::default() };
        let channels = &mut self.lock().channels;
        let place = channels.partition_point(|other| other.number < facts.number);
        // Most connections have one channel.
        if channels.is_empty() {
            channels.reserve_exact(1);
        }
        channels.insert(place, facts);
    }

    pub(super) fn update_channel(&self, channel: ChannelNumber, change: impl FnOnce(&mut ChannelFacts)) {
        let channels = &mut self.lock().channels;
        if let Ok(place) = channels.binary_search_by_key(&channel.0, |facts| facts.number) {
            change(&mut channels[place]);
        }
    }

    pub(super) fn remove_channel(&self, channel: ChannelNumber) {
        self.lock().channels.retain(|facts| facts.number != channel.0);
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
