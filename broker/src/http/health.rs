//! Health checks: 200 when all is well, 503 with a reason when not.

use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    cluster::find_node,
    overview::Listener,
    request::Request,
};
use crate::{connection::alarm::Alarm, server::http::is_responsive};

const NOT_RESPONSIVE: &str = "AMQP connections get no answers: their threads are stuck";

/// After `health/checks/`.
pub(super) async fn answer(request: &Request, names: &[&str]) -> Answered {
    match names {
        [check @ ("alarms" | "local-alarms")] => check_alarms(request, check),
        ["port-listener", port] => check_port(request, port),
        ["protocol-listener", protocol] => check_protocol(request, protocol),
        ["certificate-expiration", within, unit] => check_certificates(within, unit),
        ["node-is-mirror-sync-critical" | "node-is-quorum-critical"] => {
            Ok(Answer::Object(json!({ "status": "ok", "reason": "single node cluster" })))
        }
        ["below-node-connection-limit"] => check_connections(request),
        ["ready-to-serve-clients"] => check_ready(request).await,
        ["quorum-queues-without-elected-leaders", "vhost", vhost, ..] => {
            request.vhost(vhost).map(|_| healthy())
        }
        // A vhost that is there runs, a node that answers is in service, and one node is the whole cluster.
        _ => Ok(healthy()),
    }
}

/// `healthchecks/node`, `healthchecks/node/{node}`
pub(super) async fn answer_node(request: &Request, names: &[&str]) -> Answered {
    names.iter().try_for_each(|node| find_node(request, node))?;
    if !is_responsive(&request.api.runtime).await {
        return Ok(Answer::Object(json!({ "status": "failed", "reason": NOT_RESPONSIVE })));
    }
    Ok(match alarms(request).first() {
        None => healthy(),
        Some(_) => {
            let reason = "resource alarm(s) in effect";
            Answer::Object(json!({ "status": "failed", "reason": reason, "alarms": alarms(request) }))
        }
    })
}

fn healthy() -> Answer {
    Answer::Object(json!({ "status": "ok" }))
}

/// There is one node: the alarms in the cluster are its own.
fn check_alarms(request: &Request, check: &str) -> Answered {
    let alarms = alarms(request);
    if alarms.is_empty() {
        return Ok(healthy());
    }
    let place = if check == "local-alarms" { "on the node" } else { "in the cluster" };
    let reason = format!("There are alarms in effect {place}");
    Ok(Answer::Unhealthy(json!({ "status": "failed", "reason": reason, "alarms": alarms })))
}

fn alarms(request: &Request) -> Vec<Value> {
    let node = request.node();
    node.alarms.on().map(|alarm| json!({ "node": node.name, "resource": resource(alarm) })).collect()
}

/// No listener has a certificate: none expires.
fn check_certificates(within: &str, unit: &str) -> Answered {
    if !matches!(unit, "days" | "weeks" | "months" | "years") {
        let reason = "Time unit not recognised. Supported units: days, weeks, months, years.";
        return Err(HttpError::bad_request(reason));
    }
    within.parse::<i64>().map_err(|_| HttpError::bad_request("Invalid expiration value."))?;
    Ok(healthy())
}

fn check_connections(request: &Request) -> Answered {
    let current = request.node().connection_count();
    match request.node().limits.connection_max {
        Some(max) if current >= max => {
            let reason = "connection limit is reached";
            let body = json!({ "status": "failed", "reason": reason, "current": current, "limit": max });
            Ok(Answer::Unhealthy(body))
        }
        max => {
            let limit = max.map_or_else(|| "infinity".into(), Value::from);
            Ok(Answer::Object(json!({ "status": "ok", "current": current, "limit": limit })))
        }
    }
}

/// Clients are served while their threads are not stuck, there is room for one more and nothing asks the broker to stop.
async fn check_ready(request: &Request) -> Answered {
    if *request.api.stop.borrow() {
        return Ok(Answer::Unhealthy(json!({ "status": "failed", "reason": "the broker is stopping" })));
    }
    if !is_responsive(&request.api.runtime).await {
        return Ok(not_responsive());
    }
    check_connections(request)
}

/// Of a check of what AMQP clients get, when they get nothing.
pub(super) fn not_responsive() -> Answer {
    Answer::Unhealthy(json!({ "status": "failed", "reason": NOT_RESPONSIVE }))
}

/// Here, and only here, the disk has this name.
fn resource(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::Disk => "disk space",
        Alarm::Memory => alarm.resource(),
    }
}

fn check_port(request: &Request, port: &str) -> Answered {
    let port: u64 = port.parse().map_err(|_| HttpError::bad_request("Invalid port"))?;
    let listeners = Listener::all(&request.api);
    let ports: Vec<_> = listeners.iter().map(|listener| u64::from(listener.address.port())).collect();
    if ports.contains(&port) {
        return Ok(Answer::Object(json!({ "status": "ok", "port": port })));
    }
    Ok(no_listener(&port.into(), "ports", &json!(ports)))
}

fn check_protocol(request: &Request, protocol: &str) -> Answered {
    // What people call the protocol.
    let protocol = protocol.to_ascii_lowercase();
    let wanted = match protocol.as_str() {
        "amqp091" | "amqp0.9.1" | "amqp0-9-1" | "amqp0_9_1" => "amqp",
        other => other,
    };
    let mut protocols: Vec<_> =
        Listener::all(&request.api).iter().map(|listener| listener.protocol).collect();
    protocols.dedup();
    if protocols.contains(&wanted) {
        return Ok(Answer::Object(json!({ "status": "ok", "protocol": wanted })));
    }
    Ok(no_listener(&wanted.into(), "protocols", &json!(protocols)))
}

fn no_listener(missing: &Value, what: &str, active: &Value) -> Answer {
    Answer::Unhealthy(json!({
        "status": "failed",
        "reason": "No active listener",
        "missing": missing,
        (what): active,
    }))
}
