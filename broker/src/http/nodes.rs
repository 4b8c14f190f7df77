//! The node: there is one.

use std::{thread::available_parallelism, time::Duration};

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    overview::exchange_types,
    request::{Request, not_allowed},
};
use crate::{connection::alarm::Alarm, product, server::process};

/// RabbitMQ's plugins whose work is built in.
const PLUGINS: [&str; 1] = ["rabbitmq_management"];
/// What is logged goes there.
const LOG: &str = "<stderr>";

/// `nodes`, `nodes/{node}`, `nodes/{node}/memory`, `nodes/{node}/memory/relative`
pub(super) fn answer(request: &Request, names: &[&str]) -> Answered {
    request.require(Right::Monitoring)?;
    match (names, &request.method) {
        ([], &Method::GET) => Ok(Answer::Listing(vec![view(request)])),
        ([node], &Method::GET) if *node == request.node().name => Ok(Answer::Object(view(request))),
        ([node, "memory", part @ ..], &Method::GET) if *node == request.node().name => {
            Ok(Answer::Object(json!({ "memory": memory(part.is_empty()) })))
        }
        ([_], &Method::GET) => Err(HttpError::ObjectNotFound),
        ([] | [_], _) => not_allowed("HEAD, GET, OPTIONS"),
        _ => Err(HttpError::ObjectNotFound),
    }
}

fn view(request: &Request) -> Value {
    let api = &request.api;
    let uptime = (api.clock)().duration_since(api.started_at).unwrap_or(Duration::ZERO);
    let mut object = json!({
        "name": request.node().name,
        "type": "disc",
        "running": true,
        "being_drained": api.admission.is_draining(),
        "uptime": u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
        "os_pid": std::process::id().to_string(),
        "processors": available_parallelism().map_or(1, usize::from),
        "rates_mode": "none",
        "mem_alarm": request.node().alarms.has(Alarm::Memory),
        "disk_free_limit": api.resources.disk_free_limit(),
        "disk_free_alarm": request.node().alarms.has(Alarm::Disk),
        "partitions": [],
        "cluster_links": [],
        "enabled_plugins": PLUGINS,
        "applications": [
            { "name": "liebre", "description": product::NAME, "version": product::VERSION },
        ],
        "auth_mechanisms": [
            { "name": "PLAIN", "description": "SASL PLAIN authentication mechanism", "enabled": true },
            { "name": "AMQPLAIN", "description": "QPid AMQPLAIN mechanism", "enabled": true },
        ],
        "exchange_types": exchange_types(),
        "config_files": [],
        "log_files": [LOG],
        "db_dir": api.data_dir.display().to_string(),
    });
    if api.unsafe_no_fsync {
        object["unsafe_no_fsync"] = true.into();
    }
    add_measured(request, &mut object);
    object
}

/// What the process takes, in bytes, or in percent of that.
fn memory(is_absolute: bool) -> Value {
    match process::memory_used_bytes() {
        None => "not_available".into(),
        Some(memory) if is_absolute => json!({ "strategy": "rss", "total": { "rss": memory } }),
        Some(_) => json!({ "total": 100 }),
    }
}

/// What the system may not tell.
fn add_measured(request: &Request, object: &mut Value) {
    let mut add = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            object[name] = value.into();
        }
    };
    let memory = process::memory_used_bytes();
    add("mem_used", memory);
    add("mem_limit", request.api.resources.memory_limit());
    add("disk_free", process::disk_free_bytes(&request.api.data_dir));
    add("fd_used", process::open_file_count().map(|count| count as u64));
    add("fd_total", process::open_files_max());
    if memory.is_some() {
        object["mem_calculation_strategy"] = "rss".into();
        if request.has_flag("memory") {
            object["memory"] = self::memory(true);
        }
    }
}
