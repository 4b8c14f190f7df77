//! The node: there is one.

use std::{thread::available_parallelism, time::Duration};

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    Api, HttpError,
    answer::{Answer, Answered},
    auth::Right,
    overview::{contexts, exchange_types},
    rates::{CHURN, Fields, NODE_USE},
    request::Request,
};
use crate::{
    connection::{alarm::Alarm, statistics::node_column as column},
    limits::FILES_RESERVED,
    model::statistics::SampleKind,
    product,
    server::process,
};

/// RabbitMQ's plugins whose work is built in.
const PLUGINS: [&str; 2] = ["rabbitmq_management", "rabbitmq_prometheus"];
/// What RabbitMQ uses memory for.
const NOT_TOLD_APART: [&str; 27] = [
    "connection_readers",
    "connection_writers",
    "connection_channels",
    "connection_other",
    "queue_procs",
    "queue_slave_procs",
    "quorum_queue_procs",
    "quorum_queue_dlx_procs",
    "stream_queue_procs",
    "stream_queue_replica_reader_procs",
    "stream_queue_coordinator_procs",
    "plugins",
    "metadata_store",
    "other_proc",
    "metrics",
    "mgmt_db",
    "mnesia",
    "quorum_ets",
    "metadata_store_ets",
    "other_ets",
    "binary",
    "msg_index",
    "code",
    "atom",
    "other_system",
    "allocated_unused",
    "reserved_unallocated",
];
/// What Erlang's virtual machine allows if nobody says otherwise: some tools divide by it.
pub(super) const TASKS_MAX: u32 = 1_048_576;

/// `nodes`, `nodes/{node}`, `nodes/{node}/memory`, `nodes/{node}/memory/relative`
pub(super) fn answer(request: &Request, names: &[&str]) -> Answered {
    request.require(Right::Monitoring)?;
    match (names, &request.method) {
        ([], &Method::GET) => Ok(Answer::Listing(vec![view(request)?])),
        ([node], &Method::GET) if *node == request.node().name => Ok(Answer::Object(view(request)?)),
        ([node, "memory", part @ ..], &Method::GET) if *node == request.node().name => {
            let used = process::memory_used_bytes();
            Ok(Answer::Object(json!({ "memory": breakdown(memory(used, part.is_empty())) })))
        }
        ([_], &Method::GET) => Err(HttpError::ObjectNotFound),
        _ => Err(HttpError::ObjectNotFound),
    }
}

fn view(request: &Request) -> Result<Value, HttpError> {
    let api = &request.api;
    let ranges = request.ranges()?;
    let mut object = json!({ "name": request.node().name, "type": "disc", "running": true });
    if request.is_without_stats() {
        return Ok(object);
    }
    add_facts(request, &mut object);
    let all = |_: &str| true;
    let mut fields = Fields::new(&all);
    let uses = request.node().use_curve(&ranges);
    fields.put_figures(NODE_USE, &uses, SampleKind::Node, &ranges);
    fields.put_figures(CHURN, &request.node().churn_curve(&ranges), SampleKind::Node, &ranges);
    // Milliseconds.
    let average = |micros: f64, count: f64| if count > 0.0 { micros / 1_000.0 / count } else { 0.0 };
    let (syncs, micros) = (column::SYNCS, column::SYNC_MICROS);
    fields.put("io_sync_avg_time", || average(uses.values[micros] as f64, uses.values[syncs] as f64).into());
    fields.put(
        "io_sync_avg_time_details",
        || json!({ "rate": average(uses.rates[micros], uses.rates[syncs]) }),
    );
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields.into_value()) {
        object.extend(fields);
    }
    add_measured(request, &mut object);
    if api.unsafe_no_fsync {
        object["unsafe_no_fsync"] = true.into();
    }
    Ok(object)
}

fn add_facts(request: &Request, object: &mut Value) {
    let api = &request.api;
    let uptime = (api.clock)().duration_since(api.started_at).unwrap_or(Duration::ZERO);
    let facts = json!({
        "being_drained": api.admission.is_draining(),
        "uptime": u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        "os_pid": std::process::id().to_string(),
        "processors": available_parallelism().map_or(1, usize::from),
        "rates_mode": "basic",
        "mem_alarm": request.node().alarms.has(Alarm::Memory),
        "disk_free_limit": api.resources.disk_free_limit(),
        "disk_free_alarm": request.node().alarms.has(Alarm::Disk),
        // Tasks are to this process what Erlang's processes are to RabbitMQ; nothing limits them.
        "proc_total": TASKS_MAX,
        "run_queue": api.runtime.metrics().global_queue_depth(),
        // There is one node.
        "net_ticktime": 60,
        "partitions": [],
        "cluster_links": [],
        "metrics_gc_queue_length": {},
        "enabled_plugins": plugins(api),
        "applications": [
            { "name": "liebre", "description": product::NAME, "version": product::VERSION },
            // Where tools look for the version whose API this is.
            { "name": "rabbit", "description": "RabbitMQ", "version": product::COMPATIBLE_VERSION },
        ],
        "auth_mechanisms": [
            { "name": "PLAIN", "description": "SASL PLAIN authentication mechanism", "enabled": true },
            { "name": "AMQPLAIN", "description": "QPid AMQPLAIN mechanism", "enabled": true },
        ],
        "exchange_types": exchange_types(),
        "config_files": api.config_files,
        "log_files": api.journal.places(),
        "db_dir": api.data_dir.display().to_string(),
        "contexts": contexts(request),
    });
    if let (Some(object), Value::Object(facts)) = (object.as_object_mut(), facts) {
        object.extend(facts);
    }
}

/// Without a port for Prometheus its plugin is as good as off.
fn plugins(api: &Api) -> &'static [&'static str] {
    if api.prometheus_address.is_some() { &PLUGINS } else { &PLUGINS[..1] }
}

/// What the process takes, in bytes, or in percent of that.
fn memory(used: Option<u64>, is_absolute: bool) -> Value {
    match used {
        None => "not_available".into(),
        Some(used) if is_absolute => json!({ "strategy": "rss", "total": { "rss": used } }),
        Some(_) => json!({ "total": 100 }),
    }
}

/// The same with all of RabbitMQ's categories, which tools insist on. What the process takes is not told apart: it is the
/// system's, and all totals are the same.
fn breakdown(mut memory: Value) -> Value {
    let Some(object) = memory.as_object_mut() else { return memory };
    let used = match object.get("total") {
        Some(Value::Object(totals)) => totals.get("rss").cloned().unwrap_or_default(),
        total => total.cloned().unwrap_or_default(),
    };
    if let Some(Value::Object(totals)) = object.get_mut("total") {
        totals.extend(["allocated", "erlang"].map(|name| (name.to_owned(), used.clone())));
    }
    object.extend(NOT_TOLD_APART.map(|name| (name.to_owned(), 0.into())));
    object.insert("other_system".to_owned(), used);
    memory
}

/// What the system may not tell, newer than when it was last looked at.
fn add_measured(request: &Request, object: &mut Value) {
    let mut add = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            object[name] = value.into();
        }
    };
    let resources = &request.api.resources;
    let memory = process::memory_used_bytes();
    let files = process::open_files_max();
    add("mem_used", memory);
    add("disk_free", resources.disk_free());
    add("fd_used", process::open_file_count().map(|count| count as u64));
    // Without a limit of its own, what there is.
    add("mem_limit", resources.memory_limit().or_else(|| resources.memory_total()));
    add("fd_total", files);
    add("sockets_total", files.map(|files| files.saturating_sub(FILES_RESERVED as u64)));
    if memory.is_some() {
        object["mem_calculation_strategy"] = "rss".into();
        if request.has_flag("memory") {
            object["memory"] = self::memory(memory, true);
        }
    }
}
