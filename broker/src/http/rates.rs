//! Numbers, how fast they grow, and samples of their past, as RabbitMQ shows them.
//!
//! ```text
//! "publish": 120, "publish_details": {"rate": 4.0}
//! with msg_rates_age=60&msg_rates_incr=5 in the query:
//! "publish_details": {"rate": 4.0, "samples": [{"sample": 120, "timestamp": …}, …], "avg_rate": 2.0, "avg": 60.5}
//! ```
//!
//! The newest sample comes first. Four kinds of numbers have ranges of their own: lengths, msg_rates, data_rates and
//! node_stats.

use serde_json::{Map, Value, json};

use super::{HttpError, request::Request};
use crate::{
    connection::statistics::node_column,
    model::statistics::{Curve, Ranges, SampleKind, column},
};

/// Fields of an object: only those that are wanted are made.
pub(super) struct Fields<'a> {
    wants: &'a dyn Fn(&str) -> bool,
    fields: Map<String, Value>,
}

/// A number that is shown with its growth: its names, and the columns that it is the sum of.
pub(super) type Figure = (&'static str, &'static str, &'static [usize]);

const PUBLISH: &[Figure] = &[("publish", "publish_details", &[column::PUBLISH])];

const PUBLISHED: &[Figure] = &[
    ("publish", "publish_details", &[column::PUBLISH]),
    ("confirm", "confirm_details", &[column::CONFIRM]),
    ("return_unroutable", "return_unroutable_details", &[column::RETURN_UNROUTABLE]),
    ("drop_unroutable", "drop_unroutable_details", &[column::DROP_UNROUTABLE]),
];

const DELIVERED: &[Figure] = &[
    ("deliver", "deliver_details", &[column::DELIVER]),
    ("deliver_no_ack", "deliver_no_ack_details", &[column::DELIVER_NO_ACK]),
    ("get", "get_details", &[column::GET]),
    ("get_no_ack", "get_no_ack_details", &[column::GET_NO_ACK]),
    ("get_empty", "get_empty_details", &[column::GET_EMPTY]),
    ("redeliver", "redeliver_details", &[column::REDELIVER]),
    ("ack", "ack_details", &[column::ACK]),
    (
        "deliver_get",
        "deliver_get_details",
        &[column::DELIVER, column::DELIVER_NO_ACK, column::GET, column::GET_NO_ACK],
    ),
];

const DISK: &[Figure] = &[
    ("disk_reads", "disk_reads_details", &[column::DISK_READS]),
    ("disk_writes", "disk_writes_details", &[column::DISK_WRITES]),
];

const ROUTED: &[Figure] =
    &[("publish_in", "publish_in_details", &[0]), ("publish_out", "publish_out_details", &[1])];

/// What a node uses.
pub(super) const NODE_USE: &[Figure] = &[
    ("mem_used", "mem_used_details", &[node_column::MEMORY]),
    ("fd_used", "fd_used_details", &[node_column::FILES]),
    ("sockets_used", "sockets_used_details", &[node_column::SOCKETS]),
    ("proc_used", "proc_used_details", &[node_column::TASKS]),
    ("disk_free", "disk_free_details", &[node_column::DISK_FREE]),
    ("io_read_count", "io_read_count_details", &[node_column::READS]),
    ("io_read_bytes", "io_read_bytes_details", &[node_column::READ]),
    ("io_write_count", "io_write_count_details", &[node_column::WRITES]),
    ("io_write_bytes", "io_write_bytes_details", &[node_column::WRITTEN]),
    ("io_sync_count", "io_sync_count_details", &[node_column::SYNCS]),
];

/// What came and went.
pub(super) const CHURN: &[Figure] = &[
    ("connection_created", "connection_created_details", &[0]),
    ("connection_closed", "connection_closed_details", &[1]),
    ("channel_created", "channel_created_details", &[2]),
    ("channel_closed", "channel_closed_details", &[3]),
    ("queue_declared", "queue_declared_details", &[4]),
    ("queue_created", "queue_created_details", &[5]),
    ("queue_deleted", "queue_deleted_details", &[6]),
];

/// Of a connection.
pub(super) const CONNECTION_BYTES: &[Figure] =
    &[("recv_oct", "recv_oct_details", &[0]), ("send_oct", "send_oct_details", &[1])];

/// Of a vhost's connections.
pub(super) const VHOST_BYTES: &[Figure] = &[
    ("recv_oct", "recv_oct_details", &[column::RECEIVED]),
    ("send_oct", "send_oct_details", &[column::SENT]),
];

const LENGTHS: &[Figure] = &[
    ("messages", "messages_details", &[column::READY, column::UNSETTLED]),
    ("messages_ready", "messages_ready_details", &[column::READY]),
    ("messages_unacknowledged", "messages_unacknowledged_details", &[column::UNSETTLED]),
];

/// What of `message_stats` an object has.
#[derive(Clone, Copy, Debug)]
pub(super) enum MessageStats {
    /// What came into a queue and went out.
    Queue,
    /// What went through channels.
    Channels,
    /// Of all vhosts.
    Overview,
}

impl Request {
    /// The samples that the query asks for. What is no number counts as not there, as with RabbitMQ.
    pub(super) fn ranges(&self) -> Result<Ranges, HttpError> {
        let mut ranges = self.node().ranges();
        for (kind, name) in [
            (SampleKind::Lengths, "lengths"),
            (SampleKind::Messages, "msg_rates"),
            (SampleKind::Data, "data_rates"),
            (SampleKind::Node, "node_stats"),
        ] {
            let number = |what| self.parameter(&format!("{name}_{what}"))?.parse::<i64>().ok();
            let (Some(age), Some(interval)) = (number("age"), number("incr")) else { continue };
            let asked = u64::try_from(age).ok().zip(u64::try_from(interval).ok());
            if asked.is_none_or(|(age, interval)| ranges.ask(kind, age, interval).is_err()) {
                let reason = format!("Invalid range parameters: age {age}, incr {interval}");
                return Err(HttpError::bad_request(reason));
            }
        }
        Ok(ranges)
    }

    /// As [`Self::ranges`]; none if the query wants no statistics.
    pub(super) fn wanted_ranges(&self) -> Result<Option<Ranges>, HttpError> {
        Ok(Some(self.ranges()?).filter(|_| !self.is_without_stats()))
    }

    /// Whether the query asks for names alone: `disable_stats=true`.
    pub(super) fn is_without_stats(&self) -> bool {
        self.has_flag("disable_stats")
    }
}

impl<'a> Fields<'a> {
    pub(super) fn new(wants: &'a dyn Fn(&str) -> bool) -> Self {
        Self { wants, fields: Map::new() }
    }

    /// Adds a field, unless it is not wanted.
    pub(super) fn put(&mut self, name: &str, value: impl FnOnce() -> Value) {
        if (self.wants)(name) {
            self.fields.insert(name.to_owned(), value());
        }
    }

    /// Whether a field is wanted.
    pub(super) fn wants(&self, name: &str) -> bool {
        (self.wants)(name)
    }

    /// `messages`, `messages_ready` and `messages_unacknowledged`.
    pub(super) fn put_lengths<const N: usize>(&mut self, curve: &Curve<N>, ranges: &Ranges) {
        self.put_figures(LENGTHS, curve, SampleKind::Lengths, ranges);
    }

    /// `message_stats`, unless there never were any.
    pub(super) fn put_message_stats<const N: usize>(
        &mut self,
        stats: MessageStats,
        curve: &Curve<N>,
        ranges: &Ranges,
    ) {
        if self.wants("message_stats")
            && let Some(stats) = message_stats(stats, curve, ranges)
        {
            self.fields.insert("message_stats".to_owned(), stats);
        }
    }

    /// Numbers with their growth under their own names.
    pub(super) fn put_figures<const N: usize>(
        &mut self,
        figures: &[Figure],
        curve: &Curve<N>,
        kind: SampleKind,
        ranges: &Ranges,
    ) {
        for (name, details_name, columns) in figures {
            self.put(name, || sum(curve, columns).into());
            self.put(details_name, || details(curve, columns, kind, ranges));
        }
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.fields)
    }
}

/// `message_stats` of an exchange, unless nothing was ever published to it.
pub(super) fn exchange_stats(curve: &Curve<2>, ranges: &Ranges) -> Option<Value> {
    let mut fields = Fields::new(&|_| true);
    fields.put_figures(ROUTED, curve, SampleKind::Messages, ranges);
    (curve.values != [0, 0]).then(|| fields.into_value())
}

/// `message_stats` of all vhosts together.
pub(super) fn overview_stats<const N: usize>(curve: &Curve<N>, ranges: &Ranges) -> Value {
    message_stats(MessageStats::Overview, curve, ranges).unwrap_or_else(|| json!({}))
}

/// What came only shows if anything ever came, likewise what went.
fn message_stats<const N: usize>(stats: MessageStats, curve: &Curve<N>, ranges: &Ranges) -> Option<Value> {
    let groups: &[&[Figure]] = match stats {
        MessageStats::Queue => &[PUBLISH, DELIVERED],
        MessageStats::Channels => &[PUBLISHED, DELIVERED],
        MessageStats::Overview => &[PUBLISHED, DELIVERED, DISK],
    };
    let mut fields = Fields::new(&|_| true);
    for figures in groups {
        let is_shown = matches!(stats, MessageStats::Overview)
            || figures.iter().any(|(_, _, columns)| sum(curve, columns) > 0);
        if is_shown {
            fields.put_figures(figures, curve, SampleKind::Messages, ranges);
        }
    }
    (!fields.fields.is_empty()).then(|| fields.into_value())
}

fn sum<const N: usize>(curve: &Curve<N>, columns: &[usize]) -> u64 {
    columns.iter().map(|column| curve.values[*column]).sum()
}

fn details<const N: usize>(curve: &Curve<N>, columns: &[usize], kind: SampleKind, ranges: &Ranges) -> Value {
    let rate: f64 = columns.iter().map(|column| curve.rates[*column]).sum();
    let times = ranges.times(kind);
    let mut details = Map::new();
    details.insert("rate".to_owned(), rate.into());
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return details.into() };
    let samples: Vec<u64> = curve.samples(kind, columns).collect();
    let newest_first = samples.iter().zip(times).rev();
    let shown = newest_first.map(|(sample, time)| json!({ "sample": sample, "timestamp": time * 1_000 }));
    details.insert("samples".to_owned(), shown.collect());
    let (oldest, newest) = (samples.first().copied(), samples.last().copied());
    let growth = newest.unwrap_or(0) as f64 - oldest.unwrap_or(0) as f64;
    details.insert("avg_rate".to_owned(), (growth / (last - first).max(1) as f64).into());
    let sum: f64 = samples.iter().map(|sample| *sample as f64).sum();
    details.insert("avg".to_owned(), (sum / samples.len().max(1) as f64).into());
    details.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        statistics::{BASIC, History, Look, LookTimes, MESSAGE_COLUMNS, VHOST_COLUMNS},
        timestamp::Timestamp,
    };

    #[test]
    fn figures_have_rates_and_the_samples_that_are_asked_for() {
        let at = |seconds: u64| Timestamp(seconds * 1_000);
        let mut history = History::new(BASIC, [0; MESSAGE_COLUMNS], at(985));
        let mut row = [0; MESSAGE_COLUMNS];
        row[column::GET] = 40;
        history.look(Look { previous: at(989), now: at(990) }, row);
        let mut ranges = Ranges::at(at(992), LookTimes::at(at(992)));
        let stats = |ranges: &Ranges| {
            message_stats(MessageStats::Channels, &Curve::of(Some(&history), row, ranges), ranges).unwrap()
        };
        let shown = stats(&ranges);
        assert_eq!(shown.get("publish"), None);
        assert_eq!(
            (&shown["get"], &shown["deliver_get"], &shown["ack"]),
            (&json!(40), &json!(40), &json!(0))
        );
        assert_eq!(shown["get_details"], json!({ "rate": 40.0 / 7.0 }));
        ranges.ask(SampleKind::Messages, 10, 5).unwrap();
        assert_eq!(
            stats(&ranges)["deliver_get_details"],
            json!({
                "rate": 40.0 / 7.0,
                "samples": [
                    { "sample": 40, "timestamp": 990_000 },
                    { "sample": 0, "timestamp": 985_000 },
                    { "sample": 0, "timestamp": 980_000 },
                ],
                "avg_rate": 4.0,
                "avg": 40.0 / 3.0,
            })
        );
    }

    #[test]
    fn what_never_happened_is_not_shown_but_in_the_overview() {
        let (curve, ranges) = (Curve::<VHOST_COLUMNS>::zero(&Ranges::default()), Ranges::default());
        assert_eq!(message_stats(MessageStats::Queue, &curve, &ranges), None);
        assert_eq!(overview_stats(&curve, &ranges)["disk_writes_details"], json!({ "rate": 0.0 }));
    }
}
