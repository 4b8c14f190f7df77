//! RabbitMQ's families of metrics, and where their numbers come from.
//!
//! A family has a row of numbers for each object, in the order of its metrics; `/metrics` shows their sums.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    scrape::Scrape,
    text::{Metric, labels},
};
use crate::{connection::statistics::node_column, model::statistics::column};

/// Metrics that are asked for together.
pub(super) struct Family {
    /// Its name in `/metrics/detailed?family=…`.
    pub(super) name: &'static str,
    pub(super) metrics: &'static [Metric],
    pub(super) rows: fn(&Scrape<'_>) -> Vec<Row>,
}

/// The numbers of one object.
pub(super) struct Row {
    pub(super) labels: String,
    /// In the order of the family's metrics; none where there is no such number.
    pub(super) numbers: Vec<Option<f64>>,
}

/// All of them.
pub(super) const FAMILIES: &[Family] = &[
    Family { name: "connection_churn_metrics", metrics: CHURN, rows: churn },
    Family { name: "node_coarse_metrics", metrics: NODE_COARSE, rows: node_coarse },
    Family { name: "node_metrics", metrics: NODE, rows: node },
    Family { name: "node_persister_metrics", metrics: NODE_PERSISTER, rows: node_persister },
    Family { name: "auth_attempt_metrics", metrics: LOGINS, rows: logins },
    Family { name: "queue_coarse_metrics", metrics: QUEUE_COARSE, rows: queue_coarse },
    Family { name: "queue_metrics", metrics: QUEUE, rows: queue },
    Family { name: "queue_delivery_metrics", metrics: QUEUE_DELIVERY, rows: queue_delivery },
    Family { name: "channel_metrics", metrics: CHANNEL, rows: channel },
    Family { name: "channel_exchange_metrics", metrics: CHANNEL_EXCHANGE, rows: channel_exchange },
    Family { name: "channel_queue_metrics", metrics: CHANNEL_QUEUE, rows: channel_queue },
    Family { name: "connection_coarse_metrics", metrics: CONNECTION_COARSE, rows: connection_coarse },
    Family { name: "connection_metrics", metrics: CONNECTION, rows: connection },
    Family { name: "exchange_metrics", metrics: EXCHANGE, rows: exchange },
];

/// Another name for a part of `queue_metrics`.
pub(super) const CONSUMER_COUNT: Family =
    Family { name: "queue_consumer_count", metrics: QUEUE_CONSUMERS, rows: queue_consumers };

/// Sums of columns of a vhost's row.
pub(super) const GLOBAL: &[(Metric, &[usize])] = &[
    (
        Metric::counter(
            "global_messages_received_total",
            "Total number of messages received from publishers",
        ),
        &[column::PUBLISH],
    ),
    (
        Metric::counter(
            "global_messages_confirmed_total",
            "Total number of messages confirmed to publishers",
        ),
        &[column::CONFIRM],
    ),
    (
        Metric::counter("global_messages_routed_total", "Total number of messages routed to queues"),
        &[column::ROUTED],
    ),
    (
        Metric::counter(
            "global_messages_unroutable_dropped_total",
            "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        ),
        &[column::DROP_UNROUTABLE],
    ),
    (
        Metric::counter(
            "global_messages_unroutable_returned_total",
            "Total number of messages published as mandatory into an exchange and returned to the publisher as \
             unroutable",
        ),
        &[column::RETURN_UNROUTABLE],
    ),
    (
        Metric::counter("global_messages_delivered_total", "Total number of messages delivered to consumers"),
        &[column::DELIVER, column::DELIVER_NO_ACK, column::GET, column::GET_NO_ACK],
    ),
    (
        Metric::counter(
            "global_messages_delivered_consume_manual_ack_total",
            "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
        ),
        &[column::DELIVER],
    ),
    (
        Metric::counter(
            "global_messages_delivered_consume_auto_ack_total",
            "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
        ),
        &[column::DELIVER_NO_ACK],
    ),
    (
        Metric::counter(
            "global_messages_delivered_get_manual_ack_total",
            "Total number of messages delivered to consumers using basic.get with manual acknowledgment",
        ),
        &[column::GET],
    ),
    (
        Metric::counter(
            "global_messages_delivered_get_auto_ack_total",
            "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
        ),
        &[column::GET_NO_ACK],
    ),
    (
        Metric::counter(
            "global_messages_get_empty_total",
            "Total number of times basic.get operations fetched no message",
        ),
        &[column::GET_EMPTY],
    ),
    (
        Metric::counter(
            "global_messages_redelivered_total",
            "Total number of messages redelivered to consumers",
        ),
        &[column::REDELIVER],
    ),
    (
        Metric::counter(
            "global_messages_acknowledged_total",
            "Total number of messages acknowledged by consumers",
        ),
        &[column::ACK],
    ),
];

const CHURN: &[Metric] = &[
    Metric::counter("connections_opened_total", "Total number of connections opened"),
    Metric::counter("connections_closed_total", "Total number of connections closed or terminated"),
    Metric::counter("channels_opened_total", "Total number of channels opened"),
    Metric::counter("channels_closed_total", "Total number of channels closed"),
    Metric::counter("queues_declared_total", "Total number of queues declared"),
    Metric::counter("queues_created_total", "Total number of queues created"),
    Metric::counter("queues_deleted_total", "Total number of queues deleted"),
];

const NODE_COARSE: &[Metric] = &[
    Metric::gauge("process_open_fds", "Open file descriptors"),
    Metric::gauge("process_resident_memory_bytes", "Memory used in bytes"),
    Metric::gauge("disk_space_available_bytes", "Disk space available in bytes"),
    Metric::gauge("erlang_processes_used", "Tasks of the runtime: what Erlang processes are to RabbitMQ"),
];

const NODE: &[Metric] = &[
    Metric::gauge("process_max_fds", "Open file descriptors limit"),
    Metric::gauge("resident_memory_limit_bytes", "Memory high watermark in bytes"),
    Metric::gauge("disk_space_available_limit_bytes", "Free disk space low watermark in bytes"),
    Metric::gauge("erlang_processes_limit", "Erlang's usual limit; tasks of the runtime have none"),
    Metric::gauge("erlang_uptime_seconds", "Node uptime"),
];

const NODE_PERSISTER: &[Metric] = &[
    Metric::counter("io_read_ops_total", "Total number of messages that the log gave back"),
    Metric::counter("io_read_bytes_total", "Total number of bytes of messages that the log gave back"),
    Metric::counter("io_write_ops_total", "Total number of batches that the log wrote"),
    Metric::counter("io_write_bytes_total", "Total number of bytes that the log wrote"),
    Metric::counter("io_sync_ops_total", "Total number of syncs of the log"),
    Metric::counter("io_sync_time_seconds_total", "Total time of syncs of the log"),
];

const LOGINS: &[Metric] = &[
    Metric::counter("auth_attempts_total", "Total number of authentication attempts"),
    Metric::counter("auth_attempts_succeeded_total", "Total number of successful authentication attempts"),
    Metric::counter("auth_attempts_failed_total", "Total number of failed authentication attempts"),
];

const QUEUE_COARSE: &[Metric] = &[
    Metric::gauge("queue_messages_ready", "Messages ready to be delivered to consumers"),
    Metric::gauge("queue_messages_unacked", "Messages delivered to consumers but not yet acknowledged"),
    Metric::gauge("queue_messages", "Sum of ready and unacknowledged messages - total queue depth"),
];

const QUEUE: &[Metric] = &[
    Metric::gauge("queue_consumers", "Consumers on a queue"),
    Metric::gauge("queue_consumer_capacity", "Consumer capacity"),
    Metric::gauge("queue_consumer_utilisation", "Same as consumer capacity"),
    Metric::gauge("queue_process_memory_bytes", "Memory in bytes used by the queue"),
    Metric::gauge("queue_messages_ram", "Ready and unacknowledged messages stored in memory"),
    Metric::gauge("queue_messages_ram_bytes", "Size of ready and unacknowledged messages stored in memory"),
    Metric::gauge("queue_messages_ready_ram", "Ready messages stored in memory"),
    Metric::gauge("queue_messages_unacked_ram", "Unacknowledged messages stored in memory"),
    Metric::gauge("queue_messages_bytes", "Size in bytes of ready and unacknowledged messages"),
    Metric::gauge("queue_messages_ready_bytes", "Size in bytes of ready messages"),
    Metric::gauge("queue_messages_unacked_bytes", "Size in bytes of all unacknowledged messages"),
    Metric::gauge("queue_messages_paged_out", "Messages paged out to disk"),
    Metric::gauge("queue_messages_paged_out_bytes", "Size in bytes of messages paged out to disk"),
    Metric::counter("queue_disk_reads_total", "Total number of times queue read messages from disk"),
    Metric::counter("queue_disk_writes_total", "Total number of times queue wrote messages to disk"),
    Metric::gauge("queue_head_message_timestamp", "Timestamp of the first message in the queue, if any"),
];

const QUEUE_CONSUMERS: &[Metric] = &[Metric::gauge("queue_consumers", "Consumers on a queue")];

const QUEUE_DELIVERY: &[Metric] = &[
    Metric::counter(
        "queue_get_ack_total",
        "Total number of messages fetched from a queue with basic.get in manual acknowledgement mode",
    ),
    Metric::counter(
        "queue_get_total",
        "Total number of messages fetched from a queue with basic.get in automatic acknowledgement mode",
    ),
    Metric::counter(
        "queue_messages_delivered_ack_total",
        "Total number of messages delivered from a queue to consumers in manual acknowledgement mode",
    ),
    Metric::counter(
        "queue_messages_delivered_total",
        "Total number of messages delivered from a queue to consumers in automatic acknowledgement mode",
    ),
    Metric::counter(
        "queue_messages_redelivered_total",
        "Total number of messages redelivered from a queue to consumers",
    ),
    Metric::counter(
        "queue_messages_acked_total",
        "Total number of messages acknowledged by consumers on a queue",
    ),
    Metric::counter(
        "queue_get_empty_total",
        "Total number of times basic.get operations fetched no message on a queue",
    ),
    Metric::counter("queue_messages_published_total", "Total number of messages published into a queue"),
];

const CHANNEL: &[Metric] = &[
    Metric::gauge("channel_consumers", "Consumers on a channel"),
    Metric::gauge("channel_messages_unacked", "Delivered but not yet acknowledged messages"),
    Metric::gauge("channel_messages_unconfirmed", "Published but not yet confirmed messages"),
    Metric::gauge("channel_messages_uncommitted", "Messages received in a transaction but not yet committed"),
    Metric::gauge("channel_acks_uncommitted", "Message acknowledgements in a transaction not yet committed"),
    Metric::gauge("consumer_prefetch", "Limit of unacknowledged messages for each consumer"),
    Metric::gauge(
        "channel_prefetch",
        "Total limit of unacknowledged messages for all consumers on a channel",
    ),
];

const CHANNEL_EXCHANGE: &[Metric] = &[
    Metric::counter(
        "channel_messages_published_total",
        "Total number of messages published into an exchange on a channel",
    ),
    Metric::counter(
        "channel_messages_confirmed_total",
        "Total number of messages published into an exchange and confirmed on the channel",
    ),
    Metric::counter(
        "channel_messages_unroutable_returned_total",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
    ),
    Metric::counter(
        "channel_messages_unroutable_dropped_total",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
    ),
];

const CHANNEL_QUEUE: &[Metric] = &[
    Metric::counter(
        "channel_get_ack_total",
        "Total number of messages fetched with basic.get in manual acknowledgement mode",
    ),
    Metric::counter(
        "channel_get_total",
        "Total number of messages fetched with basic.get in automatic acknowledgement mode",
    ),
    Metric::counter(
        "channel_messages_delivered_ack_total",
        "Total number of messages delivered to consumers in manual acknowledgement mode",
    ),
    Metric::counter(
        "channel_messages_delivered_total",
        "Total number of messages delivered to consumers in automatic acknowledgement mode",
    ),
    Metric::counter(
        "channel_messages_redelivered_total",
        "Total number of messages redelivered to consumers",
    ),
    Metric::counter("channel_messages_acked_total", "Total number of messages acknowledged by consumers"),
    Metric::counter(
        "channel_get_empty_total",
        "Total number of times basic.get operations fetched no message",
    ),
];

const CONNECTION_COARSE: &[Metric] = &[
    Metric::counter("connection_incoming_bytes_total", "Total number of bytes received on a connection"),
    Metric::counter("connection_outgoing_bytes_total", "Total number of bytes sent on a connection"),
];

const CONNECTION: &[Metric] = &[
    Metric::counter("connection_incoming_packets_total", "Total number of reads on a connection"),
    Metric::counter("connection_outgoing_packets_total", "Total number of writes on a connection"),
    Metric::gauge("connection_pending_packets", "Bytes waiting to be sent on a connection"),
    Metric::gauge("connection_channels", "Channels on a connection"),
];

const EXCHANGE: &[Metric] = &[
    Metric::counter(
        "exchange_messages_published_total",
        "Total number of messages published into an exchange",
    ),
    Metric::counter(
        "exchange_messages_routed_total",
        "Total number of places in queues that messages of an exchange were routed to",
    ),
];

fn churn(scrape: &Scrape<'_>) -> Vec<Row> {
    vec![row(String::new(), scrape.node().churn.row())]
}

fn node_coarse(scrape: &Scrape<'_>) -> Vec<Row> {
    let uses = scrape.uses();
    vec![row(
        String::new(),
        [
            uses[node_column::FILES],
            uses[node_column::MEMORY],
            uses[node_column::DISK_FREE],
            uses[node_column::TASKS],
        ],
    )]
}

fn node(scrape: &Scrape<'_>) -> Vec<Row> {
    vec![Row { labels: String::new(), numbers: scrape.limits() }]
}

fn node_persister(scrape: &Scrape<'_>) -> Vec<Row> {
    let uses = scrape.uses();
    let columns = [
        node_column::READS,
        node_column::READ,
        node_column::WRITES,
        node_column::WRITTEN,
        node_column::SYNCS,
    ];
    let mut row = row(String::new(), columns.map(|column| uses[column]));
    row.numbers.push(Some(uses[node_column::SYNC_MICROS] as f64 / 1e6));
    vec![row]
}

fn logins(scrape: &Scrape<'_>) -> Vec<Row> {
    let statistics = &scrape.node().statistics;
    let protocols = [("amqp091", &statistics.amqp_logins), ("http", &statistics.http_logins)];
    let of_protocol = protocols.map(|(protocol, logins)| {
        let (succeeded, failed) = (logins.succeeded.load(Relaxed), logins.failed.load(Relaxed));
        row(labels(&[("protocol", protocol)]), [succeeded + failed, succeeded, failed])
    });
    of_protocol.into()
}

fn queue_coarse(scrape: &Scrape<'_>) -> Vec<Row> {
    let of_queue = scrape.queues().iter().map(|queue| {
        let (ready, unsettled) = (queue.counts.ready as u64, queue.counts.unsettled as u64);
        row(queue.labels.clone(), [ready, unsettled, ready + unsettled])
    });
    of_queue.collect()
}

fn queue(scrape: &Scrape<'_>) -> Vec<Row> {
    let of_queue = scrape.queues().iter().map(|queue| {
        let (counts, report) = (queue.counts, &queue.report);
        let (paged, paged_bytes) = (report.paged.0 as u64, report.paged.1);
        let (ready, unsettled) = (counts.ready as u64, counts.unsettled as u64);
        let bytes = counts.ready_bytes + counts.unsettled_bytes;
        let capacity = Some(report.consumer_capacity).filter(|_| counts.consumers > 0);
        let mut numbers = vec![Some(counts.consumers as f64), capacity, capacity];
        let others = [
            report.memory as u64,
            (ready + unsettled).saturating_sub(paged),
            bytes.saturating_sub(paged_bytes),
            ready.saturating_sub(paged),
            unsettled,
            bytes,
            counts.ready_bytes,
            counts.unsettled_bytes,
            paged,
            paged_bytes,
            report.disk_reads,
            report.disk_writes,
        ];
        numbers.extend(others.map(|number| Some(number as f64)));
        // A sum of times says nothing.
        let head = report.head_timestamp.filter(|_| !scrape.is_summed());
        numbers.push(head.map(|timestamp| timestamp as f64));
        Row { labels: queue.labels.clone(), numbers }
    });
    of_queue.collect()
}

fn queue_consumers(scrape: &Scrape<'_>) -> Vec<Row> {
    let of_queue =
        scrape.queues().iter().map(|queue| row(queue.labels.clone(), [queue.counts.consumers as u64]));
    of_queue.collect()
}

fn queue_delivery(scrape: &Scrape<'_>) -> Vec<Row> {
    let columns = [
        column::GET,
        column::GET_NO_ACK,
        column::DELIVER,
        column::DELIVER_NO_ACK,
        column::REDELIVER,
        column::ACK,
        column::GET_EMPTY,
        column::PUBLISH,
    ];
    let of_queue = scrape
        .queues()
        .iter()
        .map(|queue| row(queue.labels.clone(), columns.map(|column| queue.report.curve.values[column])));
    of_queue.collect()
}

fn channel(scrape: &Scrape<'_>) -> Vec<Row> {
    scrape.channels().iter().map(|channel| row(channel.labels.clone(), channel.gauges)).collect()
}

fn channel_exchange(scrape: &Scrape<'_>) -> Vec<Row> {
    let columns = [column::PUBLISH, column::CONFIRM, column::RETURN_UNROUTABLE, column::DROP_UNROUTABLE];
    of_channels(scrape, columns)
}

fn channel_queue(scrape: &Scrape<'_>) -> Vec<Row> {
    let columns = [
        column::GET,
        column::GET_NO_ACK,
        column::DELIVER,
        column::DELIVER_NO_ACK,
        column::REDELIVER,
        column::ACK,
        column::GET_EMPTY,
    ];
    of_channels(scrape, columns)
}

fn of_channels<const N: usize>(scrape: &Scrape<'_>, columns: [usize; N]) -> Vec<Row> {
    let channels = scrape.channels().iter();
    channels
        .map(|channel| row(channel.labels.clone(), columns.map(|column| channel.messages[column])))
        .collect()
}

fn connection_coarse(scrape: &Scrape<'_>) -> Vec<Row> {
    scrape.connections().iter().map(|connection| row(connection.labels.clone(), connection.bytes)).collect()
}

fn connection(scrape: &Scrape<'_>) -> Vec<Row> {
    scrape.connections().iter().map(|connection| row(connection.labels.clone(), connection.others)).collect()
}

fn exchange(scrape: &Scrape<'_>) -> Vec<Row> {
    scrape.exchanges().into_iter().map(|(labels, numbers)| row(labels, numbers)).collect()
}

fn row<const N: usize>(labels: String, numbers: [u64; N]) -> Row {
    Row { labels, numbers: numbers.map(|number| Some(number as f64)).into() }
}
