//! Routes of our own, which the admin CLI needs beyond RabbitMQ's.
//!
//! | Route | Answer |
//! |---|---|
//! | `POST liebre/authenticate` `{"username", "password"}` | 200 `{"authenticated": true}` or `false`, for an unknown user too |
//! | `POST liebre/stop` | 204; the broker then stops in order |
//! | `GET liebre/environment` | 200, the settings in force by their names in `rabbitmq.conf` |
//! | `GET liebre/status` | 200, what `status` prints beyond overview and node |

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    auth::Right,
    request::{Request, not_allowed},
};
use crate::{limits, product, vhost::access::LOOPBACK_USER};

/// `liebre/authenticate`, `liebre/stop`, `liebre/environment`, `liebre/status`
pub(super) fn answer(request: &Request, names: &[&str]) -> Answered {
    match (names, &request.method) {
        (["authenticate"], &Method::POST) => authenticate(request),
        (["stop"], &Method::POST) => stop(request),
        (["authenticate" | "stop"], _) => not_allowed("POST, OPTIONS"),
        (["environment"], &Method::GET) => {
            request.require(Right::Administrator)?;
            Ok(Answer::Object(environment(request)))
        }
        (["status"], &Method::GET) => {
            request.require(Right::Monitoring)?;
            Ok(Answer::Object(status(request)))
        }
        (["environment" | "status"], _) => not_allowed("HEAD, GET, OPTIONS"),
        _ => Err(HttpError::ObjectNotFound),
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
    match request.caller.user() {
        Some(user) => tracing::info!("user '{user}' asks the broker to stop"),
        None => tracing::info!("somebody at the control socket asks the broker to stop"),
    }
    request.api.stop.send_replace(true);
    Ok(Answer::Done)
}

fn environment(request: &Request) -> Value {
    let api = &request.api;
    json!({
        "listeners.tcp": [api.amqp_address.to_string()],
        "management.tcp.ip": api.http_address.ip().to_string(),
        "management.tcp.port": api.http_address.port(),
        "cluster_name": request.node().name,
        "loopback_users": [LOOPBACK_USER],
        "heartbeat": limits::HEARTBEAT_SECS,
        "frame_max": limits::FRAME_MAX,
        "initial_frame_max": limits::FRAME_MAX_INITIAL,
        "channel_max": limits::CHANNEL_MAX,
        "consumer_max_per_channel": limits::CONSUMERS_PER_CHANNEL_MAX,
        "max_message_size": limits::MESSAGE_SIZE_MAX,
        "handshake_timeout": u64::try_from(limits::HANDSHAKE_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
        "management.rates_mode": "none",
    })
}

fn status(request: &Request) -> Value {
    let system = rustix::system::uname();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    json!({
        "os": system.sysname().to_string_lossy(),
        "runtime": format!("{} {}, tokio with {workers} threads", product::NAME, product::VERSION),
        "tags": {},
        "unsafe_no_fsync": request.api.unsafe_no_fsync,
    })
}
