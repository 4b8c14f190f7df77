//! Routes of our own, which the admin CLI needs beyond RabbitMQ's.
//!
//! | Route | Answer |
//! |---|---|
//! | `POST liebre/authenticate` `{"username", "password"}` | 200 `{"authenticated": true}` or `false`, for an unknown user too |
//! | `POST liebre/stop` | 204; the broker then stops in order |
//! | `PUT liebre/disk-free-limit` `{"absolute": "2GB"}` or bytes, or `{"relative": 1.5}` times memory | 204; the alarms have followed |
//! | `PUT liebre/vm-memory-high-watermark` `{"absolute": "2GB"}` or bytes, or `{"relative": 0.4}` of memory | 204; the alarms have followed |
//! | `GET liebre/environment` | 200, the settings in force by their names in `rabbitmq.conf` |
//! | `GET liebre/status` | 200, what `status` prints beyond overview and node |
//! | `POST liebre/definitions?dry_run=true`, `?skip_unsupported=true`, `?skip_if_unchanged=true` | 200 `{"skipped": […]}`, a line for each thing left out, `"kept": […]` with one for each that is there with other properties and stays so, if there are any, and `"unchanged": true` when nothing was done; a dry run only checks |
//!
//! The routes about the process (the log, listeners, the life of the broker) are in `own_node`.

use std::net::SocketAddr;

use axum::http::Method;
use serde_json::{Map, Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    definitions, own_node,
    request::Request,
};
use crate::{
    limits, product,
    server::{
        EffectiveSetting,
        resources::Limits,
        watermark::{ByteSize, DiskFreeLimit, MemoryWatermark, WatermarkError},
    },
};

/// `config/effective`: the configuration by its keys, each with its value and where that comes from. Limits that were
/// changed while the broker runs are in `liebre/environment`.
pub(super) fn answer_effective(request: &Request) -> Answered {
    request.require(Right::Administrator)?;
    let view = |setting: &EffectiveSetting| json!({ "key": setting.key, "value": typed(&setting.value), "source": setting.source });
    Ok(Answer::Listing(request.api.effective.iter().map(view).collect()))
}

/// `liebre/authenticate`, `liebre/stop`, `liebre/disk-free-limit`, `liebre/vm-memory-high-watermark`,
/// `liebre/environment`, `liebre/status`, `liebre/definitions`, and those of [`own_node`]
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        (["authenticate"], &Method::POST) => authenticate(request),
        (["stop"], &Method::POST) => stop(request),
        (["disk-free-limit"], &Method::PUT) => set_disk_free_limit(request),
        (["vm-memory-high-watermark"], &Method::PUT) => set_memory_watermark(request),
        (["environment"], &Method::GET) => {
            request.require(Right::Administrator)?;
            Ok(Answer::Object(environment(request)))
        }
        (["status"], &Method::GET) => {
            request.require(Right::Monitoring)?;
            Ok(Answer::Object(status(request)))
        }
        (["definitions"], &Method::POST) => definitions::answer_own(request).await,
        _ => own_node::answer(request, names).await,
    }
}

fn authenticate(request: &Request) -> Answered {
    request.require(Right::Administrator)?;
    let fields = request.fields()?;
    fields.require(&["username", "password"])?;
    let username = fields.text("username")?.unwrap_or_default();
    let password = fields.text("password")?.unwrap_or_default();
    let user = request.broker().authenticate(username, password.as_bytes());
    Ok(Answer::Object(json!({ "authenticated": user.is_some() })))
}

fn stop(request: &Request) -> Answered {
    request.require(Right::Administrator)?;
    tracing::info!("{} asks the broker to stop", request.asker());
    request.api.stop.send_replace(true);
    Ok(Answer::Done)
}

fn set_disk_free_limit(request: &Request) -> Answered {
    let limit = match amount(request)? {
        Amount::Absolute(bytes) => DiskFreeLimit::Absolute(bytes),
        Amount::Relative(factor) => DiskFreeLimit::relative(factor).map_err(refused)?,
    };
    tracing::info!("disk free limit set to {limit:?} (by {})", request.asker());
    request.api.resources.change_limits(request.node(), |limits| limits.disk = limit);
    Ok(Answer::Done)
}

fn set_memory_watermark(request: &Request) -> Answered {
    let watermark = match amount(request)? {
        Amount::Absolute(bytes) => MemoryWatermark::Absolute(bytes),
        Amount::Relative(share) => MemoryWatermark::relative(share).map_err(refused)?,
    };
    tracing::info!("memory high watermark set to {watermark:?} (by {})", request.asker());
    request.api.resources.change_limits(request.node(), |limits| limits.memory = Some(watermark));
    Ok(Answer::Done)
}

/// Of memory or disk.
enum Amount {
    /// Bytes.
    Absolute(u64),
    /// Of the machine's memory.
    Relative(f64),
}

fn amount(request: &Request) -> Result<Amount, HttpError> {
    request.require(Right::Administrator)?;
    let fields = request.fields()?;
    match (fields.value("absolute"), fields.value("relative").and_then(Value::as_f64)) {
        (Some(Value::Number(bytes)), _) if bytes.is_u64() => {
            Ok(Amount::Absolute(bytes.as_u64().unwrap_or(0)))
        }
        (Some(Value::String(size)), _) => {
            size.parse().map(|ByteSize(bytes)| Amount::Absolute(bytes)).map_err(refused)
        }
        (None, Some(share)) => Ok(Amount::Relative(share)),
        _ => Err(HttpError::bad_request("a limit is a size, 'absolute', or a share of memory, 'relative'")),
    }
}

fn refused(error: WatermarkError) -> HttpError {
    HttpError::bad_request(error.to_string())
}

/// A setting by the name that it has in `rabbitmq.conf` when it is in bytes, or a share of memory.
fn disk_free_limit(limits: Limits) -> (&'static str, Value) {
    match limits.disk {
        DiskFreeLimit::Absolute(bytes) => ("absolute", bytes.into()),
        DiskFreeLimit::Relative(factor) => ("relative", factor.into()),
    }
}

fn memory_watermark(limits: Limits) -> Option<(&'static str, Value)> {
    Some(match limits.memory? {
        MemoryWatermark::Absolute(bytes) => ("absolute", bytes.into()),
        MemoryWatermark::Relative(share) => ("relative", share.into()),
    })
}

fn environment(request: &Request) -> Value {
    let api = &request.api;
    let limits = api.resources.limits();
    let node_limits = request.node().limits;
    let (disk_kind, disk_limit) = disk_free_limit(limits);
    let mut environment = json!({
        "listeners.tcp": api.amqp_addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>(),
        "management.tcp.ip": api.http_address.ip().to_string(),
        "management.tcp.port": api.http_address.port(),
        "cluster_name": request.node().cluster_name(),
        "loopback_users": request.broker().loopback_users(),
        "heartbeat": node_limits.heartbeat_secs,
        "frame_max": node_limits.frame_max,
        "initial_frame_max": limits::FRAME_MAX_INITIAL,
        "channel_max": node_limits.channel_max,
        "consumer_max_per_channel": node_limits.consumers_per_channel_max,
        "max_message_size": node_limits.message_size_max,
        "handshake_timeout": u64::try_from(node_limits.handshake_timeout.as_millis()).unwrap_or(u64::MAX),
        (format!("disk_free_limit.{disk_kind}")): disk_limit,
        "management.rates_mode": "basic",
    });
    if let Some(timeout) = node_limits.consumer_timeout {
        environment["consumer_timeout"] = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).into();
    }
    for (name, limit) in [
        ("connection_max", node_limits.connection_max),
        ("channel_max_per_node", node_limits.channel_max_per_node),
        ("cluster_queue_limit", node_limits.queue_max),
        ("cluster_exchange_limit", node_limits.exchange_max),
        ("vhost_max", node_limits.vhost_max),
    ] {
        if let Some(limit) = limit {
            environment[name] = limit.into();
        }
    }
    match memory_watermark(limits) {
        Some((kind, watermark)) => environment[format!("vm_memory_high_watermark.{kind}")] = watermark,
        None => environment["vm_memory_high_watermark"] = "never".into(),
    }
    with_sources(environment, &api.effective)
}

/// Adds what else the configuration says, and where each of its values comes from.
fn with_sources(mut environment: Value, effective: &[EffectiveSetting]) -> Value {
    // A limit that was changed since is shown as it is now, alone.
    let is_live =
        |key: &str| ["disk_free_limit", "vm_memory_high_watermark"].iter().any(|live| key.starts_with(live));
    for setting in effective.iter().filter(|setting| !is_live(&setting.key)) {
        if environment.get(&setting.key).is_none() {
            environment[&setting.key] = typed(&setting.value);
        }
    }
    if !effective.is_empty() {
        let sources = effective.iter().map(|setting| (setting.key.clone(), setting.source.as_str().into()));
        environment["sources"] = sources.collect::<Map<_, _>>().into();
    }
    environment
}

/// Numbers and flags as what they are.
fn typed(value: &str) -> Value {
    match (value.parse::<i64>(), value.parse::<bool>()) {
        (Ok(number), _) => number.into(),
        (_, Ok(flag)) => flag.into(),
        _ => value.into(),
    }
}

fn status(request: &Request) -> Value {
    let mut status = about_process();
    status["tags"] = json!({});
    status["unsafe_no_fsync"] = request.api.unsafe_no_fsync.into();
    let watermark = memory_watermark(request.api.resources.limits());
    status["memory_high_watermark"] =
        watermark.map_or(Value::Null, |(kind, watermark)| json!({ (kind): watermark }));
    status
}

/// What the process runs on, whether or not the broker in it runs.
pub(super) fn about_process() -> Value {
    let system = rustix::system::uname();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    json!({
        "os": system.sysname().to_string_lossy(),
        "runtime": format!("{} {}, tokio with {workers} threads", product::NAME, product::VERSION),
    })
}
