//! Metrics for Prometheus, by RabbitMQ's names (<https://www.rabbitmq.com/docs/prometheus>).
//!
//! | Path | Numbers |
//! |---|---|
//! | `/metrics` | sums over all objects |
//! | `/metrics/per-object` | of each queue, exchange, connection and channel |
//! | `/metrics/detailed?family=F&vhost=V` | of the objects of some families, in some vhosts, each parameter as often as wanted |
//!
//! They are on a port of their own, where anybody may read them, and on that of the management API for those who monitor.

mod families;
mod scrape;
mod text;

use std::sync::Arc;

use axum::{
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{Api, HttpError, form};
use crate::{
    connection::{
        alarm::Alarm,
        statistics::{NodeRow, node_column},
    },
    model::statistics::column,
    product,
    server::{large_answers::LargeAnswers, process},
};
use families::{CONSUMER_COUNT, FAMILIES, Family, GLOBAL, Row};
use scrape::Scrape;
use text::{Metric, MetricsText, labels};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    Summed,
    PerObject,
    Detailed { families: Vec<String>, vhosts: Vec<String> },
}

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const PREFIX: &str = "rabbitmq_";
const DETAILED_PREFIX: &str = "rabbitmq_detailed_";

/// Answers at the port for Prometheus.
pub(super) async fn respond(api: Arc<Api>, request: axum::extract::Request) -> Response {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    match (names.as_slice(), request.method()) {
        (["metrics", rest @ ..], &Method::GET | &Method::HEAD) => {
            let answer = answer(&api, &api.large_scrapes, rest, query).await;
            answer.unwrap_or_else(IntoResponse::into_response)
        }
        (["metrics", ..], _) => HttpError::MethodNotAllowed { allow: "HEAD, GET" }.into_response(),
        _ => HttpError::ObjectNotFound.into_response(),
    }
}

/// `metrics`, `metrics/per-object`, `metrics/detailed`
pub(super) async fn answer(
    api: &Arc<Api>,
    large: &LargeAnswers,
    names: &[&str],
    query: &str,
) -> Result<Response, HttpError> {
    let endpoint = match names {
        [] => Endpoint::Summed,
        ["per-object"] => Endpoint::PerObject,
        ["detailed"] => Endpoint::detailed(query)?,
        _ => return Err(HttpError::ObjectNotFound),
    };
    let place = match endpoint {
        // However many objects there are, the sums are few.
        Endpoint::Summed => None,
        _ => Some(large.place().await.ok_or_else(HttpError::no_place)?),
    };
    let of = Arc::clone(api);
    let body = large.aside(move || text(&of, &endpoint)).await.ok_or_else(HttpError::not_made)?;
    let response = (StatusCode::OK, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
    match place {
        Some(place) => Ok(place.hold(response).await),
        None => Ok(response),
    }
}

impl Endpoint {
    fn detailed(query: &str) -> Result<Self, HttpError> {
        let (mut families, mut vhosts) = (Vec::new(), Vec::new());
        for pair in form::texts(query) {
            let (name, value) = pair?;
            match name.as_str() {
                "family" => families.push(value),
                "vhost" => vhosts.push(value),
                _ => {}
            }
        }
        Ok(Self::Detailed { families, vhosts })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Summed => "aggregated",
            Self::PerObject => "per-object",
            Self::Detailed { .. } => "detailed",
        }
    }

    fn families(&self) -> Vec<&'static Family> {
        match self {
            Self::Summed | Self::PerObject => FAMILIES.iter().collect(),
            Self::Detailed { families, .. } => {
                let is_asked = |name: &str| families.iter().any(|family| family == name);
                // It is a part of the other.
                let consumers =
                    Some(&CONSUMER_COUNT).filter(|own| is_asked(own.name) && !is_asked("queue_metrics"));
                FAMILIES.iter().filter(|family| is_asked(family.name)).chain(consumers).collect()
            }
        }
    }

    fn takes_vhost(&self, name: &str) -> bool {
        match self {
            Self::Detailed { vhosts, .. } if !vhosts.is_empty() => vhosts.iter().any(|vhost| vhost == name),
            _ => true,
        }
    }
}

/// Newer numbers of the node, where they cost little to get.
fn refresh(uses: &mut NodeRow, api: &Api) {
    let memory = process::memory_used_bytes().unwrap_or(uses[node_column::MEMORY]);
    let disk_free = api.resources.disk_free().unwrap_or(uses[node_column::DISK_FREE]);
    (uses[node_column::MEMORY], uses[node_column::DISK_FREE]) = (memory, disk_free);
}

fn text(api: &Api, endpoint: &Endpoint) -> String {
    let scrape = Scrape::new(api, endpoint);
    let prefix = if matches!(endpoint, Endpoint::Detailed { .. }) { DETAILED_PREFIX } else { PREFIX };
    let mut text = MetricsText::default();
    for family in endpoint.families() {
        let rows = (family.rows)(&scrape);
        let rows = if scrape.is_summed() { summed(rows, family.metrics.len()) } else { rows };
        write_family(&mut text, prefix, family.metrics, &rows);
    }
    if !matches!(endpoint, Endpoint::Detailed { .. }) {
        write_totals(&mut text, &scrape);
        write_alarms(&mut text, api);
        write_global(&mut text, &scrape);
        write_log(&mut text, api);
    }
    write_identity(&mut text, api, endpoint);
    text.into_string()
}

/// One row for each set of labels; one without labels also when there are no objects.
fn summed(rows: Vec<Row>, columns: usize) -> Vec<Row> {
    let mut sums: Vec<Row> = Vec::new();
    for row in rows {
        match sums.iter_mut().find(|sum| sum.labels == row.labels) {
            Some(sum) => {
                for (sum, number) in sum.numbers.iter_mut().zip(row.numbers) {
                    *sum = sum.map(|sum| sum + number.unwrap_or(0.0)).or(number);
                }
            }
            None => sums.push(row),
        }
    }
    if sums.is_empty() {
        sums.push(Row { labels: String::new(), numbers: vec![Some(0.0); columns] });
    }
    sums
}

fn write_family(text: &mut MetricsText, prefix: &str, metrics: &[Metric], rows: &[Row]) {
    for (column, metric) in metrics.iter().enumerate() {
        let mut numbers = rows
            .iter()
            .filter_map(|row| Some((row.labels.as_str(), row.numbers.get(column).copied().flatten()?)))
            .peekable();
        if numbers.peek().is_some() {
            text.begin(prefix, metric);
            numbers.for_each(|(labels, number)| text.number(prefix, metric, labels, number));
        }
    }
}

fn write_totals(text: &mut MetricsText, scrape: &Scrape<'_>) {
    let node = scrape.node();
    let channels: usize = node.connections().iter().map(|info| info.read(|facts| facts.channels.len())).sum();
    let consumers: usize = scrape.queues().iter().map(|queue| queue.counts.consumers).sum();
    for (metric, number) in [
        (Metric::gauge("connections", "Connections currently open"), node.connection_count()),
        (Metric::gauge("channels", "Channels currently open"), channels),
        (Metric::gauge("consumers", "Consumers currently connected"), consumers),
        (Metric::gauge("queues", "Queues available"), node.broker.queue_count()),
    ] {
        write_one(text, PREFIX, &metric, "", number as f64);
    }
}

fn write_alarms(text: &mut MetricsText, api: &Api) {
    let is_on = |alarm| f64::from(u8::from(api.node.alarms.has(alarm)));
    for (metric, number) in [
        (
            Metric::untyped(
                "alarms_free_disk_space_watermark",
                "is 1 if free disk space watermark alarm is in effect",
            ),
            is_on(Alarm::Disk),
        ),
        (
            Metric::untyped("alarms_memory_used_watermark", "is 1 if VM memory watermark alarm is in effect"),
            is_on(Alarm::Memory),
        ),
        // Connections that would take the last files wait instead.
        (
            Metric::untyped(
                "alarms_file_descriptor_limit",
                "is 1 if file descriptor limit alarm is in effect",
            ),
            0.0,
        ),
    ] {
        write_one(text, PREFIX, &metric, "", number);
    }
}

/// What was ever counted, also in queues, channels and vhosts that are no more.
fn write_global(text: &mut MetricsText, scrape: &Scrape<'_>) {
    scrape.node().sample();
    let totals = scrape.node().broker.message_totals();
    let protocol = labels(&[("protocol", "amqp091")]);
    for (metric, columns) in GLOBAL {
        let number: u64 = columns.iter().map(|column| totals[*column]).sum();
        write_one(text, PREFIX, metric, &protocol, number as f64);
    }
    let publishers = scrape.channels().iter().filter(|channel| channel.messages[column::PUBLISH] > 0).count();
    let consumers: u64 = scrape.channels().iter().map(|channel| channel.gauges[0]).sum();
    let metric = Metric::gauge("global_publishers", "Channels that have published");
    write_one(text, PREFIX, &metric, &protocol, publishers as f64);
    let metric = Metric::gauge("global_consumers", "Consumers currently connected");
    write_one(text, PREFIX, &metric, &protocol, consumers as f64);
}

/// Our own.
fn write_log(text: &mut MetricsText, api: &Api) {
    let Some(log) = &api.log else { return };
    let statistics = log.statistics();
    text.histogram(
        "liebre_log_sync_seconds",
        "How long syncs of the message log took",
        &statistics.sync_micros.counts(),
        1e6,
    );
    text.histogram(
        "liebre_log_batch_records",
        "How many records shared a write and a sync of the message log",
        &statistics.batch_records.counts(),
        1.0,
    );
    let unsynced = Metric::gauge("log_unsynced_bytes", "Bytes of records that are not yet on stable storage");
    write_one(text, "liebre_", &unsynced, "", log.unsynced_bytes() as f64);
}

fn write_identity(text: &mut MetricsText, api: &Api, endpoint: &Endpoint) {
    let build = labels(&[
        ("rabbitmq_version", product::COMPATIBLE_VERSION),
        ("prometheus_plugin_version", product::VERSION),
        ("prometheus_client_version", product::VERSION),
        ("erlang_version", "none"),
        ("product_name", product::NAME),
        ("product_version", product::VERSION),
    ]);
    let identity = labels(&[
        ("rabbitmq_node", &api.node.name),
        ("rabbitmq_cluster", &api.node.cluster_name()),
        ("rabbitmq_cluster_permanent_id", &api.node.name),
        ("rabbitmq_endpoint", endpoint.name()),
    ]);
    for (metric, labels) in [
        (Metric::untyped("build_info", "Version info"), build),
        (Metric::untyped("identity_info", "Node & cluster identity info"), identity),
    ] {
        write_one(text, PREFIX, &metric, &labels, 1.0);
    }
}

fn write_one(text: &mut MetricsText, prefix: &str, metric: &Metric, labels: &str, number: f64) {
    text.begin(prefix, metric);
    text.number(prefix, metric, labels, number);
}
