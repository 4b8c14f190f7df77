//! Health checks: 200 when all is well, 503 with a reason when not.

use axum::http::Method;
use serde_json::{Value, json};

use super::{
    HttpError,
    answer::{Answer, Answered},
    overview::Listener,
    request::{Request, not_allowed},
};
use crate::connection::alarm::Alarm;

/// `aliveness-test/{vhost}`, and after `health/checks/`: `alarms`, `local-alarms`, `virtual-hosts`,
/// `port-listener/{port}`, `protocol-listener/{protocol}`
pub(super) fn answer(request: &Request, names: &[&str]) -> Answered {
    let check = match names {
        ["alarms" | "local-alarms"] => check_alarms,
        // A vhost that is there runs.
        ["virtual-hosts"] => |_: &Request, _: &str| Ok(healthy()),
        ["port-listener", _] => check_port,
        ["protocol-listener", _] => check_protocol,
        ["aliveness-test", _] => |request: &Request, vhost: &str| request.vhost(vhost).map(|_| healthy()),
        _ => return Err(HttpError::ObjectNotFound),
    };
    if request.method != Method::GET {
        return not_allowed("HEAD, GET, OPTIONS");
    }
    check(request, names.last().copied().unwrap_or_default())
}

fn healthy() -> Answer {
    Answer::Object(json!({ "status": "ok" }))
}

/// There is one node: the alarms in the cluster are its own.
fn check_alarms(request: &Request, check: &str) -> Answered {
    let node = request.node();
    let view = |alarm: Alarm| json!({ "node": node.name, "resource": resource(alarm) });
    let alarms: Vec<Value> = node.alarms.on().map(view).collect();
    if alarms.is_empty() {
        return Ok(healthy());
    }
    let place = if check == "local-alarms" { "on the node" } else { "in the cluster" };
    let reason = format!("There are alarms in effect {place}");
    Ok(Answer::Unhealthy(json!({ "status": "failed", "reason": reason, "alarms": alarms })))
}

/// Here, and only here, the disk has this name.
fn resource(alarm: Alarm) -> &'static str {
    match alarm {
        Alarm::Disk => "disk space",
        Alarm::Memory => alarm.resource(),
    }
}

fn check_port(request: &Request, port: &str) -> Answered {
    let port: u16 = port.parse().map_err(|_| HttpError::bad_request("Invalid port"))?;
    let ports = Listener::all(&request.api).map(|listener| listener.address.port());
    if ports.contains(&port) {
        return Ok(Answer::Object(json!({ "status": "ok", "port": port })));
    }
    Ok(no_listener(&port.into(), "ports", &json!(ports)))
}

fn check_protocol(request: &Request, protocol: &str) -> Answered {
    // What people call the protocol.
    let wanted = match protocol {
        "amqp091" | "amqp0.9.1" | "amqp0-9-1" | "amqp0_9_1" => "amqp",
        other => other,
    };
    let protocols = Listener::all(&request.api).map(|listener| listener.protocol);
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
