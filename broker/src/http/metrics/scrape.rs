//! What one scrape shows: the objects, each looked at once.

use std::{cell::OnceCell, sync::atomic::Ordering::Relaxed, time::Duration};

use super::{Endpoint, text::labels};
use crate::{
    connection::{
        registry::{ConnectionInfo, Node},
        statistics::NodeRow,
    },
    http::{Api, channels::channel_pid, connections::connection_pid},
    model::{
        queue::QueueCounts,
        statistics::{ExchangeRow, MessageRow, Ranges},
    },
    server::process,
    vhost::{Vhost, statistics::QueueReport},
};

/// One scrape.
pub(super) struct Scrape<'a> {
    api: &'a Api,
    endpoint: &'a Endpoint,
    uses: NodeRow,
    queues: OnceCell<Vec<QueueLook>>,
    channels: OnceCell<Vec<ChannelLook>>,
    connections: OnceCell<Vec<ConnectionLook>>,
}

pub(super) struct QueueLook {
    pub(super) labels: String,
    pub(super) counts: QueueCounts,
    pub(super) report: QueueReport,
}

pub(super) struct ChannelLook {
    pub(super) labels: String,
    /// Consumers, unsettled, unconfirmed, uncommitted, held, prefetch, global prefetch.
    pub(super) gauges: [u64; 7],
    pub(super) messages: MessageRow,
}

pub(super) struct ConnectionLook {
    pub(super) labels: String,
    pub(super) bytes: [u64; 2],
    /// Reads, writes, bytes to be sent, channels.
    pub(super) others: [u64; 4],
}

impl<'a> Scrape<'a> {
    pub(super) fn new(api: &'a Api, endpoint: &'a Endpoint) -> Self {
        let mut uses = api.node.use_curve(&Ranges::default()).values;
        super::refresh(&mut uses, api);
        Self {
            api,
            endpoint,
            uses,
            queues: OnceCell::new(),
            channels: OnceCell::new(),
            connections: OnceCell::new(),
        }
    }

    pub(super) fn node(&self) -> &Node {
        &self.api.node
    }

    /// Whether numbers of objects are shown as sums.
    pub(super) fn is_summed(&self) -> bool {
        *self.endpoint == Endpoint::Summed
    }

    pub(super) fn uses(&self) -> &NodeRow {
        &self.uses
    }

    /// Open files, memory, disk, tasks, uptime: what there may be, and for how long there has been something.
    pub(super) fn limits(&self) -> Vec<Option<f64>> {
        let resources = &self.api.resources;
        let uptime = (self.api.clock)().duration_since(self.api.started_at).unwrap_or(Duration::ZERO);
        let memory = resources.memory_limit().or_else(|| resources.memory_total());
        vec![
            process::open_files_max().map(|files| files as f64),
            memory.map(|memory| memory as f64),
            Some(resources.disk_free_limit() as f64),
            Some(f64::from(crate::http::nodes::TASKS_MAX)),
            Some(uptime.as_secs_f64()),
        ]
    }

    pub(super) fn queues(&self) -> &[QueueLook] {
        self.queues.get_or_init(|| {
            let ranges = self.node().ranges();
            let mut looks = Vec::new();
            for vhost in self.vhosts() {
                for queue in vhost.queues_unordered() {
                    let labels = self.labels(&[("vhost", vhost.name()), ("queue", &queue.name)]);
                    looks.push(QueueLook { labels, counts: queue.counts(), report: queue.report(&ranges) });
                }
            }
            looks
        })
    }

    pub(super) fn channels(&self) -> &[ChannelLook] {
        self.channels.get_or_init(|| {
            let connections = self.node().connections();
            connections.iter().flat_map(|info| self.channels_of(info)).collect()
        })
    }

    pub(super) fn connections(&self) -> &[ConnectionLook] {
        self.connections.get_or_init(|| {
            let connections = self.node().connections();
            let look = |info: &ConnectionInfo| ConnectionLook {
                labels: self.labels(&[("connection", &connection_pid(self.node(), info.id))]),
                bytes: info.traffic.row(),
                others: [
                    info.traffic.receives.load(Relaxed),
                    info.traffic.sends.load(Relaxed),
                    info.outbox.unsent_bytes() as u64,
                    info.read(|facts| facts.channels.len()) as u64,
                ],
            };
            connections.iter().map(|info| look(info)).collect()
        })
    }

    pub(super) fn exchanges(&self) -> Vec<(String, ExchangeRow)> {
        let mut looks = Vec::new();
        for vhost in self.vhosts() {
            for exchange in vhost.exchanges() {
                let statistics = vhost.known_exchange_statistics(&exchange.name);
                let row = statistics.map_or([0, 0], |statistics| statistics.row());
                let labels = self.labels(&[("vhost", vhost.name()), ("exchange", &exchange.name)]);
                looks.push((labels, row));
            }
        }
        looks
    }

    fn vhosts(&self) -> Vec<std::sync::Arc<Vhost>> {
        let mut vhosts = self.node().broker.vhosts();
        vhosts.retain(|vhost| self.endpoint.takes_vhost(vhost.name()));
        vhosts
    }

    /// Sums have none.
    fn labels(&self, pairs: &[(&str, &str)]) -> String {
        if self.is_summed() { String::new() } else { labels(pairs) }
    }

    fn channels_of(&self, info: &ConnectionInfo) -> Vec<ChannelLook> {
        let mut looks = Vec::new();
        info.outbox.each_channel(|number, deliveries| {
            let labels = self.labels(&[("channel", &channel_pid(self.node(), info.id, number.0))]);
            let (consumers, unsettled) = (deliveries.consumer_count(), deliveries.unsettled_count());
            let held = deliveries.held_count() as u64;
            let prefetch = u64::from(deliveries.prefetch().limit());
            let gauges = [consumers as u64, unsettled as u64, 0, 0, held, 0, prefetch];
            looks.push((
                number,
                ChannelLook { labels, gauges, messages: deliveries.statistics().counts().row() },
            ));
        });
        // Not while the outbox is locked.
        let facts = info.facts();
        let with_facts = looks.into_iter().map(|(number, mut look)| {
            if let Some(facts) = facts.channel(number.0) {
                look.gauges[2] = facts.published.unconfirmed.load(Relaxed);
                look.gauges[3] = facts.published.uncommitted.load(Relaxed);
                look.gauges[5] = u64::from(facts.prefetch_count);
            }
            look
        });
        with_facts.collect()
    }
}
